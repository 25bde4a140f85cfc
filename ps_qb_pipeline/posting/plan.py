"""Wanted against present: which writes are missing.

What lives here: the order of the waves, the content hash of a document, and the comparison of the
documents that should exist with the intents that are recorded. What does not: sending anything
(``sending``) and deciding what should exist (``accounting``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import NamedTuple

from ps_qb_pipeline.accounting.documents import Document, to_json
from ps_qb_pipeline.posting import echo
from ps_qb_pipeline.quickbooks.texts import DOC_NUMBER_LENGTH
from ps_qb_pipeline.state.intents import (
    CONFIRMED,
    DROPPED,
    FOR_A_PERSON,
    GONE,
    IN_FLIGHT,
    PLANNED,
    REJECTED,
    SUPERSEDED,
    VOIDED,
    Draft,
    Intent,
)


def waves(documents: Sequence[Document]) -> list[list[Document]]:
    """The documents in the order of their references: each wave refers to earlier ones only."""
    by_source = {source_key(one.key): one for one in documents}
    depths: dict[str, int] = {}

    def depth(document: Document, above: frozenset[str]) -> int:
        source = source_key(document.key)
        if source not in depths:
            before = [source_key(key) for key in references(document)]
            inside = [by_source[key] for key in before if key in by_source and key not in above]
            deepest = max((depth(one, above | {source}) for one in inside), default=-1)
            # What refers to a document of an earlier run still comes after the sales.
            depths[source] = max(deepest + 1, 1 if before else 0)
        return depths[source]

    ordered: dict[int, list[Document]] = {}
    for document in documents:
        ordered.setdefault(depth(document, frozenset()), []).append(document)
    return [ordered[level] for level in sorted(ordered)]


def document_sha(document: Document) -> str:
    """A hash of what the document books: amounts, accounts, items, tax, customer, dates.

    Texts are left out, so that a new wording in a later release does not rewrite old books.
    """
    lines = tuple(
        replace(line, description="", sku="", product_name="", product_id=0, product_attribute_id=0)
        for line in document.lines
    )
    plain = replace(
        document, key="", revision=0, reference="", customer_name="", private_note="", memo="", lines=lines
    )
    return hashlib.sha256(to_json(plain).encode()).hexdigest()


def source_key(key: str) -> str:
    """The key without its revision: what names the source object."""
    return key.rpartition("|")[0]


def installation_of(key: str) -> str:
    """The shop installation that a document key begins with."""
    return key.partition("|")[0]


def number_of(document: Document) -> str | None:
    """The number that the document has in QuickBooks, which cuts longer ones: by this it is looked up."""
    return document.doc_number[:DOC_NUMBER_LENGTH] or None


def order_key(document: Document) -> str:
    """The order that a document belongs to, unique across installations; empty without an order."""
    return f"{installation_of(document.key)}|{document.order_id}" if document.order_id else ""


def references(document: Document) -> tuple[str, ...]:
    """The keys of the documents that must be in the books before this one."""
    keys = [applied.to_key for applied in document.applied]
    if document.refund_of and document.order_id:
        keys.append(f"{installation_of(document.key)}|sale|{document.order_id}|0")
    return tuple(dict.fromkeys(key for key in keys if source_key(key) != source_key(document.key)))


Hashed = Callable[[Document], str]
"""``document_sha``, or the same with a memory: hashing is most of what a run without changes costs."""


def remembering() -> Hashed:
    """``document_sha`` that hashes each document once; for documents that all have other keys."""
    known: dict[str, str] = {}

    def hashed(document: Document) -> str:
        if document.key not in known:
            known[document.key] = document_sha(document)
        return known[document.key]

    return hashed


def draft(document: Document, body: bytes, hashed: Hashed = document_sha) -> Draft:
    """The intent to create this document with these bytes."""
    return Draft(
        key=document.key,
        operation="create",
        entity=document.type,
        role=document.role,
        source_id=str(document.source_id),
        revision=document.revision,
        doc_number=number_of(document),
        source_key=source_key(document.key),
        order_key=order_key(document),
        document=to_json(document),
        document_sha=hashed(document),
        amount=document.total,
        currency=document.currency,
        body=body,
    )


class Standing(NamedTuple):
    """Where one source stands: ``base`` is in the books, ``pending`` is under way, ``closed`` was and is gone."""

    base: Intent | None = None
    pending: Intent | None = None
    closed: Intent | None = None


def standing(history: Iterable[Intent]) -> Standing:
    """The newest intent of each kind in one source's history."""
    base = pending = closed = None
    for one in sorted(history, key=lambda intent: (intent.created_at, intent.revision)):
        if one.state == CONFIRMED and one.operation in {"create", "update"}:
            base = one
        elif one.state in {PLANNED, *IN_FLIGHT, *FOR_A_PERSON}:
            pending = one
        elif one.state in {VOIDED, GONE}:
            closed = one
    return Standing(base, pending, closed)


class Change(NamedTuple):
    """A document in the books that is wanted otherwise, with the change that is already under way, if any."""

    document: Document
    base: Intent
    pending: Intent | None


@dataclass(slots=True)
class Comparison:
    """The wanted documents by what is to be done about them."""

    new: list[Document] = field(default_factory=list)
    """No intent yet, or a plan that was dropped."""
    planned: list[tuple[Document, Intent]] = field(default_factory=list)
    """To be created; planned, and not or not successfully sent."""
    in_flight: list[tuple[Document, Intent]] = field(default_factory=list)
    """Sent, outcome unknown."""
    present: list[tuple[Document, Intent]] = field(default_factory=list)
    """In the books as wanted."""
    changed: list[Change] = field(default_factory=list)
    """In the books, but now wanted otherwise."""
    refused: list[tuple[Document, Intent]] = field(default_factory=list)
    """Refused by QuickBooks; a corrected body may go out."""
    waiting: list[tuple[Document, Intent]] = field(default_factory=list)
    """With a person."""
    gone: list[tuple[Document, Intent]] = field(default_factory=list)
    """Voided or deleted; never created again by themselves."""


def compare(
    documents: Iterable[Document], intents: Mapping[str, Sequence[Intent]], hashed: Hashed = document_sha
) -> Comparison:
    """Sort the wanted documents by what is recorded about their sources."""
    result = Comparison()
    for document in documents:
        history = [one for one in intents.get(source_key(document.key), ()) if _concerns(document, one)]
        _sort(document, standing(history), result, hashed)
    return result


def _concerns(document: Document, intent: Intent) -> bool:
    # An adjustment is a document of its own beside the one that it adjusts: it goes by its number.
    return document.role in echo.ONE_PER_SOURCE or intent.doc_number == number_of(document)


def _sort(document: Document, found: Standing, result: Comparison, hashed: Hashed) -> None:
    base, pending = found.base, found.pending
    if pending is not None and pending.state in IN_FLIGHT:
        result.in_flight.append((document, pending))
    elif base is not None and pending is not None and pending.state in {PLANNED, REJECTED}:
        result.changed.append(Change(document, base, pending))
    elif base is None and found.closed is not None:
        # A change under way of what a person removed meanwhile is no creation.
        result.gone.append((document, found.closed))
    elif pending is not None and pending.state == PLANNED:
        result.planned.append((document, pending))
    elif pending is not None and pending.state == REJECTED:
        result.refused.append((document, pending))
    elif pending is not None:
        result.waiting.append((document, pending))
    elif base is not None and base.document_sha == hashed(document):
        result.present.append((document, base))
    elif base is not None:
        result.changed.append(Change(document, base, None))
    elif found.closed is not None:
        result.gone.append((document, found.closed))
    else:
        result.new.append(document)


@dataclass(slots=True)
class OrderMoney:
    """What one order's recorded intents sold, received and gave back, in its currency, by source key."""

    sales: dict[str, Decimal] = field(default_factory=dict)
    payments: dict[str, Decimal] = field(default_factory=dict)
    refunds: dict[str, Decimal] = field(default_factory=dict)

    @classmethod
    def of(cls, order: Iterable[Intent]) -> OrderMoney:
        """The newest live amount of every source of the order."""
        money = cls()
        by_role = {"sale": money.sales, "payment": money.payments, "refund": money.refunds}
        for one in sorted(order, key=lambda intent: intent.revision):
            if one.operation == "void" or one.state in {DROPPED, SUPERSEDED, VOIDED, GONE, REJECTED}:
                continue
            if one.role in by_role:
                by_role[one.role][one.source_key] = one.amount
        return money

    def refund(self, document: Document) -> Decimal:
        """Count a refund in; returns by how much it takes the refunds above the receipts, 0 when not.

        An order whose sale we never booked (it is older than the connection) has no receipts to
        compare with; the engine has checked that refund against the shop's own figures.
        """
        source = source_key(document.key)
        others = sum((amount for key, amount in self.refunds.items() if key != source), Decimal(0))
        received = max(sum(self.sales.values(), Decimal(0)), sum(self.payments.values(), Decimal(0)))
        above = others + document.total - received
        if self.sales and above > 0:
            return above
        self.refunds[source] = document.total
        return Decimal(0)
