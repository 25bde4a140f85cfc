"""The company's own clock.

What lives here: the present instant as the service sees it, which a test may set, advance or stop,
and the three forms in which QuickBooks writes it. What does not: waiting.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

SERVER_ZONE = ZoneInfo("America/Los_Angeles")


class Clock:
    """Real time plus an offset, or an instant that stands still."""

    def __init__(self, zone: str, *, offset: float = 0.0, frozen: datetime | None = None) -> None:
        self.zone = ZoneInfo(zone)
        self.offset = offset
        self.frozen = frozen

    def now(self) -> datetime:
        """Return the present, aware, in UTC."""
        if self.frozen is not None:
            return self.frozen
        return datetime.now(UTC) + timedelta(seconds=self.offset)

    def set(self, instant: datetime, *, freeze: bool = False) -> None:
        """Make ``instant`` the present; ``freeze`` stops the clock there."""
        self.offset = (instant - datetime.now(UTC)).total_seconds()
        self.frozen = instant.astimezone(UTC) if freeze else None

    def advance(self, seconds: float) -> None:
        """Move the present forward (or, with a negative number, back)."""
        self.offset += seconds
        if self.frozen is not None:
            self.frozen += timedelta(seconds=seconds)

    def thaw(self) -> None:
        """Let a stopped clock run on from where it stands."""
        if self.frozen is not None:
            self.set(self.frozen)

    def envelope(self) -> str:
        """Return the ``time`` of a response: milliseconds, the server's Pacific offset."""
        return self.now().astimezone(SERVER_ZONE).isoformat(timespec="milliseconds")

    def company(self, instant: datetime | None = None) -> str:
        """Return a MetaData time: whole seconds, the company's offset."""
        return (instant or self.now()).astimezone(self.zone).isoformat(timespec="seconds")

    def today(self) -> str:
        """Return today on the server, which is the default transaction date."""
        return self.now().astimezone(SERVER_ZONE).date().isoformat()

    def epoch_ms(self) -> int:
        """Return the present in milliseconds since 1970."""
        return int(self.now().timestamp() * 1000)

    def parse(self, text: str) -> datetime:
        """Read a date or date-time; one without an offset is in the company's zone. Raises ValueError."""
        value = datetime.fromisoformat(text.strip())
        return (value if value.tzinfo else value.replace(tzinfo=self.zone)).astimezone(UTC)


def key(instant: datetime) -> str:
    """Return an instant as text that sorts by time, in whole seconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
