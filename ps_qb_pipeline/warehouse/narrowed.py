"""The rows of a few orders, apart: what rules read when only those orders are news.

What lives here: which rows of each relation belong to an order, and the copies that stand in for the
relations in SQL. What does not: which orders are news (``changes``) and the rules (``validation``).
"""

# ruff: noqa: S608  (names come from the table below)

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

import duckdb

from ps_qb_pipeline.warehouse import shop_rows

_REFERENCE = "(select reference from wanted_references)"
_NAMED = f"coalesce(reference, '') in {_REFERENCE}"
_WANTED = "(select id from wanted_orders)"
_ORDER = "(select id from narrowed_orders)"
_ROW = "rowid in (select number from narrowed_rows)"

_ROWS: Mapping[str, tuple[str, str]] = {
    "staging.prestashop_orders": ("", f"id in {_WANTED} and {_NAMED}"),
    "staging.prestashop_order_payments": ("", "id in (select id from wanted_payments)"),
    **{
        f"staging.prestashop_{name}": ("", f"id_order in {_ORDER}")
        for name in (
            "order_details",
            "order_cart_rules",
            "order_slip",
            "order_histories",
            "order_invoices",
            "order_carriers",
        )
    },
    "raw.poisoned": (
        "",
        f"""(resource = 'orders' and id in {_ORDER})
        or parent in {_REFERENCE} or try_cast(parent as bigint) in {_ORDER}""",
    ),
    "ledger.sources": (
        f"""
        select number from (
            select rowid as number, order_id, reference from ledger.sources
            where order_id in (select id from wanted_orders union all select 0)
        )
        where {_NAMED} or order_id in {_ORDER}
        union
        select number from (
            select rowid as number, source_type from ledger.sources
            where source_id in (select id from wanted_payments)
        )
        where source_type = 'payment'""",
        _ROW,
    ),
    "ledger.documents": ("select number from narrowed_keys", _ROW),
    **{
        f"ledger.{name}": (
            f"""
            select number from (
                select rowid as number, document_key from ledger.{name}
                where order_id in (select order_id from narrowed_keys)
            )
            where document_key in (select key from narrowed_keys)""",
            _ROW,
        )
        for name in ("lines", "taxes", "applied")
    },
    "ledger.findings": ("", f"order_id in {_ORDER}"),
}
"""Relation to its rows that belong to the orders: a SELECT of row numbers or nothing, and the condition.

Rows are found by number, never by key, and texts are read of few rows: a key costs twenty times as much.
"""

_NUMBERS = ("id", "order_id", "document_key")
"""Columns that are always copied: each relation has one of them."""


def narrow(
    con: duckdb.DuckDBPyConnection, references: Iterable[str], columns: Collection[str]
) -> dict[str, str]:
    """Copies ``columns`` of the rows of the orders with these references; the copy's name by its relation.

    A relation has those of the columns that are its own. The ids of the orders are in the temporary table
    ``narrowed_orders``.
    """
    alone = shop_rows.find(con, references)
    named = "true" if alone else _NAMED
    con.execute(
        f"""
        create or replace temp table narrowed_orders as
        select id from staging.prestashop_orders
        where id in {_WANTED} and {named}
        union
        select order_id from (select order_id, reference from ledger.sources where order_id in {_WANTED})
        where {named} and order_id > 0
        """
    )
    con.execute(
        f"""
        create or replace temp table narrowed_keys as
        select number, key, order_id from (
            select rowid as number, key, order_id, reference from ledger.documents where order_id in {_WANTED}
        )
        where {named}
        """
    )
    listed = ", ".join(f"'{column}'" for column in sorted({*columns, *_NUMBERS}))
    made = {}
    for relation, parts in _ROWS.items():
        numbers, rows = (part.replace(_NAMED, named) for part in parts)
        copy = f"narrowed_{relation.replace('.', '_')}"
        if numbers:
            con.execute(f"create or replace temp table narrowed_rows as {numbers}")
        con.execute(
            f"create or replace temp table {copy} as"
            f" select columns(lambda one: one in ({listed})) from {relation} where {rows}"
        )
        made[relation] = copy
    return made


def reading(sql: str, instead: Mapping[str, str]) -> str:
    """The SELECT with relations exchanged for others; texts that merely say their names stay."""
    for relation, other in instead.items():
        name = rf"(?<!')\b{re.escape(relation)}\b(?!')"
        alias = relation.rpartition(".")[2]
        sql = re.sub(rf"\b((?:from|join)\s+){name}(?!\s+as\b|\.)", rf"\g<1>{other} as {alias}", sql)
        sql = re.sub(name, other, sql)
    return sql
