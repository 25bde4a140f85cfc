"""Posting: from the documents that should exist to the documents that do, exactly once.

What lives here: ``post``, the one entry point, and its result. It resolves what earlier calls left
open, finds or creates customers and items, then writes sales, then payments and refunds. What does
not: the single steps (``plan``, ``sending``, ``settling``, ``parties``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, Engine

from ps_qb_pipeline.accounting.documents import Customer, Document, Item, from_json
from ps_qb_pipeline.errors import Busy, PipelineError, SettingsError
from ps_qb_pipeline.posting import plan
from ps_qb_pipeline.posting.cards import follow
from ps_qb_pipeline.posting.changing import STALE, confirmed_targets, plan_changes, plan_voids
from ps_qb_pipeline.posting.driving import drive
from ps_qb_pipeline.posting.echo import ONE_PER_SOURCE
from ps_qb_pipeline.posting.holding import keep_holds
from ps_qb_pipeline.posting.parties import Parties, resolve
from ps_qb_pipeline.posting.ports import BooksPort, NamesPort, Pace, Rendering, rendering
from ps_qb_pipeline.posting.sending import doubt
from ps_qb_pipeline.posting.settling import settle
from ps_qb_pipeline.posting.worker import WAITS, Cards, Waiting, Worker, no_step
from ps_qb_pipeline.state import intents, leases, owners
from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.intents import (
    CONFIRMED,
    DROPPED,
    IN_FLIGHT,
    PLANNED,
    REJECTED,
    Draft,
    Intent,
    Move,
)


@dataclass(slots=True)
class PostingResult:
    """What one call did, by document key; every wanted document is in exactly one of the lists.

    ``created`` and ``adopted`` were confirmed by this call, ``present`` were there before. ``held``
    tells why a document could not be sent yet. ``customers`` and ``items`` count what was created.
    """

    created: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    voided: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    with_person: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    cards: list[str] = field(default_factory=list)
    """Customers whose cards were brought up to what the shop says now."""
    held: dict[str, Waiting] = field(default_factory=dict)
    customers: int = 0
    items: int = 0
    customers_adopted: int = 0
    items_adopted: int = 0
    requests: int = 0
    waited: float = 0.0
    stopped: str = ""
    """Why the call ended early; empty when it did all that could be done."""

    @property
    def waiting(self) -> dict[str, str]:
        """Why each held document could not be sent, in words."""
        return {key: str(why) for key, why in self.held.items()}

    @property
    def confirmed(self) -> list[str]:
        """Everything that is in the books as wanted."""
        return [*self.present, *self.created, *self.adopted, *self.updated]

    def counts(self) -> dict[str, int]:
        """The lengths of the lists, for metadata."""
        listed = {
            name: len(value)
            for name in self.__dataclass_fields__
            if isinstance(value := getattr(self, name), list | dict)
        }
        return {
            **listed,
            "customers": self.customers,
            "items": self.items,
            "customers_adopted": self.customers_adopted,
            "items_adopted": self.items_adopted,
            "requests": self.requests,
        }


def post(
    documents: Iterable[Document],
    customers: Iterable[Customer],
    items: Iterable[Item],
    *,
    books: BooksPort,
    names: NamesPort,
    store: Engine,
    run_id: str,
    connection: str,
    clock: Clock | None = None,
    pace: Pace | None = None,
    render: Rendering | None = None,
    voids: Iterable[str] = (),
    there: Collection[str] = (),
    create_items: bool = True,
    alone: bool = True,
    owner: str | None = None,
    actor: str = "pipeline",
    step: Callable[[str], None] = no_step,
    cards: Cards | None = None,
    follow_cards: bool = True,
) -> PostingResult:
    """Bring these documents into the books, each exactly once, and say what became of each.

    ``documents`` are those that should exist and are not held; they may include any that exist already.
    ``voids`` are keys of documents that are in the books and should not be any more. ``cards`` answers the
    look-up of customers and items from a mirror; without it the books are asked, which is metered.
    ``follow_cards`` brings cards up to what the shop says now, with one metered read for each that changed.
    ``there`` are keys that documents of the books carry: one of these without a record of ours is looked
    up before it is sent, for then the control plane is older than the books (it was restored).
    Nothing is sent unless the connection is armed. A second process on the same company makes this
    one return at once with ``stopped`` set. Raises SettingsError when the books are those of another
    company than the connection's, ReconnectNeeded, StorageError.
    """
    clock = clock or SystemClock()
    worker = Worker(
        engine=store,
        books=books,
        clock=clock,
        pace=pace or Pace(),
        connection=connection,
        realm=books.realm,
        run_id=run_id,
        owner=owner or owners.this_process(),
        actor=actor,
        step=step,
        cards=cards,
    )
    run = _Run(
        worker,
        names,
        render or rendering(),
        create_items=create_items,
        there=there,
        follow_cards=follow_cards,
    )
    stopped = _may_post(worker)
    if stopped:
        return PostingResult(stopped=stopped)
    if not alone:
        return run.all(list(documents), list(customers), list(items), list(voids))
    try:
        with leases.held(
            store, f"posting|{worker.realm}", owner=worker.owner, seconds=worker.pace.lease, clock=clock
        ) as lease:
            worker.lease = lease
            return run.all(list(documents), list(customers), list(items), list(voids))
    except Busy as busy:
        return PostingResult(stopped=str(busy))


def _may_post(worker: Worker) -> str:
    known = Connections(worker.engine, clock=worker.clock).get(worker.connection)
    if known is None or not known.armed:
        return f"posting is off for {worker.connection}; psqb go-live switches it on"
    if known.realm != worker.realm:
        raise SettingsError(
            f"is bound to company {known.realm}, and these books are those of {worker.realm}",
            where=f"connection {worker.connection}",
        )
    return ""


def _same(key: str) -> str:
    """What two keys of one document share: all but the revision, where a source has one document only."""
    return plan.source_key(key) if key.split("|")[1] in ONE_PER_SOURCE else key


class _Run:
    """One call of ``post``."""

    def __init__(
        self,
        worker: Worker,
        names: NamesPort,
        render: Rendering,
        *,
        create_items: bool,
        there: Collection[str],
        follow_cards: bool,
    ) -> None:
        self.follow_cards = follow_cards
        self.worker = worker
        self.names = names
        self.render = render
        self.create_items = create_items
        self.there = {_same(key) for key in there}
        self.result = PostingResult()
        self.hashed = plan.remembering()

    def all(
        self,
        documents: Sequence[Document],
        customers: Sequence[Customer],
        items: Sequence[Item],
        voids: Sequence[str],
    ) -> PostingResult:
        """Every step in order; an outage ends the sending and leaves the rest for the next call."""
        worker, result = self.worker, self.result
        settle(worker, self._in_flight())
        parties = self._parties(customers, items)
        for wave in plan.waves(documents):
            self._wave(wave, parties)
        if self.follow_cards:
            result.cards = follow(worker, customers, names=self.names, render=self.render).updated
        self._void(voids)
        self._classify(documents)
        keep_holds(worker, documents, voids, result.held)
        result.requests, result.waited, result.stopped = worker.requests, worker.waited, worker.outage
        return result

    def _in_flight(self) -> list[Intent]:
        with reading(self.worker.engine) as tx:
            return intents.in_states(tx, self.worker.realm, IN_FLIGHT)

    def _parties(self, customers: Sequence[Customer], items: Sequence[Item]) -> Mapping[str, Waiting]:
        """Resolve customers and items; returns why those without an id have none."""
        found: list[Parties] = []
        for kind, wanted in (("Customer", customers), ("Item", items)):
            if self.worker.outage:
                break
            create = kind == "Customer" or self.create_items
            found.append(
                resolve(
                    self.worker,
                    kind,  # type: ignore[arg-type]
                    wanted,
                    names=self.names,
                    render=self.render,
                    create=create,
                )
            )
        for which, count in zip(("customers", "items"), found, strict=False):
            setattr(self.result, which, len(count.created))
            setattr(self.result, f"{which}_adopted", len(count.adopted))
        return {key: why for one in found for key, why in one.missing.items()}

    # -- planning ------------------------------------------------------------------------------

    def _history(self, documents: Sequence[Document]) -> Mapping[str, Sequence[Intent]]:
        sources = [plan.source_key(one.key) for one in documents]
        needed = [plan.source_key(key) for one in documents for key in plan.references(one)]
        with reading(self.worker.engine) as tx:
            return intents.of_sources(tx, self.worker.realm, dict.fromkeys([*sources, *needed]), bodies=False)

    def _wave(self, documents: Sequence[Document], missing: Mapping[str, Waiting]) -> None:
        """Create what is missing of one wave, then update what is wanted otherwise than it stands."""
        history = self._history(documents)
        compared = plan.compare(documents, history, self.hashed)
        drafts: list[tuple[Draft, Document]] = []
        started = [*(one for one, _ in compared.planned), *(one for one, _ in compared.refused)]
        for document in [*compared.new, *started]:
            draft = self._draft(document, history, missing)
            if draft is not None:
                drafts.append((draft, document))
        keys = self._record(drafts, compared)
        self.worker.step("wave.planned")
        forgotten = [one.key for one in compared.new if _same(one.key) in self.there]
        settle(self.worker, doubt(self.worker, [key for key in forgotten if key in set(keys)]))
        drive(self.worker, keys)
        changes = [one for one in compared.changed if self._ready(one.document, history, missing)]
        self._change(changes)

    def _change(self, changes: Sequence[plan.Change]) -> None:
        """Update these; one that went stale while we wrote is read again, twice at most."""
        for _ in range(3):
            if not changes or self.worker.outage:
                return
            planned = plan_changes(self.worker, changes, names=self.names, render=self.render)
            self.result.held.update(planned.waiting)
            self.worker.step("changes.planned")
            drive(self.worker, planned.keys)
            documents = [change.document for change in changes]
            again = plan.compare(documents, self._history(documents), self.hashed).changed
            changes = [one for one in again if one.pending is not None and one.pending.cause == STALE]

    def _void(self, keys: Iterable[str]) -> None:
        """Void the documents behind these keys, unless something in the books still hangs on them.

        What never arrived there is not sent any more.
        """
        listed = list(keys)
        if not listed or self.worker.outage:
            return
        with reading(self.worker.engine) as tx:
            history = intents.of_sources(tx, self.worker.realm, map(plan.source_key, listed), bodies=False)
        self._drop_unsent(map(plan.standing, history.values()))
        bases = []
        for base in confirmed_targets(history, listed):
            hanging = self._hanging_on(base)
            if hanging:
                said = f"{', '.join(hanging)} must be voided first"
                self.result.held[base.key] = Waiting("VOID_BLOCKED", said)
            else:
                bases.append(base)
        planned = plan_voids(self.worker, bases, reason="not wanted any more")
        self.result.held.update(planned.waiting)
        self.worker.step("voids.planned")
        drive(self.worker, planned.keys)
        with reading(self.worker.engine) as tx:
            found = intents.load(tx, self.worker.realm, planned.keys, bodies=False)
        self.result.voided.extend(key for key, one in sorted(found.items()) if one.state == CONFIRMED)

    def _drop_unsent(self, standings: Iterable[plan.Standing]) -> None:
        """Forget creations that never arrived: planned means that nothing of them is in the books, refused too."""
        worker = self.worker
        moves = [
            Move(one.pending, DROPPED, "not wanted any more")
            for one in standings
            if one.base is None
            and one.pending is not None
            and one.pending.operation == "create"
            and one.pending.state in {PLANNED, REJECTED}
        ]
        if moves:
            with writing(worker.engine) as tx:
                intents.move_many(tx, moves, now=worker.clock.now(), run_id=worker.run_id)

    def _hanging_on(self, base: Intent) -> list[str]:
        if not base.order_key:
            return []
        with reading(self.worker.engine) as tx:
            order = intents.of_orders(tx, self.worker.realm, [base.order_key]).get(base.order_key, [])
        alive = [one for one in order if one.state in {CONFIRMED, *IN_FLIGHT} and one.operation != "void"]
        return [
            one.key
            for one in alive
            if base.source_key in map(plan.source_key, plan.references(from_json(one.document)))
        ]

    def _draft(
        self, document: Document, history: Mapping[str, Sequence[Intent]], missing: Mapping[str, Waiting]
    ) -> Draft | None:
        """The frozen intent of a document, or None with the reason recorded."""
        if not self._ready(document, history, missing):
            return None
        try:
            return plan.draft(document, self.render.document(document, self.names), self.hashed)
        except PipelineError as error:
            self.result.held[document.key] = Waiting.because(error)
            return None

    def _ready(
        self, document: Document, history: Mapping[str, Sequence[Intent]], missing: Mapping[str, Waiting]
    ) -> bool:
        """Whether everything that the document names is in the books; what it refers to is taught to names."""
        why = self._not_ready(document, history, missing)
        if why is not None:
            self.result.held[document.key] = why
        return why is None

    def _not_ready(
        self, document: Document, history: Mapping[str, Sequence[Intent]], missing: Mapping[str, Waiting]
    ) -> Waiting | None:
        for key in (document.customer_key, *(line.item for line in document.lines)):
            if key and key in missing:
                return missing[key]
        for key in plan.references(document):
            base, pending, _ = plan.standing(history.get(plan.source_key(key), ()))
            if base is None:
                return Waiting(WAITS, f"{key} is not in the books yet")
            if pending is not None and pending.operation == "void" and pending.state in {PLANNED, *IN_FLIGHT}:
                return Waiting(WAITS, f"{key} is being voided")
            self.names.learn(base.entity, key, base.doc_number or "", base.qbo_id)
        return None

    def _record(self, drafts: Sequence[tuple[Draft, Document]], compared: plan.Comparison) -> list[str]:
        """P0: the intents, in one transaction with the check that no order is refunded beyond its receipts."""
        worker = self.worker
        existing = {one.key: intent for one, intent in [*compared.planned, *compared.refused]}
        keys: list[str] = []
        with writing(worker.engine) as tx:
            recorded = intents.of_orders(
                tx, worker.realm, {draft.order_key for draft, one in drafts if one.role == "refund"}
            )
            orders = {key: plan.OrderMoney.of(order) for key, order in recorded.items()}
            started = self._started(tx, drafts)
            numbers = intents.numbered(tx, worker.realm, [draft for draft, _ in drafts])
            fresh: list[Draft] = []
            for draft, document in drafts:
                intent = existing.get(document.key)
                of_whom = intent.key if intent is not None else draft.key
                if started.get(draft.source_key, of_whom) != of_whom:
                    # Another worker has begun with this source since we looked; the next call follows it.
                    continue
                if self._refunds_too_much(draft, document, orders) or self._number_is_anothers(
                    draft, of_whom, numbers
                ):
                    continue
                if intent is None:
                    fresh.append(draft)
                    keys.append(draft.key)
                else:
                    # The order may have got a new revision before its first one ever went out: the
                    # intent keeps its key, so that whatever happened to it is never forgotten.
                    self._replan(tx, intent, replace(draft, key=intent.key, revision=intent.revision))
                    keys.append(intent.key)
            known = intents.load(tx, worker.realm, [one.key for one in fresh], bodies=False)
            intents.plan(
                tx,
                fresh,
                realm=worker.realm,
                connection=worker.connection,
                run_id=worker.run_id,
                now=worker.clock.now(),
            )
            for draft in fresh:
                # An order that was cancelled before it was sent, and is one again.
                if draft.key in known and known[draft.key].state == DROPPED:
                    self._replan(tx, known[draft.key], draft)
        return keys

    def _refunds_too_much(self, draft: Draft, document: Document, orders: dict[str, plan.OrderMoney]) -> bool:
        if document.role != "refund":
            return False
        above = orders.setdefault(draft.order_key, plan.OrderMoney()).refund(document)
        if not above:
            return False
        said = f"with the order's other refunds it is {above} {document.currency} more than was received"
        self.result.held[document.key] = Waiting("REFUND_EXCEEDS_PAID", said)
        return True

    def _started(self, tx: Connection, drafts: Sequence[tuple[Draft, Document]]) -> dict[str, str]:
        """The creations that sources with one document have now, by source key."""
        sources = {draft.source_key for draft, _ in drafts if draft.role in ONE_PER_SOURCE}
        history = intents.of_sources(tx, self.worker.realm, sources, bodies=False)
        return {
            source: one.key
            for source, mine in history.items()
            for one in mine
            if one.operation == "create" and one.state != DROPPED
        }

    def _number_is_anothers(self, draft: Draft, key: str, numbers: dict[tuple[str, str], str]) -> bool:
        """Two documents of ours with one number could not be told apart after a lost answer: the second waits."""
        if draft.doc_number is None:
            return False
        holder = numbers.setdefault((draft.entity, draft.doc_number), key)
        if holder != key:
            said = f"the number {draft.doc_number} is that of {holder} already"
            self.result.held[draft.key] = Waiting("NUMBER_TAKEN", said)
        return holder != key

    def _replan(self, tx: Connection, intent: Intent, draft: Draft) -> None:
        """A plan that was never sent follows its document; a refusal is tried again only with other bytes."""
        if intent.state != DROPPED and intent.body_sha == intents.sha(draft.body):
            return
        if intents.may_replan(intent):
            intents.replan(tx, intent, draft, run_id=self.worker.run_id, now=self.worker.clock.now())

    # -- the result ----------------------------------------------------------------------------

    def _classify(self, documents: Sequence[Document]) -> None:
        """Put every wanted document into exactly one list, by what is recorded now."""
        result, waiting = self.result, self.result.held
        compared = plan.compare(documents, self._history(documents), self.hashed)
        for document, intent in compared.present:
            self._confirmed(document.key, intent)
        lists = (
            (result.unknown, compared.in_flight),
            (result.rejected, compared.refused),
            (result.gone, compared.gone),
        )
        for target, found in lists:
            target.extend(document.key for document, _ in found)
        for document, intent in compared.waiting:
            mismatch = intent.state == intents.MISMATCH
            (result.mismatched if mismatch else result.with_person).append(document.key)
        for change in compared.changed:
            refused = change.pending is not None and change.pending.state == REJECTED
            if change.document.key not in waiting:
                (result.rejected if refused else result.changed).append(change.document.key)
        unsent = [*(document for document, _ in compared.planned), *compared.new]
        result.planned.extend(document.key for document in unsent if document.key not in waiting)
        decided = {*result.rejected, *result.unknown, *result.gone, *result.mismatched, *result.with_person}
        for key in decided & waiting.keys():
            del waiting[key]

    def _confirmed(self, key: str, intent: Intent) -> None:
        touched = self.worker.touched.get(intent.key)
        if touched is None or touched.state != CONFIRMED:
            self.result.present.append(key)
        elif intent.operation == "update":
            self.result.updated.append(key)
        elif intent.key in self.worker.adopted:
            self.result.adopted.append(key)
        else:
            self.result.created.append(key)
