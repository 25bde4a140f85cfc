"""Driving a wave of intents until each is decided or nothing more can be done now.

What lives here: the loop over what is due, singles for one and batches for a backlog, the waiting that
patience allows, and one look-up for what got lost on the way. What does not: a single request
(``sending``) and a single look-up (``settling``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
        left = _whole(worker, [one.key for one in _now(worker, listed) if one.state in IN_FLIGHT])
        if left:
            settle(worker, left)
        if worker.outage or not _wait(worker, listed):
            return


def _now(worker: Worker, keys: Sequence[str]) -> list[Intent]:
    """These intents as they stand, without their bodies, in the order of their keys."""
    with reading(worker.engine) as tx:
        found = intents.load(tx, worker.realm, keys, bodies=False)
    return [found[key] for key in sorted(found)]


def _whole(worker: Worker, keys: Sequence[str]) -> list[Intent]:
    with reading(worker.engine) as tx:
        return list(intents.load(tx, worker.realm, keys).values())


def _send_due(worker: Worker, keys: Sequence[str]) -> None:
    """One pass over everything planned and due; a pause that QuickBooks asked for ends it.

    Several requests are under way at the same time where pace allows it. Each is recorded as sent, by
    itself, right before it leaves, so that a killed process leaves no more in doubt than was under way.
    """
    due = deque(one.key for one in _now(worker, keys) if one.state == PLANNED and _due(worker, one))

    def lane() -> None:
        try:
            while group := _next_group(worker, due):
                send(worker, group)
        except BaseException:
            # The other lanes end with their present request.
            due.clear()
            raise

    lanes = min(worker.pace.lanes, -(-len(due) // worker.batch))
    if lanes <= 1:
        lane()
        return
    with ThreadPoolExecutor(lanes, thread_name_prefix="posting") as pool:
        for ended in [pool.submit(lane) for _ in range(lanes)]:
            ended.result()


def _next_group(worker: Worker, due: deque[str]) -> list[Intent]:
    """The next that are still planned: another worker may have sent some of them since they were listed."""
    with worker.lock:
        while due:
            worker.alive()
            if worker.outage or _paused(worker):
                break
            listed = _whole(worker, [due.popleft() for _ in range(min(worker.batch, len(due)))])
            planned = [one for one in listed if one.state == PLANNED and _due(worker, one)]
            if planned:
                return planned
    return []


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
    now = worker.clock.now()
    waits: list[float] = []
    for intent in _now(worker, keys):
        if intent.state == PLANNED:
            until = max(filter(None, (intent.not_before, worker.paused_until)), default=now)
            waits.append((until - now).total_seconds())
        elif intent.state in IN_FLIGHT:
            waits.append(max(worker.pace.window - worker.since_sent(intent), _LOOK))
    if not waits:
        return False
    return worker.wait(max(min(waits), 0.1))
