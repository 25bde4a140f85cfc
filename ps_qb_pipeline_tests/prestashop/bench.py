"""What reading a shop costs: requests per hundred orders, and seconds against a plain loop of single reads.

    python -m ps_qb_pipeline_tests.prestashop.bench [--shop boutique] [--latency 12] [--shop-dir DIR]

Both ways read the same orders of the same sandbox shop in the same run, with the same latency a request. The
plain loop is what a first integration does: each order, its lines, payments, refunds, vouchers, invoice,
history, customer, addresses and carrier by one request each.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from ps_qb_pipeline.prestashop.client import Shop
from ps_qb_pipeline.prestashop.cursors import MemoryCursors
from ps_qb_pipeline.prestashop.extract import LOADED, extract
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline_tests.prestashop.memory import MemoryWarehouse
from ps_qb_pipeline_tests.prestashop.sandbox_shop import running

OF_AN_ORDER = (
    "order_details",
    "order_slip",
    "order_cart_rules",
    "order_invoices",
    "order_histories",
    "order_carriers",
)


def plain_loop(shop: Shop, most: int) -> tuple[int, int]:
    """Reads the first ``most`` orders one by one; returns orders and rows."""
    rows = 0
    numbers = shop.ids(RESOURCES["orders"])[:most]
    for number in numbers:
        order = _one(shop, "orders", "id", number)[0]
        found = [order]
        for name in OF_AN_ORDER:
            found += _one(shop, name, "id_order", number)
        found += _one(shop, "order_payments", "order_reference", order["reference"])
        found += _one(shop, "customers", "id", order["id_customer"])
        for column in ("id_address_invoice", "id_address_delivery"):
            found += _one(shop, "addresses", "id", order[column])
        rows += len(found)
    return len(numbers), rows


def _one(shop: Shop, name: str, column: str, value: Any) -> list[dict[str, Any]]:
    return [row.values for row in shop.rows(RESOURCES[name], {column: f"[{value}]"}).records]


def measure(shop: str, latency: int, most: int, shop_dir: Path | None = None) -> dict[str, float]:
    """The figures of one run: requests, rows and seconds of both ways."""
    options = {"shop_dir": shop_dir} if shop_dir else {}
    with running(shop, **options) as sandbox:
        sandbox.control({"fault": {"kind": "latency", "milliseconds": latency}})
        bulk, cursors, warehouse = sandbox.client(), MemoryCursors(), MemoryWarehouse()
        loaded = extract(bulk, cursors, warehouse)
        orders = len(warehouse.live("orders"))
        asked = sum(bulk.requests_of[name] for name in LOADED if name != "products")
        tick = extract(bulk, cursors, warehouse)
        single = sandbox.client()
        began = time.monotonic()
        looped, rows = plain_loop(single, min(most, orders))
        seconds = time.monotonic() - began
    return {
        "orders": orders,
        "bulk_requests": loaded.requests,
        "bulk_requests_per_100_orders": round(100 * asked / orders, 1),
        "bulk_rows": loaded.read.total(),
        "bulk_seconds": round(loaded.seconds, 2),
        "tick_requests": tick.requests,
        "tick_rows_stored": tick.inserted.total(),
        "loop_orders": looped,
        "loop_requests_per_100_orders": round(100 * single.requests / looped, 1),
        "loop_rows": rows,
        "loop_seconds": round(seconds, 2),
        "times_fewer_seconds_an_order": round((seconds / looped) / (loaded.seconds / orders), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shop", default="boutique")
    parser.add_argument("--shop-dir", type=Path, default=None)
    parser.add_argument("--latency", type=int, default=12, help="milliseconds added to each request")
    parser.add_argument("--orders", type=int, default=100, help="orders that the plain loop reads")
    chosen = parser.parse_args()
    found = measure(chosen.shop, chosen.latency, chosen.orders, chosen.shop_dir)
    print(
        f"{found['orders']} orders with everything that belongs to them, {chosen.latency} ms of latency a request\n"
        f"  in bulk:     {found['bulk_requests_per_100_orders']:>7} requests per 100 orders, "
        f"{found['bulk_rows'] / found['bulk_seconds']:>8.0f} rows a second "
        f"({found['bulk_requests']} requests and {found['bulk_seconds']} s with all reference data and the catalogue)\n"
        f"  plain loop:  {found['loop_requests_per_100_orders']:>7} requests per 100 orders, "
        f"{found['loop_rows'] / found['loop_seconds']:>8.0f} rows a second\n"
        f"  a tick with nothing new: {found['tick_requests']} requests, {found['tick_rows_stored']} rows stored\n"
        f"  seconds an order: {found['times_fewer_seconds_an_order']} times fewer in bulk"
    )


if __name__ == "__main__":
    main()
