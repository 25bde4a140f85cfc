"""What a group's translation collects: documents, cards, findings, sources; and one order on its way.

What lives here: writing results down under the right keys. What does not: deciding them
(``translate``, ``money_in``, ``money_out``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting import currency as fx
from ps_qb_pipeline.accounting import identity, payments, rules, trust
from ps_qb_pipeline.accounting.customers import card
from ps_qb_pipeline.accounting.documents import (
    Customer,
    Document,
    DocumentType,
    Item,
    Role,
    Source,
    SourceStatus,
    SourceType,
    Translation,
)
from ps_qb_pipeline.accounting.findings import CODES, Finding
from ps_qb_pipeline.accounting.money import ZERO, to_minor
from ps_qb_pipeline.accounting.notes import Hold, Note
from ps_qb_pipeline.accounting.periods import dated
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.recognition import Recognition
from ps_qb_pipeline.accounting.sale import Builder, Sale
from ps_qb_pipeline.accounting.shop import Order, Payment, ReferenceGroup, Slip
from ps_qb_pipeline.accounting.tax_codes import TaxTable

_NO_EXCHANGE = fx.Exchange(None)
_NO_RULES = rules.Outcome()


class Engine:
    """A policy with the look-ups that it implies, made once and used for many groups."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.table = TaxTable(policy)
        self.methods = payments.Methods(policy)


@dataclass(slots=True)
class Case:
    """One order on its way: what is known of it, and what it has become so far."""

    order: Order
    recognition: Recognition
    status: SourceStatus = "postable"
    reason: str = ""
    sale: Sale | None = None
    exchange: fx.Exchange = _NO_EXCHANGE
    outcome: rules.Outcome = _NO_RULES
    document: Document | None = None
    customer: Customer | None = None
    cash: bool = False
    total: Decimal = field(init=False)
    """What the order charges, tax included."""

    def __post_init__(self) -> None:
        self.total = to_minor(self.order.paid.ti, self.order.currency)

    @property
    def day(self) -> date:
        """The day of the sale, or of the order as long as there is no sale."""
        return self.recognition.day or self.order.date_add.date()

    @property
    def bookable(self) -> bool:
        """Whether the order is a sale that can be booked."""
        return self.status == "postable" and self.sale is not None


@dataclass(slots=True)
class Record:
    """Everything that one group becomes, while it is being written down."""

    group: ReferenceGroup
    engine: Engine
    posted: Mapping[str, date] | None = None
    """Dates of the documents that the books already hold, by key; None when nothing is known of them."""
    invoices: frozenset[str] = frozenset()
    """Keys of the sales that stand in the books as invoices."""
    documents: list[Document] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)

    def is_posted(self, key: str) -> bool:
        """Whether the books hold a document, as far as that is known."""
        return self.posted is not None and key in self.posted

    @property
    def policy(self) -> Policy:
        """The accountant's policy."""
        return self.engine.policy

    def translation(self) -> Translation:
        """The collected results as values."""
        return Translation(
            tuple(identity.with_note(document) for document in self.documents),
            tuple(self.customers.values()),
            tuple(self.items.values()),
            tuple(self.findings),
            tuple(self.sources),
        )

    # -- sales ---------------------------------------------------------------------------------

    def build(self, case: Case, shippings: trust.Shippings) -> Sale:
        """The inside of an order's sale; raises Hold where something is not understood."""
        order = case.order
        if case.outcome.hold:
            raise Hold("RULE_HOLD", case.outcome.hold, case.total)
        shipping = shippings.by_order[order.id]
        verdict = trust.check(order, shipping)
        if verdict.code:
            raise Hold(verdict.code, verdict.message, case.total, **verdict.evidence)
        case.exchange = fx.exchange(order, self.group.shop, self.policy, case.day)
        for code in case.exchange.codes:
            self.note(case, Note(code, case.total, f"the shop's rate is {order.conversion_rate:f}"))
        if case.exchange.missing:
            raise Hold("FX_RATE_MISSING", f"no rate for {order.currency} on {case.day}", case.total)
        builder = Builder(order, self.group.shop, self.policy, self.engine.table, shipping, case.outcome)
        sale = builder.build(verdict)
        if order.id in shippings.derived:
            self.note(
                case, Note("SPLIT_SHIPPING_DERIVED", shipping.ti, "the part's own shipping was derived")
            )
        if trust.was_edited(order, self.group):
            self.note(case, Note("ORDER_EDITED", ZERO, "the order changed after its checkout"))
        for note in sale.notes:
            self.note(case, note)
        case.sale = sale
        case.customer = card(order, self.policy)
        return sale

    # -- documents -----------------------------------------------------------------------------

    def document(
        self,
        case: Case,
        kind: DocumentType,
        role: Role,
        source: int | str,
        number: str,
        day: date,
        total: Decimal,
        **more: Any,
    ) -> Document:
        """A document of an order with everything that all of its documents share."""
        order, policy = case.order, self.policy
        customer = case.customer or card(order, policy)
        self.customers[customer.key] = customer
        rate = case.exchange.rate
        return Document(
            key=identity.document_key(policy, role, source),
            type=kind,
            role=role,
            source_id=str(source),
            revision=0,
            doc_number=number,
            order_id=order.id,
            id_shop=order.id_shop,
            reference=order.reference,
            txn_date=day,
            currency=order.currency,
            total=total,
            exchange_rate=rate,
            home_total=fx.home_amount(total, rate, policy.home_currency),
            customer_key=customer.key,
            customer_name=customer.display_name,
            location=case.outcome.location or policy.locations.get(order.id_shop, ""),
            klass=case.outcome.klass or policy.classes.get(order.id_shop, ""),
            **more,
        )

    def place(self, document: Document, source: str, number: int) -> Document | None:
        """Put a document where its period is open; None when it has to wait. Says so either way."""
        placed, note = dated(document, self.policy, self.posted)
        if note:
            self.find(
                "PERIOD_CLOSED",
                source,
                number,
                document.order_id,
                document.total,
                document.currency,
                note,
                document.key,
            )
        if placed is not None:
            self.documents.append(placed)
        return placed

    def account(self, receipt: payments.Receipt, order: Order) -> str:
        """The account that took a payment of ``order``; nothing when the policy names none."""
        if receipt.method is None:
            return ""
        return payments.account(
            receipt.method, order.currency, self.policy, carrier=order.carrier, proved=receipt.proved
        )

    # -- findings ------------------------------------------------------------------------------

    def hold(self, case: Case, note: Note) -> None:
        """Hold an order for the reason that ``note`` gives."""
        case.status, case.reason = "held", note.code
        case.sale = None
        self.note(case, note)

    def hold_as(self, case: Case, code: str) -> None:
        """Hold an order for a reason that needs no other words than the code's."""
        self.hold(case, Note(code, case.total, CODES[code].meaning))

    def note(self, case: Case, note: Note) -> None:
        """A finding on an order."""
        key = identity.document_key(self.policy, "sale", case.order.id)
        self._noted(case, note, "order", case.order.id, key)

    def slip_note(self, case: Case, slip: Slip, note: Note) -> None:
        """A finding on a credit slip."""
        self._noted(case, note, "slip", slip.id, identity.document_key(self.policy, "refund", slip.id))

    def payment_note(self, case: Case, payment: Payment, note: Note) -> None:
        """A finding on a payment row."""
        key = identity.document_key(self.policy, "payment", payment.id)
        self._noted(case, note, "payment", payment.id, key)

    def _noted(self, case: Case, note: Note, source: str, number: int, key: str) -> None:
        order = case.order
        self.find(
            note.code, source, number, order.id, note.amount, order.currency, note.message, key, note.evidence
        )

    def find(
        self,
        code: str,
        source: str,
        number: int,
        order: int,
        amount: Decimal,
        currency: str,
        message: str,
        key: str = "",
        evidence: Mapping[str, Any] | None = None,
    ) -> None:
        """A finding on any source."""
        self.findings.append(
            Finding(code, source, number, order, key, amount, currency, message, dict(evidence or {}))
        )

    # -- sources -------------------------------------------------------------------------------

    def order_source(self, case: Case) -> None:
        """What became of an order."""
        order = case.order
        at = datetime.combine(case.day, order.date_add.time()) if case.recognition.day else order.date_add
        key = case.document.key if case.document else ""
        self.source("order", order.id, order, case.status, case.reason, case.total, order.currency, at, key)

    def payment_source(self, payment: Payment, status: SourceStatus, reason: str, key: str = "") -> None:
        """What became of a payment row."""
        order = self.group.orders[0] if self.group.orders else None
        amount = to_minor(payment.amount, payment.currency)
        self.source(
            "payment", payment.id, order, status, reason, amount, payment.currency, payment.date_add, key
        )

    def slip_source(
        self, case: Case, slip: Slip, status: SourceStatus, reason: str, gross: Decimal, key: str = ""
    ) -> None:
        """What became of a credit slip."""
        order = case.order
        self.source("slip", slip.id, order, status, reason, gross, order.currency, slip.date_add, key)

    def source(
        self,
        kind: SourceType,
        number: int,
        order: Order | None,
        status: SourceStatus,
        reason: str,
        amount: Decimal = ZERO,
        currency: str = "",
        at: datetime | None = None,
        key: str = "",
        *,
        order_id: int = 0,
    ) -> None:
        """What became of any source."""
        self.sources.append(
            Source(
                kind,
                number,
                order.id if order else order_id,
                order.id_shop if order else 0,
                self.group.reference,
                status,
                reason,
                currency,
                amount,
                at,
                key,
            )
        )
