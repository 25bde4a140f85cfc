"""The tables that Python writes into the warehouse, as one data table.

What lives here: names, columns and types of the ledger, of the holds and of what is exported from
the control plane. What does not: raw tables, whose columns the two remote systems decide (``raw``),
and models (``dbt_style_sql``).
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

_INPUT = "decimal(20,6)"
_LINE = "decimal(18,4)"
_TOTAL = "decimal(18,2)"

TABLES: Mapping[str, Mapping[str, str]] = {
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
    },
    "ledger.taxes": {
        "document_key": "varchar",
        "code": "varchar",
        "rate": "decimal(9,4)",
        "base": _LINE,
        "amount": _LINE,
    },
    "ledger.applied": {
        "document_key": "varchar",
        "to_key": "varchar",
        "to_doc_number": "varchar",
        "amount": _TOTAL,
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
}
"""Every such table: ``schema.name`` to its columns in order, name to DuckDB type."""


def create_tables(con: duckdb.DuckDBPyConnection, only: str = "") -> None:
    """Creates what is missing; ``only`` limits it to one schema."""
    for name, columns in TABLES.items():
        schema = name.split(".", 1)[0]
        if only and schema != only:
            continue
        body = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
        con.execute(f'create schema if not exists "{schema}"')
        con.execute(f"create table if not exists {name} ({body})")
