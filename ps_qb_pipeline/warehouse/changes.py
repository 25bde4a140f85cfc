"""Which orders have to be translated again.

What lives here: what has landed since the ledger was built, followed to the references that it bears
on, and the mark of how far the ledger has read. What does not: building (``ledger``).

An order is translated again when one of its rows landed, its customer or an address did, a rule or
product that it names changed in what accounting reads of it, or a posted advance is now to be taken
back. What all orders share (taxes, states, settings, the policy, the code of accounting itself)
concerns every order.
"""

# ruff: noqa: S608  (names come from shop_rows; values are bound)

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path

import duckdb

from ps_qb_pipeline import accounting
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.warehouse import shop_rows
from ps_qb_pipeline.warehouse.incremental import STATE, create_state
from ps_qb_pipeline.warehouse.session import scalar
from ps_qb_pipeline.warehouse.tables import create_tables

TOO_MANY = 0.2
"""Beyond this part of the orders, translating all of them is the simpler way."""

_LEDGER = "ledger"
_MIRROR = "staging.quickbooks_documents"
_SOURCES = tuple(
    f"raw.prestashop_{name}"
    for name in (*shop_rows.LOOKUPS, *shop_rows.CATALOGUE, *shop_rows.ORDERS, *shop_rows.OTHERS)
)


def version(policy: Policy, go_live: date) -> str:
    """A hash of everything but rows that decides what an order becomes."""
    return hashlib.sha256(f"{policy!r} {go_live} {_code()}".encode()).hexdigest()[:16]


@cache
def _code() -> str:
    """A hash of the code of accounting as this process loaded it."""
    digest = hashlib.sha256()
    for path in sorted(Path(str(accounting.__file__)).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def landed(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How far each raw table that the ledger reads has got."""
    return {source: scalar(con, f"select max(landing_id) from {source}") for source in _SOURCES}


def remember(con: duckdb.DuckDBPyConnection, made_by: str, read_to: Mapping[str, int]) -> None:
    """Notes that the ledger holds everything up to ``read_to``, translated by ``made_by``."""
    create_state(con)
    con.execute(f"delete from {STATE} where relation = $relation", {"relation": _LEDGER})
    con.executemany(
        f"insert into {STATE} values (?, ?, ?, ?)",
        [(_LEDGER, made_by, source, landing_id) for source, landing_id in read_to.items()],
    )
    for name in _BESIDES:
        con.execute(f"create or replace table runner.{name} as select * from {name}_now")


_BESIDES = {
    "posted": "select key, order_id, txn_date, type from posted",
    "poisoned": """
        select distinct resource, id, coalesce(parent, '') as parent, reason
        from raw.poisoned where system = 'prestashop' and resolved_at is null""",
}
"""What else bears on orders: documents that the books hold already, and rows that cannot be read."""


def note_besides(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Looks at what else bears on orders as it is now, to be compared with what it was.

    What is posted matters to advances, which a sale takes back, to invoices, which stay invoices however
    they are paid, and to all documents once a period is closed: what stands in it stays.
    """
    create_tables(con)
    create_state(con)
    # Asked of each side by itself: behind their union it would be asked of every document that there is.
    matters = "true" if policy.book_close_date else "({key} like '%|deposit|%' or {type} = 'Invoice')"
    mirror = """
        select null::varchar as key, null::bigint as order_id, null::date as txn_date, null::varchar as type where false"""
    if scalar(
        con,
        "select count(*) from information_schema.tables where table_schema || '.' || table_name = $name",
        {"name": _MIRROR},
    ):
        mirror = f"""
            select source_key as key, source_order_id as order_id, txn_date, entity as type from {_MIRROR}
            where source_key is not null and not deleted and {matters.format(key="source_key", type="entity")}"""
    con.execute(
        f"""
        create or replace temp table posted as
        with mirror as ({mirror}),
        confirmed as (
            select intents.key, documents.order_id, documents.txn_date, intents.entity as type
            from control.intents as intents inner join ledger.documents as documents on intents.key = documents.key
            where intents.state = 'CONFIRMED' and intents.operation <> 'void'
                and {matters.format(key="intents.key", type="intents.entity")}
        ),
        held as (select * from mirror union all select * from confirmed anti join mirror using (key))
        select key, min(order_id) as order_id, min(txn_date) as txn_date, min(type) as type from held group by key
        """
    )
    for name, sql in _BESIDES.items():
        con.execute(f"create or replace temp table {name}_now as {sql}")
        con.execute(f"create table if not exists runner.{name} as select * from {name}_now limit 0")


def quiet(con: duckdb.DuckDBPyConnection, made_by: str) -> bool:
    """True when nothing at all has come since; ``note_besides`` must have been called before."""
    return _read_to(con, made_by) == landed(con) and not any(
        scalar(con, f"{_news(name)} select count(*) from news") for name in _BESIDES
    )


def _read_to(con: duckdb.DuckDBPyConnection, made_by: str) -> dict[str, int]:
    create_state(con)
    rows = con.execute(
        f"select source, landing_id from {STATE} where relation = $relation and version = $version",
        {"relation": _LEDGER, "version": made_by},
    ).fetchall()
    return dict(rows)


def _news(name: str) -> str:
    return f"""
        with news as (
            (select * from {name}_now except select * from runner.{name})
            union all
            (select * from runner.{name} except select * from {name}_now)
        )"""


def references(con: duckdb.DuckDBPyConnection, made_by: str) -> list[str] | None:
    """The references to translate again, in order; None when that is all of them.

    ``note_besides`` must have been called before.
    """
    before, now = _read_to(con, made_by), landed(con)
    if before.keys() != now.keys() or any(now[source] < before[source] for source in now):
        return None
    grown = {
        source.removeprefix("raw.prestashop_"): before[source]
        for source in now
        if now[source] > before[source]
    }
    if any(
        _differs(con, name, shop_rows.LOOKUPS[name], since)
        for name, since in grown.items()
        if name in shop_rows.LOOKUPS
    ):
        return None
    con.execute("create or replace temp table touched (reference varchar)")
    for name, since in grown.items():
        _touch(con, name, since)
    _touch_besides(con)
    found = con.execute("select distinct coalesce(reference, '') from touched order by all").fetchall()
    if len(found) > TOO_MANY * max(scalar(con, "select count(*) from staging.prestashop_orders"), 1000):
        return None
    return [row[0] for row in found]


def _changed(name: str) -> str:
    """The ids of a resource that landed again."""
    return f"(select id from raw.prestashop_{name} where landing_id > $since)"


def _touch(con: duckdb.DuckDBPyConnection, name: str, since: int) -> None:
    """Adds the references that the news of one resource bears on."""
    if name in shop_rows.CATALOGUE:
        _touch_by_product(con, name, since)
        return
    sql = _BY_RESOURCE.get(name)
    if sql is None and name in shop_rows.ORDERS:
        sql = f"""
            select orders.reference from raw.prestashop_orders as orders
            where orders.id in (select id_order from raw.prestashop_{name} where id in {_changed(name)})"""
    if sql is not None:
        con.execute(f"insert into touched {sql}", {"since": since})


_BY_RESOURCE = {
    # Every state counts: an order may have changed its reference, and both sides of that are news.
    "orders": f"select reference from raw.prestashop_orders where id in {_changed('orders')}",
    "order_payments": f"""
        select order_reference from raw.prestashop_order_payments where id in {_changed("order_payments")}""",
    "customers": f"""
        select reference from staging.prestashop_orders where id_customer in {_changed("customers")}""",
    "addresses": f"""
        select reference from staging.prestashop_orders
        where id_address_invoice in {_changed("addresses")} or id_address_delivery in {_changed("addresses")}""",
    "cart_rules": f"""
        select orders.reference from staging.prestashop_orders as orders
        where orders.id in (
            select id_order from staging.prestashop_order_cart_rules where id_cart_rule in {_changed("cart_rules")}
        )
        or orders.id in (
            select try_cast(regexp_extract(code, '^V[0-9]+C[0-9]+O([0-9]+)$', 1) as bigint)
            from raw.prestashop_cart_rules where id in {_changed("cart_rules")}
        )""",
}


def _states(name: str, columns: tuple[str, ...], since: int) -> str:
    """What accounting reads of the rows that landed since, before and after."""
    selected = ", ".join(f'"{column}"' for column in columns)
    newest = "qualify row_number() over (partition by id order by landing_id desc) = 1"
    rows = f"select {selected}, deleted_at_source from raw.prestashop_{name} where id in (select id from raw.prestashop_{name} where landing_id > {since})"
    return f"""
        with before as ({rows} and landing_id <= {since} {newest}), after as ({rows} {newest}),
        differing as (
            (select * from after except select * from before) union all (select * from before except select * from after)
        )"""


def _differs(con: duckdb.DuckDBPyConnection, name: str, columns: tuple[str, ...], since: int) -> bool:
    return scalar(con, f"{_states(name, columns, since)} select count(*) from differing") > 0


def _touch_by_product(con: duckdb.DuckDBPyConnection, name: str, since: int) -> None:
    """Orders that sold a product whose facts changed, or one that shares its SKU with such a product."""
    product = "id" if name == "products" else "id_product"
    con.execute(
        f"""
        insert into touched
        {_states(name, shop_rows.CATALOGUE[name], since)},
        skus as (select distinct lower(trim(reference)) as sku from differing where trim(reference) <> ''),
        concerned as (
            select {product} as id from differing
            union
            select id from staging.prestashop_products where lower(trim(reference)) in (select sku from skus)
            union
            select id_product from staging.prestashop_combinations where lower(trim(reference)) in (select sku from skus)
        )
        select orders.reference from staging.prestashop_orders as orders
        where orders.id in (
            select id_order from staging.prestashop_order_details
            where product_id in (select id from concerned) or lower(trim(product_reference)) in (select sku from skus)
        )
        """
    )


def _touch_besides(con: duckdb.DuckDBPyConnection) -> None:
    for name, references_of in _BY_BESIDES.items():
        con.execute(f"insert into touched {_news(name)} {references_of}")


_BY_BESIDES = {
    "posted": """
        select reference from staging.prestashop_orders where id in (select order_id from news)""",
    "poisoned": """
        select reference from staging.prestashop_orders
        where id in (select if(resource = 'orders', id, try_cast(parent as bigint)) from news)
        or reference in (select parent from news where resource = 'order_payments')""",
}
