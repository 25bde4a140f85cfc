"""How far each resource has been read, and from when to read next.

What lives here: the form of a cursor and the arithmetic of windows in shop-local time. What does not: where
cursors are kept (a ``CursorStore`` is handed in) and what is read between them (``extract``).

The shop stamps rows with wall time, without an offset. In autumn one hour of it happens twice, so a window
that begins "fifteen minutes before the last one" in wall time would miss an hour. Windows are therefore kept
as instants of the shop's own clock, and turned into the earliest wall time that any moment since can carry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

OVERLAP = timedelta(minutes=15)
"""How much of the last window is read again: for transactions that commit late and clocks that differ."""
ID_OVERLAP = 50
"""How many of the last ids are read again: an id can become visible after a higher one."""
_LOOK_AHEAD = timedelta(hours=3)
_STEP = timedelta(minutes=5)
_UNKNOWN_ZONE_OVERLAP = timedelta(hours=26)


class CursorStore(Protocol):
    """Where cursors are kept, for one connection. ``commit`` is durable when it returns."""

    def get(self, resource: str) -> dict[str, Any] | None:
        """The cursor last committed for ``resource``."""

    def commit(self, resource: str, value: dict[str, Any]) -> None:
        """Replaces the cursor of ``resource``. The value is plain JSON."""


@dataclass(slots=True)
class MemoryCursors:
    """Cursors that are forgotten with the process."""

    values: dict[str, dict[str, Any]] = field(default_factory=dict)

    def get(self, resource: str) -> dict[str, Any] | None:
        """The cursor last committed for ``resource``."""
        return self.values.get(resource)

    def commit(self, resource: str, value: dict[str, Any]) -> None:
        """Replaces the cursor of ``resource``."""
        self.values[resource] = value


def zone(name: str) -> tzinfo | None:
    """The time zone ``name`` (PS_TIMEZONE), or None if this machine does not know it."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def window_start(epoch: float, shop_zone: tzinfo | None, *, overlap: timedelta = OVERLAP) -> datetime:
    """The earliest wall time that a row changed at or after ``epoch`` minus ``overlap`` can carry.

    ``epoch`` is an instant of the shop's clock in Unix seconds; the result is naive, shop-local.
    """
    if shop_zone is None:
        return (datetime.fromtimestamp(epoch, UTC) - overlap - _UNKNOWN_ZONE_OVERLAP).replace(
            tzinfo=None, microsecond=0
        )
    first = datetime.fromtimestamp(epoch, UTC) - overlap
    steps = range(int(_LOOK_AHEAD / _STEP) + 1)
    walls = [(first + step * _STEP).astimezone(shop_zone).replace(tzinfo=None) for step in steps]
    earliest = min(walls)
    margin = _STEP if earliest != walls[0] else timedelta()
    return (earliest - margin).replace(microsecond=0)


def wall_time(epoch: float, shop_zone: tzinfo | None) -> datetime:
    """The shop's wall time at ``epoch``, naive; UTC if the zone is unknown."""
    return datetime.fromtimestamp(epoch, shop_zone or UTC).replace(tzinfo=None)
