"""``python -m ps_qb_pipeline_tests.faults.pipelines --kills 4``: whole pipelines as Dagster runs, killed with SIGKILL.

A sandbox serves shop and company on loopback. ``dagster job execute`` runs the main job in processes of its own;
they are killed with everything below them at random moments, and started again; at the end two are started at the
same moment. The company's books then hold every document once, and a further run creates nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from unittest.mock import patch

import yaml

from ps_qb_pipeline.orchestration import steps
from ps_qb_pipeline.orchestration.instance import initialise
from ps_qb_pipeline.posting import dead_letters
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline_tests.journeys.conftest import Place

NAME = "boutique"
JOB = f"order_to_cash_{NAME}"
SETTLE = 5.0
OURS = {"NO_ANSWER", "MAYBE_DELETED", "DUPLICATE_IN_QBO", "NUMBER_TAKEN", "STALE"}
"""Causes that only a lost answer or a race can have."""
ENTITIES = ("SalesReceipt", "Invoice", "Payment", "RefundReceipt", "CreditMemo")


@dataclass
class Outcome:
    """What came of it. ``killed_at`` is how many documents and cards were confirmed at each kill."""

    killed_at: list[int] = field(default_factory=list)
    runs: int = 0
    documents: int = 0
    duplicates: int = 0
    open_intents: int = 0
    causes: dict[str, int] = field(default_factory=dict)
    """What is left to a person, by cause."""
    two_at_once: list[int] = field(default_factory=list)
    """The exit codes of the two runs that were started together."""
    created_afterwards: int = 0
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether everything is in the books once, and no kill and no race has made work for a person."""
        left = self.duplicates + self.open_intents + self.created_afterwards
        return self.documents > 0 and not left and not any(self.two_at_once) and not OURS & self.causes.keys()


class Pipeline:
    """One connection whose runs are processes."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.database = place.root / "home" / "control.sqlite"
        self.runs = 0

    def start(self) -> subprocess.Popen[bytes]:
        """The main job as a Dagster run, at the head of a process group of its own."""
        self.runs += 1
        command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "ps_qb_pipeline.definitions"]
        log = (self.place.root / f"run-{self.runs}.log").open("w")
        return subprocess.Popen(
            [*command, "-j", JOB],
            env=self.place.environment
            | {"PYTHONPATH": os.pathsep.join(part or str(Path.cwd()) for part in sys.path)},
            cwd=self.place.root,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def said(self, run: int) -> str:
        """The last lines of a run."""
        return "\n".join((self.place.root / f"run-{run}.log").read_text().splitlines()[-15:])

    def counts(self) -> Counter[str]:
        """How many intents are in each state now."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30) as con:
            return Counter(dict(con.execute("select state, count(*) from intents group by state")))


def _kill(pipeline: Pipeline, process: subprocess.Popen[bytes], rng: random.Random, more: int) -> int | None:
    """Kill when about ``more`` further intents are confirmed; None when the run ended first."""
    target = pipeline.counts()[intents.CONFIRMED] + max(1, round(more * rng.uniform(0.3, 1.0)))
    while process.poll() is None:
        confirmed = pipeline.counts()[intents.CONFIRMED]
        if confirmed >= target:
            time.sleep(rng.uniform(0.0, 0.05))
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return confirmed
        time.sleep(0.005)
    return None


def experiment(kills: int, *, seed: int = 1) -> Outcome:
    """Kill runs, let them end, start two at once, and look into the books."""
    rng = random.Random(seed)
    outcome = Outcome()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="psqb-pipelines-") as folder:
        place = Place(Path(folder))
        place.connect(NAME)
        _settle_soon(place)
        here = {name: place.environment[name] for name in ("PSQB_HOME", "PSQB_DEFS_DIR", "DAGSTER_HOME")}
        with patch.dict(os.environ, here), place.sandbox(NAME) as ready:
            runtime = place.runtime(NAME)
            runtime.armed()
            steps.set_up(runtime, create=True)
            Connections(runtime.engine).arm(NAME, by="faults")
            initialise(place.settings)
            pipeline = Pipeline(place)
            while len(outcome.killed_at) < kills:
                confirmed = _kill(pipeline, pipeline.start(), rng, 500 // (kills + 1))
                if confirmed is None:
                    break
                outcome.killed_at.append(confirmed)
            place.control(ready["shop_url"], {"life": {"seed": seed, "events": 20}})
            together = [pipeline.start(), pipeline.start()]
            outcome.two_at_once = [process.wait() for process in together]
            for _ in range(3):
                time.sleep(SETTLE)
                before = sum(pipeline.counts().values())
                if (code := pipeline.start().wait()) != 0:
                    raise ChildProcessError(f"run ended with {code}:\n{pipeline.said(pipeline.runs)}")
                outcome.created_afterwards = sum(pipeline.counts().values()) - before
                if not outcome.created_afterwards:
                    break
            outcome.runs = pipeline.runs
            _judge(place, outcome)
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def _settle_soon(place: Place) -> None:
    file = place.root / "defs" / NAME / "defs.yaml"
    body = yaml.safe_load(file.read_text())
    body["books"]["settle_seconds"] = SETTLE
    file.write_text(yaml.safe_dump(body))


def _judge(place: Place, outcome: Outcome) -> None:
    """Compare what the books hold with what the intents say."""
    runtime = place.runtime(NAME)
    with runtime.books() as books:
        for entity in ENTITIES:
            notes = Counter(
                str(row["PrivateNote"])
                for row in books.query_all(entity)
                if "ps:{" in str(row.get("PrivateNote")) and "void" not in str(row["PrivateNote"]).lower()
            )
            outcome.documents += len(notes)
            outcome.duplicates += sum(count - 1 for count in notes.values())
        names = Counter(str(row["DisplayName"]) for row in books.query_all("Customer"))
        outcome.duplicates += sum(count - 1 for count in names.values())
    with reading(runtime.engine) as tx:
        found = intents.in_states(tx, runtime.connection.books.realm, intents.EDGES)
    states = Counter(one.state for one in found)
    outcome.open_intents = sum(states[state] for state in ("PLANNED", "SENT", "UNKNOWN"))
    causes = dead_letters.collect(runtime.engine, NAME)
    outcome.causes = {cause.code: len(cause.letters) for cause in causes}


def main() -> int:
    """The experiment; exit code 0 when everything held."""
    parser = argparse.ArgumentParser(prog="pipelines")
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    outcome = experiment(chosen.kills, seed=chosen.seed)
    print(
        f"{outcome.runs} Dagster runs, {len(outcome.killed_at)} killed at {outcome.killed_at} confirmed intents, "
        f"two at once ended with {outcome.two_at_once}: {outcome.documents} documents in the books, "
        f"{outcome.duplicates} duplicates, left to a person {outcome.causes}, {outcome.seconds} s"
    )
    print(json.dumps(asdict(outcome)))
    return 0 if outcome.good and len(outcome.killed_at) == chosen.kills else 1


if __name__ == "__main__":
    sys.exit(main())
