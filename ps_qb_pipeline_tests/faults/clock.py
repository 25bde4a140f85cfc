"""Time that a test moves by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class World:
    """True time, in seconds since the start; everybody's clock derives from it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def pass_time(self, seconds: float) -> None:
        assert seconds >= 0
        self.seconds += seconds


class SimClock:
    """One machine's view of the time: ``skew`` makes its wall clock wrong, never its timer."""

    def __init__(self, world: World | None = None, *, boot: str = "boot-1", skew: float = 0.0) -> None:
        self.world = world or World()
        self.boot = boot
        self.skew = skew

    def now(self) -> datetime:
        return self.world.now + timedelta(seconds=self.skew)

    def monotonic(self) -> float:
        return 1000.0 + self.world.seconds

    def sleep(self, seconds: float) -> None:
        self.world.pass_time(max(0.0, seconds))
