"""``python -m ps_qb_pipeline_tests.faults.simulate --seeds N``: shop-days, teeth and crash points.

Prints its figures, last a line of JSON. The figures are against our own double of QuickBooks: they prove the
protocol against what we believe of QuickBooks, not QuickBooks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ps_qb_pipeline_tests.faults import wire
from ps_qb_pipeline_tests.faults.checker import judge
from ps_qb_pipeline_tests.faults.climate import Climate
from ps_qb_pipeline_tests.faults.crashes import CRASHES, Crashes, crash_everywhere
from ps_qb_pipeline_tests.faults.day import REFRESH_FAULTS, SHOP_FAULTS, Day, Verdict, lived, template
from ps_qb_pipeline_tests.faults.mail import TRICKS
from ps_qb_pipeline_tests.faults.sabotage import SAFEGUARDS


@dataclass
class Figures:
    """The sums over all days."""

    seeds: int = 0
    orders: int = 0
    documents: int = 0
    matched: int = 0
    with_person: int = 0
    by_people: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    lost: int = 0
    double_refunds: int = 0
    overwritten: int = 0
    tokens_lost: int = 0
    inbox_doubles: int = 0
    unclassified: Decimal = Decimal(0)
    broken: list[str] = field(default_factory=list)
    bad_seeds: list[int] = field(default_factory=list)
    trace: str = ""
    requests: int = 0
    runs: int = 0

    def add(self, verdict: Verdict, faults: Counter[str], requests: int, runs: int) -> None:
        self.seeds += 1
        names = (
            "orders",
            "documents",
            "matched",
            "with_person",
            "by_people",
            "duplicates",
            "lost",
            "double_refunds",
            "overwritten",
            "tokens_lost",
            "inbox_doubles",
            "unclassified",
        )
        for name in names:
            setattr(self, name, getattr(self, name) + getattr(verdict, name))
        self.faults.update(faults)
        self.requests += requests
        self.runs += runs
        if not verdict.good:
            self.bad_seeds.append(verdict.seed)
            self.broken.extend(f"seed {verdict.seed}: {said}" for said in verdict.broken[:3])

    @property
    def good(self) -> bool:
        return not self.bad_seeds

    @property
    def rare(self) -> dict[str, int]:
        """The kinds of faults that so many days should have met a hundred times, and did not."""
        if self.seeds < ENOUGH_SEEDS:
            return {}
        return {kind: self.faults[kind] for kind in KINDS if self.faults[kind] < ENOUGH_FAULTS}


ENOUGH_SEEDS, ENOUGH_FAULTS = 200, 100
KINDS = (
    *(f"write.{kind}" for kind in (*wire.WRITE_FAULTS, *wire.BATCH_FAULTS)),
    *(f"read.{kind}" for kind in wire.READ_FAULTS),
    *(f"shop.{kind}" for kind in SHOP_FAULTS),
    *(f"refresh.{kind}" for kind in REFRESH_FAULTS),
    *TRICKS,
    *("webhook.repeated", "kill", "pause", "two_workers", "clock_skew", "recalculated"),
    *("db_locked", "db_readonly", "db_full", "db_io"),
    *(f"hand.{act}" for act in ("memo", "money", "void", "delete", "take", "deactivate", "card")),
)
"""Every kind of fault that a day may bring."""

_TEMPLATE: Path | None = None


def _template() -> Path:
    global _TEMPLATE
    if _TEMPLATE is None:
        _TEMPLATE = template()
    return _TEMPLATE


def one_day(
    seed: int, orders: int, *, climate: Climate | None = None, without: str = ""
) -> tuple[Verdict, Counter[str], int, int]:
    """Live one day and judge it; ``without`` names a safeguard to take away."""
    day = Day(seed, orders=orders, climate=climate, template=_template())
    if without:
        with SAFEGUARDS[without][0](day), lived(day):
            verdict = judge(day)
    else:
        with lived(day):
            verdict = judge(day)
    return verdict, day.faults, day.server.requests, day.runs


def _one(arguments: tuple[int, int]) -> tuple[Verdict, Counter[str], int, int]:
    return one_day(*arguments)


def _crash(scenario: str) -> Crashes:
    return crash_everywhere(scenario, _template())


def days(seeds: range, orders: int, *, processes: int, progress: bool = False) -> Figures:
    """All of these seeds."""
    figures = Figures()
    traces: list[str] = []
    began = time.monotonic()
    with ProcessPoolExecutor(processes) as pool:
        lived_days = pool.map(_one, ((seed, orders) for seed in seeds), chunksize=2)
        for number, (verdict, faults, requests, runs) in enumerate(lived_days, start=1):
            figures.add(verdict, faults, requests, runs)
            traces.append(f"{verdict.seed}:{verdict.trace}")
            if progress and number % 20 == 0:
                spent = time.monotonic() - began
                print(
                    f"  {number} days, {figures.orders:,} orders, {spent:.0f} s", file=sys.stderr, flush=True
                )
    figures.trace = hashlib.sha256("\n".join(traces).encode()).hexdigest()
    return figures


@dataclass(frozen=True)
class Tooth:
    """What the simulator said with one safeguard taken away."""

    safeguard: str
    seed: int | None
    tried: int
    said: str


def bite(safeguard: str, *, most: int = 200, first: int = 1, orders: int = 40) -> Tooth:
    """The first seed that notices that this safeguard is missing."""
    climate = SAFEGUARDS[safeguard][1]
    for tried, seed in enumerate(range(first, first + most), start=1):
        verdict, _, _, _ = one_day(seed, orders, climate=climate, without=safeguard)
        if not verdict.good:
            facts = {name: value for name, value in asdict(verdict).items() if _is_bad(name, value)}
            return Tooth(
                safeguard, seed, tried, ", ".join(f"{name} {value}" for name, value in facts.items())
            )
    return Tooth(safeguard, None, most, "never noticed")


def _is_bad(name: str, value: Any) -> bool:
    names = (
        "duplicates",
        "lost",
        "double_refunds",
        "overwritten",
        "tokens_lost",
        "inbox_doubles",
        "unclassified",
    )
    return name in names and bool(value)


def _show(figures: Figures) -> None:
    print(f"{figures.seeds} shop-days, {figures.orders:,} orders, {figures.documents:,} documents wanted")
    print(
        f"  as meant {figures.matched:,}, with a person {figures.with_person:,}, changed by people {figures.by_people:,}"
    )
    print(f"  {figures.runs:,} runs, {figures.requests:,} requests, {sum(figures.faults.values()):,} faults")
    for kind, count in sorted(figures.faults.items()):
        print(f"    {kind:32} {count:>7,}")
    for said in figures.broken[:20]:
        print(f"  BROKEN {said}")


def main(arguments: list[str] | None = None) -> int:
    """Run the simulator; exit code 0 when everything held."""
    parser = argparse.ArgumentParser(prog="simulate")
    parser.add_argument("--seeds", type=int, default=20, help="how many shop-days")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--orders", type=int, default=100, help="orders a day")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-teeth", action="store_true", help="skip the search with safeguards off")
    parser.add_argument("--no-crashes", action="store_true", help="skip kill -9 at every crash point")
    chosen = parser.parse_args(arguments)
    figures = days(
        range(chosen.first, chosen.first + chosen.seeds),
        chosen.orders,
        processes=chosen.processes,
        progress=True,
    )
    _show(figures)
    with ProcessPoolExecutor(chosen.processes) as pool:
        teeth = [] if chosen.no_teeth else list(pool.map(bite, SAFEGUARDS))
    for tooth in teeth:
        noticed = f"seed {tooth.seed} ({tooth.said})" if tooth.seed is not None else "NEVER NOTICED"
        print(f"  without {tooth.safeguard}: {noticed}")
    with ProcessPoolExecutor(chosen.processes) as pool:
        killed = [] if chosen.no_crashes else list(pool.map(_crash, CRASHES))
    crashes = {result.scenario: result for result in killed}
    for name, result in crashes.items():
        print(
            f"  kill -9 in {name}: {result.points} points, at most {result.runs} runs, {len(result.broken)} broken"
        )
        print(f"    {', '.join(sorted(result.names))}")
        for said in result.broken[:5]:
            print(f"    BROKEN {said}")
    for kind, count in figures.rare.items():
        print(f"  TOO RARE {kind}: {count}")
    good = figures.good and not figures.rare and all(tooth.seed is not None for tooth in teeth)
    good = good and not any(result.broken for result in crashes.values())
    line = {
        "seeds": figures.seeds,
        "orders": figures.orders,
        "documents": figures.documents,
        "faults": dict(sorted(figures.faults.items())),
        "duplicates": figures.duplicates,
        "lost": figures.lost,
        "double_refunds": figures.double_refunds,
        "overwritten": figures.overwritten,
        "tokens_lost": figures.tokens_lost,
        "unclassified": f"{figures.unclassified:.2f}",
        "bad_seeds": figures.bad_seeds,
        "teeth": {tooth.safeguard: tooth.seed for tooth in teeth},
        "crash_points": {name: result.points for name, result in crashes.items()},
        "trace": figures.trace,
    }
    print(json.dumps(line))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
