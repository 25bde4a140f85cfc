"""Sending intents and recording what became of them.

What lives here: steps P1 to P4 of the protocol. An intent is SENT on disk before the first byte of it
leaves; an answer moves it on; whatever is no clear answer makes it UNKNOWN, which only a look-up ends
(``settling``). Nothing here ever tries a write a second time.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from ps_qb_pipeline.errors import (
    BooksError,
    BooksFault,
    BooksNotSent,
    BooksThrottled,
    Fault,
    IntegrityError,
    PipelineError,
    ReconnectNeeded,
)
from ps_qb_pipeline.posting import echo
from ps_qb_pipeline.posting.ports import Row, entity_of
from ps_qb_pipeline.posting.worker import Worker
from ps_qb_pipeline.quickbooks import faults
from ps_qb_pipeline.quickbooks.answers import Reply
from ps_qb_pipeline.quickbooks.batch import BatchItem
from ps_qb_pipeline.state import identities, intents
from ps_qb_pipeline.state.audit import AuditEntry
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.identities import Identity
from ps_qb_pipeline.state.intents import (
    CONFIRMED,
    MISMATCH,
    NO_FAULT,
    PLANNED,
    REJECTED,
    SENT,
    UNKNOWN,
    Intent,
    Move,
)

NOT_SENT_PAUSE = 5.0
ADOPTED = "adopted"


class _LeaseLost(PipelineError):
    """The lease ended between the record and the sending: nothing may leave any more."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where an intent goes and what is recorded with it."""

    state: str
    reason: str
    changes: Mapping[str, Any]


def batch_requestid(sent: Sequence[Intent]) -> str:
    """The idempotency key of a batch: the same items in the same order give the same 32 characters."""
    text = "|".join(intent.requestid for intent in sent)
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:32]


def send(worker: Worker, chosen: Sequence[Intent]) -> list[Intent]:
    """Send these intents (PLANNED, or UNKNOWN and settled) in one request and record the outcome.

    Returns the intents as they stand afterwards; those that another worker took are missing. Raises
    ReconnectNeeded and what a stopped company demands, after recording that nothing was written.
    """
    # The lease runs from before the record of it: however long the commit took, others may act at its end.
    deadline = worker.clock.monotonic() + worker.pace.lease
    left: list[float] = []
    with worker.lock:
        sent = _record_sending(worker, chosen)
        worker.requests += bool(sent)
    if not sent:
        return []
    worker.step("sent.recorded")

    def before_send() -> None:
        worker.step("before.send")
        with worker.lock, reading(worker.engine) as tx:
            if not intents.are_unmoved(tx, sent):
                raise _LeaseLost("another worker has taken over while this one waited to send")
        left.append(worker.clock.monotonic())
        if left[-1] >= deadline:
            raise _LeaseLost("the lease ended while waiting to send")

    try:
        outcomes = _ask(worker, sent, before_send)
    except (_LeaseLost, BooksError) as error:
        with worker.lock:
            verdicts = _without_answer(worker, sent, error)
            moved = _record(worker, sent, verdicts, left)
        if isinstance(error, ReconnectNeeded):
            raise
        return moved
    worker.step("answered")
    with worker.lock:
        worker.failures = 0
        verdicts = {one.key: judge(worker, one, outcomes.get(one.key)) for one in sent}
        return _record(worker, sent, verdicts, left)


def _without_answer(
    worker: Worker, sent: Sequence[Intent], error: _LeaseLost | BooksError
) -> dict[str, Verdict]:
    """What a request means for its intents when it ended in an error instead of an answer."""
    match error:
        case BooksFault():
            return _refused_request(worker, sent, error.fault)
        case BooksThrottled():
            worker.paused_until = worker.clock.now() + timedelta(seconds=error.retry_after)
            verdict = _not_sent(worker, "throttled", error.retry_after)
        case BooksNotSent():
            worker.failed("QuickBooks cannot be reached")
            verdict = _not_sent(worker, "not sent", NOT_SENT_PAUSE)
        case ReconnectNeeded():
            worker.outage = "QuickBooks must be connected again"
            verdict = _not_sent(worker, "reconnect needed", 0.0)
        case _LeaseLost():
            verdict = _not_sent(worker, "lease ended", 0.0)
        case _:
            worker.step("answer.lost")
            worker.failed("QuickBooks does not answer")
            tid = str(error.facts.get("intuit_tid", ""))
            verdict = Verdict(UNKNOWN, "outcome unknown", {"intuit_tid": tid})
    return dict.fromkeys(_keys(sent), verdict)


def _keys(sent: Sequence[Intent]) -> list[str]:
    return [intent.key for intent in sent]


def doubt(worker: Worker, keys: Sequence[str]) -> list[Intent]:
    """Take these planned creations for sent with an unknown outcome: something says that they are in the books."""
    by = worker.claim()
    sent = {
        "first_sent_at": by.now,
        "last_sent_at": by.now,
        "sent_boot": worker.clock.boot,
        "sent_monotonic": worker.clock.monotonic(),
        "attempts": 1,
    }
    with worker.lock, writing(worker.engine) as tx:
        planned = [one for one in intents.load(tx, worker.realm, keys).values() if one.state == PLANNED]
        moves = [
            Move(one, SENT, "the books hold its key", {**sent, "sent_in": one.requestid})
            for one in intents.claim_many(tx, planned, by)
        ]
        return intents.move_many(tx, moves, now=by.now, run_id=worker.run_id)


def _record_sending(worker: Worker, chosen: Sequence[Intent]) -> list[Intent]:
    """P1 and P2: claim, mark as SENT and commit. From here on the intents may be in the books."""
    by = worker.claim()
    # A batch keeps the order of the keys: sent again whole, it has the same request id.
    ordered = sorted(chosen, key=lambda one: one.key)
    for intent in ordered:
        if intents.sha(intent.body) != intent.body_sha:
            raise IntegrityError(f"the body of intent {intent.key} is not the one that was planned")
    group = batch_requestid(ordered) if len(ordered) > 1 else ""
    sending = {
        "last_sent_at": by.now,
        "sent_boot": worker.clock.boot,
        "sent_monotonic": worker.clock.monotonic(),
        "sightings": "{}",
        "not_before": None,
        **NO_FAULT,
    }
    with writing(worker.engine) as tx:
        claimed = intents.claim_many(tx, [one for one in ordered if worker.may_take(one)], by)
        moves = [
            Move(
                one,
                SENT,
                changes={
                    **sending,
                    "first_sent_at": one.first_sent_at or by.now,
                    "sent_in": group or one.requestid,
                    "attempts": one.attempts + 1,
                },
            )
            for one in claimed
        ]
        return intents.move_many(tx, moves, now=by.now, run_id=worker.run_id)


def _ask(worker: Worker, sent: Sequence[Intent], before_send: Callable[[], None]) -> dict[str, Reply | Fault]:
    """P3: one request, one outcome for every intent that the answer speaks of."""
    books = worker.books
    if len(sent) == 1:
        intent = sent[0]
        reply: Reply
        if intent.operation == "create":
            reply = books.create(intent.entity, intent.body, intent.requestid, before_send=before_send)
        elif intent.operation == "void":
            reply = books.void(
                intent.entity, intent.target_id, intent.sync_token, intent.requestid, before_send=before_send
            )
        else:
            reply = books.update(intent.entity, intent.body, intent.requestid, before_send=before_send)
        return {intent.key: reply}
    by_bid = {f"i{number}": intent for number, intent in enumerate(sent)}
    items = [_item(bid, intent) for bid, intent in by_bid.items()]
    answers = books.batch(items, batch_requestid(sent), before_send=before_send)
    return {by_bid[bid].key: outcome for bid, outcome in answers.items() if bid in by_bid}


def _item(bid: str, intent: Intent) -> BatchItem:
    operation = "create" if intent.operation == "create" else "update"
    return BatchItem(bid, operation, intent.entity, intent.body, "void" if intent.operation == "void" else "")


def _not_sent(worker: Worker, reason: str, pause: float) -> Verdict:
    """Nothing was written: back to PLANNED, not before a pause."""
    not_before = worker.clock.now() + timedelta(seconds=pause) if pause else None
    return Verdict(PLANNED, reason, {"not_before": not_before})


def _refused_request(worker: Worker, sent: Sequence[Intent], fault: Fault) -> dict[str, Verdict]:
    """A fault for the whole request: about its one item, or about the batch as such."""
    if len(sent) == 1:
        return {sent[0].key: judge(worker, sent[0], fault)}
    # QuickBooks looked at the batch and took none of it; one by one it will say which item it minds.
    worker.batch = 1
    return dict.fromkeys(_keys(sent), _not_sent(worker, f"batch refused, code {fault.code}", 0.0))


def judge(worker: Worker, intent: Intent, outcome: Reply | Fault | None) -> Verdict:
    """P4: where an answer takes an intent."""
    if outcome is None:
        return Verdict(UNKNOWN, "the answer does not mention it", {})
    if isinstance(outcome, Fault):
        return _judge_fault(worker, intent, outcome)
    row = entity_of(outcome.body, intent.entity)
    if not row.get("Id"):
        return Verdict(UNKNOWN, "the answer holds no id", {"intuit_tid": outcome.intuit_tid})
    return judge_row(intent, row, tid=outcome.intuit_tid, now=worker.clock.now())


def judge_row(intent: Intent, row: Row, *, tid: str, now: Any, adopted: bool = False) -> Verdict:
    """Whether the object that QuickBooks shows is what was meant."""
    changes: dict[str, Any] = {
        "qbo_id": str(row["Id"]),
        "sync_token": str(row.get("SyncToken", "")),
        "echoed_sha": echo.content_sha(row),
        "intuit_tid": tid,
    }
    found = echo.differences(intent, row)
    if found:
        said = {"cause": "QBO_RECALCULATED", "fault_message": "QuickBooks stored " + "; ".join(found)}
        return Verdict(MISMATCH, "stored otherwise than meant", {**changes, **said})
    return Verdict(CONFIRMED, ADOPTED if adopted else "confirmed", {**changes, "confirmed_at": now})


def _judge_fault(worker: Worker, intent: Intent, fault: Fault) -> Verdict:
    rule = faults.worst(fault)
    first = fault.errors[0] if fault.errors else None
    changes = {
        "fault_code": fault.code,
        "fault_field": faults.field_of(first) if first else "",
        "fault_message": faults.describe(fault),
        "intuit_tid": fault.intuit_tid,
        "cause": cause_of(fault),
    }
    if rule.action == "stop":
        worker.outage = rule.cause
        return Verdict(PLANNED, "company stopped", {"not_before": None})
    if rule.code == "3001":
        worker.paused_until = worker.clock.now() + timedelta(seconds=60)
        return _not_sent(worker, "throttled", 60.0)
    # That a number or a name is taken may be our own lost creation; a change of ours cannot have taken it.
    taken = rule.code in {"6140", "6240"} and intent.operation != "create"
    if (rule.outcome_unknown and not taken) or rule.action == "retry":
        return Verdict(UNKNOWN, f"code {fault.code}", changes)
    return Verdict(REJECTED, f"code {fault.code}", changes)


CAUSES = {"6200": "PERIOD_CLOSED", "6210": "PERIOD_CLOSED", "6140": "NUMBER_TAKEN", "6240": "NAME_TAKEN"}
"""Codes that have a name of ours; the others go by QuickBooks' number."""


def cause_of(fault: Fault) -> str:
    """The cause that dead letters are grouped by."""
    code = faults.worst(fault).code or fault.code
    text = " ".join(f"{error.message} {error.detail}" for error in fault.errors).lower()
    if "period" in text and "closed" in text:
        return "PERIOD_CLOSED"
    return CAUSES.get(code, f"QBO-{code}")


def _record(
    worker: Worker, sent: Sequence[Intent], verdicts: Mapping[str, Verdict], left: Sequence[float]
) -> list[Intent]:
    """Write the outcome of a request, one transaction for all of its intents.

    What is unknown settles from when its bytes last ``left``, which may be long after the record of it.
    """
    outcomes = [(intent, _since_it_left(verdicts[intent.key], left)) for intent in sent]
    with writing(worker.engine) as tx:
        moved = conclude(worker, tx, outcomes)
    worker.step("outcome.recorded")
    return moved


def _since_it_left(verdict: Verdict, left: Sequence[float]) -> Verdict:
    if verdict.state != UNKNOWN or not left:
        return verdict
    return replace(verdict, changes={**verdict.changes, "sent_monotonic": left[-1]})


def conclude(worker: Worker, tx: Connection, outcomes: Sequence[tuple[Intent, Verdict]]) -> list[Intent]:
    """Move intents as their verdicts say, with everything that follows from it, in one transaction.

    Returns them as they stand then; those that another worker moved are missing.
    """
    said = {intent.key: (intent, verdict) for intent, verdict in outcomes}
    moves = [
        Move(intent, verdict.state, verdict.reason, _changes(intent, verdict)) for intent, verdict in outcomes
    ]
    moved = intents.move_many(tx, moves, now=worker.clock.now(), run_id=worker.run_id)
    worker.touched.update((one.key, one) for one in moved)
    worker.adopted.update(one.key for one in moved if said[one.key][1].reason == ADOPTED)
    _follow(worker, tx, [one for one in moved if one.state == CONFIRMED])
    written = [one for one in moved if one.state in {CONFIRMED, MISMATCH}]
    worker.audit(tx, *(_entry(worker, one, *said[one.key]) for one in written))
    return moved


def _changes(intent: Intent, verdict: Verdict) -> dict[str, Any]:
    changes = {**verdict.changes, "owner": "", "lease_until": None}
    if verdict.state == PLANNED:
        # It was never written, so this sending does not count.
        changes["attempts"] = intent.attempts - 1
        if intent.attempts == 1:
            # Nothing of it ever reached QuickBooks: its body may still follow the document.
            changes["first_sent_at"] = None
    return changes


def _entry(worker: Worker, moved: Intent, sent: Intent, verdict: Verdict) -> AuditEntry:
    return worker.entry(
        f"{moved.operation} {verdict.reason}",
        moved,
        before=moved.target_id and f"id {moved.target_id}, token {sent.sync_token}",
        after=f"id {moved.qbo_id}, token {moved.sync_token}, {moved.amount} {moved.currency}, "
        f"sent {moved.body_sha[:16]}, stored {moved.echoed_sha[:16]}",
        reason=moved.fault_message,
        intuit_tid=moved.intuit_tid,
    )


def _follow(worker: Worker, tx: Connection, confirmed: Sequence[Intent]) -> None:
    """What confirmed writes change beside their own intents."""
    # An update of a card may bring one back that an undo had deactivated and forgotten.
    written = [one for one in confirmed if one.operation in {"create", "update"}]
    cards = [one for one in written if one.role in {"customer", "item"}]
    identities.remember(
        tx,
        worker.realm,
        [Identity(one.entity, one.source_id, one.qbo_id, "created", worker.run_id) for one in cards],
        now=worker.clock.now(),
    )
    changes = [one for one in confirmed if one.operation != "create"]
    targets = intents.load(tx, worker.realm, [one.target_key for one in changes], bodies=False)
    over: list[Move] = []
    for one in changes:
        before = targets.get(one.target_key)
        if before is None:
            raise IntegrityError(f"intent {one.key} changes {one.target_key}, which is not recorded")
        to = intents.SUPERSEDED if one.operation == "update" else intents.VOIDED
        if to in intents.EDGES[before.state]:
            over.append(Move(before, to, f"by {one.key}"))
    intents.move_many(tx, over, now=worker.clock.now(), run_id=worker.run_id)
    for entity in {one.entity for one in changes if one.operation == "deactivate"}:
        gone = [one.source_id for one in changes if one.operation == "deactivate" and one.entity == entity]
        identities.forget(tx, worker.realm, entity, gone)
