"""Double entry: what every transaction posts to the ledger.

What lives here: one function a kind of transaction, each yielding debits and credits that balance in
the home currency. What does not: reports on the ledger (``reports``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from ps_qb_pipeline.sandbox.books import lists, stock
from ps_qb_pipeline.sandbox.books.codec import Json, amount, cents, decimal, money, ref
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.lines import leaves
from ps_qb_pipeline.sandbox.books.links import applied
from ps_qb_pipeline.sandbox.books.store import Entry


@dataclass(frozen=True, slots=True)
class Side:
    """One side before conversion: debits positive, in the document's currency; ``home`` if it is known."""

    account: str
    value: Decimal
    home: Decimal | None = None
    party: str = ""
    party_id: str = ""
    control: bool = False
    item: str = ""
    memo: str = ""


def entries(company: Company, entity: str, body: Json) -> list[Entry]:
    """Return the balanced entries of a stored transaction; none for those that do not post."""
    maker = _MAKERS.get(entity)
    if maker is None:
        return []
    code = ref(body.get("CurrencyRef")) or company.home
    rate = decimal(body.get("ExchangeRate")) or Decimal(1)
    made = [_entry(side, code, rate) for side in maker(company, body) if side.value or side.home]
    rest = sum(entry.home for entry in made)
    if rest and made:
        made = _absorb(made, rest)
    return made


def _entry(side: Side, code: str, rate: Decimal) -> Entry:
    home = money(side.value * rate) if side.home is None else side.home
    return Entry(
        int(side.account),
        cents(home),
        cents(side.value),
        code,
        side.party,
        int(side.party_id or 0),
        side.control,
        int(side.item) if side.item.isdigit() else 0,
        side.memo,
    )


def _absorb(made: list[Entry], rest: int) -> list[Entry]:
    """Put the cents that conversion loses on the largest side that is not the first, the control side."""
    largest = max(range(len(made)), key=lambda n: (n > 0, abs(made[n].home)))
    made[largest] = replace(made[largest], home=made[largest].home - rest)
    return made


def _total_home(company: Company, body: Json) -> Decimal:
    total = body.get("HomeTotalAmt") if company.multicurrency else body.get("TotalAmt")
    return amount(total)


# Sales ---------------------------------------------------------------------------------------------


def _income(company: Company, body: Json, sign: int) -> list[Side]:
    """Return the credits of a sales form: lines, discount, tax, and cost of inventory sold."""
    customer = ref(body.get("CustomerRef"))
    sides = []
    for line in leaves(body):
        item = ref((line.get(line["DetailType"]) or {}).get("ItemRef"))
        account = _income_account(company, item)
        memo = str(line.get("Description", ""))
        sides.append(Side(account, -sign * amount(line["Amount"]), None, "C", customer, item=item, memo=memo))
    for line in body.get("Line", []):
        if line.get("DetailType") == "DiscountLineDetail":
            account = ref(line["DiscountLineDetail"]["DiscountAccountRef"])
            sides.append(Side(account, sign * amount(line["Amount"]), None, "C", customer))
    sides.extend(_tax(company, body, -sign))
    for item_body, quantity in stock.inventory_lines(company, body):
        cost = money(quantity * (decimal(item_body.get("PurchaseCost")) or Decimal(0)))
        sides.append(Side(ref(item_body["ExpenseAccountRef"]), Decimal(0), sign * cost, item=item_body["Id"]))
        sides.append(Side(ref(item_body["AssetAccountRef"]), Decimal(0), -sign * cost, item=item_body["Id"]))
    return sides


def _income_account(company: Company, item: str) -> str:
    if item == "SHIPPING_ITEM_ID":
        return str(company.account("shipping")["Id"])
    if item == "GRATUITY_ITEM_ID":
        return str(company.account("gratuity")["Id"])
    found = (company.find("Item", item) or {}) if item else {}
    return (
        ref(found.get("IncomeAccountRef"))
        or ref(found.get("ExpenseAccountRef"))
        or str(company.account("sales")["Id"])
    )


def _tax(company: Company, body: Json, sign: int) -> list[Side]:
    sides = []
    for line in body.get("TxnTaxDetail", {}).get("TaxLine", []):
        rate = company.find("TaxRate", ref(line["TaxLineDetail"].get("TaxRateRef"))) or {}
        agency = company.find("TaxAgency", ref(rate.get("AgencyRef"))) or {}
        account = lists.agency_account(
            company, int(agency.get("Id", 0)), str(agency.get("DisplayName", "Tax"))
        )
        sides.append(Side(str(account), sign * amount(line["Amount"])))
    return sides


def _cash_sale(company: Company, body: Json, sign: int) -> list[Side]:
    total = sign * amount(body["TotalAmt"])
    customer = ref(body.get("CustomerRef"))
    cash = Side(ref(body["DepositToAccountRef"]), total, sign * _total_home(company, body), "C", customer)
    return [cash, *_income(company, body, sign)]


def _credit_sale(company: Company, body: Json, sign: int) -> list[Side]:
    account = company.account("receivable", ref(body.get("CurrencyRef")))["Id"]
    total = sign * amount(body["TotalAmt"])
    control = Side(
        account, total, sign * _total_home(company, body), "C", ref(body["CustomerRef"]), control=True
    )
    sides = [control, *_income(company, body, sign)]
    deposit = amount(body.get("Deposit"))
    if deposit and sign > 0:
        cash = ref(body.get("DepositToAccountRef")) or company.account("undeposited")["Id"]
        sides += [Side(cash, deposit), replace(control, value=-deposit, home=None)]
    return sides


def _payment(company: Company, body: Json) -> list[Side]:
    customer, code = ref(body["CustomerRef"]), ref(body.get("CurrencyRef"))
    account = company.account("receivable", code)["Id"]
    total = amount(body["TotalAmt"])
    sides = [Side(ref(body["DepositToAccountRef"]), total, _total_home(company, body), "C", customer)]
    return sides + _settled(
        company, "Payment", body, Side(account, Decimal(0), None, "C", customer, control=True), -1
    )


def _settled(company: Company, payer: str, body: Json, control: Side, sign: int) -> list[Side]:
    """Relieve receivables or payables at the rates of the documents paid; the rest of the value is exchange."""
    own_rate = decimal(body.get("ExchangeRate")) or Decimal(1)
    left = amount(body["TotalAmt"])
    sides = []
    gain = Decimal(0)
    for kind, ident, value in applied(payer, body):
        credit = kind in {"CreditMemo", "VendorCredit"}
        other = company.find(kind, ident) or {}
        rate = decimal(other.get("ExchangeRate")) or Decimal(1)
        signed = -value if credit else value
        home = money(signed * rate)
        sides.append(replace(control, value=sign * signed, home=sign * home))
        gain += money(signed * own_rate) - home
        left -= signed
    sides.append(replace(control, value=sign * left))
    if gain:
        sides.append(Side(str(company.account("exchange")["Id"]), Decimal(0), sign * gain))
    return sides


# Purchases -----------------------------------------------------------------------------------------


def _bought(company: Company, body: Json, sign: int) -> list[Side]:
    sides = []
    vendor = ref(body.get("VendorRef")) or ref(body.get("EntityRef"))
    for line in leaves(body):
        kind = line["DetailType"]
        detail = line.get(kind) or {}
        item = ref(detail.get("ItemRef"))
        account = ref(detail.get("AccountRef"))
        if item:
            found = company.find("Item", item) or {}
            account = (
                ref(found.get("AssetAccountRef"))
                if found.get("Type") == "Inventory"
                else ref(found.get("ExpenseAccountRef"))
            )
            account = account or ref(found.get("IncomeAccountRef"))
        account = account or str(company.account("expense")["Id"])
        memo = str(line.get("Description", ""))
        sides.append(Side(account, sign * amount(line["Amount"]), None, "V", vendor, item=item, memo=memo))
    return sides + _tax(company, body, sign)


def _purchase(company: Company, body: Json) -> list[Side]:
    sign = -1 if body.get("Credit") else 1
    total, vendor = -sign * amount(body["TotalAmt"]), ref(body.get("EntityRef"))
    cash = Side(ref(body["AccountRef"]), total, -sign * _total_home(company, body), "V", vendor)
    return [cash, *_bought(company, body, sign)]


def _owed(company: Company, body: Json, sign: int) -> list[Side]:
    account = ref(body.get("APAccountRef")) or company.account("payable", ref(body.get("CurrencyRef")))["Id"]
    total = -sign * amount(body["TotalAmt"])
    control = Side(
        account, total, -sign * _total_home(company, body), "V", ref(body["VendorRef"]), control=True
    )
    return [control, *_bought(company, body, sign)]


def _bill_payment(company: Company, body: Json) -> list[Side]:
    check = body["PayType"] == "Check"
    account = (
        ref(body["CheckPayment"]["BankAccountRef"])
        if check
        else ref(body["CreditCardPayment"]["CCAccountRef"])
    )
    vendor = ref(body["VendorRef"])
    payable = ref(body.get("APAccountRef")) or company.account("payable", ref(body.get("CurrencyRef")))["Id"]
    cash = Side(account, -amount(body["TotalAmt"]), -_total_home(company, body), "V", vendor)
    control = Side(payable, Decimal(0), None, "V", vendor, control=True)
    return [cash, *_settled(company, "BillPayment", body, control, 1)]


# Money and journals --------------------------------------------------------------------------------


def _deposit(company: Company, body: Json) -> list[Side]:
    sides = [Side(ref(body["DepositToAccountRef"]), amount(body["TotalAmt"]))]
    for line in body["Line"]:
        value = amount(line.get("Amount"))
        linked = line.get("LinkedTxn") or []
        if linked:
            source = company.find(str(linked[0]["TxnType"]), str(linked[0]["TxnId"])) or {}
            account = ref(source.get("DepositToAccountRef")) or company.account("undeposited")["Id"]
        else:
            account = ref(line["DepositLineDetail"]["AccountRef"])
        sides.append(Side(account, -value, memo=str(line.get("Description", ""))))
    back = body.get("CashBack") or {}
    if amount(back.get("Amount")):
        sides.append(Side(ref(back.get("AccountRef")), amount(back["Amount"])))
    return sides


def _transfer(company: Company, body: Json) -> list[Side]:
    del company
    value = amount(body["Amount"])
    return [Side(ref(body["FromAccountRef"]), -value), Side(ref(body["ToAccountRef"]), value)]


def _card_payment(company: Company, body: Json) -> list[Side]:
    del company
    value = amount(body["Amount"])
    return [Side(ref(body["BankAccountRef"]), -value), Side(ref(body["CreditCardAccountRef"]), value)]


def _journal(company: Company, body: Json) -> list[Side]:
    sides = []
    for line in body["Line"]:
        detail = line.get("JournalEntryLineDetail")
        if detail is None:
            continue
        sign = 1 if detail["PostingType"] == "Debit" else -1
        account = ref(detail["AccountRef"])
        kind = (company.find("Account", account) or {}).get("AccountType")
        control = kind in {"Accounts Receivable", "Accounts Payable"}
        entity = detail.get("Entity") or {}
        party = {"Customer": "C", "Vendor": "V"}.get(str(entity.get("Type")), "")
        memo = str(line.get("Description", ""))
        party_id = ref(entity.get("EntityRef")) if party else ""
        sides.append(
            Side(account, sign * amount(line["Amount"]), None, party, party_id, control=control, memo=memo)
        )
        if amount(detail.get("TaxAmount")):
            sides.append(Side(_journal_tax_account(company, detail), sign * amount(detail["TaxAmount"])))
    return sides


def _journal_tax_account(company: Company, detail: Json) -> str:
    code = company.find("TaxCode", ref(detail.get("TaxCodeRef"))) or {}
    listed = (
        code.get("SalesTaxRateList", {}).get("TaxRateDetail")
        or code.get("PurchaseTaxRateList", {}).get("TaxRateDetail")
        or []
    )
    rate = company.find("TaxRate", ref(listed[0]["TaxRateRef"])) if listed else None
    agency = company.find("TaxAgency", ref((rate or {}).get("AgencyRef")) or 1) or {}
    return str(lists.agency_account(company, int(agency.get("Id", 0)), str(agency.get("DisplayName", "Tax"))))


def _adjustment(company: Company, body: Json) -> list[Side]:
    sides = []
    for line in body["Line"]:
        detail = line["ItemAdjustmentLineDetail"]
        item = company.find("Item", ref(detail["ItemRef"])) or {}
        value = money(
            (decimal(detail.get("QtyDiff")) or Decimal(0)) * (decimal(item.get("PurchaseCost")) or Decimal(0))
        )
        sides.append(Side(ref(item["AssetAccountRef"]), value, item=str(item["Id"])))
        sides.append(Side(ref(body["AdjustAccountRef"]), -value))
    return sides


_MAKERS: dict[str, Callable[[Company, Json], list[Side]]] = {
    "SalesReceipt": lambda company, body: _cash_sale(company, body, 1),
    "RefundReceipt": lambda company, body: _cash_sale(company, body, -1),
    "Invoice": lambda company, body: _credit_sale(company, body, 1),
    "CreditMemo": lambda company, body: _credit_sale(company, body, -1),
    "Payment": _payment,
    "Purchase": _purchase,
    "Bill": lambda company, body: _owed(company, body, 1),
    "VendorCredit": lambda company, body: _owed(company, body, -1),
    "BillPayment": _bill_payment,
    "Deposit": _deposit,
    "Transfer": _transfer,
    "CreditCardPaymentTxn": _card_payment,
    "JournalEntry": _journal,
    "InventoryAdjustment": _adjustment,
}
