"""The credit slips of a group: refund receipts, credit memos, store credit, and refunds without a slip.

What lives here: the documents around refunds. What does not: what a slip gives back (``refunds``).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting import currency as fx
from ps_qb_pipeline.accounting import identity, payments, refunds, trust
from ps_qb_pipeline.accounting.documents import Document, DocumentType
from ps_qb_pipeline.accounting.money import ZERO, minor_unit, to_minor
from ps_qb_pipeline.accounting.money_in import MoneyIn, link
from ps_qb_pipeline.accounting.notes import Hold, Note
from ps_qb_pipeline.accounting.record import Case, Record
from ps_qb_pipeline.accounting.sale import Sale
from ps_qb_pipeline.accounting.shop import Slip


class MoneyOut:
    """The refunds of one group."""

    def __init__(self, record: Record, money_in: MoneyIn, go_live: date) -> None:
        self.record = record
        self.policy = record.policy
        self.money_in = money_in
        self.go_live = go_live

    def refund(self, case: Case) -> None:
        """A document or a reason for every slip of an order, oldest first."""
        refunded = ZERO
        for slip in sorted(case.order.slips, key=lambda row: (row.date_add, row.id)):
            refunded += self._slip(case, slip, refunded)

    def _slip(self, case: Case, slip: Slip, refunded: Decimal) -> Decimal:
        """The document of one slip, or the reason why there is none; what it gave back."""
        record = self.record
        currency = case.order.currency
        gross = to_minor(slip.products.ti, currency) + to_minor(slip.shipping.ti, currency)
        if slip.date_add.date() < self.go_live:
            record.slip_source(case, slip, "before_go_live", "BEFORE_GO_LIVE", gross)
            return ZERO
        if case.status in {"held", "not_postable"}:
            record.slip_source(case, slip, case.status, case.reason, gross)
            return ZERO
        try:
            sale = case.sale or record.build(case, trust.shippings(record.group))
            reading = refunds.read(slip, case.order)
            gross = reading.gross
            document = self._document(case, slip, sale, reading, refunded)
        except Hold as hold:
            evidence = {**hold.note.evidence, **refunds.totals(slip)}
            record.slip_note(case, slip, hold.note._replace(evidence=evidence))
            record.slip_source(case, slip, "held", hold.note.code, gross)
            return ZERO
        return gross if document is None else self._placed(case, slip, sale, document, gross)

    def _placed(self, case: Case, slip: Slip, sale: Sale, document: Document, gross: Decimal) -> Decimal:
        placed = self.record.place(document, "slip", slip.id)
        if placed is None:
            self.record.slip_source(case, slip, "held", "PERIOD_CLOSED", gross)
            return gross
        if placed.type == "CreditMemo":
            self.record.documents.append(link(self.record, case, placed, placed.source_id))
        for item in sale.items:
            self.record.items[item.key] = item
        self.record.slip_source(case, slip, "postable", "", gross, placed.key)
        return gross

    def _document(
        self, case: Case, slip: Slip, sale: Sale, reading: refunds.Reading, refunded: Decimal
    ) -> Document | None:
        """The refund of one slip; None when it moves neither money nor tax, which its source then says."""
        order, policy = case.order, self.policy
        if not reading.gross:
            self.record.slip_note(case, slip, Note("REFUND_ZERO", ZERO, "the slip gives nothing back"))
            self.record.slip_source(case, slip, "not_postable", "zero_amount", ZERO)
            return None
        self._check_limit(case, sale, reading, refunded)
        credit = slip.voucher_code
        if credit and policy.store_credit_policy != "payment":
            if not policy.store_credit_policy:
                text = "the slip became store credit, and store_credit_policy is not set"
                raise Hold("STORE_CREDIT_UNDECIDED", text, reading.gross)
            text = f"the slip became store credit {credit}; it counts as a discount when it is used"
            note = Note("STORE_CREDIT_ISSUED", reading.gross, text, refunds.totals(slip))
            self.record.slip_note(case, slip, note)
            self.record.slip_source(case, slip, "not_postable", "store_credit", reading.gross)
            return None
        whole = refunds.is_whole(slip, order, reading)
        made = refunds.RefundBuilder(order, sale, policy).build(reading, whole=whole, store_credit=credit)
        kind = self._kind(case, reading.gross, refunded, store_credit=bool(credit))
        more: dict[str, Any] = {}
        if kind == "RefundReceipt":
            more["deposit_to"] = self._paid_from(case)
            if not more["deposit_to"]:
                raise Hold("METHOD_UNMAPPED", "no account is known that paid the refund", reading.gross)
        for note in (*reading.notes, *made.notes):
            self.record.slip_note(case, slip, note)
        if refunds.ignores_discount(reading, order, sale):
            text = "full prices of a discounted order were given back"
            self.record.slip_note(case, slip, Note("REFUND_IGNORES_DISCOUNT", reading.gross, text))
        number, memo = identity.refund_names(policy, order, slip.id)
        document = self.record.document(
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
            global_tax=made.global_tax,
            refund_of=case.document.doc_number if case.document else "",
            memo=memo,
            **more,
        )
        return self._at_slip_rate(document)

    def _at_slip_rate(self, document: Document) -> Document:
        """A foreign refund at the official rate of its own day, where the policy wants that and has one."""
        if self.policy.refund_rate != "slip_date" or document.exchange_rate is None:
            return document
        rate = fx.official_rate(self.policy, document.currency, document.txn_date) or document.exchange_rate
        home = fx.home_amount(document.total, rate, self.policy.home_currency)
        return replace(document, exchange_rate=rate, home_total=home)

    def _check_limit(self, case: Case, sale: Sale, reading: refunds.Reading, refunded: Decimal) -> None:
        left = case.total + sale.redeemed - refunded
        if reading.gross < 0 or reading.gross > left:
            text = f"the slip gives back {reading.gross:f}, and {left:f} is left"
            raise Hold("REFUND_EXCEEDS_PAID", text, reading.gross)

    def _kind(self, case: Case, gross: Decimal, refunded: Decimal, *, store_credit: bool) -> DocumentType:
        """A credit memo on what is still unpaid, else a refund receipt of money that came in."""
        open_ = self._open_balance(case)
        if open_ >= gross and not store_credit:
            return "CreditMemo"
        if open_ > 0 and not store_credit and gross > case.total - open_ - refunded:
            text = f"{gross:f} is given back, {open_:f} of the invoice is still unpaid"
            raise Hold("REFUND_EXCEEDS_PAID", text, gross)
        return "RefundReceipt"

    def _open_balance(self, case: Case) -> Decimal:
        """What is still unpaid on the order's invoice, credits already given taken off."""
        invoice = case.document
        if invoice is None or invoice.type != "Invoice":
            return ZERO
        settled = sum(
            (
                part.amount
                for one in self.record.documents
                for part in one.applied
                if part.to_key == invoice.key
            ),
            ZERO,
        )
        return invoice.total - settled

    def _paid_from(self, case: Case) -> str:
        """The account that took the order's money: of its largest proved row, else the method's."""
        order = case.order
        own = self.money_in.of_order(case)
        if not own and case.status == "before_go_live":
            own = self.money_in.receive({order.id: case.total})
        if own:
            best = max(own, key=lambda receipt: (receipt.proved, receipt.amount))
            return self.record.account(best, order)
        method = self.record.engine.methods.of(order.payment, order.module)
        return payments.account(method, order.currency, self.policy, carrier=order.carrier) if method else ""

    def propose_missing(self, case: Case) -> None:
        """Propose the reversal of what was cancelled or refunded without a slip."""
        if case.document is None:
            return
        order = case.order
        goods = sum((slip.products.ti for slip in order.slips), ZERO)
        slips = goods + sum((slip.shipping.ti for slip in order.slips), ZERO)
        returned = sum((detail.refunded.ti for detail in order.details), ZERO)
        tolerance = minor_unit(order.currency) * (len(order.details) + 1)
        at = case.recognition.reversed_at
        if at is not None and case.total - slips > tolerance:
            missing = to_minor(case.total - slips, order.currency)
            text = f"cancelled or refunded on {at.date()} without a slip for {missing:f}"
            evidence = {"proposed": "full reversal", "day": str(at.date())}
            self.record.note(case, Note("REFUND_NO_SLIP", missing, text, evidence))
        elif returned - goods > tolerance:
            missing = to_minor(returned - goods, order.currency)
            text = f"lines were refunded for {missing:f} without a slip"
            self.record.note(case, Note("REFUND_NO_SLIP", missing, text))
