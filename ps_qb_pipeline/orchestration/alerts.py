"""What a person should be told now: pure decisions over facts, and over what was said before.

What lives here: which facts are a trouble, deduplication, quiet hours, reminders and recoveries, the text
of the daily digest. What does not: gathering facts (``alert_facts``), delivering messages
(``alert_channels``), keeping what was said (``state.notices``). Nothing here knows Dagster or a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from ps_qb_pipeline.settings import AlertSettings

Kind = Literal["alert", "reminder", "recovery", "digest"]
STEADY = timedelta(minutes=10)
"""How long a trouble must be gone before its recovery is told: what flickers is told once."""
GIGABYTE = 10**9


@dataclass(frozen=True, slots=True)
class FailedRun:
    """The newest run of a job, which failed: nothing has succeeded since the first failure at ``since``."""

    job: str
    step: str
    message: str
    since: datetime
    posts: bool = False
    """Whether orders wait for it: then it is urgent."""
    tried_again: bool = False
    """Whether the job is started again by itself: then one failure is nobody's matter yet."""


@dataclass(frozen=True, slots=True)
class FailingWatcher:
    """A sensor whose looks fail, one after the other, since ``since``."""

    name: str
    message: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Fresh:
    """When a layer was made last, and how old it may become."""

    what: str
    at: datetime
    limit: timedelta


@dataclass(frozen=True, slots=True)
class Waiting:
    """Records that wait for a person, of one cause."""

    code: str
    count: int
    amounts: Mapping[str, Decimal]
    meaning: str
    fix: str


@dataclass(frozen=True, slots=True)
class Late:
    """Exceptions of one code that should have been settled by now, the oldest by the day ``oldest``."""

    code: str
    owner: str
    """accountant, merchant, operator or developer."""
    count: int
    amounts: Mapping[str, Decimal]
    oldest: date


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a connection at one moment. None means: not known, and no trouble by itself."""

    failed_runs: Sequence[FailedRun] = ()
    failing_watchers: Sequence[FailingWatcher] = ()
    silent_daemon_since: datetime | None = None
    armed: bool = False
    oldest_unposted: datetime | None = None
    unposted: int = 0
    dead_letters: Sequence[Waiting] = ()
    unclassified: Mapping[str, Decimal] = field(default_factory=dict)
    open_difference: Mapping[str, Decimal] = field(default_factory=dict)
    late: Sequence[Late] = ()
    levels: Mapping[str, str] = field(default_factory=dict)
    headline: str = ""
    withdrawn: Mapping[str, str] = field(default_factory=dict)
    """Signed periods that either side has changed since, and by what."""
    duplicates: Sequence[str] = ()
    """Documents that QuickBooks holds twice, as the nightly second look found them."""
    expiries: Sequence[tuple[str, str, int]] = ()
    """What ends, the sentence about it, and in how many days; over when negative."""
    reads: str = ""
    """The warning about metered reads, if there is one."""
    disk_free: int | None = None
    fresh: Sequence[Fresh] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong. ``key`` is the same as long as it is the same trouble."""

    key: str
    title: str
    text: str
    urgent: bool = False
    """Urgent ones break quiet hours."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is remembered of a trouble: when it began, when it was told, since when it is gone."""

    key: str
    title: str
    urgent: bool
    first_seen: datetime
    told_at: datetime | None = None
    gone_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to say."""

    kind: Kind
    key: str
    title: str
    text: str
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to say now, and what to remember instead of what was remembered."""

    messages: tuple[Message, ...]
    notices: tuple[Notice, ...]


DIGEST = "digest"
"""The key under which the last digest is remembered."""


def troubles(facts: Facts, settings: AlertSettings, now: datetime) -> list[Trouble]:
    """Everything that is wrong at ``now``, urgent things first."""
    found = [
        *_machine(facts, settings, now),
        *_posting(facts, settings, now),
        *_proof(facts, settings),
        *_consent(facts),
    ]
    return sorted(found, key=lambda one: (not one.urgent, one.key))


def _machine(facts: Facts, settings: AlertSettings, now: datetime) -> Iterator[Trouble]:
    patience = timedelta(minutes=settings.watcher_minutes)
    for run in facts.failed_runs:
        if not run.tried_again or now - run.since >= patience:
            text = f"{run.job} has failed at {run.step} since {_when(run.since)}: {run.message}"
            yield Trouble(f"run:{run.job}", f"The job {run.job} fails", text, urgent=run.posts)
    for watcher in facts.failing_watchers:
        if now - watcher.since >= patience:
            text = f"It has failed since {_when(watcher.since)}: {watcher.message}"
            yield Trouble(f"watcher:{watcher.name}", f"The sensor {watcher.name} cannot look", text)
    if facts.silent_daemon_since is not None:
        text = f"No sensor and no schedule has run since {_when(facts.silent_daemon_since)}; start dagster-daemon."
        yield Trouble("daemon", "Dagster's daemon is silent", text, urgent=True)
    if facts.disk_free is not None and facts.disk_free < settings.disk_free_gb * GIGABYTE:
        text = (
            f"{facts.disk_free / GIGABYTE:.1f} GB are free; at least {settings.disk_free_gb} GB are needed."
        )
        yield Trouble(
            "disk", "The disk is nearly full", f"{text} docs/operations.md says what may go.", urgent=True
        )
    if facts.silent_daemon_since is None:
        # While nothing runs at all, everything is old, and that is said once.
        for layer in facts.fresh:
            if now - layer.at > layer.limit:
                text = f"Last at {_when(layer.at)}; it should never be older than {_span(layer.limit)}."
                yield Trouble(f"stale:{layer.what}", f"{layer.what} is not up to date", text)


def _posting(facts: Facts, settings: AlertSettings, now: datetime) -> Iterator[Trouble]:
    waits = facts.oldest_unposted
    if facts.armed and waits is not None and now - waits >= timedelta(minutes=settings.unposted_minutes):
        text = (
            f"{facts.unposted:,} record(s) wait to be written to QuickBooks, the oldest since {_when(waits)}."
        )
        yield Trouble("unposted", "Orders are not reaching QuickBooks", text, urgent=True)
    for waiting in facts.dead_letters:
        text = f"{waiting.count:,} record(s){_money(waiting.amounts)}. {waiting.meaning} {waiting.fix}"
        yield Trouble(f"dead:{waiting.code}", f"{waiting.code} needs a person", text)
    if facts.duplicates:
        text = "QuickBooks holds these twice: " + ", ".join(facts.duplicates[:10])
        yield Trouble("duplicates", "A document is in QuickBooks twice", text, urgent=True)


def _proof(facts: Facts, settings: AlertSettings) -> Iterator[Trouble]:
    lost = {currency: amount for currency, amount in facts.unclassified.items() if amount}
    if lost:
        text = f"In no class:{_money(lost)}. This is a mistake of this program; do not rely on the report."
        yield Trouble("unclassified", "The proof does not hold", text, urgent=True)
    limit = settings.open_difference_above
    above = {currency: amount for currency, amount in facts.open_difference.items() if amount > limit}
    if above:
        text = f"Unresolved exceptions stand for{_money(above)}. psqb report --open lists them."
        yield Trouble("open_difference", "Shop and books differ", text)
    for owner in sorted({one.owner for one in facts.late}):
        text = "; ".join(_late(one) for one in facts.late if one.owner == owner)
        text = f"{text}. psqb report --open lists them."
        yield Trouble(f"late:{owner}", f"Exceptions wait for the {owner} past their day", text)
    for period, why in facts.withdrawn.items():
        text = f"{why}. Look at the change, then psqb close --period {period} --reopen."
        yield Trouble(f"signed:{period}", f"The approval of {period} is withdrawn", text)


def _late(one: Late) -> str:
    return f"{one.code}: {one.count:,}{_money(one.amounts)}, due since {one.oldest}"


def _consent(facts: Facts) -> Iterator[Trouble]:
    for what, sentence, days in facts.expiries:
        due = next((f"within {limit} days" for limit in (1, 7, 30) if days < limit), "soon")
        text = f"{sentence}. A person must run psqb connect."
        title = f"{what.capitalize()} is over" if days < 0 else f"{what.capitalize()} ends {due}"
        yield Trouble(f"expiry:{what}", title, text, urgent=days < 1)
    if facts.reads:
        text = f"{facts.reads}. Reads stop before the limit does; posting goes on."
        yield Trouble("reads", "QuickBooks' metered reads run out", text)


def decide(
    found: Iterable[Trouble], known: Iterable[Notice], settings: AlertSettings, now: datetime, zone: str
) -> Decision:
    """What is new, what is over, what is due again; held back while it is quiet, unless it is urgent.

    A trouble that came and went within quiet hours is never told. One that comes back within STEADY is
    the same trouble. One whose title has changed has become worse, and is told again.
    """
    present = {trouble.key: trouble for trouble in found}
    remembered = {notice.key: notice for notice in known}
    quiet = is_quiet(settings, now, zone)
    messages: list[Message] = []
    notices: list[Notice] = []
    for key, trouble in present.items():
        before = remembered.pop(key, None) or Notice(key, trouble.title, trouble.urgent, now)
        kind: Kind | None = "alert" if before.title != trouble.title else _due(before, settings, now)
        if kind is not None and (trouble.urgent or not quiet):
            messages.append(Message(kind, key, trouble.title, trouble.text, trouble.urgent))
            before = replace(before, title=trouble.title, told_at=now)
        notices.append(replace(before, urgent=trouble.urgent, gone_since=None))
    for key, notice in remembered.items():
        if key == DIGEST:
            notices.append(notice)
            continue
        gone = notice.gone_since or now
        told, over = notice.told_at is not None, now - gone >= STEADY
        if over and told and (notice.urgent or not quiet):
            text = f"It began on {_when(notice.first_seen)} and was over on {_when(gone)}."
            messages.append(Message("recovery", key, notice.title, text, notice.urgent))
        elif not over or told:
            notices.append(replace(notice, gone_since=gone))
    return Decision(tuple(messages), tuple(notices))


def _due(notice: Notice, settings: AlertSettings, now: datetime) -> Kind | None:
    if notice.told_at is None:
        return "alert"
    again = timedelta(hours=settings.remind_after_hours)
    return "reminder" if again and now - notice.told_at >= again else None


def is_quiet(settings: AlertSettings, now: datetime, zone: str) -> bool:
    """Whether only urgent things may be said, by the wall clock of ``zone``."""
    begins, ends = settings.quiet_from, settings.quiet_to
    if begins is None or ends is None or begins == ends:
        return False
    wall = now.astimezone(ZoneInfo(zone)).time()
    return begins <= wall < ends if begins < ends else wall >= begins or wall < ends


def digest_due(known: Iterable[Notice], settings: AlertSettings, now: datetime, zone: str) -> bool:
    """Whether today's digest is still to be sent: once a day by the wall clock of ``zone``, whatever the hour."""
    if settings.digest_at is None:
        return False
    last = next((notice.told_at for notice in known if notice.key == DIGEST), None)
    local = now.astimezone(ZoneInfo(zone))
    return local.time() >= settings.digest_at and (last is None or _day(last, zone) < local.date())


def _day(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def digest(connection: str, facts: Facts, notices: Sequence[Notice], now: datetime, zone: str) -> Message:
    """The day for the accountant: what is booked, what is open, what waits, what is wrong."""
    local = now.astimezone(ZoneInfo(zone))
    lines = [facts.headline or "No report has been made yet.", ""]
    open_now = {currency: amount for currency, amount in facts.open_difference.items() if amount}
    lines.append(f"Open difference:{_money(open_now) or ' none'}.")
    standing = [level for level, verdict in facts.levels.items() if verdict == "open"]
    if facts.levels:
        lines.append(f"Levels of the proof that are open: {', '.join(standing) or 'none'}.")
    if facts.late:
        lines += ["", "Past their day:", *(f"- {one.owner}: {_late(one)}" for one in facts.late)]
    if facts.dead_letters:
        lines += ["", "Waiting for a person:"]
        lines += [
            f"- {one.code}: {one.count:,} record(s){_money(one.amounts)}. {one.meaning} {one.fix}"
            for one in facts.dead_letters
        ]
    wrong = [notice for notice in notices if notice.key != DIGEST and notice.gone_since is None]
    if wrong:
        lines += ["", "Wrong at this moment:"]
        lines += [f"- {notice.title}, since {_when(notice.first_seen)}" for notice in wrong]
    title = f"{connection}: the books on {local:%Y-%m-%d}"
    return Message("digest", DIGEST, title, "\n".join(lines))


def _money(amounts: Mapping[str, Decimal]) -> str:
    return "".join(
        f"{',' if number else ''} {amount:,.2f} {currency}"
        for number, (currency, amount) in enumerate(sorted(amounts.items()))
    )


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _span(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
