"""Reading the ledger: balances of accounts over periods, and postings in their order.

What lives here: sums in hundredths of the home currency, signed with debits positive. What does not:
the JSON of reports.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date

from ps_qb_pipeline.sandbox.books.codec import Json, amount, loads
from ps_qb_pipeline.sandbox.books.company import Company

PROFIT_TYPES = ("Income", "Cost of Goods Sold", "Expense", "Other Income", "Other Expense")
BEGINNING = "0001-01-01"

TYPE_NAMES = {
    "SalesReceipt": "Sales Receipt",
    "RefundReceipt": "Refund",
    "CreditMemo": "Credit Memo",
    "Purchase": "Expense",
    "VendorCredit": "Vendor Credit",
    "BillPayment": "Bill Payment (Check)",
    "JournalEntry": "Journal Entry",
    "CreditCardPaymentTxn": "Credit Card Payment",
    "InventoryAdjustment": "Inventory Qty Adjust",
    "Item:opening": "Inventory Starting Value",
    "Account:opening": "Journal Entry",
    "Customer:opening": "Invoice",
    "Vendor:opening": "Bill",
}


@dataclass(frozen=True, slots=True)
class Account:
    """An account as reports need it."""

    id: int
    name: str
    type: str
    subtype: str
    parent: int
    active: bool

    @property
    def is_profit(self) -> bool:
        """Whether the account belongs to the profit and loss statement."""
        return self.type in PROFIT_TYPES


@dataclass(frozen=True, slots=True)
class Posting:
    """One entry with its document. Amounts are in hundredths; ``number`` is the document's."""

    entity: str
    id: int
    n: int
    account: int
    day: str
    home: int
    amount: int
    currency: str
    party: str
    party_id: int
    item: int
    number: str
    memo: str

    @property
    def type_name(self) -> str:
        """The kind of document as reports print it."""
        return TYPE_NAMES.get(self.entity, self.entity)


def accounts(company: Company) -> dict[int, Account]:
    """Return all accounts by id, the inactive ones included."""
    found = {}
    for row in company.store.select("Account", "deleted=0"):
        body: Json = loads(row.body)
        parent = int(body.get("ParentRef", {}).get("value", 0) or 0)
        name = str(body["FullyQualifiedName"]).rpartition(":")[2] if parent else str(body["Name"])
        kind, sub = str(body["AccountType"]), str(body["AccountSubType"])
        found[row.id] = Account(row.id, name, kind, sub, parent, row.active)
    return found


def sums(company: Company, first: str, last: str, *, party: tuple[str, int] | None = None) -> dict[int, int]:
    """Return the sum of postings dated from ``first`` to ``last`` (both included), by account."""
    sql = "select account, sum(home) from entries where txn_date>=? and txn_date<=?"
    values: list[object] = [first, last]
    if party is not None:
        sql += " and party=? and party_id=?"
        values += party
    return dict(company.store.connection.execute(sql + " group by account", values).fetchall())


ACCRUED = ("Invoice", "CreditMemo", "Bill", "VendorCredit")


def cash_sums(
    company: Company, first: str, last: str, *, party: tuple[str, int] | None = None
) -> dict[int, int]:
    """Return the sums of profit and loss accounts as money moved: what is owed counts when it is paid.

    A payment brings the share that it settles of each account of the invoice or bill that it is applied to.
    """
    from ps_qb_pipeline.sandbox.books.links import applied

    known = accounts(company)
    found: dict[int, int] = defaultdict(int)
    for posting in postings(company, first, last):
        if posting.entity not in ACCRUED and party in {None, (posting.party, posting.party_id)}:
            found[posting.account] += posting.home
    for payer in ("Payment", "BillPayment"):
        for row in company.store.select(payer, "deleted=0 and txn_date>=? and txn_date<=?", (first, last)):
            for kind, ident, value in applied(payer, row.json()):
                whole = amount((company.find(kind, ident) or {}).get("TotalAmt"))
                for entry in company.store.entries_of(kind, ident) if whole else []:
                    if party in {None, (entry.party, entry.party_id)}:
                        found[entry.account] += round(entry.home * value / whole)
    return {account: value for account, value in found.items() if value and known[account].is_profit}


def postings(
    company: Company, first: str, last: str, accounts_wanted: set[int] | None = None
) -> list[Posting]:
    """Return postings in the order of their dates and documents."""
    sql = (
        "select entity, id, n, account, txn_date, home, amount, currency, party, party_id, item, number, memo"
        " from entries where txn_date>=? and txn_date<=? order by txn_date, entity, id, n"
    )
    rows = company.store.connection.execute(sql, (first, last))
    made = (Posting(*row) for row in rows)
    return [posting for posting in made if accounts_wanted is None or posting.account in accounts_wanted]


def year_start(company: Company, day: str) -> str:
    """Return the first day of the fiscal year in which ``day`` lies."""
    months = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ]
    name = str(company.preference("AccountingInfoPrefs", "FirstMonthOfFiscalYear", "January"))
    month = months.index(name) + 1 if name in months else 1
    at = date.fromisoformat(day)
    year = at.year if at.month >= month else at.year - 1
    return date(year, month, 1).isoformat()


def day_before(day: str) -> str:
    """Return the day before ``day``."""
    at = date.fromisoformat(day)
    return day if at == date.min else date.fromordinal(at.toordinal() - 1).isoformat()


def trial_balance(company: Company, last: str) -> dict[int, int]:
    """Return every account's balance on a day, debits positive; the values add up to zero.

    Profit and loss accounts hold the fiscal year to date; what they held before is retained earnings.
    """
    start = year_start(company, last)
    known = accounts(company)
    balance: dict[int, int] = defaultdict(int)
    retained = _retained(known)
    for account, value in sums(company, BEGINNING, day_before(start)).items():
        balance[retained if account in known and known[account].is_profit else account] += value
    for account, value in sums(company, start, last).items():
        balance[account] += value
    return {account: value for account, value in balance.items() if value}


def _retained(known: dict[int, Account]) -> int:
    for account in known.values():
        if account.subtype == "RetainedEarnings":
            return account.id
    return 0


def party_names(company: Company) -> dict[int, str]:
    """Return the display names of customers, vendors and employees by id."""
    names = {}
    for entity in ("Customer", "Vendor", "Employee"):
        for row in company.store.select(entity, "deleted=0"):
            names[row.id] = str(loads(row.body).get("DisplayName", ""))
    return names
