"""The nightly second look at what was confirmed.

What lives here: step P6 of the protocol. The change feed names what was touched; each touched document
of ours is compared with what we wrote. What does not: repairing anything: a person's change stays, and
reconciliation reports it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Engine

from ps_qb_pipeline.posting import echo
from ps_qb_pipeline.posting.ports import BooksPort, Row
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.intents import GONE, VOIDED, Intent

ENTITIES = ("SalesReceipt", "Invoice", "Payment", "RefundReceipt", "CreditMemo", "JournalEntry")
REACH = timedelta(days=29)
"""The feed reaches back thirty days."""


@dataclass(slots=True)
class Recheck:
    """What the second look found, by document key; ``duplicates`` maps a key to all of its ids."""

    looked_at: int = 0
    untouched: int = 0
    edited: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    voided: list[str] = field(default_factory=list)
    duplicates: dict[str, list[str]] = field(default_factory=dict)


def recheck(
    store: Engine,
    connection: str,
    *,
    books: BooksPort,
    run_id: str,
    clock: Clock | None = None,
    reach: timedelta = REACH,
) -> Recheck:
    """Compare everything of ours that was touched in the books lately with what we wrote.

    What a person deleted or voided is marked so and never written again. Two documents of one key are
    a duplicate: nothing prevents one where QuickBooks commits later than any window, but this finds it.
    """
    clock = clock or SystemClock()
    known = Connections(store).get(connection)
    result = Recheck()
    if known is None:
        return result
    changed = books.cdc(list(ENTITIES), clock.now() - reach)
    for entity in ENTITIES:
        rows = {str(row["Id"]): row for row in changed.get(entity, [])}
        with reading(store) as tx:
            ours = intents.newest_with_id(tx, known.realm, entity, rows)
        for qbo_id, row in sorted(rows.items()):
            intent = ours.get(qbo_id)
            if intent is None:
                continue
            result.looked_at += 1
            _compare(store, intent, row, result, run_id=run_id, clock=clock)
        _duplicates(ours, rows, result)
    return result


def _compare(store: Engine, intent: Intent, row: Row, result: Recheck, *, run_id: str, clock: Clock) -> None:
    if row.get("status") == "Deleted":
        result.deleted.append(intent.key)
        _close(store, intent, GONE, run_id=run_id, clock=clock)
    elif echo.is_void(row):
        result.voided.append(intent.key)
        _close(store, intent, VOIDED, run_id=run_id, clock=clock)
    elif intent.echoed_sha and echo.content_sha(row) != intent.echoed_sha:
        result.edited.append(intent.key)
    else:
        result.untouched += 1


def _close(store: Engine, intent: Intent, to: str, *, run_id: str, clock: Clock) -> None:
    with writing(store) as tx:
        intents.move(tx, intent, to, now=clock.now(), run_id=run_id, reason="by a person")


def _duplicates(ours: dict[str, Intent], rows: dict[str, Row], result: Recheck) -> None:
    by_identity: dict[object, list[str]] = {}
    for qbo_id, row in rows.items():
        mark = echo.identity(row.get("PrivateNote"))
        if mark and row.get("status") != "Deleted" and not echo.is_void(row):
            by_identity.setdefault(mark, []).append(qbo_id)
    for ids in by_identity.values():
        keys = [ours[qbo_id].key for qbo_id in ids if qbo_id in ours]
        if len(ids) > 1 and keys:
            result.duplicates[keys[0]] = sorted(ids)
