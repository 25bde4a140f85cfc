"""``python -m ps_qb_pipeline_tests.faults.backfill --orders 20000 --kills 5 --retail-data DIR``: real processes.

A sandbox serves a wholesaler's shop and an empty company on loopback. The documents of its orders are made as the
pipeline makes them; then a posting process books them and is killed with SIGKILL at random moments, each time to
be started again; then everything is undone. Printed are duplicates, what was sent twice, the time each kill cost,
and whether the trial balance is as it was. 300 invoices come with the package, more need the parquet files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ps_qb_pipeline.accounting.documents import (
    Document,
    customer_from_json,
    from_json,
    item_from_json,
    to_json,
)
from ps_qb_pipeline.cli import sandboxes
from ps_qb_pipeline.orchestration import steps
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.posting import echo
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.posting.protocol import post
from ps_qb_pipeline.posting.undo import undo
from ps_qb_pipeline.quickbooks.client import Books
from ps_qb_pipeline.quickbooks.references import References
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline.validation.rules import load_contracts
from ps_qb_pipeline.warehouse import models
from ps_qb_pipeline_tests.journeys.conftest import Place

NAME = "retail"
RUNS = tuple(f"backfill-{number}" for number in range(100))
KINDS = ("documents", "customers", "items")


# -- the backlog -------------------------------------------------------------------------------


def prepare(runtime: Runtime, folder: Path) -> int:
    """From the shop to the documents to post, as the main job does it; they are kept as lines of JSON."""
    steps.pull_shop(runtime)
    chosen = [one for name, one in models.load_models().items() if name.startswith("staging.prestashop_")]
    steps.make_models(runtime, chosen, [])
    steps.make_ledger(runtime, [], list(load_contracts().values()))
    steps.pull_books(runtime)
    with runtime.warehouse("read the documents to post") as con:
        wanted = steps.wanted_documents(con)
    for kind, values in zip(KINDS, wanted, strict=True):
        (folder / f"{kind}.jsonl").write_text("".join(to_json(one) + "\n" for one in values))
    return len(wanted[0])


def backlog(folder: Path) -> tuple[list[Any], ...]:
    """The documents, customers and items to post; the same in every process."""
    readers = (from_json, customer_from_json, item_from_json)
    return tuple(
        [read(line) for line in (folder / f"{kind}.jsonl").read_text().splitlines()]
        for kind, read in zip(KINDS, readers, strict=True)
    )


# -- the posting process -----------------------------------------------------------------------


def work(root: Path, run_id: str, settle: float, *, take_back: bool) -> None:
    """One posting process; what it did is one line of JSON at its end."""
    began = time.monotonic()
    runtime = Place(root).runtime(NAME)
    first: list[float] = []

    def step(name: str) -> None:
        if name == "before.send" and not first:
            first.append(time.monotonic() - began)
            print(json.dumps({"first_request": round(first[0], 2)}), flush=True)

    pace = Pace(settle=settle, server_limit=0.0, patience=20 * settle)
    with runtime.books() as books:
        names = References.read(books)
        if take_back:
            done = undo(
                runtime.engine,
                NAME,
                books=books,
                names=names,
                run_id=run_id,
                by="backfill",
                runs=_runs(runtime),
                pace=pace,
                step=step,
            )
            lists = {name: value for name, value in asdict(done).items() if isinstance(value, list | dict)}
            print(json.dumps({"undo": {name: len(value) for name, value in lists.items()}}))
            return
        documents, customers, items = backlog(root)
        result = post(
            documents,
            customers,
            items,
            books=books,
            names=names,
            store=runtime.engine,
            run_id=run_id,
            connection=NAME,
            pace=pace,
            step=step,
        )
    print(
        json.dumps({"result": result.counts(), "waited": round(result.waited, 1), "stopped": result.stopped})
    )


def _runs(runtime: Runtime) -> list[str]:
    with reading(runtime.engine) as tx:
        found = tx.exec_driver_sql("select distinct run_id from intents").scalars()
        return sorted(run for run in found if run in RUNS)


# -- the experiment ----------------------------------------------------------------------------


@dataclass
class Outcome:
    """The figures of one experiment."""

    orders: int
    documents: int = 0
    kills: int = 0
    booked: int = 0
    duplicates: int = 0
    missing: int = 0
    written: int = 0
    sent_again: int = 0
    seconds: float = 0.0
    seconds_waited: float = 0.0
    seconds_to_undo: float = 0.0
    seconds_to_first_request: list[float] = field(default_factory=list)
    trial_balance_restored: bool | None = None
    undone: dict[str, int] = field(default_factory=dict)

    @property
    def sent_again_share(self) -> float:
        return self.sent_again / max(1, self.written)


@contextmanager
def business(root: Path, orders: int, data: Path | None) -> Iterator[Place]:
    """A shop with its orders and a company with what their documents name, both on loopback."""
    place = Place(root)
    place.connect(NAME)
    os.environ.update(
        {name: place.environment[name] for name in ("PSQB_HOME", "PSQB_DEFS_DIR", "DAGSTER_HOME")}
    )
    sandboxes.put_credentials((NAME,))
    more = ("--orders", str(orders), *(("--retail-data", str(data)) if data else ()))
    with sandboxes.running(place.settings, NAME, extra=more):
        runtime = place.runtime(NAME)
        runtime.armed()
        steps.set_up(runtime, create=True)
        Connections(runtime.engine).arm(NAME, by="backfill")
        yield place


def start(place: Place, run: str, settle: float, *, take_back: bool = False) -> subprocess.Popen[str]:
    """A posting process, or one that takes everything back."""
    command = [
        sys.executable,
        "-m",
        "ps_qb_pipeline_tests.faults.backfill",
        "work",
        "--root",
        str(place.root),
    ]
    command += ["--run", run, "--settle", str(settle), *(["--undo"] if take_back else [])]
    return subprocess.Popen(
        command,
        env=place.environment | {"PYTHONPATH": os.pathsep.join(part or str(Path.cwd()) for part in sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def experiment(
    orders: int,
    kills: int,
    *,
    settle: float = 2.0,
    seed: int = 1,
    take_back: bool = True,
    data: Path | None = None,
) -> Outcome:
    """Book the backlog with that many kills, judge it, and take it back."""
    rng = random.Random(seed)
    outcome = Outcome(orders)
    with (
        tempfile.TemporaryDirectory(prefix="psqb-backfill-") as folder,
        business(Path(folder), orders, data) as place,
    ):
        runtime = place.runtime(NAME)
        outcome.documents = prepare(runtime, place.root)
        with runtime.books() as books:
            before = _trial_balance(books)
            began = time.monotonic()
            for attempt in range(60):
                process = start(place, RUNS[attempt], settle)
                share = outcome.documents // (kills + 1)
                if outcome.kills < kills and _kill_later(process, runtime, rng, share):
                    outcome.kills += 1
                    _read(process, outcome)
                    continue
                _read(process, outcome)
                if _left(runtime) == 0:
                    break
                time.sleep(settle)
            outcome.seconds = time.monotonic() - began
            _judge(books, runtime, backlog(place.root)[0], outcome)
            began = time.monotonic()
            for attempt in range(5 if take_back else 0):
                _read(start(place, f"undo-{attempt}", settle, take_back=True), outcome)
                outcome.trial_balance_restored = _trial_balance(books) == before
                if outcome.trial_balance_restored:
                    break
            outcome.seconds_to_undo = time.monotonic() - began
    return outcome


def _kill_later(process: subprocess.Popen[str], runtime: Runtime, rng: random.Random, share: int) -> bool:
    """Kill when the process has booked about its share; False when it ended first."""
    target = _confirmed(runtime) + max(1, int(share * rng.uniform(0.3, 1.0)))
    while process.poll() is None:
        if _confirmed(runtime) >= target:
            time.sleep(rng.uniform(0.0, 0.3))
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.05)
    return False


def _confirmed(runtime: Runtime) -> int:
    with reading(runtime.engine) as tx:
        query = "select count(*) from intents where state = 'CONFIRMED'"
        return int(tx.exec_driver_sql(query).scalar_one())


def _read(process: subprocess.Popen[str], outcome: Outcome) -> None:
    out, _ = process.communicate()
    for line in out.splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        if "first_request" in said:
            outcome.seconds_to_first_request.append(said["first_request"])
        if "waited" in said:
            outcome.seconds_waited += said["waited"]
        outcome.undone.update(said.get("undo", {}))


def _left(runtime: Runtime) -> int:
    with reading(runtime.engine) as tx:
        query = "select count(*) from intents where state in ('PLANNED', 'SENT', 'UNKNOWN')"
        return int(tx.exec_driver_sql(query).scalar_one())


def _judge(books: Books, runtime: Runtime, documents: list[Document], outcome: Outcome) -> None:
    """Every document once, by the key in its private note, and no customer or item twice."""
    for entity in sorted({one.type for one in documents}):
        keys = Counter(echo.identity(row.get("PrivateNote")) for row in books.query_all(entity))
        wanted = {echo.identity(one.private_note) for one in documents if one.type == entity}
        outcome.booked += sum(key in keys for key in wanted)
        outcome.missing += sum(key not in keys for key in wanted)
        outcome.duplicates += sum(keys[key] - 1 for key in wanted if key in keys)
    for entity, name in (("Customer", "DisplayName"), ("Item", "Name")):
        names = Counter(str(row[name]) for row in books.query_all(entity))
        outcome.duplicates += sum(count - 1 for count in names.values())
    with reading(runtime.engine) as tx:
        attempts = tx.exec_driver_sql("select attempts from intents").scalars().all()
    outcome.written = len(attempts)
    outcome.sent_again = sum(count - 1 for count in attempts if count > 1)


def _trial_balance(books: Books) -> str:
    report = books.report("TrialBalance", start_date="2000-01-01", end_date="2100-12-31")
    return json.dumps(report.get("Rows"), sort_keys=True, default=str)


def show(outcome: Outcome) -> None:
    print(
        f"{outcome.orders:,} invoices, {outcome.documents:,} documents, {outcome.kills} kills: "
        f"{outcome.booked:,} booked, {outcome.missing} missing"
    )
    print(
        f"  duplicates {outcome.duplicates}, sent again {outcome.sent_again:,} of {outcome.written:,} ({outcome.sent_again_share:.2%})"
    )
    print(f"  {outcome.seconds:.1f} s, of which {outcome.seconds_waited:.1f} s settling")
    print(
        f"  seconds from each start to its first request, lost by a kill: {outcome.seconds_to_first_request}"
    )
    print(
        f"  undo in {outcome.seconds_to_undo:.1f} s: {outcome.undone}, trial balance as before: {outcome.trial_balance_restored}"
    )
    print(json.dumps(asdict(outcome)))


def main() -> int:
    """The experiment, or one of its processes."""
    parser = argparse.ArgumentParser(prog="backfill")
    parser.add_argument("what", nargs="?", default="experiment", choices=("experiment", "work"))
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--retail-data", type=Path, default=None)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--settle", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--run", default="")
    parser.add_argument("--undo", action="store_true")
    chosen = parser.parse_args()
    if chosen.what == "work":
        work(chosen.root, chosen.run, chosen.settle, take_back=chosen.undo)
        return 0
    outcome = experiment(
        chosen.orders, chosen.kills, settle=chosen.settle, seed=chosen.seed, data=chosen.retail_data
    )
    show(outcome)
    held = outcome.duplicates == 0 and outcome.missing == 0 and outcome.sent_again_share < 0.02
    return 0 if held and outcome.kills == chosen.kills and outcome.trial_balance_restored else 1


if __name__ == "__main__":
    sys.exit(main())
