"""Launching runs from a warm process, instead of a new interpreter for each.

What lives here: Dagster's interface for launchers; starting the warm process, noticing when a run's
process has ended without saying so. What does not: forking (``warm``).
See https://docs.dagster.io/deployment/oss/run-launcher

Every run is a process of its own as before: a crash or a kill meets one run. A run whose process is
gone is marked as failed within a second by the daemon that launched it, or by the next one. When the
code or a ``defs.yaml`` has changed, the warm process is replaced before it is used again.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData, serialize_value

from ps_qb_pipeline.settings import PACKAGE_DIR, Settings

logger = logging.getLogger(__name__)

WORKER = "psqb/worker"
"""The tag of a run that says which process it is: host, process id and when that began."""
BACKGROUND = 10
"""How far runs without a priority stand back behind live ones on the processor."""
LOOK_SECONDS = 0.5
DAEMON = "dagster-daemon"
_ALIVE = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


class WarmRunLauncher(RunLauncher[Any], ConfigurableClass):
    """Launches every run as a fork of one warm process."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._lock = threading.Lock()
        self._warm: subprocess.Popen[bytes] | None = None
        self._stamp = ""
        self._watched: dict[str, str] = {}
        self._watcher: threading.Thread | None = None
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """Where this launcher was configured."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """It has no settings."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:  # noqa: ARG003
        """The launcher that ``dagster.yaml`` names."""
        return cls(inst_data=inst_data)

    def register_instance(self, instance: Any) -> None:
        """The instance is there: in the daemon, warm up and look after the runs of an earlier one."""
        super().register_instance(instance)
        if Path(sys.argv[0]).name == DAEMON:
            threading.Thread(target=self._begin, name="warm-up", daemon=True).start()

    def _begin(self) -> None:
        with self._lock:
            self._ready()
        for run in self._instance.get_runs(dg.RunsFilter(statuses=_ALIVE)):
            if worker := run.tags.get(WORKER):
                self._watch(run.run_id, worker)

    # -- launching -----------------------------------------------------------------------------

    def launch_run(self, context: LaunchRunContext) -> None:
        """Fork the run; its process id is on the run before this returns."""
        run = context.dagster_run
        assert run.job_code_origin is not None
        arguments = serialize_value(
            ExecuteRunArgs(
                job_origin=run.job_code_origin,
                run_id=run.run_id,
                instance_ref=self._instance.get_ref(),
                set_exit_code_on_failure=True,
            )
        )
        # On a machine of few cores a report must not slow down the order that somebody has just paid.
        live = float(run.tags.get("dagster/priority", "0")) > 0
        pid = self._fork({"arguments": arguments, "nice": 0 if live else BACKGROUND})
        worker = _worker(pid)
        self._instance.add_run_tags(run.run_id, {WORKER: worker})
        self._watch(run.run_id, worker)

    def _fork(self, request: Mapping[str, Any]) -> int:
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            for _ in range(2):
                warm = self._ready()
                assert warm.stdin is not None
                assert warm.stdout is not None
                try:
                    warm.stdin.write(line)
                    warm.stdin.flush()
                    answer = warm.stdout.readline()
                except OSError:
                    answer = b""
                if answer:
                    return int(json.loads(answer)["pid"])
                self._end()
        raise dg.DagsterInvariantViolationError("the warm process ended twice; see the daemon's log")

    def _ready(self) -> subprocess.Popen[bytes]:
        """The warm process, started anew when there is none or what it has imported is no longer what is there."""
        stamp = _stamp()
        if self._warm is not None and (self._warm.poll() is not None or self._stamp != stamp):
            self._end()
        if self._warm is None:
            self._warm = subprocess.Popen(
                [sys.executable, "-m", "ps_qb_pipeline.orchestration.warm"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._stamp = stamp
            assert self._warm.stdout is not None
            self._warm.stdout.readline()
        return self._warm

    def _end(self) -> None:
        """Let the warm process end; the runs that it began go on."""
        if self._warm is not None:
            assert self._warm.stdin is not None
            self._warm.stdin.close()
            self._warm = None

    def dispose(self) -> None:
        """The instance is closed."""
        with self._lock:
            self._end()

    # -- looking after runs --------------------------------------------------------------------

    def _watch(self, run_id: str, worker: str) -> None:
        with self._lock:
            self._watched[run_id] = worker
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._look_after, name="run-watcher", daemon=True)
                self._watcher.start()

    def _look_after(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            gone = [run_id for run_id, worker in list(self._watched.items()) if not _lives(worker)]
            for run_id in gone:
                try:
                    self._ended(run_id)
                except Exception:
                    logger.exception("run %s has ended and that cannot be recorded; tried again", run_id)
                else:
                    del self._watched[run_id]

    def _ended(self, run_id: str) -> None:
        """The process of a run is gone: if the run does not know, say so."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return
        message = "The process of the run ended before the run did."
        self._instance.report_engine_event(message, run)
        if run.status == dg.DagsterRunStatus.CANCELING:
            self._instance.report_run_canceled(run)
        else:
            self._instance.report_run_failed(run)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask whether a run's process lives."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of ``run`` is there, as far as this machine can tell."""
        worker = run.tags.get(WORKER, "")
        if not worker or worker.split("|")[0] != socket.gethostname():
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "it runs on another machine")
        if _lives(worker):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone")

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run; False when its process has ended already."""
        run = self._instance.get_run_by_id(run_id)
        worker = run.tags.get(WORKER, "") if run else ""
        if run is None or run.is_finished or not worker or not _lives(worker):
            return False
        self._instance.report_run_canceling(run)
        os.kill(int(worker.split("|")[1]), signal.SIGINT)
        return True


def _worker(pid: int) -> str:
    return f"{socket.gethostname()}|{pid}|{_began(pid)}"


def _lives(worker: str) -> bool:
    """Whether the process is there; a later one with the same number is another."""
    _, pid, began = worker.split("|")
    return _began(int(pid)) == began != ""


def _began(pid: int) -> str:
    """When a process began, in the kernel's own unit; "there" where the system does not say; empty when gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
        return "there" if _signals(pid) else ""
    except ProcessLookupError:
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]


def _signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stamp() -> str:
    """What changes when a file does that a run would import or read at its start."""
    files = [*PACKAGE_DIR.rglob("*.py"), *Settings().defs_dir.glob("*/*.yaml")]
    newest = max((path.stat().st_mtime_ns for path in files), default=0)
    return f"{len(files)} {newest}"
