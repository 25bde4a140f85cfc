"""Change data capture: everything that changed since a moment, complete or loudly not.

What lives here: asking by entity groups, splitting when an answer is full (1,000 objects), and
reading deletions. What does not: cursors and landing (``mirror``). https://developer.intuit.com, CDC
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ps_qb_pipeline.errors import BooksUnavailable

FULL = 1000
"""An answer never holds more objects than this."""
REACH_DAYS = 30
"""How far back QuickBooks remembers changes."""


@dataclass(frozen=True, slots=True)
class Change:
    """One changed object. For a deletion ``row`` holds Id, status and MetaData only."""

    entity: str
    row: dict[str, Any]
    deleted: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """All changes found, deletions after the others of their entity.

    ``time`` is QuickBooks' clock at the first answer: the next ``since``, less an overlap. ``full``
    names the entities of which more changed than one answer holds: they must be read by query.
    """

    rows: tuple[Change, ...]
    time: str
    full: tuple[str, ...]
    calls: int


def collect(
    ask: Callable[[Sequence[str], str], Mapping[str, Any]], entities: Sequence[str], since: datetime
) -> Changes:
    """Ask for all entities at once; when the answer is full, for halves of them, down to one.

    Raises ValueError for a naive ``since``: QuickBooks would read it in a zone of its own.
    """
    if since.tzinfo is None:
        raise ValueError(f"{since} has no time zone")
    stamp = since.isoformat(timespec="seconds")
    rows: list[Change] = []
    full: list[str] = []
    first_time = ""
    calls = 0
    waiting: list[Sequence[str]] = [tuple(entities)] if entities else []
    while waiting:
        group = waiting.pop(0)
        answer = ask(group, stamp)
        calls += 1
        first_time = first_time or str(answer.get("time", ""))
        found = list(_read(answer))
        if len(found) < FULL:
            rows.extend(found)
        elif len(group) == 1:
            full.append(group[0])
        else:
            middle = len(group) // 2
            waiting[:0] = [group[:middle], group[middle:]]
    return Changes(tuple(rows), first_time, tuple(full), calls)


def _read(answer: Mapping[str, Any]) -> Iterator[Change]:
    if not isinstance(answer.get("CDCResponse"), list):
        raise BooksUnavailable("the answer holds no CDCResponse; it is asked for again")
    for response in answer["CDCResponse"]:
        for part in response.get("QueryResponse") or ():
            for entity, listed in part.items():
                if isinstance(listed, list):
                    for row in listed:
                        yield Change(entity, row, row.get("status") == "Deleted")
