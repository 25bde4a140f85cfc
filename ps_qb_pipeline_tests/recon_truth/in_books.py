"""Documents that people make, delete, void or copy in the books, each over the books' own API.

What lives here: one function a kind, with the exception that ``docs/exceptions.md`` promises for it.
What does not: edits of documents (``in_documents``).
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from decimal import Decimal

from ps_qb_pipeline_tests.recon_truth.injector import (
    Injector,
    Row,
    Target,
    as_bytes,
    at_home,
    is_sale,
    item_lines,
    largest,
    total_of,
)


def _is_refund(target: Target) -> bool:
    return target.entity == "RefundReceipt"


def deleted(do: Injector) -> None:
    """A sale deleted for good."""
    if target := do.take("deleted", is_sale):
        do.delete(target)
        do.truth.add("deleted", "QBO_DELETED", target.doc_number, target.total)


def voided(do: Injector) -> None:
    """A sale voided: the number stays, the amounts are zero."""
    if target := do.take("voided", is_sale):
        do.void(target)
        do.truth.add("voided", "QBO_DELETED", target.doc_number, target.total)


def invoice_deleted(do: Injector) -> None:
    """An invoice deleted; its payment is left without a use and is no difference of its own."""
    if target := do.take("invoice deleted", lambda one: one.entity == "Invoice"):
        do.delete(target)
        do.truth.add("invoice deleted", "QBO_DELETED", target.doc_number, target.total)


def twin_deleted(do: Injector) -> None:
    """One of two documents over the same amount deleted: the other one must not be named."""
    amounts = Counter(one.total for one in do.targets if is_sale(one))
    if target := do.take("twins", lambda one: is_sale(one) and amounts[one.total] > 1):
        do.delete(target)
        do.truth.add("twins", "QBO_DELETED", target.doc_number, target.total)


def refund_missing(do: Injector) -> None:
    """A refund deleted."""
    if target := do.take("refund missing", _is_refund):
        do.delete(target)
        do.truth.add("refund missing", "QBO_DELETED", target.doc_number, target.total)


def payment_missing(do: Injector) -> None:
    """A payment deleted."""
    if target := do.take("payment missing", lambda one: one.entity == "Payment" and one.total > 0):
        do.delete(target)
        do.truth.add("payment missing", "PAYMENT_MISSING", target.doc_number, target.total)


def _copy(do: Injector, kind: str, code: str, target: Target | None, **changes: str | None) -> None:
    if target is None:
        return
    row = do.read(target)
    for name, value in changes.items():
        if value is None:
            row.pop(name, None)
        else:
            row[name] = value
    made = do.create(target.entity, row)
    do.truth.add(kind, code, str(made["Id"]), total_of(made))


def duplicate(do: Injector) -> None:
    """A copy with our note."""
    _copy(do, "duplicate", "DUPLICATE_IN_QBO", do.take("duplicate", is_sale), DocNumber=None)


def duplicate_of_another_month(do: Injector) -> None:
    """A copy with our note, of another month."""
    target = do.take("duplicate of another month", is_sale)
    day = str(target.txn_date + timedelta(days=35)) if target else None
    _copy(do, "duplicate of another month", "DUPLICATE_IN_QBO", target, DocNumber=None, TxnDate=day)


def refunded_twice(do: Injector) -> None:
    """A refund entered a second time."""
    _copy(do, "refund twice", "DUPLICATE_IN_QBO", do.take("refund twice", _is_refund), DocNumber=None)


def invoiced_twice(do: Injector) -> None:
    """A copy of an invoice with our note."""
    target = do.take("invoice twice", lambda one: one.entity == "Invoice")
    _copy(do, "invoice twice", "DUPLICATE_IN_QBO", target, DocNumber=None)


def copied_without_note(do: Injector) -> None:
    """The same sale again, with nothing that says whose it is."""
    target = do.take("blank copy", is_sale)
    _copy(do, "blank copy", "QBO_FOREIGN_LINE", target, DocNumber=None, PrivateNote=None)


def by_hand(do: Injector) -> None:
    """A sales receipt that a person made with our items on our clearing account."""
    target = do.take("manual document", is_sale)
    number = f"FAIR-{do.number}"
    _copy(do, "manual document", "QBO_FOREIGN_LINE", target, PrivateNote="sold at the fair", DocNumber=number)


def invoice_by_hand(do: Injector) -> None:
    """An invoice for one of our items."""
    if target := do.take("manual invoice", at_home):
        row = do.read(target)
        line = largest(row)
        body = {
            "CustomerRef": row["CustomerRef"],
            "TxnDate": row["TxnDate"],
            "GlobalTaxCalculation": row.get("GlobalTaxCalculation", "TaxExcluded"),
            "Line": [line],
        }
        made = do.make("Invoice", body)
        do.truth.add("manual invoice", "QBO_FOREIGN_LINE", str(made["Id"]), total_of(made))


def orphan(do: Injector) -> None:
    """A receipt with our numbering for an order that the shop does not have."""
    if target := do.take("orphan", is_sale):
        prefix = target.doc_number.rpartition("-")[0]
        row = do.read(target) | {"PrivateNote": "", "DocNumber": f"{prefix}-99{do.number:05}"}
        made = do.create(target.entity, row)
        do.truth.add("orphan", "ORPHAN_IN_QBO", str(made["Id"]), total_of(made))


def split(do: Injector) -> None:
    """Our receipt deleted, and entered again by hand in two parts."""
    if target := do.take("split", lambda one: is_sale(one) and one.total > 20):
        row = do.read(target)
        do.delete(target)
        do.truth.add("split", "QBO_DELETED", target.doc_number, target.total)
        for part in (1, 2):
            piece: Row = json.loads(as_bytes(row))
            piece["Line"] = [max(item_lines(piece), key=lambda one: float(one["Amount"]))]
            piece["Line"][0]["Amount"] = 5 * part
            piece["Line"][0]["SalesItemLineDetail"].pop("UnitPrice", None)
            piece["Line"][0]["SalesItemLineDetail"].pop("Qty", None)
            piece.pop("TxnTaxDetail", None)
            piece |= {"PrivateNote": f"part {part}", "DocNumber": f"PART-{do.number}"}
            made = do.create(target.entity, piece)
            do.truth.add("split", "QBO_FOREIGN_LINE", str(made["Id"]), total_of(made))


def payment_extra(do: Injector) -> None:
    """A payment by hand on one of our invoices that is still open."""
    for target in [one for one in do.free if one.entity == "Invoice" and one.rate is None]:
        row = do.read(target)
        if Decimal(str(row["Balance"])) < 2:
            continue
        do.take("payment extra", lambda one, chosen=target: one is chosen)
        part = {"Amount": 1.25, "LinkedTxn": [{"TxnId": target.books_id, "TxnType": "Invoice"}]}
        payment = {
            "CustomerRef": row["CustomerRef"],
            "TotalAmt": 1.25,
            "TxnDate": str(target.txn_date),
            "Line": [part],
        }
        made = do.make("Payment", payment)
        do.truth.add("payment extra", "PAYMENT_EXTRA", str(made["Id"]), Decimal("1.25"))
        return
    do.skipped.append("payment extra")


def _on_clearing(do: Injector, kind: str) -> tuple[Row, Row, str] | None:
    """A clearing account of ours, an expense account, and a day."""
    target = do.take(kind, at_home)
    if target is None:
        return None
    row = do.read(target)
    expense = do.books.query("select * from Account where AccountType = 'Expense'")[0]
    return {"value": row["DepositToAccountRef"]["value"]}, {"value": expense["Id"]}, str(row["TxnDate"])


def journal(do: Injector) -> None:
    """A journal entry by hand on our clearing account."""
    if found := _on_clearing(do, "journal"):
        clearing, expense, day = found
        body = {"TxnDate": day, "Line": _sides(("Debit", expense), ("Credit", clearing), amount=12.5)}
        made = do.make("JournalEntry", body)
        do.truth.add("journal", "QBO_FOREIGN_LINE", str(made["Id"]), Decimal("12.50"))


def elsewhere(do: Injector) -> None:
    """A journal entry that touches nothing of ours: nothing may be said of it."""
    accounts = do.books.query("select * from Account where AccountType = 'Expense'")[:2]
    first, second = ({"value": account["Id"]} for account in accounts)
    day = str(max(one.txn_date for one in do.targets))
    body = {"TxnDate": day, "Line": _sides(("Debit", first), ("Credit", second), amount=99)}
    do.make("JournalEntry", body)


def _sides(*sides: tuple[str, Row], amount: float) -> list[Row]:
    return [
        {
            "Amount": amount,
            "DetailType": "JournalEntryLineDetail",
            "JournalEntryLineDetail": {"PostingType": side, "AccountRef": account},
        }
        for side, account in sides
    ]


def expense_by_hand(do: Injector) -> None:
    """An expense paid from our clearing account."""
    if found := _on_clearing(do, "manual expense"):
        clearing, expense, day = found
        line = {
            "Amount": 7.5,
            "DetailType": "AccountBasedExpenseLineDetail",
            "AccountBasedExpenseLineDetail": {"AccountRef": expense},
        }
        body = {
            "TxnDate": day,
            "AccountRef": clearing,
            "PaymentType": "Cash",
            "GlobalTaxCalculation": "NotApplicable",
            "Line": [line],
        }
        made = do.make("Purchase", body)
        do.truth.add("manual expense", "QBO_FOREIGN_LINE", str(made["Id"]), Decimal("7.50"))


def transfer_by_hand(do: Injector) -> None:
    """Money moved from our clearing account to another one."""
    if found := _on_clearing(do, "manual transfer"):
        clearing, _, day = found
        currency = _currency_of(do.books.read("Account", clearing["value"]))
        other = next(
            bank
            for bank in do.books.query("select * from Account where AccountType = 'Bank'")
            if _currency_of(bank) == currency and not str(bank["FullyQualifiedName"]).startswith("Clearing")
        )
        body = {
            "TxnDate": day,
            "FromAccountRef": clearing,
            "ToAccountRef": {"value": other["Id"]},
            "Amount": 8.25,
        }
        made = do.make("Transfer", body)
        do.truth.add("manual transfer", "QBO_FOREIGN_LINE", str(made["Id"]), Decimal("8.25"))


def bill_by_hand(do: Injector) -> None:
    """A supplier's bill whose line stands on our clearing account."""
    if found := _on_clearing(do, "manual bill"):
        clearing, _, day = found
        vendor = do.make("Vendor", {"DisplayName": f"Supplier by hand {do.number}"})
        line = {
            "Amount": 6.4,
            "DetailType": "AccountBasedExpenseLineDetail",
            "AccountBasedExpenseLineDetail": {"AccountRef": clearing},
        }
        body = {
            "TxnDate": day,
            "VendorRef": {"value": vendor["Id"]},
            "GlobalTaxCalculation": "NotApplicable",
            "Line": [line],
        }
        made = do.make("Bill", body)
        do.truth.add("manual bill", "QBO_FOREIGN_LINE", str(made["Id"]), Decimal("6.40"))


def _currency_of(account: Row) -> str:
    return str(account.get("CurrencyRef", {}).get("value", ""))


KINDS = (
    deleted, voided, invoice_deleted, twin_deleted, refund_missing, payment_missing, duplicate, duplicate_of_another_month,
    refunded_twice,
    invoiced_twice, copied_without_note, by_hand, invoice_by_hand, orphan, split, payment_extra, journal,
    expense_by_hand, transfer_by_hand, bill_by_hand, elsewhere,
)  # fmt: skip
