"""What a running installation needs every night: a second look at what was posted, and an end of old history.

What lives here: the jobs around both, and how long which run is kept. What does not: the second look itself
(``posting.rechecking``). See https://docs.dagster.io/guides/operate/instance-storage

Annotations are not postponed here: Dagster reads them when it makes the ops.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta

import dagster as dg

from ps_qb_pipeline.orchestration.alert_facts import RECHECK_FILE
from ps_qb_pipeline.orchestration.assets import key_of
from ps_qb_pipeline.orchestration.metadata import facts
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.posting.rechecking import Recheck, recheck
from ps_qb_pipeline.state import notices
from ps_qb_pipeline.state.inbox import Inbox

KEPT_DAYS = {"live": 7, "mirror": 3, "follow_up": 3, "recheck": 30, "upkeep": 30}
"""How long a successful run of a job stays in Dagster's history, by the word before the first name."""
OTHERS_DAYS = 400
"""All other runs: their figures are the curves of the reports, and an auditor asks a year later."""
FAILED_DAYS = 90
HINTS_DAYS = 30
MESSAGES_DAYS = 90
AT_ONCE = 500
"""Runs deleted by one upkeep; what is left waits for the next night."""


def look_again(runtime: Runtime, *, run_id: str) -> Recheck:
    """Compare what we posted with what was touched in the books lately, and keep what was found for alerts."""
    with runtime.books() as books:
        found = recheck(runtime.engine, runtime.name, books=books, run_id=run_id, clock=runtime.clock)
    path = runtime.settings.data_dir(runtime.name) / RECHECK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"at": runtime.clock.now().isoformat(), **asdict(found)}), encoding="utf-8")
    partial.replace(path)
    return found


def recheck_job(runtime: Runtime) -> dg.JobDefinition:
    """One op: the nightly second look at what was posted."""
    name = runtime.name

    @dg.op(name=f"{name}__recheck", out=dg.Out(dg.Nothing))
    def second_look(context: dg.OpExecutionContext) -> None:
        found = look_again(runtime, run_id=context.run_id)
        context.log_event(dg.AssetObservation(key_of(name, "control.intents"), metadata=facts(asdict(found))))

    @dg.job(
        name=f"recheck_{name}",
        executor_def=dg.in_process_executor,
        description=f"Compares what was posted for {name} with what people touched in QuickBooks; changes nothing there.",
    )
    def recheck_posted() -> None:
        second_look()

    return recheck_posted


def nightly_recheck(runtime: Runtime) -> dg.ScheduleDefinition:
    """After the nightly run, before the morning's proof."""
    return dg.ScheduleDefinition(
        name=f"{runtime.name}_nightly_recheck",
        job_name=f"recheck_{runtime.name}",
        cron_schedule="0 5 * * *",
        execution_timezone=runtime.connection.accounting.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Finds what a person edited, deleted or made twice; duplicates are an alert.",
    )


def kept_days(job: str, *, failed: bool) -> int:
    """How long a run of this job is kept."""
    days = next(
        (days for kind, days in KEPT_DAYS.items() if job == kind or job.startswith(f"{kind}_")), OTHERS_DAYS
    )
    return max(days, FAILED_DAYS) if failed else days


def purge(instance: dg.DagsterInstance, now: datetime) -> Counter[str]:
    """Delete the runs whose time is over, with their events and logs; counts them by job."""
    deleted: Counter[str] = Counter()
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    newest = now - timedelta(days=min(KEPT_DAYS.values()))
    old = dg.RunsFilter(statuses=ended, created_before=newest)
    for record in instance.get_run_records(old, limit=20 * AT_ONCE, ascending=True):
        run = record.dagster_run
        failed = run.status != dg.DagsterRunStatus.SUCCESS
        if now - record.create_timestamp <= timedelta(days=kept_days(run.job_name, failed=failed)):
            continue
        instance.compute_log_manager.delete_logs(prefix=[run.run_id])
        instance.delete_run(run.run_id)
        deleted[run.job_name] += 1
        if deleted.total() >= AT_ONCE:
            break
    return deleted


def upkeep_job(runtimes: Mapping[str, Runtime]) -> dg.JobDefinition:
    """One op: the end of old runs, hints and messages, of all connections."""

    @dg.op(name="forget_what_is_old", out=dg.Out(dg.Nothing))
    def forget(context: dg.OpExecutionContext) -> None:
        for runtime in _one_a_store(runtimes.values()):
            now = runtime.clock.now()
            hints = Inbox(runtime.engine).forget(now - timedelta(days=HINTS_DAYS))
            messages = notices.forget(runtime.engine, now - timedelta(days=MESSAGES_DAYS))
            runs = purge(context.instance, now)
            context.log.info("%d hints, %d messages and %s runs forgotten", hints, messages, dict(runs))

    @dg.job(
        name="upkeep",
        executor_def=dg.in_process_executor,
        description="Deletes old runs from Dagster's history, and old hints and messages from the control plane.",
    )
    def upkeep() -> None:
        forget()

    return upkeep


def _one_a_store(runtimes: Iterable[Runtime]) -> list[Runtime]:
    """All connections share one control plane."""
    return list(runtimes)[:1]


def nightly_upkeep() -> dg.ScheduleDefinition:
    """Every night."""
    return dg.ScheduleDefinition(
        name="nightly_upkeep",
        job_name="upkeep",
        cron_schedule="15 2 * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="How long what is kept stands in docs/operations.md.",
    )
