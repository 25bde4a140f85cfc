"""Updates and voids of documents that are already in the books.

What lives here: the three-way compare (what we wrote, what stands there, what we want) that keeps a
person's change from being overwritten, the body of an update that keeps what people added, and what
a lost update or void turned into. What does not: creations, and the sending itself (``sending``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from ps_qb_pipeline.accounting.documents import Document
from ps_qb_pipeline.errors import BooksFault, PipelineError
from ps_qb_pipeline.posting import echo, plan
from ps_qb_pipeline.posting.ports import NamesPort, Rendering, Row
from ps_qb_pipeline.posting.sending import Verdict, judge_row
from ps_qb_pipeline.posting.worker import Waiting, Worker
from ps_qb_pipeline.quickbooks import query
from ps_qb_pipeline.quickbooks.texts import canonical
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.database import writing
from ps_qb_pipeline.state.intents import (
    CONFIRMED,
    DROPPED,
    GONE,
    PLANNED,
    REJECTED,
    STUCK,
    VOIDED,
    Draft,
    Intent,
)

STALE = "STALE"
"""Somebody touched the object between our reading and our writing, without changing money: read it again."""

EDIT_CONFLICT = "EDIT_CONFLICT"

_READ_ONLY = frozenset(
    {
        "MetaData",
        "domain",
        "sparse",
        "status",
        "Balance",
        "HomeBalance",
        "HomeTotalAmt",
        "UnappliedAmt",
        "time",
    }
)
_OURS = frozenset(
    {
        "Line",
        "TxnTaxDetail",
        "GlobalTaxCalculation",
        "TotalAmt",
        "DueDate",
        "ExchangeRate",
        "DepositToAccountRef",
    }
)
"""What the document decides alone: absent there, it is dropped from the object as well."""
_MACHINE_LINE = re.compile(r"ps:\{[^{}]*\}")


@dataclass(slots=True)
class Planned:
    """What is to be driven, what waits and why, and what is in the books already after all."""

    keys: list[str]
    waiting: dict[str, Waiting]
    settled: list[str]


def plan_changes(
    worker: Worker, changes: Iterable[plan.Change], *, names: NamesPort, render: Rendering
) -> Planned:
    """Write down the updates of documents that are wanted otherwise than they stand in the books."""
    result = Planned([], {}, [])
    for document, base, pending in changes:
        if base.document_sha == plan.document_sha(document):
            drop(worker, pending)
            result.settled.append(document.key)
        elif pending is not None and not _needs_new_body(document, pending):
            if pending.state == PLANNED:
                result.keys.append(pending.key)
        elif document.type != base.entity:
            said = (
                f"is a {base.entity} in the books and should be a {document.type}; a person must exchange it"
            )
            result.waiting[document.key] = Waiting(EDIT_CONFLICT, said)
        else:
            _plan_update(worker, document, base, pending, names, render, result)
    return result


def _needs_new_body(document: Document, pending: Intent) -> bool:
    """Whether the change under way must be replaced: it is stale, or the document has changed again."""
    if pending.state == PLANNED and pending.first_sent_at is not None:
        return False
    return pending.cause == STALE or pending.document_sha != plan.document_sha(document)


def drop(worker: Worker, pending: Intent | None) -> None:
    """The shop says again what the books say: a change that never arrived is not needed any more."""
    if pending is None or not intents.may_replan(pending):
        return
    with writing(worker.engine) as tx:
        now = worker.clock.now()
        intents.move(tx, pending, DROPPED, now=now, run_id=worker.run_id, reason="not wanted any more")


def _plan_update(
    worker: Worker,
    document: Document,
    base: Intent,
    pending: Intent | None,
    names: NamesPort,
    render: Rendering,
    result: Planned,
) -> None:
    try:
        rendered = render.document(document, names)
    except PipelineError as error:
        result.waiting[document.key] = Waiting.because(error)
        return
    row = _current(worker, base)
    worker.step("change.read")
    why = _not_ours_to_change(worker, base, row)
    if row is not None and why is not None and _same_edit(worker, document, base, row, rendered):
        result.settled.append(document.key)
        return
    if row is None or why is not None:
        result.waiting[document.key] = why or Waiting("QBO_DELETED", "was deleted in QuickBooks")
        return
    revision = _next_revision(document, base, pending)
    draft = change_of(
        base,
        row,
        "update",
        revision,
        document=plan.draft(document, rendered).document,
        document_sha=plan.document_sha(document),
        money=(document.total, document.currency),
        body=updated_body(row, rendered),
    )
    write_down(worker, draft)
    result.keys.append(draft.key)


def _same_edit(worker: Worker, document: Document, base: Intent, row: Row, rendered: bytes) -> bool:
    """Whether a person made the very change in the books that the shop asks for: then it is done."""
    meant = replace(base, operation="update", body=rendered, amount=document.total)
    if echo.is_void(row) or not echo.matches(meant, row):
        return False
    changes = {
        "document": plan.draft(document, rendered).document,
        "document_sha": plan.document_sha(document),
        "amount": str(document.total),
        "sync_token": str(row.get("SyncToken", "")),
        "echoed_sha": echo.content_sha(row),
    }
    with writing(worker.engine) as tx:
        noted = intents.note(tx, base, changes)
        if noted is not None:
            worker.audit(tx, worker.entry("accept a person's equal edit", base, after=f"id {base.qbo_id}"))
    return noted is not None


def _next_revision(document: Document, base: Intent, pending: Intent | None) -> int:
    if pending is not None:
        return pending.revision
    return max(document.revision, base.revision + 1)


def write_down(worker: Worker, draft: Draft) -> None:
    """Record a change; one of this key that never went out, or was refused, gets the new body."""
    now = worker.clock.now()
    with writing(worker.engine) as tx:
        old = intents.load(tx, worker.realm, [draft.key]).get(draft.key)
        if old is not None:
            if intents.may_replan(old):
                intents.replan(tx, old, draft, run_id=worker.run_id, now=now)
            return
        intents.plan(
            tx, [draft], realm=worker.realm, connection=worker.connection, run_id=worker.run_id, now=now
        )


def _current(worker: Worker, base: Intent) -> Row | None:
    worker.requests += 1
    try:
        return worker.books.read(base.entity, base.qbo_id)
    except BooksFault as error:
        if error.fault.code == "610":
            return None
        raise


def read_many(worker: Worker, bases: Sequence[Intent]) -> dict[str, Row]:
    """The objects behind these intents by key, as they stand; few one by one, many in pages."""
    found: dict[str, Row] = {}
    for entity in sorted({base.entity for base in bases}):
        mine = {base.qbo_id: base.key for base in bases if base.entity == entity}
        if len(mine) > FEW:
            for where in query.among("Id", sorted(mine)):
                worker.requests += 1
                for row in worker.books.query_all(entity, where):
                    found[mine[str(row["Id"])]] = row
        # What a page does not show may be deleted, or merely not indexed yet: reading tells.
        for base in bases:
            if base.entity == entity and base.key not in found:
                read = _current(worker, base)
                if read is not None:
                    found[base.key] = read
    return found


FEW = 5


def _not_ours_to_change(worker: Worker, base: Intent, row: Row | None) -> Waiting | None:
    """Why a person must decide first; what a person removed is closed for good."""
    if row is None or echo.is_void(row):
        _close(worker, base, GONE if row is None else VOIDED)
    return why_not_ours(base, row)


def why_not_ours(base: Intent, row: Row | None) -> Waiting | None:
    """Why a person must decide first; None when nobody has touched the money since we wrote it."""
    if row is None or echo.is_void(row):
        word = "deleted" if row is None else "voided"
        return Waiting("QBO_DELETED", f"was {word} in QuickBooks by a person; it is not written again")
    if base.echoed_sha and echo.content_sha(row) != base.echoed_sha:
        said = f"was changed in QuickBooks by a person (id {base.qbo_id}) and in the shop since"
        return Waiting(EDIT_CONFLICT, said)
    return None


def _close(worker: Worker, base: Intent, state: str) -> None:
    now = worker.clock.now()
    with writing(worker.engine) as tx:
        moved = intents.move(tx, base, state, now=now, run_id=worker.run_id, reason="by a person")
        if moved is not None:
            worker.touched[moved.key] = moved


def updated_body(row: Row, rendered: bytes) -> bytes:
    """The object as it stands with our fields laid over it, frozen for a full update.

    A full update empties what it leaves out, so everything that a person added goes along: memo,
    addresses, class, custom fields, and their own words in the private note.
    """
    fresh: dict[str, Any] = json.loads(rendered, parse_float=Decimal)
    kept = {name: value for name, value in row.items() if name not in _READ_ONLY | _OURS}
    note = str(fresh.get("PrivateNote") or "")
    merged = {**kept, **fresh, "PrivateNote": merged_note(str(row.get("PrivateNote") or ""), note)}
    return canonical({**merged, "Id": str(row["Id"]), "SyncToken": str(row.get("SyncToken", ""))})


def merged_note(stored: str, ours: str) -> str:
    """A person's words with our machine line brought up to date in its place."""
    line = _MACHINE_LINE.search(ours)
    if line is None:
        return stored or ours
    if _MACHINE_LINE.search(stored):
        return _MACHINE_LINE.sub(lambda _: line[0], stored, count=1)
    return f"{stored}\n{line[0]}".strip()


# -- voids -------------------------------------------------------------------------------------


def plan_voids(worker: Worker, bases: Sequence[Intent], *, reason: str) -> Planned:
    """Write down the voids of these confirmed documents; what a person changed is left alone."""
    result = Planned([], {}, [])
    rows = read_many(worker, bases)
    drafts: list[Draft] = []
    for base in bases:
        row = rows.get(base.key)
        why = _not_ours_to_change(worker, base, row)
        if row is None or (why is not None and why.code == "QBO_DELETED"):
            result.settled.append(base.key)
            continue
        if why is not None:
            result.waiting[base.key] = why
            continue
        drafts.append(_void(base, row, reason))
    result.keys.extend(_plan_all(worker, drafts))
    return result


def _void(base: Intent, row: Row, reason: str) -> Draft:
    token = str(row.get("SyncToken", ""))
    return change_of(
        base,
        row,
        "void",
        base.revision + 1,
        document=json.dumps({"void": base.key, "reason": reason}, sort_keys=True),
        document_sha="void",
        body=canonical({"Id": base.qbo_id, "SyncToken": token, "sparse": True}),
    )


def change_of(
    base: Intent,
    row: Row,
    operation: str,
    revision: int,
    *,
    document: str,
    document_sha: str,
    body: bytes,
    money: tuple[Decimal, str] | None = None,
) -> Draft:
    """The write that changes what ``base`` wrote and QuickBooks holds as ``row``; ``money`` is its new total."""
    amount, currency = money or (Decimal(0), base.currency)
    return Draft(
        key=f"{base.source_key}|{revision}",
        operation=operation,
        entity=base.entity,
        role=base.role,
        source_id=base.source_id,
        revision=revision,
        doc_number=base.doc_number,
        source_key=base.source_key,
        order_key=base.order_key,
        document=document,
        document_sha=document_sha,
        amount=amount,
        currency=currency,
        body=body,
        target_id=base.qbo_id,
        target_key=base.key,
        sync_token=str(row.get("SyncToken", "")),
        echoed_sha=echo.content_sha(row),
    )


def _plan_all(worker: Worker, drafts: Sequence[Draft]) -> list[str]:
    """Record these voids or deactivations in one transaction; the keys of those that may go out."""
    now = worker.clock.now()
    with writing(worker.engine) as tx:
        known = intents.load(tx, worker.realm, [draft.key for draft in drafts], bodies=False)
        fresh = [draft for draft in drafts if draft.key not in known]
        intents.plan(
            tx, fresh, realm=worker.realm, connection=worker.connection, run_id=worker.run_id, now=now
        )
        return [
            draft.key
            for draft in drafts
            if draft.key not in known or _plan_again(worker, tx, known[draft.key], draft)
        ]


def _plan_again(worker: Worker, tx: Connection, old: Intent, draft: Draft) -> bool:
    """Bring what was planned before up to date; whether it may go out."""
    if old.state == PLANNED and old.first_sent_at is None and old.body_sha != intents.sha(draft.body):
        intents.replan(tx, old, draft, run_id=worker.run_id, now=worker.clock.now())
    elif old.state == DROPPED or (old.state == REJECTED and (old.cause == STALE or old.operation != "void")):
        moved = intents.replan(tx, old, draft, run_id=worker.run_id, now=worker.clock.now())
        return moved is not None
    return old.state == PLANNED


def plan_deactivations(worker: Worker, cards: Sequence[Intent]) -> Planned:
    """Write down the deactivation of these customers and items; QuickBooks never deletes a name."""
    result = Planned([], {}, [])
    rows = read_many(worker, cards)
    drafts: list[Draft] = []
    for card in cards:
        row = rows.get(card.key)
        if row is None or row.get("Active") is False:
            _close(worker, card, GONE if row is None else VOIDED)
            result.settled.append(card.key)
            continue
        kept = {name: value for name, value in row.items() if name not in _READ_ONLY}
        draft = replace(
            _void(card, row, "undo"),
            operation="deactivate",
            document_sha="deactivate",
            body=canonical({**kept, "Active": False}),
        )
        drafts.append(draft)
    result.keys.extend(_plan_all(worker, drafts))
    return result


# -- what became of a lost one -----------------------------------------------------------------


def decide(worker: Worker, intent: Intent, row: Row | None) -> Verdict | None:
    """Where the object as it stands takes a lost update, void or deactivation; None to send it again.

    The sync token decides: unchanged, nothing of ours arrived, and sending again is safe, because a
    copy that arrives late is refused as stale.
    """
    if row is None:
        said = {"cause": "QBO_DELETED", "fault_message": "it was deleted in QuickBooks meanwhile"}
        return Verdict(REJECTED, "deleted meanwhile", said)
    if done(intent, row):
        return judge_row(intent, row, tid=intent.intuit_tid, now=worker.clock.now(), adopted=True)
    if str(row.get("SyncToken", "")) == intent.sync_token:
        if intent.attempts < worker.pace.attempts:
            return None
        said = {"cause": "NO_ANSWER", "fault_message": f"sent {intent.attempts} times without an answer"}
        return Verdict(STUCK, "no answer", said)
    return _overtaken(intent, row)


def done(intent: Intent, row: Row) -> bool:
    """Whether the object is as this change wanted it."""
    if intent.operation == "void":
        return echo.is_void(row)
    if intent.operation == "deactivate":
        return row.get("Active") is False
    if str(row.get("SyncToken", "")) == intent.sync_token:
        return False
    return echo.carries_fields(intent, row) if intent.entity in echo.CARDS else echo.matches(intent, row)


def _overtaken(intent: Intent, row: Row) -> Verdict:
    """Somebody else wrote in between: harmless when the money is as we knew it, else a person decides."""
    before = intent.echoed_sha
    card = intent.entity in echo.CARDS
    if card or (before and echo.content_sha(row) == before):
        said = {"cause": STALE, "fault_message": "it was touched in QuickBooks meanwhile and is read again"}
        return Verdict(REJECTED, "stale", said)
    said = {
        "cause": EDIT_CONFLICT,
        "fault_message": f"it was changed in QuickBooks by a person meanwhile (id {intent.target_id})",
    }
    return Verdict(REJECTED, "changed by a person", said)


def confirmed_targets(history: Mapping[str, Sequence[Intent]], keys: Iterable[str]) -> list[Intent]:
    """The documents in the books that stand behind these document keys."""
    found = (plan.standing(history.get(plan.source_key(key), ())).base for key in keys)
    return [base for base in found if base is not None and base.state == CONFIRMED]
