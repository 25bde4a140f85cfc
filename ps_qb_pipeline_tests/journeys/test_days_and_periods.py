"""Days posted as one document, periods that are closed, and money before the sale: from shop to reconciliation."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ps_qb_pipeline_tests.journeys.conftest import Place
from ps_qb_pipeline_tests.journeys.cycle import Shop

pytestmark = pytest.mark.xdist_group("days")

TODAY = datetime.now(UTC).date()
BEFORE, CLOSED, FIRST, SECOND = (TODAY - timedelta(days=days) for days in (6, 5, 4, 3))
"""A day of the closed period that is not ours, the last closed day, and two days posted as a whole."""


class Days:
    """What was bought on which day."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.bought: dict[Any, list[dict[str, Any]]] = {}

    def buy(self, day: Any, count: int, **more: Any) -> None:
        self.shop.does("clock", freeze=f"{day} 12:00:00")
        made = [self.shop.order(way="card", **more) for _ in range(count)]
        self.bought.setdefault(day, []).extend(made)

    def total(self, day: Any) -> Decimal:
        return sum((Decimal(one["total_paid_tax_incl"]) for one in self.bought[day]), Decimal(0))

    def sources(self, day: Any) -> set[tuple[Any, ...]]:
        ids = ", ".join(str(one["order"]) for one in self.bought[day])
        return set(
            self.shop.ask(
                f"select status, reason from ledger.sources where source_type = 'order' and source_id in ({ids})"
            )
        )


@pytest.fixture(scope="module")
def days(place: Place) -> Iterator[Days]:
    """Orders of four days; per order until the switch, whole days from then on; one turn with a closed period."""
    place.connect("boutique", go_live=BEFORE)
    place.change(
        "boutique",
        {
            "posting": "daily",
            "posting_before": "per_order",
            "posting_since": FIRST,
            "book_close_date": CLOSED,
            "closed_period": "hold",
            "prepayments": "deposit_document",
        },
    )
    with place.sandbox("boutique") as ready:
        made = Days(Shop(place, "boutique", ready))
        made.buy(CLOSED, 1)
        made.buy(FIRST, 3)
        made.buy(SECOND, 2)
        made.buy(TODAY, 1)
        made.shop.turn()
        yield made


def test_a_day_is_one_document_with_every_cent_of_its_orders(days: Days) -> None:
    """From the day of the switch on: a summary for each day that is over; its orders name it."""
    for day in (FIRST, SECOND):
        found = days.shop.ask(
            "select total, doc_number from ledger.documents where role = 'summary' and txn_date = ?", day
        )
        assert sum(row[0] for row in found) == days.total(day)
        in_books = [days.shop.books("SalesReceipt", row[1]) for row in found]
        booked = [Decimal(str(row["TotalAmt"])) for row in in_books if row is not None]
        assert (len(booked), sum(booked)) == (len(found), days.total(day))
        assert days.sources(day) == {("postable", "")}
        for one in days.bought[day]:
            assert days.shop.classes(int(one["order"])) == {"matched"}
            assert days.shop.books("SalesReceipt", f"PS1-{one['order']}") is None


def test_a_day_that_is_not_over_waits(days: Days) -> None:
    """Today's orders are counted and not posted yet."""
    assert days.sources(TODAY) == {("not_postable", "day_open")}


def test_what_belongs_into_a_closed_period_waits(days: Days) -> None:
    """Under hold nothing is written into it, and reconciliation says so."""
    (one,) = days.bought[CLOSED]
    assert days.sources(CLOSED) == {("held", "PERIOD_CLOSED")}
    assert days.shop.books("SalesReceipt", f"PS1-{one['order']}") is None
    assert days.shop.classes(int(one["order"])) == {"PERIOD_CLOSED"}


@pytest.fixture(scope="module")
def later(days: Days) -> dict[str, Any]:
    """The accountant chooses the first open day; somebody pays a part of what was not sold yet."""
    shop = days.shop
    shop.settings(closed_period="first_open_day")
    advance = shop.order(way="wire", items=[{"product": 1, "quantity": 2}], shipping="0")
    half = (Decimal(advance["total_paid_tax_incl"]) / 2).quantize(Decimal("0.01"))
    shop.does("pay", order=advance["order"], amount=str(half), method="Bank transfer")
    shop.turn(reconciled=False)
    (row,) = shop.ask(
        "select body from ledger.documents where role = 'deposit' and order_id = ?", advance["order"]
    )
    rest = Decimal(advance["total_paid_tax_incl"]) - half
    shop.does("pay", order=advance["order"], amount=str(rest), method="Bank transfer")
    shop.turn()
    return {"order": advance, "half": half, "body": row[0]}


def test_the_first_open_day_takes_what_came_too_late(days: Days, later: dict[str, Any]) -> None:
    """It stands there with the shop's own day in its memo."""
    assert later
    (one,) = days.bought[CLOSED]
    row = days.shop.books("SalesReceipt", f"PS1-{one['order']}")
    if row is None:  # the first open day is posted as a whole day
        found = days.shop.ask(
            "select total from ledger.documents where role = 'summary' and txn_date = ? and revision > 0",
            CLOSED + timedelta(days=1),
        )
        assert [total for (total,) in found] == [days.total(CLOSED)]
    else:
        assert row["TxnDate"] == str(CLOSED + timedelta(days=1))
    assert days.sources(CLOSED) == {("postable", "")}
    assert days.shop.classes(int(one["order"])) == {"matched"}


def test_an_advance_is_booked_with_its_tax_and_given_back_to_the_invoice(
    days: Days, later: dict[str, Any]
) -> None:
    """Money before the sale is a liability with tax; the sale's invoice takes it back."""
    order = int(later["order"]["order"])
    found = {
        (role, kind): total
        for role, kind, total in days.shop.ask(
            "select role, type, total from ledger.documents where order_id = ?", order
        )
    }
    assert found["deposit", "SalesReceipt"] == found["adjustment", "CreditMemo"] == later["half"]
    assert found["sale", "Invoice"] == Decimal(later["order"]["total_paid_tax_incl"])
    invoice = days.shop.books("Invoice", f"PS1-{order}")
    assert invoice is not None
    assert Decimal(str(invoice["Balance"])) == 0
    assert days.shop.classes(order) == {"matched"}
