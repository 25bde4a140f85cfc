"""Staying below Intuit's limits: what is asked of the shared budget, and how the client waits for it.

What lives here: the limits, the rate that halves on a 429 and recovers, the pure arithmetic of the
next permitted moment, and the protocol of the budget that all processes of a realm share. What does
not: where the shared numbers are kept (``state.budget``).
"""

from __future__ import annotations

import calendar
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Literal, Protocol

from ps_qb_pipeline.errors import MeterSpent

Meter = Literal["read", "cdc", "write"]


class Priority(IntEnum):
    """Who goes first when several wait: a live order before the mirror before a backfill."""

    LIVE = 0
    NORMAL = 1
    BACKFILL = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """Intuit's limits for one realm and app, and how close we go to them.

    Spacing requests at the sustained rate keeps both the limit a minute and the limit a second;
    ``margin`` leaves room for what the network does to the spacing. ``metered`` is the number of
    metered reads a month in the lowest tier; reads of each priority stop at its share of it.
    """

    requests_per_minute: float = 500.0
    requests_per_second: float = 10.0
    batches_per_minute: float = 40.0
    batch_items: int = 30
    margin: float = 0.97
    metered: int = 500_000
    shares: tuple[float, float, float] = (0.98, 0.95, 0.90)
    warn_at: float = 0.80

    @property
    def rate(self) -> float:
        """Requests a second at full speed."""
        return min(self.requests_per_minute / 60.0, self.requests_per_second) * self.margin

    @property
    def batch_interval(self) -> float:
        """Seconds between two batches at full speed."""
        return 60.0 / (self.batches_per_minute * self.margin)


UNLIMITED = Limits(
    requests_per_minute=6e6, requests_per_second=1e5, batches_per_minute=6e6, margin=1.0, metered=10**12
)
"""For a sandbox whose limits are off."""

RECOVERY_SECONDS = 10.0
"""One request a second is won back every ten seconds without a 429."""
FLOOR = 0.5
"""Never slower than one request in two seconds."""
CLAIM_SECONDS = 2.0
"""How long a waiting caller keeps its place before those of lower priority."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The shared numbers of one realm; moments are seconds since the epoch."""

    next_request: float = 0.0
    next_batch: float = 0.0
    rate: float = 0.0
    rate_at: float = 0.0
    paused_until: float = 0.0
    claims: tuple[float, float, float] = (0.0, 0.0, 0.0)
    throttles: int = 0


def speed(pace: Pace, limits: Limits, now: float) -> float:
    """Requests a second permitted now: full speed, or what has been won back since the last 429."""
    if not pace.rate_at:
        return limits.rate
    won_back = max(0.0, now - max(pace.rate_at, pace.paused_until)) / RECOVERY_SECONDS
    return min(limits.rate, pace.rate + won_back)


def admit(pace: Pace, limits: Limits, now: float, *, batch: bool, priority: Priority) -> tuple[float, Pace]:
    """Seconds to wait (0 means: send now) and the numbers after that decision.

    A caller that has to wait leaves a claim; while it stands, lower priorities wait behind it.
    """
    # A clock that was set back must not stop us: no moment lies further ahead than its reason allows.
    pace = _within_reach(pace, limits, now)
    factor = limits.rate / speed(pace, limits, now)
    at = max(now, pace.paused_until, pace.next_request, pace.next_batch if batch else 0.0)
    ahead = any(pace.claims[other] > now for other in range(priority))
    wait = at - now
    if wait <= 0 and not ahead:
        interval = 1.0 / limits.rate * factor
        batch_at = now + limits.batch_interval * factor if batch else pace.next_batch
        return 0.0, replace(
            pace, next_request=now + interval, next_batch=batch_at, claims=_claims(pace, priority, 0.0)
        )
    wait = max(wait, 1.0 / limits.rate)
    return wait, replace(pace, claims=_claims(pace, priority, now + wait + CLAIM_SECONDS))


def slow_down(pace: Pace, limits: Limits, now: float, pause: float) -> Pace:
    """The numbers after a 429: half speed and a pause. Further 429s of the same storm count once."""
    if now < pace.paused_until:
        return replace(pace, paused_until=max(pace.paused_until, now + pause), throttles=pace.throttles + 1)
    halved = max(FLOOR, speed(pace, limits, now) / 2)
    return replace(pace, rate=halved, rate_at=now, paused_until=now + pause, throttles=pace.throttles + 1)


def _claims(pace: Pace, priority: Priority, until: float) -> tuple[float, float, float]:
    live, normal, backfill = (until if place == priority else kept for place, kept in enumerate(pace.claims))
    return live, normal, backfill


def _within_reach(pace: Pace, limits: Limits, now: float) -> Pace:
    slowest = limits.rate / FLOOR
    return replace(
        pace,
        next_request=min(pace.next_request, now + slowest / limits.rate),
        next_batch=min(pace.next_batch, now + limits.batch_interval * slowest),
        paused_until=min(pace.paused_until, now + 3600.0),
        rate_at=min(pace.rate_at, now),
        claims=_claims_within(pace.claims, now + 3600.0 + CLAIM_SECONDS),
    )


def _claims_within(claims: tuple[float, float, float], latest: float) -> tuple[float, float, float]:
    live, normal, backfill = (min(claim, latest) for claim in claims)
    return live, normal, backfill


@dataclass(frozen=True, slots=True)
class MonthMeter:
    """Calls of one realm in one calendar month (UTC). Reads and CDC are metered, writes are free."""

    month: str
    reads: int
    cdc: int
    writes: int
    limit: int

    @property
    def metered(self) -> int:
        """What counts against the tier."""
        return self.reads + self.cdc

    def forecast(self, now: datetime) -> int:
        """Metered calls at the end of the month if it goes on like this."""
        days = calendar.monthrange(now.year, now.month)[1]
        begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        passed = max((now - begin).total_seconds(), 3600.0)
        return round(self.metered * days * 86400.0 / passed)

    def warning(self, now: datetime, warn_at: float = 0.80) -> str:
        """A sentence for people when the month will not suffice, else the empty string."""
        if self.metered >= self.limit * warn_at:
            return f"{self.metered:,} of {self.limit:,} metered calls of {self.month} are used"
        if (expected := self.forecast(now)) > self.limit:
            return f"{self.month} is heading for {expected:,} metered calls; the tier includes {self.limit:,}"
        return ""


class Budget(Protocol):
    """What all processes of one realm share."""

    limits: Limits

    def admit(self, realm: str, *, meter: Meter, batch: bool, priority: Priority) -> float:
        """0 when one request may be sent now (it is counted then), else the seconds to wait."""
        ...

    def throttled(self, realm: str, pause: float) -> None:
        """A 429 came: everyone slows down and pauses."""
        ...

    def month(self, realm: str) -> MonthMeter:
        """The meter of the current month."""
        ...


def seconds_left_in_month(now: datetime) -> float:
    """Until the meter begins again."""
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return (datetime(year, month, 1, tzinfo=UTC) - now).total_seconds()


def check_meter(meter: MonthMeter, limits: Limits, priority: Priority, now: datetime) -> None:
    """Raises MeterSpent when reads of this priority must stop, before Intuit's own meter would."""
    allowed = round(limits.metered * limits.shares[priority])
    if meter.metered >= allowed:
        raise MeterSpent(
            f"{meter.metered:,} metered QuickBooks calls were made in {meter.month}; reads of priority "
            f"{priority.name.lower()} stop at {allowed:,} of {limits.metered:,}; posting goes on. "
            "Wait for the next month, or raise the limit when the app's tier includes more",
            retry_after=seconds_left_in_month(now),
            metered=meter.metered,
            limit=limits.metered,
        )


class SharedNumbers(Protocol):
    """Where the numbers are kept: changed atomically among all processes of the realm."""

    def change(
        self,
        realm: str,
        month: str,
        decide: Callable[
            [Mapping[str, float], Mapping[str, float]],
            tuple[Any, Mapping[str, float], Mapping[str, float]],
        ],
    ) -> Any:
        """Give ``decide`` the pace and the meter, keep what it returns, and return its result."""
        ...


class MemoryStore:
    """Numbers of this process alone, for tests and for a process without a control plane."""

    def __init__(self) -> None:
        self._pace: dict[str, Mapping[str, float]] = {}
        self._meter: dict[tuple[str, str], Mapping[str, float]] = {}
        self._lock = threading.Lock()

    def change(self, realm: str, month: str, decide: Callable[..., Any]) -> Any:
        """See SharedNumbers."""
        with self._lock:
            result, pace, meter = decide(self._pace.get(realm, {}), self._meter.get((realm, month), {}))
            self._pace[realm] = pace
            self._meter[realm, month] = meter
        return result


class SharedBudget:
    """The Budget of all processes that share a store."""

    def __init__(
        self,
        store: SharedNumbers,
        limits: Limits | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits or Limits()
        self._store = store
        self._now = now

    def admit(self, realm: str, *, meter: Meter, batch: bool, priority: Priority) -> float:
        """See Budget. Raises MeterSpent when reads of this priority have to stop."""
        now = self._now()
        at = datetime.fromtimestamp(now, UTC)

        def decide(
            pace: Mapping[str, float], counts: Mapping[str, float]
        ) -> tuple[float, Mapping[str, float], Mapping[str, float]]:
            if meter != "write":
                check_meter(self._month(at, counts), self.limits, priority, at)
            wait, after = admit(_pace(pace), self.limits, now, batch=batch, priority=priority)
            return wait, _numbers(after), counts if wait else _counted(counts, meter)

        wait: float = self._store.change(realm, f"{at:%Y-%m}", decide)
        return wait

    def throttled(self, realm: str, pause: float) -> None:
        """See Budget."""
        now = self._now()

        def decide(
            pace: Mapping[str, float], counts: Mapping[str, float]
        ) -> tuple[None, Mapping[str, float], Mapping[str, float]]:
            return None, _numbers(slow_down(_pace(pace), self.limits, now, pause)), counts

        self._store.change(realm, f"{datetime.fromtimestamp(now, UTC):%Y-%m}", decide)

    def month(self, realm: str) -> MonthMeter:
        """See Budget."""
        at = datetime.fromtimestamp(self._now(), UTC)
        counts = self._store.change(realm, f"{at:%Y-%m}", lambda pace, counts: (counts, pace, counts))
        return self._month(at, counts)

    def _month(self, at: datetime, counts: Mapping[str, float]) -> MonthMeter:
        read, cdc, write = (int(counts.get(name, 0)) for name in _COLUMNS.values())
        return MonthMeter(f"{at:%Y-%m}", read, cdc, write, self.limits.metered)


_COLUMNS: dict[Meter, str] = {"read": "reads", "cdc": "cdc", "write": "writes"}


def _counted(counts: Mapping[str, float], meter: Meter) -> dict[str, float]:
    return {name: counts.get(name, 0) + (name == _COLUMNS[meter]) for name in _COLUMNS.values()}


def _pace(numbers: Mapping[str, float]) -> Pace:
    if not numbers:
        return Pace()
    kept = dict(numbers)
    claims = (kept.pop("claim_live"), kept.pop("claim_normal"), kept.pop("claim_backfill"))
    throttles = int(kept.pop("throttles"))
    return Pace(**kept, claims=claims, throttles=throttles)


def _numbers(pace: Pace) -> dict[str, float]:
    live, normal, backfill = pace.claims
    return {
        "next_request": pace.next_request,
        "next_batch": pace.next_batch,
        "rate": pace.rate,
        "rate_at": pace.rate_at,
        "paused_until": pace.paused_until,
        "claim_live": live,
        "claim_normal": normal,
        "claim_backfill": backfill,
        "throttles": pace.throttles,
    }


def wait_for(
    budget: Budget,
    realm: str,
    *,
    meter: Meter,
    batch: bool,
    priority: Priority,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Return when one request may be sent; the seconds waited.

    Raises MeterSpent instead of waiting for the next month.
    """
    waited = 0.0
    while (pause := budget.admit(realm, meter=meter, batch=batch, priority=priority)) > 0:
        # In slices: another process may end the reason to wait, or a person may stop this one.
        slept = min(pause, CLAIM_SECONDS)
        sleep(slept)
        waited += slept
    return waited
