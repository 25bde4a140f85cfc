"""Edits of documents that the pipeline wrote, each over the books' own API.

What lives here: one function a kind, with the exception that ``docs/exceptions.md`` promises for it.
What does not: documents that are made, deleted or copied (``in_books``).
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from ps_qb_pipeline_tests.recon_truth.injector import (
    Injector,
    Row,
    Target,
    at_home,
    is_sale,
    item_lines,
    largest,
    raise_line,
    total_of,
)
from ps_qb_pipeline_tests.recon_truth.judging import CENT


def edited_amount(
    do: Injector, by: Decimal = Decimal(10), kind: str = "edited amount", entity: str = "SalesReceipt"
) -> None:
    """A person changes a line."""
    if target := do.take(kind, lambda one: one.entity == entity and one.total > 5):
        row = do.read(target)
        raise_line(row, by)
        after = do.update(target.entity, row)
        do.truth.add(kind, "QBO_EDITED", target.doc_number, total_of(after) - target.total)


def edited_invoice(do: Injector) -> None:
    """A person changes a line of an invoice."""
    edited_amount(do, Decimal("2.5"), "edited invoice", "Invoice")


def edited_refund(do: Injector) -> None:
    """A person lowers a refund."""
    edited_amount(do, Decimal(-2), "edited refund", "RefundReceipt")


def rounding(do: Injector) -> None:
    """A person takes one cent off."""
    edited_amount(do, -CENT, "rounding")


def offsetting(do: Injector) -> None:
    """Two documents, one up and one down by the same."""
    for sign, kind in ((1, "offsetting up"), (-1, "offsetting down")):
        target = do.take(kind, at_home)
        if target:
            row = do.read(target)
            # A rate of nothing keeps the two amounts equal whatever each is taxed at.
            raise_line(row, sign * Decimal(4))
            after = do.update(target.entity, row)
            do.truth.add(kind, "QBO_EDITED", target.doc_number, total_of(after) - target.total)


def edited_tax(do: Injector) -> None:
    """A person overrides the tax of one rate."""
    if target := do.take("tax", lambda one: is_sale(one) and one.tax > 1):
        row = do.read(target)
        detail = row["TxnTaxDetail"]
        detail["TotalTax"] = Decimal(str(detail["TotalTax"])) + Decimal("0.50")
        line = max(detail["TaxLine"], key=lambda one: Decimal(str(one["Amount"])))
        line["Amount"] = Decimal(str(line["Amount"])) + Decimal("0.50")
        after = do.update(target.entity, row)
        if total_of(after) - target.total == Decimal("0.50"):
            do.truth.add("tax", "AMOUNT_TAX_DIFF", target.doc_number, Decimal("0.50"))
        else:
            do.skipped.append("tax (the company computes it anew)")


def _recoded(do: Injector, kind: str, *, same_rate: bool) -> None:
    """The largest line under the code of another country, at the same rate or at another."""
    codes = {str(row["Name"]): str(row["Id"]) for row in do.books.query("select * from TaxCode")}
    pairs = {"FR20": "GB20", "GB20": "FR20"} if same_rate else {"FR20": "FR10", "FR10": "FR20"}
    swaps = {codes[a]: codes[b] for a, b in pairs.items() if a in codes and b in codes}
    for target in [one for one in do.free if at_home(one) and one.tax > 1]:
        row = do.read(target)
        line = largest(row)
        detail = line["SalesItemLineDetail"]
        used = str((detail.get("TaxCodeRef") or {}).get("value"))
        if used not in swaps or Decimal(str(line["Amount"])) < 1:
            continue
        do.take(kind, lambda one, chosen=target: one is chosen)
        detail["TaxCodeRef"] = {"value": swaps[used]}
        row.pop("TxnTaxDetail", None)
        after = do.update(target.entity, row)
        moved = total_of(after) - target.total
        do.truth.add(kind, "AMOUNT_TAX_DIFF", target.doc_number, moved or Decimal(str(line["Amount"])))
        return
    do.skipped.append(kind)


def other_tax_code(do: Injector) -> None:
    """Another rate."""
    _recoded(do, "tax code", same_rate=False)


def other_tax_agency(do: Injector) -> None:
    """The same rate, owed to another tax office."""
    _recoded(do, "tax agency", same_rate=True)


def other_date(do: Injector) -> None:
    """Another day of the same month."""
    if target := do.take("date", lambda one: is_sale(one) and one.txn_date.day < 27):
        row = do.read(target) | {"TxnDate": str(target.txn_date + timedelta(days=1))}
        do.update(target.entity, row)
        do.truth.add("date", "DATE_DIFF", target.doc_number, target.total)


def other_month(do: Injector) -> None:
    """Another month."""
    if target := do.take("period", is_sale):
        row = do.read(target) | {"TxnDate": str(target.txn_date + timedelta(days=33))}
        do.update(target.entity, row)
        do.truth.add("period", "CUTOFF_DIFF", target.doc_number, target.total)


def other_rate(do: Injector) -> None:
    """Another exchange rate."""
    if target := do.take("rate", lambda one: is_sale(one) and one.rate is not None and one.total > 20):
        assert target.rate is not None
        rate = (target.rate * Decimal("1.1")).quantize(Decimal("0.000001"))
        do.update(target.entity, do.read(target) | {"ExchangeRate": rate})
        money = (target.total * rate).quantize(CENT) - (target.total * target.rate).quantize(CENT)
        do.truth.add("rate", "FX_RATE_DIFF", target.doc_number, money)


def other_currency(do: Injector) -> None:
    """Deleted, and entered again with the same note for a customer of another currency."""
    target = do.take("currency", at_home)
    other = do.take("currency", lambda one: is_sale(one) and one.rate is not None) if target else None
    if target and other:
        row, foreign = do.read(target), do.read(other)
        do.delete(target)
        changed = {
            name: foreign[name]
            for name in ("CustomerRef", "CurrencyRef", "ExchangeRate", "DepositToAccountRef")
        }
        made = do.create(target.entity, row | changed)
        do.truth.add("currency", "CURRENCY_DIFF", target.doc_number, target.total)
        do.truth.add("currency", "CUSTOMER_DIFF", target.doc_number, target.total)
        do.truth.add("currency", "ACCOUNT_DIFF", target.doc_number, target.total)
        assert made["CurrencyRef"]["value"] != target.currency


def other_customer(do: Injector) -> None:
    """Another customer of the same currency."""
    target = do.take("customer", at_home)
    other = do.take("customer", at_home) if target else None
    if target and other:
        row, wrong = do.read(target), do.read(other)["CustomerRef"]
        if row["CustomerRef"]["value"] == wrong["value"]:
            do.skipped.append("customer (the same)")
            return
        do.update(target.entity, row | {"CustomerRef": wrong})
        do.truth.add("customer", "CUSTOMER_DIFF", target.doc_number, target.total)


def _moved(do: Injector, kind: str, target: Target | None) -> None:
    if target is None:
        return
    accounts = do.books.query("select * from Account where AccountType = 'Bank'")
    row = do.read(target)
    wrong = next(
        account
        for account in accounts
        if account["Id"] != row["DepositToAccountRef"]["value"]
        and account.get("CurrencyRef", {}).get("value", target.currency) == target.currency
    )
    do.update(target.entity, row | {"DepositToAccountRef": {"value": wrong["Id"]}})
    do.truth.add(kind, "ACCOUNT_DIFF", target.doc_number, target.total)


def other_account(do: Injector) -> None:
    """Another deposit account."""
    _moved(do, "account", do.take("account", at_home))


def refund_from_elsewhere(do: Injector) -> None:
    """A refund paid out of another account."""
    wanted = do.take("refund account", lambda one: one.entity == "RefundReceipt" and one.rate is None)
    _moved(do, "refund account", wanted)


def other_item(do: Injector) -> None:
    """A line moved to an item of another income account, the amount untouched."""
    if target := do.take("item", lambda one: is_sale(one) and one.total > 10):
        item = do.books.query("select * from Item where Name = 'PS Gift wrap'")[0]
        row = do.read(target)
        line = largest(row)
        line["SalesItemLineDetail"]["ItemRef"] = {"value": item["Id"]}
        after = do.update(target.entity, row)
        if total_of(after) != target.total:
            do.skipped.append("item (the total changed)")
            return
        do.truth.add("item", "ACCOUNT_DIFF", target.doc_number, Decimal(str(line["Amount"])))


def against_each_other(do: Injector) -> None:
    """One line two higher, another of the same tax code and account two lower."""
    items = {str(row["Id"]): row for row in do.books.query_all("Item")}

    def stands_on(line: Row) -> tuple[str, str]:
        detail = line["SalesItemLineDetail"]
        account = items[detail["ItemRef"]["value"]]["IncomeAccountRef"]["value"]
        return str((detail.get("TaxCodeRef") or {}).get("value")), str(account)

    for target in [one for one in do.free if is_sale(one)]:
        row = do.read(target)
        first = largest(row)
        alike = [
            line
            for line in item_lines(row)
            if stands_on(line) == stands_on(first)
            and line["SalesItemLineDetail"]["ItemRef"] != first["SalesItemLineDetail"]["ItemRef"]
        ]
        if not alike or Decimal(str(first["Amount"])) < 5:
            continue
        do.take("lines against each other", lambda one, chosen=target: one is chosen)
        for line, by in ((first, -2), (alike[0], 2)):
            line["Amount"] = Decimal(str(line["Amount"])) + by
            line["SalesItemLineDetail"].pop("UnitPrice", None)
            line["SalesItemLineDetail"].pop("Qty", None)
        after = do.update(target.entity, row)
        moved = total_of(after) - target.total
        do.truth.add("lines against each other", "QBO_EDITED", target.doc_number, moved or Decimal(2))
        return
    do.skipped.append("lines against each other")


def payment_unlinked(do: Injector) -> None:
    """A payment taken off its invoice: the money stays, the invoice is open again."""
    if target := do.take("payment unlinked", lambda one: one.entity == "Payment" and one.total > 0):
        row = do.read(target)
        settled = sum((Decimal(str(line["Amount"])) for line in row.get("Line", [])), Decimal(0))
        do.update("Payment", row | {"Line": []})
        do.truth.add("payment unlinked", "QBO_EDITED", target.doc_number, settled)


def two_on_one(do: Injector) -> None:
    """An amount and the date of one document."""
    if target := do.take("two on one", lambda one: is_sale(one) and one.txn_date.day < 27):
        row = do.read(target) | {"TxnDate": str(target.txn_date + timedelta(days=1))}
        raise_line(row, Decimal(3))
        after = do.update(target.entity, row)
        do.truth.add("two on one", "QBO_EDITED", target.doc_number, total_of(after) - target.total)
        do.truth.add("two on one", "DATE_DIFF", target.doc_number, target.total)


def only_words(do: Injector) -> None:
    """A memo and an address: nothing may be said of it."""
    if target := do.take("words", is_sale):
        row = do.read(target) | {"CustomerMemo": {"value": "Thank you"}}
        do.update(target.entity, row)


KINDS = (
    edited_amount, edited_invoice, edited_refund, rounding, offsetting, edited_tax, other_tax_code,
    other_tax_agency, other_date, other_month, other_rate, other_currency, other_customer, other_account,
    refund_from_elsewhere, other_item, against_each_other, payment_unlinked, two_on_one, only_words,
)  # fmt: skip
