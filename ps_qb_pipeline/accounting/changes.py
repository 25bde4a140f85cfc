"""After posting: what to do with a document that the books hold when the shop or a person changed it.

What lives here: update, void, adjust, hold or nothing, by comparing three versions (what was posted,
what the books hold, what is wanted). What does not: carrying it out (``posting``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Literal

from ps_qb_pipeline.accounting import identity, items
from ps_qb_pipeline.accounting.currency import home_amount
from ps_qb_pipeline.accounting.documents import Document, DocumentType, Line, LineKind, TaxLine
from ps_qb_pipeline.accounting.money import ZERO, allocate, minor_unit, to_minor
from ps_qb_pipeline.accounting.notes import Hold
from ps_qb_pipeline.accounting.periods import first_open_day, is_closed
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.tax_modes import finish

_SLACK = 10
"""Minor units by which the tax of a difference may lie off what its bases give: two roundings meet in it."""

Action = Literal["create", "update", "void", "adjust", "hold", "none"]


@dataclass(frozen=True, slots=True)
class Posted:
    """A document as the books hold it, and as we posted it.

    ``body`` is what we posted, when it is known. ``money_edited``: a person changed amounts, taxes,
    items or accounts since. ``locked``: deposited, reconciled, or linked to another document.
    """

    type: DocumentType
    doc_number: str
    total: Decimal
    txn_date: date
    sync_token: str = "0"  # noqa: S105 -- QuickBooks' name of a version number
    key: str = ""
    body: Document | None = None
    money_edited: bool = False
    locked: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What the shop says now of the order behind a posted document."""

    cancelled: bool = False
    invoice_issued: bool = False
    received: Decimal = ZERO
    """Money received for the order, in its currency."""
    day: date | None = None
    """When the change happened, shop-local; the posted date when it is not known."""
    revision: int = 1
    """The number of the next adjustment."""


@dataclass(frozen=True, slots=True)
class Change:
    """What to do. ``document`` is the new version or the adjustment; ``code`` the finding to raise."""

    action: Action
    target: Posted
    document: Document | None = None
    code: str = ""


def decide(wanted: Document | None, posted: Posted, policy: Policy, facts: Facts) -> Change:
    """The change that brings the books from ``posted`` to ``wanted`` without losing what is fixed.

    Money that a person edited is never overwritten; a closed period, a locked document and an issued
    invoice are never rewritten, only adjusted; a receipt never gets a total that was not received.
    """
    changed = wanted is None or _differs(wanted, posted)
    if posted.gone:
        return Change("hold", posted, code="QBO_DELETED")
    if posted.money_edited:
        return Change("hold", posted, code="EDIT_CONFLICT" if changed else "QBO_EDITED")
    if not changed:
        return Change("none", posted)
    if wanted is None or facts.cancelled:
        return _cancel(posted, policy, facts)
    return _rewrite(wanted, posted, policy, facts)


def _rewrite(wanted: Document, posted: Posted, policy: Policy, facts: Facts) -> Change:
    closed = is_closed(posted.txn_date, policy)
    if closed or posted.locked or _is_issued(policy, facts):
        return _adjust(wanted, posted, policy, facts, "EDIT_AFTER_CLOSE" if closed else "")
    if posted.type == "SalesReceipt" and facts.received != wanted.total:
        return Change("hold", posted, code="EDIT_UNDERPAID" if facts.received < wanted.total else "PAY_OVER")
    if posted.type != wanted.type:
        return Change("hold", posted, code="EDIT_CONFLICT")
    return Change("update", posted, wanted)


def _differs(wanted: Document, posted: Posted) -> bool:
    if posted.body is None:
        return wanted.total != posted.total or wanted.type != posted.type
    plain = {"private_note": "", "memo": ""}
    return replace(wanted, **plain) != replace(posted.body, **plain)  # type: ignore[arg-type]  # two text fields


def _is_issued(policy: Policy, facts: Facts) -> bool:
    return policy.issued_invoices == "keep" and facts.invoice_issued


def _cancel(posted: Posted, policy: Policy, facts: Facts) -> Change:
    """Void what may be voided; else credit it in full."""
    closed = is_closed(posted.txn_date, policy)
    if facts.received:
        return Change("none", posted)
    if not closed and not posted.locked and not _is_issued(policy, facts):
        return Change("void", posted)
    if posted.body is None:
        return Change("hold", posted, code="EDIT_CONFLICT")
    body = posted.body
    day = first_open_day(policy, facts.day or posted.txn_date)
    document = _renumbered(
        replace(body, type=_opposite(posted.type), txn_date=day, due_date=None, applied=()), facts
    )
    return Change("adjust", posted, document, "EDIT_AFTER_CLOSE" if closed else "")


def _adjust(wanted: Document, posted: Posted, policy: Policy, facts: Facts, code: str) -> Change:
    """A document for the signed difference by tax code, in the open period."""
    lines, taxes = _difference(wanted, posted)
    total = sum((line.amount for line in lines), ZERO) + sum((tax.amount for tax in taxes), ZERO)
    if not total and not lines:
        return Change("none", posted)
    back = total < 0
    if back:
        lines = tuple(replace(line, amount=-line.amount) for line in lines)
        taxes = tuple(TaxLine(tax.code, tax.rate, -tax.base, -tax.amount) for tax in taxes)
    amount = to_minor(abs(total), wanted.currency)
    total_tax = to_minor(sum((tax.amount for tax in taxes), ZERO), wanted.currency)
    form = wanted.global_tax
    if policy.tax_mode in {"GLOBAL_EXCL", "GLOBAL_INCL"}:
        slack = minor_unit(wanted.currency) * _SLACK
        try:
            made = finish(lines, taxes, total_tax, slack, wanted.currency, policy, [])
        except Hold:
            return Change("hold", posted, code="EDIT_CONFLICT")
        lines, taxes, form = made.lines, made.taxes, made.global_tax
    document = replace(
        wanted,
        type=_opposite(posted.type) if back else posted.type,
        txn_date=first_open_day(policy, facts.day or posted.txn_date),
        due_date=None,
        global_tax=form,
        lines=lines,
        taxes=taxes,
        total=amount,
        total_tax=total_tax,
        home_total=home_amount(amount, wanted.exchange_rate, policy.home_currency),
        refund_of=posted.doc_number if back else "",
        applied=(),
    )
    return Change("adjust", posted, _renumbered(document, facts), code)


def _opposite(kind: DocumentType) -> DocumentType:
    """The kind of document that takes back what ``kind`` gave, from the same side of the books."""
    pairs: dict[DocumentType, DocumentType] = {
        "Invoice": "CreditMemo",
        "CreditMemo": "Invoice",
        "RefundReceipt": "SalesReceipt",
    }
    return pairs.get(kind, "RefundReceipt")


def _renumbered(document: Document, facts: Facts) -> Document:
    number = identity.adjustment_number(document.doc_number, facts.revision)
    key = identity.adjustment_key(document.key, document.role, document.source_id, facts.revision)
    return identity.with_note(
        replace(
            document,
            key=key,
            role="adjustment",
            source_id=key.split("|")[2],
            revision=facts.revision,
            doc_number=number,
            private_note="",
        )
    )


def _difference(wanted: Document, posted: Posted) -> tuple[tuple[Line, ...], tuple[TaxLine, ...]]:
    """Lines and taxes of wanted less posted; by tax code alone when only the posted total is known."""
    if posted.body is None:
        return _scaled(wanted, wanted.total - posted.total)
    sums: dict[tuple[LineKind, str, str], Decimal] = {}
    for sign, document in ((1, wanted), (-1, posted.body)):
        for line in document.lines:
            kind: LineKind = "goods" if line.kind == "product" else line.kind
            key = (kind, items.GOODS if kind == "goods" else line.item, line.tax_code)
            sums[key] = sums.get(key, ZERO) + sign * line.amount
    lines = tuple(Line(kind, item, amount, code) for (kind, item, code), amount in sums.items() if amount)
    taxes: dict[tuple[str, Decimal], tuple[Decimal, Decimal]] = {}
    for sign, document in ((1, wanted), (-1, posted.body)):
        for tax in document.taxes:
            base, amount = taxes.get((tax.code, tax.rate), (ZERO, ZERO))
            taxes[tax.code, tax.rate] = (base + sign * tax.base, amount + sign * tax.amount)
    return lines, tuple(
        TaxLine(code, rate, base, amount) for (code, rate), (base, amount) in taxes.items() if base or amount
    )


def _scaled(wanted: Document, difference: Decimal) -> tuple[tuple[Line, ...], tuple[TaxLine, ...]]:
    """A gross difference divided over the document's tax codes by their gross share."""
    currency = wanted.currency
    gross: dict[str, Decimal] = {}
    for tax in wanted.taxes:
        gross[tax.code] = gross.get(tax.code, tax.base) + tax.amount
    if not gross:
        return (Line("goods", items.GOODS, difference),), ()
    shares: Mapping[str, Decimal] = dict(
        zip(gross, allocate(difference, list(gross.values()), currency), strict=True)
    )
    lines, taxes = [], []
    for code, share in shares.items():
        own = [tax for tax in wanted.taxes if tax.code == code]
        whole = sum((tax.rate for tax in own), ZERO)
        net = to_minor(share * 100 / (100 + whole), currency)
        lines.append(Line("goods", items.GOODS, net, code))
        parts = allocate(share - net, [tax.rate for tax in own], currency)
        taxes += [TaxLine(code, tax.rate, net, part) for tax, part in zip(own, parts, strict=True)]
    return tuple(lines), tuple(taxes)
