"""Keys and numbers: who a document is, so that it can exist only once.

What lives here: document keys, DocNumbers, the machine line of the private note. What does not: the
intents that use them (the ``posting`` room).
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import date

from ps_qb_pipeline.accounting.documents import Document, noted, to_json
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.shop import Order

DOC_NUMBER_LENGTH = 21
"""QuickBooks refuses longer document numbers."""


def document_key(policy: Policy, role: str, source_id: str | int, revision: int = 0) -> str:
    """``installation|role|source id|revision``: the identity of a document."""
    return f"{policy.installation}|{role}|{source_id}|{revision}"


def prefix(policy: Policy, id_shop: int) -> str:
    """``PS1-``: what every document number of a shop begins with."""
    return f"{policy.doc_prefix}{id_shop}-"


def sale_number(policy: Policy, id_shop: int, id_order: int) -> str:
    """The number of an order's sale, such as ``PS1-100045``."""
    return f"{prefix(policy, id_shop)}{id_order}"


def refund_number(policy: Policy, id_shop: int, id_order_slip: int) -> str:
    """The number of a credit slip's document, such as ``PS1-R2045``."""
    return f"{prefix(policy, id_shop)}R{id_order_slip}"


def payment_number(policy: Policy, id_shop: int, id_order_payment: int) -> str:
    """The reference number of a payment, such as ``PS1-P8841``."""
    return f"{prefix(policy, id_shop)}P{id_order_payment}"


def sale_names(policy: Policy, order: Order) -> tuple[str, str]:
    """Number and memo of an order's sale: the shop's invoice number is one of the two, where it has one."""
    key = sale_number(policy, order.id_shop, order.id)
    numbers = sorted({invoice.number for invoice in order.invoices if invoice.number})
    if not numbers and order.invoice_number:
        numbers = [order.invoice_number]
    shown = ", ".join(f"{policy.invoice_prefix}{number:06d}" for number in numbers)
    if policy.numbering == "invoice" and len(numbers) == 1 and len(shown) <= DOC_NUMBER_LENGTH:
        return shown, ""
    return key, shown


def refund_names(policy: Policy, order: Order, id_order_slip: int) -> tuple[str, str]:
    """Number and memo of a slip's document: the shop's slip number is one of the two."""
    shown = f"{policy.slip_prefix}{id_order_slip:06d}"
    if policy.numbering == "invoice" and len(shown) <= DOC_NUMBER_LENGTH:
        return shown, ""
    return refund_number(policy, order.id_shop, id_order_slip), shown


def adjustment_key(key: str, role: str, source_id: str, revision: int) -> str:
    """The key of the n-th adjustment of the document ``key``: a sale's source is its order's number alone."""
    source = source_id if role == "sale" else f"{role}-{source_id}"
    return f"{key.partition('|')[0]}|adjustment|{source}|{revision}"


def adjustment_number(number: str, revision: int) -> str:
    """The number of the n-th adjustment of a document, such as ``PS1-100045-A1``."""
    return shortened(f"{number}-A{revision}")


def summary_number(
    policy: Policy, id_shop: int, day: date, currency: str, method: str, *, refund: bool
) -> str:
    """The number of a day's summary, such as ``PSD1-260115-EUR-STR``; refunds carry an R before the day."""
    mark = "R" if refund else ""
    return shortened(f"{policy.doc_prefix}D{id_shop}-{mark}{day:%y%m%d}-{currency}-{method}")


def payout_number(kind: str, payout_id: str) -> str:
    """``PSF-``, ``PST-`` or ``PSX-`` and the payout's id, or 17 characters of its hash when it is longer."""
    number = f"{kind}-{payout_id}"
    if len(number) <= DOC_NUMBER_LENGTH:
        return number
    digest = base64.b32encode(hashlib.sha256(payout_id.encode()).digest()).decode()
    return f"{kind}-{digest[:17]}"


def shortened(number: str) -> str:
    """``number`` if QuickBooks takes its length, else without hyphens from the right until it does."""
    while len(number) > DOC_NUMBER_LENGTH and "-" in number:
        head, _, tail = number.rpartition("-")
        number = head + tail
    return number[:DOC_NUMBER_LENGTH]


def body_hash(document: Document) -> str:
    """Sixteen hexadecimal digits of the canonical body, its private note left out."""
    text = to_json(noted(document, "")) if document.private_note else to_json(document)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def with_note(document: Document) -> Document:
    """The document with its machine line, which holds no personal data."""
    installation, role, source, revision = document.key.split("|")
    reference = re.sub(r"[^A-Za-z0-9_-]", "", document.reference)
    note = (
        f"ps:{{v:1,i:{installation},s:{document.id_shop},o:{document.order_id},ref:{reference},"
        f"rev:{revision},role:{role},id:{source},h:{body_hash(document)}}}"
    )
    return noted(document, note)
