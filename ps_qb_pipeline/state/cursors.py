"""How far each source has been read.

What lives here: one small value a connection and resource, moved only after the rows that it covers
are on disk. What does not: what a value means (the reader of the resource knows).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update

from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.tables import cursors


class Cursors:
    """The positions of all readers of one control plane."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def get(self, connection: str, resource: str) -> dict[str, Any] | None:
        """The last committed value, or None before the first."""
        query = select(cursors.c.value).where(
            cursors.c.connection == connection, cursors.c.resource == resource
        )
        with reading(self._engine) as tx:
            value = tx.execute(query).scalar_one_or_none()
        return None if value is None else dict(json.loads(value))

    def moved_at(self, connection: str) -> dict[str, datetime]:
        """When each of the connection's positions was committed last: how fresh what was read is."""
        query = select(cursors.c.resource, cursors.c.updated_at).where(cursors.c.connection == connection)
        with reading(self._engine) as tx:
            return {row.resource: row.updated_at for row in tx.execute(query)}

    def commit(self, connection: str, resource: str, value: dict[str, Any]) -> None:
        """Keep ``value`` (JSON) for good. Call it after the rows before it have been landed, never earlier."""
        where = (cursors.c.connection == connection) & (cursors.c.resource == resource)
        row = {"value": json.dumps(value, sort_keys=True), "updated_at": self._clock.now()}
        with writing(self._engine) as tx:
            if not tx.execute(update(cursors).where(where).values(**row)).rowcount:
                tx.execute(insert(cursors).values(connection=connection, resource=resource, **row))

    def forget(self, connection: str, resource: str | None = None) -> None:
        """Begin again: drop one position, or all of the connection's."""
        where = cursors.c.connection == connection
        if resource is not None:
            where &= cursors.c.resource == resource
        with writing(self._engine) as tx:
            tx.execute(delete(cursors).where(where))
