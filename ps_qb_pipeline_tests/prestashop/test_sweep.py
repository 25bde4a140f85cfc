"""The nightly sweep: what no cursor can see."""

from __future__ import annotations

from datetime import timedelta

import httpx

from ps_qb_pipeline.prestashop.cursors import MemoryCursors
from ps_qb_pipeline.prestashop.extract import extract
from ps_qb_pipeline.prestashop.sweep import SweepResult, sweep
from ps_qb_pipeline_tests.prestashop.memory import MemoryWarehouse
from ps_qb_pipeline_tests.prestashop.shop_double import ShopDouble
from ps_qb_pipeline_tests.prestashop.world import add_order, add_row, shop_with


class Night:
    """A shop that was extracted, and the sweep after it."""

    def __init__(self, double: ShopDouble) -> None:
        self.double = double
        self.shop = double.shop()
        self.warehouse = MemoryWarehouse()
        self.cursors = MemoryCursors()
        self.extract()

    def extract(self) -> None:
        extract(self.shop, self.cursors, self.warehouse)

    def sweep(self) -> SweepResult:
        return sweep(self.shop, self.cursors, self.warehouse)


def test_sweep_of_an_unchanged_shop_finds_and_stores_nothing() -> None:
    """Every day's count and sum agree."""
    night = Night(shop_with(5))
    before = len(night.warehouse.log)
    result = night.sweep()
    assert (result.missing, result.deleted, result.silent, result.suspicions) == ({}, {}, {}, [])
    assert {day.resource for day in result.days} == {"orders", "order_payments"}
    assert all(day.agrees for day in result.days)
    assert len(night.warehouse.log) == before


def test_deleted_order_is_found_and_its_lines_stay() -> None:
    """A deletion shows only as a missing id; the shop keeps the order's lines as orphans."""
    night = Night(shop_with(5))
    night.double.tables["orders"].remove(night.double.row("orders", 3))
    night.extract()
    assert 3 in night.warehouse.live("orders")
    assert night.sweep().deleted == {"orders": [3]}
    assert 3 not in night.warehouse.live("orders")
    assert len(night.warehouse.live("order_details")) == 10


def test_many_deletions_at_once_are_not_believed() -> None:
    """A list that is suddenly empty is a broken shop, not an empty one."""
    night = Night(shop_with(40))
    night.double.tables["orders"] = []
    result = night.sweep()
    assert result.deleted == {}
    assert len(result.suspicions) == 1
    assert "orders: 40 of 40" in result.suspicions[0]
    assert len(night.warehouse.live("orders")) == 40


def test_row_that_lists_hide_is_not_deleted() -> None:
    """Each missing id is asked for by itself before it is believed to be gone."""
    night = Night(shop_with(3))
    hidden = night.double.row("addresses", 2)

    def hide(double: ShopDouble, method: str, path: str, query: dict[str, str]) -> httpx.Response | None:
        if path != "addresses":
            return None
        double.tables["addresses"] = [row for row in double.tables["addresses"] if row is not hidden]
        answer = double._answer(method, path, query, b"")
        double.tables["addresses"].append(hidden)
        return answer

    night.double.before = hide
    assert night.sweep().deleted == {}
    assert 2 in night.warehouse.live("addresses")


def test_silent_change_of_an_old_line_is_found() -> None:
    """An edit by the web service touches no date; amounts of three months are compared row by row."""
    night = Night(shop_with(5, age=timedelta(days=60)))
    night.double.row("order_details", 4)["product_quantity_refunded"] = 1
    night.extract()
    assert night.warehouse.live("order_details")[4]["product_quantity_refunded"] == 0
    result = night.sweep()
    assert result.silent == {"order_details": [4]}
    assert result.extracted.orders == {2}
    assert night.warehouse.live("order_details")[4]["product_quantity_refunded"] == 1


def test_silent_change_of_an_amount_shows_in_the_sums_of_its_day() -> None:
    """Count and sum of the day, in the shop and as it had landed."""
    night = Night(shop_with(2, age=timedelta(days=60)))
    night.double.row("order_payments", 1)["amount"] = "99.000000"
    result = night.sweep()
    odd = [day for day in result.days if not day.agrees]
    assert [(day.resource, day.rows, day.landed_rows) for day in odd] == [("order_payments", 2, 2)]
    assert odd[0].amount - odd[0].landed_amount == 75
    assert result.extracted.orders == {1}


def test_any_silent_change_of_the_last_week_is_found() -> None:
    """Orders of the last days are read whole, whatever column changed."""
    night = Night(shop_with(3, age=timedelta(days=3)))
    night.double.row("order_details", 2)["product_name"] = "Other name"
    night.double.row("order_carriers", 1)["tracking_number"] = "T1"
    night.sweep()
    assert night.warehouse.live("order_details")[2]["product_name"] == "Other name"
    assert night.warehouse.live("order_carriers")[1]["tracking_number"] == "T1"


def test_row_with_a_lower_id_that_appears_late_is_found() -> None:
    """An id far below the cursor, which the poll by id no longer looks at."""
    double = shop_with(80, age=timedelta(days=200))
    late = double.tables["order_payments"].pop(4)
    night = Night(double)
    double.tables["order_payments"].insert(4, late)
    night.extract()
    assert 5 not in night.warehouse.live("order_payments")
    result = night.sweep()
    assert result.missing == {"order_payments": [5]}
    assert result.extracted.orders == {5}
    assert 5 in night.warehouse.live("order_payments")


def test_object_set_aside_is_read_again_by_every_sweep() -> None:
    """Once the shop is mended the row lands."""
    double = shop_with(3, age=timedelta(days=200))
    double.row("orders", 2)["total_paid"] = "broken"
    night = Night(double)
    assert 2 not in night.warehouse.live("orders")
    assert night.sweep().missing == {"orders": [2]}
    double.row("orders", 2)["total_paid"] = "24.000000"
    assert night.sweep().missing == {"orders": [2]}
    assert 2 in night.warehouse.live("orders")
    assert night.sweep().missing == {}


def test_payment_that_was_deleted_has_its_order_read_again() -> None:
    """The order it belonged to is concerned."""
    night = Night(shop_with(3, age=timedelta(days=200)))
    add_row(night.double, "order_payments", order_reference="REF000002", amount="1.000000")
    night.extract()
    night.double.tables["order_payments"].pop()
    result = night.sweep()
    assert result.deleted == {"order_payments": [4]}
    assert result.extracted.orders == {2}


def test_order_placed_while_the_sweep_runs_is_no_error() -> None:
    """It is missing for the sweep, lands, and the next tick finds it unchanged in substance."""
    night = Night(shop_with(3))
    once = iter([1])

    def place(double: ShopDouble, method: str, path: str, query: dict[str, str]) -> None:
        if path == "order_details" and next(once, None):
            add_order(double)

    night.double.before = place
    night.sweep()
    night.double.before = None
    night.extract()
    assert sorted(night.warehouse.live("orders")) == [1, 2, 3, 4]
    assert len(night.warehouse.live("order_details")) == 8
