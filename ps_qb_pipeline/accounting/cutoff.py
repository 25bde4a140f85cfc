"""Period ends: what is paid or invoiced but not shipped, or shipped but not yet a sale, with its journal.

What lives here: the list for an accountant and the deferral that is proposed. What does not: posting it;
a deferral is a person's decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from ps_qb_pipeline.accounting import currency as fx
from ps_qb_pipeline.accounting import identity
from ps_qb_pipeline.accounting.documents import Document, Line
from ps_qb_pipeline.accounting.money import to_minor
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.recognition import recognise
from ps_qb_pipeline.accounting.shop import Order, ReferenceGroup

Kind = Literal["paid_not_shipped", "shipped_not_paid"]


@dataclass(frozen=True, slots=True)
class Deferral:
    """One order that straddles a period's end: net amount, and the journal with its reversal."""

    order_id: int
    reference: str
    kind: Kind
    currency: str
    net: Decimal
    journal: Document
    reversal: Document


def deferrals(groups: Iterable[ReferenceGroup], policy: Policy, end: date) -> list[Deferral]:
    """The orders that straddle ``end``, the last day of a period.

    Paid or invoiced by then and not shipped: income is deferred. Shipped by then and no sale yet: income
    is accrued. The journal is dated ``end``, its reversal the day after.
    """
    found = []
    for group in groups:
        for order in group.orders:
            kind = _straddles(order, policy, end)
            if kind is not None and order.paid.te:
                found.append(_deferral(order, group, policy, end, kind))
    return found


def _straddles(order: Order, policy: Policy, end: date) -> Kind | None:
    recognition = recognise(order, policy)
    if recognition.cancelled or recognition.refunded:
        return None
    sold = recognition.day is not None and recognition.day <= end
    shipped = _by(order.delivery_date, end) or any(
        change.state.shipped and change.date_add.date() <= end for change in order.history
    )
    if sold and not shipped:
        return "paid_not_shipped"
    return "shipped_not_paid" if shipped and not sold else None


def _by(moment: datetime | None, end: date) -> bool:
    return moment is not None and moment.date() <= end


def _deferral(order: Order, group: ReferenceGroup, policy: Policy, end: date, kind: Kind) -> Deferral:
    home = policy.home_currency
    rate = fx.exchange(order, group.shop, policy, end).rate
    net = to_minor(order.paid.te, order.currency)
    amount = net if rate is None else to_minor(net * rate, home)
    income, deferred = policy.accounts.income, policy.accounts.deferred_income
    debit, credit = (income, deferred) if kind == "paid_not_shipped" else (deferred, income)
    journal = Document(
        key=identity.document_key(policy, "deferral", f"{order.id}-{end:%y%m%d}"),
        type="JournalEntry",
        role="deferral",
        source_id=f"{order.id}-{end:%y%m%d}",
        revision=0,
        doc_number=identity.shortened(f"{identity.sale_number(policy, order.id_shop, order.id)}-D{end:%y%m}"),
        order_id=order.id,
        id_shop=order.id_shop,
        reference=order.reference,
        txn_date=end,
        currency=home,
        total=amount,
        global_tax="NotApplicable",
        lines=_entries(debit, credit, amount),
        memo=kind.replace("_", " "),
    )
    reversal = identity.with_note(
        Document(
            key=identity.document_key(policy, "deferral", journal.source_id, 1),
            type="JournalEntry",
            role="deferral",
            source_id=journal.source_id,
            revision=1,
            doc_number=identity.shortened(f"{journal.doc_number}R"),
            order_id=order.id,
            id_shop=order.id_shop,
            reference=order.reference,
            txn_date=end + timedelta(days=1),
            currency=home,
            total=amount,
            global_tax="NotApplicable",
            lines=_entries(credit, debit, amount),
            memo=f"reversal: {journal.memo}",
        )
    )
    return Deferral(
        order.id, order.reference, kind, order.currency, net, identity.with_note(journal), reversal
    )


def _entries(debit: str, credit: str, amount: Decimal) -> tuple[Line, ...]:
    return (
        Line("account", "", amount, account=debit, posting="debit"),
        Line("account", "", amount, account=credit, posting="credit"),
    )
