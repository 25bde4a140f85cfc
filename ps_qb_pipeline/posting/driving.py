"""Driving a wave of intents until each is decided or nothing more can be done now.

What lives here: the loop over what is due, singles for one and batches for a backlog, the waiting that
patience allows, and one look-up for what got lost on the way. What does not: a single request
(``sending``) and a single look-up (``settling``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from ps_qb_pipeline.posting.sending import send
from ps_qb_pipeline.posting.settling import settle
from ps_qb_pipeline.posting.worker import Worker
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline.state.intents import IN_FLIGHT, PLANNED, Intent

_LOOK = 5.0


def drive(worker: Worker, keys: Iterable[str]) -> None:
    """Send what is planned among these keys, then settle what was lost, as far as patience goes."""
    listed = list(keys)
    while not worker.outage:
        _send_due(worker, listed)
        left = _in_states(worker, listed, IN_FLIGHT)
        if left:
            settle(worker, left)
        if worker.outage or not _wait(worker, listed):
            return


def _in_states(worker: Worker, keys: Sequence[str], states: frozenset[str]) -> list[Intent]:
    with reading(worker.engine) as tx:
        found = intents.load(tx, worker.realm, keys)
    return [found[key] for key in sorted(found) if found[key].state in states]


def _send_due(worker: Worker, keys: Sequence[str]) -> None:
    """One pass over everything planned and due; a pause that QuickBooks asked for ends it."""
    due = [one for one in _in_states(worker, keys, frozenset({PLANNED})) if _due(worker, one)]
    while due and not worker.outage and not _paused(worker):
        group = _next_group(due, worker.batch)
        due = due[len(group) :]
        send(worker, group)
        worker.alive()


def _next_group(due: Sequence[Intent], limit: int) -> list[Intent]:
    return list(due[:limit])


def _due(worker: Worker, intent: Intent) -> bool:
    now = worker.clock.now()
    if not worker.may_take(intent):
        return False
    # Nobody asks for a pause of this length: the clock that stamped it ran ahead.
    far = timedelta(minutes=15)
    return intent.not_before is None or intent.not_before <= now or intent.not_before > now + far


def _paused(worker: Worker) -> bool:
    return worker.paused_until is not None and worker.clock.now() < worker.paused_until


def _wait(worker: Worker, keys: Sequence[str]) -> bool:
    """Wait for the next thing that can be done; False when nothing can, or patience ends."""
    with reading(worker.engine) as tx:
        found = intents.load(tx, worker.realm, keys)
    now = worker.clock.now()
    waits: list[float] = []
    for intent in found.values():
        if intent.state == PLANNED:
            until = max(filter(None, (intent.not_before, worker.paused_until)), default=now)
            waits.append((until - now).total_seconds())
        elif intent.state in IN_FLIGHT:
            waits.append(max(worker.pace.window - worker.since_sent(intent), _LOOK))
    if not waits:
        return False
    return worker.wait(max(min(waits), 0.1))
