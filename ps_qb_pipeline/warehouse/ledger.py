"""The ledger: the documents that should be in QuickBooks, as rows.

What lives here: reading shop rows chunk by chunk, having accounting translate them, and writing the
outcome into ``ledger.*`` in one step. What does not: any judgement about money (``accounting``).

The whole ledger is built beside the old one and put in its place at the end, so that a run that dies
halfway leaves the old one. A part of it (``references``) is replaced in one transaction.
"""

# ruff: noqa: S608  (names come from tables.TABLES; values are bound)

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import pyarrow as pa

from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.warehouse import amendments, changes, daily, news, orphans, shop_rows
from ps_qb_pipeline.warehouse.session import scalar
from ps_qb_pipeline.warehouse.tables import LEDGER, TABLES, create_tables
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
    create_tables(con)
    changes.note_besides(con, policy)
    made_by = changes.version(policy, go_live)
    if changes.quiet(con, made_by) and not daily.wanted(policy):
        return LedgerResult(0, _sizes(con), time.perf_counter() - started, references=0, replaced=())
    wanted = None if daily.wanted(policy) else changes.references(con, made_by)
    return build_ledger(
        con,
        policy,
        go_live,
        references=wanted,
        processes=processes,
        progress=progress,
        now=now,
        judge=judge,
        noted=True,
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
    noted: bool = False,
) -> LedgerResult:
    """Translates the orders of ``references`` (None: all) and replaces their part of the ledger.

    Who names ``references`` vouches that nothing else has changed. ``processes`` limits the processes
    that translate; None takes what the machine has when the work is worth it. An order that accounting
    cannot digest is held as ``POISON_RECORD``, alone. Daily summaries take all orders; with ``now``
    (shop-local) they leave out days that are not over. ``judge`` decides about documents that the books
    hold already and the shop says otherwise now. ``noted``: ``changes.note_besides`` was just called.
    """
    started = time.perf_counter()
    create_tables(con)
    wanted = None if references is None else _with_next_of_cards(con, sorted(set(references)))
    if not noted:
        changes.note_besides(con, policy)
    read_to = changes.landed(con)
    total = _count(con, wanted)
    workers = _workers(total, processes)
    made = _translator(con, policy, go_live)
    _create_pending(con)
    done = 0
    with _translating(made, workers) as translate:
        for written in translate(shop_rows.chunks(con, wanted)):
            _append(con, written.tables)
            done += written.orders
            if progress:
                progress(done, total)
    orphans.write(con)
    if daily.wanted(policy):
        daily.join_days(con, policy, now, lambda tables: _append(con, tables))
    if judge is not None:
        amendments.settle(con, judge, lambda tables: _append(con, tables))
    _settle_shared(con)
    with _transaction(con):
        if wanted is None:
            _replace_all(con)
            news.note(con, "ledger", f"select '{news.EVERYTHING}'")
        else:
            _replace_part(con, wanted)
            news.note(con, "ledger", "select reference from replaced")
        changes.remember(con, changes.version(policy, go_live), read_to)
    seconds = time.perf_counter() - started
    part = None if wanted is None else tuple(wanted)
    return LedgerResult(
        done, _sizes(con), seconds, workers, None if part is None else len(part), replaced=part
    )


def _append(con: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> None:
    for name, table in tables.items():
        con.register("arriving", table)
        con.execute(f"insert into {_pending(name)} by name select * from arriving")
        con.unregister("arriving")


def _sizes(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    return {name: scalar(con, f"select count(*) from {name}") for name in LEDGER}


def _translator(con: duckdb.DuckDBPyConnection, policy: Policy, go_live: date) -> Translator:
    lookups, catalogue = shop_rows.lookups(con), shop_rows.catalogue(con)
    return translator(lookups, catalogue, policy, go_live, poisoned=orphans.poisoned(con))


def _with_next_of_cards(con: duckdb.DuckDBPyConnection, wanted: list[str]) -> list[str]:
    """The references, and for each card or item whose word is theirs, the newest other one that uses it.

    What a customer or item looks like is the word of the newest order that uses it. When that order is
    translated again it may no longer use it, and then the next one's word stands.
    """
    rows = con.execute(
        """
        with mine as (
            select distinct order_id from ledger.documents where reference in (select unnest($wanted::varchar[]))
        ),
        others as (
            select * from ledger.documents where reference not in (select unnest($wanted::varchar[]))
        ),
        customers as (select key from ledger.customers where order_id in (select order_id from mine)),
        items as (select key from ledger.items where order_id in (select order_id from mine))
        select arg_max(reference, order_id) from others
        where customer_key in (select key from customers) group by customer_key
        union
        select arg_max(others.reference, others.order_id)
        from ledger.lines as lines inner join others on lines.document_key = others.key
        where lines.item in (select key from items) group by lines.item
        """,
        {"wanted": wanted},
    ).fetchall()
    return sorted({*wanted, *(row[0] for row in rows)})


def _count(con: duckdb.DuckDBPyConnection, wanted: list[str] | None) -> int:
    sql = "select count(*) from staging.prestashop_orders"
    if wanted is not None:
        sql += " where coalesce(reference, '') in (select unnest($wanted::varchar[]))"
    return scalar(con, sql, {} if wanted is None else {"wanted": wanted})


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


def _settle_shared(con: duckdb.DuckDBPyConnection) -> None:
    """Customers and items come with many orders: the newest order's word stands."""
    for name in SHARED:
        con.execute(
            f"create or replace table {_pending(name)} as select * from {_pending(name)}"
            " qualify row_number() over (partition by key order by order_id desc, body desc) = 1"
        )


def _replace_all(con: duckdb.DuckDBPyConnection) -> None:
    for name in LEDGER:
        con.execute(f"drop table {name}")
        con.execute(f"alter table {_pending(name)} rename to {name.split('.', 1)[1]}")


def _replace_part(con: duckdb.DuckDBPyConnection, wanted: list[str]) -> None:
    con.execute(
        "create or replace temp table replaced as select unnest($wanted::varchar[]) as reference",
        {"wanted": wanted},
    )
    con.execute(
        "create or replace temp table replaced_documents as"
        " select key, order_id from ledger.documents where reference in (select reference from replaced)"
    )
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
    _delete_replaced(con)
    for name in SHARED:
        con.execute(f"delete from {name} where order_id in (select order_id from replaced_documents)")
        con.execute(
            f"delete from {_pending(name)} as arriving using {name} as present"
            " where arriving.key = present.key and present.order_id > arriving.order_id"
        )
        con.execute(f"delete from {name} where key in (select key from {_pending(name)})")
    for name in LEDGER:
        con.execute(f"insert into {name} by name select * from {_pending(name)}")
        con.execute(f"drop table {_pending(name)}")


def _delete_replaced(con: duckdb.DuckDBPyConnection) -> None:
    for name in ("ledger.lines", "ledger.taxes", "ledger.applied"):
        con.execute(f"delete from {name} where document_key in (select key from replaced_documents)")
    gone = f"reference in (select reference from replaced) or {orphans.SOURCES}"
    con.execute(
        f"delete from ledger.findings where {orphans.FINDINGS}"
        f" or order_id in (select order_id from ledger.sources where ({gone}) and order_id > 0)"
    )
    con.execute("delete from ledger.documents where key in (select key from replaced_documents)")
    con.execute(f"delete from ledger.sources where {gone}")


@contextmanager
def _transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute("begin")
    try:
        yield
    except BaseException:
        con.execute("rollback")
        raise
    con.execute("commit")
