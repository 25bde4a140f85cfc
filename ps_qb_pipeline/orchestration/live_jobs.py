"""The live path in Dagster: one small job a connection, the sensor that starts it, and what follows it.

What lives here: when a live run starts and when it must not. What does not: the work (``live``), polling
and hints (``hints``). See https://docs.dagster.io/guides/automate/sensors

The sensor waits for hints inside its evaluation, because Dagster evaluates sensors five seconds apart at
best. It starts one run for all that waits, and none while one is at work: what arrives meanwhile is taken
by that run.

Annotations are not postponed here: Dagster reads them when it makes the ops.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from sqlalchemy import and_, func, or_, select

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.orchestration import hints, live, metadata, steps
from ps_qb_pipeline.orchestration.assets import key_of
from ps_qb_pipeline.orchestration.landing import BOOKS, SHOP
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.quickbooks import mirror
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline.state.inbox import Bell, Inbox
from ps_qb_pipeline.state.intents import CONFIRMED, PLANNED, SENT, UNKNOWN
from ps_qb_pipeline.state.tables import intents
from ps_qb_pipeline.validation.rules import Contract

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]
WATCH_SECONDS = 4.5
"""Of the five seconds between two evaluations of a sensor."""
LOOK_SECONDS = 0.1
POLL_SECONDS = 10.0
"""How often a shop without webhooks is asked."""
NET_SECONDS = 60.0
"""How often a shop with webhooks is asked all the same: a module may fail in silence."""
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 120.0
"""Seconds after a failed run before the next, doubled with every failure in a row."""
TICK_SECONDS = 300.0
"""Between two calls of change data capture: 288 a day."""
IDLE_TICK_SECONDS = 3600.0
"""The same while QuickBooks sends webhooks and has said nothing."""
PROOF_SECONDS = 900.0
"""Between two reconciliations that follow live postings."""
PROVING = ("follow_up", "order_to_cash", "reconcile", "full_refresh")
"""The jobs that end with a reconciliation."""

LIVE_TAGS = {"dagster/priority": "10"}


class Patience(dg.Config):
    """How long a live run waits for more."""

    linger: float = live.LINGER_SECONDS
    """Seconds without a new hint after which it ends."""


def contracts_before_books(contracts: Iterable[Contract]) -> list[Contract]:
    """The contracts whose rules guard posting: those of the shop's rows and of the ledger."""
    return [one for one in contracts if one.table.startswith(("staging.prestashop_", "ledger."))]


def live_job(runtime: Runtime, contracts: Sequence[Contract]) -> dg.JobDefinition:
    """One op: from the hints in the inbox to documents in the books."""
    name = runtime.name
    guarding = contracts_before_books(contracts)

    @dg.op(name=f"{name}__live", out=dg.Out(dg.Nothing))
    def take_in(context: dg.OpExecutionContext, config: Patience) -> None:
        live.keep_pandas_out()

        def somebody_waits() -> bool:
            queued = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])
            return bool(context.instance.get_runs_count(queued))

        rounds = live.run_live(
            runtime,
            guarding,
            run_id=context.run_id,
            wanted_elsewhere=somebody_waits,
            linger=config.linger,
        )
        told = metadata.facts(live.summary(rounds))
        posted = any(one.created for one in rounds)
        event = dg.AssetMaterialization if posted else dg.AssetObservation
        context.log_event(event(key_of(name, "control.intents"), metadata=told))

    @dg.job(
        name=f"live_{name}",
        executor_def=dg.in_process_executor,
        tags=LIVE_TAGS,
        description=f"Posts the orders of {name} that the inbox names, and nothing else; seconds after they were paid.",
    )
    def live_orders() -> None:
        take_in()

    return live_orders


def mirror_job(runtime: Runtime) -> dg.JobDefinition:
    """One op: what changed in the books since the last look."""
    name = runtime.name

    @dg.op(name=f"{name}__mirror", out=dg.Out(dg.Nothing))
    def look(context: dg.OpExecutionContext) -> None:
        result = steps.pull_books(runtime)
        context.log.info("%d objects changed in QuickBooks", sum(result.changed.values()))

    @dg.job(
        name=f"mirror_{name}",
        executor_def=dg.in_process_executor,
        description=f"One call of change data capture for {name}; keeps the look-ups of live postings fresh.",
    )
    def mirror_books() -> None:
        look()

    return mirror_books


# -- starting live runs ------------------------------------------------------------------------


@dataclass(slots=True)
class Watch:
    """What the sensor of one connection remembers while its process lives; nothing depends on it."""

    runtime: Runtime
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    polled: float = field(default=float("-inf"))
    trouble: str = ""
    retried: float = field(default=float("-inf"))
    pause: float = 60.0
    bell: Bell | None = None

    def poll(self) -> None:
        """Ask the shop what is new, if that is due; trouble is told and does not stop the watching."""
        every = NET_SECONDS if self.runtime.connection.shop.has_webhooks else POLL_SECONDS
        if self.monotonic() - self.polled < every:
            return
        self.polled = self.monotonic()
        try:
            hints.poll(self.runtime)
            self.trouble = ""
        except PipelineError as error:
            self.trouble = str(error)

    def rang(self) -> bool:
        """Whether anything was written since the last look."""
        if self.bell is None:
            self.bell = Bell(self.runtime.engine)
        return self.bell.rang()

    def unfinished(self) -> bool:
        """Whether a document waits for another attempt now; asked less and less often while that helps not."""
        if self.monotonic() - self.retried < self.pause:
            return False
        self.retried = self.monotonic()
        found = due(self.runtime)
        self.pause = min(2 * self.pause, 3600.0) if found else 60.0
        return found


def due(runtime: Runtime) -> bool:
    """Whether a planned document may go out now, or a lost one may be looked up."""
    now = runtime.clock.now()
    settled = now - timedelta(seconds=Pace.settling(runtime.connection.books.settle_seconds).window)
    columns = intents.c
    query = (
        select(func.count())
        .where(columns.realm == runtime.connection.books.realm)
        .where(
            or_(
                and_(
                    columns.state == PLANNED,
                    or_(columns.not_before.is_(None), columns.not_before <= now),
                ),
                and_(columns.state == UNKNOWN, columns.last_sent_at <= settled),
                and_(columns.state == SENT, columns.lease_until <= now),
            )
        )
    )
    with reading(runtime.engine) as tx:
        return bool(tx.execute(query).scalar_one())


def live_sensor(runtime: Runtime, jobs: Sequence[Any]) -> dg.SensorDefinition:
    """Watches the inbox of a connection and starts its live run; ``jobs`` are that and the first load."""
    name = runtime.name
    watch = Watch(runtime)

    @dg.sensor(
        name=f"{name}_live",
        jobs=list(jobs),
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Starts live_{name} as soon as the inbox holds a hint; asks the shop where it sends none.",
    )
    def watching(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if not hints.loaded(runtime):
            return _first_load(context, name)
        return _watched(context, watch)

    return watching


def _first_load(context: dg.SensorEvaluationContext, name: str) -> dg.RunRequest | dg.SkipReason:
    job = f"order_to_cash_{name}"
    last = _last_run(context.instance, job)
    if last is not None and last.dagster_run.status in ACTIVE:
        return dg.SkipReason("the shop is being read for the first time")
    if last is not None and _pause(context.instance, job) > 0:
        return dg.SkipReason(f"the last run of {job} failed; it is tried again after a pause")
    key = f"first:{last.dagster_run.run_id if last else ''}"
    return dg.RunRequest(run_key=key, job_name=job, tags={"psqb/reason": "the shop was never read whole"})


def _watched(context: dg.SensorEvaluationContext, watch: Watch) -> dg.RunRequest | dg.SkipReason:
    """Look until there is a reason to run, or the evaluation's time is over."""
    name = watch.runtime.name
    inbox = Inbox(watch.runtime.engine)
    until = watch.monotonic() + WATCH_SECONDS
    waits = ""
    depth = inbox.depth(name, source=SHOP)
    while True:
        watch.poll()
        if watch.rang():
            depth = inbox.depth(name, source=SHOP)
        reason = f"{depth.count} hints" if depth.count else "unfinished" if watch.unfinished() else ""
        if reason:
            waits = _not_now(context.instance, f"live_{name}")
            if not waits:
                last = _last_run(context.instance, f"live_{name}")
                # A tick that is evaluated twice asks for one run; a run that failed may be asked for again.
                key = f"{depth.first}-{depth.last}:{last.dagster_run.run_id if last else ''}"
                return dg.RunRequest(
                    run_key=key, job_name=f"live_{name}", tags={**LIVE_TAGS, "psqb/reason": reason}
                )
        if watch.monotonic() >= until:
            return dg.SkipReason(waits or watch.trouble or "nothing new")
        watch.sleep(0.5 if waits else LOOK_SECONDS)


def _not_now(instance: dg.DagsterInstance, job: str) -> str:
    """Why a run must not start now; empty when it may."""
    if instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=ACTIVE)):
        return "a live run is at work and takes what arrives"
    pause = _pause(instance, job)
    return f"the last live run failed; the next may start in {pause:.0f} s" if pause > 0 else ""


def _pause(instance: dg.DagsterInstance, job: str) -> float:
    """Seconds until the next run may start after failures in a row."""
    failures, ended = 0, 0.0
    for record in instance.get_run_records(dg.RunsFilter(job_name=job), limit=7):
        if record.dagster_run.status != dg.DagsterRunStatus.FAILURE:
            break
        failures += 1
        ended = max(ended, record.end_time or record.update_timestamp.timestamp())
    if not failures:
        return 0.0
    pause = min(FIRST_PAUSE * 2.0 ** (failures - 1), LONGEST_PAUSE)
    return ended + pause - time.time()


def _last_run(instance: dg.DagsterInstance, job: str) -> dg.RunRecord | None:
    return next(iter(instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)), None)


# -- what follows ------------------------------------------------------------------------------


def books_sensor(runtime: Runtime, jobs: Sequence[Any]) -> dg.SensorDefinition:
    """Keeps the mirror of the books fresh within the budget of reads, and proves what was posted."""
    name = runtime.name

    @dg.sensor(
        name=f"{name}_books",
        jobs=list(jobs),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Looks into the books of {name} every {TICK_SECONDS / 60:.0f} minutes; reconciles after postings.",
    )
    def looking(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = datetime.now(UTC)
        moved = Cursors(runtime.engine).moved_at(name).get(f"{BOOKS}.{mirror.RESOURCE}")
        if moved is None:
            return dg.SkipReason("the books were never read whole")
        news = Inbox(runtime.engine).depth(name, source=BOOKS).count > 0 or _confirmed_since(runtime, moved)
        quiet = runtime.connection.books.has_webhooks and not news
        if (now - moved).total_seconds() < (IDLE_TICK_SECONDS if quiet else TICK_SECONDS):
            return dg.SkipReason("the books were looked at not long ago")
        proof = f"follow_up_{name}"
        for job in (proof, f"order_to_cash_{name}", f"mirror_{name}"):
            if context.instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=ACTIVE)):
                return dg.SkipReason(f"{job} is at work")
        runs = [_last_run(context.instance, f"{kind}_{name}") for kind in PROVING]
        proved = max((one.create_timestamp for one in runs if one), default=datetime.min.replace(tzinfo=UTC))
        owed = (now - proved).total_seconds() >= PROOF_SECONDS and (news or _confirmed_since(runtime, proved))
        job = proof if owed else f"mirror_{name}"
        return dg.RunRequest(run_key=f"{job}:{moved.isoformat()}", job_name=job)

    return looking


def _confirmed_since(runtime: Runtime, moment: datetime) -> bool:
    query = select(func.count()).where(
        intents.c.realm == runtime.connection.books.realm,
        intents.c.state == CONFIRMED,
        intents.c.confirmed_at > moment,
    )
    with reading(runtime.engine) as tx:
        return bool(tx.execute(query).scalar_one())
