"""The ledger: the documents that should be in QuickBooks, as rows.

What lives here: reading shop rows chunk by chunk, having accounting translate them, and writing the
outcome into ``ledger.*`` in one step. What does not: any judgement about money (``accounting``).

The whole ledger is built beside the old one and put in its place at the end, so that a run that dies
halfway leaves the old one. A part of it (``references``) is replaced in one transaction.
"""

# ruff: noqa: S608  (names come from tables.TABLES; values are bound)

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import pyarrow as pa

from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.warehouse import amendments, changes, daily, news, orphans, posted, shop_rows
from ps_qb_pipeline.warehouse.session import scalar
from ps_qb_pipeline.warehouse.tables import LEDGER, TABLES
from ps_qb_pipeline.warehouse.translation import Translator, Written, translator
from ps_qb_pipeline.warehouse.workers import Workers

SHARED = ("ledger.customers", "ledger.items")
"""The tables whose rows belong to many orders."""

PARALLEL_FROM = 3 * shop_rows.CHUNK
"""From so many orders on, further processes translate; below, starting them costs more than it saves."""

Progress = Callable[[int, int], None]
"""Told orders translated so far and orders in all."""


@dataclass(frozen=True, slots=True)
class LedgerResult:
    """What building gave: orders translated, rows by table of the whole ledger, and the time that it took.

    ``references`` counts those that were replaced, ``replaced`` names them; None when all were.
    """

    orders: int
    rows: dict[str, int]
    seconds: float
    processes: int = 1
    references: int | None = None
    replaced: tuple[str, ...] | None = None


def refresh_ledger(
    con: duckdb.DuckDBPyConnection,
    policy: Policy,
    go_live: date,
    *,
    processes: int | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
    judge: amendments.Judge | None = None,
) -> LedgerResult:
    """Brings the ledger up to what has landed: the same as building it anew, in less time.

    Only the references that the news bears on are translated again; all of them when a setting, a tax,
    a state or the code of accounting changed, when most orders did, or when days are posted as summaries.
    """
    started = time.perf_counter()
    changes.note_besides(con, policy)
    made_by, read_to = changes.version(policy, go_live), changes.landed(con)
    if changes.quiet(con, made_by, read_to) and not daily.wanted(policy):
        with _transaction(con):
            changes.remember(con, policy, go_live, read_to)
        return LedgerResult(0, _sizes(con), time.perf_counter() - started, references=0, replaced=())
    wanted = None if daily.wanted(policy) else changes.references(con, made_by, read_to)
    return build_ledger(
        con,
        policy,
        go_live,
        references=wanted,
        processes=processes,
        progress=progress,
        now=now,
        judge=judge,
        seen=read_to,
    )


def build_ledger(
    con: duckdb.DuckDBPyConnection,
    policy: Policy,
    go_live: date,
    *,
    references: Iterable[str] | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
    judge: amendments.Judge | None = None,
    seen: Mapping[str, int] | None = None,
) -> LedgerResult:
    """Translates the orders of ``references`` (None: all) and replaces their part of the ledger.

    Who names ``references`` vouches that nothing else has changed. ``processes`` limits the processes
    that translate; None takes what the machine has when the work is worth it. An order that accounting
    cannot digest is held as ``POISON_RECORD``, alone. Daily summaries take all orders; with ``now``
    (shop-local) they leave out days that are not over. ``judge`` decides about documents that the books
    hold already and the shop says otherwise now. ``seen``: how far the raw tables got, where that and
    what ``changes.note_besides`` says was just looked at.
    """
    started = time.perf_counter()
    if seen is None:
        changes.note_besides(con, policy)
    read_to = changes.landed(con) if seen is None else seen
    making = _Making(con, _translator(con, policy, go_live), processes, progress)
    settling = _Settling(policy, now, judge)
    if references is None:
        part = None
        making.translate(None, scalar(con, "select count(*) from staging.prestashop_orders"))
        _settle(con, settling)
        with _transaction(con):
            _replace_all(con)
            news.note(con, "ledger", f"select '{news.EVERYTHING}'")
            changes.remember(con, policy, go_live, read_to)
            posted.note_all(con, policy)
    else:
        # In one transaction: of a few orders, every statement that is made durable costs more than it does.
        with _transaction(con):
            part = making.translate_part(sorted(set(references)))
            _settle(con, settling, part=True)
            # Before anything is replaced: what that changes of what is posted is for the next time.
            changes.remember(con, policy, go_live, read_to)
            _replace_part(con, part)
            news.note(con, "ledger", "select reference from wanted_references")
    seconds = time.perf_counter() - started
    return LedgerResult(
        making.done, _sizes(con), seconds, making.workers, None if part is None else len(part), replaced=part
    )


@dataclass(slots=True)
class _Making:
    """The translation of orders into the pending tables."""

    con: duckdb.DuckDBPyConnection
    translator: Translator
    processes: int | None
    progress: Progress | None
    workers: int = 1
    done: int = 0

    def translate(self, wanted: list[str] | None, total: int) -> None:
        """Translates ``wanted`` (None: all), about ``total`` orders."""
        self.workers, self.done = _workers(total, self.processes), 0
        _create_pending(self.con)
        with _no_search_for_circles(), _translating(self.translator, self.workers) as translate:
            for written in translate(shop_rows.chunks(self.con, wanted)):
                _append(self.con, written.tables)
                self.done += written.orders
                if self.progress:
                    self.progress(self.done, total)

    def translate_part(self, wanted: list[str]) -> tuple[str, ...]:
        """Translates ``wanted``, and whoever speaks for a card now of which they were the last word.

        What a customer or item looks like is the word of the newest order that uses it. When that order no
        longer does, the word of the newest other one stands, which only its translation tells.
        """
        while True:
            shop_rows.find(self.con, wanted)
            self.translate(wanted, scalar(self.con, "select count(*) from wanted_orders"))
            further = _next_of_cards(self.con)
            if not further:
                return tuple(wanted)
            wanted = sorted({*wanted, *further})


@dataclass(frozen=True, slots=True)
class _Settling:
    """What the pending ledger is settled by."""

    policy: Policy
    now: datetime | None
    judge: amendments.Judge | None


def _settle(con: duckdb.DuckDBPyConnection, by: _Settling, *, part: bool = False) -> None:
    """What no order says by itself: rows without an order, days in one document, what the books hold already."""
    orphans.write(con, part=part)
    if daily.wanted(by.policy):
        daily.join_days(con, by.policy, by.now, lambda tables: _append(con, tables))
    if by.judge is not None:
        amendments.settle(con, by.judge, lambda tables: _append(con, tables))
    for name in SHARED:
        # Customers and items come with many orders: the newest order's word stands.
        con.execute(
            f"create or replace table {_pending(name)} as select * from {_pending(name)}"
            " qualify row_number() over (partition by key order by order_id desc, body desc) = 1"
        )


@contextmanager
def _no_search_for_circles() -> Iterator[None]:
    """Values without circles by the million: looking for circles among them, and in all else, takes longer."""
    wanted = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if wanted:
            gc.enable()


def _append(con: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> None:
    for name, table in tables.items():
        con.register("arriving", table)
        con.execute(f"insert into {_pending(name)} by name select * from arriving")
        con.unregister("arriving")


def _sizes(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    each = [f"select '{name}', count(*) from {name}" for name in LEDGER]
    return dict(con.execute(" union all ".join(each)).fetchall())


def _translator(con: duckdb.DuckDBPyConnection, policy: Policy, go_live: date) -> Translator:
    lookups, catalogue = shop_rows.lookups(con), shop_rows.catalogue(con)
    return translator(lookups, catalogue, policy, go_live, poisoned=orphans.poisoned(con))


def _next_of_cards(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Of each card whose last word was a wanted order's and is no longer, the newest other order that uses it.

    Named by its reference, and only where no wanted order speaks for the card that is newer.
    """
    lost = " union all ".join(
        f"""
        select '{name}' as shared, present.key, max(arriving.order_id) as order_id
        from {name} as present left join {_pending(name)} as arriving on present.key = arriving.key
        where present.order_id in (select id from wanted_orders)
        group by present.key, present.order_id
        having coalesce(max(arriving.order_id), 0) < present.order_id"""
        for name in SHARED
    )
    con.execute(f"create or replace temp table lost_cards as {lost}")
    if not scalar(con, "select count(*) from lost_cards"):
        return []
    rows = con.execute(
        """
        with others as (
            select key, reference, order_id, customer_key from ledger.documents
            where reference not in (select reference from wanted_references)
        ),
        uses as (
            select 'ledger.customers' as shared, customer_key as key, reference, order_id from others
            where customer_key in (select key from lost_cards)
            union all
            select 'ledger.items', lines.item, others.reference, others.order_id
            from ledger.lines as lines inner join others on lines.document_key = others.key
            where lines.item in (select key from lost_cards)
        )
        select distinct arg_max(uses.reference, uses.order_id)
        from uses inner join lost_cards using (shared, key)
        where uses.order_id > coalesce(lost_cards.order_id, 0)
        group by shared, key
        """
    ).fetchall()
    return [row[0] for row in rows]


def _workers(total: int, processes: int | None) -> int:
    if processes is not None:
        return max(1, processes)
    return 1 if total < PARALLEL_FROM else max(1, min(4, os.cpu_count() or 1))


Translate = Callable[[Iterator[shop_rows.Chunk]], Iterator[Written]]


@contextmanager
def _translating(made: Translator, workers: int) -> Iterator[Translate]:
    """A function that translates chunks in order, in this process or in ``workers`` others."""
    if workers == 1:
        yield lambda chunks: (made(chunk) for chunk in chunks)
        return
    with Workers(made, workers) as spread:
        yield spread


def _pending(name: str) -> str:
    return f"ledger.pending_{name.split('.', 1)[1]}"


def _create_pending(con: duckdb.DuckDBPyConnection) -> None:
    for name in LEDGER:
        body = ", ".join(f'"{column}" {kind}' for column, kind in TABLES[name].items())
        con.execute(f"create or replace table {_pending(name)} ({body})")


def _replace_all(con: duckdb.DuckDBPyConnection) -> None:
    for name in LEDGER:
        con.execute(f"drop table {name}")
        con.execute(f"alter table {_pending(name)} rename to {name.split('.', 1)[1]}")


def _replace_part(con: duckdb.DuckDBPyConnection, wanted: Iterable[str]) -> None:
    """Puts what is pending in the place of what the wanted references had before."""
    alone = shop_rows.find(con, wanted)
    _find_replaced(con, alone=alone)
    # What was posted for a slip without an order is pending each time, whatever is wanted.
    if scalar(con, f"select count(*) from ({_BESIDE})"):
        con.execute(
            "insert into replaced_documents select rowid, key, order_id, txn_date from ledger.documents"
            f" where order_id in ({_BESIDE}) and key in (select key from ledger.pending_documents)"
        )
        alone = False
    _note_differing(con)
    for name in ("ledger.documents", "ledger.sources"):
        con.execute(f"delete from {name} where rowid in (select number from replaced_{name[7:]})")
    for name in ("ledger.lines", "ledger.taxes", "ledger.applied"):
        # By order first: a number is found in a twentieth of the time that a key takes.
        named = "true" if alone else "document_key in (select key from replaced_documents)"
        con.execute(
            f"delete from {name} where order_id in (select order_id from replaced_documents) and {named}"
        )
    con.execute(
        f"delete from ledger.findings where {orphans.FINDINGS}"
        " or order_id in (select order_id from replaced_sources where order_id > 0)"
    )
    for name in SHARED:
        _replace_cards(con, name)
    for name in LEDGER:
        con.execute(f"insert into {name} by name select * from {_pending(name)}")
        con.execute(f"drop table {_pending(name)}")


_BESIDE = "select order_id from ledger.pending_documents where order_id not in (select id from wanted_orders)"


def _find_replaced(con: duckdb.DuckDBPyConnection, *, alone: bool) -> None:
    """The documents and sources of the wanted references, and the sources without an order, by row number.

    ``alone``: what ``shop_rows.find`` said of them.
    """
    named = "true" if alone else "reference in (select reference from wanted_references)"
    orders = "select id from wanted_orders" if alone else "select id from wanted_orders union all select 0"
    con.execute(
        f"""
        create or replace temp table replaced_documents as
        select number, key, order_id, txn_date from (
            select rowid as number, key, order_id, txn_date, reference from ledger.documents
            where order_id in (select id from wanted_orders)
        )
        where {named}
        """
    )
    con.execute(
        f"""
        create or replace temp table replaced_sources as
        select number, order_id from (
            select rowid as number, order_id, reference from ledger.sources where order_id in ({orders})
        )
        where {named}
        union
        select rowid, order_id from ledger.sources where {orphans.SOURCES}
        """
    )


def _note_differing(con: duckdb.DuckDBPyConnection) -> None:
    """Notes what changes in what is read beside the orders themselves."""
    news.note(
        con,
        "ledger.items",
        "select key from ledger.items as present inner join ledger.pending_items as arriving using (key)"
        " where present.name is distinct from arriving.name",
    )
    alone = f"select * from {{}} where {orphans.SOURCES}"
    before, after = alone.format("ledger.sources"), alone.format("ledger.pending_sources")
    news.note(
        con,
        "ledger.sources",
        "select concat(source_type, '|', source_id)"
        f" from (({before} except all {after}) union all ({after} except all {before}))",
    )
    posted.note_part(
        con,
        "select key, order_id, txn_date from replaced_documents",
        "select key, order_id, txn_date from ledger.pending_documents",
    )


def _replace_cards(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Cards of replaced orders go, and those of which a newer or the same order speaks now."""
    con.execute(f"delete from {name} where order_id in (select order_id from replaced_documents)")
    con.execute(
        "create or replace temp table present_cards as"
        f" select rowid as number, key, order_id from {name} where key in (select key from {_pending(name)})"
    )
    con.execute(
        f"delete from {_pending(name)} as arriving using present_cards as present"
        " where arriving.key = present.key and present.order_id > arriving.order_id"
    )
    con.execute(
        f"delete from {name} where rowid in"
        f" (select number from present_cards where key in (select key from {_pending(name)}))"
    )


@contextmanager
def _transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute("begin")
    try:
        yield
    except BaseException:
        con.execute("rollback")
        raise
    con.execute("commit")
