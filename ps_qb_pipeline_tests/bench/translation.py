"""Orders a second through accounting on one core: ``python -m ps_qb_pipeline_tests.bench.translation --orders N``.

What lives here: copies of the sandbox's own shop, whose 200 orders a real PrestaShop computed, put through
``accounting.intake`` and ``accounting.translate`` in chunks as the warehouse does. What does not: reading
and writing the warehouse (``volume``). Making the copies is not timed. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ps_qb_pipeline.accounting.intake import groups, read_shop
from ps_qb_pipeline.accounting.translate import translate
from ps_qb_pipeline_tests.bench.machine import peak_megabytes
from ps_qb_pipeline_tests.corpus_engine import LONG_AGO, boutique_policy, bundled

CHUNK = 4_000
"""Orders in memory at once, as in the warehouse's own chunks."""

APART = 1_000_000
"""The distance between the ids of two copies."""

OWN = {
    "orders": ("id", "id_cart", "id_customer", "id_address_invoice", "id_address_delivery"),
    "order_details": ("id", "id_order", "id_order_invoice"),
    "order_cart_rules": ("id", "id_order", "id_cart_rule", "id_order_invoice"),
    "order_slip": ("id", "id_order", "id_customer"),
    "order_histories": ("id", "id_order"),
    "order_invoices": ("id", "id_order"),
    "order_carriers": ("id", "id_order", "id_order_invoice"),
    "order_payments": ("id",),
    "customers": ("id",),
    "addresses": ("id", "id_customer"),
    "cart_rules": ("id", "id_customer"),
}
"""What each copy has of its own, and the columns that hold its ids; all other tables are shared."""

_VOUCHER = re.compile(r"^V(\d+)C(\d+)O(\d+)")


def chunks(orders: int) -> Iterator[tuple[int, dict[str, list[dict[str, Any]]]]]:
    """Copies of the shop until there are about ``orders`` orders; each chunk with the number of its orders."""
    base = bundled()
    shared = {name: rows for name, rows in base.items() if name not in OWN}
    size = len(base["orders"])
    copies = max(1, round(orders / size))
    each = CHUNK // size
    for first in range(0, copies, each):
        numbers = range(first, min(first + each, copies))
        own = {
            name: [_copy(name, row, number) for number in numbers for row in base.get(name, ())]
            for name in OWN
        }
        yield len(own["orders"]), shared | own


def _copy(name: str, row: dict[str, Any], number: int) -> dict[str, Any]:
    by = number * APART
    made = row | {column: row[column] + by for column in OWN[name] if row.get(column)}
    if name in {"orders", "order_payments"}:
        column = "reference" if name == "orders" else "order_reference"
        made[column] = f"{row[column]}{number}"
    elif name == "customers":
        made["email"] = f"{number}.{row['email']}"
    elif name == "order_slip":
        made["order_slip_details"] = [
            line | {"id_order_detail": line["id_order_detail"] + by} for line in row["order_slip_details"]
        ]
    elif name == "cart_rules":
        made["code"] = _VOUCHER.sub(
            lambda found: f"V{int(found[1]) + by}C{int(found[2]) + by}O{int(found[3]) + by}",
            row["code"] or "",
        )
    return made


def measure(orders: int) -> dict[str, Any]:
    """Seconds and processor seconds of all chunks, what came out, and the peak memory of this process."""
    policy = boutique_policy()
    shop = read_shop(bundled())
    done, seconds, worked = 0, 0.0, 0.0
    came: Counter[str] = Counter()
    for count, tables in chunks(orders):
        began, began_working = time.perf_counter(), time.process_time()
        for group in groups(tables, shop):
            made = translate(group, policy, go_live=LONG_AGO)
            came["documents"] += len(made.documents)
            came["findings"] += len(made.findings)
            came.update(f"sources {source.status}" for source in made.sources)
        seconds += time.perf_counter() - began
        worked += time.process_time() - began_working
        done += count
    return {
        "orders": done,
        "seconds": round(seconds, 2),
        "orders_per_second": round(done / seconds),
        "orders_per_processor_second": round(done / worked),
        "peak_megabytes": peak_megabytes(),
        **dict(sorted(came.items())),
    }


def main() -> None:
    """Prints the figures of one size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=20_000)
    print(json.dumps(measure(parser.parse_args().orders)))


if __name__ == "__main__":
    main()
