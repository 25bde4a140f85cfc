"""From an order paid in the shop to its document in the books, on a whole running installation.

``python -m ps_qb_pipeline_tests.bench.latency [--minutes 10] [--orders 200] [--mode webhooks polling burst]``

What lives here: paying at random moments, watching the control plane, reading the documents back,
and where the time went. What does not: the installation (``stack``). The last line is JSON.

Half of the orders are new and paid at once; the others were placed before and are paid then, some of
them for new customers. A moment begins before the shop is told of the payment and ends when the
document has been read back from QuickBooks by a query.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import select

from ps_qb_pipeline.accounting.documents import from_json
from ps_qb_pipeline.quickbooks.limiter import SharedBudget
from ps_qb_pipeline.state.budget import BudgetStore
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline.state.tables import inbox, intents
from ps_qb_pipeline_tests.bench import machine
from ps_qb_pipeline_tests.bench.stack import NAME, Stack

Figures = dict[str, Any]
SHOP_LATENCY, BOOKS_LATENCY = 0.150, 0.400
LOAD_PATIENCE = 300.0
"""Seconds after the last payment within which every document must be there."""
IDLE_SECONDS = 60.0


@dataclass
class Paid:
    """One order and the moments of its way (Unix seconds)."""

    order: int
    paid: float
    confirmed: float = 0.0
    read_back: float = 0.0
    held: str = ""
    qbo_id: str = ""
    doc_number: str = ""
    total: str = ""


@dataclass
class Watcher:
    """Looks at the control plane for documents of these orders, and reads them back as they are confirmed."""

    stack: Stack
    orders: dict[int, Paid] = field(default_factory=dict)
    reads: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    read_back: bool = True
    all_paid: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        runtime = self.stack.runtime
        engine = runtime.engine
        seen: set[str] = set()
        looked = time.monotonic()
        while not self.stopping.is_set():
            with reading(engine) as tx:
                rows = tx.execute(
                    select(
                        intents.c.key, intents.c.document, intents.c.qbo_id, intents.c.doc_number,
                        intents.c.confirmed_at, intents.c.entity,
                    ).where(intents.c.role == "sale", intents.c.state == "CONFIRMED", intents.c.key.not_in(seen))
                ).all()  # fmt: skip
            fresh = []
            for row in rows:
                seen.add(row.key)
                document = from_json(row.document)
                one = self.orders.get(document.order_id)
                if one is not None and not one.confirmed:
                    one.confirmed = row.confirmed_at.timestamp()
                    one.qbo_id, one.doc_number, one.total = row.qbo_id, row.doc_number, str(document.total)
                    fresh.append((row.entity, one))
            if fresh and self.read_back:
                self._read_back(runtime, fresh)
            if self.all_paid.is_set():
                left = [one for one in self.orders.values() if not one.confirmed and not one.held]
                if left and time.monotonic() - looked > 10:
                    self._find_held(runtime, left)
                    looked = time.monotonic()
                elif not left:
                    self.done.set()
            time.sleep(0.2)

    def _find_held(self, runtime: Any, left: list[Paid]) -> None:
        """An order that accounting holds is rightly in no book; the reason stands in the figures."""
        with runtime.warehouse("see what is held", read_only=True) as con:
            rows = con.execute(
                "select order_id, reason from ledger.sources where source_type = 'order' and status = 'held'"
            ).fetchall()
        for one in left:
            one.held = dict(rows).get(one.order, "")

    def _read_back(self, runtime: Any, fresh: list[tuple[str, Paid]]) -> None:
        with runtime.books() as books:
            for entity in sorted({entity for entity, _ in fresh}):
                by_id = {one.qbo_id: one for kind, one in fresh if kind == entity}
                listed = ", ".join(f"'{number}'" for number in by_id)
                self.reads += 1
                for row in books.query(f"SELECT * FROM {entity} WHERE Id IN ({listed})"):
                    one = by_id[str(row["Id"])]
                    assert str(row["DocNumber"]) == one.doc_number, (row["DocNumber"], one)
                    assert float(row["TotalAmt"]) == float(one.total), (row["TotalAmt"], one)
                    one.read_back = time.time()


def pay_at_random(
    stack: Stack, watcher: Watcher, waiting: list[int], *, orders: int, seconds: float, seed: int
) -> None:
    """Pay ``orders`` orders at random moments; those ``waiting`` were placed before."""
    dice = random.Random(seed)
    moments = sorted(dice.uniform(0, seconds) for _ in range(orders))
    began = time.monotonic()
    for number, moment in enumerate(moments):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        at = time.time()
        if waiting and number % 2:
            order = waiting.pop()
            watcher.orders[order] = Paid(order, at)
            stack.control("shop", {"pay": {"order": order}})
        else:
            customer = {"customer": "new"} if dice.random() < 0.3 else {}
            told = stack.control(
                "shop", {"place_order": {"way": "card", "seed": seed * 10_000 + number, **customer}}
            )
            watcher.orders[told["order"]] = Paid(told["order"], at)


def sustained(stack: Stack, *, orders: int, minutes: float, seed: int) -> Figures:
    """Orders paid at random moments while everything runs."""
    waiting = [
        stack.control("shop", {"place_order": {"way": "wire", "seed": seed * 20_000 + number}})["order"]
        for number in range(orders // 2)
    ]
    engine = stack.runtime.engine
    _settle(stack)
    idle = _idle(stack, min(IDLE_SECONDS, 60 * minutes))
    before, meter = stack.processor_seconds(), _meter(stack)
    watcher = Watcher(stack)
    thread = threading.Thread(target=watcher.run, daemon=True)
    thread.start()
    began = time.time()
    pay_at_random(stack, watcher, waiting, orders=orders, seconds=60 * minutes, seed=seed)
    watcher.all_paid.set()
    watcher.done.wait(LOAD_PATIENCE)
    took = time.time() - began
    watcher.stopping.set()
    thread.join()
    used, metered = stack.processor_seconds(), _meter(stack)
    _settle(stack, job=f"live_{NAME}", quiet=3)  # a run tells of its rounds when it ends
    runs = _runs(stack, began)
    return {
        **spread(list(watcher.orders.values())),
        "minutes": minutes,
        "shares": _shares(engine, list(watcher.orders.values()), runs["rounds"]),
        "runs": runs["by_job"],
        "failed_runs": runs["failed"],
        "rounds": len(runs["rounds"]),
        "processor_seconds_a_round": _processor(runs["rounds"]),
        "processor_share_busy": {name: round((used[name] - before[name]) / took, 3) for name in used},
        "metered": {name: metered[name] - meter[name] for name in metered}
        | {"ours_to_read_back": watcher.reads},
        "idle": idle,
    }


def burst(stack: Stack, *, orders: int, seed: int) -> Figures:
    """All orders paid within a second."""
    waiting = [
        stack.control("shop", {"place_order": {"way": "wire", "seed": seed * 30_000 + number}})["order"]
        for number in range(orders)
    ]
    _settle(stack)
    watcher = Watcher(stack, read_back=False)
    began = time.time()
    watcher.orders = {order: Paid(order, began) for order in waiting}
    thread = threading.Thread(target=watcher.run, daemon=True)
    meter = _meter(stack)
    stack.control("shop", [{"pay": {"order": order}} for order in waiting])
    paying = time.time() - began
    watcher.all_paid.set()
    thread.start()
    watcher.done.wait(LOAD_PATIENCE + orders)
    watcher.stopping.set()
    thread.join()
    _settle(stack, job=f"live_{NAME}", quiet=3)
    runs = _runs(stack, began)
    metered = _meter(stack)
    found = list(watcher.orders.values())
    return {
        **spread(found),
        "paid_within": round(paying, 2),
        "confirmed_within": round(max(one.confirmed for one in found) - began, 1),
        "runs": runs["by_job"],
        "failed_runs": runs["failed"],
        "rounds": len(runs["rounds"]),
        "processor_seconds_a_round": _processor(runs["rounds"]),
        "metered": {name: metered[name] - meter[name] for name in metered},
        "double": double(stack),
    }


ACTIVE = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def _settle(stack: Stack, *, job: str | None = None, quiet: float = 15) -> None:
    """Wait until what was placed has been taken in and nothing (or no run of ``job``) is at work any more."""
    box = Inbox(stack.runtime.engine)
    quiet_since = time.monotonic()
    deadline = time.monotonic() + 300
    with dg.DagsterInstance.get() as instance:
        while time.monotonic() < deadline and time.monotonic() - quiet_since < quiet:
            active = instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=ACTIVE))
            if active or box.depth(NAME, source="prestashop").count:
                quiet_since = time.monotonic()
            time.sleep(0.5)


def _idle(stack: Stack, seconds: float) -> Figures:
    before = stack.processor_seconds()
    time.sleep(seconds)
    after = stack.processor_seconds()
    shares = {name: round((after[name] - before[name]) / seconds, 4) for name in after}
    return {
        "seconds": seconds,
        "processor_share": shares,
        "all": round(sum(shares.values()), 4),
        "megabytes": stack.megabytes(),
    }


def _meter(stack: Stack) -> dict[str, int]:
    month = SharedBudget(BudgetStore(stack.runtime.engine)).month(stack.runtime.connection.books.realm)
    return {"reads": month.reads, "cdc": month.cdc, "writes": month.writes}


def double(stack: Stack) -> int:
    """Documents of one number that QuickBooks holds more than once."""
    with stack.runtime.books() as books:
        counted = Counter(
            str(row["DocNumber"])
            for entity in ("SalesReceipt", "Invoice", "RefundReceipt")
            for row in books.query_all(entity)
        )
    return sum(count - 1 for count in counted.values() if count > 1)


def spread(orders: Sequence[Paid]) -> Figures:
    took = sorted((one.read_back or one.confirmed) - one.paid for one in orders if one.confirmed)
    missing = sorted(one.order for one in orders if not one.confirmed and not one.held)
    held = dict(Counter(one.held for one in orders if one.held))
    if not took:
        return {"orders": len(orders), "confirmed": 0, "held": held, "missing": missing[:20]}
    cuts = statistics.quantiles(took, n=100, method="inclusive") if len(took) > 1 else took * 99
    return {
        "orders": len(orders), "confirmed": len(took), "held": held, "missing": missing[:20],
        "median": round(cuts[49], 2), "p95": round(cuts[94], 2), "p99": round(cuts[98], 2), "max": round(took[-1], 2),
    }  # fmt: skip


def _runs(stack: Stack, since: float) -> Figures:
    """Runs that began since then by job, and the rounds that live runs told of."""
    rounds: list[Figures] = []
    with dg.DagsterInstance.get() as instance:
        records = [
            one for one in instance.get_run_records(limit=10_000)
            if one.create_timestamp.timestamp() >= since - 60
        ]  # fmt: skip
        for record in records:
            if not record.dagster_run.job_name.startswith("live_"):
                continue
            for event in instance.all_logs(record.dagster_run.run_id):
                data = getattr(event.dagster_event, "event_specific_data", None)
                told = getattr(data, "asset_observation", None) or getattr(data, "materialization", None)
                if told is not None and "each_round" in told.metadata:
                    rounds += told.metadata["each_round"].data
    recent = [one for one in records if one.create_timestamp.timestamp() >= since]
    return {
        "by_job": dict(Counter(one.dagster_run.job_name for one in recent)),
        "failed": sum(one.dagster_run.status == dg.DagsterRunStatus.FAILURE for one in recent),
        "rounds": [one for one in rounds if one["began"] >= since and one["hints"]],
    }


def _processor(rounds: Sequence[Figures]) -> float:
    """What a round takes of a processor, on average; the run around it and the daemon are in the shares."""
    return round(sum(one["processor"] for one in rounds) / max(1, len(rounds)), 2)


def _shares(engine: Any, orders: Sequence[Paid], rounds: Sequence[Figures]) -> Figures:
    """How much of all the seconds that orders waited went into each phase."""
    with reading(engine) as tx:
        rows = tx.execute(
            select(inbox.c.seq, inbox.c.hint, inbox.c.received_at).where(inbox.c.source == "prestashop")
        ).all()
    received: dict[int, list[tuple[int, float]]] = {}
    for row in rows:
        received.setdefault(int(json.loads(row.hint)["id"]), []).append(
            (row.seq, row.received_at.timestamp())
        )
    spent: Counter[str] = Counter()
    counted = 0
    for one in orders:
        if not one.confirmed:
            continue
        arrivals = [entry for entry in received.get(one.order, []) if entry[1] >= one.paid - 0.5]
        handled = [
            (at, found) for seq, at in arrivals for found in rounds
            if found["first"] <= seq <= found["last"] and found["began"] <= one.confirmed
        ]  # fmt: skip
        if not handled:
            continue
        counted += 1
        at, found = max(handled, key=lambda entry: entry[1]["began"])
        at = min(entry[1] for entry in arrivals)
        took = found["seconds"]
        in_books = one.confirmed - found["began"] - took.get("shop", 0) - took.get("ledger", 0)
        spent["to the inbox"] += at - one.paid
        spent["to the round"] += found["began"] - at
        spent["reading the shop"] += took.get("shop", 0)
        spent["ledger and gate"] += took.get("ledger", 0)
        spent["posting until confirmed"] += in_books
        spent["reading back"] += max(0.0, one.read_back - one.confirmed)
    whole = sum(spent.values()) or 1.0
    return {
        "orders": counted,
        **{name: {"share": round(value / whole, 3), "mean_seconds": round(value / max(1, counted), 2)} for name, value in spent.items()},
    }  # fmt: skip


def measure(mode: str, chosen: argparse.Namespace) -> Figures:
    """One mode on an installation of its own."""
    root = Path(tempfile.mkdtemp(prefix=f"psqb-{mode}-"))
    stack = Stack(root, webhooks=mode != "polling")
    try:
        with stack.sandbox():
            say(f"{mode}: preparing in {root}")
            stack.prepare()
            stack.slow_down(shop=SHOP_LATENCY, books=BOOKS_LATENCY)
            stack.start()
            stack.tell_gateway()
            try:
                if mode == "burst":
                    found = burst(stack, orders=chosen.burst, seed=chosen.seed)
                else:
                    found = sustained(stack, orders=chosen.orders, minutes=chosen.minutes, seed=chosen.seed)
                    found["double"] = double(stack)
            finally:
                stack.stop()
    finally:
        if not chosen.keep:
            stack.remove()
    say(json.dumps(found, indent=2))
    return found


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """Run the modes that were asked for; 1 when an order is missing or double."""
    parser = argparse.ArgumentParser(prog="python -m ps_qb_pipeline_tests.bench.latency", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--burst", type=int, default=500)
    parser.add_argument(
        "--mode",
        nargs="+",
        default=["webhooks", "polling", "burst"],
        choices=["webhooks", "polling", "burst"],
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the folders behind")
    chosen = parser.parse_args()
    about = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine.describe(),
        "shop_latency": SHOP_LATENCY,
        "books_latency": BOOKS_LATENCY,
    }
    figures = {mode: measure(mode, chosen) for mode in chosen.mode}
    say(json.dumps({**about, "figures": figures}))
    return int(any(one["missing"] or one["double"] for one in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
