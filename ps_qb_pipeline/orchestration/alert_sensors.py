"""Alerts in Dagster: who looks, when, and what Dagster's history says.

What lives here: one look (facts, decision, messages), the sensor that looks every minute, the one that
looks at once when a run fails. What does not: judging and sending (``alerts``, ``alert_channels``).

A sensor looks instead of a job on a schedule, because a run costs a process and a look costs milliseconds.
Annotations are not postponed here: Dagster reads them when it makes the sensors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus

from ps_qb_pipeline.orchestration import alert_channels, alerts
from ps_qb_pipeline.orchestration.alert_facts import History, Runs, gather
from ps_qb_pipeline.orchestration.alerts import DIGEST, FailedRun, FailingWatcher, Notice
from ps_qb_pipeline.orchestration.instance import failure, initialise
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.state import notices

LOOK_SECONDS = 60
TRIED_AGAIN = ("live", "mirror", "follow_up")
"""Jobs that their sensors start again by themselves."""
POSTS = ("live", "order_to_cash", "full_refresh")
"""Jobs that orders wait for."""
JOBS = (
    "order_to_cash",
    "full_refresh",
    "reconcile",
    "month_end",
    "expectations",
    "recheck",
    "deliveries",
    *TRIED_AGAIN,
)
"""The jobs of a connection, before the underscore and its name."""
IN_A_ROW = 30
SILENCE = timedelta(minutes=5)
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


def look(runtime: Runtime, runs: Runs) -> dict[int, str]:
    """Look at a connection once, say what has to be said, and give what could not be delivered."""
    name, settings, now = runtime.name, runtime.connection.alerts, runtime.clock.now()
    zone = runtime.connection.accounting.timezone
    facts = gather(runtime, runs)
    found = alerts.troubles(facts, settings, now)

    def decide(rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
        known = [Notice(**row) for row in rows]
        decision = alerts.decide(found, known, settings, now, zone)
        kept, messages = list(decision.notices), list(decision.messages)
        if alerts.digest_due(known, settings, now, zone):
            messages.append(alerts.digest(name, facts, kept, now, zone))
            kept = [one for one in kept if one.key != DIGEST]
            kept.append(Notice(DIGEST, "The daily digest", urgent=False, first_seen=now, told_at=now))
        return [asdict(one) for one in kept], alert_channels.letters(messages, settings)

    notices.change(runtime.engine, name, decide, now=now)
    return notices.deliver(
        runtime.engine, name, lambda letter: alert_channels.send(name, letter, settings), now=now
    )


def look_from_outside(runtime: Runtime) -> dict[int, str]:
    """``look`` for a process that is not Dagster's: with the instance of DAGSTER_HOME, made when absent."""
    initialise(runtime.settings)
    with dg.DagsterInstance.get() as instance:
        return look(runtime, DagsterRuns(instance))


@dataclass(frozen=True, slots=True)
class DagsterRuns:
    """Runs, ticks and heartbeats as Dagster's instance keeps them."""

    instance: dg.DagsterInstance

    def history(self, connection: str) -> History:
        """See ``Runs``."""
        failed = [run for job in JOBS if (run := self._failed(f"{job}_{connection}", job)) is not None]
        return History(failed, self._watchers(connection), self._silence())

    def _failed(self, job: str, kind: str) -> FailedRun | None:
        records = self.instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_ENDED), limit=IN_A_ROW)
        row = []
        for record in records:
            if record.dagster_run.status != dg.DagsterRunStatus.FAILURE:
                break
            row.append(record)
        if not row:
            return None
        logs = self.instance.all_logs(row[0].dagster_run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        step, message = failure([entry.dagster_event for entry in logs if entry.dagster_event is not None])
        return FailedRun(
            job, step, message, row[-1].create_timestamp, posts=kind in POSTS, tried_again=kind in TRIED_AGAIN
        )

    def _watchers(self, connection: str) -> list[FailingWatcher]:
        found = []
        for state in self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
            if not state.instigator_name.startswith(f"{connection}_"):
                continue
            ticks = self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=IN_A_ROW)
            row = []
            for tick in ticks:
                if tick.status == TickStatus.FAILURE:
                    row.append(tick)
                elif tick.status != TickStatus.STARTED:
                    break
            if row:
                message = (
                    row[0].error.message.strip().splitlines()[-1] if row[0].error else "no reason is known"
                )
                since = datetime.fromtimestamp(row[-1].timestamp, UTC)
                found.append(FailingWatcher(state.instigator_name, message, since))
        return found

    def _silence(self) -> datetime | None:
        beats = self.instance.get_daemon_heartbeats()
        sensors = beats.get("SENSOR")
        if sensors is None:
            return None
        last = datetime.fromtimestamp(sensors.timestamp, UTC)
        return last if datetime.now(UTC) - last > SILENCE else None


def alert_sensor(runtime: Runtime) -> dg.SensorDefinition:
    """Looks at a connection every minute, and tells people what they should know."""

    @dg.sensor(
        name=f"{runtime.name}_alerts",
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells people when something is wrong and when it is over, once each; and the day in a digest.",
    )
    def watching(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        failed = look(runtime, DagsterRuns(context.instance))
        return dg.SkipReason(f"{len(failed)} messages wait for their channel" if failed else "looked")

    return watching


def failure_sensor(runtimes: Mapping[str, Runtime]) -> dg.SensorDefinition:
    """Looks at a connection at once when one of its runs has failed."""

    @dg.run_failure_sensor(
        name="failed_runs",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at a connection as soon as a run of it has failed; what is said is said once.",
    )
    def failed_runs(context: dg.RunFailureSensorContext) -> None:
        for name, runtime in runtimes.items():
            if context.dagster_run.job_name.endswith(f"_{name}"):
                look(runtime, DagsterRuns(context.instance))

    return failed_runs
