"""When a live run starts, and when it must not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ps_qb_pipeline.errors import ShopUnavailable
from ps_qb_pipeline.orchestration import hints, live_jobs
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.settings import Settings, connection_named
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.inbox import Inbox

NAME = "boutique"


@pytest.fixture
def runtime(tmp_path, monkeypatch) -> Runtime:
    """A connection whose shop was read whole; nobody answers at its addresses."""
    settings = Settings(home=tmp_path)
    for variable in ("BOUTIQUE_WEBHOOK_SECRET", "BOUTIQUE_WEBHOOK_VERIFIER"):
        monkeypatch.delenv(variable, raising=False)
    made = Runtime(settings, connection_named(settings, NAME))
    made.armed()
    Cursors(made.engine).commit(NAME, "prestashop.orders", {"since": 1.0})
    monkeypatch.setattr(live_jobs, "WATCH_SECONDS", 0.3)
    monkeypatch.setattr(hints, "poll", lambda _: 0)
    return made


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def evaluate(runtime: Runtime, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """One evaluation of the sensor, in a fresh process's state."""

    @dg.op
    def nothing() -> None: ...

    @dg.job(name=f"live_{NAME}")
    def posts() -> None:
        nothing()

    @dg.job(name=f"order_to_cash_{NAME}")
    def loads() -> None:
        nothing()

    sensor = live_jobs.live_sensor(runtime, [posts, loads])
    return sensor(dg.build_sensor_context(instance=instance))


def hint(runtime: Runtime, number: int) -> None:
    Inbox(runtime.engine).receive(
        "prestashop",
        f"e{number}",
        connection=NAME,
        hint={"resource": "orders", "id": number, "event": "paid"},
    )


def run(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, job: str = f"live_{NAME}"
) -> dg.DagsterRun:
    """A run of another moment, as the instance remembers it."""

    @dg.op
    def nothing() -> None: ...

    @dg.job(name=job)
    def made() -> None:
        nothing()

    created = instance.create_run_for_job(made, status=status)
    if status == dg.DagsterRunStatus.FAILURE:
        instance.report_run_failed(created)
    return created


def test_one_run_for_all_that_waits(runtime, instance):
    """However many hints there are, one run is asked for, with a priority before everything else."""
    for number in range(1, 30):
        hint(runtime, number)
    asked = evaluate(runtime, instance)
    assert isinstance(asked, dg.RunRequest)
    assert asked.job_name == f"live_{NAME}"
    assert asked.tags["dagster/priority"] == "10"
    assert asked.tags["psqb/reason"] == "29 hints"


def test_a_tick_that_is_evaluated_twice_asks_for_one_run(runtime, instance):
    """The key is the same until a run has been there; after it failed it is another one."""
    hint(runtime, 1)
    keys = {evaluate(runtime, instance).run_key for _ in range(2)}
    assert len(keys) == 1
    run(instance, dg.DagsterRunStatus.SUCCESS)
    assert evaluate(runtime, instance).run_key not in keys


@pytest.mark.parametrize("status", live_jobs.ACTIVE[1:])  # a queued one needs a workspace
def test_while_a_run_is_at_work_none_is_started(runtime, instance, status):
    """It takes what arrives; a queue of runs would not be faster."""
    hint(runtime, 1)
    run(instance, status)
    skipped = evaluate(runtime, instance)
    assert isinstance(skipped, dg.SkipReason)
    assert "at work" in skipped.skip_message


def test_after_failures_the_next_run_waits_longer_and_longer(runtime, instance):
    """A hint that makes every run fail does not make a storm of runs."""
    hint(runtime, 1)
    pauses = []
    for _ in range(4):
        run(instance, dg.DagsterRunStatus.FAILURE)
        pauses.append(live_jobs._pause(instance, f"live_{NAME}"))
        assert isinstance(evaluate(runtime, instance), dg.SkipReason)
    assert [round(pause, -1) for pause in pauses] == [10, 20, 40, 80]
    run(instance, dg.DagsterRunStatus.SUCCESS)
    assert isinstance(evaluate(runtime, instance), dg.RunRequest)


def test_a_shop_that_was_never_read_whole_is_read_whole_first(runtime, instance):
    """The first load is a job of its own; a live run would have nothing to add to."""
    Cursors(runtime.engine).forget(NAME)
    hint(runtime, 1)
    assert evaluate(runtime, instance).job_name == f"order_to_cash_{NAME}"
    run(instance, dg.DagsterRunStatus.STARTED, f"order_to_cash_{NAME}")
    assert isinstance(evaluate(runtime, instance), dg.SkipReason)


def test_a_shop_that_does_not_answer_is_told_and_hints_are_taken_all_the_same(runtime, instance, monkeypatch):
    """Trouble with the poll stands in the tick; it stops no webhook."""

    def asleep(_runtime):
        raise ShopUnavailable("the shop does not answer")

    monkeypatch.setattr(hints, "poll", asleep)
    assert evaluate(runtime, instance).skip_message == "the shop does not answer"
    hint(runtime, 1)
    assert isinstance(evaluate(runtime, instance), dg.RunRequest)


def test_a_shop_is_asked_every_ten_seconds_and_with_webhooks_every_minute(runtime, monkeypatch):
    """The poll is the fallback; beside webhooks it is a net."""
    asked: list[float] = []
    now = [0.0]
    monkeypatch.setattr(hints, "poll", lambda _: asked.append(now[0]))
    watch = live_jobs.Watch(runtime, monotonic=lambda: now[0])
    for now[0] in range(61):
        watch.poll()
    assert asked == [0, 10, 20, 30, 40, 50, 60]
    asked.clear()
    monkeypatch.setenv("BOUTIQUE_WEBHOOK_SECRET", "a secret of the boutique")
    for now[0] in range(61, 182):
        watch.poll()
    assert asked == [120, 180]


def looked_at(
    runtime: Runtime, instance: dg.DagsterInstance, ago: timedelta
) -> dg.RunRequest | dg.SkipReason:
    """The sensor of the books, so long after the mirror was brought up to date."""

    @dg.op
    def nothing() -> None: ...

    jobs = [
        dg.JobDefinition(
            name=f"{kind}_{NAME}", graph_def=dg.GraphDefinition(name=f"{kind}_{NAME}", node_defs=[nothing])
        )
        for kind in ("mirror", "follow_up")
    ]
    sensor = live_jobs.books_sensor(runtime, jobs)
    moment = datetime.now(UTC) - ago
    runtime_cursors = {"quickbooks.quickbooks": moment}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cursors, "moved_at", lambda *_: runtime_cursors)
        return sensor(dg.build_sensor_context(instance=instance))


def test_the_books_are_looked_at_every_five_minutes_and_not_more_often(runtime, instance):
    """288 calls of change data capture a day; the same mirror is asked for once."""
    assert isinstance(looked_at(runtime, instance, timedelta(seconds=299)), dg.SkipReason)
    asked = looked_at(runtime, instance, timedelta(seconds=301))
    assert asked.job_name == f"mirror_{NAME}"


def test_with_webhooks_the_books_are_left_alone_until_they_say_something(runtime, instance, monkeypatch):
    """An hour at most; a notification shortens it to the five minutes, and is followed by a proof."""
    monkeypatch.setenv("BOUTIQUE_WEBHOOK_VERIFIER", "a verifier token of the app")
    assert isinstance(looked_at(runtime, instance, timedelta(minutes=50)), dg.SkipReason)
    assert isinstance(looked_at(runtime, instance, timedelta(minutes=61)), dg.RunRequest)
    Inbox(runtime.engine).receive("quickbooks", "e1", connection=NAME, hint={"entity": "customer", "id": "1"})
    assert looked_at(runtime, instance, timedelta(minutes=6)).job_name == f"follow_up_{NAME}"
    assert isinstance(looked_at(runtime, instance, timedelta(minutes=4)), dg.SkipReason)
