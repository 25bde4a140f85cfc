"""Runs are forks of a warm process, and one that is gone is known to be gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import dagster as dg
import pytest

from ps_qb_pipeline.orchestration import launcher, warm
from ps_qb_pipeline.orchestration.launcher import WORKER, WarmRunLauncher


@pytest.fixture
def instance(tmp_path):
    """An instance that keeps its runs in files and launches them by the warm launcher."""
    settings = {"run_launcher": {"module": WarmRunLauncher.__module__, "class": "WarmRunLauncher"}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=settings) as made:
        yield made


def started(instance: dg.DagsterInstance, pid: int) -> str:
    """A run that believes to be at work in the process ``pid``."""

    @dg.op
    def nothing() -> None: ...

    @dg.job
    def made() -> None:
        nothing()

    run = instance.create_run_for_job(made, status=dg.DagsterRunStatus.STARTED)
    instance.add_run_tags(run.run_id, {WORKER: launcher._worker(pid)})
    return run.run_id


def within(seconds: float, condition) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        time.sleep(0.05)
    return bool(condition())


@pytest.fixture
def sleeper():
    # As a fork of the warm process does: under a shell's background job an interrupt would be ignored.
    said = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", said], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()


def test_a_run_whose_process_was_killed_is_marked_as_failed(instance, sleeper):
    """The daemon that launched it notices; the run says why."""
    run_id = started(instance, sleeper.pid)
    instance.run_launcher._watch(run_id, launcher._worker(sleeper.pid))
    time.sleep(1.2)
    assert instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.STARTED
    sleeper.kill()
    sleeper.wait()
    assert within(10, lambda: instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.FAILURE)


def test_a_daemon_looks_after_the_runs_of_the_one_before_it(instance, sleeper, monkeypatch):
    """Runs that were at work when a daemon died are found again by their tag."""
    run_id = started(instance, sleeper.pid)
    monkeypatch.setattr(WarmRunLauncher, "_ready", lambda _: None)
    instance.run_launcher._begin()
    sleeper.kill()
    sleeper.wait()
    assert within(10, lambda: instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.FAILURE)


def test_health_and_termination_go_by_the_process(instance, sleeper):
    """Alive, then interrupted, then gone; another process of the same number would not count."""
    run_id = started(instance, sleeper.pid)
    runs = instance.run_launcher
    assert runs.check_run_worker_health(instance.get_run_by_id(run_id)).status.value == "RUNNING"
    assert runs.terminate(run_id)
    assert sleeper.wait(10) != 0
    assert runs.check_run_worker_health(instance.get_run_by_id(run_id)).status.value == "FAILED"
    assert not runs.terminate(run_id)
    assert not launcher._lives(f"here|{os.getpid()}|1")


def test_the_stamp_changes_with_the_code_and_the_connections(tmp_path, monkeypatch):
    """What the warm process has imported is not used after a file of it has changed."""
    monkeypatch.setenv("PSQB_DEFS_DIR", str(tmp_path))
    before = launcher._stamp()
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "defs.yaml").write_text("a: 1")
    assert launcher._stamp() != before


def test_each_line_is_a_fork_that_answers_with_its_number(monkeypatch):
    """The parent goes on serving whatever becomes of its children; they inherit no standard input."""
    lines, answers = os.pipe(), os.pipe()
    served = os.fork()
    if served == 0:
        monkeypatch.setattr(warm, "_run", lambda request: os._exit(request["code"]))
        os.close(lines[1])
        warm.serve(lines[0], answers[1])
        os._exit(0)
    os.close(lines[0])
    os.close(answers[1])
    os.write(lines[1], b'{"code": 0}\n{"code": 7}\n')
    told = b""
    while told.count(b"\n") < 2:
        told += os.read(answers[0], 4096)
    pids = [json.loads(line)["pid"] for line in told.splitlines()]
    assert len(set(pids)) == 2
    assert within(5, lambda: not any(launcher._began(pid) for pid in pids))
    os.kill(served, signal.SIGCHLD)
    os.write(lines[1], b'{"code": 0}\n')
    assert json.loads(os.read(answers[0], 4096))["pid"] not in pids
    os.close(lines[1])
    assert os.waitpid(served, 0)[1] == 0
