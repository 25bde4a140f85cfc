"""The inbox: hints that something changed, each taken in once.

What lives here: receiving (the row is on disk before the sender gets its answer), reading what is open
and ticking it off. What does not: checking signatures (``gateway``) and believing a hint: whoever
handles one reads the object anew from its system.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, insert, select, update

from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.tables import inbox


@dataclass(frozen=True, slots=True)
class Event:
    """One hint. ``hint`` names kind and id of what changed; it holds no data of the object."""

    seq: int
    source: str
    event_id: str
    connection: str
    hint: dict[str, Any]
    received_at: datetime


class Inbox:
    """The inbox of one control plane."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def receive(self, source: str, event_id: str, *, connection: str, hint: Mapping[str, Any]) -> bool:
        """Take a hint in; False when it is known already. On disk when this returns."""
        row = {
            "source": source,
            "event_id": event_id,
            "connection": connection,
            "hint": json.dumps(hint, sort_keys=True),
            "received_at": self._clock.now(),
        }
        known = select(inbox.c.seq).where(inbox.c.source == source, inbox.c.event_id == event_id)
        with writing(self._engine) as tx:
            if tx.execute(known).first() is not None:
                return False
            tx.execute(insert(inbox).values(**row))
        return True

    def waiting(self, connection: str, *, limit: int = 500) -> list[Event]:
        """Hints that nobody has handled yet, in the order of their arrival."""
        query = select(inbox).where(inbox.c.connection == connection, inbox.c.handled_at.is_(None))
        with reading(self._engine) as tx:
            rows = tx.execute(query.order_by(inbox.c.seq).limit(limit)).all()
        return [
            Event(row.seq, row.source, row.event_id, row.connection, json.loads(row.hint), row.received_at)
            for row in rows
        ]

    def handled(self, events: Iterable[Event]) -> None:
        """Tick these off. Call it after what they hinted at has been read and landed, never earlier."""
        now = self._clock.now()
        numbers = [event.seq for event in events]
        with writing(self._engine) as tx:
            for start in range(0, len(numbers), 400):
                chunk = numbers[start : start + 400]
                tx.execute(update(inbox).where(inbox.c.seq.in_(chunk)).values(handled_at=now))
