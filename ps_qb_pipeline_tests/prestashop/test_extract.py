"""The extraction: completeness, cursors, whole orders, and what it costs."""

from __future__ import annotations

import re
from datetime import timedelta

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.errors import ShopError, ShopUnavailable
from ps_qb_pipeline.prestashop.cursors import MemoryCursors
from ps_qb_pipeline.prestashop.extract import LOADED, extract
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.prestashop.rows import typed
from ps_qb_pipeline_tests.prestashop.memory import MemoryWarehouse
from ps_qb_pipeline_tests.prestashop.shop_double import ShopDouble, blank, stamp
from ps_qb_pipeline_tests.prestashop.world import add_order, add_row, add_slip, shop_with

QUIET = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


class Bench:
    """A shop, a warehouse and cursors, and extractions between them."""

    def __init__(self, double: ShopDouble, **options: object) -> None:
        self.double = double
        self.shop = double.shop(**options)
        self.warehouse = MemoryWarehouse()
        self.cursors = MemoryCursors()

    def run(self, **options: object):
        return extract(self.shop, self.cursors, self.warehouse, **options)

    def assert_complete(self, *, but: frozenset[str] = frozenset()) -> None:
        for name, resource in RESOURCES.items():
            if name in but:
                continue
            wanted = {row["id"]: typed(resource, row) for row in self.double.tables[name]}
            landed = self.warehouse.live(name)
            assert {k: v for k, v in landed.items() if k in wanted} == wanted, name


def test_first_extraction_reads_every_row_of_every_resource() -> None:
    """After the first extraction the warehouse holds exactly what the shop holds."""
    bench = Bench(shop_with(7), page_size=3)
    bench.run()
    bench.assert_complete()
    assert bench.warehouse.live("orders").keys() == {1, 2, 3, 4, 5, 6, 7}


def test_tick_with_nothing_new_costs_at_most_eight_requests_and_stores_nothing() -> None:
    """Right after the first extraction, and with orders inside the overlap, a tick is seven small requests."""
    bench = Bench(shop_with(20, age=timedelta(minutes=5)))
    bench.run()
    before = len(bench.warehouse.log)
    for _ in range(3):
        bench.double.pass_time(60)
        result = bench.run()
        assert result.requests <= 8
        assert result.orders == set()
    assert len(bench.warehouse.log) == before


def test_bulk_load_costs_at_most_nine_requests_per_hundred_orders() -> None:
    """Orders with everything that belongs to them: requests for them alone, at one hundred orders a page."""
    bench = Bench(shop_with(300, lines=3))
    bench.run()
    asked = sum(number for name, number in bench.shop.requests_of.items() if name in LOADED)
    assert asked <= 27


def test_new_order_is_read_whole() -> None:
    """An order placed between two ticks lands with lines, money, people and history."""
    bench = Bench(shop_with(2))
    bench.run()
    bench.double.pass_time(3600)
    number = add_order(bench.double)
    assert bench.run().orders == {number}
    bench.assert_complete()


def test_refund_is_found_though_it_does_not_touch_the_order() -> None:
    """A slip has its order read again, so that the refunded quantities of its lines land too."""
    bench = Bench(shop_with(3))
    bench.run()
    bench.double.pass_time(3600)
    header = dict(bench.double.row("orders", 2))
    add_slip(bench.double, 2)
    assert bench.run().orders == {2}
    assert bench.double.row("orders", 2) == header
    bench.assert_complete()


def test_payment_posted_by_the_web_service_is_found_by_its_id() -> None:
    """Such a payment changes nothing else in the shop; its order is read again all the same."""
    bench = Bench(shop_with(3))
    bench.run()
    bench.double.pass_time(60)
    add_row(bench.double, "order_payments", order_reference="REF000003", amount="1.000000")
    assert bench.run().orders == {3}
    bench.assert_complete()


def test_address_edit_is_found_though_its_customer_and_order_are_untouched() -> None:
    """Addresses have a cursor of their own."""
    bench = Bench(shop_with(3))
    bench.run()
    bench.double.pass_time(600)
    bench.double.row("addresses", 1).update(vat_number="FR1", date_upd=stamp(bench.double.now))
    bench.run()
    assert bench.warehouse.live("addresses")[1]["vat_number"] == "FR1"


def test_line_taken_out_of_an_order_lands_as_a_deletion() -> None:
    """The back office really deletes such a row; the order's other lines stay."""
    bench = Bench(shop_with(2, lines=3))
    bench.run()
    bench.double.pass_time(60)
    lines = bench.double.tables["order_details"]
    lines.remove(bench.double.row("order_details", 2))
    bench.double.row("orders", 1)["total_products"] = "20.000000"
    bench.double.touch(1)
    result = bench.run()
    assert result.deleted["order_details"] == 1
    assert sorted(bench.warehouse.live("order_details")) == [1, 3, 4, 5, 6]


def test_lines_that_vanish_altogether_are_not_believed() -> None:
    """A database error looks like an empty list: nothing is deleted, the order is read again next time."""
    bench = Bench(shop_with(2))
    bench.run()
    bench.double.pass_time(60)
    bench.double.touch(1)
    bench.double.row("orders", 1)["note"] = "x"
    bench.double.before = lambda d, m, path, q: (
        d.listing("order_details", []) if path == "order_details" and "filter[id_order]" in q else None
    )
    result = bench.run()
    assert result.deleted["order_details"] == 0
    assert result.unsettled == {1}
    bench.double.before = None
    assert bench.run().orders == {1}
    assert len(bench.warehouse.live("order_details")) == 4


def test_order_that_stays_unsettled_is_not_read_for_ever() -> None:
    """After some patience only a change of its header brings it back."""
    bench = Bench(shop_with(1))
    bench.double.row("orders", 1)["current_state"] = 0
    bench.run()
    read = [bench.run().orders for _ in range(8)]
    assert read[:4] == [{1}] * 4
    assert read[-1] == set()
    bench.double.pass_time(60)
    bench.double.row("orders", 1)["current_state"] = 2
    bench.double.touch(1)
    assert bench.run().orders == {1}


def test_order_that_lists_hide_is_not_deleted() -> None:
    """An order that a list does not show is asked for by itself before it counts as gone."""
    bench = Bench(shop_with(2))
    bench.run()
    bench.double.before = lambda d, m, path, q: d.listing("orders", []) if path == "orders" else None
    assert bench.run(ids=[1]).deleted["orders"] == 0
    assert 1 in bench.warehouse.live("orders")


def test_shop_that_ignores_the_sort_is_found_out() -> None:
    """Pages are continued by the highest key, which would miss rows of an unsorted list."""
    double = shop_with(12)

    def unsorted(double: ShopDouble, method: str, path: str, query: dict[str, str]) -> httpx.Response | None:
        if path != "order_payments":
            return None
        return double.listing(path, list(reversed(double._selected(path, query))))

    double.before = unsorted
    with pytest.raises(ShopError, match="ignores a filter or a sort"):
        Bench(double).run()


def test_dates_that_are_not_in_order_are_read_by_their_ids() -> None:
    """Where a shop sorts by another date than it shows, paging by the date shown would miss rows."""
    double = shop_with(9)
    bench = Bench(double, page_size=2)
    bench.run()
    double.pass_time(60)
    for number, row in enumerate(double.tables["orders"]):
        row |= {"note": "x", "date_upd": stamp(double.now + timedelta(seconds=number))}

    def shuffled(double: ShopDouble, method: str, path: str, query: dict[str, str]) -> httpx.Response | None:
        if path != "orders" or not query["sort"].startswith("[date_upd"):
            return None
        rows = double._selected(path, query | {"limit": "100"})
        return double.listing(path, list(reversed(rows))[: int(query["limit"])])

    double.before = shuffled
    assert len(bench.run().orders) == 9
    bench.assert_complete()


def test_order_that_changes_between_header_and_lines_is_read_again() -> None:
    """A header that differs after its lines were read has both read once more."""
    bench = Bench(shop_with(2))
    bench.run()
    bench.double.pass_time(60)
    number = add_order(bench.double, lines=1)
    edits = iter([1])

    def edit(double: ShopDouble, method: str, path: str, query: dict[str, str]) -> None:
        if path == "order_carriers" and "filter[id_order]" in query and next(edits, None):
            add_row(double, "order_details", id_order=number, product_quantity=7)
            double.row("orders", number)["total_products"] = "80.000000"

    bench.double.before = edit
    result = bench.run()
    assert result.unsettled == set()
    bench.assert_complete()


def test_order_in_the_making_is_read_again_until_it_has_a_state() -> None:
    """An order without a state is not finished; each tick reads it whole until it is."""
    bench = Bench(shop_with(1))
    bench.run()
    bench.double.pass_time(60)
    number = add_order(bench.double, lines=0)
    bench.double.row("orders", number)["current_state"] = 0
    assert bench.run().unsettled == {number}
    add_row(bench.double, "order_details", id_order=number)
    bench.double.row("orders", number)["current_state"] = 2
    assert bench.run().orders == {number}
    bench.assert_complete()
    assert bench.run().orders == set()


def test_unknown_state_tax_or_carrier_has_its_reference_data_read_again() -> None:
    """Reference data is read once a day, and at once when an order names something unknown."""
    bench = Bench(shop_with(1))
    bench.run()
    bench.double.pass_time(60)
    bench.double.tables["taxes"].append(blank("taxes", id=99, rate="5.000"))
    number = add_order(bench.double, lines=0)
    add_row(bench.double, "order_details", id_order=number, taxes=[{"id": 99}])
    bench.run()
    assert 99 in bench.warehouse.live("taxes")
    bench.double.touch(1)
    bench.shop.requests_of.clear()
    bench.run()
    assert bench.shop.requests_of["taxes"] == 0


def test_extraction_goes_on_where_it_was_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first load that dies in the middle of the orders does not begin again at the first one."""
    monkeypatch.setattr("ps_qb_pipeline.prestashop.extract._BATCH_ROWS", 8)
    bench = Bench(shop_with(25), page_size=2)
    pages = iter(range(7))

    def die(double: ShopDouble, method: str, path: str, query: dict[str, str]) -> httpx.Response | None:
        if path == "orders" and "display" in query and next(pages, None) is None:
            raise httpx.ConnectError("down")
        return None

    bench.double.before = die
    with pytest.raises(ShopUnavailable):
        bench.run()
    assert bench.cursors.get("orders")["loading"]["after"] == 8
    bench.double.before = None
    bench.double.calls.clear()
    bench.run()
    assert not any(
        query.get("filter[id]") == ">[0]" for _, path, query in bench.double.calls if path == "orders"
    )
    bench.assert_complete()


def test_cursor_never_passes_a_row_that_has_not_landed() -> None:
    """When landing fails, the cursor stays, and the next extraction reads the same rows again."""
    bench = Bench(shop_with(2))
    bench.run()
    bench.double.pass_time(60)
    number = add_order(bench.double)
    before = {name: dict(value) for name, value in bench.cursors.values.items()}
    land = bench.warehouse.land

    def full_disk(*_: object) -> int:
        raise OSError("no space left")

    bench.warehouse.land = full_disk
    with pytest.raises(OSError, match="no space"):
        bench.run()
    assert bench.cursors.values == before
    bench.warehouse.land = land
    assert bench.run().orders == {number}


def test_clock_set_back_reads_again_what_may_have_been_stamped_meanwhile() -> None:
    """A poll while the clock was a day ahead does not hide the changes after it was put right."""
    bench = Bench(shop_with(2))
    bench.run()
    bench.double.pass_time(86_400)
    bench.run()
    bench.double.pass_time(-86_400 + 60)
    bench.double.row("orders", 2)["note"] = "only the header changes"
    bench.double.touch(2)
    assert bench.run().orders == {2}


def test_cursor_from_the_future_does_not_stop_the_extraction() -> None:
    """A state that says 2999 is read as a clock that went back."""
    bench = Bench(shop_with(2))
    bench.run()
    for value in bench.cursors.values.values():
        if "since" in value:
            value["since"] = 32_503_680_000.0
    bench.double.pass_time(60)
    bench.double.row("orders", 2)["note"] = "only the header changes"
    bench.double.touch(2)
    assert bench.run().orders == {2}


def test_row_stamped_in_the_future_does_not_carry_the_cursor_along() -> None:
    """An order dated 2099 is read; orders of today after it are read too."""
    bench = Bench(shop_with(1))
    bench.run()
    bench.double.row("orders", 1)["date_upd"] = "2099-01-01 00:00:00"
    bench.run()
    bench.double.pass_time(600)
    number = add_order(bench.double)
    assert bench.run().orders == {number}


def test_more_rows_in_one_second_than_a_page_holds_are_all_read() -> None:
    """A mass update stamps everything alike; paging by time of change cannot advance and takes ids."""
    bench = Bench(shop_with(25, lines=0), page_size=4)
    bench.run()
    bench.double.pass_time(60)
    for row in bench.double.tables["orders"]:
        row |= {"note": "mass", "date_upd": stamp(bench.double.now)}
    assert len(bench.run().orders) == 25
    bench.assert_complete()


def test_orders_asked_for_by_id_are_read_whole_and_move_no_cursor() -> None:
    """What a webhook or a person asks for; an order that is gone lands as a deletion."""
    bench = Bench(shop_with(3))
    bench.run()
    before = {name: dict(value) for name, value in bench.cursors.values.items()}
    bench.double.row("order_details", 1)["product_name"] = "silently changed"
    bench.double.tables["orders"].remove(bench.double.row("orders", 3))
    result = bench.run(ids=[1, 3, 77])
    assert result.orders == {1}
    assert result.deleted["orders"] == 1
    assert bench.warehouse.live("order_details")[1]["product_name"] == "silently changed"
    assert bench.cursors.values == before


def test_unreadable_row_is_set_aside_by_name_and_the_rest_goes_on() -> None:
    """A row whose amount is not a number is named, with its order; every other row lands."""
    double = shop_with(4)
    double.row("order_details", 3)["total_price_tax_incl"] = "12,00 EUR"
    bench = Bench(double)
    result = bench.run()
    assert [(one.resource, one.id, one.parent) for one in result.poisoned] == [("order_details", 3, "2")]
    assert "12,00" not in result.poisoned[0].reason
    assert bench.warehouse.aside == result.poisoned
    assert len(bench.warehouse.live("order_details")) == 7
    assert len(bench.warehouse.live("orders")) == 4


def test_order_that_the_shop_cannot_send_is_isolated_and_the_rest_goes_on() -> None:
    """One order makes every page that contains it die in PHP; it alone is set aside."""
    double = shop_with(40)

    def fatal(double: ShopDouble, method: str, path: str, query: dict[str, str]) -> httpx.Response | None:
        if path != "orders" or "display" not in query:
            return None
        answer = double._answer(method, path, query, b"")
        return double.answer(500, b"", "text/html") if b'"id":17,' in answer.content else None

    double.before = fatal
    bench = Bench(double, page_size=20)
    result = bench.run()
    assert {(one.resource, one.id) for one in result.poisoned} == {("orders", 17)}
    assert bench.warehouse.live("orders").keys() == set(range(1, 41)) - {17}
    limits = [
        int(query["limit"])
        for _, path, query in double.calls
        if path == "orders" and "display" in query and "limit" in query
    ]
    assert limits[-1] == 20, "the page was not at fault and is as large as before"
    double.before = None
    double.pass_time(60)
    assert bench.run(ids=[17]).orders == {17}


def test_host_with_little_memory_gets_smaller_pages() -> None:
    """Pages are halved until the host survives them, and stay so."""
    double = shop_with(60)
    sizes: list[int] = []

    def starve(double: ShopDouble, method: str, path: str, query: dict[str, str]) -> httpx.Response | None:
        if path == "orders" and "display" in query and "limit" in query:
            sizes.append(int(query["limit"]))
            if int(query["limit"]) > 25:
                return double.answer(500, b"", "text/html")
        return None

    double.before = starve
    bench = Bench(double, page_size=100)
    bench.run()
    bench.assert_complete()
    assert sizes[:4] == [100, 100, 50, 50]
    assert set(sizes[4:]) == {25}


def test_outage_is_not_taken_for_a_page_that_is_too_large() -> None:
    """When nothing answers, pages are not halved: the extraction fails with a retryable error."""
    double = shop_with(3)
    bench = Bench(double)
    bench.run()
    calls = len(double.calls)
    double.before = lambda d, m, p, q: d.answer(502, b"<html>bad gateway</html>", "text/html")
    with pytest.raises(ShopUnavailable) as caught:
        bench.run()
    assert caught.value.retryable
    assert len(double.calls) - calls <= 8


def test_shop_that_ignores_filters_is_found_out() -> None:
    """Pages that do not advance are an error, never an endless loop."""
    double = shop_with(12)
    double.before = lambda d, m, path, q: (
        d.listing("products", [d.row("products", 1)] * 3) if path == "products" else None
    )
    with pytest.raises(ShopError, match="ignores a filter"):
        Bench(double, page_size=3).run()


def test_every_shop_is_read() -> None:
    """Without id_shop=all the orders of other shops would silently be missing."""
    bench = Bench(shop_with(2))
    bench.run()
    assert all(query.get("id_shop") == "all" for method, path, query in bench.double.calls if path)


def test_only_named_columns_and_settings_are_asked_for() -> None:
    """No request asks for a password, key, token, card or birthday, nor for settings that are not named."""
    bench = Bench(shop_with(2))
    bench.run()
    forbidden = re.compile(r"full|passwd|secure_key|card_|token|birthday|\bip_|\bdni")
    for _, path, query in bench.double.calls:
        assert not forbidden.search(query.get("display", "")), path
        if path == "configurations":
            assert "PS_TIMEZONE" in query["filter[name]"]


MOVES = st.sampled_from(["nothing", "touch", "add", "delete", "slip", "payment", "same_second", "late"])


@QUIET
@given(moves=st.lists(st.tuples(MOVES, st.integers(0, 30)), max_size=60), page_size=st.integers(1, 5))
def test_rows_changing_while_being_paged_are_never_lost(moves: list[tuple[str, int]], page_size: int) -> None:
    """Whatever changes between two requests has landed after the next quiet tick."""
    double = shop_with(9, lines=1)
    bench = Bench(double, page_size=page_size, connections=1)
    script = iter(moves)

    def disturb(double: ShopDouble, *_: object) -> None:
        move, pick = next(script, ("nothing", 0))
        double.pass_time(pick)
        orders = double.tables["orders"]
        if move == "add":
            add_order(double, lines=1)
        elif orders and move in {"touch", "delete", "slip", "payment"}:
            order = orders[pick % len(orders)]
            if move == "touch":
                order |= {"note": f"edited {pick}", "date_upd": stamp(double.now)}
            elif move == "delete":
                orders.remove(order)
            elif move == "slip" and any(r["id_order"] == order["id"] for r in double.tables["order_details"]):
                add_slip(double, order["id"])
            elif move == "payment":
                add_row(double, "order_payments", order_reference=order["reference"], amount="1.000000")
        elif move == "same_second":
            for order in orders[:7]:
                order |= {"note": "mass", "date_upd": stamp(double.now)}
        elif move == "late" and orders:
            order = orders[pick % len(orders)]
            order |= {"note": f"late {pick}", "date_upd": stamp(double.now - timedelta(minutes=5))}

    double.before = disturb
    bench.run()
    bench.run()
    double.before = None
    bench.run()
    bench.assert_complete()
