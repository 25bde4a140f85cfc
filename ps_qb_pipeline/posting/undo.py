"""Taking back what a run wrote: shown first, then voided, reversed, restored or deactivated.

What lives here: carrying the plan out, through intents like any other write. Doing it again does nothing
twice, and an undo that was cut short goes on where it stopped. What does not: the plan (``undo_plan``),
and documents that a person changed or that something of another run hangs on; these are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Literal

from sqlalchemy import Engine

from ps_qb_pipeline.accounting.documents import Document, DocumentType, Line, from_json
from ps_qb_pipeline.accounting.identity import shortened, with_note
from ps_qb_pipeline.errors import PipelineError, SettingsError
from ps_qb_pipeline.posting import plan
from ps_qb_pipeline.posting.changing import (
    plan_changes,
    plan_deactivations,
    plan_voids,
    read_many,
    why_not_ours,
)
from ps_qb_pipeline.posting.driving import drive
from ps_qb_pipeline.posting.ports import BooksPort, NamesPort, Pace, Rendering, rendering
from ps_qb_pipeline.posting.settling import settle
from ps_qb_pipeline.posting.undo_plan import (
    STAYS,
    Chosen,
    Task,
    UndoPlan,
    card_steps,
    choose,
    hanging,
    holding,
    is_reversed,
    steps,
)
from ps_qb_pipeline.posting.worker import Worker, no_step
from ps_qb_pipeline.state import identities, intents, leases, owners
from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.intents import CONFIRMED, DROPPED, IN_FLIGHT, PLANNED, Draft, Intent, Move

REVERSALS: Mapping[str, DocumentType] = {
    "SalesReceipt": "RefundReceipt",
    "RefundReceipt": "SalesReceipt",
    "Invoice": "CreditMemo",
    "CreditMemo": "Invoice",
    "Payment": "JournalEntry",
    "JournalEntry": "JournalEntry",
    "Transfer": "Transfer",
}
"""What takes back a document that lies in a closed period, or that QuickBooks cannot void."""


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
    chosen = choose(worker, listed, tuple(keys))
    return UndoPlan(listed, tuple(steps(worker, chosen, close_date)))


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


_OTHER_SIDE: Mapping[str, Literal["", "debit", "credit"]] = {"debit": "credit", "credit": "debit", "": ""}


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
        chosen = choose(worker, runs, keys)
        result.left |= {task.base.key: task.why for task in chosen.tasks if task.why}
        result.unfinished.extend(chosen.in_flight)
        self._documents([task for task in chosen.tasks if not task.why])
        if not worker.outage and not result.unfinished:
            self._cards(chosen)
        result.requests, result.stopped = worker.requests, worker.outage
        return result

    def _documents(self, tasks: Sequence[Task]) -> None:
        creations = [task.base for task in tasks if task.before is None]
        # What hangs on others goes in requests of its own before them, and stays with them where it stays.
        for wave in _waves(creations):
            going = self._without_what_stays(creations, wave)
            self._void([base for base in going if not is_reversed(base, self.close_date)], creations)
            self._reverse([base for base in going if is_reversed(base, self.close_date)])
        self._restore([task for task in tasks if task.before is not None])

    def _without_what_stays(self, all_of_them: Sequence[Intent], wave: Sequence[Intent]) -> list[Intent]:
        """Those of a wave that nothing hangs on which could not be taken back."""
        staying = {*self.result.left, *self.result.unfinished}
        held = holding((base, STAYS) for base in all_of_them if base.key in staying)
        self.result.left |= {base.key: held[base.source_key] for base in wave if base.source_key in held}
        return [base for base in wave if base.source_key not in held]

    def _void(self, bases: Sequence[Intent], creations: Sequence[Intent]) -> None:
        if not bases:
            return
        planned = plan_voids(self.worker, bases, reason=f"undo by {self.worker.actor}")
        self.worker.step("undo.voids.planned")
        self._spare(bases, hanging(self.worker, bases, {base.source_key for base in creations}), planned.keys)
        drive(self.worker, planned.keys)
        self.result.left.update((key, str(why)) for key, why in planned.waiting.items())
        with reading(self.worker.engine) as tx:
            after = intents.load(tx, self.worker.realm, [base.key for base in bases], bodies=False)
        for base in bases:
            if after[base.key].state == intents.VOIDED:
                self.result.voided.append(base.key)
            elif base.key not in self.result.left:
                self.result.unfinished.append(base.key)

    def _spare(self, bases: Sequence[Intent], held: Mapping[str, str], keys: Sequence[str]) -> None:
        """Drop voids again on whose documents a live run has hung something since they were chosen.

        From the moment that a void is planned nothing more is hung on its document.
        """
        spared = {base.key: held[base.source_key] for base in bases if base.source_key in held}
        if not spared:
            return
        worker = self.worker
        with writing(worker.engine) as tx:
            voids = intents.load(tx, worker.realm, keys, bodies=False).values()
            planned = [one for one in voids if one.target_key in spared and one.state == PLANNED]
            moves = [Move(one, DROPPED, "not alone any more") for one in planned]
            intents.move_many(tx, moves, now=worker.clock.now(), run_id=worker.run_id)
        self.result.left |= spared

    def _reverse(self, bases: Sequence[Intent]) -> None:
        """A document of the opposite kind for each of these: on its own day, or the first open one after it."""
        if not bases:
            return
        if self.worker.outage:
            self.result.unfinished.extend(base.key for base in bases)
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
                self.result.left[base.key] = f"a {base.entity} cannot be reversed; it needs the accountant"
            else:
                reversals[base.key] = made
        drafts: list[Draft] = []
        for key, document in list(reversals.items()):
            try:
                drafts.append(plan.draft(document, self.render.document(document, self.names)))
            except PipelineError as error:
                self.result.left[key] = str(error)
                del reversals[key]
        worker = self.worker
        with writing(worker.engine) as tx:
            now = worker.clock.now()
            numbers = intents.numbered(tx, worker.realm, drafts)
            drafts = [
                one for one in drafts if numbers.get((one.entity, one.doc_number or ""), one.key) == one.key
            ]
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
            if document.key not in after:
                self.result.left[key] = f"the number {document.doc_number} of its reversal is taken"
                continue
            done = after[document.key].state == CONFIRMED
            (self.result.reversed if done else self.result.unfinished).append(key)

    def _reversal(self, base: Intent) -> Document | None:
        document = from_json(base.document)
        kind = REVERSALS.get(document.type)
        if kind is None:
            return None
        day = document.txn_date
        if self.close_date is not None and day <= self.close_date:
            day = self.close_date + timedelta(days=1)
        installation = plan.installation_of(base.key)
        common: dict[str, Any] = {
            "key": f"{installation}|adjustment|undo-{document.role}-{document.source_id}|{base.revision}",
            "type": kind,
            "role": "adjustment",
            "source_id": f"undo-{document.role}-{document.source_id}",
            "revision": base.revision,
            "doc_number": shortened(f"{document.doc_number}-U"),
            "txn_date": day,
            "due_date": None,
            "refund_of": "",
            "applied": (),
            "private_note": "",
        }
        if document.type == "Transfer":
            common |= {"from_account": document.to_account, "to_account": document.from_account}
        elif document.type == "JournalEntry":
            common["lines"] = tuple(
                replace(line, posting=_OTHER_SIDE[line.posting]) for line in document.lines
            )
        elif kind == "JournalEntry":
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

    def _restore(self, tasks: Sequence[Task]) -> None:
        """What the runs updated becomes again what it was before them."""
        changes: list[plan.Change] = []
        for task in tasks:
            assert task.before is not None
            document = from_json(task.before.document)
            self._teach(document)
            again = replace(document, revision=task.base.revision + 1)
            changes.append(plan.Change(again, task.base, None))
        if not changes:
            return
        if self.worker.outage:
            self.result.unfinished.extend(change.base.key for change in changes)
            return
        planned = plan_changes(self.worker, changes, names=self.names, render=self.render)
        drive(self.worker, planned.keys)
        self.result.left.update((key, str(why)) for key, why in planned.waiting.items())
        with reading(self.worker.engine) as tx:
            after = intents.load(tx, self.worker.realm, planned.keys, bodies=False)
        for key, intent in sorted(after.items()):
            (self.result.restored if intent.state == CONFIRMED else self.result.unfinished).append(key)

    def _cards(self, chosen: Chosen) -> None:
        voided = set(self.result.voided)
        bases = [task.base for task in chosen.tasks if task.base.key in voided]
        planned_steps = card_steps(self.worker, chosen, {(base.entity, base.qbo_id) for base in bases})
        cards = {card.key: card for card in chosen.cards}
        self.result.left.update((step.key, step.why) for step in planned_steps if step.action == "leave")
        going = [cards[step.key] for step in planned_steps if step.action == "deactivate"]
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
