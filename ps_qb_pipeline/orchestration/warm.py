"""A warm process: everything imported, nothing opened, every run a fork of it.

What lives here: the loop that forks, and what a fork does before it runs. What does not: deciding what
runs (``launcher``). ``python -m ps_qb_pipeline.orchestration.warm`` reads one JSON object a line and
answers each with one; it ends when its input does, and runs that it began go on.

An interpreter with Dagster and this package takes seconds of a processor to come up, a fork
milliseconds. Nothing here starts a thread or opens a file before the fork: a fork copies only the thread
that forks, and a connection must not be shared.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import random
import selectors
import signal
import sys
import time
from typing import Any

PRELOADED = (
    "ps_qb_pipeline.definitions",
    "dagster._cli.api",
    "dagster._core.execution.plan.execute_step",
    "duckdb",
    "pyarrow",
    "requests",
    "sqlalchemy.dialects.sqlite",
    "intuitlib.client",
    "quickbooks",
    "click",
)
"""What a run would import first of all."""


def preload() -> float:
    """Import what every run needs and build the definitions; the seconds that it took."""
    began = time.monotonic()
    for name in PRELOADED:
        importlib.import_module(name)
    sys.modules["ps_qb_pipeline.definitions"].defs.get_repository_def()
    gc.collect()
    gc.freeze()  # what is there now is not looked at again, so that forks go on sharing it
    return time.monotonic() - began


def serve(source: int, answers: int) -> None:
    """Fork a run for every line of ``source`` until it ends; each is answered by its process id."""
    reading, waking = os.pipe()
    for end in (reading, waking):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        selector.register(reading, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if reading in ready:
                os.read(reading, 4096)
                _reap()
            if source not in ready:
                continue
            arrived = os.read(source, 65536)
            if not arrived:
                return
            *lines, pending = (pending + arrived).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    for end in (reading, waking, source, answers):
                        os.close(end)
                    _run(json.loads(line))
                os.write(answers, json.dumps({"pid": pid}).encode() + b"\n")


def _reap() -> None:
    """Take leave of the runs that have ended, so that they are seen to be gone."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def _run(request: dict[str, Any]) -> None:
    """In the fork: run what Dagster's own command for a run worker runs, then end without a trace of the parent."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A daemon that a shell started in the background ignores it, and a run is terminated by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.open(os.devnull, os.O_RDONLY)  # takes the lowest number that is free: standard input
    os.dup2(2, 1)
    random.seed()
    os.nice(int(request.get("nice", 0)))
    code = 1
    try:
        from dagster._cli.api import execute_run_command

        execute_run_command.main(args=[request["arguments"]], standalone_mode=False)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        logging.getLogger(__name__).exception("the run worker failed")
    finally:
        logging.shutdown()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Warm up, say so, serve."""
    answers = os.dup(1)
    os.dup2(2, 1)  # nothing but answers goes to whoever reads them
    seconds = preload()
    os.write(answers, json.dumps({"ready": round(seconds, 2)}).encode() + b"\n")
    serve(0, answers)
    os._exit(0)  # there is nothing to close, and DuckDB's farewell would fill the log


if __name__ == "__main__":
    main()
