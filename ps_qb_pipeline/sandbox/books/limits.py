"""The service's limits and its meter.

What lives here: requests a minute and a second, batches a minute, mails a day, metered reads a month,
all by the company's own clock. What does not: what a 429 looks like (``faults``).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ps_qb_pipeline.sandbox.books.clock import Clock


@dataclass(slots=True)
class Limits:
    """Sliding windows. ``on`` is False unless real limits are asked for; ``metered`` likewise."""

    on: bool = False
    per_minute: int = 500
    per_second: int = 10
    batches_per_minute: int = 40
    mails_per_day: int = 40
    metered: bool = False
    reads_per_month: int = 500_000
    reads: int = 0
    month: str = ""
    refused: int = 0
    _minute: deque[float] = field(default_factory=deque)
    _second: deque[float] = field(default_factory=deque)
    _batches: deque[float] = field(default_factory=deque)
    _mails: deque[float] = field(default_factory=deque)

    def admit(self, clock: Clock, *, is_read: bool, is_batch: bool = False, is_mail: bool = False) -> bool:
        """Count one request and say whether it is within every limit; a refused one is not counted."""
        now = clock.now()
        self._count_month(now.strftime("%Y-%m"))
        if self.metered and is_read and self.reads >= self.reads_per_month:
            self.refused += 1
            return False
        at = now.timestamp()
        windows = [(self._minute, 60.0, self.per_minute), (self._second, 1.0, self.per_second)]
        if is_batch:
            windows.append((self._batches, 60.0, self.batches_per_minute))
        if is_mail:
            windows.append((self._mails, 86_400.0, self.mails_per_day))
        if self.on:
            for window, seconds, most in windows:
                _expire(window, at, seconds)
                if len(window) >= most:
                    self.refused += 1
                    return False
            for window, _, _ in windows:
                window.append(at)
        if is_read:
            self.reads += 1
        return True

    def _count_month(self, month: str) -> None:
        if month != self.month:
            self.month, self.reads = month, 0

    def change(self, values: dict[str, Any]) -> None:
        """Set limits by name; raises ValueError for a name or type that there is not."""
        for name, value in values.items():
            known = getattr(self, name, None)
            if name.startswith("_") or known is None or callable(known) or type(known) is not type(value):
                raise ValueError(f"{name}={value!r} is no limit")
            setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        """Return limits and counts."""
        names = "on per_minute per_second batches_per_minute mails_per_day metered reads_per_month reads month refused"
        return {name: getattr(self, name) for name in names.split()}


def _expire(window: deque[float], now: float, seconds: float) -> None:
    while window and window[0] <= now - seconds:
        window.popleft()
    if window and window[-1] > now:
        window.clear()  # the clock was set back
