"""Documents that are kept back, and why.

What lives here: the rows. Posting keeps its own up to date; a person may add and release others. What
does not: holds of the validation gate, which belong to the warehouse and are computed anew each run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from ps_qb_pipeline.state.tables import holds


@dataclass(frozen=True, slots=True)
class Hold:
    """One reason why one source is kept back, with the money that waits. ``source_type`` is a role such as sale or refund."""

    source_type: str
    source_id: str
    code: str
    reason: str
    held_by: str
    amount: Decimal = Decimal(0)
    currency: str = ""
    since: datetime | None = None


def of(tx: Connection, connection: str) -> list[Hold]:
    """All holds of a connection, oldest first."""
    query = select(holds).where(holds.c.connection == connection)
    rows = tx.execute(query.order_by(holds.c.since, holds.c.source_type, holds.c.source_id))
    return [
        Hold(
            row.source_type,
            row.source_id,
            row.code,
            row.reason,
            row.held_by,
            Decimal(row.amount),
            row.currency,
            row.since,
        )
        for row in rows
    ]


def put(tx: Connection, connection: str, hold: Hold, *, now: datetime) -> None:
    """Keep a source back; a hold that stands already keeps its date."""
    where = _where(connection, hold)
    if tx.execute(update(holds).where(where).values(reason=hold.reason, amount=str(hold.amount))).rowcount:
        return
    row = {
        "connection": connection,
        "source_type": hold.source_type,
        "source_id": hold.source_id,
        "code": hold.code,
        "reason": hold.reason,
        "amount": str(hold.amount),
        "currency": hold.currency,
        "held_by": hold.held_by,
        "since": now,
    }
    tx.execute(insert(holds).values(**row))


def release(tx: Connection, connection: str, released: Iterable[Hold]) -> None:
    """Let these go on."""
    for hold in released:
        tx.execute(delete(holds).where(_where(connection, hold)))


def _where(connection: str, hold: Hold) -> ColumnElement[bool]:
    return (
        (holds.c.connection == connection)
        & (holds.c.source_type == hold.source_type)
        & (holds.c.source_id == hold.source_id)
        & (holds.c.code == hold.code)
    )
