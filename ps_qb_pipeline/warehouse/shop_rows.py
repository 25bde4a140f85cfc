"""Shop rows out of staging, chunk by chunk, as the typed rows that accounting reads.

What lives here: which columns accounting needs, the cutting of references into chunks, and fast
typed rows. What does not: what the rows mean (``accounting.intake``).

Memory stays flat: only one chunk of references, with every row that belongs to it, is ever in
Python. Columnar data is turned into Python values column by column, each distinct value once,
because amounts and times repeat.
"""

# ruff: noqa: S608  (names come from the table below; values are bound)

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from ps_qb_pipeline.warehouse import incremental
from ps_qb_pipeline.warehouse.session import scalar

Row = dict[str, Any]
Chunk = dict[str, pa.Table]

CHUNK = 4_000
"""How many references make one chunk."""

LOOKUPS: Mapping[str, tuple[str, ...]] = {
    "order_states": ("id", "name", "module_name", "paid", "logable", "invoice", "shipped", "delivery"),
    "currencies": ("id", "iso_code", "conversion_rate"),
    "taxes": ("id", "rate"),
    "tax_rules": ("id", "id_tax_rules_group", "id_country", "id_state", "id_tax"),
    "countries": ("id", "iso_code"),
    "states": ("id", "iso_code"),
    "carriers": ("id", "name"),
    "configurations": ("id", "name", "value"),
}
"""Small tables that every chunk needs whole."""

CATALOGUE: Mapping[str, tuple[str, ...]] = {
    "products": ("id", "reference", "id_tax_rules_group", "id_category_default", "is_virtual"),
    "combinations": ("id", "id_product", "reference"),
}
"""Read once as a whole for what the shop shares, and per chunk for the products sold in it."""

ORDERS: Mapping[str, tuple[str, ...]] = {
    "orders": (
        "id",
        "id_shop",
        "id_customer",
        "id_address_invoice",
        "id_address_delivery",
        "id_cart",
        "id_currency",
        "id_carrier",
        "current_state",
        "reference",
        "module",
        "payment",
        "invoice_number",
        "invoice_date",
        "delivery_date",
        "conversion_rate",
        "round_mode",
        "round_type",
        "carrier_tax_rate",
        "total_products",
        "total_products_wt",
        "total_discounts_tax_excl",
        "total_discounts_tax_incl",
        "total_shipping_tax_excl",
        "total_shipping_tax_incl",
        "total_wrapping_tax_excl",
        "total_wrapping_tax_incl",
        "total_paid",
        "total_paid_tax_excl",
        "total_paid_tax_incl",
        "date_add",
        "date_upd",
    ),
    "order_details": (
        "id",
        "id_order",
        "product_id",
        "product_attribute_id",
        "product_name",
        "product_reference",
        "product_quantity",
        "product_quantity_refunded",
        "product_quantity_return",
        "product_quantity_reinjected",
        "unit_price_tax_excl",
        "unit_price_tax_incl",
        "total_price_tax_excl",
        "total_price_tax_incl",
        "total_refunded_tax_excl",
        "total_refunded_tax_incl",
        "ecotax",
        "ecotax_tax_rate",
        "tax_computation_method",
        "id_tax_rules_group",
        "taxes",
    ),
    "order_cart_rules": (
        "id",
        "id_order",
        "id_cart_rule",
        "name",
        "value",
        "value_tax_excl",
        "free_shipping",
        "deleted",
    ),
    "order_slip": (
        "id",
        "id_order",
        "conversion_rate",
        "total_products_tax_excl",
        "total_products_tax_incl",
        "total_shipping_tax_excl",
        "total_shipping_tax_incl",
        "amount",
        "order_slip_type",
        "date_add",
        "order_slip_details",
    ),
    "order_histories": ("id", "id_order", "id_order_state", "date_add"),
    "order_invoices": ("id", "id_order", "number", "total_paid_tax_excl", "total_paid_tax_incl", "date_add"),
}
"""Orders and what hangs on them by ``id_order``."""

OTHERS: Mapping[str, tuple[str, ...]] = {
    "order_payments": (
        "id",
        "order_reference",
        "id_currency",
        "amount",
        "payment_method",
        "conversion_rate",
        "transaction_id",
        "id_employee",
        "date_add",
    ),
    "customers": ("id", "firstname", "lastname", "email", "company", "is_guest", "id_default_group"),
    "addresses": (
        "id",
        "id_country",
        "id_state",
        "postcode",
        "city",
        "address1",
        "address2",
        "company",
        "firstname",
        "lastname",
        "vat_number",
        "phone",
        "phone_mobile",
    ),
    "cart_rules": (
        "id",
        "code",
        "reduction_percent",
        "reduction_amount",
        "reduction_tax",
        "reduction_product",
        "gift_product",
        "gift_product_attribute",
        "date_from",
        "date_add",
    ),
}
"""What orders name in other ways: by reference, customer, address, rule."""

POSTED = "posted"
"""The name in a chunk of the documents of its orders that the books already hold: key and date."""

_JSON = frozenset({"taxes", "order_slip_details"})

_IN_CHUNKS = {
    **dict.fromkeys(ORDERS, "inner join chunked_orders as chunked on source.id_order = chunked.id"),
    "orders": "inner join chunked_orders as chunked on source.id = chunked.id",
    "order_payments": "inner join chunked_payments as chunked on source.id = chunked.id",
    "customers": """
        inner join (select distinct chunk, id_customer as id from chunked_orders) as chunked
        on source.id = chunked.id""",
    "addresses": """
        inner join (
            select chunk, id_address_invoice as id from chunked_orders
            union
            select chunk, id_address_delivery as id from chunked_orders
        ) as chunked on source.id = chunked.id""",
    "cart_rules": """
        inner join (
            select chunk, id_cart_rule as id from chunk_order_cart_rules
            union
            select orders.chunk, rules.id
            from staging.prestashop_cart_rules as rules
            inner join chunked_orders as orders
                on orders.id = try_cast(regexp_extract(rules.code, '^V[0-9]+C[0-9]+O([0-9]+)$', 1) as bigint)
        ) as chunked on source.id = chunked.id""",
    "products": """
        inner join (select distinct chunk, product_id as id from chunk_order_details) as chunked
        on source.id = chunked.id""",
    "combinations": """
        inner join (select distinct chunk, product_attribute_id as id from chunk_order_details) as chunked
        on source.id = chunked.id""",
}
"""How the rows of each resource find their chunks; vouchers made of credit slips name the order in their code."""

_RESOURCES = {**ORDERS, **OTHERS, **CATALOGUE}


def lookups(con: duckdb.DuckDBPyConnection) -> dict[str, pa.Table]:
    """The small tables, whole."""
    return {name: _select(con, name, columns) for name, columns in LOOKUPS.items()}


def catalogue(con: duckdb.DuckDBPyConnection) -> dict[str, pa.Table]:
    """Products and combinations, whole."""
    return {name: _select(con, name, columns) for name, columns in CATALOGUE.items()}


def chunks(
    con: duckdb.DuckDBPyConnection, references: Iterable[str] | None = None, size: int = CHUNK
) -> Iterator[Chunk]:
    """Every order with all that belongs to it, ``size`` references at a time, oldest first.

    All orders of a reference are in one chunk. ``references`` limits them; None means all.
    """
    count = _cut(con, references, size)
    if not count:
        return
    for name, columns in _RESOURCES.items():
        selected = ", ".join(f'source."{column}"' for column in columns)
        order = "order by chunked.chunk" if count > 1 else ""
        con.execute(
            f"create or replace temp table chunk_{name} as select chunked.chunk, {selected}"
            f" from staging.prestashop_{name} as source {_IN_CHUNKS[name]} {order}"
        )
    con.execute(
        "create temp view if not exists posted_now as select"
        " null::varchar as key, null::bigint as order_id, null::date as txn_date, null::varchar as type where false"
    )
    con.execute(
        f"create or replace temp table chunk_{POSTED} as select chunked.chunk, posted.key, posted.txn_date, posted.type"
        " from posted_now as posted inner join chunked_orders as chunked on posted.order_id = chunked.id"
    )
    try:
        for number in range(count):
            yield {name: _chunk(con, name, number) for name in (*_RESOURCES, POSTED)}
    finally:
        for name in (*_RESOURCES, POSTED):
            con.execute(f"drop table if exists chunk_{name}")


def rows(table: pa.Table) -> list[Row]:
    """The rows of a table as typed Python rows: Decimal, naive datetime, lists for JSON."""
    names = table.column_names
    columns = [_values(name, column) for name, column in zip(names, table.columns, strict=True)]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def find(con: duckdb.DuckDBPyConnection, references: Iterable[str]) -> bool:
    """Leaves in temporary tables what has these references, so that all else is found by number.

    ``wanted_orders`` are the orders that have or ever had one of the references, ``wanted_payments`` the payments
    that have; ``wanted_references`` holds the references themselves. True when no wanted order ever had another
    reference: what belongs to one of them then has a wanted one, and nobody needs to read that text.
    """
    wanted = sorted(set(references))
    landed = incremental.landed(con, ("raw.prestashop_orders", "raw.prestashop_order_payments"))
    mark = hashlib.sha256(f"{wanted} {landed}".encode()).hexdigest()
    con.execute("create temp table if not exists found_for (mark varchar, alone boolean)")
    found = con.execute(f"select alone from found_for where mark = '{mark}'").fetchall()
    if found:
        return bool(found[0][0])  # the rules ask for what the translation before them has asked for
    con.execute(
        "create or replace temp table wanted_references as select unnest($references::varchar[]) as reference",
        {"references": wanted},
    )
    con.execute(
        "create or replace temp table wanted_orders as select distinct id from raw.prestashop_orders"
        " where coalesce(reference, '') in (select reference from wanted_references)"
    )
    con.execute(
        "create or replace temp table wanted_payments as"
        " select id, order_reference from staging.prestashop_order_payments"
        " where coalesce(order_reference, '') in (select reference from wanted_references)"
    )
    alone = not scalar(
        con,
        "select count(*) from raw.prestashop_orders where id in (select id from wanted_orders)"
        " and coalesce(reference, '') not in (select reference from wanted_references)",
    )
    con.execute(f"delete from found_for; insert into found_for values ('{mark}', {alone})")
    return alone


def _cut(con: duckdb.DuckDBPyConnection, references: Iterable[str] | None, size: int) -> int:
    """Leaves the orders and the payments with their chunks in ``chunked_orders`` and ``chunked_payments``."""
    limit, payments = "", "staging.prestashop_order_payments"
    if references is not None:
        limit = "where id in (select id from wanted_orders)"
        payments = "wanted_payments"
        if not find(con, references):
            limit += " and coalesce(reference, '') in (select reference from wanted_references)"
    con.execute(
        f"""
        create or replace temp table chunked_orders as
        with orders as (
            select id, coalesce(reference, '') as reference, id_customer, id_address_invoice, id_address_delivery
            from staging.prestashop_orders {limit}
        ),
        cut as (
            select reference, (row_number() over (order by min(id)) - 1) // $size as chunk
            from orders
            group by reference
        )
        select cut.chunk, orders.*
        from orders
        inner join cut on orders.reference = cut.reference
        """,
        {"size": size},
    )
    con.execute(
        f"""
        create or replace temp table chunked_payments as
        select chunked.chunk, payments.id
        from {payments} as payments
        inner join (select distinct chunk, reference from chunked_orders) as chunked
            on payments.order_reference = chunked.reference
        """
    )
    return scalar(con, "select max(chunk) + 1 from chunked_orders")


def _chunk(con: duckdb.DuckDBPyConnection, name: str, number: int) -> pa.Table:
    return _table(con, f"select * exclude (chunk) from chunk_{name} where chunk = {number}")


def _select(con: duckdb.DuckDBPyConnection, name: str, columns: tuple[str, ...]) -> pa.Table:
    selected = ", ".join(f'"{column}"' for column in columns)
    return _table(con, f"select {selected} from staging.prestashop_{name}")


def _table(con: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    con.complete()  # a relation needs a connection on which nobody is still fetching
    return con.sql(sql).to_arrow_table()


def _values(name: str, column: pa.ChunkedArray) -> list[Any]:
    if name in _JSON:
        return _repeated(column, lambda text: json.loads(text) if text else [])
    if pa.types.is_decimal(column.type) or pa.types.is_timestamp(column.type):
        return _repeated(column)
    if pa.types.is_integer(column.type):
        return _numbers(column)
    return list(column.to_pylist())


def _numbers(column: pa.ChunkedArray | pa.Array) -> list[int | None]:
    """Whole numbers as Python has them; by way of numpy where none is missing, which is six times faster."""
    return list(column.to_pylist() if column.null_count else column.to_numpy().tolist())


def _repeated(column: pa.ChunkedArray, read: Callable[[Any], Any] | None = None) -> list[Any]:
    """Python values of a column, each distinct one made once."""
    encoded = column.combine_chunks().dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    if read is not None:
        distinct = [read(value) for value in distinct]
    return [None if index is None else distinct[index] for index in _numbers(encoded.indices)]
