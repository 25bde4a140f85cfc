"""The live path: from the hints in the inbox to documents in the books, for the orders concerned alone.

What lives here: one round (read, land, translate, gate, post, tick off) and the going on while more
arrives. What does not: Dagster (``live_jobs``), where hints come from (``hints``, ``gateway``).

A round reads whole orders by their ids, so that it needs no cursor and moves none. Hints are ticked off
at its end: a run that dies at any moment leaves them open, and the next one does the same again, which
changes nothing that was done. Nothing heavy is imported here; what a round costs is paid a hundred
times a day.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.abc import MetaPathFinder
from typing import Any

import duckdb
from sqlalchemy import select

from ps_qb_pipeline.accounting.documents import (
    Customer,
    Document,
    Item,
    customer_from_json,
    from_json,
    item_from_json,
)
from ps_qb_pipeline.errors import IntegrityError, PipelineError
from ps_qb_pipeline.orchestration.decisions import policy_of
from ps_qb_pipeline.orchestration.hints import concerned
from ps_qb_pipeline.orchestration.landing import BOOKS, SHOP, ConnectionCursors
from ps_qb_pipeline.orchestration.live_landing import LiveLanding
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.orchestration.steps import building, keys_in_books
from ps_qb_pipeline.posting.confirming import Confirmation, confirm
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.posting.protocol import PostingResult, post
from ps_qb_pipeline.prestashop import writeback
from ps_qb_pipeline.prestashop.extract import extract
from ps_qb_pipeline.quickbooks.entities import ENTITIES
from ps_qb_pipeline.quickbooks.limiter import Priority
from ps_qb_pipeline.quickbooks.references import NEEDED, References
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline.state.inbox import Bell, Event, Inbox
from ps_qb_pipeline.state.intents import CONFIRMED, IN_FLIGHT, PLANNED, REJECTED, export
from ps_qb_pipeline.state.tables import intents
from ps_qb_pipeline.statements import approvals
from ps_qb_pipeline.validation import holds
from ps_qb_pipeline.validation.rules import Contract
from ps_qb_pipeline.warehouse import ledger, models, tables

logger = logging.getLogger(__name__)

MOST = 500
"""Hints of one round; what is more waits for the next."""
MOST_TRIES = 6
"""A hint that so many runs have begun and none has ended is left to the nightly run, which reads by time."""
LINGER_SECONDS = 6.0
"""How long a run waits for more: longer than the sensor's own pause, so that no hint falls between."""
LONGEST_SECONDS = 120.0
"""After so long a run ends, and the next one is another process: nothing grows for ever."""
LOOK_SECONDS = 0.1


@dataclass(slots=True)
class Round:
    """What one round did; ``seconds`` by phase, ``first`` and ``last`` of the hints that it handled.

    ``processor`` is what it took of a processor, in seconds.
    """

    began: float
    hints: int = 0
    first: int = 0
    last: int = 0
    orders: int = 0
    documents: int = 0
    created: int = 0
    waiting: dict[str, str] = field(default_factory=dict)
    stopped: str = ""
    told: int = 0
    processor: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add what the block takes to a phase."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 3)


@dataclass(frozen=True, slots=True)
class Work:
    """What may be posted now, and the names and cards that it takes."""

    documents: Sequence[Document] = ()
    customers: Sequence[Customer] = ()
    items: Sequence[Item] = ()
    names: References | None = None
    cards: Mapping[tuple[str, str], Sequence[dict[str, Any]]] = field(default_factory=dict)
    cancelled: Sequence[str] = ()
    """Orders that were cancelled: the sales that the books hold of them are voided."""
    there: Collection[str] = ()
    """Keys of documents that the mirror shows, whatever the control plane knows of them."""


def run_live(
    runtime: Runtime,
    contracts: Sequence[Contract],
    *,
    run_id: str,
    wanted_elsewhere: Callable[[], bool] = lambda: False,
    linger: float = LINGER_SECONDS,
    longest: float = LONGEST_SECONDS,
) -> list[Round]:
    """Rounds until nothing has come for ``linger`` seconds, ``longest`` have passed, or somebody waits.

    ``wanted_elsewhere`` says that another run waits for this one's place. The first round is made even
    without hints: it takes up what an earlier run left unfinished.
    """
    inbox, bell = Inbox(runtime.engine), Bell(runtime.engine)
    began = quiet_since = time.monotonic()
    rounds = [make_round(runtime, inbox, contracts, run_id=run_id)]
    looks = 0
    while time.monotonic() - began < longest and not rounds[-1].stopped:
        if bell.rang() and inbox.depth(runtime.name, source=SHOP).count:
            rounds.append(make_round(runtime, inbox, contracts, run_id=run_id))
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= linger or (looks % 10 == 0 and wanted_elsewhere()):
            break
        looks += 1
        time.sleep(LOOK_SECONDS)
    return rounds


def keep_pandas_out() -> None:
    """Have Arrow believe that there is no pandas in this process; call it where nothing else needs it.

    Arrow imports pandas (a second of a processor and 80 MB) as soon as it is given a list, to see whether
    that is one of pandas' arrays. It asks once, and is told here that there is none.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    sys.meta_path.insert(0, _Without)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(_Without)


class _Without(MetaPathFinder):
    """An import system in which there is no pandas."""

    @classmethod
    def find_spec(cls, name: str, *_: Any) -> None:
        """Raises ModuleNotFoundError for pandas; knows nothing of any other module."""
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)


def make_round(runtime: Runtime, inbox: Inbox, contracts: Sequence[Contract], *, run_id: str) -> Round:
    """One round over the hints that wait. Raises what stops it; the hints then stay open."""
    made, used = Round(began=time.time()), time.process_time()
    events = inbox.claim(runtime.name, by=run_id, source=SHOP, limit=MOST)
    if events:
        made.hints, made.first, made.last = len(events), events[0].seq, events[-1].seq
    if len(events) == 1 and events[0].tries >= MOST_TRIES:
        logger.error(
            "%s: %s was begun %d times and never ended; it is left to the nightly run",
            runtime.name, events[0].hint, events[0].tries,
        )  # fmt: skip
    else:
        try:
            _handle(runtime, events, contracts, made, run_id=run_id)
        except PipelineError as error:
            if error.retryable:
                inbox.give_back(events)
            raise
    inbox.handled(events)
    made.processor = round(time.process_time() - used, 3)
    logger.info("%s: live round: %s", runtime.name, json.dumps(_figures(made)))
    return made


def _handle(
    runtime: Runtime, events: Sequence[Event], contracts: Sequence[Contract], made: Round, *, run_id: str
) -> None:
    landing = LiveLanding(runtime)
    with made.phase("shop"):
        orders = _read(runtime, landing, events)
    made.orders = len(orders)
    armed = runtime.armed()
    unfinished = _unfinished(runtime) if armed else set()
    if not orders and not unfinished:
        return
    with made.phase("ledger"):
        work = _work(runtime, landing, contracts, orders, unfinished)
    made.documents = len(work.documents)
    if not armed:
        return
    with made.phase("books"):
        _post(runtime, work, made, run_id=run_id)
    if runtime.connection.shop.write_back:
        with made.phase("write_back"):
            made.told = _write_back(runtime)


def _figures(made: Round) -> dict[str, Any]:
    return {name: getattr(made, name) for name in Round.__dataclass_fields__ if name != "waiting"}


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """The rounds of a run as the figures that its page shows."""
    seconds: dict[str, float] = {}
    for one in rounds:
        for name, took in one.seconds.items():
            seconds[name] = round(seconds.get(name, 0.0) + took, 3)
    added = ("hints", "orders", "documents", "created", "told")
    return {
        **{name: sum(getattr(one, name) for one in rounds) for name in added},
        "rounds": len(rounds),
        "seconds": seconds,
        "waiting": {key: why for one in rounds for key, why in one.waiting.items()} or None,
        "stopped": rounds[-1].stopped or None,
        "each_round": [_figures(one) for one in rounds],
    }


# -- reading -----------------------------------------------------------------------------------


def _read(runtime: Runtime, landing: LiveLanding, events: Sequence[Event]) -> set[int]:
    """Read the orders that the hints concern, whole, into ``landing``."""
    if not events:
        return set()
    cursors = ConnectionCursors(Cursors(runtime.engine), runtime.name, SHOP)
    polled = [tuple(event.hint["row"]) for event in events if "row" in event.hint]
    known = landing.has_read(polled) if polled else set()
    news = [event.hint for event in events if tuple(event.hint.get("row", ())[:2]) not in known]
    with runtime.shop() as shop:
        orders = concerned(shop, news)
        if not orders:
            return set()
        landing.look_up(orders)
        extract(shop, cursors, landing, ids=orders)
    return orders


def _unfinished(runtime: Runtime) -> set[str]:
    """The references of orders with a document that was planned or sent and has no outcome yet.

    None while there are many: a long posting is at work on them, or will be.
    """
    open_ones = (
        select(intents.c.document)
        .where(
            intents.c.realm == runtime.connection.books.realm,
            intents.c.state.in_(sorted({PLANNED, *IN_FLIGHT})),
            intents.c.role.not_in(["customer", "item"]),
        )
        .limit(MOST + 1)
    )
    with reading(runtime.engine) as tx:
        left = tx.execute(open_ones).scalars().all()
    return set() if len(left) > MOST else {from_json(text).reference for text in left}


# -- the warehouse -----------------------------------------------------------------------------


def _work(
    runtime: Runtime,
    landing: LiveLanding,
    contracts: Sequence[Contract],
    orders: Iterable[int],
    references: Iterable[str],
) -> Work:
    """Land what was read, bring its part of the ledger up to it, gate it, and take out what may be posted."""
    with runtime.warehouse("live orders") as con:
        # A few hundred tiny statements: handing each to several threads costs more than it saves.
        con.execute("set threads = 1")
        tables.create_tables(con)
        landing.flush(con)
        models.run_models(con, select=_changed_models(runtime))
        _touch(con, orders, references)
        _renew_intents(runtime, con)
        made = ledger.refresh_ledger(con, policy_of(runtime), runtime.connection.go_live, **building(runtime))
        if made.replaced is None:
            approvals.book(con)  # it stands in no order, and the whole ledger was made anew
        # What is posted is gated here, also where a run before this one died between its ledger and its gate.
        gated = None if made.replaced is None else {*made.replaced, *_touched_references(con)}
        gate = holds.gate(con, {one.table: one for one in contracts}, now=datetime.now(UTC), references=gated)
        if not gate.open:
            said = ", ".join(f"{outcome.rule.name} on {outcome.table}" for outcome in gate.blocking)
            raise IntegrityError(f"nothing is posted while a rule of structure fails: {said}")
        return _wanted(con)


def _changed_models(runtime: Runtime) -> set[str]:
    """The models over the shop that another release made: views follow their raw tables by themselves."""
    cursors = Cursors(runtime.engine)
    shop = {name: one.code_version for name, one in models.load_models().items() if name.startswith(_STAGED)}
    before = cursors.get(runtime.name, "live.models") or {}
    changed = {name for name, version in shop.items() if before.get(name) != version}
    if changed:
        cursors.commit(runtime.name, "live.models", shop)
    return changed


_STAGED = f"staging.{SHOP}_"


def _touch(con: duckdb.DuckDBPyConnection, orders: Iterable[int], references: Iterable[str]) -> None:
    """Note the references that this round is about; split orders share one."""
    con.execute(
        "create or replace temp table touched_references as"
        " select unnest($references::varchar[]) as reference union"
        " select reference from staging.prestashop_orders where id in (select unnest($orders::bigint[]))",
        {"references": sorted(references), "orders": sorted(orders)},
    )


def _renew_intents(runtime: Runtime, con: duckdb.DuckDBPyConnection) -> None:
    """Copy what became of these orders in the books: what was posted a minute ago may not be rewritten either."""
    orders = con.execute(
        "select id from staging.prestashop_orders where reference in (select reference from touched_references)"
    ).fetchall()
    installation = runtime.connection.accounting.installation
    with reading(runtime.engine) as tx:
        mine = export(tx, runtime.name, order_keys=[f"{installation}|{row[0]}" for row in orders])
        tables.replace_rows(con, "control.intents", mine, key="key")


def _touched_references(con: duckdb.DuckDBPyConnection) -> set[str]:
    return {row[0] for row in con.execute("select reference from touched_references").fetchall()}


_TOUCHED = """
    create or replace temp table touched_documents as
    select key, customer_key, body from ledger.documents as document
    where reference in (select reference from touched_references)
    and not exists (from validation.holds as hold where hold.order_id = document.order_id)
"""
_CANCELLED = """
    select cast(source_id as varchar) from ledger.sources as source
    where source_type = 'order' and reference in (select reference from touched_references)
    and status = 'not_postable' and reason = 'cancelled'
    and not exists (
        from ledger.documents as document where document.order_id = source.order_id and document.role = 'sale'
    )
"""


def _wanted(con: duckdb.DuckDBPyConnection) -> Work:
    """The documents of these orders that nothing holds, with everything that posting them takes."""
    con.execute(_TOUCHED)
    cancelled = [row[0] for row in con.execute(_CANCELLED).fetchall()]
    documents = [
        from_json(row[0]) for row in con.execute("select body from touched_documents order by key").fetchall()
    ]
    customers = [
        customer_from_json(row[0])
        for row in con.execute(
            "select body from ledger.customers where key in (select customer_key from touched_documents)"
        ).fetchall()
    ]
    items = [
        item_from_json(row[0])
        for row in con.execute(
            "select body from ledger.items where key in (select item from ledger.lines as line"
            " where line.document_key in (select key from touched_documents))"
        ).fetchall()
    ]
    special = {line.item for document in documents for line in document.lines} - {item.key for item in items}
    names = References(
        {
            **{table: _named(con, table) for table in NEEDED if table not in {"customers", "items"}},
            "customers": [],
            "items": _named(con, "items", "name", special),
        }
    )
    cards = _cards(con, customers, items)
    there = keys_in_books(con, [document.key for document in documents])
    return Work(documents, customers, items, names, cards, cancelled, there)


_KINDS = {entity.table: entity.types for entity in ENTITIES.values()}


def _named(
    con: duckdb.DuckDBPyConnection, table: str, column: str = "", among: Iterable[str | None] = ()
) -> list[dict[str, Any]]:
    """The mirrored rows of a list of names; of a long list only those ``among`` the wanted."""
    columns = ("id", *NEEDED[table])
    limit = f"where {column} in (select unnest($among::varchar[]))" if column else ""
    rows = con.execute(
        f"select {', '.join(columns)} from staging.{BOOKS}_{table} {limit}",  # noqa: S608 - our own names
        {"among": sorted(filter(None, among))} if column else {},
    ).fetchall()
    kinds = [_KINDS[table].get(name, "text") for name in columns]
    return [
        {
            name: json.loads(value) if kind == "json" and isinstance(value, str) else value
            for name, kind, value in zip(columns, kinds, row, strict=True)
        }
        for row in rows
    ]


_FIELDS = {
    ("Customer", "PrimaryEmailAddr"): ("customers", "email"),
    ("Customer", "DisplayName"): ("customers", "display_name"),
    ("Item", "Sku"): ("items", "sku"),
    ("Item", "Name"): ("items", "name"),
}
"""Where the mirror keeps what posting looks customers and items up by."""


def _cards(
    con: duckdb.DuckDBPyConnection, customers: Iterable[Customer], items: Iterable[Item]
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What QuickBooks would answer to the look-ups of these, as the mirror has it: no metered call."""
    people, things = list(customers), list(items)
    wanted = {
        ("Customer", "PrimaryEmailAddr"): [one.email for one in people],
        ("Customer", "DisplayName"): [one.display_name for one in people],
        ("Item", "Sku"): [one.sku for one in things],
        ("Item", "Name"): [one.name for one in things],
    }
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for field_name, values in wanted.items():
        table, column = _FIELDS[field_name]
        rows = con.execute(
            f"select arg_max(payload, landing_id) from raw.{BOOKS}_{table} where id in"  # noqa: S608 - our own names
            f" (select id from staging.{BOOKS}_{table} where lower({column}) in (select unnest($values::varchar[])))"
            " group by id",
            {"values": sorted({value.lower() for value in values if value})},
        ).fetchall()
        found[field_name] = [json.loads(row[0]) for row in rows]
    return found


# -- the books ---------------------------------------------------------------------------------


def _post(runtime: Runtime, work: Work, made: Round, *, run_id: str) -> None:
    if work.names is None:
        return
    with runtime.books(Priority.LIVE) as books:
        result: PostingResult = post(
            work.documents,
            work.customers,
            work.items,
            books=books,
            names=work.names,
            store=runtime.engine,
            run_id=run_id,
            connection=runtime.name,
            create_items=runtime.connection.accounting.missing_items == "create",
            there=work.there,
            voids=_sales_of(runtime, work.cancelled),
            pace=Pace.settling(runtime.connection.books.settle_seconds),
            follow_cards=False,  # each would be read, and reads are metered; the nightly run follows them
            cards=lambda entity, name, _values: work.cards[entity, name],
            # A backfill may hold the company for hours; the intents' own claims keep the two apart.
            alone=False,
        )
    made.created = len(result.created) + len(result.adopted)
    made.waiting, made.stopped = result.waiting, result.stopped


def _sales_of(runtime: Runtime, orders: Sequence[str]) -> list[str]:
    """The keys of the sales that the books hold of these orders, or were to hold."""
    query = select(intents.c.key).where(
        intents.c.realm == runtime.connection.books.realm,
        intents.c.role == "sale",
        intents.c.state.in_([CONFIRMED, PLANNED, REJECTED]),
        intents.c.operation.in_(["create", "update"]),
        intents.c.source_id.in_(orders),
    )
    with reading(runtime.engine) as tx:
        return list(tx.execute(query).scalars()) if orders else []


def _write_back(runtime: Runtime) -> int:
    """Tell the shop what became of its orders."""
    with runtime.shop() as shop:

        def tell(one: Confirmation) -> None:
            writeback.note(shop, one.order_id, writeback.Mark(one.type, one.number, one.link))

        told = confirm(runtime.engine, runtime.name, tell)
    for key, why in told.failed.items():
        logger.warning("%s: the shop was not told of %s: %s", runtime.name, key, why)
    return len(told.told)
