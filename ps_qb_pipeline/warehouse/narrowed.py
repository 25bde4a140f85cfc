"""The rows of a few orders, apart: what rules read when only those orders are news.

What lives here: which rows of each relation belong to an order, and the copies that stand in for the
relations in SQL. What does not: which orders are news (``changes``) and the rules (``validation``).
"""

# ruff: noqa: S608  (names come from the table below)

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import duckdb

_REFERENCE = "(select reference from narrowed_references)"
_ORDER = "(select id from narrowed_orders)"
_DOCUMENT = "document_key in (select key from narrowed_keys)"

_ROWS = {
    "staging.prestashop_orders": f"coalesce(reference, '') in {_REFERENCE}",
    "staging.prestashop_order_payments": f"coalesce(order_reference, '') in {_REFERENCE}",
    **{
        f"staging.prestashop_{name}": f"id_order in {_ORDER}"
        for name in (
            "order_details",
            "order_cart_rules",
            "order_slip",
            "order_histories",
            "order_invoices",
            "order_carriers",
        )
    },
    "raw.poisoned": f"""(resource = 'orders' and id in {_ORDER})
        or parent in {_REFERENCE} or try_cast(parent as bigint) in {_ORDER}""",
    "ledger.sources": f"""reference in {_REFERENCE} or order_id in {_ORDER}
        or (source_type = 'payment'
            and source_id in (select id from narrowed_staging_prestashop_order_payments))""",
    # By row number, so that of the other rows no body is read.
    "ledger.documents": "rowid in (select number from narrowed_keys)",
    "ledger.lines": _DOCUMENT,
    "ledger.taxes": _DOCUMENT,
    "ledger.applied": _DOCUMENT,
    "ledger.findings": f"order_id in {_ORDER}",
}
"""Relation to the condition of its rows that belong to the orders; later ones may read the earlier copies."""


def narrow(con: duckdb.DuckDBPyConnection, references: Iterable[str]) -> dict[str, str]:
    """Copies the rows of the orders with these references; the name of the copy by that of its relation.

    The ids of the orders are in the temporary table ``narrowed_orders``.
    """
    con.execute(
        "create or replace temp table narrowed_references as"
        " select distinct unnest($references::varchar[]) as reference",
        {"references": list(references)},
    )
    con.execute(
        f"""
        create or replace temp table narrowed_orders as
        select id from staging.prestashop_orders where coalesce(reference, '') in {_REFERENCE}
        union
        select order_id from ledger.sources where reference in {_REFERENCE} and order_id > 0
        """
    )
    con.execute(
        "create or replace temp table narrowed_keys as"
        f" select rowid as number, key from ledger.documents where reference in {_REFERENCE}"
    )
    made = {}
    for relation, rows in _ROWS.items():
        copy = f"narrowed_{relation.replace('.', '_')}"
        con.execute(f"create or replace temp table {copy} as select * from {relation} where {rows}")
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
