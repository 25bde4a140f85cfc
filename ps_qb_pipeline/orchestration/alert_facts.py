"""What is known about a connection now: the facts that alerts are decided on.

What lives here: reading them from the control plane, the last report's summary, the disk, and the history
of runs. What does not: judging them (``alerts``). The warehouse is not opened: a look must never keep a run
waiting.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import func, select

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.orchestration import hints, reporting
from ps_qb_pipeline.orchestration.alerts import Facts, FailedRun, FailingWatcher, Fresh, Late, Waiting
from ps_qb_pipeline.orchestration.landing import BOOKS, SHOP
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.posting.dead_letters import collect
from ps_qb_pipeline.quickbooks import mirror
from ps_qb_pipeline.quickbooks.limiter import Limits, SharedBudget
from ps_qb_pipeline.quickbooks.oauth import Tokens, expiries
from ps_qb_pipeline.reports import signoff
from ps_qb_pipeline.reports.words import OWNERS
from ps_qb_pipeline.state.budget import BudgetStore
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline.state.intents import PLANNED, SENT, UNKNOWN
from ps_qb_pipeline.state.tables import intents

RECHECK_FILE = "recheck.json"
"""What the nightly second look found, in the data folder of the connection."""


@dataclass(frozen=True, slots=True)
class History:
    """What became of runs and sensors lately."""

    failed_runs: Sequence[FailedRun] = ()
    failing_watchers: Sequence[FailingWatcher] = ()
    silent_daemon_since: datetime | None = None


class Runs(Protocol):
    """Who knows what became of runs and sensors: Dagster's instance, or a test."""

    def history(self, connection: str) -> History:
        """The jobs whose newest run failed, and the sensors that fail, of one connection."""
        ...


@dataclass(frozen=True, slots=True)
class _Summary:
    figures: Mapping[str, Any] = field(default_factory=dict)
    made_at: datetime | None = None


def gather(runtime: Runtime, runs: Runs) -> Facts:
    """Every fact about one connection, at the time of the runtime's clock."""
    now, name = runtime.clock.now(), runtime.name
    known = Connections(runtime.engine).get(name)
    past, summary = runs.history(name), _summary(runtime)
    unposted, oldest = _unposted(runtime)
    return Facts(
        failed_runs=past.failed_runs,
        failing_watchers=past.failing_watchers,
        silent_daemon_since=past.silent_daemon_since,
        armed=known is not None and known.armed,
        oldest_unposted=oldest,
        unposted=unposted,
        dead_letters=_dead_letters(runtime) if known is not None else (),
        unclassified=_amounts(summary.figures.get("unclassified")),
        open_difference=_amounts(summary.figures.get("open_difference")),
        late=_late(summary.figures),
        levels=summary.figures.get("levels", {}),
        headline=_headline(summary.figures),
        withdrawn=_withdrawn(runtime),
        duplicates=_duplicates(runtime),
        expiries=_expiries(runtime, now),
        reads=_reads(runtime, now),
        disk_free=shutil.disk_usage(_existing(runtime.settings.home.absolute())).free,
        fresh=_fresh(runtime, summary),
    )


BOOKS_LOOKED = timedelta(hours=3)
"""The change feed is asked every few minutes, and once an hour at least."""


def _fresh(runtime: Runtime, summary: _Summary) -> list[Fresh]:
    """How fresh each layer is; one that was never made is no trouble, but a beginning."""
    moved = Cursors(runtime.engine).moved_at(runtime.name)
    stale = timedelta(hours=runtime.connection.alerts.stale_hours)
    reached = timedelta(minutes=runtime.connection.alerts.watcher_minutes)
    listed = (
        ("What is new in the shop", moved.get(f"{SHOP}.{hints.POLL}"), reached),
        ("What the shop holds", moved.get(f"{SHOP}.orders"), stale),
        ("What QuickBooks holds", moved.get(f"{BOOKS}.{mirror.RESOURCE}"), BOOKS_LOOKED),
        ("The report", summary.made_at, stale),
    )
    return [Fresh(what, at, limit) for what, at, limit in listed if at is not None]


def _summary(runtime: Runtime) -> _Summary:
    path = runtime.settings.data_dir(runtime.name) / "reports" / "summary.json"
    if not path.exists():
        return _Summary()
    made = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return _Summary(json.loads(path.read_text(encoding="utf-8")), made)


def _headline(figures: Mapping[str, Any]) -> str:
    if not figures:
        return ""
    booked, wanted = figures["orders_confirmed"], figures["postable"] + figures["held_orders"]
    return f"{booked:,} of {wanted:,} orders to be booked are in QuickBooks."


def _amounts(texts: Mapping[str, str] | None) -> dict[str, Decimal]:
    return {currency: Decimal(amount) for currency, amount in (texts or {}).items()}


def _late(figures: Mapping[str, Any]) -> list[Late]:
    """What the last report found past its day; a report of an older version does not say."""
    return [
        Late(
            one["code"],
            OWNERS[one["owner"]],
            one["count"],
            _amounts(one["amounts"]),
            date.fromisoformat(one["oldest"]),
        )
        for one in figures.get("overdue", ())
    ]


def _unposted(runtime: Runtime) -> tuple[int, datetime | None]:
    """How much waits to be written: hints that nobody has followed, and intents without an outcome.

    Cards that are brought up to date wait for the night, and no order waits for them.
    """
    depth = Inbox(runtime.engine).depth(runtime.name)
    card = intents.c.role.in_(["customer", "item"]) & (intents.c.operation == "update")
    query = select(func.count(), func.min(intents.c.created_at)).where(
        intents.c.connection == runtime.name, intents.c.state.in_([PLANNED, SENT, UNKNOWN]), ~card
    )
    with reading(runtime.engine) as tx:
        count, oldest = tx.execute(query).one()
    moments = [moment for moment in (depth.oldest, oldest) if moment is not None]
    return depth.count + count, min(moments, default=None)


def _dead_letters(runtime: Runtime) -> list[Waiting]:
    return [
        Waiting(cause.code, len(cause.letters), cause.amounts, cause.meaning, cause.fix)
        for cause in collect(runtime.engine, runtime.name)
    ]


def _withdrawn(runtime: Runtime) -> dict[str, str]:
    """Signed periods whose newest version is withdrawn, with the change that did it."""
    folder, found = reporting.signoff_folder(runtime), {}
    for period in signoff.closed_periods(folder):
        version = signoff.current(folder, period)
        if version is not None and version.status == "withdrawn":
            told = json.loads((version.folder / "withdrawn.json").read_text(encoding="utf-8"))
            first = told["first"]
            found[period] = (
                f"{told['changes']} change(s) since it was signed, first {first['object_type']} "
                f"{first['object_id']}: {first['what']}"
            )
    return found


def _duplicates(runtime: Runtime) -> list[str]:
    path = runtime.settings.data_dir(runtime.name) / RECHECK_FILE
    if not path.exists():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))["duplicates"]
    return [f"{key} ({', '.join(ids)})" for key, ids in sorted(found.items())]


def _expiries(runtime: Runtime, now: datetime) -> list[tuple[str, str, int]]:
    """What of the consent ends soon. Tokens that cannot be opened are a failed run's matter, not ours."""
    try:
        stored = runtime.tokens.load(runtime.name)
    except PipelineError as error:
        return [("the consent", f"The stored tokens cannot be opened: {error}", -1)]
    if stored is None:
        return []
    ends = expiries(Tokens(**stored), now)
    return [
        (one.what.partition(" (")[0], one.sentence(), one.days) for one in ends if one.warning is not None
    ]


def _reads(runtime: Runtime, now: datetime) -> str:
    limits = Limits(**runtime.connection.books.limits.model_dump())
    budget = SharedBudget(BudgetStore(runtime.engine), limits, now=now.timestamp)
    month = budget.month(runtime.connection.books.realm)
    # In its first day a month's forecast is made from a few hours, and says nothing.
    return month.warning(now) if now.day > 1 or month.metered >= month.limit * limits.warn_at else ""


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())
