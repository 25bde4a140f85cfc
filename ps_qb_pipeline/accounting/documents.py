"""What the engine produces: documents, customers, items and sources, as immutable values.

What lives here: shapes and their canonical JSON. What does not: how a document is made
(``translate``) and how it is written for QuickBooks (the ``quickbooks`` room). Accounts, items, tax
codes and customers are named, never numbered: only the books know their ids.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any, Literal

from ps_qb_pipeline.accounting.findings import Finding

DocumentType = Literal[
    "SalesReceipt",
    "Invoice",
    "Payment",
    "RefundReceipt",
    "CreditMemo",
    "JournalEntry",
    "Purchase",
    "Transfer",
    "Deposit",
]
Role = Literal[
    "credit",
    "deferral",
    "sale",
    "payment",
    "refund",
    "adjustment",
    "summary",
    "deposit",
    "fee",
    "payout",
    "exchange",
    "chargeback",
]
LineKind = Literal[
    "product",
    "goods",
    "shipping",
    "discount",
    "wrapping",
    "ecotax",
    "rounding",
    "restocking",
    "store_credit",
    "gift_card",
    "deposit",
    "chargeback",
    "tax",
    "account",
]
SourceType = Literal["order", "payment", "slip"]
SourceStatus = Literal["postable", "held", "not_postable", "before_go_live"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a document; ``amount`` is without tax, in the document's currency.

    ``item`` is the item's name for the special kinds ("PS Shipping") and the item key for products.
    ``quantity`` and ``unit_price`` stand only where their product, rounded, is ``amount``.
    ``tax_inclusive_amount`` is set in tax-inclusive documents only. ``posting`` is set in journal
    entries only, and ``foreign_amount`` where such a line moves an account of another currency.
    """

    kind: LineKind
    item: str
    amount: Decimal
    tax_code: str = ""
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    description: str = ""
    sku: str = ""
    product_name: str = ""
    product_id: int = 0
    product_attribute_id: int = 0
    order_detail_id: int = 0
    account: str = ""
    tax_inclusive_amount: Decimal | None = None
    posting: Literal["", "debit", "credit"] = ""
    foreign_amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class TaxLine:
    """The tax of one rate in one document. ``rate`` is in percent; ``base`` sums the lines of ``code``."""

    code: str
    rate: Decimal
    base: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Applied:
    """A part of a payment or credit that settles another document."""

    to_key: str
    to_doc_number: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Document:
    """One document that should be in QuickBooks. Amounts are in ``currency``, to its minor unit.

    ``key`` is ``installation|role|source id|revision``: at most one live document has it. For a
    Payment ``doc_number`` is its reference number. ``exchange_rate`` is home units per foreign unit,
    None in home currency. ``total_tax`` is included in ``total``.
    """

    key: str
    type: DocumentType
    role: Role
    source_id: str
    revision: int
    doc_number: str
    order_id: int
    id_shop: int
    reference: str
    txn_date: date
    currency: str
    total: Decimal
    due_date: date | None = None
    exchange_rate: Decimal | None = None
    home_total: Decimal | None = None
    customer_key: str = ""
    customer_name: str = ""
    location: str = ""
    klass: str = ""
    global_tax: Literal["TaxExcluded", "TaxInclusive", "NotApplicable", ""] = ""
    lines: tuple[Line, ...] = ()
    taxes: tuple[TaxLine, ...] = ()
    total_tax: Decimal = Decimal(0)
    deposit_to: str = ""
    payment_method: str = ""
    applied: tuple[Applied, ...] = ()
    unapplied: Decimal = Decimal(0)
    refund_of: str = ""
    from_account: str = ""
    to_account: str = ""
    private_note: str = ""
    memo: str = ""


@dataclass(frozen=True, slots=True)
class PostalAddress:
    """An address as QuickBooks lays it out. ``subdivision`` is the ISO 3166-2 code without country."""

    line1: str = ""
    line2: str = ""
    line3: str = ""
    city: str = ""
    postal_code: str = ""
    subdivision: str = ""
    country: str = ""


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer card, one per person or company and currency. Personal data: never log it."""

    key: str
    display_name: str
    given_name: str = ""
    family_name: str = ""
    company: str = ""
    email: str = ""
    phone: str = ""
    vat_number: str = ""
    currency: str = ""
    billing: PostalAddress | None = None
    shipping: PostalAddress | None = None
    source_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One sellable thing. ``key`` is ``sku:<SKU>`` or, without one, ``ps:<product>-<combination>``."""

    key: str
    sku: str
    name: str
    type: Literal["NonInventory", "Service", "Inventory"] = "NonInventory"
    income_account: str = ""
    product_id: int = 0
    product_attribute_id: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """What became of one order, payment row or credit slip: each has exactly one of these.

    ``amount`` is the gross of the source in ``currency``; ``event_at`` is shop-local wall time;
    ``reason`` is a finding code for held sources, a word such as ``unpaid`` for not postable ones.
    """

    type: SourceType
    source_id: int
    order_id: int
    id_shop: int
    reference: str
    status: SourceStatus
    reason: str
    currency: str
    amount: Decimal
    event_at: datetime | None
    document_key: str = ""


@dataclass(frozen=True, slots=True)
class Translation:
    """Everything that one reference group becomes."""

    documents: tuple[Document, ...]
    customers: tuple[Customer, ...]
    items: tuple[Item, ...]
    findings: tuple[Finding, ...]
    sources: tuple[Source, ...]


Value = Document | Customer | Item | Source


def to_json(value: Value) -> str:
    """The canonical JSON of a value: sorted keys, no spaces, decimals and dates as strings.

    Two values are equal exactly when their canonical JSON is; fields at their default are left out.
    """
    return _encoded(value)


def from_json(text: str) -> Document:
    """The document whose canonical JSON is ``text``."""
    return _document(json.loads(text))


def customer_from_json(text: str) -> Customer:
    """The customer card whose canonical JSON is ``text``."""
    body: dict[str, Any] = json.loads(text)
    for role in ("billing", "shipping"):
        if body.get(role) is not None:
            body[role] = PostalAddress(**body[role])
    body["source_ids"] = tuple(body.get("source_ids", ()))
    return Customer(**body)


def item_from_json(text: str) -> Item:
    """The item whose canonical JSON is ``text``."""
    return Item(**json.loads(text))


_Layout = tuple[Callable[[Any], tuple[Any, ...]], tuple[tuple[str, Any, type], ...]]


@cache
def _layout(kind: type) -> _Layout:
    """How values of a class are read at once; each field's JSON name, default and its type, by name."""
    fields = sorted(dataclasses.fields(kind), key=lambda field: field.name)
    names = tuple((f'"{field.name}":', field.default, type(field.default)) for field in fields)
    return attrgetter(*(field.name for field in fields)), names


def _encoded(value: Any) -> str:
    """A dataclass as a JSON object; written out here because every document passes twice.

    Types are compared before values, because a Decimal takes long to find out that it is no None.
    """
    kind: type = type(value)
    read, names = _layout(kind)
    parts = []
    for (name, default, usual), content in zip(names, read(value), strict=False):
        kind = type(content)
        if kind is usual and content == default:
            continue
        parts.append(name + _WRITERS.get(kind, _encoded)(content))
    return "{" + ",".join(parts) + "}"


def _list(values: tuple[Any, ...]) -> str:
    """A tuple as a JSON list. The same lines are written twice in a row, for the hash and with the note."""
    known = _recent.get(id(values))
    if known is None or known[0] is not values:
        text = "[" + ",".join([_WRITERS.get(type(value), _encoded)(value) for value in values]) + "]"
        if len(_recent) >= _REMEMBERED:
            _recent.clear()
        known = _recent[id(values)] = (values, text)
    return known[1]


_REMEMBERED = 64
_recent: dict[int, tuple[tuple[Any, ...], str]] = {}
"""Lists that were just written, with their JSON; values never change, and one that is in here is not freed."""


def _text(value: Decimal | date) -> str:
    return f'"{value}"'


_WRITERS: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: str,
    bool: json.dumps,
    type(None): json.dumps,
    Decimal: _text,
    date: _text,
    datetime: _text,
    tuple: _list,
}

_FIELDS = attrgetter(*Document.__slots__)
_NOTE = Document.__slots__.index("private_note")


def noted(document: Document, private_note: str) -> Document:
    """The document with another private note."""
    values = [*_FIELDS(document)]
    values[_NOTE] = private_note
    return Document(*values)


_AMOUNTS = {"amount", "base", "rate", "quantity", "unit_price", "tax_inclusive_amount", "foreign_amount"}
_TOTALS = {"total", "total_tax", "exchange_rate", "home_total", "unapplied"}


def _document(body: dict[str, Any]) -> Document:
    for name in _TOTALS & body.keys():
        body[name] = Decimal(body[name])
    for name in ("txn_date", "due_date"):
        if name in body:
            body[name] = date.fromisoformat(body[name])
    body["lines"] = tuple(Line(**_decimals(line)) for line in body.get("lines", ()))
    body["taxes"] = tuple(TaxLine(**_decimals(tax)) for tax in body.get("taxes", ()))
    body["applied"] = tuple(Applied(**_decimals(part)) for part in body.get("applied", ()))
    return Document(**body)


def _decimals(body: dict[str, Any]) -> dict[str, Any]:
    return {name: Decimal(content) if name in _AMOUNTS else content for name, content in body.items()}
