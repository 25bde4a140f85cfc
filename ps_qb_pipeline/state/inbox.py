"""The inbox: hints that something changed, each taken in once.

What lives here: receiving (the rows are on disk before their senders get an answer), claiming what is
open for a run, ticking it off. What does not: checking signatures (``gateway``) and believing a hint:
whoever handles one reads the object anew from its system.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.tables import inbox

CHUNK = 400
"""How many numbers one statement names."""
APART = 3
"""A hint that so many runs have begun and none has ended is handled by itself."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A hint as it came: ``event_id`` is its sender's, unique within ``source``."""

    source: str
    event_id: str
    connection: str
    hint: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One hint. ``hint`` names kind and id of what changed; it holds no data of the object.

    ``tries`` counts the runs that have begun to handle it.
    """

    seq: int
    source: str
    event_id: str
    connection: str
    hint: dict[str, Any]
    received_at: datetime
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Depth:
    """What nobody has handled yet: how many hints, the first and last of them, since when."""

    count: int = 0
    first: int = 0
    last: int = 0
    oldest: datetime | None = None


class Inbox:
    """The inbox of one control plane."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()
        # Postgres and SQLite say the same in the same words.
        insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        self._insert = insert(inbox).on_conflict_do_nothing(index_elements=["source", "event_id"])

    def receive(self, source: str, event_id: str, *, connection: str, hint: Mapping[str, Any]) -> bool:
        """Take a hint in; False when it is known already. On disk when this returns."""
        return self.receive_all([Arrival(source, event_id, connection, hint)]) == 1

    def receive_all(self, arrivals: Sequence[Arrival]) -> int:
        """Take many hints in with one commit, and say how many were new. On disk when this returns."""
        if not arrivals:
            return 0
        now = self._clock.now()
        rows = [
            {
                "source": one.source,
                "event_id": one.event_id,
                "connection": one.connection,
                "hint": json.dumps(one.hint, sort_keys=True),
                "received_at": now,
            }
            for one in arrivals
        ]
        with writing(self._engine) as tx:
            before = _last(tx)
            tx.execute(self._insert, rows)
            return _count_after(tx, before)

    def waiting(self, connection: str, *, source: str | None = None, limit: int = 500) -> list[Event]:
        """Hints that nobody has handled yet, in the order of their arrival; of one source, or of all."""
        query = select(inbox).where(_open(connection, source)).order_by(inbox.c.seq).limit(limit)
        with reading(self._engine) as tx:
            return [_event(row) for row in tx.execute(query)]

    def depth(self, connection: str, *, source: str | None = None) -> Depth:
        """How much waits, without reading it."""
        query = select(
            func.count(), func.min(inbox.c.seq), func.max(inbox.c.seq), func.min(inbox.c.received_at)
        ).where(_open(connection, source))
        with reading(self._engine) as tx:
            count, first, last, oldest = tx.execute(query).one()
        return Depth(count, first or 0, last or 0, oldest)

    def claim(self, connection: str, *, by: str, source: str | None = None, limit: int = 500) -> list[Event]:
        """The hints that wait, marked as begun by the run ``by``.

        A claim keeps nobody out: a hint is open until it is ticked off, and handling one twice changes
        nothing. It says who was at it, and how often that was begun. A hint that was begun ``APART`` times
        already may be what makes runs fail: such ones come when no other waits, one by one.
        """
        events = self.waiting(connection, source=source, limit=limit)
        events = [event for event in events if event.tries < APART] or events[:1]
        self._begun(events, tries=inbox.c.tries + 1, claimed_by=by)
        return events

    def give_back(self, events: Iterable[Event]) -> None:
        """What stopped the run had nothing to do with these hints: that they were begun does not count."""
        self._begun(events, tries=inbox.c.tries - 1, claimed_by="")

    def _begun(self, events: Iterable[Event], **values: Any) -> None:
        with writing(self._engine) as tx:
            for numbers in _numbers(list(events)):
                tx.execute(update(inbox).where(inbox.c.seq.in_(numbers)).values(**values))

    def handled(self, events: Iterable[Event]) -> None:
        """Tick these off. Call it after what they hinted at has been read and landed, never earlier."""
        now = self._clock.now()
        with writing(self._engine) as tx:
            for numbers in _numbers(list(events)):
                tx.execute(update(inbox).where(inbox.c.seq.in_(numbers)).values(handled_at=now))

    def forget(self, before: datetime) -> int:
        """Delete what was handled before then; a replay that is older still only leads to a reading."""
        with writing(self._engine) as tx:
            return tx.execute(delete(inbox).where(inbox.c.handled_at < before)).rowcount


class Bell:
    """Says cheaply whether anything at all was written to the control plane since it was asked last.

    For whoever looks several times a second. Where the database cannot say, it always rings.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Any = None
        self._seen: int | None = None

    def rang(self) -> bool:
        """True at first, and after any commit of any process."""
        if self._engine.dialect.name != "sqlite":
            return True
        if self._connection is None:
            self._connection = self._engine.raw_connection()
        # SQLite's own counter, of what others have committed: a look at shared memory, no reading of tables.
        version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        rang, self._seen = version != self._seen, version
        return rang


def _open(connection: str, source: str | None) -> Any:
    where = (inbox.c.connection == connection) & inbox.c.handled_at.is_(None)
    return where if source is None else where & (inbox.c.source == source)


def _event(row: Any) -> Event:
    return Event(
        row.seq, row.source, row.event_id, row.connection, json.loads(row.hint), row.received_at, row.tries
    )


def _numbers(events: Sequence[Event]) -> Iterable[list[int]]:
    numbers = [event.seq for event in events]
    return (numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK))


def _last(tx: Any) -> int:
    return int(tx.execute(select(func.max(inbox.c.seq))).scalar_one() or 0)


def _count_after(tx: Any, seq: int) -> int:
    return int(tx.execute(select(func.count()).where(inbox.c.seq > seq)).scalar_one())
