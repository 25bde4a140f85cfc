"""Safeguards switched off one at a time: the simulator must notice each, or it proves nothing.

Each entry is a context manager around a day that takes one safeguard of the real code away, and the
climate in which its absence shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from sqlalchemy import insert, select, text

from ps_qb_pipeline.posting import echo, sending
from ps_qb_pipeline.posting.worker import Worker
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.database import writing
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline.state.intents import SENT, Intent
from ps_qb_pipeline.state.tables import inbox
from ps_qb_pipeline_tests.faults.climate import Climate
from ps_qb_pipeline_tests.faults.day import Day


@contextmanager
def intent_before_send(_day: Day) -> Iterator[None]:
    """The request leaves first; that it was sent is written down with its outcome."""
    record = sending._record

    def unrecorded(worker: Worker, chosen: Sequence[Intent]) -> list[Intent]:
        by = worker.claim()
        changes = {
            "first_sent_at": by.now,
            "last_sent_at": by.now,
            "sent_boot": worker.clock.boot,
            "sent_monotonic": worker.clock.monotonic(),
        }
        ordered = sorted(chosen, key=lambda one: one.key)
        return [intents._with(one, {**changes, "attempts": one.attempts + 1}) for one in ordered]

    def late(worker: Worker, sent: Sequence[Intent], verdicts: Any, left: Any) -> list[Intent]:
        marked: list[Intent] = []
        with writing(worker.engine) as tx:
            for intent in sent:
                fields = ("first_sent_at", "last_sent_at", "sent_boot", "sent_monotonic", "attempts")
                changes = {name: getattr(intent, name) for name in fields}
                now = worker.clock.now()
                moved = intents.move(tx, intent, SENT, now=now, run_id=worker.run_id, changes=changes)
                marked.extend([moved] if moved is not None else [])
        return record(worker, marked, verdicts, left)

    with patch.object(sending, "_record_sending", unrecorded), patch.object(sending, "_record", late):
        yield


@contextmanager
def settle_window(day: Day) -> Iterator[None]:
    """What a look-up does not find is sent again at once."""
    day.settle = False
    yield


@contextmanager
def compare_and_set(_day: Day) -> Iterator[None]:
    """Any worker may take and move any intent, whoever has it."""

    def stored(tx: Any, known: Sequence[Intent]) -> dict[str, Any]:
        rows = tx.execute(
            select(intents.intents).where(intents.intents.c.key.in_([one.key for one in known]))
        )
        return {row.key: row for row in rows}

    def claim_many(_tx: Any, chosen: Sequence[Intent], by: Any) -> list[Intent]:
        return [intents._with(one, {"owner": by.owner, "lease_until": by.lease_until}) for one in chosen]

    with ExitStack() as stack:
        stack.enter_context(patch.object(intents, "_unmoved", stored))
        stack.enter_context(patch.object(intents, "claim_many", claim_many))
        stack.enter_context(patch.object(Worker, "may_take", lambda *_: True))
        yield


@contextmanager
def inbox_dedupe(day: Day) -> Iterator[None]:
    """Every delivery of a hint is taken in, also the second."""
    with writing(day.quiet) as tx:
        tx.execute(text("drop index uq_inbox_event"))

    def receive(box: Inbox, source: str, event_id: str, *, connection: str, hint: Any) -> bool:
        row = {
            "source": source,
            "event_id": event_id,
            "connection": connection,
            "hint": str(hint).replace("'", '"'),
            "received_at": box._clock.now(),
        }
        with writing(box._engine) as tx:
            tx.execute(insert(inbox).values(**row))
        return True

    with patch.object(Inbox, "receive", receive):
        yield


@contextmanager
def write_ahead_token(day: Day) -> Iterator[None]:
    """A new refresh token is used from memory and never written down in time."""
    day.volatile_tokens = True
    yield


@contextmanager
def echo_compare(_day: Day) -> Iterator[None]:
    """A 200 is taken for success, whatever QuickBooks stored."""
    with patch.object(echo, "differences", lambda _intent, _row: ()):
        yield


@contextmanager
def cursor_after_rows(day: Day) -> Iterator[None]:
    """The position moves before the rows are landed."""
    day.cursor_first = True
    yield


@contextmanager
def three_way_compare(_day: Day) -> Iterator[None]:
    """An update overwrites whatever stands there."""
    with patch.object(echo, "content_sha", lambda _row: "same"):
        yield


STORM = Climate(writes=0.4, reads=0.1, kill=0.004, pause=0.01)
CALM = Climate()

Sabotage = Callable[[Day], AbstractContextManager[None]]
SAFEGUARDS: dict[str, tuple[Sabotage, Climate]] = {
    "intent before send": (intent_before_send, replace(CALM, kill=0.03)),
    "settle window": (settle_window, STORM),
    "compare-and-set": (compare_and_set, replace(STORM, two=1.0, pause=0.03)),
    "inbox dedupe": (inbox_dedupe, CALM),
    "write-ahead token": (write_ahead_token, replace(CALM, kill=0.005)),
    "echo compare": (echo_compare, CALM),
    "cursor after rows": (cursor_after_rows, replace(CALM, kill=0.01)),
    "three-way compare": (three_way_compare, replace(CALM, hands=40)),
}
"""Safeguard to how it is taken away, and the weather in which that shows."""
