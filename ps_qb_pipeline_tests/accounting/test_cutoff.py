"""Period ends: orders that straddle them, with journal and reversal."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from ps_qb_pipeline.accounting import cutoff
from ps_qb_pipeline.accounting.shop import StateChange
from ps_qb_pipeline_tests.accounting.factory import (
    AT,
    CANCELLED,
    PAID,
    SHIPPED,
    d,
    group,
    order,
    pair,
    policy,
)

MARCH = date(2026, 3, 31)
LATER = AT + timedelta(days=40)


def test_what_is_sold_and_not_shipped_defers_its_income() -> None:
    """Shipped in April: March's income goes to deferred income and comes back the day after."""
    straddling = order(state=SHIPPED, history=(StateChange(1, PAID, AT), StateChange(2, SHIPPED, LATER)))
    (deferral,) = cutoff.deferrals([group(straddling)], policy(), MARCH)
    assert (deferral.kind, deferral.net) == ("paid_not_shipped", d("10.00"))
    sides = [(line.posting, line.account, str(line.amount)) for line in deferral.journal.lines]
    assert sides == [("debit", "Sales of goods", "10.00"), ("credit", "Deferred income", "10.00")]
    assert (deferral.journal.txn_date, deferral.reversal.txn_date) == (MARCH, date(2026, 4, 1))
    assert {line.account: line.posting for line in deferral.reversal.lines}["Sales of goods"] == "credit"


def test_what_left_before_it_is_a_sale_is_accrued() -> None:
    """Shipped in March, invoiced in April, as with cash on delivery."""
    early = order(
        state=SHIPPED,
        history=(StateChange(1, replace(SHIPPED, paid=False, invoice=False, logable=False), AT),),
        invoice_date=LATER,
    )
    (deferral,) = cutoff.deferrals([group(early)], policy(), MARCH)
    assert deferral.kind == "shipped_not_paid"


def test_what_is_settled_or_cancelled_straddles_nothing() -> None:
    """Sold and shipped in the period, cancelled, or later than it."""
    done = order(history=(StateChange(1, PAID, AT), StateChange(2, SHIPPED, AT)))
    off = order(state=CANCELLED, history=(StateChange(1, PAID, AT), StateChange(2, CANCELLED, LATER)))
    after = order(invoice_date=LATER, history=(StateChange(1, PAID, LATER),))
    assert cutoff.deferrals([group(done), group(off), group(after)], policy(), MARCH) == []


def test_foreign_orders_are_deferred_in_home_currency() -> None:
    """Journals are kept at home."""
    dollars = order(currency="USD", conversion_rate=d("1.25"), paid=pair("10.00", "12.00"))
    (deferral,) = cutoff.deferrals([group(dollars)], policy(), MARCH)
    assert (deferral.currency, deferral.net, deferral.journal.total) == ("USD", d("10.00"), d("8.00"))
