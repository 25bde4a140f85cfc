"""Whether and when an order is a sale: by its history, never by today's ``valid`` flag.

What lives here: the status table and the recognition date. What does not: money (``payments``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

from ps_qb_pipeline.accounting.policy import Policy, StateRule
from ps_qb_pipeline.accounting.shop import Order, State

Reason = Literal["", "unpaid", "cancelled", "ignored", "waiting", "error", "not_shipped"]


@dataclass(frozen=True, slots=True)
class Recognition:
    """What an order's history says of it.

    ``recognised`` orders are sales from ``day`` on. ``reversed_at`` is when a sale was cancelled or
    refunded by a status. ``reason`` says why an order is no sale.
    """

    recognised: bool
    reason: Reason = ""
    day: date | None = None
    ever_paid: bool = False
    invoiced: bool = False
    cancelled: bool = False
    refunded: bool = False
    reversed_at: datetime | None = None


def recognise(order: Order, policy: Policy) -> Recognition:
    """Whether ``order`` is a sale under the policy, and from which day on.

    An order that once reached a paid or invoiced state was a sale, even if it is cancelled or
    refunded now. The day is the invoice's date, else that of the first state that recognises it.
    """
    state = order.state
    rule = _rule(state, policy.states) if state is not None else None
    ever_paid = any(change.state.paid for change in order.history) or bool(state and state.paid)
    invoiced = bool(order.invoice_number or order.invoice_date or order.invoices)
    flagged = invoiced or any(change.state.invoice and not change.state.is_refund for change in order.history)
    cancelled = _acts(state, rule, "void") or bool(state and state.is_cancel)
    refunded = bool(state and state.is_refund)
    base = Recognition(False, ever_paid=ever_paid, invoiced=invoiced, cancelled=cancelled, refunded=refunded)
    if rule is not None and rule.action in {"ignore", "wait"}:
        return replace(base, reason="ignored" if rule.action == "ignore" else "waiting")
    at = _moment(order, policy, posted=rule is not None and rule.action == "post")
    if at is None:
        reason = _reason(state, policy, ever_paid=ever_paid or flagged, cancelled=cancelled)
        return replace(base, reason=reason)
    reversed_at = None
    if cancelled or refunded:
        reversed_at = next(
            (change.date_add for change in reversed(order.history) if state and change.state.id == state.id),
            at,
        )
    return replace(base, recognised=True, day=at.date(), reversed_at=reversed_at)


def _moment(order: Order, policy: Policy, *, posted: bool) -> datetime | None:
    """When the order became a sale under ``recognise_on``, or None when it has not."""
    if policy.recognise_on == "paid":
        return _first(order, "paid") or order.invoice_date
    if policy.recognise_on == "shipped":
        return _first(order, "shipped") or order.delivery_date
    if policy.recognise_on == "delivered":
        return _first(order, "is_delivered")
    issued = [invoice.date_add for invoice in order.invoices if invoice.date_add is not None]
    at = order.invoice_date or _first(order, "paid", "logable", "invoice") or min(issued, default=None)
    return order.date_add if at is None and posted else at


def _first(order: Order, *flags: str) -> datetime | None:
    for change in order.history:
        if any(getattr(change.state, flag) for flag in flags):
            return change.date_add
    return None


def _reason(state: State | None, policy: Policy, *, ever_paid: bool, cancelled: bool) -> Reason:
    if cancelled:
        return "cancelled"
    if state is not None and state.is_error:
        return "error"
    if policy.recognise_on in {"shipped", "delivered"} and ever_paid:
        return "not_shipped"
    return "unpaid"


def _rule(state: State, rules: Sequence[StateRule]) -> StateRule | None:
    """The row of the status table for a state: by its id first, then by the first flag that fits."""
    for rule in rules:
        if state.id in rule.ids:
            return rule
    for rule in rules:
        if rule.flag and not rule.ids and getattr(state, rule.flag, False):
            return rule
    return None


def _acts(state: State | None, rule: StateRule | None, action: str) -> bool:
    return state is not None and rule is not None and rule.action == action


def custom_fields(order: Order, policy: Policy) -> dict[str, str]:
    """The custom fields that the status table sets for the order's present state."""
    rule = _rule(order.state, policy.states) if order.state is not None else None
    return dict(rule.custom_fields) if rule else {}
