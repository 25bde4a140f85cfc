"""A small shop for the engines: orders with every kind of rule on them, and a way to fill it."""

from __future__ import annotations

from pathlib import Path

from ps_qb_pipeline.validation.rules import read_contract

CONTRACT = read_contract(
    "staging.orders",
    Path("orders.yml"),
    {
        "id_column": "id",
        "source": {"type": "order", "id": "id", "order": "id"},
        "columns": {"id": {"type": "bigint"}, "email": {"type": "varchar", "pii": True}},
        "unique": [
            "id",
            ["reference", "cart"],
            {"columns": ["email"], "where": "total > 0", "on_fail": "warn"},
        ],
        "not_null": ["reference", {"column": "email", "severity": "warning"}],
        "accepted_values": {"state": ["paid", "sent"], "round_type": [0, 1, 2]},
        "range": {
            "total": {"min": 0},
            "rate": {"min": 0, "exclusive": True},
            "refunded": {"min": 0, "max": 5, "where": "state = 'paid'"},
        },
        "relationships": {"customer": "staging.customers.id"},
        "expressions": {
            "refunded_within_total": "refunded <= total",
            "has_a_name": "trim(email) <> '' or state = 'sent'",
        },
    },
)

COLUMNS = {
    "id": "bigint",
    "reference": "varchar",
    "cart": "bigint",
    "email": "varchar",
    "state": "varchar",
    "round_type": "bigint",
    "total": "decimal(20,6)",
    "rate": "decimal(20,6)",
    "refunded": "decimal(20,6)",
    "customer": "bigint",
}

GOOD = {
    "id": 1,
    "reference": "A",
    "cart": 1,
    "email": "ada@example.test",
    "state": "paid",
    "round_type": 2,
    "total": "10.00",
    "rate": 1,
    "refunded": "1.00",
    "customer": 1,
}


def fill(con, orders, customers=(1, 2)):
    """Makes the two relations of this shop hold exactly these rows."""
    body = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    con.execute("create schema if not exists staging")
    con.execute(f"create or replace table staging.orders ({body})")
    con.execute("create or replace table staging.customers (id bigint)")
    for row in orders:
        con.execute(
            f"insert into staging.orders values ({', '.join('?' * len(COLUMNS))})",
            [row[name] for name in COLUMNS],
        )
    for number in customers:
        con.execute("insert into staging.customers values (?)", [number])
