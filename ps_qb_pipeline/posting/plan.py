"""Wanted against present: which writes are missing.

What lives here: the order of the waves, the content hash of a document, and the comparison of the
documents that should exist with the intents that are recorded. What does not: sending anything
(``sending``) and deciding what should exist (``accounting``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from ps_qb_pipeline.accounting.documents import Document, to_json
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

_RUN = re.compile(r",?run:[^,}]*")


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
    """A hash of what the document says, whichever run and revision says it."""
    plain = replace(document, key="", revision=0, private_note=_RUN.sub("", document.private_note))
    return hashlib.sha256(to_json(plain).encode()).hexdigest()


def source_key(key: str) -> str:
    """The key without its revision: what names the source object."""
    return key.rpartition("|")[0]


def installation_of(key: str) -> str:
    """The shop installation that a document key begins with."""
    return key.partition("|")[0]


def order_key(document: Document) -> str:
    """The order that a document belongs to, unique across installations; empty without an order."""
    return f"{installation_of(document.key)}|{document.order_id}" if document.order_id else ""


def references(document: Document) -> tuple[str, ...]:
    """The keys of the documents that must be in the books before this one."""
    keys = [applied.to_key for applied in document.applied]
    if document.refund_of and document.order_id:
        keys.append(f"{installation_of(document.key)}|sale|{document.order_id}|0")
    return tuple(dict.fromkeys(key for key in keys if source_key(key) != source_key(document.key)))


def draft(document: Document, body: bytes) -> Draft:
    """The intent to create this document with these bytes."""
    return Draft(
        key=document.key,
        operation="create",
        entity=document.type,
        role=document.role,
        source_id=str(document.source_id),
        revision=document.revision,
        doc_number=document.doc_number or None,
        source_key=source_key(document.key),
        order_key=order_key(document),
        document=to_json(document),
        document_sha=document_sha(document),
        amount=document.total,
        currency=document.currency,
        body=body,
    )


@dataclass(slots=True)
class Comparison:
    """The wanted documents by what is to be done about them."""

    new: list[Document] = field(default_factory=list)
    """No intent yet, or a plan that was dropped."""
    planned: list[tuple[Document, Intent]] = field(default_factory=list)
    """Planned, and not or not successfully sent."""
    in_flight: list[Intent] = field(default_factory=list)
    """Sent, outcome unknown."""
    present: list[Intent] = field(default_factory=list)
    """In the books as wanted."""
    changed: list[tuple[Document, Intent]] = field(default_factory=list)
    """In the books, but now wanted otherwise."""
    refused: list[tuple[Document, Intent]] = field(default_factory=list)
    """Refused by QuickBooks; a corrected body may go out."""
    waiting: list[Intent] = field(default_factory=list)
    """With a person."""
    gone: list[Intent] = field(default_factory=list)
    """Voided or deleted; never created again by themselves."""


def compare(documents: Iterable[Document], intents: Mapping[str, Sequence[Intent]]) -> Comparison:
    """Sort the wanted documents by what is recorded about their sources."""
    result = Comparison()
    for document in documents:
        history = [one for one in intents.get(source_key(document.key), ()) if _concerns(document, one)]
        _sort(document, history, result)
    return result


def _concerns(document: Document, intent: Intent) -> bool:
    # An adjustment is a document of its own beside the one that it adjusts: keys must be equal.
    if document.role in {"sale", "payment", "refund"}:
        return intent.state != DROPPED or intent.key == document.key
    return intent.key == document.key


def _sort(document: Document, history: Sequence[Intent], result: Comparison) -> None:
    live = [one for one in history if one.state not in {SUPERSEDED, DROPPED}]
    if not live:
        result.new.append(document)
        return
    newest = live[-1]
    if newest.operation == "void" and newest.state == CONFIRMED:
        result.gone.append(newest)
    elif newest.state == PLANNED:
        result.planned.append((document, newest))
    elif newest.state in IN_FLIGHT:
        result.in_flight.append(newest)
    elif newest.state in {VOIDED, GONE}:
        result.gone.append(newest)
    elif newest.state == CONFIRMED:
        same = newest.document_sha == document_sha(document)
        if same:
            result.present.append(newest)
        else:
            result.changed.append((document, newest))
    elif newest.state == REJECTED:
        result.refused.append((document, newest))
    elif newest.state in FOR_A_PERSON:
        result.waiting.append(newest)


@dataclass(slots=True)
class OrderMoney:
    """What one order's recorded intents sold, received and gave back, in its currency."""

    sold: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    has_sale: bool = False
    refunds: dict[str, Decimal] = field(default_factory=dict)

    @classmethod
    def of(cls, order: Iterable[Intent]) -> OrderMoney:
        """The sums over an order's live intents."""
        money = cls()
        for one in order:
            if one.operation == "void" or one.state in {DROPPED, SUPERSEDED, VOIDED, GONE, REJECTED}:
                continue
            if one.role == "sale":
                money.sold += one.amount
                money.has_sale = True
            elif one.role == "payment":
                money.paid += one.amount
            elif one.role == "refund":
                money.refunds[one.source_key] = one.amount
        return money

    def refund(self, document: Document) -> Decimal:
        """Count a refund in; returns by how much it takes the refunds above the receipts, 0 when not.

        An order whose sale we never booked (it is older than the connection) has no receipts to
        compare with; the engine has checked that refund against the shop's own figures.
        """
        source = source_key(document.key)
        others = sum((amount for key, amount in self.refunds.items() if key != source), Decimal(0))
        above = others + document.total - max(self.sold, self.paid)
        if self.has_sale and above > 0:
            return above
        self.refunds[source] = document.total
        return Decimal(0)
