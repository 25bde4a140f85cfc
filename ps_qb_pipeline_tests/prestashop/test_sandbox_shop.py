"""The client against the sandbox shop, over a real port: every row of every resource, and every fault."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from ps_qb_pipeline.errors import NotAShop, ShopUnavailable
from ps_qb_pipeline.prestashop.cursors import MemoryCursors
from ps_qb_pipeline.prestashop.doctor import examine, worst
from ps_qb_pipeline.prestashop.extract import LOADED, extract
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.prestashop.rows import row_hash, typed
from ps_qb_pipeline.prestashop.sweep import sweep
from ps_qb_pipeline.prestashop.writeback import Mark, message, note, state, stock
from ps_qb_pipeline.sandbox.shop.seeds import bundled
from ps_qb_pipeline_tests.prestashop.memory import MemoryWarehouse
from ps_qb_pipeline_tests.prestashop.sandbox_shop import SandboxShop, running


@pytest.fixture(scope="module")
def boutique() -> Iterator[SandboxShop]:
    with running("boutique") as shop:
        yield shop


@pytest.fixture
def shop(boutique: SandboxShop) -> SandboxShop:
    boutique.control({"reset": True})
    boutique.control({"faults": "clear"})
    return boutique


@pytest.fixture(scope="module")
def untroubled(boutique: SandboxShop) -> dict[str, dict[int, str]]:
    """What is read of the shop as it is bundled."""
    boutique.control({"reset": True})
    boutique.control({"faults": "clear"})
    reader = Reader(boutique)
    reader.run()
    return reader.state()


class Reader:
    """A warehouse and cursors for one shop."""

    def __init__(self, sandbox: SandboxShop, **options: Any) -> None:
        self.client = sandbox.client(**options)
        self.warehouse = MemoryWarehouse()
        self.cursors = MemoryCursors()

    def run(self, **options: Any):
        return extract(self.client, self.cursors, self.warehouse, **options)

    def state(self) -> dict[str, dict[int, str]]:
        return {name: self.warehouse.known(name) for name in RESOURCES}


@pytest.mark.parametrize("name", ["recorded", "boutique"])
def test_every_row_of_every_resource_is_read_as_it_stands(name: str) -> None:
    """What lands equals, after typing, what the shop was filled with: no row more, none less, none different."""
    with running(name) as sandbox:
        reader = Reader(sandbox)
        result = reader.run()
    assert result.poisoned == []
    rows = bundled(name)
    for resource in RESOURCES.values():
        stored = [row for row in rows.get(resource.name, []) if _readable(resource.only, row)]
        landed = reader.warehouse.live(resource.name)
        assert landed.keys() == {int(row["id"]) for row in stored}, resource.name
        for row in stored:
            known = [name for name in resource.columns if name in row or name in row.get("associations", {})]
            expected = typed(resource.slim(*known), row, language=reader.client.language)
            values = landed[int(row["id"])]
            assert {column: values[column] for column in expected} == expected, (resource.name, row["id"])
            assert reader.warehouse.rows[resource.name][int(row["id"])].hash == row_hash(values)


def _readable(only: dict[str, tuple[str, ...]], row: dict[str, Any]) -> bool:
    return all(row.get(column) in allowed for column, allowed in only.items())


def test_load_and_tick_keep_to_their_number_of_requests(shop: SandboxShop) -> None:
    """Nine requests per hundred orders in bulk, eight for a tick with nothing new."""
    reader = Reader(shop)
    reader.run()
    orders = len(reader.warehouse.live("orders"))
    of_orders = set(LOADED) - {"products"}
    asked = sum(number for name, number in reader.client.requests_of.items() if name in of_orders)
    assert asked <= 9 * orders / 100
    before = len(reader.warehouse.log)
    assert reader.run().requests <= 8
    assert len(reader.warehouse.log) == before


def test_life_of_a_shop_is_followed_by_ticks_alone(shop: SandboxShop) -> None:
    """Orders, payments, refunds, edits and cancellations: ticks land what a load from nothing lands."""
    follower = Reader(shop)
    follower.run()
    for seed in range(4):
        shop.control({"life": {"seed": seed, "days": 2}})
        follower.run()
    fresh = Reader(shop)
    fresh.run()
    for name in LOADED:
        assert follower.state()[name] == fresh.state()[name], name


def test_refund_lands_with_the_lines_that_it_changed(shop: SandboxShop) -> None:
    """Although the order's own time of change stays."""
    placed = shop.control({"place_order": {"seed": 3, "way": "card"}})
    reader = Reader(shop)
    reader.run()
    shop.control({"clock": {"advance": 3600}})
    shop.control({"refund": {"order": placed["order"]}})
    assert placed["order"] in reader.run().orders
    line = reader.warehouse.live("order_details")[placed["details"][0]]
    assert line["product_quantity_refunded"] + line["product_quantity_return"] > 0
    assert any(slip["id_order"] == placed["order"] for slip in reader.warehouse.live("order_slip").values())


PASSING = [
    {"kind": "empty", "times": 1, "skip": 7},
    {"kind": "proxy", "status": 502, "times": 1, "skip": 3},
    {"kind": "maintenance", "times": 1, "skip": 5},
    {"kind": "truncated", "times": 1, "skip": 9},
    {"kind": "disconnected", "times": 1, "skip": 9},
    {"kind": "php_warning", "times": 1, "skip": 11},
    {"kind": "memory_limit", "rows": 40},
    {"kind": "control_characters", "resource": "languages", "times": 0},
    {"kind": "empty", "probability": 0.08, "seed": 4},
    {"kind": "rows_change", "resource": "orders", "how": "touch", "times": 5},
    {"kind": "rows_change", "resource": "order_payments", "how": "insert", "times": 2},
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: f"{fault['kind']}-{fault.get('how', '')}")
def test_passing_trouble_loses_nothing(
    untroubled: dict[str, dict[int, str]], shop: SandboxShop, fault: dict[str, Any]
) -> None:
    """With the trouble, and after it with one quiet tick, everything is there that is there without it."""
    shop.control({"fault": fault})
    reader = Reader(shop, page_size=50)
    reader.run()
    shop.control({"faults": "clear"})
    reader.run()
    if fault["kind"] == "rows_change":
        calm = Reader(shop)
        calm.run()
        untroubled = calm.state()
    assert reader.state() == untroubled


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "maintenance"}, ShopUnavailable),
        ({"kind": "empty"}, ShopUnavailable),
        ({"kind": "proxy", "status": 504}, ShopUnavailable),
        ({"kind": "truncated"}, ShopUnavailable),
        ({"kind": "php_warning"}, ShopUnavailable),
        ({"kind": "redirect"}, NotAShop),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_lasting_trouble_is_a_named_error_and_moves_no_cursor(
    shop: SandboxShop, fault: dict[str, Any], error: type[Exception]
) -> None:
    """Nothing is taken for an empty shop."""
    reader = Reader(shop)
    reader.run()
    cursors = {name: dict(value) for name, value in reader.cursors.values.items()}
    before = len(reader.warehouse.log)
    shop.control({"fault": fault})
    with pytest.raises(error):
        reader.run()
    assert reader.cursors.values == cursors
    assert len(reader.warehouse.log) == before


def test_sweep_after_a_load_agrees_and_finds_what_is_then_changed_by_hand(shop: SandboxShop) -> None:
    """A deletion and a silent edit, neither of which touches any date."""
    reader = Reader(shop)
    reader.run()
    quiet = sweep(reader.client, reader.cursors, reader.warehouse)
    assert (quiet.missing, quiet.deleted, quiet.silent, quiet.suspicions) == ({}, {}, {}, [])
    newest = max(reader.warehouse.live("orders"))
    line = next(n for n, row in reader.warehouse.live("order_details").items() if row["id_order"] == newest)
    shop.control({"row": {"resource": "order_details", "id": line, "total_price_tax_incl": "1.230000"}})
    payment = max(reader.warehouse.live("order_payments"))
    shop.control({"delete": {"resource": "order_payments", "id": payment}})
    found = sweep(reader.client, reader.cursors, reader.warehouse)
    assert found.deleted == {"order_payments": [payment]}
    assert newest in found.extracted.orders
    assert reader.warehouse.live("order_details")[line]["total_price_tax_incl"] == Decimal("1.23")


def test_writes_are_done_once(shop: SandboxShop) -> None:
    """Note, message, state and stock, each twice."""
    client = shop.client()
    mark = Mark("Invoice", "PS-1-5", "https://books.test/5")
    order = client.rows(RESOURCES["orders"], {"current_state": "[2]"}, limit=1).records[0].id
    for write in (
        lambda: note(client, order, mark),
        lambda: message(client, order, mark),
        lambda: state(client, order, 6),
        lambda: stock(client, 1, 12),
    ):
        assert [write().outcome, write().outcome] == ["written", "already"]


def test_doctor_finds_no_obstacle_in_the_sandbox(shop: SandboxShop) -> None:
    """Warnings, such as products that share a SKU, are part of the shop."""
    checks = examine(shop.client())
    assert worst(checks) == 1
    assert {check.name for check in checks if check.level == "warning"} >= {"duplicate SKUs", "empty SKUs"}
