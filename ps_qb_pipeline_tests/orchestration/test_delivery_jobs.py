"""Files that lie in the data folder are taken in by themselves: once, whole, and each for itself."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.orchestration import deliveries, delivery_jobs
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.settings import Settings, connection_named

NAME = "boutique"
STATEMENT = (
    "account,booking_date,amount,currency,counterparty,reference,description\n"
    "FR76,2026-03-02,120.00,EUR,Jo,PS1-7,Wire\n"
)


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """A connection whose folders are empty."""
    settings = Settings(home=tmp_path)
    made = Runtime(settings, connection_named(settings, NAME))
    for kind in ("payouts", "statements"):
        deliveries.inbox(made, kind).mkdir(parents=True)
    return made


def look(runtime: Runtime, cursor: str | None) -> tuple[list[dg.RunRequest], str | None, str]:
    """One look of the sensor: the runs that it asks for, its cursor, and why it asks for none."""
    sensor = delivery_jobs.delivery_sensor(runtime, delivery_jobs.delivery_job(runtime))
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, cursor=cursor)
        said = sensor.evaluate_tick(context)
    return list(said.run_requests or ()), said.cursor, said.skip_message or ""


def test_a_file_starts_one_run_once_it_lies_still(runtime: Runtime) -> None:
    """Not while it grows, not twice, and again when it is delivered anew; hidden files are left alone."""
    _, cursor, why = look(runtime, None)
    assert "nothing new" in why
    path = deliveries.inbox(runtime, "payouts") / "march.csv"
    path.write_text("payout_id\n")
    (path.parent / ".march.csv.part").write_text("x")
    asked = []
    for text in ("", "po_1\n", "", "", "po_2\n", "", ""):
        path.write_text(path.read_text() + text) if text else None
        runs, cursor, why = look(runtime, cursor)
        asked.append(len(runs))
    assert asked == [0, 0, 1, 0, 0, 1, 0]
    assert list(json.loads(json.loads(cursor or "")[1])) == ["payouts/march.csv"]


def test_a_file_that_cannot_be_read_does_not_keep_the_others(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bad one is named, the good one is landed, and what reads it is made once."""
    refreshed: list[str] = []
    monkeypatch.setattr(deliveries, "refresh", lambda one: refreshed.append(one.name))
    (deliveries.inbox(runtime, "payouts") / "a.csv").write_text("nobody,knows,this\n1,2,3\n")
    (deliveries.inbox(runtime, "statements") / "b.csv").write_text(STATEMENT)
    told: list[str] = []
    unread = delivery_jobs.take_in(runtime, told.append)
    assert [one.partition(":")[0] for one in unread] == ["payouts/a.csv"]
    assert told == ["statements/b.csv: 1 lines, 1 of them new"]
    assert refreshed == [NAME]
    again: list[str] = []
    delivery_jobs.take_in(runtime, again.append)
    assert again == ["statements/b.csv: 1 lines, 0 of them new"]
    assert refreshed == [NAME]


def test_the_run_fails_with_the_names_of_what_could_not_be_read(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the alert of a failed job says which file."""

    def refuse(*_: object) -> None:
        raise SettingsError("no format knows its header")

    monkeypatch.setitem(delivery_jobs._KINDS, "payouts", refuse)  # type: ignore[arg-type]
    (deliveries.inbox(runtime, "payouts") / "a.csv").write_text("x")
    with dg.DagsterInstance.ephemeral() as instance:
        done = delivery_jobs.delivery_job(runtime).execute_in_process(instance=instance, raise_on_error=False)
    assert not done.success
    said = done.failure_data_for_node(f"{NAME}__deliveries")
    assert said is not None
    assert "payouts/a.csv: no format knows its header" in str(said.error)
