"""One reference group to the documents, cards, findings and sources that it becomes.

What lives here: the order of the steps. What does not: amounts (``sale``, ``refunds``), money
(``money_in``, ``money_out``) and how results are written down (``record``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from ps_qb_pipeline.accounting import rules, trust
from ps_qb_pipeline.accounting.documents import Translation
from ps_qb_pipeline.accounting.money import ZERO
from ps_qb_pipeline.accounting.money_in import MoneyIn
from ps_qb_pipeline.accounting.money_out import MoneyOut
from ps_qb_pipeline.accounting.notes import Hold, Note
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.recognition import recognise
from ps_qb_pipeline.accounting.record import Case, Engine, Record
from ps_qb_pipeline.accounting.shop import Order, ReferenceGroup

_OLDER = "older than the connection's start"
_ELSEWHERE = "a person booked it in another way"
_ENGINES: list[Engine] = []
_KEPT = 4


class Books(NamedTuple):
    """What the books already hold: the dates of documents by key, and which of them are invoices."""

    posted: Mapping[str, date]
    invoices: frozenset[str]


def translate(
    group: ReferenceGroup,
    policy: Policy,
    *,
    go_live: date,
    posted: Mapping[str, date] | None = None,
    invoices: frozenset[str] = frozenset(),
) -> Translation:
    """Everything that one reference group becomes; every order, payment and slip is in it exactly once.

    ``posted`` holds the dates of the group's documents that the books already hold, by key. With it,
    closed periods are minded (what is posted stays, what is not waits or moves), and an advance that was
    booked is reversed when its sale comes. Without it, every document stands at its own date. A sale
    whose key is among ``invoices`` stands in the books as an invoice, and stays one when it is paid.
    """
    return _Group(group, _engine_of(policy), go_live, posted, invoices).translation()


def _engine_of(policy: Policy) -> Engine:
    """The engine of a policy; the last few are kept, because look-ups are made once for many groups."""
    for engine in _ENGINES:
        if engine.policy is policy:
            return engine
    _ENGINES.insert(0, Engine(policy))
    del _ENGINES[_KEPT:]
    return _ENGINES[0]


class _Group:
    """The translation of one group, step by step."""

    def __init__(
        self,
        group: ReferenceGroup,
        engine: Engine,
        go_live: date,
        posted: Mapping[str, date] | None,
        invoices: frozenset[str],
    ) -> None:
        self.group = group
        self.policy = engine.policy
        self.go_live = go_live
        self.record = Record(group, engine, posted, invoices)
        self.cases: list[Case] = []
        self.money_in = MoneyIn(self.record, self.cases)
        self.money_out = MoneyOut(self.record, self.money_in, go_live)

    def translation(self) -> Translation:
        self._hold_poison()
        shippings = trust.shippings(self.group)
        self.cases += [self._case(order) for order in self.group.orders]
        self._recognise_together()
        for case in self.cases:
            if case.status == "postable":
                self._sell(case, shippings)
        self.money_in.allocate()
        for case in self.cases:
            self.money_in.book_sale(case)
        self.money_in.book_payments()
        for case in self.cases:
            self.money_out.refund(case)
            self.money_out.propose_missing(case)
            self.record.order_source(case)
        return self.record.translation()

    def _hold_poison(self) -> None:
        """Rows that cannot be read: orders, payments and slips held alone, lines held with their order."""
        for poison in self.group.poison:
            kind = "order" if poison.source_type == "detail" else poison.source_type
            number = poison.order_id if poison.source_type == "detail" else poison.source_id
            self.record.find("POISON_RECORD", kind, number, poison.order_id, ZERO, "", poison.reason)
            if poison.source_type in {"order", "payment", "slip"}:
                self.record.source(
                    poison.source_type,  # type: ignore[arg-type]  # one of the three, as just tested
                    number,
                    None,
                    "held",
                    "POISON_RECORD",
                    order_id=poison.order_id,
                )

    def _case(self, order: Order) -> Case:
        """What an order's history makes of it: a sale, or a reason why not."""
        case = Case(order, recognise(order, self.policy))
        if any(p.source_type == "detail" and p.order_id == order.id for p in self.group.poison):
            case.status, case.reason = "held", "POISON_RECORD"
            return case
        if order.state is None:
            self.record.hold_as(case, "STATE_UNMAPPED")
        elif not case.recognition.recognised:
            self._set_aside(case)
        elsewhere = order.id in self.policy.booked_elsewhere
        if elsewhere or (case.status != "held" and case.day < self.go_live):
            case.status, case.reason = "before_go_live", "BEFORE_GO_LIVE"
            self.record.note(case, Note("BEFORE_GO_LIVE", case.total, _ELSEWHERE if elsewhere else _OLDER))
        return case

    def _set_aside(self, case: Case) -> None:
        """An order that is no sale. A payment error with money is a person's to decide."""
        error = case.recognition.reason == "error"
        if error and any(payment.amount for payment in self.group.payments):
            self.record.hold(case, Note("PAY_UNDER", case.total, "the shop reports a payment error"))
        else:
            case.status = "not_postable"
            case.reason = "unpaid" if error else case.recognition.reason or "unpaid"

    def _recognise_together(self) -> None:
        """Orders of one paid cart that a payment module forgot to move were sold with the others."""
        sold = [case for case in self.cases if case.recognition.recognised]
        forgotten = [case for case in self.cases if (case.status, case.reason) == ("not_postable", "unpaid")]
        if not sold or not forgotten:
            return
        receipts = self.money_in.receive({case.order.id: case.total for case in self.cases})
        proved = sum((receipt.amount for receipt in receipts if receipt.proved), ZERO)
        if proved < sum((case.total for case in self.cases), ZERO):
            return
        for case in forgotten:
            case.recognition = replace(sold[0].recognition, cancelled=False, refunded=False, reversed_at=None)
            case.status, case.reason = "postable", ""

    def _sell(self, case: Case, shippings: trust.Shippings) -> None:
        """Build the sale of a recognised order, or hold it with the reason."""
        order, policy = case.order, self.policy
        if case.recognition.cancelled and policy.issued_invoices == "edit" and not self.group.payments:
            case.status, case.reason = "not_postable", "cancelled"
            return
        if not case.total and policy.zero_total == "skip":
            case.status, case.reason = "not_postable", "zero_total"
            return
        method = self.record.engine.methods.of(order.payment, order.module)
        case.outcome = rules.apply(order, policy, method=method.name if method else "", day=case.day)
        try:
            self.record.build(case, shippings)
        except Hold as hold:
            self.record.hold(case, hold.note)
