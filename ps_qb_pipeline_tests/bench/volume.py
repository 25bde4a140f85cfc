"""A full refresh of many orders, phase by phase: ``python -m ps_qb_pipeline_tests.bench.volume --orders N``.

What lives here: running the phases of ``full_refresh`` over a generated shop whose books agree, and
reporting time and peak memory of each. What does not: generating it (``shop_volume``,
``books_volume``), which is not timed. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from ps_qb_pipeline.orchestration.landing import raw_tables
from ps_qb_pipeline.validation import followed, holds
from ps_qb_pipeline.validation.rules import load_contracts
from ps_qb_pipeline.warehouse import incremental, ledger, models
from ps_qb_pipeline.warehouse.session import session
from ps_qb_pipeline_tests.bench import machine
from ps_qb_pipeline_tests.bench.books_volume import land_books
from ps_qb_pipeline_tests.bench.shop_volume import GO_LIVE, POLICY, land_shop

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CORES = 2
"""What the figures are wanted for."""
VARIABLES = {"as_of": NOW, "home_currency": "EUR"}


def main() -> None:
    """Generates, refreshes, changes a hundred orders, refreshes again, and prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--generate", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help="keep the warehouse here; an existing one is used as it is")
    arguments = parser.parse_args()
    if arguments.generate:
        generate(arguments.generate, arguments.orders)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.file or Path(folder) / "bench.duckdb"
        if not path.exists():
            # By a process of its own: what generating held must not count as what refreshing needs.
            made = [sys.executable, "-m", "ps_qb_pipeline_tests.bench.volume"]
            subprocess.run([*made, "--generate", str(path), "--orders", str(arguments.orders)], check=True)
        figures = {"orders": arguments.orders, **refresh(path)}
    print(json.dumps(figures))


def generate(path: Path, orders: int) -> None:
    """A shop of that many orders with its books, landed as raw rows; the ledger that they were made from goes."""
    with session(path, owner="bench", reason="generate") as con:
        con.execute(
            "set memory_limit = '6GB'"
        )  # lists of lines cannot be spilled; refreshing has no such lists
        land_shop(con, orders)
        models.prepare(con, raw_tables())
        models.run_models(con, select=["staging"])
        ledger.build_ledger(con, POLICY, GO_LIVE, progress=say)
        land_books(con)
        incremental.supersede(con, models.load_models())  # as every landing does
        for name in ("staging", "ledger"):
            con.execute(f"drop schema {name} cascade")
        con.execute(f"delete from {incremental.STATE} where relation = 'ledger'")
        con.execute("checkpoint")


def refresh(path: Path) -> dict[str, Any]:
    """Figures of a full refresh with the same matching by pandas, and of one after a hundred orders changed."""
    figures: dict[str, Any] = {}
    _phases(path, figures, "", lambda con: ledger.build_ledger(con, POLICY, GO_LIVE, progress=say))
    with session(path, owner="bench", reason="check") as con:
        _check(con)
    for way in ("sql", "pandas"):
        figures[f"matching_{way}"] = _matching(way, path)
    ours, plain = figures["matching_sql"], figures["matching_pandas"]
    figures["pandas_times_seconds"] = round(plain["seconds"] / ours["seconds"], 1)
    figures["pandas_times_memory"] = round(plain["peak_mb"] / ours["peak_mb"], 1)
    with session(path, owner="bench", reason="change a hundred orders") as con:
        apart = max(1, con.execute("select count(*) from raw.prestashop_orders").fetchall()[0][0] // 100)
        for table, column in (("orders", "id"), ("order_details", "id_order")):
            con.execute(
                f"insert into raw.prestashop_{table} by name select * replace"
                f" (landing_id + 100000000 as landing_id, {_CHANGED[table]}) from raw.prestashop_{table}"
                f" where {column} in (select range * {apart} + 1 from range(100))"
            )
    _phases(path, figures, "again_", lambda con: ledger.refresh_ledger(con, POLICY, GO_LIVE))
    return figures


def _matching(way: str, path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "ps_qb_pipeline_tests.bench.matching", way, str(path)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    print(f"matching by {way}: {found}", file=sys.stderr)
    return found


_CHANGED = {
    "orders": ", ".join(
        f"{column} + 1 as {column}"
        for column in (
            "total_shipping_tax_excl",
            "total_shipping_tax_incl",
            "total_paid",
            "total_paid_tax_excl",
            "total_paid_tax_incl",
        )
    ),
    "order_details": "original_wholesale_price + 1 as original_wholesale_price",
}
"""Another total and another cost: every document of these orders changes, and what is made of it."""


def _phases(path: Path, figures: dict[str, Any], prefix: str, build: Callable[[Any], Any]) -> None:
    contracts = load_contracts()
    before_books = {
        name: c for name, c in contracts.items() if name.startswith(("staging.prestashop_", "ledger."))
    }
    after = {name: c for name, c in contracts.items() if name not in before_books}
    made: list[Any] = []

    def rules(con: Any) -> None:
        holds.gate(con, before_books, now=NOW, references=made[0].replaced)

    # In the order of the main job; what comes after "rules" waits for nothing in posting.
    steps: dict[str, Callable[[Any], Any]] = {
        "prepare": lambda con: models.prepare(con, raw_tables()),
        "staging": lambda con: models.run_models(con, select=["staging"], variables=VARIABLES),
        "ledger": lambda con: made.append(build(con)),
        "rules": rules,
        "recon": lambda con: models.run_models(con, select=["recon"], variables=VARIABLES, follow=True),
        "marts": lambda con: models.run_models(con, select=["marts"], variables=VARIABLES, follow=True),
        "rules_after": lambda con: followed.evaluate(
            con, [rule for contract in after.values() for rule in contract.rules]
        ),
    }
    with session(path, owner="bench", reason="full refresh") as con, Memory() as memory:
        con.execute(f"set threads = {CORES}")
        for name, step in steps.items():
            started = time.perf_counter()
            step(con)
            figures[prefix + name] = round(time.perf_counter() - started, 2)
            print(f"{prefix}{name}: {figures[prefix + name]} s", file=sys.stderr)
    figures[prefix + "to_posting"] = _sum(figures, prefix, ("prepare", "staging", "ledger", "rules"))
    figures[prefix + "sql"] = _sum(figures, prefix, set(steps) - {"prepare", "ledger"})
    figures[prefix + "total"] = _sum(figures, prefix, steps)
    figures[prefix + "peak_mb"] = memory.peak


def _sum(figures: dict[str, Any], prefix: str, names: Iterable[str]) -> float:
    return round(sum(figures[prefix + name] for name in names), 2)


class Memory:
    """The most memory that this process and those that it started hold together, looked at ten times a second."""

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        own = os.getpid()
        while not self._over.wait(0.1):
            held = sum(machine.held_megabytes(pid) for pid in (own, *machine.children(own)))
            self.peak = max(self.peak, held)


def _check(con: Any) -> None:
    """A benchmark of a wrong answer is worth nothing: books made from the ledger must agree with it."""
    open_difference = con.execute("select count(*) from recon.exceptions where severity = 'B'").fetchall()[0][
        0
    ]
    if open_difference:
        rows = con.execute(
            "select code, count(*) from recon.exceptions group by 1 order by 2 desc"
        ).fetchall()
        print(f"the books do not agree with the ledger: {rows}", file=sys.stderr)


def say(done: int, total: int) -> None:
    """One line of progress for every tenth."""
    if total and (done == total or done * 10 // total != (done - 4000) * 10 // total):
        print(f"{done} of {total} orders, {os.getloadavg()[0]:.1f} load", file=sys.stderr)


if __name__ == "__main__":
    main()
