"""The tables that Python writes into the warehouse, as one data table.

What lives here: names, columns and types of the ledger, of the holds and of what is exported from
the control plane. What does not: raw tables, whose columns the two remote systems decide (``raw``),
and models (``dbt_style_sql``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import duckdb
import pyarrow as pa

from ps_qb_pipeline.warehouse import news

_INPUT = "decimal(20,6)"
_LINE = "decimal(18,4)"
_TOTAL = "decimal(18,2)"

POSTED_SINCE = "runner.posted_since"
"""Keys of documents whose intent or expected form changed since the ledger looked at what is posted."""

TABLES: Mapping[str, Mapping[str, str]] = {
    "raw.superseded": {"source": "varchar", "landing_id": "bigint"},
    "raw.last_known": {"source": "varchar", "landing_id": "bigint"},
    "raw.poisoned": {
        "connection": "varchar",
        "system": "varchar",
        "resource": "varchar",
        "id": "bigint",
        "parent": "varchar",
        "reason": "varchar",
        "payload": "varchar",
        "hash": "varchar",
        "attempts": "integer",
        "first_seen": "timestamptz",
        "last_seen": "timestamptz",
        "resolved_at": "timestamptz",
    },
    POSTED_SINCE: {"key": "varchar"},
    "ledger.sources": {
        "source_type": "varchar",
        "source_id": "bigint",
        "order_id": "bigint",
        "id_shop": "bigint",
        "reference": "varchar",
        "status": "varchar",
        "reason": "varchar",
        "currency": "varchar",
        "amount": _INPUT,
        "event_at": "timestamp",
        "document_key": "varchar",
    },
    "ledger.documents": {
        "key": "varchar",
        "type": "varchar",
        "role": "varchar",
        "source_id": "varchar",
        "revision": "integer",
        "doc_number": "varchar",
        "order_id": "bigint",
        "id_shop": "bigint",
        "reference": "varchar",
        "txn_date": "date",
        "due_date": "date",
        "currency": "varchar",
        "exchange_rate": "decimal(20,6)",
        "home_total": _TOTAL,
        "customer_key": "varchar",
        "customer_name": "varchar",
        "location": "varchar",
        "global_tax": "varchar",
        "total": _TOTAL,
        "total_tax": _TOTAL,
        "deposit_to": "varchar",
        "payment_method": "varchar",
        "unapplied": _TOTAL,
        "refund_of": "varchar",
        "private_note": "varchar",
        "body": "json",
        "body_hash": "varchar",
    },
    "ledger.lines": {
        "document_key": "varchar",
        "line_no": "integer",
        "kind": "varchar",
        "item": "varchar",
        "sku": "varchar",
        "product_id": "bigint",
        "product_attribute_id": "bigint",
        "order_detail_id": "bigint",
        "amount": _LINE,
        "tax_code": "varchar",
        "quantity": "decimal(18,6)",
        "unit_price": "decimal(20,7)",
        "description": "varchar",
        "order_id": "bigint",
    },
    "ledger.taxes": {
        "document_key": "varchar",
        "code": "varchar",
        "rate": "decimal(9,4)",
        "base": _LINE,
        "amount": _LINE,
        "order_id": "bigint",
    },
    "ledger.applied": {
        "document_key": "varchar",
        "to_key": "varchar",
        "to_doc_number": "varchar",
        "amount": _TOTAL,
        "order_id": "bigint",
    },
    "ledger.findings": {
        "code": "varchar",
        "severity": "varchar",
        "owner": "varchar",
        "source_type": "varchar",
        "source_id": "bigint",
        "order_id": "bigint",
        "document_key": "varchar",
        "amount": _INPUT,
        "currency": "varchar",
        "message": "varchar",
        "evidence": "json",
    },
    "ledger.customers": {
        "key": "varchar",
        "body": "json",
        "display_name": "varchar",
        "currency": "varchar",
        "order_id": "bigint",
    },
    "ledger.items": {
        "key": "varchar",
        "body": "json",
        "sku": "varchar",
        "name": "varchar",
        "order_id": "bigint",
    },
    "validation.holds": {
        "table_name": "varchar",
        "rule": "varchar",
        "source_type": "varchar",
        "source_id": "varchar",
        "order_id": "bigint",
        "severity": "varchar",
        "message": "varchar",
        "since": "timestamptz",
    },
    "control.intents": {
        "key": "varchar",
        "entity": "varchar",
        "role": "varchar",
        "source_id": "varchar",
        "revision": "integer",
        "doc_number": "varchar",
        "state": "varchar",
        "qbo_id": "varchar",
        "sync_token": "varchar",
        "body_sha": "varchar",
        "attempts": "integer",
        "fault_code": "varchar",
        "fault_message": "varchar",
        "first_sent_at": "timestamptz",
        "confirmed_at": "timestamptz",
        "run_id": "varchar",
        "operation": "varchar",
        "amount": _TOTAL,
        "currency": "varchar",
        "cause": "varchar",
    },
    "control.identities": {
        "kind": "varchar",
        "key": "varchar",
        "qbo_id": "varchar",
        "found_by": "varchar",
    },
    "control.general_ledger": {
        "period": "date",
        "account_id": "varchar",
        "account": "varchar",
        "txn_date": "date",
        "type": "varchar",
        "txn_id": "varchar",
        "doc_number": "varchar",
        "amount": _TOTAL,
    },
    "control.account_totals": {
        "period": "date",
        "report": "varchar",
        "account_id": "varchar",
        "account": "varchar",
        "amount": _TOTAL,
    },
}
"""Every such table: ``schema.name`` to its columns in order, name to DuckDB type."""

LEDGER = tuple(name for name in TABLES if name.startswith("ledger."))
"""The tables of the ledger."""


def create_tables(con: duckdb.DuckDBPyConnection, only: str = "") -> None:
    """Creates what is missing, columns that warehouses of before lack included; ``only`` limits it to one schema."""
    present = dict(
        con.execute(
            "select schema_name || '.' || table_name, column_count from duckdb_tables()"
            " where database_name = current_database()"
        ).fetchall()
    )
    for name, columns in TABLES.items():
        schema = name.split(".", 1)[0]
        if (only and schema != only) or present.get(name) == len(columns):
            continue
        body = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
        con.execute(f'create schema if not exists "{schema}"')
        con.execute(f"create table if not exists {name} ({body})")
        for column, kind in columns.items():
            con.execute(f'alter table {name} add column if not exists "{column}" {kind}')


def replace_rows(
    con: duckdb.DuckDBPyConnection, name: str, rows: Iterable[Mapping[str, Any]], *, key: str = ""
) -> int:
    """Makes ``rows`` the content of the table ``name``, in one step; returns how many there are.

    With ``key`` only rows that share a key with one of these are replaced. Columns that a row does not
    name are null, values that the table has no column for are left out.
    """
    columns = TABLES[name]
    values: dict[str, list[Any]] = {column: [] for column in columns}
    for row in rows:
        for column, content in values.items():
            content.append(row.get(column))
    arriving = pa.table({column: arrow_array(content, columns[column]) for column, content in values.items()})
    con.register("arriving_rows", arriving)
    con.execute("begin")
    try:
        create_tables(con)
        which = f"where {key} in (select {key} from arriving_rows)" if key else ""  # noqa: S608
        if "key" in columns:
            _note_differing(con, name, which)
        con.execute(f"delete from {name} {which}")  # noqa: S608 -- names of this file
        con.execute(f"insert into {name} by name select * from arriving_rows")  # noqa: S608
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise
    finally:
        con.unregister("arriving_rows")
    return int(arriving.num_rows)


def _note_differing(con: duckdb.DuckDBPyConnection, name: str, which: str) -> None:
    """Notes the keys whose rows are about to change, for what is made of them."""
    before, after = f"select * from {name} {which}", f"select {', '.join(TABLES[name])} from arriving_rows"  # noqa: S608
    differing = f"select key from (({before} except all {after}) union all ({after} except all {before}))"  # noqa: S608
    if name == "control.intents":
        con.execute(f"insert into {POSTED_SINCE} {differing}")
    news.note(con, name, differing)


_ARROW = {
    "varchar": pa.string(),
    "json": pa.string(),
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "boolean": pa.bool_(),
}


def arrow_array(values: Iterable[Any], kind: str) -> pa.Array:
    """The values as an Arrow column of a DuckDB type of this module."""
    if not kind.startswith("decimal"):
        return pa.array(values, _ARROW[kind])
    precision, scale = (int(part) for part in kind.removeprefix("decimal(").removesuffix(")").split(","))
    values = list(values)
    try:
        return pa.array(values, pa.decimal128(precision, scale))
    except pa.ArrowInvalid:
        # More decimals than the column shows (dinars have three): the body keeps the exact amount.
        quantum = Decimal(1).scaleb(-scale)
        rounded = [None if value is None else value.quantize(quantum, ROUND_HALF_UP) for value in values]
        return pa.array(rounded, pa.decimal128(precision, scale))
