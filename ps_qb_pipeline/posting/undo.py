"""Taking back what a run wrote: shown first, then voided, reversed, restored or deactivated.

What lives here: the plan, and its execution through intents like any other write. Doing it again does
nothing twice, and an undo that was cut short goes on where it stopped. What does not: documents that a
person changed or that a later run updated; these are named and left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Engine

from ps_qb_pipeline.accounting.documents import Document, DocumentType, Line, from_json
from ps_qb_pipeline.accounting.identity import shortened, with_note
from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.posting import echo, plan
from ps_qb_pipeline.posting.changing import (
    plan_changes,
    plan_deactivations,
    plan_voids,
    read_many,
    why_not_ours,
)
from ps_qb_pipeline.posting.driving import drive
from ps_qb_pipeline.posting.ports import BooksPort, NamesPort, Pace, Rendering, Row, rendering
from ps_qb_pipeline.posting.settling import settle
from ps_qb_pipeline.posting.worker import Worker, no_step
from ps_qb_pipeline.quickbooks import query
from ps_qb_pipeline.state import identities, intents, leases, owners
from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.intents import CONFIRMED, IN_FLIGHT, Intent

Action = Literal["void", "reverse", "restore", "deactivate", "leave"]

REVERSALS: Mapping[str, DocumentType] = {
    "SalesReceipt": "RefundReceipt",
    "RefundReceipt": "SalesReceipt",
    "Invoice": "CreditMemo",
    "CreditMemo": "Invoice",
    "Payment": "JournalEntry",
}
"""What takes back a document that lies in a closed period."""

USERS = (
    "SalesReceipt",
    "Invoice",
    "Payment",
    "RefundReceipt",
    "CreditMemo",
    "JournalEntry",
    "Deposit",
    "Purchase",
)
"""Where customers and items are used."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the plan. ``amount`` is the document's total; ``why`` says more about what is left."""

    action: Action
    key: str
    entity: str
    number: str
    qbo_id: str
    amount: Decimal = Decimal(0)
    currency: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """Everything that an undo would do, in the order in which it would."""

    runs: tuple[str, ...]
    steps: tuple[Step, ...]

    def counts(self) -> dict[str, int]:
        """How many steps of each kind."""
        found: dict[str, int] = {}
        for step in self.steps:
            found[step.action] = found.get(step.action, 0) + 1
        return found

    def amounts(self, action: Action) -> dict[str, Decimal]:
        """The money of one kind of step, by currency."""
        sums: dict[str, Decimal] = {}
        for step in self.steps:
            if step.action == action and step.amount:
                sums[step.currency] = sums.get(step.currency, Decimal(0)) + step.amount
        return sums


@dataclass(slots=True)
class UndoResult:
    """What an undo did, by document or card key; ``left`` says why the rest stands."""

    voided: list[str] = field(default_factory=list)
    reversed: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    deactivated: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    """Sent or planned, and not known to be done: the next call goes on with these."""
    requests: int = 0
    stopped: str = ""


def plan_undo(
    store: Engine,
    connection: str,
    *,
    books: BooksPort,
    runs: Iterable[str] = (),
    keys: Iterable[str] = (),
    close_date: date | None = None,
    clock: Clock | None = None,
) -> UndoPlan:
    """What taking back these runs, or these documents, would do. Nothing is written.

    ``close_date`` is the last day of the closed books. Raises SettingsError when a run wrote nothing.
    """
    worker = _worker(store, connection, books, run_id="plan", by="", clock=clock, pace=None, step=no_step)
    listed = tuple(dict.fromkeys(runs))
    chosen = _chosen(worker, listed, tuple(keys))
    steps = [*_document_steps(worker, chosen, close_date), *_card_steps(worker, chosen, close_date)]
    return UndoPlan(listed, tuple(steps))


def undo(
    store: Engine,
    connection: str,
    *,
    books: BooksPort,
    names: NamesPort,
    run_id: str,
    by: str,
    runs: Iterable[str] = (),
    keys: Iterable[str] = (),
    close_date: date | None = None,
    clock: Clock | None = None,
    pace: Pace | None = None,
    render: Rendering | None = None,
    owner: str | None = None,
    step: Callable[[str], None] = no_step,
) -> UndoResult:
    """Take these runs or documents back. Restartable: called again it goes on, and then does nothing.

    Raises Busy while another process is posting.
    """
    worker = _worker(store, connection, books, run_id=run_id, by=by, clock=clock, pace=pace, step=step)
    worker.owner = owner or worker.owner
    listed, named = tuple(dict.fromkeys(runs)), tuple(keys)
    with leases.held(
        store,
        f"posting|{worker.realm}",
        owner=worker.owner,
        seconds=worker.pace.lease,
        clock=worker.clock,
    ) as lease:
        worker.lease = lease
        return _Undo(worker, names, render or rendering(), close_date).all(listed, named)


def _worker(
    store: Engine,
    connection: str,
    books: BooksPort,
    *,
    run_id: str,
    by: str,
    clock: Clock | None,
    pace: Pace | None,
    step: Callable[[str], None],
) -> Worker:
    known = Connections(store).get(connection)
    if known is None or known.realm != books.realm:
        raise SettingsError("is not bound to these books", where=f"connection {connection}")
    return Worker(
        engine=store,
        books=books,
        clock=clock or SystemClock(),
        pace=pace or Pace(),
        connection=connection,
        realm=books.realm,
        run_id=run_id,
        owner=owners.this_process(),
        actor=by,
        step=step,
    )


# -- choosing ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What is to be taken back: documents by source with their history, and cards."""

    documents: dict[str, list[Intent]]
    """Source key to the intents of the chosen runs, oldest first."""
    history: Mapping[str, Sequence[Intent]]
    cards: tuple[Intent, ...]


def _chosen(worker: Worker, runs: Sequence[str], keys: Sequence[str]) -> _Chosen:
    found: dict[str, Intent] = {}
    with reading(worker.engine) as tx:
        for run in runs:
            of_run = intents.of_run(tx, worker.realm, run)
            if not of_run:
                raise SettingsError(f"run {run} wrote nothing to the books of {worker.connection}")
            found.update((one.key, one) for one in of_run)
        found.update(intents.load(tx, worker.realm, keys))
        done = [one for one in found.values() if one.confirmed_at is not None and one.operation != "void"]
        cards = [one for one in done if one.role in {"customer", "item"} and one.state == CONFIRMED]
        papers = [one for one in done if one.role not in {"customer", "item"}]
        history = intents.of_sources(tx, worker.realm, {one.source_key for one in papers})
    documents: dict[str, list[Intent]] = {}
    for one in sorted(papers, key=lambda intent: (intent.revision, intent.key)):
        documents.setdefault(one.source_key, []).append(one)
    creations = tuple(one for one in cards if one.operation == "create")
    return _Chosen(documents, history, creations)


@dataclass(frozen=True, slots=True)
class _Task:
    """One document to take back: its standing intent, and what it should be again, if anything."""

    base: Intent
    before: Intent | None = None
    why: str = ""


def _tasks(chosen: _Chosen) -> list[_Task]:
    tasks: list[_Task] = []
    for source, mine in sorted(chosen.documents.items()):
        base = plan.standing(chosen.history[source]).base
        if base is None:
            continue
        if base.key not in {one.key for one in mine}:
            tasks.append(_Task(base, why=f"was updated by run {base.run_id} since; undo that one as well"))
        elif mine[0].operation == "create":
            tasks.append(_Task(base))
        else:
            former = [one for one in chosen.history[source] if one.key == mine[0].target_key]
            tasks.append(_Task(base, before=former[0] if former else None))
    return _dependents_first(tasks)


def _dependents_first(tasks: Sequence[_Task]) -> list[_Task]:
    documents = {plan.source_key(task.base.key): task for task in tasks}
    ordered = plan.waves([from_json(task.base.document) for task in tasks])
    return [documents[plan.source_key(one.key)] for wave in reversed(ordered) for one in wave]


def _is_closed(base: Intent, close_date: date | None) -> bool:
    return close_date is not None and from_json(base.document).txn_date <= close_date


def _document_steps(worker: Worker, chosen: _Chosen, close_date: date | None) -> list[Step]:
    tasks = _tasks(chosen)
    rows = read_many(worker, [task.base for task in tasks])
    steps: list[Step] = []
    for task in tasks:
        base = task.base
        why = task.why
        if not why:
            touched = why_not_ours(base, rows.get(base.key))
            why = str(touched) if touched is not None else ""
        action: Action = "leave" if why else "void"
        if not why and task.before is not None:
            action = "restore"
        elif not why and _is_closed(base, close_date):
            action = "reverse"
        steps.append(_step(action, base, why))
    return steps


def _step(action: Action, base: Intent, why: str = "") -> Step:
    return Step(
        action,
        base.key,
        base.entity,
        base.doc_number or "",
        base.qbo_id,
        base.amount,
        base.currency,
        why,
    )


def _card_steps(worker: Worker, chosen: _Chosen, close_date: date | None) -> list[Step]:
    """Cards that the runs created; those that anything else uses stay."""
    if not chosen.cards:
        return []
    taken_back = {
        (task.base.entity, task.base.qbo_id)
        for task in _tasks(chosen)
        if not task.why and task.before is None and not _is_closed(task.base, close_date)
    }
    used = _used(worker, chosen.cards, taken_back)
    return [
        _step("leave", card, "is used by other documents")
        if (card.entity, card.qbo_id) in used
        else _step("deactivate", card)
        for card in sorted(chosen.cards, key=lambda one: one.key)
    ]


def _used(worker: Worker, cards: Sequence[Intent], except_for: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Cards that a live document names. Only documents touched since the first card was made can."""
    since = min(card.created_at for card in cards) - timedelta(days=1)
    used: set[tuple[str, str]] = set()
    for entity in USERS:
        worker.requests += 1
        for row in worker.books.query_all(entity, query.changed_since(since)):
            if (entity, str(row["Id"])) not in except_for and not echo.is_void(row):
                used |= set(_names(row))
    return used


def _names(row: Row) -> Iterable[tuple[str, str]]:
    """Every customer and item that a document refers to."""
    customer = (row.get("CustomerRef") or {}).get("value")
    if customer:
        yield "Customer", str(customer)
    for line in row.get("Line") or ():
        detail = line.get(str(line.get("DetailType"))) or {}
        item = (detail.get("ItemRef") or {}).get("value")
        entity = detail.get("Entity") or {}
        if item:
            yield "Item", str(item)
        if (entity.get("EntityRef") or {}).get("value"):
            yield str(entity.get("Type") or "Customer"), str(entity["EntityRef"]["value"])


# -- doing -------------------------------------------------------------------------------------


class _Undo:
    """One call of ``undo``."""

    def __init__(self, worker: Worker, names: NamesPort, render: Rendering, close_date: date | None) -> None:
        self.worker = worker
        self.names = names
        self.render = render
        self.close_date = close_date
        self.result = UndoResult()

    def all(self, runs: Sequence[str], keys: Sequence[str]) -> UndoResult:
        worker, result = self.worker, self.result
        with reading(worker.engine) as tx:
            in_flight = intents.in_states(tx, worker.realm, IN_FLIGHT)
        settle(worker, in_flight)
        chosen = _chosen(worker, runs, keys)
        self._documents(chosen)
        if not worker.outage and not result.unfinished:
            self._cards(chosen)
        result.requests, result.stopped = worker.requests, worker.outage
        return result

    def _documents(self, chosen: _Chosen) -> None:
        tasks = _tasks(chosen)
        for task in tasks:
            if task.why:
                self.result.left[task.base.key] = task.why
        open_tasks = [task for task in tasks if not task.why]
        restores = [task for task in open_tasks if task.before is not None]
        creations = [task.base for task in open_tasks if task.before is None]
        closed = [base for base in creations if _is_closed(base, self.close_date)]
        # Dependents are voided in requests of their own before what they hang on.
        for wave in _waves([base for base in creations if not _is_closed(base, self.close_date)]):
            self._void(wave)
        self._reverse(closed)
        self._restore(restores)

    def _void(self, bases: Sequence[Intent]) -> None:
        planned = plan_voids(self.worker, bases, reason=f"undo by {self.worker.actor}")
        self.worker.step("undo.voids.planned")
        drive(self.worker, planned.keys)
        self.result.left.update((key, str(why)) for key, why in planned.waiting.items())
        with reading(self.worker.engine) as tx:
            after = intents.load(tx, self.worker.realm, [base.key for base in bases], bodies=False)
        for base in bases:
            if after[base.key].state == intents.VOIDED:
                self.result.voided.append(base.key)
            elif base.key not in self.result.left:
                self.result.unfinished.append(base.key)

    def _reverse(self, bases: Sequence[Intent]) -> None:
        """A document of the opposite kind on the first open day for each of these."""
        if not bases or self.worker.outage:
            return
        rows = read_many(self.worker, bases)
        reversals: dict[str, Document] = {}
        for base in bases:
            why = why_not_ours(base, rows.get(base.key))
            if why is not None:
                self.result.left[base.key] = str(why)
                continue
            made = self._reversal(base)
            if made is None:
                self.result.left[base.key] = f"a {base.entity} in a closed period needs the accountant"
            else:
                reversals[base.key] = made
        drafts = [plan.draft(one, self.render.document(one, self.names)) for one in reversals.values()]
        worker = self.worker
        with writing(worker.engine) as tx:
            now = worker.clock.now()
            intents.plan(
                tx,
                drafts,
                realm=worker.realm,
                connection=worker.connection,
                run_id=worker.run_id,
                now=now,
            )
        drive(worker, [draft.key for draft in drafts])
        with reading(worker.engine) as tx:
            after = intents.load(tx, worker.realm, [draft.key for draft in drafts], bodies=False)
        for key, document in reversals.items():
            done = after[document.key].state == CONFIRMED
            (self.result.reversed if done else self.result.unfinished).append(key)

    def _reversal(self, base: Intent) -> Document | None:
        document = from_json(base.document)
        kind = REVERSALS.get(document.type)
        if kind is None or self.close_date is None:
            return None
        installation = plan.installation_of(base.key)
        common: dict[str, Any] = {
            "key": f"{installation}|adjustment|undo-{document.role}-{document.source_id}|{base.revision}",
            "type": kind,
            "role": "adjustment",
            "source_id": f"undo-{document.role}-{document.source_id}",
            "revision": base.revision,
            "doc_number": shortened(f"{document.doc_number}-U"),
            "txn_date": self.close_date + timedelta(days=1),
            "due_date": None,
            "refund_of": "",
            "applied": (),
            "private_note": "",
        }
        if kind == "JournalEntry":
            receivable = self._receivable(document.currency)
            if not receivable or not document.deposit_to:
                return None
            common["lines"] = (
                Line(kind="account", item="", amount=document.total, account=receivable, posting="debit"),
                Line(
                    kind="account",
                    item="",
                    amount=document.total,
                    account=document.deposit_to,
                    posting="credit",
                ),
            )
        self._teach(document)
        return with_note(replace(document, **common))

    def _receivable(self, currency: str) -> str:
        """The receivables account of a currency; empty when the company has none."""
        accounts = self.worker.books.query_all("Account", "AccountType IN ('Accounts Receivable')")
        fitting = [
            row
            for row in accounts
            if row.get("Active", True) and (row.get("CurrencyRef") or {}).get("value", currency) == currency
        ]
        return str(fitting[0].get("FullyQualifiedName") or fitting[0].get("Name")) if fitting else ""

    def _teach(self, document: Document) -> None:
        """The ids of the customer and the items that the document was written with."""
        with reading(self.worker.engine) as tx:
            for kind, keys in (
                ("Customer", [document.customer_key]),
                ("Item", [line.item for line in document.lines]),
            ):
                found = identities.known(tx, self.worker.realm, kind, [key for key in keys if key])
                for key, identity in found.items():
                    self.names.learn(kind, key, "", identity.qbo_id)

    def _restore(self, tasks: Sequence[_Task]) -> None:
        """What the runs updated becomes again what it was before them."""
        changes: list[plan.Change] = []
        for task in tasks:
            assert task.before is not None
            document = from_json(task.before.document)
            self._teach(document)
            again = replace(document, revision=task.base.revision + 1)
            changes.append(plan.Change(again, task.base, None))
        if not changes or self.worker.outage:
            return
        planned = plan_changes(self.worker, changes, names=self.names, render=self.render)
        drive(self.worker, planned.keys)
        self.result.left.update((key, str(why)) for key, why in planned.waiting.items())
        with reading(self.worker.engine) as tx:
            after = intents.load(tx, self.worker.realm, planned.keys, bodies=False)
        for key, intent in sorted(after.items()):
            (self.result.restored if intent.state == CONFIRMED else self.result.unfinished).append(key)

    def _cards(self, chosen: _Chosen) -> None:
        steps = _card_steps(self.worker, chosen, self.close_date)
        cards = {card.key: card for card in chosen.cards}
        self.result.left.update((step.key, step.why) for step in steps if step.action == "leave")
        going = [cards[step.key] for step in steps if step.action == "deactivate"]
        if not going:
            return
        planned = plan_deactivations(self.worker, going)
        self.worker.step("undo.cards.planned")
        drive(self.worker, planned.keys)
        with reading(self.worker.engine) as tx:
            after = intents.load(tx, self.worker.realm, [card.key for card in going], bodies=False)
        for card in going:
            done = after[card.key].state == intents.VOIDED
            (self.result.deactivated if done else self.result.unfinished).append(card.key)


def _waves(bases: Sequence[Intent]) -> list[list[Intent]]:
    """The documents so that each comes in an earlier wave than what it hangs on."""
    by_source = {base.source_key: base for base in bases}
    ordered = plan.waves([from_json(base.document) for base in bases])
    return [[by_source[plan.source_key(one.key)] for one in wave] for wave in reversed(ordered)]


ACTIONS: tuple[Action, ...] = ("void", "reverse", "restore", "deactivate", "leave")


def shown(undone: UndoPlan) -> list[str]:
    """The plan as lines for people: a summary, then what is left alone and why."""
    lines = []
    for action in ACTIONS:
        count = undone.counts().get(action, 0)
        if count:
            money = ", ".join(f"{total:,.2f} {code}" for code, total in undone.amounts(action).items())
            lines.append(f"{action}: {count:,}{f' ({money})' if money else ''}")
    lines.extend(
        f"  left: {one.entity} {one.number or one.key}: {one.why}" for one in undone.steps if one.why
    )
    return lines
