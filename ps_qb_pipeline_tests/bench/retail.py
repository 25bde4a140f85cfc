"""``psqb demo --shop retail`` with many invoices, phase by phase: seconds, peak memory, requests.

What lives here: running the command as a user does, in an empty home on free ports, and reading from
Dagster's own event log when each step began and ended, beside samples of memory and of the sandbox's
request counters. What does not: the demo. Requests of a phase are exact to the sample before its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from ps_qb_pipeline.settings import PACKAGE_DIR
from ps_qb_pipeline_tests.bench.machine import children, held_megabytes

SAMPLE_SECONDS = 2.0
PORTS = ("8783", "8784")
"""Shop and books of the connection as it ships."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at one moment: memory of the pipeline and of the sandbox, requests to both so far."""

    at: float
    pipeline: int
    sandbox: int
    shop: int
    books: int


@dataclass(slots=True)
class Phase:
    """One step of one run; ``ended`` is False when the run was stopped in it."""

    run: int
    step: str
    start: float
    end: float
    ended: bool


@dataclass
class Watch:
    """Samples a process and its sandbox until told to stop."""

    pid: int
    shop: str
    books: str
    samples: list[Sample] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not self._stop.wait(SAMPLE_SECONDS):
                self.samples.append(self._sample(client))

    def _sample(self, client: httpx.Client) -> Sample:
        below = children(self.pid)
        apart = {pid for pid in below if b"sandbox" in _command(pid)}
        ours = sum(held_megabytes(pid) for pid in (self.pid, *below) if pid not in apart)
        before = self.samples[-1] if self.samples else Sample(0, 0, 0, 0, 0)
        return Sample(
            time.time(),
            ours,
            sum(held_megabytes(pid) for pid in apart),
            _count(client, self.shop, "requests", "", before.shop),
            _count(client, self.books, "counts", "status:", before.books),
        )

    def stop(self) -> None:
        self._stop.set()


def measure(orders: int, data: Path, patience: float, say: Say) -> dict[str, Any]:
    """Run the demo with ``orders`` invoices for at most ``patience`` seconds, and return its figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shop, books = _connection(folder / "defs" / "retail")
        environment = os.environ | {
            "PSQB_HOME": str(folder / "home"),
            "PSQB_DEFS_DIR": str(folder / "defs"),
            "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
        }
        environment.pop("DAGSTER_HOME", None)
        environment.pop("PSQB_STATE_URL", None)
        command = [
            sys.executable, "-m", "ps_qb_pipeline.cli.main", "demo", "--shop", "retail", "--orders", str(orders),
            "--retail-data", str(data), "--out", str(folder / "out"),
        ]  # fmt: skip
        began = time.time()
        with (folder / "said").open("w") as said:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=said, text=True
            )
            watch = Watch(process.pid, shop, books)
            with _watching(watch):
                stopped = _followed(process, patience, say)
        if process.returncode:
            for line in (folder / "said").read_text().splitlines()[-20:]:
                say(f"  | {line}")
        figures = {"invoices": orders, "seconds": round(time.time() - began, 1), "exit": process.returncode}
        figures |= {"stopped_after": patience} if stopped else {}
        figures |= _whole(watch.samples)
        summary = folder / "out" / "summary.json"
        if summary.exists():
            told = json.loads(summary.read_text())["shops"]["retail"]
            names = ("orders", "documents_confirmed", "held", "exceptions", "unclassified", "open_difference")
            figures |= {name: told[name] for name in (*names, "second_run_created")}
        figures["phases"] = _phases(folder / "home" / "dagster", watch.samples, began)
        return figures


def _connection(folder: Path) -> tuple[str, str]:
    """The connection as it ships, on two free ports; returns the addresses of shop and books."""
    folder.mkdir(parents=True)
    text = (PACKAGE_DIR / "defs" / "retail" / "defs.yaml").read_text()
    free = []
    for port in PORTS:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            free.append(str(listener.getsockname()[1]))
        text = text.replace(f":{port}", f":{free[-1]}")
    (folder / "defs.yaml").write_text(text)
    return f"http://127.0.0.1:{free[0]}", f"http://127.0.0.1:{free[1]}"


@contextlib.contextmanager
def _watching(watch: Watch) -> Iterator[None]:
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        watch.stop()
        thread.join(60)


def _followed(process: subprocess.Popen[str], patience: float, say: Say) -> bool:
    """Pass on what the process prints until it ends; True if it had to be stopped."""
    stopped = threading.Event()

    def give_up() -> None:
        stopped.set()
        _end(process)

    timer = threading.Timer(patience, give_up)
    timer.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            say(f"  | {line.rstrip()}")
        process.wait()
    finally:
        timer.cancel()
        _end(process)
        process.wait()
    return stopped.is_set()


def _end(process: subprocess.Popen[str]) -> None:
    """End the process and all below it; the sandbox first, which would outlive it."""
    for pid in (*children(process.pid), process.pid) if process.poll() is None else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _phases(home: Path, samples: list[Sample], began: float) -> list[dict[str, Any]]:
    """Every step of every run that took a second or more, with what was seen while it ran."""
    steps = _steps(home)
    first = min((step.start for step in steps), default=time.time())
    steps.insert(0, Phase(0, "sandbox and set-up", began, first, ended=bool(steps)))
    shown = []
    for phase in steps:
        during = [sample for sample in samples if phase.start <= sample.at <= phase.end]
        if not during and phase.end - phase.start < 1:
            continue
        before = _at(samples, phase.start)
        after = _at(samples, phase.end)
        shown.append(
            {
                "run": phase.run,
                "step": phase.step + ("" if phase.ended else " (stopped in it)"),
                "seconds": round(phase.end - phase.start, 1),
                "peak_megabytes": max((sample.pipeline for sample in during), default=0),
                "shop_requests": after.shop - before.shop,
                "books_requests": after.books - before.books,
            }
        )
    return shown


def _steps(home: Path) -> list[Phase]:
    import dagster as dg

    os.environ["DAGSTER_HOME"] = str(home)
    if not (home / "dagster.yaml").exists():
        return []
    found = []
    with dg.DagsterInstance.get() as instance:
        runs = sorted(instance.get_run_records(), key=lambda record: record.create_timestamp)
        for number, record in enumerate(runs, 1):
            for step in instance.get_run_step_stats(record.dagster_run.run_id):
                if step.start_time is not None:
                    end = step.end_time or time.time()
                    found.append(
                        Phase(number, step.step_key, step.start_time, end, ended=step.end_time is not None)
                    )
    return sorted(found, key=lambda phase: phase.start)


def _at(samples: list[Sample], moment: float) -> Sample:
    """The last sample not later than a moment; an empty one before the first."""
    return next((one for one in reversed(samples) if one.at <= moment), Sample(0, 0, 0, 0, 0))


def _whole(samples: list[Sample]) -> dict[str, Any]:
    last = samples[-1] if samples else Sample(0, 0, 0, 0, 0)
    return {
        "peak_megabytes": max((sample.pipeline for sample in samples), default=0),
        "sandbox_peak_megabytes": max((sample.sandbox for sample in samples), default=0),
        "shop_requests": last.shop,
        "books_requests": last.books,
    }


def _count(client: httpx.Client, url: str, name: str, prefix: str, otherwise: int) -> int:
    """The sum of a sandbox's request counters; ``otherwise`` while it does not answer."""
    try:
        told = client.get(f"{url}/_control").json()[name]
    except (httpx.HTTPError, ValueError, KeyError):
        return otherwise
    return sum(number for key, number in told.items() if key.startswith(prefix))


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
