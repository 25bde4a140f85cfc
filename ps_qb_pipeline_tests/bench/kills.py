"""SIGKILL to each process of a running installation in turn, while orders arrive.

``python -m ps_qb_pipeline_tests.bench.kills [--orders 40] [--turns 1] [--pause 15]``

What lives here: paying, killing, starting again what a service manager would start again, and what is
there at the end. What does not: the installation (``stack``). The last line is JSON; the exit code is 1
when an order is missing or double.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from ps_qb_pipeline.orchestration.launcher import WORKER
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline_tests.bench import machine
from ps_qb_pipeline_tests.bench.latency import Watcher, double, pay_at_random, spread
from ps_qb_pipeline_tests.bench.stack import NAME, Stack

VICTIMS = ("gateway", "run worker", "daemon", "code server", "warm process")
PATIENCE = 600.0


def kill(stack: Stack, victim: str) -> str:
    """Kill it; start again what nothing else would. What was done, in words."""
    if victim in {"gateway", "daemon"}:
        stack.kill(victim)
        time.sleep(1)
        stack.start(victim)
        return "killed and started again"
    if victim == "run worker":
        return _kill_worker()
    word = "api grpc" if victim == "code server" else "orchestration.warm"
    pid = next(
        (one for one in machine.children(stack.processes["daemon"].pid) if word in _command(one)), None
    )
    if pid is None:
        return "was not there"
    os.kill(pid, signal.SIGKILL)
    return "killed"


def _kill_worker() -> str:
    """Kill the process of the live run that is at work; waits for one for a while."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with dg.DagsterInstance.get() as instance:
            runs = instance.get_runs(
                dg.RunsFilter(job_name=f"live_{NAME}", statuses=[dg.DagsterRunStatus.STARTED])
            )
        for run in runs:
            if worker := run.tags.get(WORKER):
                os.kill(int(worker.split("|")[1]), signal.SIGKILL)
                return "killed"
        time.sleep(0.2)
    return "no run was at work"


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def measure(stack: Stack, *, orders: int, turns: int, pause: float, seed: int) -> dict[str, Any]:
    """Pay while killing; wait until everything is confirmed."""
    watcher = Watcher(stack, read_back=False)
    watching = threading.Thread(target=watcher.run, daemon=True)
    watching.start()
    seconds = turns * len(VICTIMS) * pause
    paying = threading.Thread(
        target=pay_at_random,
        args=(stack, watcher, []),
        kwargs={"orders": orders, "seconds": seconds, "seed": seed},
    )
    began = time.time()
    paying.start()
    done: list[str] = []
    for turn in range(turns):
        for number, victim in enumerate(VICTIMS):
            time.sleep(max(0.0, began + (turn * len(VICTIMS) + number + 0.5) * pause - time.time()))
            done.append(f"{victim}: {kill(stack, victim)}")
            print(f"{time.time() - began:6.1f} s  {done[-1]}", flush=True)
    paying.join()
    last = time.time()
    watcher.all_paid.set()
    watcher.done.wait(PATIENCE)
    watcher.stopping.set()
    watching.join()
    found = list(watcher.orders.values())
    return {
        **spread(found),
        "kills": done,
        "all_confirmed_after_the_last_payment": round(
            max((one.confirmed for one in found), default=0) - last, 1
        ),
        "double": double(stack),
        "hints_left": Inbox(stack.runtime.engine).depth(NAME, source="prestashop").count,
    }


def main() -> int:
    """Set everything up, then kill."""
    parser = argparse.ArgumentParser(prog="python -m ps_qb_pipeline_tests.bench.kills", description=__doc__)
    parser.add_argument("--orders", type=int, default=40)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--pause", type=float, default=15.0, help="seconds from one kill to the next")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    about = {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "machine": machine.describe()}
    root = Path(tempfile.mkdtemp(prefix="psqb-kills-"))
    stack = Stack(root, real_limits=False)
    try:
        with stack.sandbox():
            stack.prepare()
            stack.slow_down(shop=0.05, books=0.2)
            stack.start()
            stack.tell_gateway()
            try:
                found = measure(
                    stack, orders=chosen.orders, turns=chosen.turns, pause=chosen.pause, seed=chosen.seed
                )
            finally:
                stack.stop()
    finally:
        stack.remove()
    print(json.dumps({**about, **found}))
    return int(bool(found["missing"] or found["double"]))


if __name__ == "__main__":
    sys.exit(main())
