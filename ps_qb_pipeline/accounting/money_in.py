"""The payments of a group: which form of sale they make, and the documents that take the money.

What lives here: sales receipts or invoices with payments, advances, money without an owner. What does
not: allocation and proof (``payments``) and refunds (``money_out``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting import identity, payments, prepayments, trust
from ps_qb_pipeline.accounting.documents import Applied, Document
from ps_qb_pipeline.accounting.money import ZERO, to_minor
from ps_qb_pipeline.accounting.notes import Hold, Note
from ps_qb_pipeline.accounting.record import Case, Record
from ps_qb_pipeline.accounting.shop import Payment

_BEFORE_SALE = frozenset(("unpaid", "waiting", "not_shipped"))


class MoneyIn:
    """The money side of one group."""

    def __init__(self, record: Record, cases: Sequence[Case]) -> None:
        self.record = record
        self.policy = record.policy
        self.cases = cases
        self.receipts: list[payments.Receipt] = []
        self.given_back: list[payments.Receipt] = []
        """Rows of a negative amount: some modules write a refund as one."""

    def of_order(self, case: Case) -> list[payments.Receipt]:
        """The receipts that pay a part of an order."""
        return [one for one in self.receipts if any(number == case.order.id for number, _ in one.parts)]

    # -- which form ----------------------------------------------------------------------------

    def allocate(self) -> None:
        """Allocate the payments, hold what has no account, and choose receipts or invoices."""
        owing = [
            case for case in self.cases if case.recognition.recognised and case.status in {"postable", "held"}
        ]
        received = self.receive({case.order.id: case.total for case in owing})
        self.receipts = [receipt for receipt in received if receipt.amount >= 0]
        self.given_back = [receipt for receipt in received if receipt.amount < 0]
        for case in self.cases:
            self._hold_unmapped(case)
        selling = [case for case in self.cases if case.bookable]
        paid = [case for case in selling if case.total]
        cash = (
            not self._advances()
            and not any(self._is_invoiced(case) for case in selling)
            and all(payments.is_cash_sale(case.order, self.receipts, case.total, case.day) for case in paid)
        )
        for case in selling:
            case.cash = cash or not case.total

    def _is_invoiced(self, case: Case) -> bool:
        """Whether the sale stands in the books as an invoice, which it stays when the money comes."""
        return identity.document_key(self.policy, "sale", case.order.id) in self.record.invoices

    def receive(self, totals: dict[int, Decimal]) -> list[payments.Receipt]:
        """The group's payments, allocated to orders that owe ``totals``."""
        group = self.record.group
        return payments.receive(
            group.payments, group.orders, self.record.engine.methods, group.shop, totals=totals
        )

    def _advances(self) -> list[payments.Receipt]:
        """Payments that the books already hold as an advance on the sale."""
        return [one for one in self.receipts if self.record.is_posted(self._deposit_key(one))]

    def _deposit_key(self, receipt: payments.Receipt) -> str:
        return identity.document_key(self.policy, "deposit", receipt.payment.id)

    def _hold_unmapped(self, case: Case) -> None:
        """Hold an order when money that pays it would have no account to go to."""
        if not case.bookable:
            return
        for receipt in self.of_order(case):
            if not self.record.account(receipt, case.order):
                self.record.hold(case, self._unmapped(receipt, case))
                return

    def _unmapped(self, receipt: payments.Receipt, case: Case) -> Note:
        text = f"no account is set for {receipt.payment.label!r} in {case.order.currency}"
        return Note("METHOD_UNMAPPED", receipt.amount, text)

    # -- the sale's document -------------------------------------------------------------------

    def book_sale(self, case: Case) -> None:
        """The sales receipt or invoice of an order."""
        if not case.bookable or case.sale is None:
            return
        order, sale, record = case.order, case.sale, self.record
        own = self.of_order(case)
        method = own[0].method if own else record.engine.methods.of(order.payment, order.module)
        number, memo = identity.sale_names(self.policy, order)
        more: dict[str, Any] = {}
        if case.cash:
            more["payment_method"] = method.setting.books_name if method else ""
            if own:
                more["deposit_to"] = record.account(own[0], order)
            elif method is not None:
                more["deposit_to"] = payments.account(
                    method, order.currency, self.policy, carrier=order.carrier
                )
        else:
            more["due_date"] = case.day + timedelta(days=payments.due_days(method))
        document = record.document(
            case,
            "SalesReceipt" if case.cash else "Invoice",
            "sale",
            order.id,
            number,
            case.day,
            sale.total,
            global_tax=sale.global_tax,
            lines=sale.lines,
            taxes=sale.taxes,
            total_tax=sale.total_tax,
            memo=memo,
            **more,
        )
        case.document = record.place(document, "order", order.id)
        if case.document is None:
            case.status, case.reason, case.sale = "held", "PERIOD_CLOSED", None
            return
        for item in sale.items:
            record.items[item.key] = item

    # -- the payments' documents ---------------------------------------------------------------

    def book_payments(self) -> None:
        """A document or a reason for every payment row, and what invoices still lack."""
        allocated = {receipt.payment.id for receipt in (*self.receipts, *self.given_back)}
        for payment in self.record.group.payments:
            if payment.id not in allocated:
                self.record.payment_source(payment, "not_postable", "no_order")
        for receipt in self.receipts:
            self._book(receipt)
        for receipt in self.given_back:
            self._book_given_back(receipt)
        for case in self.cases:
            if case.document is not None and case.document.type == "Invoice":
                self._say_underpaid(case)

    def _book(self, receipt: payments.Receipt) -> None:
        by_order = {case.order.id: case for case in self.cases}
        owners = [by_order[number] for number, _ in receipt.parts]
        if not owners:
            self._book_ownerless(receipt)
            return
        booked = [case for case in owners if case.document is not None]
        held = next((case for case in owners if case.document is None), None)
        if held is not None and not (booked and all(case.cash for case in booked)):
            self.record.payment_source(receipt.payment, "held", held.reason)
            return
        first = booked[0]
        self._say(receipt, first)
        if first.cash and first.document is not None:
            self.record.payment_source(receipt.payment, "postable", "", first.document.key)
        elif self.record.is_posted(self._deposit_key(receipt)):
            self._reverse_advance(receipt, first)
        elif not receipt.proved and receipt.method and receipt.method.setting.offline_payments == "bank_line":
            self.record.payment_source(receipt.payment, "not_postable", "waits_for_bank_line")
        else:
            self._book_payment(receipt, first, by_order)

    def _book_given_back(self, receipt: payments.Receipt) -> None:
        """Money that went back: a credit slip books it; without one a person decides."""
        slips = [slip for case in self.cases for slip in case.order.slips]
        credited = sum((slip.products.ti + slip.shipping.ti for slip in slips), ZERO)
        owed = sum((one.amount for one in self.given_back), ZERO)
        if all(case.status == "before_go_live" for case in self.cases):
            self.record.payment_source(receipt.payment, "before_go_live", "BEFORE_GO_LIVE")
        elif to_minor(credited, receipt.payment.currency) >= -owed:
            self.record.payment_source(receipt.payment, "not_postable", "refund_of_slip")
        else:
            text = "a payment row gives money back, and no credit slip says what for"
            note = Note("REFUND_NO_SLIP", -receipt.amount, text)
            self.record.payment_note(self.cases[0], receipt.payment, note)
            self.record.payment_source(receipt.payment, "held", "REFUND_NO_SLIP")

    def _book_payment(self, receipt: payments.Receipt, first: Case, by_order: dict[int, Case]) -> None:
        parts = []
        for number, part in receipt.parts:
            document = by_order[number].document
            if document is not None:
                parts.append(Applied(document.key, document.doc_number, part))
        document = self._payment_document(receipt, first, tuple(parts), receipt.unapplied)
        self._place(receipt.payment, document)

    def _payment_document(
        self, receipt: payments.Receipt, case: Case, parts: tuple[Applied, ...], unapplied: Decimal
    ) -> Document:
        payment = receipt.payment
        return self.record.document(
            case,
            "Payment",
            "payment",
            payment.id,
            identity.payment_number(self.policy, case.order.id_shop, payment.id),
            receipt.day,
            receipt.amount,
            deposit_to=self.record.account(receipt, case.order),
            payment_method=receipt.method.setting.books_name if receipt.method else "",
            applied=parts,
            unapplied=unapplied,
        )

    def _place(self, payment: Payment, document: Document) -> None:
        placed = self.record.place(document, "payment", payment.id)
        if placed is None:
            self.record.payment_source(payment, "held", "PERIOD_CLOSED")
        else:
            self.record.payment_source(payment, "postable", "", placed.key)

    # -- money that pays no order --------------------------------------------------------------

    def _book_ownerless(self, receipt: payments.Receipt) -> None:
        """A row that pays no order of the group: an advance, nothing, or money without an owner."""
        payment, cases, record = receipt.payment, self.cases, self.record
        if not receipt.amount:
            record.payment_source(payment, "not_postable", "zero_amount")
        elif all(case.status == "before_go_live" for case in cases):
            record.payment_source(payment, "before_go_live", "BEFORE_GO_LIVE")
        elif (held := next((case for case in cases if case.status == "held"), None)) is not None:
            record.payment_source(payment, "held", held.reason)
        elif not receipt.proved:
            self._say(receipt, cases[0])
            record.payment_source(payment, "not_postable", "unproved")
        elif (waiting := next((case for case in cases if case.reason in _BEFORE_SALE), None)) is not None:
            self._book_before_sale(receipt, waiting)
        elif (booked := next((case for case in cases if case.document and not case.cash), None)) is not None:
            self._say(receipt, booked)
            self._book_payment(receipt, booked, {})
        else:
            text = "the payment belongs to no order that is a sale"
            record.payment_note(cases[0], payment, Note("PAY_ORPHAN", receipt.amount, text))
            record.payment_source(payment, "held", "PAY_ORPHAN")

    def _book_before_sale(self, receipt: payments.Receipt, case: Case) -> None:
        """Money before the sale waits, or becomes an advance: as the policy says."""
        if self.policy.prepayments == "wait":
            self.record.payment_source(receipt.payment, "not_postable", "before_sale")
            return
        try:
            if case.sale is None:
                self.record.build(case, trust.shippings(self.record.group))
            document = self._advance(receipt, case)
        except Hold as hold:
            self.record.payment_note(case, receipt.payment, hold.note)
            self.record.payment_source(receipt.payment, "held", hold.note.code)
            return
        self._place(receipt.payment, document)

    def _advance(self, receipt: payments.Receipt, case: Case) -> Document:
        """The document of money before the sale: with the order's tax, or a payment that waits."""
        if not self.record.account(receipt, case.order):
            note = self._unmapped(receipt, case)
            raise Hold(note.code, note.message, note.amount)
        taxless = self.policy.tax_mode in {"US_AST", "US_MANUAL", "NO_TAX"}
        if self.policy.prepayments == "unapplied_payment" or taxless or case.sale is None:
            return self._payment_document(receipt, case, (), receipt.amount)
        made = prepayments.inside(receipt.amount, case.sale, self.policy, case.order.currency)
        payment = receipt.payment
        return self.record.document(
            case,
            "SalesReceipt",
            "deposit",
            payment.id,
            identity.payment_number(self.policy, case.order.id_shop, payment.id),
            receipt.day,
            receipt.amount,
            deposit_to=self.record.account(receipt, case.order),
            lines=made.lines,
            taxes=made.taxes,
            total_tax=made.total_tax,
            global_tax=made.global_tax,
        )

    def _reverse_advance(self, receipt: payments.Receipt, case: Case) -> None:
        """The advance as it was booked, and the credit that gives it to the invoice."""
        assert case.document is not None
        booked = self._advance(receipt, case)
        key = identity.adjustment_key(booked.key, booked.role, booked.source_id, 1)
        credit = replace(
            booked,
            key=key,
            type="CreditMemo",
            role="adjustment",
            source_id=key.split("|")[2],
            revision=1,
            doc_number=identity.adjustment_number(booked.doc_number, 1),
            txn_date=case.document.txn_date,
            deposit_to="",
        )
        self.record.documents += [booked, credit, link(self.record, case, credit, f"P{receipt.payment.id}")]
        self.record.payment_source(receipt.payment, "postable", "", booked.key)

    # -- findings ------------------------------------------------------------------------------

    def _say(self, receipt: payments.Receipt, case: Case) -> None:
        payment, order, record = receipt.payment, case.order, self.record
        if not receipt.proved:
            text = "a status change made this row; no money is proved"
            record.payment_note(case, payment, Note("PAY_SYNTHETIC", receipt.amount, text))
        if payment.currency != order.currency:
            text = f"{payment.amount:f} {payment.currency} count as {receipt.amount:f} {order.currency}"
            record.payment_note(case, payment, Note("PAY_CURRENCY_DIFF", receipt.amount, text))
        if receipt.unapplied > 0 and receipt.proved:
            text = f"{receipt.unapplied:f} more than was owed"
            record.payment_note(case, payment, Note("PAY_OVER", receipt.unapplied, text))

    def _say_underpaid(self, case: Case) -> None:
        """Say that money is missing, unless nothing is due yet: an invoice on terms that was never paid."""
        received = payments.paid(self.receipts, case.order.id)
        missing = case.total - received
        method = self.record.engine.methods.of(case.order.payment, case.order.module)
        on_terms = payments.due_days(method) > 0 and not case.recognition.ever_paid
        if missing > 0 and not (on_terms and not received):
            self.record.note(case, Note("PAY_UNDER", missing, f"{received:f} of {case.total:f} was paid"))


def link(record: Record, case: Case, credit: Document, source: str) -> Document:
    """The payment of nothing that applies a credit memo to the order's invoice."""
    assert case.document is not None
    invoice = case.document
    return record.document(
        case,
        "Payment",
        "credit",
        source,
        credit.doc_number,
        credit.txn_date,
        to_minor(ZERO, credit.currency),
        applied=(
            Applied(invoice.key, invoice.doc_number, credit.total),
            Applied(credit.key, credit.doc_number, credit.total),
        ),
    )
