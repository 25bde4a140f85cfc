"""The time, as something that can be handed in.

What lives here: the port and its real implementation. What does not: any use of it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Wall time for what people read, monotonic time for what must not be fooled by a changed clock."""

    @property
    def boot(self) -> str:
        """Names the span of time within which ``monotonic`` values may be compared."""
        ...

    def now(self) -> datetime:
        """The wall time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an unknown moment of this boot; never runs backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        ...


class SystemClock:
    """The time of this machine."""

    @cached_property
    def boot(self) -> str:
        """The boot's own id where the kernel tells one: then two processes may compare their timers."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return f"process-{time.time_ns()}"

    def now(self) -> datetime:
        """The wall time, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an unknown moment of this boot."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        time.sleep(max(0.0, seconds))
