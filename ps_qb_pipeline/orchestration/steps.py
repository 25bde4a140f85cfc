"""The steps of the main job as plain functions: what an asset calls and the command line may call too.

What lives here: the order in which rooms are used within one step. What does not: Dagster objects
(``assets``) and the work itself (the rooms). Every step can be repeated at any time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypedDict
from zoneinfo import ZoneInfo

import duckdb

from ps_qb_pipeline.accounting.documents import (
    Customer,
    Document,
    Item,
    customer_from_json,
    from_json,
    item_from_json,
)
from ps_qb_pipeline.orchestration import metadata
from ps_qb_pipeline.orchestration.decisions import policy_of
from ps_qb_pipeline.orchestration.landing import (
    BOOKS,
    SHOP,
    BooksLanding,
    ConnectionCursors,
    ShopLanding,
    raw_tables,
)
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.posting.amending import Amender
from ps_qb_pipeline.posting.ports import Pace
from ps_qb_pipeline.posting.protocol import PostingResult, post
from ps_qb_pipeline.prestashop.extract import ExtractResult, extract
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.prestashop.sweep import sweep
from ps_qb_pipeline.quickbooks import mirror, provision
from ps_qb_pipeline.quickbooks.entities import ENTITIES
from ps_qb_pipeline.quickbooks.references import NEEDED, References
from ps_qb_pipeline.state import identities, intents
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline.statements import approvals
from ps_qb_pipeline.validation import followed, holds
from ps_qb_pipeline.validation.outcomes import Outcome
from ps_qb_pipeline.validation.rules import Contract
from ps_qb_pipeline.warehouse import amendments, ledger, models, news, tables

logger = logging.getLogger(__name__)


def set_up(runtime: Runtime, *, create: bool) -> provision.Plan:
    """What the books lack of what the settings and the shop's currencies need; created when ``create``."""
    with runtime.shop() as shop:
        currencies = [row.values["iso_code"] for row in shop.rows(RESOURCES["currencies"]).records]
    with runtime.books() as books:
        names = References.read(books)
        plan = provision.plan(runtime.connection.accounting, names, currencies=currencies)
        if create and not plan.problems:
            provision.carry_out(plan, books, names)
    # A mirror of before may go a week without the codes that were created now.
    mirror.read_lists_again(ConnectionCursors(Cursors(runtime.engine), runtime.name, BOOKS))
    return plan


def pull_shop(runtime: Runtime, *, full: bool = False, search: bool = False) -> ExtractResult:
    """Read what is new in the shop into ``raw.prestashop_*``; everything the first time or with ``full``.

    With ``search`` what no cursor can see is looked for afterwards: deletions and silent changes.
    """
    cursors = ConnectionCursors(Cursors(runtime.engine), runtime.name, SHOP)
    landing = ShopLanding(runtime)
    with runtime.shop() as shop:
        result = extract(shop, cursors, landing, full=full)
        if search:
            found = sweep(shop, cursors, landing)
            result.read += found.extracted.read
            result.inserted += found.extracted.inserted
            for suspicion in found.suspicions:
                logger.warning("%s: %s", runtime.name, suspicion)
    with runtime.warehouse("make what never landed") as con:
        prepare(con)
    logger.info(
        "%s: %d requests to the shop, %d rows read, %d new or changed, %d set aside",
        runtime.name, result.requests, result.read.total(), result.inserted.total(), len(result.poisoned),
    )  # fmt: skip
    return result


def pull_books(runtime: Runtime, *, full: bool = False, search: bool = False) -> mirror.MirrorResult:
    """Bring ``raw.quickbooks_*`` up to what QuickBooks holds, and ``control.intents`` up to the control plane.

    With ``search`` every entity is counted on both sides too, and read again where the counts differ. After
    a second look of either kind reconciliation starts from nothing, whatever is new.
    """
    cursors = ConnectionCursors(Cursors(runtime.engine), runtime.name, BOOKS)
    landing = BooksLanding(runtime)
    inbox = Inbox(runtime.engine)
    hints = inbox.waiting(runtime.name, source=BOOKS, limit=100_000)
    with runtime.books() as books:
        result = mirror.pull(books, landing.land, cursors, full=full, sweep=search, alive=landing.alive)
    inbox.handled(hints)
    export_intents(runtime)
    if full or search:
        with runtime.warehouse("have everything proved anew") as con:
            news.note(con, "ledger", f"select '{news.EVERYTHING}'")
    return result


def show_tables(runtime: Runtime, counts: Mapping[str, Mapping[str, int]]) -> dict[str, metadata.Metadata]:
    """What the pages of landed tables show: the table, and what this run read of it."""
    with runtime.warehouse("show what has landed", read_only=True) as con:
        return {
            name: {**metadata.table(con, name, preview=False), **metadata.facts(facts)}
            for name, facts in counts.items()
        }


@dataclass(slots=True)
class Made:
    """Relations that a step has made, with what their pages show, and the verdicts on their rules."""

    shown: dict[str, metadata.Metadata] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)


def make_models(runtime: Runtime, wanted: Sequence[models.Model], contracts: Sequence[Contract]) -> Made:
    """Bring the SQL models ``wanted`` up to what has changed since, and run the rules of ``contracts``."""
    made = Made()
    everything = models.load_models()
    with runtime.warehouse(f"make {len(wanted)} models") as con:
        prepare(con)
        chosen = {model.name: model for model in wanted}
        made_now = models.iterate_models(
            con, everything, select=chosen, variables=_variables(runtime), follow=True
        )
        for run in made_now:
            made.shown[run.name] = metadata.model_metadata(con, chosen[run.name], run)
        made.outcomes = followed.evaluate(con, [rule for contract in contracts for rule in contract.rules])
    return made


class Building(TypedDict):
    """What building a connection's ledger needs to know besides what has landed."""

    now: datetime
    judge: amendments.Judge


def building(runtime: Runtime) -> Building:
    """The shop's own time, which says which days are over, and who judges what is in the books already."""
    policy = runtime.connection.accounting
    return Building(
        now=runtime.clock.now().astimezone(ZoneInfo(policy.timezone)),
        judge=Amender(runtime.engine, runtime.connection.books.realm, policy),
    )


def make_ledger(
    runtime: Runtime, contracts: Sequence[Contract], guarding: Sequence[Contract], *, full: bool = False
) -> Made:
    """Translate orders into ``ledger.*``, check them, and write the holds of every rule that guards posting."""
    made = Made()
    build = ledger.build_ledger if full else ledger.refresh_ledger
    with runtime.warehouse("build the ledger") as con:
        result = build(
            con,
            policy_of(runtime),
            runtime.connection.go_live,
            progress=lambda done, total: runtime.progress("orders", done, total),
            **building(runtime),
        )
        logger.info("%s: %d orders translated in %.1f s", runtime.name, result.orders, result.seconds)
        prepare(con)
        approvals.book(con)
        before_books = {c.table: c for c in guarding if c.table.startswith((f"staging.{SHOP}_", "ledger."))}
        gate = holds.gate(con, before_books, now=datetime.now(UTC))
        wanted = {contract.table for contract in contracts}
        made.outcomes = [outcome for outcome in gate.outcomes if outcome.table in wanted]
        for relation in (*tables.LEDGER, "validation.holds"):
            made.shown[relation] = metadata.table(con, relation)
    return made


def post_documents(runtime: Runtime, *, run_id: str) -> dict[str, Any]:
    """Bring the documents of the ledger that nothing holds into QuickBooks. Nothing is sent unless armed."""
    if not runtime.armed():
        logger.warning("%s: posting is off; psqb go-live switches it on", runtime.name)
        export_intents(runtime)
        return {"armed": False}
    pull_books(runtime)
    with runtime.warehouse("read the documents to post") as con:
        prepare(con)
        documents, customers, items = wanted_documents(con)
        voids = unwanted_documents(con)
        names = mirrored_names(con)
        there = keys_in_books(con)
    with runtime.books() as books:
        result = post(
            documents,
            customers,
            items,
            books=books,
            names=names,
            store=runtime.engine,
            run_id=run_id,
            connection=runtime.name,
            pace=Pace.settling(runtime.connection.books.settle_seconds),
            voids=voids,
            there=there,
            create_items=runtime.connection.accounting.missing_items == "create",
        )
    export_intents(runtime)
    _log_posting(runtime, result)
    return {
        "armed": True,
        **result.counts(),
        "stopped": result.stopped or None,
        "waiting": result.waiting or None,
    }


def _log_posting(runtime: Runtime, result: PostingResult) -> None:
    counts = {name: count for name, count in result.counts().items() if count}
    logger.info("%s: posting: %s %s", runtime.name, counts, result.stopped)


def wanted_documents(con: duckdb.DuckDBPyConnection) -> tuple[list[Document], list[Customer], list[Item]]:
    """What may be posted now: documents of postable sources without a hold, and the cards that they name."""
    documents = [
        from_json(row[0])
        for row in con.execute(
            """
            select body from ledger.documents as document
            where not exists (from validation.holds as hold where hold.order_id = document.order_id)
            order by txn_date, key
            """
        ).fetchall()
    ]
    customers = [
        customer_from_json(row[0]) for row in con.execute("select body from ledger.customers").fetchall()
    ]
    items = [item_from_json(row[0]) for row in con.execute("select body from ledger.items").fetchall()]
    return documents, customers, items


def keys_in_books(con: duckdb.DuckDBPyConnection, among: Iterable[str] | None = None) -> set[str]:
    """The keys that documents of the mirror carry or have carried; all of them, or those ``among`` some."""
    ours = [entity.table for entity in ENTITIES.values() if "origin" in entity.types]
    which = "<> ''" if among is None else "in (select unnest($among::varchar[]))"
    each = (f"select origin.key from raw.{BOOKS}_{table} where origin.key {which}" for table in ours)  # noqa: S608 - our own names
    wanted = {} if among is None else {"among": sorted(among)}
    return {str(row[0]) for row in con.execute(" union ".join(each), wanted).fetchall()}


def unwanted_documents(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Keys of sales whose order was cancelled: to be voided in the books, or not to be sent any more."""
    rows = con.execute(
        """
        select intents.key
        from control.intents as intents
        inner join ledger.sources as sources
            on sources.source_type = 'order' and intents.source_id = cast(sources.source_id as varchar)
        where intents.role = 'sale' and intents.state in ('CONFIRMED', 'PLANNED', 'REJECTED')
            and intents.operation in ('create', 'update')
            and sources.status = 'not_postable' and sources.reason = 'cancelled'
            and intents.key not in (select key from ledger.documents)
        order by intents.key
        """
    ).fetchall()
    return [row[0] for row in rows]


def mirrored_names(con: duckdb.DuckDBPyConnection) -> References:
    """The names and ids of the company as the mirror has them: no metered call is spent on them."""
    columns = {entity.table: entity.types for entity in ENTITIES.values()}
    found: dict[str, list[dict[str, Any]]] = {}
    models.run_models(con, select={f"staging.{BOOKS}_{table}" for table in NEEDED})
    for table, named in NEEDED.items():
        selected = ", ".join(("id", *named))
        rows = con.execute(f"select {selected} from staging.{BOOKS}_{table}").fetchall()  # noqa: S608 - our own names
        kinds = [columns[table].get(column, "text") for column in named]
        found[table] = [
            {"id": row[0]}
            | {
                column: json.loads(value) if kind == "json" and isinstance(value, str) else value
                for column, kind, value in zip(named, kinds, row[1:], strict=True)
            }
            for row in rows
        ]
    return References(found)


def current_names(runtime: Runtime) -> References:
    """The names of the company after bringing the mirror up to date."""
    pull_books(runtime)
    with runtime.warehouse("read the names of the company") as con:
        prepare(con)
        return mirrored_names(con)


def export_intents(runtime: Runtime) -> None:
    """Copy the connection's intents into ``control.intents``, where reconciliation reads them."""
    with reading(runtime.engine) as tx:
        rows = list(intents.export(tx, runtime.name))
        known = list(identities.export(tx, runtime.connection.books.realm))
    with runtime.warehouse("copy the intents") as con:
        tables.replace_rows(con, "control.intents", rows)
        tables.replace_rows(con, "control.identities", known)


def prepare(con: duckdb.DuckDBPyConnection) -> None:
    """Make, empty, every table that a model may read and that nothing has filled yet."""
    models.prepare(con, raw_tables())
    tables.create_tables(con)


def expect(runtime: Runtime, contracts: Sequence[Contract]) -> tuple[list[Outcome], str]:
    """The verdicts of Great Expectations on ``contracts``, and the first page of its Data Docs."""
    from ps_qb_pipeline.validation import gx_engine

    docs = runtime.settings.data_dir(runtime.name) / "data_docs"
    rules = [rule for contract in contracts for rule in contract.rules if rule.kind != "assertion"]
    with runtime.warehouse("Great Expectations", read_only=True) as con:
        outcomes = gx_engine.evaluate(con, rules, pii={c.table: c.pii for c in contracts}, docs=docs)
    return outcomes, str(gx_engine.docs_index(docs))


def _variables(runtime: Runtime) -> Mapping[str, object]:
    return {"as_of": runtime.clock.now(), "home_currency": runtime.connection.accounting.home_currency}
