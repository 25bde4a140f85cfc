"""Customers and items: found in the books, or created there, never twice.

What lives here: the look-up by what identifies a person or a product, the deterministic way out of a
name clash, and the lasting answer. What does not: documents (``protocol``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from ps_qb_pipeline.accounting.documents import Customer, Item, to_json
from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.posting import plan
from ps_qb_pipeline.posting.changing import STALE, change_of, read_many, write_down
from ps_qb_pipeline.posting.driving import drive
from ps_qb_pipeline.posting.ports import NamesPort, Rendering, Row
from ps_qb_pipeline.posting.settling import address_of
from ps_qb_pipeline.posting.worker import WAITS, Waiting, Worker
from ps_qb_pipeline.quickbooks import query
from ps_qb_pipeline.quickbooks.texts import canonical
from ps_qb_pipeline.state import identities, intents
from ps_qb_pipeline.state.audit import AuditEntry
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.identities import Identity
from ps_qb_pipeline.state.intents import CONFIRMED, PLANNED, REJECTED, Draft, Intent


class _Retired(NamedTuple):
    """A deactivated card, the reactivation that is already under way, and the next free revision."""

    closed: Intent
    back: Intent | None
    revision: int


Kind = Literal["Customer", "Item"]
Party = Customer | Item

ITEM_UNMAPPED = "ITEM_UNMAPPED"
MAX_NAME = {"Customer": 500, "Item": 100}


@dataclass(slots=True)
class Parties:
    """What became of the customers and items: key to QuickBooks id, and the keys that have none."""

    ids: dict[str, str] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    missing: dict[str, Waiting] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    """Names that others bear in the books, among those that were looked up."""


def resolve(
    worker: Worker,
    kind: Kind,
    wanted: Sequence[Party],
    *,
    names: NamesPort,
    render: Rendering,
    create: bool = True,
) -> Parties:
    """Every wanted customer or item with its QuickBooks id: known, found, or created now."""
    unique = {party.key: party for party in sorted(wanted, key=lambda one: one.key)}
    result = Parties()
    with reading(worker.engine) as tx:
        decided = identities.known(tx, worker.realm, kind, unique)
        history = intents.of_sources(tx, worker.realm, map(_source(kind), unique), bodies=False)
    result.ids.update((key, identity.qbo_id) for key, identity in decided.items())
    started = {one.source_id for found in history.values() for one in found if one.state != intents.DROPPED}
    retired = _retired(history.values())
    unknown = [party for key, party in unique.items() if key not in decided]
    # Of those that are the same one, the one whose card another worker has begun comes first.
    unknown.sort(key=lambda party: (party.key not in started, party.key))
    first, followers = _leaders(unknown)
    _adopt(worker, kind, [party for party in first if party.key not in started], result)
    missing = [party for party in first if party.key not in result.ids]
    if create:
        _create(worker, kind, [party for party in missing if party.key not in retired], names, render, result)
        _reactivate(worker, {one.key: retired[one.key] for one in missing if one.key in retired}, result)
    else:
        unmapped = {party.key: _absent(ITEM_UNMAPPED, party.key) for party in missing}
        result.missing.update(unmapped)
    for follower, leader in followers.items():
        _follow(worker, kind, follower, leader, result)
    for key, qbo_id in result.ids.items():
        if key in unique:
            names.learn(kind, key, _name(unique[key]), qbo_id)
    return result


def _source(kind: Kind) -> Callable[[str], str]:
    return lambda key: f"{kind}|{key}"


def _name(party: Party) -> str:
    return party.display_name if isinstance(party, Customer) else party.name


def _leaders(unknown: Iterable[Party]) -> tuple[list[Party], dict[str, str]]:
    """One of those that are the same person or product, and who follows whom."""
    leaders: dict[tuple[str, ...], Party] = {}
    followers: dict[str, str] = {}
    for party in unknown:
        mark = _mark(party)
        if mark in leaders:
            followers[party.key] = leaders[mark].key
        else:
            leaders[mark] = party
    return list(leaders.values()), followers


def _mark(party: Party) -> tuple[str, ...]:
    if isinstance(party, Customer):
        return ("mail", _text(party.email), party.currency) if party.email else ("key", party.key)
    return ("sku", _text(party.sku)) if party.sku else ("key", party.key)


def _text(value: object) -> str:
    return " ".join(str(value or "").split()).casefold()


def _follow(worker: Worker, kind: Kind, follower: str, leader: str, result: Parties) -> None:
    qbo_id = result.ids.get(leader)
    if qbo_id is None:
        result.missing[follower] = result.missing.get(leader) or _absent(WAITS, leader)
        return
    result.ids[follower] = qbo_id
    same = Identity(kind, follower, qbo_id, f"same as {leader}", worker.run_id)
    with writing(worker.engine) as tx:
        identities.remember(tx, worker.realm, [same], now=worker.clock.now())


# -- finding -----------------------------------------------------------------------------------


def _adopt(worker: Worker, kind: Kind, parties: Sequence[Party], result: Parties) -> None:
    """Find these in the books and keep the answer."""
    if not parties:
        return
    look = _customers if kind == "Customer" else _items
    found = look(worker, parties, result.taken)
    now = worker.clock.now()
    adopted = [
        Identity(kind, key, str(row["Id"]), found_by, worker.run_id)
        for key, (row, found_by) in sorted(found.items())
    ]
    with writing(worker.engine) as tx:
        identities.remember(tx, worker.realm, adopted, now=now)
        worker.audit(
            tx,
            *(
                AuditEntry(
                    at=now,
                    connection=worker.connection,
                    actor=worker.actor,
                    action="adopt",
                    subject=f"{kind}|{one.key}",
                    after=f"id {one.qbo_id}",
                    reason=f"found by {one.found_by}",
                    run_id=worker.run_id,
                )
                for one in adopted
            ),
        )
    result.ids.update((one.key, one.qbo_id) for one in adopted)
    result.adopted.extend(one.key for one in adopted)


def _rows(worker: Worker, entity: str, field_name: str, values: Iterable[str]) -> list[Row]:
    listed = sorted({value for value in values if value})
    rows: list[Row] = []
    if worker.cards is not None and listed:
        rows.extend(worker.cards(entity, field_name, listed))
        listed = []
    for where in query.among(field_name, listed):
        worker.requests += 1
        rows.extend(worker.books.query_all(entity, where))
    return [row for row in rows if row.get("Active", True) is not False]


def _customers(worker: Worker, parties: Sequence[Party], taken: set[str]) -> dict[str, tuple[Row, str]]:
    """By e-mail address, then by exact name; in the customer's currency; the oldest card first."""
    customers = [party for party in parties if isinstance(party, Customer)]
    by_mail = _index(
        _rows(worker, "Customer", "PrimaryEmailAddr", (one.email for one in customers)), address_of
    )
    by_name = _index(
        _rows(worker, "Customer", "DisplayName", (one.display_name for one in customers)),
        lambda row: _text(row.get("DisplayName")),
    )
    taken |= by_name.keys()
    found: dict[str, tuple[Row, str]] = {}
    for one in customers:
        mails = [row for row in by_mail.get(_text(one.email), []) if one.email and _pays_in(row, one)]
        same = [row for row in mails if _text(row.get("DisplayName")) == _text(one.display_name)]
        namesakes = [
            row
            for row in by_name.get(_text(one.display_name), [])
            if _pays_in(row, one) and address_of(row) in {"", _text(one.email)}
        ]
        for rows, how in ((same, "e-mail and name"), (mails, "e-mail"), (namesakes, "name")):
            if rows:
                found[one.key] = (rows[0], how)
                break
    return found


def _pays_in(row: Row, customer: Customer) -> bool:
    currency = (row.get("CurrencyRef") or {}).get("value")
    return not currency or not customer.currency or currency == customer.currency


def _items(worker: Worker, parties: Sequence[Party], taken: set[str]) -> dict[str, tuple[Row, str]]:
    """By SKU, then by exact name where the item has no other SKU."""
    items = [party for party in parties if isinstance(party, Item)]
    by_sku = _index(
        _rows(worker, "Item", "Sku", (one.sku for one in items)), lambda row: _text(row.get("Sku"))
    )
    by_name = _index(
        _rows(worker, "Item", "Name", (one.name for one in items)), lambda row: _text(row.get("Name"))
    )
    taken |= by_name.keys()
    found: dict[str, tuple[Row, str]] = {}
    for one in items:
        skus = by_sku.get(_text(one.sku), []) if one.sku else []
        namesakes = [
            row for row in by_name.get(_text(one.name), []) if _text(row.get("Sku")) in {"", _text(one.sku)}
        ]
        for rows, how in ((skus, "SKU"), (namesakes, "name")):
            sellable = [row for row in rows if row.get("Type") not in {"Category", "Group"}]
            if sellable:
                found[one.key] = (sellable[0], how)
                break
    return found


def _index(rows: Iterable[Row], by: Callable[[Row], str]) -> dict[str, list[Row]]:
    index: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda one: (len(str(one["Id"])), str(one["Id"]))):
        index.setdefault(by(row), []).append(row)
    return index


# -- creating ----------------------------------------------------------------------------------


def _create(
    worker: Worker,
    kind: Kind,
    parties: Sequence[Party],
    names: NamesPort,
    render: Rendering,
    result: Parties,
) -> None:
    drafts: dict[str, Draft] = {}
    for party in parties:
        # A name that is known to be taken is not tried: the refusal would have to be looked into.
        named, suffix = suffixed(party) if _text(_name(party)) in result.taken else (party, "")
        result.taken.add(_text(_name(named)))
        try:
            drafts[f"{kind}|{party.key}|0"] = _draft(kind, party, names, render, suffix)
        except PipelineError as error:
            # What the company lacks for this card holds up its documents, not those of others.
            result.missing[party.key] = Waiting.because(error)
    parties = [party for party in parties if party.key not in result.missing]
    if not parties:
        return
    with writing(worker.engine) as tx:
        intents.plan(
            tx,
            list(drafts.values()),
            realm=worker.realm,
            connection=worker.connection,
            run_id=worker.run_id,
            now=worker.clock.now(),
        )
        known = intents.load(tx, worker.realm, drafts, bodies=False)
        other = [
            key
            for key, intent in known.items()
            if intent.state in {REJECTED, PLANNED} and intent.body_sha != intents.sha(drafts[key].body)
        ]
        for key, intent in intents.load(tx, worker.realm, other).items():
            _correct(worker, tx, intent, drafts[key])
    worker.step("parties.planned")
    drive(worker, drafts)
    _rename(worker, kind, parties, names, render)
    with reading(worker.engine) as tx:
        known = intents.load(tx, worker.realm, drafts, bodies=False)
    for party in parties:
        intent = known[f"{kind}|{party.key}|0"]
        if intent.state == CONFIRMED:
            result.ids[party.key] = intent.qbo_id
            result.created.append(party.key)
        else:
            result.missing[party.key] = _absent(WAITS, party.key)


def _retired(histories: Iterable[Sequence[Intent]]) -> dict[str, _Retired]:
    """Cards of ours that an undo deactivated and nothing has brought back since, by key."""
    found: dict[str, _Retired] = {}
    for history in histories:
        base, pending, closed = plan.standing(history)
        if base is None and closed is not None:
            back = pending if pending is not None and pending.operation == "update" else None
            revision = max(one.revision for one in history) + 1
            found[closed.source_id] = _Retired(closed, back, revision)
    return found


def _reactivate(worker: Worker, cards: Mapping[str, _Retired], result: Parties) -> None:
    """Bring deactivated cards of ours back to use: their names are taken, so that no others can be made."""
    fresh = {key: one for key, one in cards.items() if one.back is None or _is_open(one.back)}
    with reading(worker.engine) as tx:
        whole = intents.load(tx, worker.realm, [one.closed.key for one in fresh.values()])
    rows = read_many(worker, list(whole.values()))
    keys = {key: one.back.key for key, one in cards.items() if one.back is not None}
    for key, (closed, back, revision) in fresh.items():
        row = rows.get(closed.key)
        if row is None:
            said = f"{key} (id {closed.qbo_id}) was deleted in QuickBooks by a person"
            result.missing[key] = Waiting("QBO_DELETED", said)
            keys.pop(key, None)
            continue
        draft = _reactivation(whole[closed.key], row, back.revision if back is not None else revision)
        write_down(worker, draft)
        keys[key] = draft.key
    drive(worker, keys.values())
    with reading(worker.engine) as tx:
        after = intents.load(tx, worker.realm, keys.values(), bodies=False)
    for key, intent_key in keys.items():
        if after[intent_key].state == CONFIRMED:
            result.ids[key] = after[intent_key].qbo_id
        else:
            result.missing[key] = _absent(WAITS, key)


def _is_open(back: Intent) -> bool:
    """Whether a reactivation may be written anew: it never went out, or somebody touched the card meanwhile."""
    return intents.may_replan(back) and (back.state != REJECTED or back.cause == STALE)


def _reactivation(closed: Intent, row: Row, revision: int) -> Draft:
    token = str(row.get("SyncToken", ""))
    head = {"Id": closed.qbo_id, "SyncToken": token}
    # QuickBooks marks the names of what is not in use.
    name = "DisplayName" if closed.entity == "Customer" else "Name"
    plain = str(row.get(name, "")).removesuffix(" (deleted)")
    return change_of(
        closed,
        row,
        "update",
        revision,
        document=closed.document,
        document_sha=closed.document_sha,
        body=canonical({**head, "sparse": True, "Active": True, name: plain}),
    )


def _absent(code: str, key: str) -> Waiting:
    return Waiting(code, f"{key} is not in the books yet")


def _correct(worker: Worker, tx: Any, intent: Intent, fixed: Draft) -> None:
    """The shop's data changed since: send the corrected card instead, unless the old one is on its way."""
    renamed = intent.cause == "NAME_TAKEN" or _suffixed(intent)
    if renamed or (intent.state == PLANNED and intent.first_sent_at is not None):
        return
    intents.replan(tx, intent, fixed, run_id=worker.run_id, now=worker.clock.now())


def _suffixed(intent: Intent) -> bool:
    return bool(json.loads(intent.document).get("name_suffix"))


def _draft(kind: Kind, party: Party, names: NamesPort, render: Rendering, suffix: str = "") -> Draft:
    """The intent of a card; under its suffixed name where it has one, and recorded as the shop says it."""
    named = suffixed(party)[0] if suffix else party
    body = render.customer(named, names) if isinstance(named, Customer) else render.item(named, names)
    document = to_json(party)
    if suffix:
        document = json.dumps({**json.loads(document), "name_suffix": suffix}, sort_keys=True)
    return Draft(
        key=f"{kind}|{party.key}|0",
        operation="create",
        entity=kind,
        role=kind.lower(),
        source_id=party.key,
        revision=0,
        doc_number=None,
        source_key=f"{kind}|{party.key}",
        order_key="",
        document=document,
        document_sha=hashlib.sha256(to_json(party).encode()).hexdigest(),
        amount=Decimal(0),
        currency=party.currency if isinstance(party, Customer) else "",
        body=body,
    )


def _rename(
    worker: Worker, kind: Kind, parties: Sequence[Party], names: NamesPort, render: Rendering
) -> None:
    """Give those whose name belongs to somebody else a suffix that is the same every time, and send again."""
    by_key = {f"{kind}|{party.key}|0": party for party in parties}
    with writing(worker.engine) as tx:
        known = intents.load(tx, worker.realm, by_key, bodies=False)
        taken = [one.key for one in known.values() if one.state == REJECTED and one.cause == "NAME_TAKEN"]
        found = intents.load(tx, worker.realm, taken)
        refused = [intent for intent in found.values() if not _suffixed(intent)]
        for intent in refused:
            party = by_key[intent.key]
            fixed = _draft(kind, party, names, render, suffixed(party)[1])
            intents.replan(tx, intent, fixed, run_id=worker.run_id, now=worker.clock.now())
    if refused:
        drive(worker, [intent.key for intent in refused])


def suffixed(party: Party) -> tuple[Party, str]:
    """The party under a name that only it has: the shop's own number in brackets, or the SKU."""
    if isinstance(party, Customer):
        number = str(min(party.source_ids)) if party.source_ids else _short(party.key)
        name = _fit(party.display_name, f" (PS {number})", MAX_NAME["Customer"])
        return replace(party, display_name=name), number
    number = party.sku or _short(party.key)
    return replace(party, name=_fit(party.name, f" ({number})", MAX_NAME["Item"])), number


def _fit(name: str, suffix: str, limit: int) -> str:
    return name[: limit - len(suffix)].rstrip() + suffix


def _short(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:8]
