"""What a person was told, and what is on its way to them.

What lives here: the troubles that are remembered, replaced in one transaction with the messages that
follow from them, and the sending of those, each by one process at a time. What does not: deciding what to
say (``orchestration.alerts``) and the channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.tables import notices, outbox

TAKEN = timedelta(minutes=2)
"""How long a message belongs to the process that sends it."""
GIVEN_UP = timedelta(hours=24)
"""A message that found no way for this long is no news any more."""

Row = Mapping[str, Any]
Decide = Callable[[Sequence[Row]], tuple[Iterable[Row], Iterable[Row]]]
"""From the remembered troubles to those to remember instead, and the messages for the outbox."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message for one channel."""

    id: int
    channel: str
    kind: str
    key: str
    title: str
    text: str
    created_at: datetime
    attempts: int


def change(engine: Engine, connection: str, decide: Decide, *, now: datetime) -> int:
    """Let ``decide`` see what is remembered and replace it, alone among all processes; counts the messages.

    Memory and messages are one transaction: nothing is told twice, and nothing that was decided is lost.
    """
    with writing(engine) as tx:
        remembered = _remembered(tx, connection)
        kept, messages = decide(remembered)
        tx.execute(delete(notices).where(notices.c.connection == connection))
        rows = [{**row, "connection": connection} for row in kept]
        if rows:
            tx.execute(insert(notices), rows)
        letters = [{**row, "connection": connection, "created_at": now} for row in messages]
        if letters:
            tx.execute(insert(outbox), letters)
    return len(letters)


def remembered(engine: Engine, connection: str) -> list[Row]:
    """The troubles that are remembered."""
    with reading(engine) as tx:
        return _remembered(tx, connection)


def _remembered(tx: Connection, connection: str) -> list[Row]:
    query = select(notices).where(notices.c.connection == connection).order_by(notices.c.key)
    rows = tx.execute(query).mappings().all()
    return [{name: value for name, value in row.items() if name != "connection"} for row in rows]


def deliver(
    engine: Engine, connection: str, send: Callable[[Letter], str], *, now: datetime
) -> dict[int, str]:
    """Send what waits, oldest first; ``send`` gives an empty text or says why it did not work.

    What did not work is tried again with the next call, for a day. Gives the failures by message.
    """
    failed: dict[int, str] = {}
    for letter in _waiting(engine, connection, now):
        if not _take(engine, letter, now):
            continue
        error = send(letter)
        with writing(engine) as tx:
            done = {"sent_at": now, "error": ""} if not error else {"taken_until": None, "error": error[:500]}
            tx.execute(update(outbox).where(outbox.c.id == letter.id).values(**done))
        if error:
            failed[letter.id] = error
    return failed


def _waiting(engine: Engine, connection: str, now: datetime) -> list[Letter]:
    query = (
        select(outbox)
        .where(
            outbox.c.connection == connection,
            outbox.c.sent_at.is_(None),
            outbox.c.created_at > now - GIVEN_UP,
        )
        .order_by(outbox.c.id)
    )
    with reading(engine) as tx:
        return [
            Letter(row.id, row.channel, row.kind, row.key, row.title, row.text, row.created_at, row.attempts)
            for row in tx.execute(query)
        ]


def _take(engine: Engine, letter: Letter, now: datetime) -> bool:
    free = outbox.c.taken_until.is_(None) | (outbox.c.taken_until < now)
    claim = update(outbox).where(outbox.c.id == letter.id, outbox.c.sent_at.is_(None), free)
    with writing(engine) as tx:
        return tx.execute(claim.values(taken_until=now + TAKEN, attempts=outbox.c.attempts + 1)).rowcount == 1


def forget(engine: Engine, before: datetime) -> int:
    """Delete the messages of before then, sent or given up."""
    with writing(engine) as tx:
        return tx.execute(delete(outbox).where(outbox.c.created_at < before)).rowcount
