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
from ps_qb_pipeline.warehouse import incremental, posted, shop_rows
from ps_qb_pipeline.warehouse.incremental import STATE, create_state
from ps_qb_pipeline.warehouse.session import scalar
from ps_qb_pipeline.warehouse.tables import LEDGER, TABLES, create_tables

TOO_MANY = 0.2
"""Beyond this part of the orders, translating all of them is the simpler way."""

_LEDGER = "ledger"
_SOURCES = tuple(
    f"raw.prestashop_{name}"
    for name in (*shop_rows.LOOKUPS, *shop_rows.CATALOGUE, *shop_rows.ORDERS, *shop_rows.OTHERS)
)


def version(policy: Policy, go_live: date) -> str:
    """A hash of everything but rows that decides what an order becomes."""
    form = [(name, *TABLES[name]) for name in LEDGER]
    return hashlib.sha256(f"{policy!r} {go_live} {_code()} {form}".encode()).hexdigest()[:16]


@cache
def _code() -> str:
    """A hash of the code of accounting as this process loaded it."""
    digest = hashlib.sha256()
    for path in sorted(Path(str(accounting.__file__)).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def landed(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How far each raw table that the ledger reads has got."""
    return incremental.landed(con, _SOURCES)


def remember(
    con: duckdb.DuckDBPyConnection, policy: Policy, go_live: date, read_to: Mapping[str, int]
) -> None:
    """Notes that the ledger holds everything up to ``read_to``, translated by this policy."""
    create_state(con)
    made_by = version(policy, go_live)
    con.execute(f"delete from {STATE} where relation = '{_LEDGER}'")
    rows = ", ".join(f"('{_LEDGER}', '{made_by}', '{source}', {last})" for source, last in read_to.items())
    con.execute(f"insert into {STATE} values {rows}")
    posted.remember(con, policy)
    con.execute("create or replace table runner.poisoned as select * from poisoned_now")


def note_besides(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Looks at what else bears on orders as it is now, to be compared with what it was.

    That is what the books hold already (``posted``), and the rows that cannot be read.
    """
    create_tables(con)
    create_state(con)
    posted.find(con, policy)
    con.execute(f"create or replace temp table poisoned_now as {_POISONED}")
    con.execute("create table if not exists runner.poisoned as select * from poisoned_now limit 0")
    con.execute(
        """
        create or replace temp table poisoned_news as
        (select * from poisoned_now except select * from runner.poisoned)
        union all
        (select * from runner.poisoned except select * from poisoned_now)
        """
    )


_POISONED = """
    select distinct resource, id, coalesce(parent, '') as parent, reason
    from raw.poisoned where system = 'prestashop' and resolved_at is null
"""


def quiet(con: duckdb.DuckDBPyConnection, made_by: str, now: Mapping[str, int]) -> bool:
    """True when nothing at all has come since; ``note_besides`` must have been called before."""
    return _read_to(con, made_by) == now and not any(
        scalar(con, f"select count(*) from {news}") for news in _BY_BESIDES
    )


def _read_to(con: duckdb.DuckDBPyConnection, made_by: str) -> dict[str, int]:
    create_state(con)
    rows = con.execute(
        f"select source, landing_id from {STATE} where relation = $relation and version = $version",
        {"relation": _LEDGER, "version": made_by},
    ).fetchall()
    return dict(rows)


def references(con: duckdb.DuckDBPyConnection, made_by: str, now: Mapping[str, int]) -> list[str] | None:
    """The references to translate again, in order; None when that is all of them.

    ``now`` says what has landed; ``note_besides`` must have been called before.
    """
    before = _read_to(con, made_by)
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
    few = TOO_MANY * 1000
    if len(found) > max(TOO_MANY * scalar(con, "select count(*) from raw.prestashop_orders"), few):
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
    for news, references_of in _BY_BESIDES.items():
        if scalar(con, f"select count(*) from {news}"):
            con.execute(f"insert into touched {references_of}")


_BY_BESIDES = {
    "posted_news": """
        select reference from staging.prestashop_orders where id in (select order_id from posted_news)""",
    "poisoned_news": """
        select reference from staging.prestashop_orders
        where id in (select if(resource = 'orders', id, try_cast(parent as bigint)) from poisoned_news)
        or reference in (select parent from poisoned_news where resource = 'order_payments')""",
}
"""What else bears on orders, where it is not what it was, and the references of the orders concerned."""
