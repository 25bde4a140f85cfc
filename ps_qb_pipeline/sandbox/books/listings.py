"""Reports that list postings, transactions, customers, vendors and items.

What lives here: general ledger, journal, transaction list, balances and ageing, sales and expenses by
name, tax summary, account list. What does not: statements (``reports``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.sandbox.books import groupings, ledger
from ps_qb_pipeline.sandbox.books.codec import Json, amount, cents, decimal, loads, ref
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.layout import Column, Wanted, cell, data, money, report, section, total
from ps_qb_pipeline.sandbox.books.ledger import Posting

LEDGER_COLUMNS = {
    "tx_date": Column("Date", "Date", "tx_date"),
    "txn_type": Column("Transaction Type", "String", "txn_type"),
    "doc_num": Column("Num", "String", "doc_num"),
    "name": Column("Name", "String", "name"),
    "memo": Column("Memo/Description", "String", "memo"),
    "account_name": Column("Account", "String", "account_name"),
    "split_acc": Column("Split", "String", "split_acc"),
    "debt_amt": Column("Debit", "Money", "debt_amt"),
    "credit_amt": Column("Credit", "Money", "credit_amt"),
    "debt_home_amt": Column("Debit", "Money", "debt_home_amt"),
    "credit_home_amt": Column("Credit", "Money", "credit_home_amt"),
    "subt_nat_amount": Column("Amount", "Money", "subt_nat_amount"),
    "subt_nat_home_amount": Column("Amount", "Money", "subt_nat_home_amount"),
    "nat_foreign_amount": Column("Foreign Amount", "Money", "nat_foreign_amount"),
    "currency": Column("Currency", "String", "currency"),
    "rbal_nat_amount": Column("Balance", "Money", "rbal_nat_amount"),
    "rbal_nat_home_amount": Column("Balance", "Money", "rbal_nat_home_amount"),
}
DEBIT_TYPES = frozenset(
    {
        "Bank",
        "Accounts Receivable",
        "Other Current Asset",
        "Fixed Asset",
        "Other Asset",
        "Cost of Goods Sold",
        "Expense",
        "Other Expense",
    }
)


class _Context:
    """Names and documents that rows of a listing refer to, looked up once."""

    def __init__(self, company: Company, postings: Iterable[Posting]) -> None:
        self.company = company
        self.accounts = ledger.accounts(company)
        self.names = ledger.party_names(company)
        self.sides: dict[tuple[str, int], list[int]] = defaultdict(list)
        for posting in postings:
            self.sides[posting.entity, posting.id].append(posting.account)

    def split(self, posting: Posting) -> tuple[str, Any]:
        """Return the other account of a two-sided document, or "-Split-"."""
        others = [account for account in self.sides[posting.entity, posting.id] if account != posting.account]
        if len(others) == 1:
            return self.accounts[others[0]].name, others[0]
        return "-Split-", ""

    def cell(self, posting: Posting, key: str, balance: int) -> Json:
        """Return one cell of a posting's row; ``balance`` is the account's, in its normal direction."""
        sign = 1 if self.accounts[posting.account].type in DEBIT_TYPES else -1
        texts: dict[str, Callable[[], Json]] = {
            "tx_date": lambda: cell(posting.day),
            "txn_type": lambda: cell(posting.type_name, posting.id),
            "doc_num": lambda: cell(posting.number),
            "name": lambda: cell(self.names.get(posting.party_id, ""), posting.party_id or ""),
            "memo": lambda: cell(posting.memo),
            "account_name": lambda: cell(self.accounts[posting.account].name, posting.account),
            "split_acc": lambda: cell(*self.split(posting)),
            "currency": lambda: cell(posting.currency),
            "nat_foreign_amount": lambda: cell(money(sign * posting.amount)),
        }
        if key in texts:
            return texts[key]()
        if key.startswith("debt"):
            return cell(money(posting.home) if posting.home > 0 else "")
        if key.startswith("credit"):
            return cell(money(-posting.home) if posting.home < 0 else "")
        return cell(money(sign * posting.home if key.startswith("subt") else balance))


def _keys(wanted: Wanted, usual: tuple[str, ...]) -> list[str]:
    return [key for key in wanted.values("columns") if key in LEDGER_COLUMNS] or list(usual)


def _accounts_wanted(company: Company, wanted: Wanted, *, profit_only: bool) -> list[ledger.Account]:
    chosen = set(wanted.values("account"))
    kinds = {kind.replace(" ", "").lower() for kind in wanted.values("account_type")}
    found = []
    for account in ledger.accounts(company).values():
        if chosen and str(account.id) not in chosen:
            continue
        if kinds and account.type.replace(" ", "").lower() not in kinds:
            continue
        if not profit_only or account.is_profit:
            found.append(account)
    return sorted(found, key=lambda entry: entry.name.lower())


def _ledger(company: Company, wanted: Wanted, *, profit_only: bool) -> Json:
    home = "home_" if company.multicurrency else ""
    usual = (
        "tx_date",
        "txn_type",
        "doc_num",
        "name",
        "memo",
        "split_acc",
        f"subt_nat_{home}amount",
        f"rbal_nat_{home}amount",
    )
    keys = _keys(wanted, usual)
    postings = ledger.postings(company, wanted.frame.first, wanted.frame.last)
    context = _Context(company, postings)
    by_account: dict[int, list[Posting]] = defaultdict(list)
    for posting in postings:
        by_account[posting.account].append(posting)
    start = ledger.year_start(company, wanted.frame.first)
    before = ledger.day_before(wanted.frame.first)
    opening = ledger.sums(company, ledger.BEGINNING, before)
    this_year = ledger.sums(company, start, before) if start <= before else {}
    rows = []
    for account in _accounts_wanted(company, wanted, profit_only=profit_only):
        sign = 1 if account.type in DEBIT_TYPES else -1
        balance = sign * (this_year if account.is_profit else opening).get(account.id, 0)
        made = by_account.get(account.id, [])
        if made or balance:
            rows.append(_account_section(context, account, made, keys, balance, sign))
    return report(company, wanted.frame, [LEDGER_COLUMNS[key] for key in keys], rows)


def _account_section(
    context: _Context, account: ledger.Account, made: list[Posting], keys: list[str], balance: int, sign: int
) -> Json:
    rows = []
    if not account.is_profit or balance:
        line = [
            cell("Beginning Balance"),
            *[cell(money(balance) if key.startswith("rbal") else "") for key in keys[1:]],
        ]
        rows.append(data(line))
    moved = debit = credit = 0
    for posting in made:
        balance += sign * posting.home
        moved += sign * posting.home
        debit, credit = debit + max(posting.home, 0), credit + max(-posting.home, 0)
        rows.append(data([context.cell(posting, key, balance) for key in keys]))
    sums = {"subt": moved, "debt": debit, "cred": credit}
    tail = [cell(money(sums[key[:4]]) if key[:4] in sums else "") for key in keys[1:]]
    summary = [cell(f"Total for {account.name}"), *tail]
    return section(account.name, rows, summary, ident=account.id, width=len(keys))


def general_ledger(company: Company, wanted: Wanted) -> Json:
    """Every account with its postings and running balance."""
    return _ledger(company, wanted, profit_only=False)


def profit_detail(company: Company, wanted: Wanted) -> Json:
    """The postings of the profit and loss accounts."""
    return _ledger(company, wanted, profit_only=True)


def journal(company: Company, wanted: Wanted) -> Json:
    """Every transaction with its debits and credits."""
    keys = _keys(
        wanted, ("tx_date", "txn_type", "doc_num", "name", "memo", "account_name", "debt_amt", "credit_amt")
    )
    postings = ledger.postings(company, wanted.frame.first, wanted.frame.last)
    context = _Context(company, postings)
    rows: list[Json] = []
    by_document: dict[tuple[str, int], list[Posting]] = defaultdict(list)
    for posting in postings:
        by_document[posting.entity, posting.id].append(posting)
    for sides in by_document.values():
        rows.extend(data([context.cell(posting, key, 0) for key in keys]) for posting in sides)
        debit = sum(max(posting.home, 0) for posting in sides)
        credit = sum(max(-posting.home, 0) for posting in sides)
        sums = [cell(money({"debt": debit, "cred": credit}.get(key[:4]))) for key in keys]
        rows.append({"Summary": {"ColData": sums}, "type": "Section"})
    return report(company, wanted.frame, [LEDGER_COLUMNS[key] for key in keys], rows)


TRANSACTION_COLUMNS = {
    "tx_date": Column("Date", "Date", "tx_date"),
    "txn_type": Column("Transaction Type", "String", "txn_type"),
    "doc_num": Column("Num", "String", "doc_num"),
    "is_no_post": Column("Posting", "Boolean", "is_no_post"),
    "name": Column("Name", "String", "name"),
    "memo": Column("Memo/Description", "String", "memo"),
    "account_name": Column("Account", "String", "account_name"),
    "other_account": Column("Split", "String", "other_account"),
    "subt_nat_amount": Column("Amount", "Money", "subt_nat_amount"),
    "subt_nat_home_amount": Column("Amount", "Money", "subt_nat_home_amount"),
}


def transaction_list(company: Company, wanted: Wanted) -> Json:
    """One row a transaction: its first posting, which is the money or the receivable."""
    keys = _transaction_keys(wanted)
    context, firsts = _transactions(company, wanted)
    rows = [_transaction_row(context, posting, keys) for posting in firsts]
    return report(company, wanted.frame, [TRANSACTION_COLUMNS[key] for key in keys], rows)


def _transactions_by(scope: str) -> Callable[[Company, Wanted], Json]:
    """Return the maker of the transaction list with a section for each customer or vendor."""

    def make(company: Company, wanted: Wanted) -> Json:
        keys = _transaction_keys(wanted)
        context, firsts = _transactions(company, wanted)
        by_party: dict[int, list[Json]] = defaultdict(list)
        for posting in firsts:
            if posting.party == scope and posting.party_id:
                by_party[posting.party_id].append(_transaction_row(context, posting, keys))
        rows = []
        for party in sorted(by_party, key=lambda key: context.names.get(key, "").lower()):
            name = context.names.get(party, "")
            summary = [cell(f"Total for {name}"), *[cell("") for _ in keys[1:]]]
            rows.append(section(name, by_party[party], summary, ident=party, width=len(keys)))
        return report(company, wanted.frame, [TRANSACTION_COLUMNS[key] for key in keys], rows)

    return make


def _transaction_keys(wanted: Wanted) -> list[str]:
    keys = [key for key in wanted.values("columns") if key in TRANSACTION_COLUMNS]
    return keys or [key for key in TRANSACTION_COLUMNS if key != "subt_nat_home_amount"]


def _transactions(company: Company, wanted: Wanted) -> tuple[_Context, list[Posting]]:
    """Return the first posting of every transaction that the parameters let through."""
    postings = ledger.postings(company, wanted.frame.first, wanted.frame.last)
    kinds, numbers = set(wanted.values("transaction_type")), set(wanted.values("docnum"))
    firsts = [
        posting
        for posting in groupings.chosen(company, wanted, postings)
        if posting.n == 0
        and ":" not in posting.entity
        and (not kinds or posting.entity in kinds)
        and (not numbers or posting.number in numbers)
    ]
    return _Context(company, postings), firsts


def _transaction_row(context: _Context, posting: Posting, keys: list[str]) -> Json:
    return data([_transaction_cell(context, posting, key) for key in keys])


def _transaction_cell(context: _Context, posting: Posting, key: str) -> Json:
    if key == "is_no_post":
        return cell("Yes")
    if key == "other_account":
        return cell(*context.split(posting))
    if key == "memo":
        body = context.company.find(posting.entity, posting.id) or {}
        return cell(body.get("PrivateNote", posting.memo))
    return context.cell(posting, key.replace("home_", ""), 0)


# Balances and ageing -------------------------------------------------------------------------------

_OWING = {
    "C": (("Invoice", 1), ("CreditMemo", -1), ("Payment", -1)),
    "V": (("Bill", 1), ("VendorCredit", -1)),
}


def _open_documents(company: Company, scope: str) -> list[tuple[str, Json, int]]:
    """Return (entity, document, open amount in home hundredths) of everything not settled."""
    found = []
    for entity, sign in _OWING[scope]:
        for row in company.store.select(entity, "deleted=0"):
            body: Json = loads(row.body)
            value = amount(body.get("UnappliedAmt" if entity == "Payment" else "Balance"))
            if value:
                home = value * (decimal(body.get("ExchangeRate")) or Decimal(1))
                found.append((entity, body, sign * cents(home)))
    return found


def _owner(body: Json, scope: str) -> str:
    return ref(body.get("CustomerRef" if scope == "C" else "VendorRef"))


def _balances(scope: str) -> Callable[[Company, Wanted], Json]:
    def make(company: Company, wanted: Wanted) -> Json:
        sql = "select key, home from balances where scope=? and home<>0"
        names = ledger.party_names(company)
        sign = 1 if scope == "C" else -1
        found = [
            (names.get(key, ""), key, sign * home)
            for key, home in company.store.connection.execute(sql, (scope,))
        ]
        rows = [data([cell(name, key), cell(money(home))]) for name, key, home in sorted(found)]
        if rows:
            rows.append(total([cell("TOTAL"), cell(money(sum(home for _, _, home in found)))], "GrandTotal"))
        return report(
            company,
            wanted.frame,
            [Column("", "Customer" if scope == "C" else "Vendor", "name"), Column("Total", key="total")],
            rows,
        )

    return make


_BUCKETS = ("Current", "1 - 30", "31 - 60", "61 - 90", "91 and over")


def _bucket(due: str, day: str) -> int:
    late = (date.fromisoformat(day) - date.fromisoformat(due)).days
    return 0 if late <= 0 else min((late - 1) // 30 + 1, 4)


def _aged(scope: str) -> Callable[[Company, Wanted], Json]:
    def make(company: Company, wanted: Wanted) -> Json:
        names = ledger.party_names(company)
        ages: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
        for _, body, value in _open_documents(company, scope):
            ages[_owner(body, scope)][
                _bucket(str(body.get("DueDate") or body["TxnDate"]), wanted.frame.last)
            ] += value
        rows = []
        for owner in sorted(ages, key=lambda entry: names.get(int(entry), "")):
            values = [*ages[owner], sum(ages[owner])]
            rows.append(
                data([cell(names.get(int(owner), ""), owner), *[cell(money(value)) for value in values]])
            )
        if rows:
            sums = [sum(values) for values in zip(*ages.values(), strict=True)]
            rows.append(
                total([cell("TOTAL"), *[cell(money(value)) for value in [*sums, sum(sums)]]], "GrandTotal")
            )
        head = Column("", "Customer" if scope == "C" else "Vendor", "name")
        return report(company, wanted.frame, [head, *[Column(title) for title in (*_BUCKETS, "Total")]], rows)

    return make


def _open_detail(scope: str) -> Callable[[Company, Wanted], Json]:
    columns = [
        Column("Date", "Date", "tx_date"), Column("Transaction Type", "String", "txn_type"), Column("Num", "String", "doc_num"),
        Column("Name", "String", "name"), Column("Due Date", "Date", "due_date"), Column("Amount", key="subt_amount"),
        Column("Open Balance", key="subt_open_bal"),
    ]  # fmt: skip

    def make(company: Company, wanted: Wanted) -> Json:
        names = ledger.party_names(company)
        groups: dict[str, list[Json]] = defaultdict(list)
        sums: dict[str, int] = defaultdict(int)
        for entity, body, value in _open_documents(company, scope):
            owner = _owner(body, scope)
            groups[owner].append(
                data(
                    [
                        cell(body["TxnDate"]),
                        cell(ledger.TYPE_NAMES.get(entity, entity), body["Id"]),
                        cell(body.get("DocNumber", "")),
                        cell(names.get(int(owner), ""), owner),
                        cell(body.get("DueDate", body["TxnDate"])),
                        cell(money(cents(amount(body["TotalAmt"])) * (1 if value > 0 else -1))),
                        cell(money(value)),
                    ]
                )
            )
            sums[owner] += value
        rows = []
        for owner in sorted(groups, key=lambda entry: names.get(int(entry), "")):
            name = names.get(int(owner), "")
            summary = [cell(f"Total for {name}"), *[cell("") for _ in range(5)], cell(money(sums[owner]))]
            rows.append(section(name, groups[owner], summary, ident=owner, width=7))
        return report(company, wanted.frame, columns, rows)

    return make


# Sales and expenses by something -------------------------------------------------------------------


def _by_party(types: tuple[str, ...], scope: str, sign: int, kind: str) -> Callable[[Company, Wanted], Json]:
    def make(company: Company, wanted: Wanted) -> Json:
        known = ledger.accounts(company)
        names = ledger.party_names(company)
        sums: dict[int, int] = defaultdict(int)
        for posting in ledger.postings(company, wanted.frame.first, wanted.frame.last):
            if known[posting.account].type in types and (posting.party == scope or not posting.party_id):
                sums[posting.party_id] += sign * posting.home
        rows = [
            data([cell(names.get(key, "Not Specified"), key or ""), cell(money(value))])
            for key, value in sorted(sums.items())
            if value
        ]
        if rows:
            rows.append(total([cell("TOTAL"), cell(money(sum(sums.values())))], "GrandTotal"))
        return report(company, wanted.frame, [Column("", kind, "name"), Column("Total", key="total")], rows)

    return make


def item_sales(company: Company, wanted: Wanted) -> Json:
    """Income by product or service."""
    known = ledger.accounts(company)
    sums: dict[int, int] = defaultdict(int)
    for posting in ledger.postings(company, wanted.frame.first, wanted.frame.last):
        if known[posting.account].type == "Income" and posting.item:
            sums[posting.item] -= posting.home
    rows = []
    for key, value in sorted(sums.items()):
        name = (company.find("Item", key) or {}).get("FullyQualifiedName", "")
        rows.append(data([cell(name, key), cell(money(value))]))
    if rows:
        rows.append(total([cell("TOTAL"), cell(money(sum(sums.values())))], "GrandTotal"))
    return report(company, wanted.frame, [Column("", "Item", "name"), Column("Amount", key="total")], rows)


def inventory_valuation(company: Company, wanted: Wanted) -> Json:
    """Quantity, value and unit cost of every inventory item."""
    rows = []
    whole = 0
    for row in company.store.select("Item", "deleted=0"):
        body: Json = loads(row.body)
        if body.get("Type") != "Inventory":
            continue
        quantity, cost = (
            decimal(body.get("QtyOnHand")) or Decimal(0),
            decimal(body.get("PurchaseCost")) or Decimal(0),
        )
        value = cents(quantity * cost)
        whole += value
        cells = [
            cell(body["FullyQualifiedName"], row.id),
            cell(body.get("Sku", "")),
            cell(quantity),
            cell(money(value)),
            cell(cost),
        ]
        rows.append(data(cells))
    if rows:
        rows.append(total([cell("TOTAL"), cell(""), cell(""), cell(money(whole)), cell("")], "GrandTotal"))
    columns = [Column("", "Item", "name"), Column("SKU", "String", "sku"), Column("Qty", "Quantity", "qty"), Column("Asset Value", key="value"), Column("Calc. Avg", key="avg")]  # fmt: skip
    return report(company, wanted.frame, columns, rows)


def tax_summary(company: Company, wanted: Wanted) -> Json:
    """Tax and its base by rate, sales less refunds."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for entity, sign in (("SalesReceipt", 1), ("Invoice", 1), ("RefundReceipt", -1), ("CreditMemo", -1)):
        for row in company.store.select(
            entity, "deleted=0 and txn_date>=? and txn_date<=?", (wanted.frame.first, wanted.frame.last)
        ):
            body: Json = loads(row.body)
            rate = decimal(body.get("ExchangeRate")) or Decimal(1)
            for line in body.get("TxnTaxDetail", {}).get("TaxLine", []):
                detail = line["TaxLineDetail"]
                found = sums[ref(detail["TaxRateRef"])]
                found[0] += sign * cents(amount(detail.get("NetAmountTaxable")) * rate)
                found[1] += sign * cents(amount(line["Amount"]) * rate)
    rows = []
    for key, (base, value) in sorted(sums.items(), key=lambda entry: int(entry[0])):
        name = (company.find("TaxRate", key) or {}).get("Name", "")
        rows.append(data([cell(name, key), cell(money(base)), cell(money(value))]))
    columns = [Column("", "String", "rate"), Column("Taxable", key="taxable"), Column("Tax", key="tax")]
    return report(company, wanted.frame, columns, rows)


def account_list(company: Company, wanted: Wanted) -> Json:
    """Every active account with its type and balance."""
    rows = []
    for account in sorted(ledger.accounts(company).values(), key=lambda entry: entry.name.lower()):
        if not account.active:
            continue
        sign = 1 if account.type in DEBIT_TYPES else -1
        balance = sign * company.store.balance("A", account.id)[0]
        rows.append(
            data(
                [
                    cell(account.name, account.id),
                    cell(account.type),
                    cell(account.subtype),
                    cell(money(balance)),
                ]
            )
        )
    columns = [Column("Account", "String", "account_name"), Column("Type", "String", "account_type"), Column("Detail type", "String", "detail_acc_type"), Column("Balance", key="account_bal")]  # fmt: skip
    return report(company, wanted.frame, columns, rows)


_sales = _by_party(("Income",), "C", -1, "Customer")

MAKERS: dict[str, Callable[[Company, Wanted], Json]] = {
    "GeneralLedger": general_ledger,
    "ProfitAndLossDetail": profit_detail,
    "JournalReport": journal,
    "TransactionList": transaction_list,
    "TransactionListByCustomer": _transactions_by("C"),
    "TransactionListByVendor": _transactions_by("V"),
    "TransactionListWithSplits": journal,
    "CustomerBalance": _balances("C"),
    "VendorBalance": _balances("V"),
    "CustomerBalanceDetail": _open_detail("C"),
    "VendorBalanceDetail": _open_detail("V"),
    "AgedReceivables": _aged("C"),
    "AgedPayables": _aged("V"),
    "AgedReceivableDetail": _open_detail("C"),
    "AgedPayableDetail": _open_detail("V"),
    "CustomerSales": _sales,
    "DepartmentSales": groupings.sales("departments"),
    "ClassSales": groupings.sales("classes"),
    "CustomerIncome": _by_party(("Income", "Cost of Goods Sold", "Expense"), "C", -1, "Customer"),
    "VendorExpenses": _by_party(("Cost of Goods Sold", "Expense", "Other Expense"), "V", 1, "Vendor"),
    "ItemSales": item_sales,
    "InventoryValuationSummary": inventory_valuation,
    "TaxSummary": tax_summary,
    "AccountList": account_list,
}
