"""Processes that run beside a command: the sandbox, the web server, the daemon.

What lives here: starting them, waiting until they answer, stopping them without leaving one behind.
What does not: what they do.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ps_qb_pipeline.errors import PipelineError

STOP_SECONDS = 15
SANDBOX_SECONDS = 300
"""A large shop takes its time on a busy machine; one that fails ends the wait at once."""


class ProcessFailed(PipelineError):
    """A process that a command depends on ended or never became ready."""


def start(command: Sequence[str], *, env: Mapping[str, str], log: Path | None) -> subprocess.Popen[str]:
    """``command`` in a process group of its own, so that all it starts can be stopped with it."""
    sink: Any = subprocess.DEVNULL
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        sink = log.open("a")
    try:
        return subprocess.Popen(
            list(command),
            env={**os.environ, **env},
            stdout=subprocess.PIPE if log is None else sink,
            stderr=subprocess.PIPE if log is None else subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    finally:
        if log is not None:
            sink.close()


def stop(process: subprocess.Popen[str]) -> None:
    """Ask the whole group to end; insist after a while."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def first_json_line(process: subprocess.Popen[str], *, seconds: float, what: str) -> dict[str, Any]:
    """The JSON object that ``process`` prints when it is ready; what it says afterwards is read away."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        deadline = time.monotonic() + seconds
        while selector.select(max(0.0, deadline - time.monotonic())):
            line = process.stdout.readline()
            if not line:
                break
            if line.startswith("{"):
                _read_away(process)
                return dict(json.loads(line))
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)
    ended = process.poll() is not None
    stop(process)
    lines = process.stderr.read().strip().splitlines() if ended and process.stderr is not None else []
    if ended:
        raise ProcessFailed(
            f"{what} did not start: {lines[-1].removeprefix('psqb: ') if lines else 'it ended'}"
        )
    raise ProcessFailed(f"{what} did not answer within {seconds:.0f} s; is this machine very busy? Try again")


def _read_away(process: subprocess.Popen[str]) -> None:
    """A process whose pipe nobody empties stops at its next word once 64 kB stand in it."""
    for pipe in filter(None, (process.stdout, process.stderr)):
        threading.Thread(target=deque, args=(pipe, 0), daemon=True).start()


@contextlib.contextmanager
def sandbox(arguments: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A running sandbox of shop and books; yields the line that it printed, stops it at the end."""
    command = [sys.executable, "-m", "ps_qb_pipeline.cli.main", "sandbox", *arguments]
    process = start(command, env={}, log=None)
    try:
        yield first_json_line(process, seconds=SANDBOX_SECONDS, what="the sandbox")
    finally:
        stop(process)
