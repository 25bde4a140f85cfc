"""Customer cards that we made, brought up to what the shop says now.

What lives here: which fields of a card changed in the shop, and which of them a person has changed in the
books since we wrote them: those stay as the person left them. What does not: finding and making cards
(``parties``). Cards that were found in the books and not made by us are never touched.

A card's update needs no intent: it is guarded by the version that was read, repeating it changes
nothing, and whether it arrived is read from the card itself by the next call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ps_qb_pipeline.accounting.documents import Customer, customer_from_json, to_json
from ps_qb_pipeline.errors import BooksFault, PipelineError
from ps_qb_pipeline.posting.parties import suffixed
from ps_qb_pipeline.posting.ports import NamesPort, Rendering, Row
from ps_qb_pipeline.posting.worker import Worker
from ps_qb_pipeline.quickbooks.texts import canonical
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.intents import CONFIRMED, Intent

_UNREADABLE = frozenset({"PrimaryTaxIdentifier"})
"""Fields that QuickBooks shows masked: nobody can tell whether a person changed them."""

_FIXED = frozenset({"CurrencyRef"})
"""Fields that QuickBooks never changes."""

NAME_TAKEN = "6240"


@dataclass(slots=True)
class Followed:
    """Keys of the cards that were updated, and the fields of each that a person's change kept as they are."""

    updated: list[str] = field(default_factory=list)
    kept: dict[str, tuple[str, ...]] = field(default_factory=dict)


def follow(worker: Worker, customers: Iterable[Customer], *, names: NamesPort, render: Rendering) -> Followed:
    """Update the cards that we made and that the shop says otherwise now."""
    result = Followed()
    by_source = {f"Customer|{one.key}": one for one in customers}
    with reading(worker.engine) as tx:
        history = intents.of_sources(tx, worker.realm, by_source, bodies=False)
        changed = [
            base.key
            for source, card in by_source.items()
            if (base := _base(history.get(source, ()))) is not None and base.document_sha != _sha(card)
        ]
        bases = intents.load(tx, worker.realm, changed)
    for base in bases.values():
        if worker.outage:
            break
        try:
            _follow(worker, base, by_source[base.source_key], names, render, result)
        except PipelineError as error:
            # The card is as it was; the documents that name it do not depend on it.
            worker.step(f"card.left {type(error).__name__}")
    return result


def _base(history: Iterable[Intent]) -> Intent | None:
    made = [one for one in history if one.state == CONFIRMED and one.operation == "create" and one.qbo_id]
    return made[-1] if made else None


def _sha(card: Customer) -> str:
    return hashlib.sha256(to_json(card).encode()).hexdigest()


def _follow(
    worker: Worker, base: Intent, card: Customer, names: NamesPort, render: Rendering, result: Followed
) -> None:
    before: dict[str, Any] = json.loads(base.document)
    suffix = before.pop("name_suffix", "")
    written = _fields(customer_from_json(json.dumps(before)), suffix, names, render)
    wanted = _fields(card, suffix, names, render)
    worker.requests += 1
    row = worker.books.read("Customer", base.qbo_id)
    changes, kept = _merged(written, wanted, row)
    if changes:
        _send(worker, base, row, changes)
        result.updated.append(card.key)
    if kept:
        result.kept[card.key] = kept
    document = json.loads(to_json(card)) | ({"name_suffix": suffix} if suffix else {})
    _remember(worker, base, card, json.dumps(document, sort_keys=True), changes)


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
        if before == after or (name not in _UNREADABLE and _says(now, after)):
            continue
        if name in _UNREADABLE or _says(now, before):
            changes[name] = _emptied(before) if after is None else after
        else:
            kept.append(name)
    return changes, tuple(kept)


def _says(now: Any, meant: Any) -> bool:
    """Whether a stored field holds what was meant; QuickBooks adds parts of its own to addresses."""
    if isinstance(meant, dict):
        return isinstance(now, dict) and all(_says(now.get(name), part) for name, part in meant.items())
    return (now or "") == (meant or "")


def _emptied(before: Any) -> Any:
    return dict.fromkeys(before, "") if isinstance(before, dict) else ""


def _send(worker: Worker, base: Intent, row: Row, changes: Mapping[str, Any]) -> None:
    try:
        _update(worker, base, row, changes)
    except BooksFault as error:
        if error.fault.code != NAME_TAKEN or "DisplayName" not in changes:
            raise
        rest = {name: value for name, value in changes.items() if name != "DisplayName"}
        if rest:
            _update(worker, base, row, rest)


def _update(worker: Worker, base: Intent, row: Row, changes: Mapping[str, Any]) -> None:
    head = {"Id": base.qbo_id, "SyncToken": str(row.get("SyncToken", "")), "sparse": True}
    body = canonical({**head, **changes})
    worker.requests += 1
    worker.step("card.update")
    requestid = intents.requestid(worker.realm, "Customer", base.key, intents.sha(body))
    worker.books.update("Customer", body, requestid, before_send=worker.alive)


def _remember(
    worker: Worker, base: Intent, card: Customer, document: str, changes: Mapping[str, Any]
) -> None:
    """What the shop said last is what the next change is compared with."""
    noted = {"document": document, "document_sha": _sha(card)}
    with writing(worker.engine) as tx:
        if intents.note(tx, base, noted) is not None and changes:
            said = f"id {base.qbo_id}: {', '.join(sorted(changes))}"
            worker.audit(tx, worker.entry("update a card", base, after=said))
