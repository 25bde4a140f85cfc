"""What belongs to no order that can be read: it too is in the ledger, held and named.

What lives here: payments and slips whose order the shop no longer has, orders and their rows that could
not be read at all. What does not: what accounting makes of the rest (``translation``). There are few of
these, so that they are found anew whenever the ledger changes.
"""

from __future__ import annotations

import duckdb

from ps_qb_pipeline.accounting.shop import Poison
from ps_qb_pipeline.warehouse.session import scalar

SOURCES = "(id_shop = 0 and reference = '')"
"""Which rows of ``ledger.sources`` are of this kind."""

FINDINGS = "(order_id = 0 or code = 'SOURCE_DELETED')"
"""Which rows of ``ledger.findings`` are of this kind."""

_OWN = {"order_slip": "slip", "order_payments": "payment"}
"""Resources whose rows are sources of their own, and stop nothing else, when they were never read before."""


_UNREAD = "select count(*) from poisoned_now"
_SUSPECTS = """
    create or replace temp table suspects as
    select source_id as id from ledger.sources where source_type = 'payment' and id_shop = 0 and reference = ''
    union
    select id from wanted_payments
"""
"""Payments that had no order, and those of references that are translated again: no other can have lost its order."""


def poisoned(con: duckdb.DuckDBPyConnection) -> dict[int, tuple[Poison, ...]]:
    """The rows that cannot be read now, by the order that they keep from being understood.

    A credit slip or payment that was never read is held alone; any other row, or a newer state of one
    that was read, makes what is known of its order doubtful, so that the order is held.
    """
    if not scalar(con, _UNREAD):
        return {}
    rows = con.execute(
        """
        select distinct
            unread.resource, coalesce(unread.id, 0), orders.id, unread.reason,
            unread.resource in ('order_slip', 'order_payments')
                and unread.id is not null
                and slips.id is null
                and payments.id is null
        from poisoned_now as unread
        inner join staging.prestashop_orders as orders
            on orders.id = if(unread.resource = 'orders', unread.id, try_cast(unread.parent as bigint))
            or (unread.resource = 'order_payments' and orders.reference = unread.parent)
        left join staging.prestashop_order_slip as slips
            on unread.resource = 'order_slip' and unread.id = slips.id
        left join staging.prestashop_order_payments as payments
            on unread.resource = 'order_payments' and unread.id = payments.id
        order by all
        """
    ).fetchall()
    found: dict[int, list[Poison]] = {}
    alone: set[tuple[str, int]] = set()
    for resource, number, order, reason, own in rows:
        if own and (resource, number) in alone:
            continue  # a payment names a reference; the first of its orders speaks for it
        if own:
            alone.add((resource, number))
        kind = _OWN[resource] if own else "detail"
        found.setdefault(order, []).append(Poison(kind, number, order, f"{resource}: {reason}"))
    return {order: tuple(entries) for order, entries in found.items()}


def write(con: duckdb.DuckDBPyConnection, *, part: bool = False) -> None:
    """Adds sources and findings of this kind to the pending ledger.

    ``part``: only the references of ``shop_rows.find`` have news, and ``chunked_orders`` are all their orders.
    """
    con.execute(_UNREAD_ORDERS)
    if part:
        con.execute(_SUSPECTS)
    con.execute(_PAYMENTS_OF_PART if part else _PAYMENTS_OF_ALL)
    con.execute(_SLIPS)
    if scalar(con, _UNREAD):
        con.execute(_ORDERS)
        con.execute(_UNREADABLE)
    con.execute(_NAMED)


_UNREAD_ORDERS = """
    create or replace temp view unread_orders as
    select id, try_cast(payload as json) ->> '$.reference' as reference
    from raw.poisoned where system = 'prestashop' and resource = 'orders' and resolved_at is null
"""

_PAYMENTS = """
    insert into ledger.pending_sources by name
    select
        'payment' as source_type, payments.id as source_id, 0 as order_id, 0 as id_shop, '' as reference,
        'held' as status,
        if(payments.order_reference in (select reference from unread_orders), 'POISON_RECORD', 'SOURCE_DELETED')
            as reason,
        coalesce(currencies.iso_code, '') as currency,
        payments.amount, payments.date_add as event_at, '' as document_key
    from staging.prestashop_order_payments as payments
    left join staging.prestashop_currencies as currencies on payments.id_currency = currencies.id
    {limit}
"""
_PAYMENTS_OF_ALL = _PAYMENTS.format(
    limit="""
    where coalesce(payments.order_reference, '') not in (
        select coalesce(reference, '') from staging.prestashop_orders
    )"""
)
_PAYMENTS_OF_PART = _PAYMENTS.format(
    limit="""
    where payments.id in (select id from suspects)
        and coalesce(payments.order_reference, '') not in (select reference from chunked_orders)"""
)

_SLIPS = """
    insert into ledger.pending_sources by name
    select
        'slip' as source_type, slips.id as source_id, coalesce(slips.id_order, 0) as order_id, 0 as id_shop,
        '' as reference, 'held' as status,
        if(slips.id_order in (select id from unread_orders), 'POISON_RECORD', 'SOURCE_DELETED') as reason,
        '' as currency,
        slips.total_products_tax_incl + slips.total_shipping_tax_incl as amount, slips.date_add as event_at,
        '' as document_key
    from staging.prestashop_order_slip as slips
    anti join staging.prestashop_orders as orders on slips.id_order = orders.id
"""

_ORDERS = """
    insert into ledger.pending_sources by name
    select distinct
        'order' as source_type, id as source_id, id as order_id, 0 as id_shop, '' as reference,
        'held' as status, 'POISON_RECORD' as reason, '' as currency, 0 as amount, null::timestamp as event_at,
        '' as document_key
    from poisoned_now
    where resource = 'orders' and id is not null and id not in (select id from staging.prestashop_orders)
"""

_NAMED = """
    insert into ledger.pending_findings by name
    select
        reason as code, 'B' as severity, if(reason = 'SOURCE_DELETED', 'O', 'D') as owner, source_type, source_id,
        order_id, '' as document_key, amount, currency,
        'The order of this ' || source_type
        || if(reason = 'SOURCE_DELETED', ' is gone from the shop.', ' cannot be read.') as message,
        '{}' as evidence
    from ledger.pending_sources
    where source_type in ('payment', 'slip') and id_shop = 0 and reference = ''
"""

_UNREADABLE = """
    insert into ledger.pending_findings by name
    select distinct
        'POISON_RECORD' as code, 'B' as severity, 'D' as owner,
        if(resource = 'orders', 'order', resource) as source_type, coalesce(id, 0) as source_id,
        if(resource = 'orders', coalesce(id, 0), 0) as order_id,
        '' as document_key, 0 as amount, '' as currency, reason as message, '{}' as evidence
    from poisoned_now
    where not exists (
        select 1 from staging.prestashop_orders as orders
        where orders.id = if(resource = 'orders', poisoned_now.id, try_cast(poisoned_now.parent as bigint))
            or (resource = 'order_payments' and orders.reference = poisoned_now.parent)
    )
"""
