"""What a transaction computes and insists on.

What lives here: dates, currency, numbers, totals, defaults by entity, voiding. What does not: lines
(``lines``), tax (``tax``), what links to what (``links``), the ledger (``postings``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

from ps_qb_pipeline.sandbox.books import faults, lines, links, postings, stock, tax
from ps_qb_pipeline.sandbox.books.codec import Json, amount, decimal, money, ref
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import Entity
from ps_qb_pipeline.sandbox.books.references import currency

FIRST_NUMBERS = {"sales": 1001, "estimates": 1001, "orders": 1001, "journals": 1}
PARTY = {"VendorRef": "Vendor", "CustomerRef": "Customer"}
OUR_LINKS = frozenset(
    {
        "Payment",
        "Deposit",
        "BillPaymentCheck",
        "BillPaymentCreditCard",
        "BillPayment",
        "CreditCardCredit",
        "RefundReceipt",
    }
)


def prepare(
    company: Company, entity: Entity, number: int, body: Json, before: Json | None, options: frozenset[str]
) -> None:
    """Complete ``body`` before it is stored; refuse what breaks a rule."""
    body.setdefault("TxnDate", (before or {}).get("TxnDate") or company.clock.today())
    company.refuse_closed(body["TxnDate"], (before or {}).get("TxnDate", ""))
    if before is not None:
        links.refuse_deposited(before, body)
        if str(before.get("PrivateNote", "")).startswith("Voided") and before.get("TotalAmt") == 0:
            body.setdefault("PrivateNote", before["PrivateNote"])
    _number(company, entity, number, body, before, options)
    _currency(company, body)
    complete(company, entity, body, before, currency_known=True)
    links.check(company, entity, number, body, before)
    stock.check(company, body)


def complete(
    company: Company, entity: Entity, body: Json, before: Json | None, *, currency_known: bool = False
) -> None:
    """Compute lines, tax and totals of ``body`` without looking at what it links to."""
    body.setdefault("TxnDate", (before or {}).get("TxnDate") or company.clock.today())
    if not currency_known:
        _currency(company, body)
    _PREPARE[entity.name](company, body, before)
    total = decimal(body.get("TotalAmt"))
    if total is not None and company.multicurrency:
        body["HomeTotalAmt"] = money(total * (decimal(body.get("ExchangeRate")) or 1))


def post(company: Company, entity: Entity, number: int, body: Json, before: Json | None) -> None:
    """Make the ledger, the stock and the linked transactions follow a stored transaction."""
    links.apply(company, entity, number, body, before)
    stock.move(company, entity, body, before)
    entries = postings.entries(company, entity.name, body)
    company.store.replace_entries(
        entity.name, number, body["TxnDate"], str(body.get("DocNumber", "")), entries
    )


def remove(company: Company, entity: Entity, number: int, before: Json) -> None:
    """Take a transaction out of the ledger, out of the stock and out of its links."""
    company.refuse_closed(before["TxnDate"])
    links.refuse_deposited(before, None)
    links.undo(company, entity, number, before)
    stock.move(company, entity, None, before)
    company.store.replace_entries(entity.name, number, before["TxnDate"], "", [])


def voided(company: Company, entity: Entity, number: int, before: Json) -> Json:
    """Return a transaction with all its amounts zero, and its note saying so."""
    remove(company, entity, number, before)
    body: Json = dict(before)
    body["Line"] = [_zeroed(line) for line in before.get("Line", [])] if entity.kind != "money" else []
    if entity.kind == "money":
        body.pop("Line")
    if "TxnTaxDetail" in body:
        detail = dict(body["TxnTaxDetail"], TotalTax=0)
        detail["TaxLine"] = [_zeroed(line) for line in detail.get("TaxLine", [])]
        body["TxnTaxDetail"] = detail
    for name in ("TotalAmt", "HomeTotalAmt", "Balance", "HomeBalance", "UnappliedAmt", "RemainingCredit"):
        if name in body:
            body[name] = 0
    body.pop("LinkedTxn", None)
    note = str(before.get("PrivateNote", ""))
    body["PrivateNote"] = note if note.startswith("Voided") else f"Voided - {note}" if note else "Voided"
    return body


def _zeroed(line: Json) -> Json:
    kind = line.get("DetailType", "")
    copy = dict(line)
    if "Amount" in copy:
        copy["Amount"] = 0
    detail = dict(copy.get(kind) or {})
    for name in ("Qty", "UnitPrice", "NetAmountTaxable", "TaxInclusiveAmt"):
        if name in detail:
            detail[name] = 0
    if kind:
        copy[kind] = detail
    if "Line" in detail:
        detail["Line"] = [_zeroed(inner) for inner in detail["Line"]]
    return copy


# Shared steps --------------------------------------------------------------------------------------


def _number(
    company: Company, entity: Entity, number: int, body: Json, before: Json | None, options: frozenset[str]
) -> None:
    custom = bool(company.preference("SalesFormsPrefs", "CustomTxnNumbers", False))
    wanted = body.get("DocNumber")
    if entity.numbers and not custom and before is None and company.switches.number_given == "replaced":
        wanted = None
    counter = f"number:{entity.numbers}"
    if wanted == "AUTO_GENERATE" or (not wanted and entity.numbers and not custom and before is None):
        body["DocNumber"] = str(company.store.next(counter, FIRST_NUMBERS.get(entity.numbers, 1)))
        return
    if not wanted:
        if before is not None and not custom and "DocNumber" in before:
            body["DocNumber"] = before["DocNumber"]
        return
    unchanged = before is not None and before.get("DocNumber") == wanted
    guarded = custom and company.switches.warn_duplicate_number == "on" and entity.numbers
    if guarded and not unchanged and "allowduplicatedocnum" not in options:
        other = company.store.by_number(entity.name, wanted)
        if other is not None and other.id != number:
            raise faults.duplicate_number(wanted, entity.name, other.id)


def _currency(company: Company, body: Json) -> None:
    code = ref(body.get("CurrencyRef"))
    if not company.multicurrency:
        body["CurrencyRef"] = currency(company, company.home)
        body.pop("ExchangeRate", None)
        return
    if not code and company.switches.currency_ref == "required":
        raise faults.required("CurrencyRef")
    code = code or company.home
    for name, kind in PARTY.items():
        party = company.find(kind, ref(body.get(name))) if ref(body.get(name)) else None
        fixed = ref((party or {}).get("CurrencyRef"))
        if fixed and fixed != code:
            raise faults.business(
                f"The currency of the transaction is invalid for customer / vendor / account: {code}",
                "CurrencyRef",
            )
    body["CurrencyRef"] = currency(company, code)
    if code == company.home:
        body["ExchangeRate"] = 1
    elif not decimal(body.get("ExchangeRate")):
        body["ExchangeRate"] = company.rate(code, body["TxnDate"])


def _account_in(company: Company, body: Json, name: str, kinds: frozenset[str]) -> None:
    ident = ref(body.get(name))
    account = company.find("Account", ident) or {}
    if kinds and account.get("AccountType") not in kinds:
        raise faults.business(
            f"Select an account of type {' or '.join(sorted(kinds))} for this transaction.", name
        )
    if company.account_currency(ident) not in {company.home, ref(body.get("CurrencyRef"))}:
        raise faults.business("The currency of the account differs from that of the transaction.", name)


# Sales forms ---------------------------------------------------------------------------------------


def _sale(company: Company, body: Json, before: Json | None) -> None:
    discount_line = lines.prepare(company, body, lines.SALE_DETAILS, before)
    total = lines.subtotal(body)
    discount = lines.apply_discount(company, discount_line, total)
    total_tax = tax.apply(company, body, discount, purchase=False)
    if body.get("GlobalTaxCalculation") == tax.INCLUSIVE:
        total = lines.subtotal(body)
    lines.add_subtotal(body, total)
    body["TotalAmt"] = total - discount + total_tax
    if body["TotalAmt"] < 0:
        raise faults.business("Transaction amount must be 0 or greater.", "TotalAmt")
    if body["TotalAmt"] == 0 and company.switches.zero_totals == "refused":
        raise faults.business("Transaction amount must be greater than 0.", "TotalAmt")
    customer = (
        company.find("Customer", ref(body.get("CustomerRef"))) if ref(body.get("CustomerRef")) else None
    )
    for name in ("BillAddr", "ShipAddr"):
        if customer and name not in body and customer.get(name):
            body[name] = dict(customer[name])
        if before is not None and body.get(name) and company.switches.address_reflow == "on":
            body[name] = _reflowed(body[name])
        if body.get(name) and "Id" not in body[name]:
            body[name]["Id"] = str(company.store.next("id:address", 1))
    if body.get("EmailStatus") == "NeedToSend" and not body.get("BillEmail", {}).get("Address"):
        raise faults.required("BillEmail")
    address = body.get("BillEmail", {}).get("Address", "")
    if address and not re.search(r"[^@\s]@[^@\s]+\.", address):
        raise faults.invalid_email(address)
    body.setdefault("EmailStatus", "NotSet")
    body.setdefault("PrintStatus", "NotSet")
    body.setdefault("CustomField", [])
    body.setdefault("LinkedTxn", [])
    body.setdefault("ApplyTaxAfterDiscount", False)


def _reflowed(address: Json) -> Json:
    """Return an address with its parts melted into at most five lines, as an update may leave it."""
    place = " ".join(
        str(address[name]) for name in ("City", "CountrySubDivisionCode", "PostalCode") if address.get(name)
    )
    texts = [str(address[f"Line{n}"]) for n in range(1, 6) if address.get(f"Line{n}")]
    texts += [text for text in (place, str(address.get("Country", ""))) if text]
    made: Json = {f"Line{n}": text for n, text in enumerate(texts[:5], start=1)}
    return made | ({"Id": address["Id"]} if "Id" in address else {})


def _receipt(company: Company, body: Json, before: Json | None) -> None:
    if company.switches.customer_on_receipt == "required" and not ref(body.get("CustomerRef")):
        raise faults.required("CustomerRef")
    if not ref(body.get("DepositToAccountRef")):
        account = company.account("undeposited")
        body["DepositToAccountRef"] = {"value": account["Id"], "name": account["Name"]}
    _account_in(company, body, "DepositToAccountRef", frozenset({"Bank", "Other Current Asset"}))
    _sale(company, body, before)
    body["Balance"] = 0


def _refund(company: Company, body: Json, before: Json | None) -> None:
    _account_in(company, body, "DepositToAccountRef", frozenset({"Bank", "Other Current Asset"}))
    _sale(company, body, before)
    body["Balance"] = 0


def _applied(before: Json | None) -> Decimal:
    if before is None:
        return Decimal(0)
    return amount(before.get("TotalAmt")) - amount(before.get("Balance"))


def _invoice(company: Company, body: Json, before: Json | None) -> None:
    linked = [link for link in body.get("LinkedTxn", []) if link.get("TxnType") not in OUR_LINKS]
    ours = [link for link in (before or {}).get("LinkedTxn", []) if link.get("TxnType") in OUR_LINKS]
    body["LinkedTxn"] = linked + ours
    _due(company, body)
    _sale(company, body, before)
    deposit = amount(body.get("Deposit"))
    _open(company, body, _applied(before) if before is not None else deposit)
    body.setdefault("AllowIPNPayment", False)
    body.setdefault("AllowOnlinePayment", False)
    body.setdefault("AllowOnlineCreditCardPayment", False)
    body.setdefault("AllowOnlineACHPayment", False)


def _open(company: Company, body: Json, applied: Decimal) -> None:
    body["Balance"] = body["TotalAmt"] - applied
    if body["Balance"] < 0:
        raise faults.business("The transaction's total is less than what has been applied to it.", "TotalAmt")
    if company.multicurrency:
        body["HomeBalance"] = money(body["Balance"] * (decimal(body.get("ExchangeRate")) or 1))


def _due(company: Company, body: Json) -> None:
    if body.get("DueDate"):
        return
    term = company.find("Term", ref(body.get("SalesTermRef"))) if ref(body.get("SalesTermRef")) else None
    day = date.fromisoformat(body["TxnDate"])
    if term and term.get("DayOfMonthDue"):
        month = day.replace(day=1) + timedelta(days=32 if day.day > int(term["DayOfMonthDue"]) else 0)
        body["DueDate"] = month.replace(day=min(int(term["DayOfMonthDue"]), 28)).isoformat()
        return
    days = int(decimal((term or {}).get("DueDays")) or 0)
    body["DueDate"] = (day + timedelta(days=days)).isoformat()


def _credit(company: Company, body: Json, before: Json | None) -> None:
    body["LinkedTxn"] = list((before or {}).get("LinkedTxn", []))
    _sale(company, body, before)
    _open(company, body, _applied(before))
    body["RemainingCredit"] = body["Balance"]


def _estimate(company: Company, body: Json, before: Json | None) -> None:
    _sale(company, body, before)
    body.setdefault("TxnStatus", "Pending")


# Purchases -----------------------------------------------------------------------------------------


def _bought(company: Company, body: Json, before: Json | None) -> None:
    lines.prepare(company, body, lines.PURCHASE_DETAILS, before)
    if not lines.leaves(body):
        raise faults.required("Line")
    for line in lines.leaves(body):
        kind = line["DetailType"]
        if kind == "AccountBasedExpenseLineDetail" and not ref(line[kind].get("AccountRef")):
            raise faults.required("AccountRef")
        if kind == "ItemBasedExpenseLineDetail" and not ref(line[kind].get("ItemRef")):
            raise faults.required("ItemRef")
    total_tax = tax.apply(company, body, Decimal(0), purchase=True)
    body["TotalAmt"] = lines.subtotal(body) + total_tax
    if body["TotalAmt"] < 0:
        raise faults.business("Transaction amount must be 0 or greater.", "TotalAmt")


def _payable(company: Company, body: Json, before: Json | None) -> None:
    account = company.account("payable", ref(body["CurrencyRef"]))
    body.setdefault("APAccountRef", {"value": account["Id"], "name": account["Name"]})
    body["LinkedTxn"] = list((body if before is None else before).get("LinkedTxn", []))
    _bought(company, body, before)
    _open(company, body, _applied(before))


def _bill(company: Company, body: Json, before: Json | None) -> None:
    _due(company, body)
    _payable(company, body, before)


def _order(company: Company, body: Json, before: Json | None) -> None:
    _bought(company, body, before)
    body.setdefault("POStatus", "Open")
    if "APAccountRef" not in body:
        account = company.account("payable", ref(body["CurrencyRef"]))
        body["APAccountRef"] = {"value": account["Id"], "name": account["Name"]}


def _purchase(company: Company, body: Json, before: Json | None) -> None:
    kind = body["PaymentType"]
    if before is not None and before.get("PaymentType") != kind:
        raise faults.business("PaymentType cannot be changed.", "PaymentType")
    wanted = {"CreditCard"} if kind == "CreditCard" else set()
    kinds = (
        frozenset({"Credit Card"})
        if wanted
        else frozenset({"Bank", "Other Current Asset", "Other Current Liability", "Credit Card"})
    )
    _account_in(company, body, "AccountRef", kinds)
    body.setdefault("Credit", False)
    _bought(company, body, before)


# Money ---------------------------------------------------------------------------------------------


def _payment(company: Company, body: Json, before: Json | None) -> None:
    del before
    body["TotalAmt"] = amount(body["TotalAmt"])
    if body["TotalAmt"] < 0:
        raise faults.negative("TotalAmt")
    if not ref(body.get("DepositToAccountRef")):
        account = company.account("undeposited")
        body["DepositToAccountRef"] = {"value": account["Id"], "name": account["Name"]}
    _account_in(company, body, "DepositToAccountRef", frozenset({"Bank", "Other Current Asset"}))
    for line in body.get("Line", []):
        line["Amount"] = amount(line.get("Amount"))
    body["Line"] = body.get("Line", [])
    body.setdefault("ProcessPayment", False)


def _bill_payment(company: Company, body: Json, before: Json | None) -> None:
    del before
    body["TotalAmt"] = amount(body["TotalAmt"])
    part, name = (
        ("CheckPayment", "BankAccountRef")
        if body["PayType"] == "Check"
        else ("CreditCardPayment", "CCAccountRef")
    )
    if not ref((body.get(part) or {}).get(name)):
        raise faults.required(f"{part}.{name}")
    for line in body.get("Line", []):
        line["Amount"] = amount(line.get("Amount"))
    body["Line"] = body.get("Line", [])
    del company


def _deposit(company: Company, body: Json, before: Json | None) -> None:
    del before
    _account_in(company, body, "DepositToAccountRef", frozenset({"Bank", "Other Current Asset"}))
    total = Decimal(0)
    for position, line in enumerate(body["Line"], start=1):
        links.complete_deposit_line(company, line)
        line["Amount"] = amount(line.get("Amount"))
        line.setdefault("Id", str(position))
        line.setdefault("LineNum", position)
        total += line["Amount"]
    back = body.get("CashBack") or {}
    if amount(back.get("Amount")) and not ref(back.get("AccountRef")):
        raise faults.required("CashBack.AccountRef")
    body["TotalAmt"] = total - amount(back.get("Amount"))


def _transfer(company: Company, body: Json, before: Json | None) -> None:
    del before
    body["Amount"] = amount(body["Amount"])
    if body["Amount"] <= 0:
        raise faults.business("The amount of a transfer must be greater than 0.", "Amount")
    if ref(body["FromAccountRef"]) == ref(body["ToAccountRef"]):
        raise faults.business(
            "Transfer the money to another account than the one it comes from.", "ToAccountRef"
        )
    del company


def _card_payment(company: Company, body: Json, before: Json | None) -> None:
    del company, before
    body["Amount"] = amount(body["Amount"])
    body.setdefault("PrintStatus", "NotSet")


# Journals ------------------------------------------------------------------------------------------


def _journal(company: Company, body: Json, before: Json | None) -> None:
    del before
    sums = {"Debit": Decimal(0), "Credit": Decimal(0)}
    for position, line in enumerate(body["Line"]):
        if line.get("DetailType") == "DescriptionOnly":
            continue
        if line.get("DetailType") != "JournalEntryLineDetail":
            raise faults.required("Line.DetailType")
        detail = line.get("JournalEntryLineDetail") or {}
        side = detail.get("PostingType")
        if side not in sums:
            raise faults.required("PostingType")
        if not ref(detail.get("AccountRef")):
            raise faults.required("AccountRef")
        _journal_party(company, detail)
        line["Amount"] = amount(line.get("Amount"))
        line.setdefault("Id", str(position))
        sums[side] += line["Amount"] + _journal_tax(line, detail)
    if sums["Debit"] != sums["Credit"]:
        raise faults.unbalanced(sums["Debit"], sums["Credit"])
    body["TotalAmt"] = 0
    body.setdefault("Adjustment", False)


def _journal_party(company: Company, detail: Json) -> None:
    kind = (company.find("Account", ref(detail["AccountRef"])) or {}).get("AccountType")
    wanted = {"Accounts Receivable": "Customer", "Accounts Payable": "Vendor"}.get(str(kind))
    if wanted and (detail.get("Entity") or {}).get("Type") != wanted:
        names = "accounts receivable" if wanted == "Customer" else "accounts payable"
        raise faults.business(
            f"When you use {names}, you must choose a {wanted.lower()} in the Name field.", "Entity"
        )


def _journal_tax(line: Json, detail: Json) -> Decimal:
    if not ref(detail.get("TaxCodeRef")):
        return Decimal(0)
    if "TaxApplicableOn" not in detail:
        raise faults.required("TaxApplicableOn")
    if "TaxAmount" not in detail:
        raise faults.required("TaxAmount")
    detail["TaxAmount"] = amount(detail["TaxAmount"])
    del line
    return amount(detail["TaxAmount"])


def _adjustment(company: Company, body: Json, before: Json | None) -> None:
    del before
    for line in body["Line"]:
        detail = line.get("ItemAdjustmentLineDetail") or {}
        item = company.require("Item", ref(detail.get("ItemRef")), "ItemRef")
        if item.get("Type") != "Inventory":
            raise faults.business("Only inventory items can be adjusted.", "ItemRef")
        line["DetailType"] = "ItemAdjustmentLineDetail"
        detail["QtyDiff"] = decimal(detail.get("QtyDiff")) or Decimal(0)


_PREPARE: dict[str, Callable[[Company, Json, Json | None], None]] = {
    "SalesReceipt": _receipt,
    "RefundReceipt": _refund,
    "Invoice": _invoice,
    "CreditMemo": _credit,
    "Estimate": _estimate,
    "Bill": _bill,
    "VendorCredit": _payable,
    "PurchaseOrder": _order,
    "Purchase": _purchase,
    "Payment": _payment,
    "BillPayment": _bill_payment,
    "Deposit": _deposit,
    "Transfer": _transfer,
    "CreditCardPaymentTxn": _card_payment,
    "JournalEntry": _journal,
    "InventoryAdjustment": _adjustment,
}
