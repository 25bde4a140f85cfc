"""All measurements: ``python -m ps_qb_pipeline_tests.bench [NAMES...] [--quick] [--list]``, or ``make bench``.

What lives here: the list of them, one process for each, and what is printed. What does not: the
measurements themselves. Each prints what it saw; the last line is JSON of everything with the machine.
Nothing is judged: figures depend on the machine, and ``docs/benchmarks.md`` says which was used.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ps_qb_pipeline_tests.bench import machine

Figures = dict[str, Any]
RESULT = "FIGURES "
"""What the one line begins with by which a measurement tells its figures."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One measurement. ``run`` prints as it goes and returns its figures; a string is why it was not made."""

    says: str
    run: Callable[[argparse.Namespace], Figures | str]


def shop_load(chosen: argparse.Namespace) -> Figures:
    from ps_qb_pipeline_tests.prestashop.bench import measure

    found = measure("boutique", chosen.latency, 5 if chosen.quick else chosen.loop_orders)
    found["bulk_rows_per_second"] = round(found["bulk_rows"] / found["bulk_seconds"])
    found["loop_rows_per_second"] = round(found["loop_rows"] / found["loop_seconds"])
    say(
        f"{found['orders']} orders with everything that belongs to them, {chosen.latency} ms added to each request"
    )
    aside(
        "requests per 100 orders",
        found["bulk_requests_per_100_orders"],
        found["loop_requests_per_100_orders"],
    )
    aside("rows a second", found["bulk_rows_per_second"], found["loop_rows_per_second"])
    say(
        f"seconds an order: {found['times_fewer_seconds_an_order']} times fewer than by the plain loop of single reads"
    )
    return found


def idle_tick(chosen: argparse.Namespace) -> Figures:
    from ps_qb_pipeline_tests.prestashop.bench import measure

    found = measure("boutique", 0, 1)
    figures = {"requests": found["tick_requests"], "rows_stored": found["tick_rows_stored"]}
    say(f"a tick with nothing new: {figures['requests']} requests, {figures['rows_stored']} rows stored")
    return figures


def fuzz(chosen: argparse.Namespace) -> Figures:
    import time

    from ps_qb_pipeline_tests.prestashop.fuzz import fuzz as mutate

    count = 1_000 if chosen.quick else chosen.mutations
    began = time.monotonic()
    ends = mutate(count, chosen.seed)
    seconds = round(time.monotonic() - began, 1)
    say(f"{count} mutated answers in {seconds} s, none crashed, no row was dropped in silence")
    for end, number in ends.most_common():
        say(f"{number:>8}  {end}")
    return {"mutations": count, "seed": chosen.seed, "seconds": seconds, "ends": dict(ends.most_common())}


def books_throughput(chosen: argparse.Namespace) -> Figures:
    from ps_qb_pipeline_tests.bench.books import throughput

    found = throughput(60 if chosen.quick else chosen.documents, say)
    ours, plain, paced = found["posting"], found["plain"], found["paced"]
    whole = ours["per whole minute"][1:]
    rate = round(sum(whole) / len(whole)) if whole else None
    found["documents per minute after the first"] = rate
    aside("documents a minute", rate or "no whole minute after the first", paced["per minute"])
    aside("requests a document", ours["requests per document"], paced["requests per document"])
    aside("429s", ours["429s"], plain["429s"], "the loop without pauses")
    return found


def metered_reads(chosen: argparse.Namespace) -> Figures:
    from ps_qb_pipeline_tests.bench.books import metered

    found = metered(50 if chosen.quick else chosen.orders, say)
    say(f"metered reads besides CDC, for 1,000 orders: {found['reads per 1,000 orders']}")
    say(f"CDC calls a day: {found['cdc calls of the day']}")
    return found


def token_torture(chosen: argparse.Namespace) -> Figures:
    from dataclasses import asdict

    from ps_qb_pipeline_tests.quickbooks.torture import torture

    count = 10 if chosen.quick else chosen.refreshes
    found = asdict(torture(count, workers=8, seed=chosen.seed, patience=chosen.patience))
    found["killed_per_refresh"] = round(found["kills"] / max(1, found["refreshes"]), 1)
    say(
        f"8 processes, {found['kills']} of them killed: {found['refreshes']} refreshes in {found['seconds']} s, "
        f"{found['overlaps']} at the same time, {found['refused']} refused, token lost: {found['lost']}"
    )
    return found


def translation(chosen: argparse.Namespace) -> Figures:
    orders = 400 if chosen.quick else chosen.translated
    found = {}
    for times in (1, 5):
        found[f"x{times}"] = last_json(
            "ps_qb_pipeline_tests.bench.translation", "--orders", str(orders * times)
        )
        one = found[f"x{times}"]
        say(
            f"{one['orders']} orders on one core: {one['orders_per_second']} orders a second "
            f"({one['orders_per_processor_second']} a second of processor time), peak {one['peak_megabytes']} MB"
        )
    found["memory_ratio"] = round(found["x5"]["peak_megabytes"] / found["x1"]["peak_megabytes"], 2)
    say(f"memory with five times as many orders: {found['memory_ratio']} times")
    return found


def warehouse(chosen: argparse.Namespace) -> Figures:
    found: Figures = {}
    for orders in [1_000] if chosen.quick else sorted(chosen.sizes):
        one = found[str(orders)] = last_json("ps_qb_pipeline_tests.bench.volume", "--orders", str(orders))
        say(
            f"{orders} orders, landed raw to marts: {one['total']} s (SQL and rules {one['sql']} s, "
            f"ledger {one['ledger']} s), peak {one['peak_mb']} MB"
        )
        say(
            f"   again after 100 orders changed: {one['again_to_posting']} s until they may be posted, "
            f"{one['again_total']} s with reconciliation and marts"
        )
        say(
            f"   the matching by pandas merges: {one['pandas_times_seconds']} times the seconds, "
            f"{one['pandas_times_memory']} times the memory"
        )
    few, many = (found[str(orders)] for orders in (min(map(int, found)), max(map(int, found))))
    if many is not few:
        found["times"] = {name: round(many[name] / few[name], 1) for name in ("total", "sql", "ledger")}
        say(f"the largest size takes {found['times']} times the seconds of the smallest")
    return found


def retail_demo(chosen: argparse.Namespace) -> Figures | str:
    if chosen.retail_data is None:
        return "the parquet files of Online Retail are needed: --retail-data DIRECTORY"
    from ps_qb_pipeline_tests.bench.retail import measure

    orders = 400 if chosen.quick else chosen.invoices
    found = measure(orders, chosen.retail_data, chosen.patience, say)
    say(
        f"{orders} invoices, {'stopped after' if 'stopped_after' in found else 'done in'} {found['seconds']} s; peak "
        f"{found['peak_megabytes']} MB (the sandbox beside it {found['sandbox_peak_megabytes']} MB), "
        f"{found['shop_requests']} requests to the shop, {found['books_requests']} to the books"
    )
    say(f"{'run':<4}{'step':<44}{'seconds':>9}{'peak MB':>9}{'shop':>7}{'books':>7}")
    for phase in found["phases"]:
        say(
            f"{phase['run']:<4}{phase['step']:<44}{phase['seconds']:>9}{phase['peak_megabytes']:>9}"
            f"{phase['shop_requests']:>7}{phase['books_requests']:>7}"
        )
    return found


ENTRIES = {
    "shop_load": Entry("a whole shop beside a plain loop of single reads", shop_load),
    "idle_tick": Entry("requests of a tick with nothing new", idle_tick),
    "fuzz": Entry("mutated answers of the shop against the reading of answers", fuzz),
    "translation": Entry("orders a second through accounting on one core, and memory", translation),
    "warehouse": Entry("a full refresh of generated orders, phase by phase", warehouse),
    "metered_reads": Entry("metered reads and CDC calls of a day", metered_reads),
    "books_throughput": Entry(
        "sales receipts at the real limits beside a plain python-quickbooks loop", books_throughput
    ),
    "token_torture": Entry("eight processes that renew one token while they are killed", token_torture),
    "retail_demo": Entry("the demo with many real invoices, phase by phase", retail_demo),
}


def say(text: str) -> None:
    print(text, flush=True)


def aside(what: str, ours: Any, theirs: Any, whose: str = "plain loop") -> None:
    """One figure of both ways, with their ratio where it means something."""
    ratio = ""
    if all(isinstance(one, int | float) and one > 0 for one in (ours, theirs)):
        ratio = f"   ratio {max(ours, theirs) / min(ours, theirs):.1f}"
    say(f"{what:<28} {ours:>10}   {whose} {theirs}{ratio}")


def last_json(module: str, *arguments: str) -> Figures:
    """The JSON on the last line of a module that is run as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> int:
    """Runs what is asked for, each in a process of its own; 1 if one of them broke."""
    parser = _parser()
    chosen = parser.parse_args()
    if chosen.list:
        for name, entry in ENTRIES.items():
            say(f"{name:<18} {entry.says}")
        return 0
    if chosen.only:
        found = ENTRIES[chosen.only].run(chosen)
        say(RESULT + json.dumps(found if isinstance(found, dict) else {"not_measured": found}, default=str))
        return 0
    unknown = sorted(set(chosen.names) - set(ENTRIES))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are: {', '.join(ENTRIES)}")
    about = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(["python", "-m", "ps_qb_pipeline_tests.bench", *sys.argv[1:]]),
        "machine": machine.describe(),
    }
    say(json.dumps(about, indent=2))
    figures = {name: _in_process(name, ENTRIES[name]) for name in chosen.names or ENTRIES}
    say(json.dumps({**about, "figures": figures}))
    return int(any("failed" in one for one in figures.values()))


def _in_process(name: str, entry: Entry) -> Figures:
    """Run one measurement as a process of its own, so that memory is its own and a crash costs no other."""
    say(f"\n== {name}: {entry.says}")
    command = [sys.executable, "-m", "ps_qb_pipeline_tests.bench", "--only", name, *sys.argv[1:]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        found: Figures = {}
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(RESULT):
                found = json.loads(line.removeprefix(RESULT))
            else:
                say(f"   {line.rstrip()}")
    if "not_measured" in found:
        say(f"   skipped: {found['not_measured']}")
    if process.returncode:
        say(f"   FAILED with exit code {process.returncode}")
        return {"failed": process.returncode}
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ps_qb_pipeline_tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="what to measure; everything if none is given")
    add("--list", action="store_true", help="show the names")
    add("--quick", action="store_true", help="tiny sizes: shows that everything runs, measures nothing")
    add("--only", choices=ENTRIES, help=argparse.SUPPRESS)
    add("--seed", type=int, default=1)
    add("--latency", type=int, default=12, help="shop_load: milliseconds added to each request")
    add("--loop-orders", type=int, default=100, help="shop_load: orders that the plain loop reads")
    add("--mutations", type=int, default=100_000, help="fuzz")
    add("--documents", type=int, default=3_000, help="books_throughput")
    add("--orders", type=int, default=1_000, help="metered_reads: orders of the day")
    add("--refreshes", type=int, default=1_000, help="token_torture")
    add("--translated", type=int, default=20_000, help="translation: orders; five times as many afterwards")
    add("--sizes", type=int, nargs="+", default=[100_000, 1_000_000], help="warehouse: orders")
    add(
        "--retail-data",
        type=Path,
        default=None,
        help="retail_demo: directory of the parquet files of Online Retail",
    )
    add("--invoices", type=int, default=20_000, help="retail_demo")
    add(
        "--patience",
        type=float,
        default=7_200,
        help="token_torture, retail_demo: seconds after which they stop",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
