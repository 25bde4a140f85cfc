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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import duckdb

from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.warehouse import shop_rows
from ps_qb_pipeline.warehouse.session import scalar
from ps_qb_pipeline.warehouse.tables import LEDGER, TABLES, create_tables
from ps_qb_pipeline.warehouse.translation import Translator, Written, translator
from ps_qb_pipeline.warehouse.workers import Workers

PARALLEL_FROM = 3 * shop_rows.CHUNK
"""From so many orders on, further processes translate; below, starting them costs more than it saves."""

Progress = Callable[[int, int], None]
"""Told orders translated so far and orders in all."""


@dataclass(frozen=True, slots=True)
class LedgerResult:
    """What building gave: rows by table of the ledger, orders read, and the time that it took."""

    orders: int
    rows: dict[str, int]
    seconds: float
    processes: int = 1


def build_ledger(
    con: duckdb.DuckDBPyConnection,
    policy: Policy,
    go_live: date,
    *,
    references: Iterable[str] | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> LedgerResult:
    """Translates the orders of ``references`` (None: all) and replaces their part of the ledger.

    ``processes`` limits the processes that translate; None takes what the machine has when the work
    is worth it. An order that accounting cannot digest is held as ``POISON_RECORD``, alone.
    """
    started = time.perf_counter()
    wanted = None if references is None else sorted(set(references))
    create_tables(con, only="ledger")
    total = _count(con, wanted)
    workers = _workers(total, processes)
    made = translator(shop_rows.lookups(con), shop_rows.catalogue(con), policy, go_live, _advances(con))
    _create_pending(con)
    done = 0
    with _translating(made, workers) as translate:
        for written in translate(shop_rows.chunks(con, wanted)):
            for name, table in written.tables.items():
                con.register("arriving", table)
                con.execute(f"insert into {_pending(name)} by name select * from arriving")
                con.unregister("arriving")
            done += written.orders
            if progress:
                progress(done, total)
    _write_orphans(con, wanted)
    _settle_shared(con)
    rows = _replace_all(con) if wanted is None else _replace_part(con, wanted)
    return LedgerResult(done, rows, time.perf_counter() - started, workers)


def _count(con: duckdb.DuckDBPyConnection, wanted: list[str] | None) -> int:
    sql = "select count(*) from staging.prestashop_orders"
    if wanted is not None:
        sql += " where coalesce(reference, '') in (select unnest($wanted::varchar[]))"
    return scalar(con, sql, {} if wanted is None else {"wanted": wanted})


def _advances(con: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Keys of the documents for money before the sale that were posted: the sale has to take them back."""
    create_tables(con, only="control")
    rows = con.execute(
        "select key from control.intents where role = 'deposit' and state = 'CONFIRMED'"
    ).fetchall()
    return frozenset(row[0] for row in rows)


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


def _write_orphans(con: duckdb.DuckDBPyConnection, wanted: list[str] | None) -> None:
    """Payments and slips whose order the shop no longer has: they too are sources, held and named."""
    limit = (
        "and coalesce(payments.order_reference, '') in (select unnest($wanted::varchar[]))" if wanted else ""
    )
    con.execute(
        f"""
        insert into ledger.pending_sources by name
        select
            'payment' as source_type,
            payments.id as source_id,
            0 as order_id,
            0 as id_shop,
            coalesce(payments.order_reference, '') as reference,
            'held' as status,
            'SOURCE_DELETED' as reason,
            currencies.iso_code as currency,
            payments.amount,
            payments.date_add as event_at,
            '' as document_key
        from staging.prestashop_order_payments as payments
        left join staging.prestashop_currencies as currencies on payments.id_currency = currencies.id
        where
            coalesce(payments.order_reference, '')
                not in (select coalesce(reference, '') from staging.prestashop_orders)
            {limit}
        """,
        {"wanted": wanted} if wanted else {},
    )
    if wanted is None:
        con.execute(
            """
            insert into ledger.pending_sources by name
            select
                'slip' as source_type,
                slips.id as source_id,
                slips.id_order as order_id,
                0 as id_shop,
                '' as reference,
                'held' as status,
                'SOURCE_DELETED' as reason,
                '' as currency,
                slips.total_products_tax_incl + slips.total_shipping_tax_incl as amount,
                slips.date_add as event_at,
                '' as document_key
            from staging.prestashop_order_slip as slips
            where slips.id_order not in (select id from staging.prestashop_orders)
            """
        )
    con.execute(
        """
        insert into ledger.pending_findings by name
        select
            reason as code, 'B' as severity, 'O' as owner, source_type, source_id, order_id, '' as document_key,
            amount, currency, 'The order of this ' || source_type || ' is gone from the shop.' as message,
            '{}' as evidence
        from ledger.pending_sources
        where reason = 'SOURCE_DELETED'
        """
    )


def _settle_shared(con: duckdb.DuckDBPyConnection) -> None:
    """Customers and items come with many orders: the newest order's word stands."""
    for name in ("ledger.customers", "ledger.items"):
        con.execute(
            f"create or replace table {_pending(name)} as select * from {_pending(name)}"
            " qualify row_number() over (partition by key order by order_id desc, body desc) = 1"
        )


def _replace_all(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    con.execute("begin")
    try:
        for name in LEDGER:
            con.execute(f"drop table {name}")
            con.execute(f"alter table {_pending(name)} rename to {name.split('.', 1)[1]}")
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise
    return _rows(con)


def _replace_part(con: duckdb.DuckDBPyConnection, wanted: list[str]) -> dict[str, int]:
    con.execute("begin")
    try:
        con.execute(
            "create or replace temp table replaced as select unnest($wanted::varchar[]) as reference",
            {"wanted": wanted},
        )
        _delete_replaced(con)
        for name in ("ledger.customers", "ledger.items"):
            con.execute(
                f"delete from {_pending(name)} as arriving using {name} as present"
                " where arriving.key = present.key and present.order_id > arriving.order_id"
            )
            con.execute(f"delete from {name} where key in (select key from {_pending(name)})")
        for name in LEDGER:
            con.execute(f"insert into {name} by name select * from {_pending(name)}")
            con.execute(f"drop table {_pending(name)}")
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise
    return _rows(con)


def _delete_replaced(con: duckdb.DuckDBPyConnection) -> None:
    references = "reference in (select reference from replaced)"
    for name in ("ledger.lines", "ledger.taxes", "ledger.applied"):
        con.execute(
            f"delete from {name} where document_key in (select key from ledger.documents where {references})"
        )
    con.execute(
        f"delete from ledger.findings where (source_type, source_id) in"
        f" (select (source_type, source_id) from ledger.sources where {references})"
        f" or order_id in (select order_id from ledger.sources where {references} and order_id > 0)"
    )
    con.execute(f"delete from ledger.documents where {references}")
    con.execute(f"delete from ledger.sources where {references}")


def _rows(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    return {name: scalar(con, f"select count(*) from {name}") for name in LEDGER}
