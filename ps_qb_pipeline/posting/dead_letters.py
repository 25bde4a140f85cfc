"""Dead letters: everything that needs a person, grouped by what is wrong.

What lives here: collecting them with plain words and the way out, replaying them under their own keys,
and accepting what QuickBooks stored. What does not: printing (``cli``), telling each cause once
(``orchestration.alerts``) and the sending of what was replayed (the next ``post``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, Engine

from ps_qb_pipeline.accounting.findings import CODES
from ps_qb_pipeline.errors import BooksFault, SettingsError
from ps_qb_pipeline.posting import echo
from ps_qb_pipeline.posting.changing import STALE
from ps_qb_pipeline.posting.ports import BooksPort, Row
from ps_qb_pipeline.posting.settling import MAYBE_DELETED
from ps_qb_pipeline.quickbooks import faults
from ps_qb_pipeline.state import holds, intents
from ps_qb_pipeline.state.audit import AuditEntry, append
from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.intents import (
    COLLISION,
    CONFIRMED,
    CONFLICT,
    FOR_A_PERSON,
    GONE,
    MISMATCH,
    NO_FAULT,
    PLANNED,
    REJECTED,
    STUCK,
    UNKNOWN,
    VOIDED,
    Intent,
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that waits. ``id`` is what ``replay`` takes; ``since`` is when it got here first."""

    id: str
    entity: str
    source_type: str
    source_id: str
    doc_number: str
    state: str
    field: str
    said: str
    since: datetime
    amount: Decimal
    currency: str
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Cause:
    """All records that wait for the same reason, with the reason and the way out in plain words."""

    code: str
    meaning: str
    fix: str
    letters: tuple[DeadLetter, ...]

    @property
    def amounts(self) -> dict[str, Decimal]:
        """The money that waits, by currency."""
        sums: dict[str, Decimal] = {}
        for letter in self.letters:
            sums[letter.currency] = sums.get(letter.currency, Decimal(0)) + letter.amount
        return {currency: total for currency, total in sorted(sums.items()) if total}


def collect(store: Engine, connection: str) -> list[Cause]:
    """The connection's dead letters by cause, the cause with the most records first."""
    realm = _realm(store, connection)
    with reading(store) as tx:
        letters = [_of_intent(tx, one) for one in intents.in_states(tx, realm, FOR_A_PERSON)]
        letters += [_of_hold(hold) for hold in holds.of(tx, connection)]
    by_code: dict[str, list[DeadLetter]] = {}
    for code, letter in letters:
        by_code.setdefault(code, []).append(letter)
    causes = [Cause(code, *words(code), tuple(found)) for code, found in by_code.items()]
    return sorted(causes, key=lambda cause: (-len(cause.letters), cause.code))


def summary(causes: Sequence[Cause]) -> str:
    """One line such as ``3 causes, 187 documents, 1,240.10 EUR``."""
    documents = sum(len(cause.letters) for cause in causes)
    sums: dict[str, Decimal] = {}
    for cause in causes:
        for currency, amount in cause.amounts.items():
            sums[currency] = sums.get(currency, Decimal(0)) + amount
    money = "".join(f", {amount:,.2f} {currency}" for currency, amount in sorted(sums.items()))
    return f"{_count(len(causes), 'cause')}, {_count(documents, 'document')}{money}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _of_intent(tx: Connection, intent: Intent) -> tuple[str, DeadLetter]:
    history = intents.events(tx, intent.realm, intent.key)
    arrivals = [event["at"] for event in history if event["to_state"] in FOR_A_PERSON]
    letter = DeadLetter(
        id=intent.key,
        entity=intent.entity,
        source_type=intent.role,
        source_id=intent.source_id,
        doc_number=intent.doc_number or "",
        state=intent.state,
        field=intent.fault_field,
        said=intent.fault_message,
        since=min(arrivals, default=intent.created_at),
        amount=intent.amount,
        currency=intent.currency,
        attempts=intent.attempts,
    )
    return intent.cause or intent.state, letter


def _of_hold(hold: holds.Hold) -> tuple[str, DeadLetter]:
    assert hold.since is not None
    letter = DeadLetter(
        id=f"{hold.source_type}|{hold.source_id}",
        entity="",
        source_type=hold.source_type,
        source_id=hold.source_id,
        doc_number="",
        state="HELD",
        field="",
        said=hold.reason,
        since=hold.since,
        amount=hold.amount,
        currency=hold.currency,
    )
    return hold.code, letter


OURS: dict[str, tuple[str, str]] = {
    "PERIOD_CLOSED": (
        "The books are closed at the document's date.",
        "Let the accountant open the period, or choose the first open day; then replay.",
    ),
    "NUMBER_TAKEN": (
        "A document that is not ours has this number.",
        "Give that document another number in QuickBooks; then replay.",
    ),
    "NAME_TAKEN": (
        "Another customer, vendor, employee or item has this name, with and without our suffix.",
        "Rename one of them in QuickBooks, or map this one; then replay.",
    ),
    "NO_ANSWER": (
        "QuickBooks never answered, and the document is not there.",
        "Look at QuickBooks' status page; then replay: it is looked up again before it is sent.",
    ),
    MAYBE_DELETED: (
        "Our answer was lost, and meanwhile a document was deleted, or it is longer ago than QuickBooks knows.",
        "If it was this one and should stay deleted, leave it; otherwise replay: it is sent again.",
    ),
    "STALE": (
        "Somebody touched the document in QuickBooks while we wrote.",
        "Nothing to do: the next run reads it again.",
    ),
    "EDIT_CONFLICT": (
        "A person changed the document in QuickBooks, and the order changed as well.",
        "Decide which is right: correct the order in the shop, or the document in QuickBooks; then replay.",
    ),
    "VOID_BLOCKED": (
        "A document that should be voided still has payments or refunds on it.",
        "Void or unlink those in QuickBooks first; then run again.",
    ),
    "ACCOUNT_UNMAPPED": (
        "The policy names an account that the company does not have.",
        "Run psqb setup, or correct the account's name in the policy; then run again.",
    ),
}
"""Meaning and fix of causes that are neither findings nor QuickBooks codes."""


def words(code: str) -> tuple[str, str]:
    """What a cause means, and what to do about it."""
    if code in OURS:
        return OURS[code]
    if code.startswith("QBO-"):
        rule = faults.rule(code.removeprefix("QBO-"))
        return rule.cause, rule.fix
    if code in CODES:
        return CODES[code].meaning, CODES[code].action
    return f"The document waits: {code}.", "Look at what the record says, mend it, then replay."


# -- replaying ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Replay:
    """What a replay did: keys that go again, documents settled as they stand, and what it left alone."""

    again: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def replay(
    store: Engine,
    connection: str,
    *,
    by: str,
    run_id: str,
    cause: str | None = None,
    ids: Iterable[str] = (),
    books: BooksPort | None = None,
    clock: Clock | None = None,
) -> Replay:
    """Let dead letters go again, by cause or by id, under their own keys; ``by`` says on whose word.

    A refusal gets another request id, because QuickBooks may repeat its answer to the old one. What may
    be in the books already is looked up first. A mismatch is read again with ``books``; without them
    it is left.
    """
    clock = clock or SystemClock()
    realm = _realm(store, connection)
    wanted = set(ids)
    with reading(store) as tx:
        found = [
            one
            for one in intents.in_states(tx, realm, FOR_A_PERSON)
            if (cause is not None and (one.cause or one.state) == cause) or one.key in wanted
        ]
        held = [
            hold
            for hold in holds.of(tx, connection)
            if hold.code == cause or f"{hold.source_type}|{hold.source_id}" in wanted
        ]
    result = Replay()
    for intent in found:
        _replay_one(store, connection, intent, result, by=by, run_id=run_id, books=books, clock=clock)
    with writing(store) as tx:
        holds.release(tx, connection, held)
    result.again.extend(f"{hold.source_type}|{hold.source_id}" for hold in held)
    known = {one.key for one in found} | {f"{hold.source_type}|{hold.source_id}" for hold in held}
    result.left.update((key, "there is no such dead letter") for key in sorted(wanted - known))
    return result


def _replay_one(
    store: Engine,
    connection: str,
    intent: Intent,
    result: Replay,
    *,
    by: str,
    run_id: str,
    books: BooksPort | None,
    clock: Clock,
) -> None:
    if intent.state == MISMATCH:
        if books is None:
            result.left[intent.key] = "needs a look at QuickBooks"
            return
        _look_again(store, connection, intent, result, by=by, run_id=run_id, books=books, clock=clock)
        return
    now = clock.now()
    with writing(store) as tx:
        if intent.state == REJECTED or intent.cause == MAYBE_DELETED:
            # Nothing of it is in the books, by QuickBooks' word or by a person's.
            changes = {**_another_requestid(intent), "first_sent_at": None, "attempts": 0, **NO_FAULT}
            if intent.operation != "create":
                # The object may have moved on: the next run reads it before it writes.
                changes["cause"] = STALE
            to = PLANNED
        else:
            assert intent.state in {STUCK, CONFLICT, COLLISION}
            # It is looked up first. If it goes out again it gets another request id: to the old one
            # QuickBooks may repeat for ever what it said then, that the number is taken or that it failed.
            changes, to = {**_another_requestid(intent), "attempts": 0, **NO_FAULT}, UNKNOWN
        moved = intents.move(
            tx, intent, to, now=now, run_id=run_id, reason=f"replayed by {by}", changes=changes
        )
        if moved is not None:
            result.again.append(intent.key)
            _audit(tx, connection, intent, "replay", by=by, run_id=run_id, now=now, reason=intent.cause)


def _another_requestid(intent: Intent) -> dict[str, object]:
    generation = intent.generation + 1
    fresh = intents.requestid(intent.realm, intent.entity, intent.key, intent.body_sha, generation)
    return {"generation": generation, "requestid": fresh}


def _look_again(
    store: Engine,
    connection: str,
    intent: Intent,
    result: Replay,
    *,
    by: str,
    run_id: str,
    books: BooksPort,
    clock: Clock,
) -> None:
    """A person has dealt with a mismatch in QuickBooks: take what stands there now."""
    row = _row(books, intent)
    found = echo.differences(intent, row) if row is not None and not echo.is_void(row) else ()
    if found:
        result.left[intent.key] = "still stored " + "; ".join(found)
        return
    to = GONE if row is None else VOIDED if echo.is_void(row) else CONFIRMED
    _settle(store, connection, intent, to, row, by=by, run_id=run_id, reason="looked at again", clock=clock)
    result.settled.append(intent.key)


def accept(
    store: Engine,
    connection: str,
    key: str,
    *,
    by: str,
    reason: str,
    run_id: str,
    books: BooksPort,
    clock: Clock | None = None,
) -> None:
    """Take a mismatch as it stands in QuickBooks; a person's act with a reason, kept in the audit.

    Raises SettingsError when there is no such mismatch, or no reason.
    """
    realm = _realm(store, connection)
    with reading(store) as tx:
        intent = intents.load(tx, realm, [key]).get(key)
    if intent is None or intent.state != MISMATCH:
        raise SettingsError(f"{key} is not a mismatch; only what QuickBooks stored otherwise can be accepted")
    if not reason.strip():
        raise SettingsError("accepting a difference needs a reason, which goes into the audit")
    row = _row(books, intent)
    to = GONE if row is None else VOIDED if echo.is_void(row) else CONFIRMED
    _settle(
        store, connection, intent, to, row, by=by, run_id=run_id, reason=reason, clock=clock or SystemClock()
    )


def _row(books: BooksPort, intent: Intent) -> Row | None:
    try:
        return books.read(intent.entity, intent.qbo_id)
    except BooksFault as error:
        if error.fault.code == "610":
            return None
        raise


def _settle(
    store: Engine,
    connection: str,
    intent: Intent,
    to: str,
    row: Row | None,
    *,
    by: str,
    run_id: str,
    reason: str,
    clock: Clock,
) -> None:
    now = clock.now()
    changes = {**NO_FAULT}
    if to == CONFIRMED and row is not None:
        changes |= {
            "confirmed_at": now,
            "sync_token": str(row.get("SyncToken", "")),
            "echoed_sha": echo.content_sha(row),
        }
    with writing(store) as tx:
        moved = intents.move(tx, intent, to, now=now, run_id=run_id, reason=reason, changes=changes)
        if moved is not None:
            said = f"{intent.fault_message}; {reason}"
            _audit(
                tx, connection, moved, f"accept as {to.lower()}", by=by, run_id=run_id, now=now, reason=said
            )


def _audit(
    tx: Connection,
    connection: str,
    intent: Intent,
    action: str,
    *,
    by: str,
    run_id: str,
    now: datetime,
    reason: str,
) -> None:
    entry = AuditEntry(
        at=now,
        connection=connection,
        actor=by,
        action=action,
        subject=f"{intent.entity}|{intent.key}",
        before=intent.state,
        reason=reason,
        run_id=run_id,
    )
    append(tx, entry)


def _realm(store: Engine, connection: str) -> str:
    known = Connections(store).get(connection)
    if known is None:
        raise SettingsError("is not registered yet; run the pipeline once", where=f"connection {connection}")
    return known.realm
