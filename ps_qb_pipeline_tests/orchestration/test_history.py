"""Dagster's history with kept connections is the same history."""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ps_qb_pipeline.orchestration.history import RUNS_OPEN, Events
from ps_qb_pipeline.orchestration.instance import project_file


@dg.asset
def figure() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"orders": 3})


JOB = dg.Definitions(assets=[figure], jobs=[dg.define_asset_job("once", selection="figure")])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the settings that the product ships."""
    shutil.copyfile(project_file("deploy/local/dagster.yaml"), tmp_path / "dagster.yaml")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster as the product sets it up."""
    with dg.DagsterInstance.get() as opened:
        yield opened


def run(instance: dg.DagsterInstance) -> str:
    result = JOB.resolve_job_def("once").execute_in_process(instance=instance)
    assert result.success
    return result.run_id


def test_the_shipped_settings_use_it(instance: dg.DagsterInstance) -> None:
    """The entry storage.custom is read and its class is ours."""
    assert isinstance(instance.event_log_storage, Events)


def test_dagsters_own_storage_reads_what_it_wrote(instance: dg.DagsterInstance, home: Path) -> None:
    """Without the entry the same home shows the same runs, events and figures."""
    number = run(instance)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.get() as plain:
        assert not isinstance(plain.event_log_storage, Events)
        assert plain.get_run_by_id(number).is_success
        mine = [record.event_log_entry.message for record in instance.get_records_for_run(number).records]
        assert [
            record.event_log_entry.message for record in plain.get_records_for_run(number).records
        ] == mine
        shown = plain.get_latest_materialization_event(dg.AssetKey("figure"))
        assert shown.asset_materialization.metadata["orders"].value == 3


def test_more_runs_than_files_may_stay_open(instance: dg.DagsterInstance) -> None:
    """Every run is read back after its file was closed."""
    numbers = [run(instance) for _ in range(RUNS_OPEN + 3)]
    assert all(len(instance.get_records_for_run(number).records) > 5 for number in numbers)
    assert len(instance.event_log_storage._engines) <= RUNS_OPEN


def test_whoever_watches_a_run_hears_of_its_events(instance: dg.DagsterInstance) -> None:
    """The web UI follows a run while it works."""
    number = run(instance)
    heard: list[str] = []
    done = threading.Event()

    def hear(event: dg.EventLogEntry, _cursor: str) -> None:
        heard.append(str(event.dagster_event_type))
        if event.is_dagster_event and event.dagster_event.is_job_success:
            done.set()

    instance.watch_event_logs(number, None, hear)
    assert done.wait(20), heard
    instance.end_watch_event_logs(number, hear)


def test_another_process_sees_each_event_at_once(instance: dg.DagsterInstance, home: Path) -> None:
    """What is committed stands in the file or beside it, for any reader."""
    number = run(instance)
    with sqlite3.connect(f"file:{home / 'history' / 'runs' / number}.db?mode=ro", uri=True) as reader:
        (count,) = reader.execute("select count(*) from event_logs").fetchone()
    assert count == len(instance.get_records_for_run(number).records)


def test_a_run_can_be_deleted_and_the_history_wiped(instance: dg.DagsterInstance) -> None:
    """As the purge does it."""
    number, other = run(instance), run(instance)
    instance.delete_run(number)
    assert instance.get_run_by_id(number) is None
    assert instance.get_records_for_run(number).records == []
    instance.wipe()
    assert instance.get_run_by_id(other) is None
    assert run(instance)
