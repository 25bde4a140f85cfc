"""Customer cards that we made, brought up to what the shop says now.

What lives here: which fields of a card changed in the shop, which of them a person has changed in the
books since we wrote them (those stay as the person left them), and the intents of the updates. What does
not: finding and making cards (``parties``), sending (``driving``), and what became of an update whose
answer was lost (``changing.decide``). Cards that were found in the books and not made by us are never
touched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ps_qb_pipeline.accounting.documents import Customer, customer_from_json, to_json
from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.posting import echo, plan
from ps_qb_pipeline.posting.changing import STALE, change_of, drop, read_many, write_down
from ps_qb_pipeline.posting.driving import drive
from ps_qb_pipeline.posting.parties import suffixed
from ps_qb_pipeline.posting.ports import NamesPort, Rendering, Row
from ps_qb_pipeline.posting.worker import Worker
from ps_qb_pipeline.quickbooks.texts import canonical
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.intents import CONFIRMED, PLANNED, REJECTED, Draft, Intent

_FIXED = frozenset({"CurrencyRef"})
"""Fields that QuickBooks never changes."""

NAME = "DisplayName"
NAME_TAKEN = "NAME_TAKEN"


@dataclass(slots=True)
class Followed:
    """Keys of the cards that were updated, and the fields of each that a person's change kept as they are."""

    updated: list[str] = field(default_factory=list)
    kept: dict[str, tuple[str, ...]] = field(default_factory=dict)


class _Change(NamedTuple):
    """A card that the shop says otherwise now, with the update that is already under way, if any."""

    card: Customer
    base: Intent
    pending: Intent | None
    revision: int


def follow(worker: Worker, customers: Iterable[Customer], *, names: NamesPort, render: Rendering) -> Followed:
    """Update the cards that we made and that the shop says otherwise now.

    An update that somebody's touch made stale, or whose new name is another's, is planned once more.
    """
    result = Followed()
    by_source = {f"Customer|{one.key}": one for one in customers}
    for _ in range(3):
        changes = [] if worker.outage else _changes(worker, by_source)
        keys = _plan(worker, changes, names, render, result)
        if not keys:
            break
        worker.step("cards.planned")
        drive(worker, list(keys))
        with reading(worker.engine) as tx:
            after = intents.load(tx, worker.realm, keys, bodies=False)
        result.updated += [keys[key] for key, one in sorted(after.items()) if one.state == CONFIRMED]
        if not any(_refused_for_now(one) for one in after.values()):
            break
    return result


def _refused_for_now(update: Intent) -> bool:
    """Whether another reading, or leaving out the name, helps."""
    return update.state == REJECTED and update.cause in {STALE, NAME_TAKEN}


def _changes(worker: Worker, by_source: Mapping[str, Customer]) -> list[_Change]:
    """The cards to be written; what waits for an answer or for a person is left alone."""
    with reading(worker.engine) as tx:
        history = intents.of_sources(tx, worker.realm, by_source, bodies=False)
    found: list[tuple[str, Intent, Intent | None, int]] = []
    for source, mine in sorted(history.items()):
        base, pending, _ = plan.standing(mine)
        if base is None:
            continue
        wanted = _sha(by_source[source])
        if base.document_sha == wanted:
            drop(worker, pending)
        elif pending is None or _may_go(pending, wanted):
            found.append((source, base, pending, max(one.revision for one in mine) + 1))
    with reading(worker.engine) as tx:
        bases = intents.load(tx, worker.realm, [base.key for _, base, _, _ in found])
    return [
        _Change(by_source[source], bases[base.key], pending, revision)
        for source, base, pending, revision in found
    ]


def _may_go(pending: Intent, wanted: str) -> bool:
    """Whether an update that did not go through is to be tried again: stale, without its name, or otherwise."""
    if pending.operation != "update":
        return False
    otherwise = pending.state == REJECTED and pending.document_sha != wanted
    return pending.state == PLANNED or _refused_for_now(pending) or otherwise


def _sha(card: Customer) -> str:
    return hashlib.sha256(to_json(card).encode()).hexdigest()


def _plan(
    worker: Worker, changes: Sequence[_Change], names: NamesPort, render: Rendering, result: Followed
) -> dict[str, str]:
    """Write the updates down; their keys with the keys of the cards."""
    sent = [one for one in changes if one.pending is not None and one.pending.first_sent_at is not None]
    # What has left once goes out again as it is, unless QuickBooks has refused it.
    keys = {one.pending.key: one.card.key for one in sent if one.pending and one.pending.state == PLANNED}
    fresh = [one for one in changes if one.pending is None or one.pending.key not in keys]
    rows = read_many(worker, [one.base for one in fresh])
    if fresh:
        worker.step("cards.read")
    for change in fresh:
        row = rows.get(change.base.key)
        if row is None or row.get("Active") is False:
            # A person has taken the card out of use; who needs it is told by the documents that name it.
            continue
        try:
            draft = _draft(change, row, names, render, result)
        except PipelineError as error:
            # What the company lacks for a card holds nobody up: the card stays as it was.
            worker.step(f"card.left {type(error).__name__}")
            continue
        if draft is None:
            _remember(worker, change)
        else:
            write_down(worker, draft)
            keys[draft.key] = change.card.key
    return keys


def _draft(change: _Change, row: Row, names: NamesPort, render: Rendering, result: Followed) -> Draft | None:
    """The update of a card, or None when nothing is to be written."""
    card, base, pending, revision = change
    before: dict[str, Any] = json.loads(base.document)
    suffix = before.pop("name_suffix", "")
    written = _fields(customer_from_json(json.dumps(before)), suffix, names, render)
    wanted = _fields(card, suffix, names, render)
    changes, kept = _merged(written, wanted, row)
    if pending is not None and pending.cause == NAME_TAKEN:
        changes.pop(NAME, None)
        kept = (*kept, NAME)
    if kept:
        result.kept[card.key] = kept
    if not changes:
        return None
    token = str(row.get("SyncToken", ""))
    number = revision if pending is None else pending.revision
    return change_of(
        base,
        row,
        "update",
        number,
        document=_document(card, suffix),
        document_sha=_sha(card),
        body=canonical({"Id": base.qbo_id, "SyncToken": token, "sparse": True, **changes}),
    )


def _document(card: Customer, suffix: str) -> str:
    return json.dumps(json.loads(to_json(card)) | ({"name_suffix": suffix} if suffix else {}), sort_keys=True)


def _fields(card: Customer, suffix: str, names: NamesPort, render: Rendering) -> dict[str, Any]:
    """The card as QuickBooks gets it, under the suffixed name where the plain one was taken."""
    named = suffixed(card)[0] if suffix else card
    fields: dict[str, Any] = json.loads(render.customer(named, names))  # type: ignore[arg-type]  # suffixed keeps the kind
    return fields


def _merged(
    written: Mapping[str, Any], wanted: Mapping[str, Any], row: Row
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields to write, and those that a person has changed: the shop's word, the last one, the books'."""
    changes: dict[str, Any] = {}
    kept = []
    for name in sorted({*written, *wanted} - _FIXED):
        before, after, now = written.get(name), wanted.get(name), row.get(name)
        masked = name in echo.MASKED
        if before == after or (not masked and echo.says(now, after)):
            continue
        if masked or echo.says(now, before):
            changes[name] = _emptied(before) if after is None else after
        else:
            kept.append(name)
    return changes, tuple(kept)


def _emptied(before: Any) -> Any:
    return dict.fromkeys(before, "") if isinstance(before, dict) else ""


def _remember(worker: Worker, change: _Change) -> None:
    """Nothing is to be written: what the shop said last is what its next word is compared with."""
    suffix = json.loads(change.base.document).get("name_suffix", "")
    noted = {"document": _document(change.card, suffix), "document_sha": _sha(change.card)}
    with writing(worker.engine) as tx:
        intents.note(tx, change.base, noted)
        if change.pending is not None and intents.may_replan(change.pending):
            now = worker.clock.now()
            intents.move(
                tx,
                change.pending,
                intents.DROPPED,
                now=now,
                run_id=worker.run_id,
                reason="not wanted any more",
            )
