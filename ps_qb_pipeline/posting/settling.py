"""Finding out what became of a write whose answer was lost.

What lives here: step P5 of the protocol. A lost creation is looked up by number and key; what is found
is adopted, and only what is still missing after the settle window is sent again, with the same bytes.
A lost update or void is read by its id. What does not: the sending (``sending``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from ps_qb_pipeline.errors import BooksFault, BooksNotSent, BooksThrottled, BooksUnavailable, MeterSpent
from ps_qb_pipeline.posting import changing, echo
from ps_qb_pipeline.posting.ports import Row
from ps_qb_pipeline.posting.sending import Verdict, conclude, judge_row, send
from ps_qb_pipeline.posting.worker import Worker
from ps_qb_pipeline.quickbooks import query
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.intents import (
    COLLISION,
    CONFLICT,
    REJECTED,
    SENT,
    STUCK,
    UNKNOWN,
    Intent,
    Move,
)

CDC_DAYS = 29
CLOCKS_APART = timedelta(hours=26)
"""How wrong the clock of whoever sent it may have been."""
MAYBE_DELETED = "MAYBE_DELETED"
NO_CDC = frozenset({"JournalCode", "TaxAgency", "TimeActivity", "TaxCode", "TaxRate"})


def settle(worker: Worker, in_flight: Iterable[Intent]) -> list[Intent]:
    """Look these up; adopt what is there, send again what is not and has settled.

    Returns the intents that moved. Those that are too young to be missing stay UNKNOWN. An outage of
    the books ends the look-up and leaves everything as it is.
    """
    taken = _take(worker, in_flight)
    if not taken:
        return []
    try:
        found = _find(worker, taken)
        verdicts = {one.key: _decide(worker, one, found.get(one.key, [])) for one in taken}
        again = [one for one in taken if verdicts[one.key] is None and _may_send_again(worker, one)]
        verdicts |= _doubts(worker, again)
    except (BooksUnavailable, BooksNotSent, BooksThrottled, MeterSpent) as error:
        worker.failed(f"QuickBooks cannot be asked: {type(error).__name__}")
        _give_back(worker, taken)
        return []
    worker.step("looked.up")
    moved = _conclude(worker, taken, verdicts)
    worker.step("look.up.recorded")
    certain = [one for one in again if verdicts[one.key] is None]
    for group in _groups(certain, worker.batch):
        if worker.outage:
            break
        moved.extend(send(worker, group))
    return moved


def _doubts(worker: Worker, again: Sequence[Intent]) -> dict[str, Verdict]:
    """Those of these that must not be sent again before a person has looked."""
    creations = [one for one in again if one.operation == "create"]
    suspects = _maybe_deleted(worker, creations) if creations else set()
    return {one.key: _doubt(one) for one in creations if one.key in suspects}


def _doubt(intent: Intent) -> Verdict:
    said = (
        f"a {intent.entity} that we do not know was deleted in QuickBooks while our answer was lost,"
        " or that is longer ago than QuickBooks remembers"
    )
    return Verdict(STUCK, "maybe deleted", {"cause": MAYBE_DELETED, "fault_message": said})


def _conclude(
    worker: Worker, taken: Sequence[Intent], verdicts: Mapping[str, Verdict | None]
) -> list[Intent]:
    """Record what the look-up proved; give back what it did not."""
    outcomes = [(intent, verdict) for intent in taken if (verdict := verdicts[intent.key]) is not None]
    with writing(worker.engine) as tx:
        intents.unclaim(tx, *(intent for intent in taken if verdicts[intent.key] is None))
        return conclude(worker, tx, outcomes)


def _take(worker: Worker, in_flight: Iterable[Intent]) -> list[Intent]:
    """Claim them; what was SENT by a worker that is gone becomes UNKNOWN first."""
    by = worker.claim()
    wanted = [one for one in in_flight if one.state in {SENT, UNKNOWN} and worker.may_take(one)]
    with writing(worker.engine) as tx:
        claimed = intents.claim_many(tx, wanted, by)
        lost = [
            Move(one, UNKNOWN, "its sender is gone", _left_by_now(worker, one))
            for one in claimed
            if one.state == SENT
        ]
        unknown = [one for one in claimed if one.state == UNKNOWN]
        unknown += intents.move_many(tx, lost, now=by.now, run_id=worker.run_id)
        seen = [worker.sight(tx, one) for one in unknown]
    taken = sorted((one for one in seen if one is not None), key=lambda one: one.key)
    worker.touched.update((one.key, one) for one in taken)
    return taken


def _left_by_now(worker: Worker, intent: Intent) -> dict[str, float]:
    """When its bytes may have left at the latest: within the sender's lease, and not after our claim."""
    if intent.sent_boot != worker.clock.boot or intent.sent_monotonic is None:
        return {}
    return {"sent_monotonic": min(worker.clock.monotonic(), intent.sent_monotonic + worker.pace.lease)}


def _give_back(worker: Worker, taken: Iterable[Intent]) -> None:
    with writing(worker.engine) as tx:
        intents.unclaim(tx, *taken)


def _may_send_again(worker: Worker, intent: Intent) -> bool:
    # A change that arrives twice is refused the second time as stale: it needs no window.
    return intent.operation != "create" or worker.since_sent(intent) >= worker.pace.window


def _groups(again: Sequence[Intent], limit: int) -> list[list[Intent]]:
    """What travelled together travels together again: the same batch has the same request id."""
    groups: dict[tuple[int, str], list[Intent]] = {}
    for intent in again:
        groups.setdefault((len(intent.sent_in), intent.sent_in), []).append(intent)
    return [
        group[start : start + limit] for group in groups.values() for start in range(0, len(group), limit)
    ]


def _decide(worker: Worker, intent: Intent, rows: Sequence[Row]) -> Verdict | None:
    """Where the look-up takes an intent; None where it proves nothing yet."""
    if intent.operation != "create":
        return changing.decide(worker, intent, rows[0] if rows else None)
    ours = _ours(intent, rows)
    if len(ours) == 1:
        now = worker.clock.now()
        return judge_row(intent, ours[0], tid=intent.intuit_tid, now=now, adopted=True)
    if ours:
        ids = ", ".join(sorted(str(row["Id"]) for row in ours))
        said = f"QuickBooks holds {len(ours)} documents of this key: ids {ids}"
        return Verdict(CONFLICT, "several found", {"cause": "DUPLICATE_IN_QBO", "fault_message": said})
    if rows:
        return _taken_by_others(intent, rows)
    if intent.attempts >= worker.pace.attempts and worker.since_sent(intent) >= worker.pace.window:
        said = f"sent {intent.attempts} times without an answer, and not in the books"
        return Verdict(STUCK, "no answer", {"cause": "NO_ANSWER", "fault_message": said})
    return None


def _taken_by_others(intent: Intent, rows: Sequence[Row]) -> Verdict:
    ids = ", ".join(sorted(str(row.get("Id")) for row in rows))
    if intent.role in {"customer", "item"}:
        said = f"another {intent.entity.lower()} has this name: id {ids}"
        return Verdict(REJECTED, "name taken", {"cause": "NAME_TAKEN", "fault_message": said})
    said = f"the number {intent.doc_number} belongs to a document that is not ours: id {ids}"
    return Verdict(COLLISION, "number taken", {"cause": "NUMBER_TAKEN", "fault_message": said})


def _ours(intent: Intent, rows: Sequence[Row]) -> list[Row]:
    """The rows that this creation made: by its key, or for a card by name and what marks it.

    A card that a person has renamed since is known by its mark alone, the oldest where several have it.
    """
    if intent.entity not in echo.CARDS:
        return [row for row in rows if echo.is_ours(intent, row)]
    meant = json.loads(intent.body)
    same = same_customer if intent.entity == "Customer" else _same_item
    named = [row for row in rows if same(meant, row)]
    marked = [row for row in rows if _is_marked_so(intent.entity, meant, row)]
    return named or sorted(marked, key=lambda row: (len(str(row["Id"])), str(row["Id"])))[:1]


def _is_marked_so(entity: str, meant: Mapping[str, object], row: Row) -> bool:
    """Whether a card has this person's address and currency, or this product's SKU, whatever it is called."""
    if row.get("Active") is False:
        return False
    if entity == "Item":
        return bool(meant.get("Sku")) and _text(meant.get("Sku")) == _text(row.get("Sku"))
    mail = address_of(meant)
    return bool(mail) and mail == address_of(row) and _currency(meant) in {_currency(row), ""}


def _same_item(meant: Mapping[str, object], row: Row) -> bool:
    return _text(meant.get("Name")) == _text(row.get("Name")) and _text(meant.get("Sku")) == _text(
        row.get("Sku")
    )


def same_customer(meant: Mapping[str, object], row: Row) -> bool:
    """Whether a card is this person's: the same name, and no other e-mail address or currency."""
    return (
        _text(meant.get("DisplayName")) == _text(row.get("DisplayName"))
        and address_of(meant) in {address_of(row), ""}
        and _currency(meant) in {_currency(row), ""}
    )


def address_of(row: Mapping[str, object]) -> str:
    """The e-mail address of a card, in lower case."""
    inside = row.get("PrimaryEmailAddr")
    return _text(inside.get("Address")) if isinstance(inside, Mapping) else ""


def _currency(row: Mapping[str, object]) -> str:
    inside = row.get("CurrencyRef")
    return _text(inside.get("value")) if isinstance(inside, Mapping) else ""


def _text(value: object) -> str:
    return " ".join(str(value or "").split()).casefold()


def _find(worker: Worker, taken: Sequence[Intent]) -> dict[str, list[Row]]:
    """Everything in the books that may be one of these: by id, by number, by change."""
    found: dict[str, dict[str, Row]] = {}
    for entity in sorted({intent.entity for intent in taken}):
        mine = [intent for intent in taken if intent.entity == entity]
        for intent in mine:
            if intent.operation != "create":
                row = _read(worker, entity, intent.target_id)
                if row is not None:
                    found.setdefault(intent.key, {})[str(row["Id"])] = row
        creations = [intent for intent in mine if intent.operation == "create"]
        sought = _Sought(entity, creations)
        for row in candidates(worker, entity, creations):
            for key in sought.fitting(row):
                found.setdefault(key, {})[str(row["Id"])] = row
    return {key: list(rows.values()) for key, rows in found.items()}


class _Sought:
    """Lost creations of one entity, by everything that a row of theirs would carry."""

    def __init__(self, entity: str, creations: Iterable[Intent]) -> None:
        self.entity = entity
        self.by_mark: dict[object, list[str]] = {}
        for intent in creations:
            for mark in self._marks(json.loads(intent.body), intent.doc_number or ""):
                self.by_mark.setdefault(mark, []).append(intent.key)

    def fitting(self, row: Row) -> set[str]:
        """The keys of the creations that may have made this row."""
        marks = self._marks(row, echo.number_of(self.entity, row))
        return {key for mark in marks for key in self.by_mark.get(mark, ())}

    def _marks(self, content: Mapping[str, object], number: str) -> list[object]:
        if self.entity in echo.CARDS:
            name, mark = _name_and_mark(self.entity, content)
            return [("name", _text(name)), *([("mark", _text(mark))] if mark else [])]
        key = echo.identity(content.get("PrivateNote"))
        numbered = [] if self.entity in echo.NO_NUMBER else [number]
        return [key, *numbered] if key else [*numbered]


def _name_and_mark(entity: str, content: Mapping[str, object]) -> tuple[str, str]:
    """What a card is called, and what it is known by when somebody has renamed it: e-mail address or SKU."""
    if entity == "Customer":
        return str(content.get("DisplayName") or ""), address_of(content)
    return str(content.get("Name") or ""), str(content.get("Sku") or "")


def _maybe_deleted(worker: Worker, missing: Sequence[Intent]) -> set[str]:
    """Missing creations that a person may have deleted before we ever saw them.

    The feed names deleted objects by id alone. One that no intent of ours has had may be any of these,
    and a deleted document is never written again by itself.
    """
    suspects: set[str] = set()
    for entity in sorted({intent.entity for intent in missing} - NO_CDC):
        mine = [intent for intent in missing if intent.entity == entity]
        since = _since(worker, mine)
        if worker.clock.now() - since > timedelta(days=CDC_DAYS):
            # The feed does not reach back so far: nobody can tell.
            suspects |= {intent.key for intent in mine}
            continue
        worker.requests += 1
        rows = worker.books.cdc([entity], since).get(entity, [])
        deleted = {str(row["Id"]) for row in rows if row.get("status") == "Deleted"}
        with reading(worker.engine) as tx:
            strange = deleted - intents.known_ids(tx, worker.realm, entity, deleted)
        if strange:
            suspects |= {intent.key for intent in mine}
    return suspects


def _since(worker: Worker, sent: Sequence[Intent]) -> datetime:
    """From when on the feed shows what became of these, whatever their senders' clocks said."""
    now = worker.clock.now()
    return min([now, *(one.first_sent_at for one in sent if one.first_sent_at is not None)]) - CLOCKS_APART


def _read(worker: Worker, entity: str, qbo_id: str) -> Row | None:
    worker.requests += 1
    try:
        return worker.books.read(entity, qbo_id)
    except BooksFault as error:
        if error.fault.code == "610":
            return None
        raise


def candidates(worker: Worker, entity: str, creations: Sequence[Intent]) -> list[Row]:
    """Rows that a query or the change feed names for these creations; deleted ones left out."""
    if not creations:
        return []
    rows: dict[str, Row] = {}
    for where in _conditions(entity, creations):
        worker.requests += 1
        rows.update((str(row["Id"]), row) for row in worker.books.query_all(entity, where))
    if _all_found_once(creations, rows.values()):
        return list(rows.values())
    since = _since(worker, creations)
    # The feed sees a new document at once where a query may lag; it reaches back a month.
    if entity not in NO_CDC and worker.clock.now() - since < timedelta(days=CDC_DAYS):
        worker.requests += 1
        for row in worker.books.cdc([entity], since).get(entity, []):
            if row.get("status") != "Deleted":
                rows.setdefault(str(row["Id"]), row)
    return list(rows.values())


def _all_found_once(creations: Sequence[Intent], rows: Iterable[Row]) -> bool:
    """Whether the query alone has answered: what was sent once and is there cannot be there twice.

    The feed of an hour of backfill holds thousands of documents; after most kills nobody needs it.
    """
    seen = Counter(echo.identity(row.get("PrivateNote")) for row in rows)
    keys = [echo.identity(json.loads(one.body).get("PrivateNote")) for one in creations]
    return all(key and seen[key] == 1 for key in keys) and all(one.attempts == 1 for one in creations)


def _conditions(entity: str, creations: Sequence[Intent]) -> list[str]:
    if entity in echo.CARDS:
        told = [_name_and_mark(entity, json.loads(one.body)) for one in creations]
        fields = ("DisplayName", "PrimaryEmailAddr") if entity == "Customer" else ("Name", "Sku")
        return [
            condition
            for field, values in zip(fields, zip(*told, strict=True), strict=True)
            for condition in query.among(field, sorted(filter(None, set(values))))
        ]
    if entity in echo.NUMBER_FIELD or entity in echo.NO_NUMBER:
        # A payment cannot be queried by its number: all of the day are read and compared here.
        days = sorted({str(json.loads(one.body).get("TxnDate", "")) for one in creations})
        return list(query.among("TxnDate", days))
    return list(query.among("DocNumber", sorted({one.doc_number or "" for one in creations})))
