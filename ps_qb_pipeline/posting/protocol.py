"""Posting: from the documents that should exist to the documents that do, exactly once.

What lives here: ``post``, the one entry point, and its result. It resolves what earlier calls left
open, finds or creates customers and items, then writes sales, then payments and refunds. What does
not: the single steps (``plan``, ``sending``, ``settling``, ``parties``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from ps_qb_pipeline.accounting.documents import Customer, Document, Item
from ps_qb_pipeline.errors import Busy, PipelineError, SettingsError
from ps_qb_pipeline.posting import plan
from ps_qb_pipeline.posting.driving import drive
from ps_qb_pipeline.posting.parties import Parties, resolve
from ps_qb_pipeline.posting.ports import BooksPort, NamesPort, Pace, Rendering, rendering
from ps_qb_pipeline.posting.settling import settle
from ps_qb_pipeline.posting.worker import Worker, no_step
from ps_qb_pipeline.state import intents, leases, owners
from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.intents import (
    CONFIRMED,
    IN_FLIGHT,
    REJECTED,
    Draft,
    Intent,
)


@dataclass(slots=True)
class PostingResult:
    """What one call did, by document key; every wanted document is in exactly one of the lists.

    ``created`` and ``adopted`` were confirmed by this call, ``present`` were there before. ``waiting``
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
    waiting: dict[str, str] = field(default_factory=dict)
    customers: int = 0
    items: int = 0
    customers_adopted: int = 0
    items_adopted: int = 0
    requests: int = 0
    waited: float = 0.0
    stopped: str = ""
    """Why the call ended early; empty when it did all that could be done."""

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
    create_items: bool = True,
    alone: bool = True,
    owner: str | None = None,
    actor: str = "pipeline",
    step: Callable[[str], None] = no_step,
) -> PostingResult:
    """Bring these documents into the books, each exactly once, and say what became of each.

    ``documents`` are those that should exist and are not held; they may include any that exist already.
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
    )
    run = _Run(worker, names, render or rendering(), create_items=create_items)
    stopped = _may_post(worker)
    if stopped:
        return PostingResult(stopped=stopped)
    if not alone:
        return run.all(list(documents), list(customers), list(items))
    try:
        with leases.held(
            store, f"posting|{worker.realm}", owner=worker.owner, seconds=worker.pace.lease, clock=clock
        ) as lease:
            worker.lease = lease
            return run.all(list(documents), list(customers), list(items))
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


class _Run:
    """One call of ``post``."""

    def __init__(self, worker: Worker, names: NamesPort, render: Rendering, *, create_items: bool) -> None:
        self.worker = worker
        self.names = names
        self.render = render
        self.create_items = create_items
        self.result = PostingResult()

    def all(
        self, documents: Sequence[Document], customers: Sequence[Customer], items: Sequence[Item]
    ) -> PostingResult:
        """Every step in order; an outage ends the sending and leaves the rest for the next call."""
        worker, result = self.worker, self.result
        settle(worker, self._in_flight())
        parties = self._parties(customers, items)
        for number, wave in enumerate(plan.waves(documents), start=1):
            keys = self._plan(wave, parties)
            worker.step(f"wave.{number}.planned")
            drive(worker, keys)
        self._classify(documents)
        result.requests, result.waited, result.stopped = worker.requests, worker.waited, worker.outage
        return result

    def _in_flight(self) -> list[Intent]:
        with reading(self.worker.engine) as tx:
            return intents.in_states(tx, self.worker.realm, IN_FLIGHT)

    def _parties(self, customers: Sequence[Customer], items: Sequence[Item]) -> Mapping[str, str]:
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

    def _plan(self, documents: Sequence[Document], missing: Mapping[str, str]) -> list[str]:
        """Write down what is to be sent for these; returns the keys that are to be driven."""
        worker = self.worker
        with reading(worker.engine) as tx:
            sources = [plan.source_key(one.key) for one in documents]
            needed = [plan.source_key(key) for one in documents for key in plan.references(one)]
            history = intents.of_sources(tx, worker.realm, dict.fromkeys([*sources, *needed]))
        compared = plan.compare(documents, history)
        drafts: list[tuple[Draft, Document]] = []
        for document in [
            *compared.new,
            *(one for one, _ in compared.planned),
            *(one for one, _ in compared.refused),
        ]:
            draft = self._draft(document, history, missing)
            if draft is not None:
                drafts.append((draft, document))
        return self._record(drafts, compared)

    def _draft(
        self, document: Document, history: Mapping[str, Sequence[Intent]], missing: Mapping[str, str]
    ) -> Draft | None:
        """The frozen intent of a document, or None with the reason recorded."""
        why = self._not_ready(document, history, missing)
        if why:
            self.result.waiting[document.key] = why
            return None
        try:
            return plan.draft(document, self.render.document(document, self.names))
        except PipelineError as error:
            self.result.waiting[document.key] = str(error)
            return None

    def _not_ready(
        self, document: Document, history: Mapping[str, Sequence[Intent]], missing: Mapping[str, str]
    ) -> str:
        for key in (document.customer_key, *(line.item for line in document.lines)):
            if key and key in missing:
                return f"{key} is not in the books yet: {missing[key]}"
        for key in plan.references(document):
            found = [one for one in history.get(plan.source_key(key), ()) if one.state == CONFIRMED]
            if found:
                newest = found[-1]
                self.names.learn(newest.entity, key, newest.doc_number or "", newest.qbo_id)
            else:
                return f"{key} is not in the books yet"
        return ""

    def _record(self, drafts: Sequence[tuple[Draft, Document]], compared: plan.Comparison) -> list[str]:
        """P0: the intents, in one transaction with the check that no order is refunded beyond its receipts."""
        worker = self.worker
        now = worker.clock.now()
        existing = {intent.key: intent for _, intent in [*compared.planned, *compared.refused]}
        keys: list[str] = []
        with writing(worker.engine) as tx:
            recorded = intents.of_orders(
                tx, worker.realm, {draft.order_key for draft, one in drafts if one.role == "refund"}
            )
            orders = {key: plan.OrderMoney.of(order) for key, order in recorded.items()}
            fresh: list[Draft] = []
            for draft, document in drafts:
                if self._refunds_too_much(draft, document, orders):
                    continue
                intent = existing.get(draft.key)
                if intent is None:
                    fresh.append(draft)
                else:
                    self._replan(tx, intent, draft)
                keys.append(draft.key)
            intents.plan(
                tx,
                fresh,
                realm=worker.realm,
                connection=worker.connection,
                run_id=worker.run_id,
                now=now,
            )
        return keys

    def _refunds_too_much(self, draft: Draft, document: Document, orders: dict[str, plan.OrderMoney]) -> bool:
        if document.role != "refund":
            return False
        above = orders.setdefault(draft.order_key, plan.OrderMoney()).refund(document)
        if not above:
            return False
        self.result.waiting[document.key] = f"REFUND_EXCEEDS_PAID by {above} {document.currency}"
        return True

    def _replan(self, tx: Any, intent: Intent, draft: Draft) -> None:
        """A plan that was never sent follows its document; a refusal is tried again only with other bytes."""
        if intent.body_sha == intents.sha(draft.body):
            return
        if intent.state == REJECTED or intent.first_sent_at is None:
            intents.replan(tx, intent, draft, run_id=self.worker.run_id, now=self.worker.clock.now())

    # -- the result ----------------------------------------------------------------------------

    def _classify(self, documents: Sequence[Document]) -> None:
        """Put every wanted document into exactly one list, by what is recorded now."""
        with reading(self.worker.engine) as tx:
            history = intents.of_sources(
                tx, self.worker.realm, dict.fromkeys(plan.source_key(one.key) for one in documents)
            )
        compared = plan.compare(documents, history)
        result, waiting = self.result, self.result.waiting
        for intent in compared.present:
            self._confirmed(intent)
        result.changed.extend(document.key for document, _ in compared.changed)
        result.planned.extend(one.key for one, _ in compared.planned if one.key not in waiting)
        result.planned.extend(one.key for one in compared.new if one.key not in waiting)
        result.unknown.extend(intent.key for intent in compared.in_flight)
        result.rejected.extend(intent.key for _, intent in compared.refused)
        result.gone.extend(intent.key for intent in compared.gone)
        for intent in compared.waiting:
            (result.mismatched if intent.state == intents.MISMATCH else result.with_person).append(intent.key)
        decided = {intent.key for _, intent in compared.refused}
        for key in decided & waiting.keys():
            del waiting[key]

    def _confirmed(self, intent: Intent) -> None:
        touched = self.worker.touched.get(intent.key)
        if touched is None or touched.state != CONFIRMED:
            self.result.present.append(intent.key)
        elif intent.operation == "update":
            self.result.updated.append(intent.key)
        elif intent.key in self.worker.adopted:
            self.result.adopted.append(intent.key)
        else:
            self.result.created.append(intent.key)
