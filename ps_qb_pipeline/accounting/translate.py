"""One reference group to the documents, cards, findings and sources that it becomes.

What lives here: the order of the steps and the documents around what the other modules build. What
does not: amounts, taxes, dates and names themselves; each has a module of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from ps_qb_pipeline.accounting import currency as fx
from ps_qb_pipeline.accounting import identity, payments, prepayments, refunds, rules, trust
from ps_qb_pipeline.accounting.customers import card
from ps_qb_pipeline.accounting.documents import (
    Applied,
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
from ps_qb_pipeline.accounting.periods import dated
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.recognition import Recognition, recognise
from ps_qb_pipeline.accounting.sale import Builder, Hold, Note, Sale
from ps_qb_pipeline.accounting.shop import Order, Payment, ReferenceGroup, Slip
from ps_qb_pipeline.accounting.tax_codes import TaxTable


class Engine:
    """A policy with the look-ups that it implies, made once and used for many groups."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.table = TaxTable(policy)
        self.methods = payments.Methods(policy)


_ENGINES: list[Engine] = []


def engine_of(policy: Policy) -> Engine:
    """The engine of a policy; the last few are kept."""
    for engine in _ENGINES:
        if engine.policy is policy:
            return engine
    engine = Engine(policy)
    _ENGINES.insert(0, engine)
    del _ENGINES[4:]
    return engine


def translate(
    group: ReferenceGroup, policy: Policy, *, go_live: date, posted: Iterable[str] = ()
) -> Translation:
    """Everything that one reference group becomes; every order, payment and slip is in it exactly once.

    ``posted`` holds the keys of the group's documents that the books already hold; only documents for
    money before the sale depend on it.
    """
    return _Group(group, engine_of(policy), go_live, frozenset(posted)).translation()


@dataclass(slots=True)
class _Case:
    """One order on its way: what is known of it, and what it has become so far."""

    order: Order
    recognition: Recognition
    status: SourceStatus = "postable"
    reason: str = ""
    sale: Sale | None = None
    exchange: fx.Exchange = field(default_factory=lambda: fx.Exchange(None))
    outcome: rules.Outcome = field(default_factory=rules.Outcome)
    document: Document | None = None
    customer: Customer | None = None
    cash: bool = False

    @property
    def day(self) -> date:
        return self.recognition.day or self.order.date_add.date()

    @property
    def total(self) -> Decimal:
        return to_minor(self.order.paid.ti, self.order.currency)

    @property
    def bookable(self) -> bool:
        return self.status == "postable" and self.sale is not None


class _Group:
    """The translation of one group, step by step."""

    def __init__(self, group: ReferenceGroup, engine: Engine, go_live: date, posted: frozenset[str]) -> None:
        self.group = group
        self.engine = engine
        self.policy = engine.policy
        self.go_live = go_live
        self.posted = posted
        self.documents: list[Document] = []
        self.findings: list[Finding] = []
        self.sources: list[Source] = []
        self.items: dict[str, Item] = {}
        self.customers: dict[str, Customer] = {}
        self.cases: list[_Case] = []
        self.receipts: list[payments.Receipt] = []

    def translation(self) -> Translation:
        self._poisoned()
        shippings = trust.shippings(self.group.orders)
        for order in self.group.orders:
            self.cases.append(self._case(order))
        self._recognise_together()
        for case in self.cases:
            if case.status == "postable":
                self._sell(case, shippings)
        self._receive()
        for case in self.cases:
            self._sale_document(case)
        self._payment_documents()
        for case in self.cases:
            self._refund_documents(case)
            self._missing_slips(case)
            self._order_source(case)
        return Translation(
            tuple(identity.with_note(document) for document in self.documents),
            tuple(self.customers.values()),
            tuple(self.items.values()),
            tuple(self.findings),
            tuple(self.sources),
        )

    # -- what an order is ----------------------------------------------------------------------

    def _poisoned(self) -> None:
        """Rows that cannot be read: held alone when they are whole orders, payments or slips."""
        orders = {order.id for order in self.group.orders}
        for poison in self.group.poison:
            kind: Any = poison.source_type if poison.source_type != "detail" else "order"
            number = poison.order_id if poison.source_type == "detail" else poison.source_id
            self._find("POISON_RECORD", kind, number, poison.order_id, ZERO, "", poison.reason)
            if poison.source_type == "detail" or (kind == "order" and number in orders):
                continue
            self._source(
                kind, number, None, "held", "POISON_RECORD", ZERO, "", None, order_id=poison.order_id
            )

    def _case(self, order: Order) -> _Case:
        recognition = recognise(order, self.policy)
        case = _Case(order, recognition)
        if any(p.source_type == "detail" and p.order_id == order.id for p in self.group.poison):
            return self._held(case, "POISON_RECORD")
        if not recognition.recognised:
            case.status, case.reason = "not_postable", recognition.reason or "unpaid"
            if recognition.reason == "error":
                case.reason = "unpaid"
                if any(payment.amount for payment in self.group.payments):
                    self._note(case, Note("PAY_UNDER", case.total, "the shop reports a payment error"))
                    return self._held(case, "PAY_UNDER")
        if case.day < self.go_live:
            case.status, case.reason = "before_go_live", "BEFORE_GO_LIVE"
            self._note(
                case, Note("BEFORE_GO_LIVE", case.total, "the order is older than the connection's start")
            )
        return case

    def _recognise_together(self) -> None:
        """Orders of one paid cart that a module forgot to move: they were sold with the others."""
        sold = [case for case in self.cases if case.recognition.recognised]
        forgotten = [case for case in self.cases if case.status == "not_postable" and case.reason == "unpaid"]
        if not sold or not forgotten:
            return
        total = sum((case.total for case in self.cases), ZERO)
        made = payments.receive(
            self.group.payments,
            self.group.orders,
            self.engine.methods,
            self.group.shop,
            totals={case.order.id: case.total for case in self.cases},
        )
        if sum((receipt.amount for receipt in made if receipt.proved), ZERO) < total:
            return
        first = sold[0].recognition
        for case in forgotten:
            case.recognition = replace(first, cancelled=False, refunded=False, reversed_at=None)
            case.status, case.reason = "postable", ""

    def _sell(self, case: _Case, shippings: trust.Shippings) -> None:
        """Build the sale of a recognised order, or hold it with the reason."""
        order, policy = case.order, self.policy
        if case.recognition.cancelled and policy.issued_invoices == "edit" and not self.group.payments:
            case.status, case.reason = "not_postable", "cancelled"
            return
        if not case.total and policy.zero_total == "skip":
            case.status, case.reason = "not_postable", "zero_total"
            return
        method = self.engine.methods.of(order.payment, order.module)
        case.outcome = rules.apply(order, policy, method=method.name if method else "", day=case.day)
        try:
            self._build(case, shippings)
        except Hold as hold:
            self._note(case, hold.note)
            self._held(case, hold.note.code)

    def _build(self, case: _Case, shippings: trust.Shippings) -> None:
        order = case.order
        if case.outcome.hold:
            raise Hold("RULE_HOLD", case.outcome.hold, case.total)
        shipping = shippings.by_order[order.id]
        verdict = trust.check(order, shipping)
        if verdict.code:
            raise Hold(verdict.code, verdict.message, case.total, **verdict.evidence)
        case.exchange = fx.exchange(order, self.group.shop, self.policy, case.day)
        for code in case.exchange.codes:
            self._note(case, Note(code, case.total, f"the shop's rate is {order.conversion_rate:f}"))
        if case.exchange.missing:
            raise Hold("FX_RATE_MISSING", f"no rate for {order.currency} on {case.day}", case.total)
        sale = Builder(order, self.group.shop, self.policy, self.engine.table, shipping, case.outcome).build(
            verdict
        )
        if shippings.repaired:
            self._note(
                case, Note("SPLIT_SHIPPING_DERIVED", shipping.ti, "the part's own shipping was derived")
            )
        if verdict.ecotax_left_out:
            self._note(case, Note("ECOTAX_LEFT_OUT", ZERO, "lines carry an ecotax that the totals leave out"))
        if verdict.odd_rows:
            self._note(
                case, Note("ROW_TOTAL_DIFF", ZERO, f"{verdict.odd_rows} lines are not quantity times price")
            )
        for note in sale.notes:
            self._note(case, note)
        case.sale = sale
        case.customer = card(order, self.policy)

    # -- money in ------------------------------------------------------------------------------

    def _receive(self) -> None:
        """Allocate the payments, and choose between sales receipts and invoices."""
        owing = [
            case for case in self.cases if case.recognition.recognised and case.status != "before_go_live"
        ]
        owing = [case for case in owing if case.status in {"postable", "held"}]
        self.receipts = payments.receive(
            self.group.payments,
            self.group.orders,
            self.engine.methods,
            self.group.shop,
            totals={case.order.id: case.total for case in owing},
        )
        for case in self.cases:
            self._unmapped_method(case)
        selling = [case for case in self.cases if case.bookable]
        cash = (
            all(payments.is_cash_sale(case.order, self.receipts, case.total, case.day) for case in selling)
            and not self._advances()
        )
        for case in selling:
            case.cash = cash

    def _advances(self) -> list[payments.Receipt]:
        """Payments that the books already hold as an advance on the sale."""
        return [
            receipt
            for receipt in self.receipts
            if identity.document_key(self.policy, "deposit", receipt.payment.id) in self.posted
        ]

    def _unmapped_method(self, case: _Case) -> None:
        """Hold an order when money of a row that pays it would have no account to go to."""
        if not case.bookable:
            return
        for receipt in self.receipts:
            if not any(number == case.order.id for number, _ in receipt.parts):
                continue
            if receipt.method is None or not self._account(receipt, case.order):
                label = receipt.payment.label
                self._note(
                    case,
                    Note(
                        "METHOD_UNMAPPED",
                        receipt.amount,
                        f"no account is set for {label!r} in {case.order.currency}",
                    ),
                )
                self._held(case, "METHOD_UNMAPPED")
                case.sale = None
                return

    def _account(self, receipt: payments.Receipt, order: Order) -> str:
        if receipt.method is None:
            return ""
        return payments.account(
            receipt.method, order.currency, self.policy, carrier=order.carrier, proved=receipt.proved
        )

    # -- documents -----------------------------------------------------------------------------

    def _document(
        self,
        case: _Case,
        kind: DocumentType,
        role: Role,
        source: int | str,
        number: str,
        day: date,
        total: Decimal,
        *,
        revision: int = 0,
        **more: Any,
    ) -> Document:
        """A document of an order with everything that all of its documents share."""
        order, policy = case.order, self.policy
        customer = case.customer or card(order, policy)
        self.customers[customer.key] = customer
        rate = case.exchange.rate
        return Document(
            key=identity.document_key(policy, role, source, revision),
            type=kind,
            role=role,
            source_id=str(source),
            revision=revision,
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

    @property
    def _global_tax(self) -> Literal["TaxExcluded", "TaxInclusive", "NotApplicable", ""]:
        mode = self.policy.tax_mode
        if mode in {"US_AST", "US_MANUAL"}:
            return ""
        return "NotApplicable" if mode == "NO_TAX" else "TaxExcluded"

    def _sale_document(self, case: _Case) -> None:
        if not case.bookable or case.sale is None:
            return
        order, sale = case.order, case.sale
        own = [receipt for receipt in self.receipts if any(number == order.id for number, _ in receipt.parts)]
        method = own[0].method if own else self.engine.methods.of(order.payment, order.module)
        number, memo = identity.sale_names(self.policy, order)
        more: dict[str, Any] = {
            "lines": sale.lines,
            "taxes": sale.taxes,
            "total_tax": sale.total_tax,
            "memo": memo,
        }
        if case.cash:
            if own:
                more["deposit_to"] = self._account(own[0], order)
            elif method is not None:
                more["deposit_to"] = payments.account(
                    method, order.currency, self.policy, carrier=order.carrier
                )
        else:
            more["due_date"] = case.day + timedelta(days=payments.due_days(method))
        more["payment_method"] = method.setting.books_name if method and case.cash else ""
        document = self._document(
            case,
            "SalesReceipt" if case.cash else "Invoice",
            "sale",
            order.id,
            number,
            case.day,
            sale.total,
            global_tax=self._global_tax,
            **more,
        )
        self._place(case, document)
        for item in sale.items:
            self.items[item.key] = item

    def _place(self, case: _Case, document: Document) -> None:
        """Put a sale where its period is open, or hold it."""
        placed, note = dated(document, self.policy)
        if note is not None:
            self._note(case, Note("PERIOD_CLOSED", document.total, note))
        if placed is None:
            self._held(case, "PERIOD_CLOSED")
            case.sale = None
            return
        case.document = placed
        self.documents.append(placed)

    def _payment_documents(self) -> None:
        by_order = {case.order.id: case for case in self.cases}
        received: dict[int, Decimal] = {}
        rows = {receipt.payment.id for receipt in self.receipts}
        for payment in self.group.payments:
            if payment.id not in rows:
                self._idle_payment(payment)
        for receipt in self.receipts:
            for number, part in receipt.parts:
                received[number] = received.get(number, ZERO) + part
            self._payment_document(receipt, by_order)
        for case in self.cases:
            if case.document is not None and case.document.type == "Invoice":
                self._underpaid(case, received.get(case.order.id, ZERO))

    def _underpaid(self, case: _Case, received: Decimal) -> None:
        """Say that money is missing, unless nothing was due yet: an invoice on terms without a paid state."""
        missing = case.total - received
        method = self.engine.methods.of(case.order.payment, case.order.module)
        on_terms = payments.due_days(method) > 0 and not case.recognition.ever_paid
        if missing > 0 and not (on_terms and not received):
            self._note(case, Note("PAY_UNDER", missing, f"{received:f} of {case.total:f} was paid"))

    def _idle_payment(self, payment: Payment) -> None:
        """A payment of a group without an order that could take it."""
        self._payment_source(payment, "not_postable", "no_order")

    def _payment_document(self, receipt: payments.Receipt, by_order: dict[int, _Case]) -> None:
        payment = receipt.payment
        owners = [by_order[number] for number, _ in receipt.parts]
        if not owners:
            self._ownerless(receipt)
            return
        held = [case for case in owners if case.document is None]
        if len(held) == len(owners) or (held and not owners[0].cash and not all(c.cash for c in owners)):
            self._payment_source(payment, "held", held[0].reason)
            return
        booked = [case for case in owners if case.document is not None]
        first = booked[0]
        assert first.document is not None
        self._say_payment(receipt, first)
        if first.cash:
            self._payment_source(payment, "postable", "", first.document.key)
            return
        deposit = identity.document_key(self.policy, "deposit", payment.id)
        if deposit in self.posted and first.sale is not None:
            self._reverse_advance(first, receipt)
            self._payment_source(payment, "postable", "", deposit)
            return
        if not receipt.proved and receipt.method and receipt.method.setting.offline_payments == "bank_line":
            self._payment_source(payment, "not_postable", "waits_for_bank_line")
            return
        self._book_payment(receipt, first, by_order)

    def _book_payment(self, receipt: payments.Receipt, first: _Case, by_order: dict[int, _Case]) -> None:
        payment = receipt.payment
        parts = []
        for number, part in receipt.parts:
            document = by_order[number].document
            if document is not None:
                parts.append(Applied(document.key, document.doc_number, part))
        document = self._document(
            first,
            "Payment",
            "payment",
            payment.id,
            identity.payment_number(self.policy, first.order.id_shop, payment.id),
            receipt.day,
            receipt.amount,
            deposit_to=self._account(receipt, first.order),
            payment_method=receipt.method.setting.books_name if receipt.method else "",
            applied=tuple(parts),
            unapplied=receipt.unapplied,
        )
        placed, note = dated(document, self.policy)
        if note is not None:
            self._find(
                "PERIOD_CLOSED",
                "payment",
                payment.id,
                first.order.id,
                receipt.amount,
                first.order.currency,
                note,
            )
        if placed is None:
            self._payment_source(payment, "held", "PERIOD_CLOSED")
            return
        self.documents.append(placed)
        self._payment_source(payment, "postable", "", placed.key)

    def _ownerless(self, receipt: payments.Receipt) -> None:
        """A row that pays no order of the group: an advance, nothing, or money without an owner."""
        payment = receipt.payment
        status = {case.status for case in self.cases}
        if status == {"before_go_live"}:
            self._payment_source(payment, "before_go_live", "BEFORE_GO_LIVE")
            return
        if not receipt.amount:
            self._payment_source(payment, "not_postable", "zero_amount")
            return
        held = [case for case in self.cases if case.status == "held"]
        if held:
            self._payment_source(payment, "held", held[0].reason)
            return
        waiting = [case for case in self.cases if case.reason in {"unpaid", "waiting", "not_shipped"}]
        if waiting and receipt.proved and self.policy.prepayments != "wait":
            self._advance(receipt, waiting[0])
            return
        if waiting and receipt.proved:
            self._payment_source(payment, "not_postable", "before_sale")
            return
        if not receipt.proved:
            self._payment_source(payment, "not_postable", "unproved")
            return
        booked = [case for case in self.cases if case.document is not None]
        if booked and not any(case.cash for case in booked):
            self._say_payment(receipt, booked[0])
            self._book_payment(receipt, booked[0], {})
            return
        self._find(
            "PAY_ORPHAN",
            "payment",
            payment.id,
            self.cases[0].order.id if self.cases else 0,
            receipt.amount,
            self.cases[0].order.currency if self.cases else payment.currency,
            "the payment belongs to no order that is a sale",
        )
        self._payment_source(payment, "held", "PAY_ORPHAN")

    def _advance(self, receipt: payments.Receipt, case: _Case) -> None:
        """Book money that came before the sale, by the policy for prepayments."""
        payment = receipt.payment
        try:
            if case.sale is None:
                self._build(case, trust.shippings(self.group.orders))
            document = self._advance_document(case, receipt)
        except Hold as hold:
            self._find(
                hold.note.code,
                "payment",
                payment.id,
                case.order.id,
                receipt.amount,
                case.order.currency,
                str(hold),
            )
            self._payment_source(payment, "held", hold.note.code)
            return
        placed, note = dated(document, self.policy)
        if note is not None:
            self._find(
                "PERIOD_CLOSED",
                "payment",
                payment.id,
                case.order.id,
                receipt.amount,
                case.order.currency,
                note,
            )
        if placed is None:
            self._payment_source(payment, "held", "PERIOD_CLOSED")
            return
        self.documents.append(placed)
        self._payment_source(payment, "postable", "", placed.key)

    def _advance_document(self, case: _Case, receipt: payments.Receipt) -> Document:
        """The document of money before the sale: with tax, or as a payment that waits."""
        payment, order, policy = receipt.payment, case.order, self.policy
        number = identity.payment_number(policy, order.id_shop, payment.id)
        account = self._account(receipt, order)
        if not account:
            raise Hold("METHOD_UNMAPPED", f"no account is set for {payment.label!r}", receipt.amount)
        if policy.prepayments == "unapplied_payment" or policy.tax_mode in {"US_AST", "US_MANUAL", "NO_TAX"}:
            return self._document(
                case,
                "Payment",
                "payment",
                payment.id,
                number,
                receipt.day,
                receipt.amount,
                deposit_to=account,
                unapplied=receipt.amount,
            )
        assert case.sale is not None
        lines, taxes, total_tax = prepayments.inside(receipt.amount, case.sale, policy, order.currency, [])
        return self._document(
            case,
            "SalesReceipt",
            "deposit",
            payment.id,
            number,
            receipt.day,
            receipt.amount,
            deposit_to=account,
            lines=lines,
            taxes=taxes,
            total_tax=total_tax,
            global_tax=self._global_tax,
        )

    def _reverse_advance(self, case: _Case, receipt: payments.Receipt) -> None:
        """The advance as it was booked, and the credit that gives it to the invoice."""
        assert case.document is not None
        booked = self._advance_document(case, receipt)
        credit = replace(
            booked,
            key=identity.document_key(self.policy, "deposit", receipt.payment.id, 1),
            type="CreditMemo",
            revision=1,
            doc_number=identity.adjustment_number(booked.doc_number, 1),
            txn_date=case.document.txn_date,
            deposit_to="",
        )
        link = self._document(
            case,
            "Payment",
            "credit",
            f"P{receipt.payment.id}",
            credit.doc_number,
            credit.txn_date,
            to_minor(ZERO, credit.currency),
            applied=(
                Applied(case.document.key, case.document.doc_number, credit.total),
                Applied(credit.key, credit.doc_number, credit.total),
            ),
        )
        self.documents += [booked, credit, link]

    def _say_payment(self, receipt: payments.Receipt, case: _Case) -> None:
        payment, order = receipt.payment, case.order
        key = case.document.key if case.document else ""
        if not receipt.proved:
            self._find(
                "PAY_SYNTHETIC",
                "payment",
                payment.id,
                order.id,
                receipt.amount,
                order.currency,
                "a status change made this row; no money is proved",
                key,
            )
        if payment.currency != order.currency:
            self._find(
                "PAY_CURRENCY_DIFF",
                "payment",
                payment.id,
                order.id,
                receipt.amount,
                order.currency,
                f"{payment.amount:f} {payment.currency} were counted as {receipt.amount:f} {order.currency}",
                key,
            )
        if receipt.unapplied > 0:
            self._find(
                "PAY_OVER",
                "payment",
                payment.id,
                order.id,
                receipt.unapplied,
                order.currency,
                f"{receipt.unapplied:f} more than was owed",
                key,
            )

    # -- money out -----------------------------------------------------------------------------

    def _refund_documents(self, case: _Case) -> None:
        refunded = ZERO
        for slip in sorted(case.order.slips, key=lambda row: (row.date_add, row.id)):
            refunded += self._refund(case, slip, refunded)

    def _refund(self, case: _Case, slip: Slip, refunded: Decimal) -> Decimal:
        """The document of one slip, or the reason why there is none; what it gave back."""
        order = case.order
        gross = to_minor(slip.products.ti, order.currency) + to_minor(slip.shipping.ti, order.currency)
        if slip.date_add.date() < self.go_live:
            self._slip_source(slip, case, "before_go_live", "BEFORE_GO_LIVE", gross)
            return ZERO
        if case.status == "held":
            self._slip_source(slip, case, "held", case.reason, gross)
            return ZERO
        if case.status == "not_postable":
            self._slip_source(slip, case, "not_postable", case.reason, gross)
            return ZERO
        try:
            reading = refunds.read(slip, order)
            gross = reading.gross
            document = self._refund_document(case, slip, reading, refunded)
        except Hold as hold:
            self._slip_note(case, slip, hold.note)
            self._slip_source(slip, case, "held", hold.note.code, gross)
            return ZERO
        if document is None:
            return gross
        placed, note = dated(document, self.policy)
        if note is not None:
            self._slip_note(case, slip, Note("PERIOD_CLOSED", gross, note))
        if placed is None:
            self._slip_source(slip, case, "held", "PERIOD_CLOSED", gross)
            return gross
        self.documents.append(placed)
        self.documents += self._link_credit(case, placed)
        self._slip_source(slip, case, "postable", "", gross, placed.key)
        return gross

    def _refund_document(
        self, case: _Case, slip: Slip, reading: refunds.Reading, refunded: Decimal
    ) -> Document | None:
        order, policy = case.order, self.policy
        if not reading.gross:
            self._slip_note(case, slip, Note("REFUND_ZERO", ZERO, "the slip gives nothing back"))
            self._slip_source(slip, case, "not_postable", "zero_amount", ZERO)
            return None
        if case.sale is None:
            self._build(case, trust.shippings(self.group.orders))
        sale = case.sale
        assert sale is not None
        if reading.gross < 0 or reading.gross > case.total + sale.redeemed - refunded:
            raise Hold(
                "REFUND_EXCEEDS_PAID",
                f"the slip gives back {reading.gross:f}, and {case.total + sale.redeemed - refunded:f} is left",
                reading.gross,
            )
        credit = slip.voucher_code
        if credit and policy.store_credit_policy != "payment":
            return self._credit_without_document(case, slip, reading)
        whole = refunds.is_whole(slip, order, reading)
        made = refunds.RefundBuilder(order, sale, policy).build(reading, whole=whole, store_credit=credit)
        for note in (*reading.notes, *made.notes):
            self._slip_note(case, slip, note)
        if refunds.ignores_discount(reading, order, sale):
            self._slip_note(
                case,
                slip,
                Note("REFUND_IGNORES_DISCOUNT", reading.gross, "full prices of a discounted order"),
            )
        memo_sale = bool(case.document) or case.day >= self.go_live
        open_ = self._open_balance(case)
        kind: DocumentType = "CreditMemo" if open_ >= reading.gross and not credit else "RefundReceipt"
        account = self._paid_from(case)
        more: dict[str, Any] = {"deposit_to": account} if kind == "RefundReceipt" else {}
        if kind == "RefundReceipt" and not account:
            raise Hold("METHOD_UNMAPPED", "no account is known from which the refund was paid", reading.gross)
        number, memo = identity.refund_names(policy, order, slip.id)
        return self._document(
            case,
            kind,
            "refund",
            slip.id,
            number,
            slip.date_add.date(),
            made.total,
            lines=made.lines,
            taxes=made.taxes,
            total_tax=made.total_tax,
            global_tax=self._global_tax,
            refund_of=identity.sale_names(policy, order)[0] if memo_sale else "",
            memo=memo,
            **more,
        )

    def _credit_without_document(self, case: _Case, slip: Slip, reading: refunds.Reading) -> None:
        """Store credit that counts as a later discount moves neither money nor tax when it is issued."""
        if not self.policy.store_credit_policy:
            raise Hold(
                "STORE_CREDIT_UNDECIDED",
                "the slip became store credit, and store_credit_policy is not set",
                reading.gross,
            )
        self._slip_source(slip, case, "not_postable", "store_credit", reading.gross)

    def _paid_from(self, case: _Case) -> str:
        """The account that took the order's money: of its largest proved row, else any, else the method's."""
        order = case.order
        own = [receipt for receipt in self.receipts if any(number == order.id for number, _ in receipt.parts)]
        if not own and case.status == "before_go_live":
            own = payments.receive(
                self.group.payments,
                self.group.orders,
                self.engine.methods,
                self.group.shop,
                totals={order.id: case.total},
            )
        if own:
            best = max(own, key=lambda receipt: (receipt.proved, receipt.amount))
            return self._account(best, order)
        method = self.engine.methods.of(order.payment, order.module)
        return payments.account(method, order.currency, self.policy, carrier=order.carrier) if method else ""

    def _open_balance(self, case: _Case) -> Decimal:
        """What is still unpaid on the order's invoice, credits already given taken off."""
        if case.document is None or case.document.type != "Invoice":
            return ZERO
        settled = sum(
            (
                part.amount
                for document in self.documents
                for part in document.applied
                if part.to_key == case.document.key
            ),
            ZERO,
        )
        return case.document.total - settled

    def _link_credit(self, case: _Case, credit: Document) -> list[Document]:
        """The payment of nothing that applies a credit memo to the order's invoice."""
        if credit.type != "CreditMemo" or case.document is None:
            return []
        invoice = case.document
        return [
            self._document(
                case,
                "Payment",
                "credit",
                credit.source_id,
                credit.doc_number,
                credit.txn_date,
                to_minor(ZERO, credit.currency),
                applied=(
                    Applied(invoice.key, invoice.doc_number, credit.total),
                    Applied(credit.key, credit.doc_number, credit.total),
                ),
            )
        ]

    def _missing_slips(self, case: _Case) -> None:
        """Propose the reversal of what was cancelled or refunded without a slip."""
        if not case.bookable and case.document is None:
            return
        order = case.order
        unit_total = case.total
        slips = sum(
            (to_minor(slip.products.ti + slip.shipping.ti, order.currency) for slip in order.slips), ZERO
        )
        goods = sum((slip.products.ti for slip in order.slips), ZERO)
        returned = sum((detail.refunded.ti for detail in order.details), ZERO)
        if case.recognition.reversed_at is not None and slips < unit_total:
            missing = unit_total - slips
            when = case.recognition.reversed_at.date()
            self._note(
                case,
                Note(
                    "REFUND_NO_SLIP",
                    missing,
                    f"cancelled or refunded on {when} without a slip for {missing:f}",
                    {"proposed": "full reversal", "day": str(when)},
                ),
            )
        elif returned - goods > to_minor(Decimal("0.01"), "EUR") * (len(order.details) + 1):
            missing = to_minor(returned - goods, order.currency)
            self._note(
                case, Note("REFUND_NO_SLIP", missing, f"lines were refunded for {missing:f} without a slip")
            )

    # -- sources and findings ------------------------------------------------------------------

    def _held(self, case: _Case, code: str) -> _Case:
        case.status, case.reason = "held", code
        if code not in {finding.code for finding in self.findings if finding.order_id == case.order.id}:
            self._note(case, Note(code, case.total, CODES[code].meaning))
        return case

    def _note(self, case: _Case, note: Note) -> None:
        key = identity.document_key(self.policy, "sale", case.order.id)
        order = case.order
        self._find(
            note.code,
            "order",
            order.id,
            order.id,
            note.amount,
            order.currency,
            note.message,
            key,
            note.evidence,
        )

    def _slip_note(self, case: _Case, slip: Slip, note: Note) -> None:
        key = identity.document_key(self.policy, "refund", slip.id)
        order = case.order
        self._find(
            note.code,
            "slip",
            slip.id,
            order.id,
            note.amount,
            order.currency,
            note.message,
            key,
            note.evidence,
        )

    def _find(
        self,
        code: str,
        kind: str,
        number: int,
        order: int,
        amount: Decimal,
        currency: str,
        message: str,
        key: str = "",
        evidence: Mapping[str, Any] | None = None,
    ) -> None:
        self.findings.append(
            Finding(code, kind, number, order, key, amount, currency, message, dict(evidence or {}))
        )

    def _order_source(self, case: _Case) -> None:
        order = case.order
        at = datetime.combine(case.day, order.date_add.time()) if case.recognition.day else order.date_add
        key = case.document.key if case.document else ""
        self._source("order", order.id, order, case.status, case.reason, case.total, order.currency, at, key)

    def _payment_source(self, payment: Payment, status: SourceStatus, reason: str, key: str = "") -> None:
        order = self.group.orders[0] if self.group.orders else None
        amount = to_minor(payment.amount, payment.currency)
        self._source(
            "payment", payment.id, order, status, reason, amount, payment.currency, payment.date_add, key
        )

    def _slip_source(
        self, slip: Slip, case: _Case, status: SourceStatus, reason: str, gross: Decimal, key: str = ""
    ) -> None:
        order = case.order
        self._source("slip", slip.id, order, status, reason, gross, order.currency, slip.date_add, key)

    def _source(
        self,
        kind: SourceType,
        number: int,
        order: Order | None,
        status: SourceStatus,
        reason: str,
        amount: Decimal,
        currency: str,
        at: datetime | None,
        key: str = "",
        *,
        order_id: int = 0,
    ) -> None:
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
