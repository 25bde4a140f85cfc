"""When an order is a sale: its history decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from ps_qb_pipeline.accounting.policy import Policy, StateRule
from ps_qb_pipeline.accounting.recognition import custom_fields, recognise
from ps_qb_pipeline.accounting.shop import StateChange
from ps_qb_pipeline_tests.accounting.factory import (
    AT,
    CANCELLED,
    ERROR,
    PAID,
    REFUNDED,
    SHIPPED,
    WAITING,
    order,
)

NEVER_INVOICED = {"invoice_number": 0, "invoice_date": None, "invoices": ()}


def test_an_invoiced_order_is_a_sale_on_its_invoice_date() -> None:
    """The invoice's date, not the order's, is the day of the sale."""
    made = recognise(order(date_add=AT - timedelta(days=40)), Policy())
    assert (made.recognised, made.day) == (True, AT.date())


def test_an_order_that_never_was_paid_nor_invoiced_is_no_sale() -> None:
    """Waiting for a wire is unpaid; cancelled before is cancelled; a payment error says so."""
    for state, reason in ((WAITING, "unpaid"), (CANCELLED, "cancelled"), (ERROR, "error")):
        made = recognise(order(state=state, history=(StateChange(1, state, AT),), **NEVER_INVOICED), Policy())
        assert (made.recognised, made.reason) == (False, reason)


@pytest.mark.parametrize("state", [CANCELLED, REFUNDED])
def test_a_sale_stays_a_sale_when_it_is_reversed(state: object) -> None:
    """The reversal is dated by the history; the sale keeps its own day."""
    later = AT + timedelta(days=3)
    made = recognise(
        order(state=state, history=(StateChange(1, PAID, AT), StateChange(2, state, later))), Policy()
    )
    assert made.recognised
    assert made.day == AT.date()
    assert made.reversed_at == later


def test_without_an_invoice_the_first_paid_state_counts() -> None:
    """A shop that issues no invoices recognises on the first paid or logable state."""
    history = (StateChange(1, WAITING, AT), StateChange(2, PAID, AT + timedelta(days=2)))
    assert recognise(order(history=history, **NEVER_INVOICED), Policy()).day == date(2026, 3, 4)


def test_recognition_may_wait_for_shipping() -> None:
    """Under recognise_on shipped a paid order is no sale yet, and becomes one when it leaves."""
    policy = Policy(recognise_on="shipped")
    paid = order()
    assert recognise(paid, policy).reason == "not_shipped"
    sent = replace(
        paid, state=SHIPPED, history=(*paid.history, StateChange(2, SHIPPED, AT + timedelta(days=5)))
    )
    assert recognise(sent, policy).day == date(2026, 3, 7)


def test_the_status_table_overrides_the_flags() -> None:
    """A state named by its id goes before a flag; ignored and waiting orders are no sales."""
    table = (StateRule("ignore", ids=(2,)), StateRule("wait", flag="paid"))
    assert recognise(order(), Policy(states=table)).reason == "ignored"
    assert recognise(order(state=SHIPPED), Policy(states=table)).reason == "waiting"


def test_the_status_table_sets_custom_fields() -> None:
    """Fields for QuickBooks come from the row of the present state."""
    table = (StateRule("post", ids=(2,), custom_fields={"Channel": "web"}),)
    assert custom_fields(order(), Policy(states=table)) == {"Channel": "web"}
