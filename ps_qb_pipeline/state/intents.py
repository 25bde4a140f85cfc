"""Intents: the write-ahead record of everything that is to be written to QuickBooks.

What lives here: the rows, their states and the only edges between them, and the compare-and-set by
which one worker at a time may move one. What does not: what to send and what an answer means
(``posting``).

    PLANNED ──▶ SENT ──▶ CONFIRMED ──▶ SUPERSEDED | VOIDED | GONE
       ▲         │ ├───▶ REJECTED | MISMATCH            (a person, or a corrected body)
       └─────────┤ └───▶ UNKNOWN ──▶ CONFIRMED | SENT | CONFLICT | COLLISION | STUCK
        not sent │
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Update,
    bindparam,
    insert,
    literal,
    literal_column,
    select,
    update,
)

from ps_qb_pipeline.errors import IntegrityError
from ps_qb_pipeline.state.owners import is_gone
from ps_qb_pipeline.state.tables import intent_events, intents

PLANNED, SENT, UNKNOWN, CONFIRMED = "PLANNED", "SENT", "UNKNOWN", "CONFIRMED"
REJECTED, MISMATCH, CONFLICT, COLLISION, STUCK = "REJECTED", "MISMATCH", "CONFLICT", "COLLISION", "STUCK"
SUPERSEDED, VOIDED, GONE, DROPPED = "SUPERSEDED", "VOIDED", "GONE", "DROPPED"

EDGES: Mapping[str, frozenset[str]] = {
    PLANNED: frozenset({SENT, PLANNED, DROPPED}),
    SENT: frozenset({CONFIRMED, PLANNED, UNKNOWN, REJECTED, MISMATCH}),
    UNKNOWN: frozenset({CONFIRMED, SENT, MISMATCH, REJECTED, CONFLICT, COLLISION, STUCK}),
    CONFIRMED: frozenset({SUPERSEDED, VOIDED, GONE}),
    REJECTED: frozenset({PLANNED, DROPPED}),
    MISMATCH: frozenset({CONFIRMED, VOIDED, GONE}),
    CONFLICT: frozenset({CONFIRMED, UNKNOWN}),
    COLLISION: frozenset({CONFIRMED, UNKNOWN, DROPPED}),
    STUCK: frozenset({UNKNOWN, PLANNED, DROPPED}),
    SUPERSEDED: frozenset({VOIDED, GONE}),
    VOIDED: frozenset(),
    GONE: frozenset(),
    DROPPED: frozenset({PLANNED}),
}
"""Where an intent may go from each state; anything else is a bug and raises IntegrityError."""

IN_FLIGHT = frozenset({SENT, UNKNOWN})
"""Sent, and its outcome not yet known."""

FOR_A_PERSON = frozenset({REJECTED, MISMATCH, CONFLICT, COLLISION, STUCK})
"""Dead letters: nothing happens to these until a person decides."""

_CHUNK = 400


@dataclass(frozen=True, slots=True)
class Draft:
    """A write to be planned. ``body`` is final: these bytes are sent, now or in any later attempt."""

    key: str
    operation: str
    entity: str
    role: str
    source_id: str
    revision: int
    doc_number: str | None
    source_key: str
    order_key: str
    document: str
    document_sha: str
    amount: Decimal
    currency: str
    body: bytes
    target_id: str = ""
    target_key: str = ""
    sync_token: str = ""
    echoed_sha: str = ""
    """Of the object as it stood when a change of it was planned; empty for a creation."""


@dataclass(frozen=True, slots=True)
class Intent:
    """One row. ``amount`` is the document's total in ``currency``; ``document`` its canonical JSON."""

    realm: str
    key: str
    connection: str
    operation: str
    entity: str
    role: str
    source_id: str
    revision: int
    doc_number: str | None
    source_key: str
    order_key: str
    document: str
    document_sha: str
    amount: Decimal
    currency: str
    body: bytes
    body_sha: str
    requestid: str
    generation: int
    sent_in: str
    state: str
    epoch: int
    owner: str
    lease_until: datetime | None
    not_before: datetime | None
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    sent_boot: str
    sent_monotonic: float | None
    sightings: str
    attempts: int
    target_id: str
    target_key: str
    qbo_id: str
    sync_token: str
    echoed_sha: str
    cause: str
    fault_code: str
    fault_field: str
    fault_message: str
    intuit_tid: str
    run_id: str
    created_at: datetime
    confirmed_at: datetime | None


_NAMES = tuple(one.name for one in fields(Intent))
_values = attrgetter(*_NAMES)
_DRAFTED = tuple(one.name for one in fields(Draft))
_LARGE: dict[str, Any] = {"document": literal(""), "body": literal(b"")}
_WHOLE = tuple(intents.c[name] for name in _NAMES)
_LIGHT = tuple(_LARGE[name].label(name) if name in _LARGE else intents.c[name] for name in _NAMES)


@dataclass(frozen=True, slots=True)
class Claim:
    """Who acts, on whose behalf, and until when it may."""

    owner: str
    run_id: str
    now: datetime
    lease_until: datetime


def sha(body: bytes) -> str:
    """SHA-256 of a frozen body, in hex."""
    return hashlib.sha256(body).hexdigest()


def requestid(realm: str, entity: str, key: str, body_sha: str, generation: int = 0) -> str:
    """The idempotency key of one body: 32 characters, the same in every attempt to send these bytes.

    ``generation`` counts refusals: QuickBooks may replay a refusal for a request id that it knows, so
    bytes that were refused and are allowed again need a new one.
    """
    text = f"{realm}|{entity}|{key}|{body_sha}" + (f"|{generation}" if generation else "")
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:32]


def _chunks(values: Iterable[str]) -> Iterator[list[str]]:
    listed = list(values)
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]


def _selected(*, bodies: bool) -> Select[Any]:
    return select(*_WHOLE) if bodies else select(*_LIGHT)


def load(tx: Connection, realm: str, keys: Iterable[str], *, bodies: bool = True) -> dict[str, Intent]:
    """The intents of these keys, as far as they exist.

    Without ``bodies`` body and document are left empty, which is many times lighter: such intents can be
    compared and moved, never sent.
    """
    found: dict[str, Intent] = {}
    for chunk in _chunks(keys):
        query = _selected(bodies=bodies).where(intents.c.realm == realm, intents.c.key.in_(chunk))
        found.update((intent.key, intent) for intent in map(_intent, tx.execute(query)))
    return found


def of_sources(
    tx: Connection, realm: str, source_keys: Iterable[str], *, bodies: bool = True
) -> dict[str, list[Intent]]:
    """All intents of these sources by source key, oldest first; ``bodies`` as in ``load``."""
    found: dict[str, list[Intent]] = {}
    for chunk in _chunks(source_keys):
        query = (
            _selected(bodies=bodies)
            .where(intents.c.realm == realm, intents.c.source_key.in_(chunk))
            .order_by(intents.c.created_at, intents.c.revision, intents.c.key)
        )
        for intent in map(_intent, tx.execute(query)):
            found.setdefault(intent.source_key, []).append(intent)
    return found


def of_orders(
    tx: Connection, realm: str, order_keys: Iterable[str], *, bodies: bool = True
) -> dict[str, list[Intent]]:
    """All intents of these orders by order key; ``bodies`` as in ``load``."""
    found: dict[str, list[Intent]] = {}
    for chunk in _chunks(order_keys):
        query = _selected(bodies=bodies).where(intents.c.realm == realm, intents.c.order_key.in_(chunk))
        for intent in map(_intent, tx.execute(query)):
            found.setdefault(intent.order_key, []).append(intent)
    return found


def in_states(tx: Connection, realm: str, states: Iterable[str]) -> list[Intent]:
    """All intents of the company in these states, in order of their keys."""
    query = select(*_WHOLE).where(intents.c.realm == realm, intents.c.state.in_(sorted(states)))
    return [_intent(row) for row in tx.execute(query.order_by(intents.c.key))]


def known_ids(tx: Connection, realm: str, entity: str, qbo_ids: Iterable[str]) -> set[str]:
    """Those of these QuickBooks ids that any intent has had."""
    found: set[str] = set()
    for chunk in _chunks(qbo_ids):
        query = select(intents.c.qbo_id).where(
            intents.c.realm == realm, intents.c.entity == entity, intents.c.qbo_id.in_(chunk)
        )
        found.update(tx.execute(query).scalars())
    return found


def numbered(tx: Connection, realm: str, wanted: Iterable[Draft]) -> dict[tuple[str, str], str]:
    """Who has the numbers of these drafts already: the keys of creations by entity and number."""
    by_entity: dict[str, set[str]] = {}
    for draft in wanted:
        if draft.doc_number is not None:
            by_entity.setdefault(draft.entity, set()).add(draft.doc_number)
    found: dict[tuple[str, str], str] = {}
    for entity, numbers in by_entity.items():
        for chunk in _chunks(sorted(numbers)):
            # The last two as literals, so that the partial index over just these answers.
            query = select(intents.c.doc_number, intents.c.key).where(
                intents.c.realm == realm,
                intents.c.entity == entity,
                intents.c.doc_number.in_(chunk),
                intents.c.operation == literal_column("'create'"),
                intents.c.state != literal_column("'DROPPED'"),
            )
            found.update(((entity, row.doc_number), row.key) for row in tx.execute(query))
    return found


def newest_with_id(tx: Connection, realm: str, entity: str, qbo_ids: Iterable[str]) -> dict[str, Intent]:
    """The confirmed intents behind these QuickBooks ids."""
    found: dict[str, Intent] = {}
    for chunk in _chunks(qbo_ids):
        query = select(*_WHOLE).where(
            intents.c.realm == realm,
            intents.c.entity == entity,
            intents.c.qbo_id.in_(chunk),
            intents.c.state == CONFIRMED,
            intents.c.operation.in_(("create", "update")),
        )
        for intent in map(_intent, tx.execute(query.order_by(intents.c.revision))):
            found[intent.qbo_id] = intent
    return found


def of_run(tx: Connection, realm: str, run_id: str) -> list[Intent]:
    """All intents that the run planned, in order of their keys."""
    query = select(*_WHOLE).where(intents.c.realm == realm, intents.c.run_id == run_id)
    return [_intent(row) for row in tx.execute(query.order_by(intents.c.key))]


def _intent(row: Iterable[Any]) -> Intent:
    values = dict(zip(_NAMES, row, strict=True))
    values["amount"] = Decimal(values["amount"])
    values["body"] = bytes(values["body"])
    return Intent(**values)


def plan(
    tx: Connection, drafts: Sequence[Draft], *, realm: str, connection: str, run_id: str, now: datetime
) -> int:
    """Record the drafts whose key is new; an existing intent is left as it is. Returns how many were new."""
    known: set[str] = set()
    for chunk in _chunks(draft.key for draft in drafts):
        query = select(intents.c.key).where(intents.c.realm == realm, intents.c.key.in_(chunk))
        known.update(tx.execute(query).scalars())
    fresh = {draft.key: draft for draft in drafts if draft.key not in known}
    if not fresh:
        return 0
    rows = [_row(draft, realm, connection, run_id, now) for draft in fresh.values()]
    tx.execute(insert(intents), rows)
    told = [[row.get(name, "") for name in _TOLD] for row in rows]
    tx.execute(insert(intent_events), [_event(one, "", PLANNED, now, "planned") for one in told])
    return len(rows)


def _row(draft: Draft, realm: str, connection: str, run_id: str, now: datetime) -> dict[str, Any]:
    body_sha = sha(draft.body)
    return {
        **{name: getattr(draft, name) for name in _DRAFTED},
        "amount": str(draft.amount),
        "realm": realm,
        "connection": connection,
        "body_sha": body_sha,
        "requestid": requestid(realm, draft.entity, draft.key, body_sha),
        "state": PLANNED,
        "epoch": 0,
        "owner": "",
        "run_id": run_id,
        "created_at": now,
    }


_TOLD = ("realm", "key", "epoch", "owner", "run_id", "body_sha", "requestid", "intuit_tid")
_told = attrgetter(*_TOLD)


def _event(told: Iterable[Any], before: str, after: str, now: datetime, reason: str) -> dict[str, Any]:
    return {
        **dict(zip(_TOLD, told, strict=True)),
        "at": now,
        "from_state": before,
        "to_state": after,
        "reason": reason,
    }


def may_replan(intent: Intent) -> bool:
    """Whether the intent's body may still change: it was never sent, or was refused, or was dropped."""
    never_sent = intent.state == PLANNED and intent.first_sent_at is None
    return never_sent or intent.state in {REJECTED, DROPPED}


def replan(tx: Connection, intent: Intent, draft: Draft, *, run_id: str, now: datetime) -> Intent | None:
    """Give an intent another body: allowed before its first sending, and after a refusal.

    None when another worker has moved it meanwhile. The old request id is never used again for other
    bytes: it is a function of them.
    """
    if not may_replan(intent):
        raise IntegrityError(
            f"intent {intent.key} is {intent.state}: only a body that was never sent or was refused may change"
        )
    generation = intent.generation + (intent.state == REJECTED)
    body_sha = sha(draft.body)
    changes = {
        "operation": draft.operation,
        "document": draft.document,
        "document_sha": draft.document_sha,
        "amount": str(draft.amount),
        "currency": draft.currency,
        "doc_number": draft.doc_number,
        "body": draft.body,
        "body_sha": body_sha,
        "generation": generation,
        "requestid": requestid(intent.realm, intent.entity, intent.key, body_sha, generation),
        "target_id": draft.target_id,
        "target_key": draft.target_key,
        "sync_token": draft.sync_token,
        "echoed_sha": draft.echoed_sha,
        "first_sent_at": None,
        "attempts": 0,
        "run_id": run_id,
        **NO_FAULT,
        "not_before": None,
    }
    return move(tx, intent, PLANNED, now=now, run_id=run_id, reason="planned anew", changes=changes)


NO_FAULT: Mapping[str, Any] = {"cause": "", "fault_code": "", "fault_field": "", "fault_message": ""}


@dataclass(frozen=True, slots=True)
class Move:
    """One intent to be moved along one edge, with what is recorded beside its new state."""

    intent: Intent
    to: str
    reason: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)


def claim(tx: Connection, intent: Intent, by: Claim) -> Intent | None:
    """Take the intent for ourselves: the epoch grows by one. None when another worker holds or took it."""
    claimed = claim_many(tx, [intent], by)
    return claimed[0] if claimed else None


def claim_many(tx: Connection, chosen: Sequence[Intent], by: Claim) -> list[Intent]:
    """Take these for ourselves, in their order; those that another worker holds or took are missing."""
    stored = _unmoved(tx, chosen)
    free = [one for one in chosen if one.key in stored and _is_free(one, stored[one.key], by)]
    ends = {"owner": by.owner, "lease_until": by.lease_until}
    return _write(tx, [(one, {"epoch": one.epoch + 1, **ends}) for one in free])


def _is_free(intent: Intent, stored: Row[Any], by: Claim) -> bool:
    if stored.owner == by.owner or stored.lease_until is None or stored.lease_until <= by.now:
        return True
    if stored.owner == intent.owner and is_gone(intent.owner):
        # Its process was killed on this machine: nobody needs to wait for its lease. The epoch proves
        # that the row still has this owner.
        return True
    # A lease that ends further ahead than any may last was stamped by a clock that ran ahead.
    return bool(stored.lease_until > by.lease_until + (by.lease_until - by.now))


def move(
    tx: Connection,
    intent: Intent,
    to: str,
    *,
    now: datetime,
    run_id: str,
    reason: str = "",
    changes: Mapping[str, Any] | None = None,
) -> Intent | None:
    """Move an intent along one edge, if it is still as we know it. None when somebody else moved it.

    Raises IntegrityError for an edge that does not exist.
    """
    moved = move_many(tx, [Move(intent, to, reason, changes or {})], now=now, run_id=run_id)
    return moved[0] if moved else None


def move_many(tx: Connection, moves: Sequence[Move], *, now: datetime, run_id: str) -> list[Intent]:
    """Move these along their edges, in their order; those that somebody else moved are missing.

    Raises IntegrityError for an edge that does not exist.
    """
    for one in moves:
        if one.to not in EDGES[one.intent.state]:
            raise IntegrityError(f"intent {one.intent.key} cannot go from {one.intent.state} to {one.to}")
    stored = _unmoved(tx, [one.intent for one in moves])
    going = [one for one in moves if one.intent.key in stored]
    moved = _write(tx, [(one.intent, {**one.changes, "state": one.to}) for one in going])
    if moved:
        told = [
            {**_event(_told(after), one.intent.state, one.to, now, one.reason), "run_id": run_id}
            for one, after in zip(going, moved, strict=True)
        ]
        tx.execute(insert(intent_events), told)
    return moved


def note(tx: Connection, intent: Intent, changes: Mapping[str, Any]) -> Intent | None:
    """Change what is recorded about an intent without moving it. None when somebody else moved it."""
    noted = _write(tx, [(intent, changes)]) if _unmoved(tx, [intent]) else []
    return noted[0] if noted else None


def unclaim(tx: Connection, *given: Intent) -> None:
    """Give the claims back without moving the intents; harmless when somebody else has them."""
    stored = _unmoved(tx, given)
    _write(tx, [(one, {"owner": "", "lease_until": None}) for one in given if one.key in stored])


def are_unmoved(tx: Connection, known: Sequence[Intent]) -> bool:
    """Whether nobody has moved or claimed any of these since."""
    return len(_unmoved(tx, known)) == len(known)


def _unmoved(tx: Connection, known: Sequence[Intent]) -> dict[str, Row[Any]]:
    """Those of these whose rows nobody has moved or claimed since, with their claim, by key.

    This is the compare of every compare-and-set here: the caller's write transaction keeps others from
    writing between it and the set (SQLite by its lock, PostgreSQL by refusing one of the two).
    """
    epochs = {one.key: (one.epoch, one.state) for one in known}
    columns = (intents.c[name] for name in ("key", "epoch", "state", "owner", "lease_until"))
    query = select(*columns).where(
        intents.c.realm == bindparam("of_realm"), intents.c.key.in_(bindparam("keys", expanding=True))
    )
    found: dict[str, Row[Any]] = {}
    for chunk in _chunks(epochs):
        rows = tx.execute(query, {"of_realm": known[0].realm, "keys": chunk})
        found.update((row.key, row) for row in rows if epochs[row.key] == (row.epoch, row.state))
    return found


def _write(tx: Connection, changed: Sequence[tuple[Intent, Mapping[str, Any]]]) -> list[Intent]:
    """Store these changes, one statement for all that change the same columns; the intents as they are then."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for intent, changes in changed:
        row = {f"new_{name}": value for name, value in changes.items()}
        row |= {"at_realm": intent.realm, "at_key": intent.key}
        alike.setdefault(tuple(changes), []).append(row)
    for names, rows in alike.items():
        tx.execute(_update(names), rows)
    return [_with(intent, changes) for intent, changes in changed]


@cache
def _update(names: tuple[str, ...]) -> Update:
    where = (intents.c.realm == bindparam("at_realm")) & (intents.c.key == bindparam("at_key"))
    return update(intents).where(where).values({name: bindparam(f"new_{name}") for name in names})


def _with(intent: Intent, changes: Mapping[str, Any]) -> Intent:
    values = dict(zip(_NAMES, _values(intent), strict=True))
    values.update(changes)
    values["amount"] = Decimal(values["amount"])
    return Intent(**values)


def events(tx: Connection, realm: str, key: str) -> list[dict[str, Any]]:
    """The history of one intent, oldest first."""
    query = select(intent_events).where(intent_events.c.realm == realm, intent_events.c.key == key)
    return [dict(row) for row in tx.execute(query.order_by(intent_events.c.id)).mappings()]


EXPORTED = (
    "key",
    "operation",
    "entity",
    "role",
    "source_id",
    "revision",
    "doc_number",
    "state",
    "qbo_id",
    "sync_token",
    "amount",
    "currency",
    "body_sha",
    "attempts",
    "cause",
    "fault_code",
    "fault_message",
    "first_sent_at",
    "confirmed_at",
    "run_id",
)
"""The columns that reconciliation sees in ``control.intents``."""


def export(
    tx: Connection, connection: str, *, order_keys: Iterable[str] | None = None
) -> Iterator[dict[str, Any]]:
    """The connection's intents as plain rows for the warehouse, one per intent, dropped plans left out.

    All of them, or those of some orders.
    """
    columns = [intents.c[name] for name in EXPORTED]
    query = select(*columns).where(intents.c.connection == connection, intents.c.state != DROPPED)
    query = query.order_by(intents.c.key)
    parts = (
        [query]
        if order_keys is None
        else [query.where(intents.c.order_key.in_(c)) for c in _chunks(order_keys)]
    )
    for part in parts:
        for row in tx.execute(part).mappings():
            yield {**row, "amount": Decimal(row["amount"])}
