"""What Dagster's history says of a connection, and how long it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ps_qb_pipeline.definitions import build_defs
from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.orchestration.alert_sensors import JOBS, DagsterRuns
from ps_qb_pipeline.orchestration.upkeep import FAILED_DAYS, KEPT_DAYS, OTHERS_DAYS, kept_days, purge
from ps_qb_pipeline.settings import Settings

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """A history of its own; each test has its own connection in it."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


def _run(instance: dg.DagsterInstance, job: str, *, good: bool) -> str:
    @dg.op(name="work")
    def work() -> None:
        if not good:
            raise SettingsError("the environment variable BOUTIQUE_SHOP_KEY is empty")

    @dg.job(name=job)
    def made() -> None:
        work()

    return made.execute_in_process(instance=instance, raise_on_error=False).run_id


def test_a_job_whose_newest_run_failed_is_named_with_our_own_words(instance: dg.DagsterInstance) -> None:
    """Since the first failure in a row; a later success ends it; other connections are not meant."""
    runs = DagsterRuns(instance)
    _run(instance, "live_boutique", good=True)
    assert runs.history("boutique").failed_runs == []
    _run(instance, "live_boutique", good=False)
    _run(instance, "live_boutique", good=False)
    (failed,) = runs.history("boutique").failed_runs
    assert (failed.job, failed.step) == ("live_boutique", "work")
    assert failed.message == "the environment variable BOUTIQUE_SHOP_KEY is empty"
    assert failed.posts
    assert failed.tried_again
    first = instance.get_run_records(dg.RunsFilter(job_name="live_boutique"), ascending=True)[1]
    assert failed.since == first.create_timestamp
    assert runs.history("another").failed_runs == []
    _run(instance, "live_boutique", good=True)
    assert runs.history("boutique").failed_runs == []


def test_every_job_of_a_connection_is_watched() -> None:
    """A job that nobody watches fails in silence."""
    names = {job.name for job in build_defs(Settings()).jobs or ()}
    kinds = {name.removesuffix("_boutique") for name in names if name.endswith("_boutique")}
    assert kinds == set(JOBS)


def test_runs_are_deleted_when_their_time_is_over(instance: dg.DagsterInstance) -> None:
    """Live runs after a week, failed ones after a quarter, proofs after more than a year."""
    live, failed, proof = (
        _run(instance, "live_retail", good=True),
        _run(instance, "live_retail", good=False),
        _run(instance, "reconcile_retail", good=True),
    )

    def left() -> set[str]:
        return {run.run_id for run in instance.get_runs()} & {live, failed, proof}

    assert purge(instance, NOW + timedelta(days=KEPT_DAYS["live"])) == {}
    assert purge(instance, NOW + timedelta(days=KEPT_DAYS["live"], hours=1))["live_retail"] == 1
    assert left() == {failed, proof}
    purge(instance, NOW + timedelta(days=FAILED_DAYS, hours=1))
    assert left() == {proof}
    purge(instance, NOW + timedelta(days=OTHERS_DAYS, hours=1))
    assert left() == set()


@pytest.mark.parametrize(
    ("job", "failed", "days"),
    [
        ("live_boutique", False, 7),
        ("live_boutique", True, 90),
        ("upkeep", False, 30),
        ("order_to_cash", False, 400),
        ("order_to_cash_live", False, 400),
    ],
)
def test_how_long_a_run_is_kept_follows_its_job(job: str, failed: bool, days: int) -> None:
    """By the word before the connection's name."""
    assert kept_days(job, failed=failed) == days
