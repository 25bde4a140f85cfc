-- An order, payment row or credit slip of the shop is not in the ledger, or something else is.
with

shop as (
    select 'order' as source_type, id as source_id from staging.prestashop_orders
    union all
    select 'payment', id from staging.prestashop_order_payments
    union all
    select 'slip', id from staging.prestashop_order_slip
    union
    select
        case resource when 'orders' then 'order' when 'order_payments' then 'payment' else 'slip' end,
        id
    from raw.poisoned
    where
        system = 'prestashop'
        and resolved_at is null
        and id is not null
        and (
            resource = 'orders'
            or (resource = 'order_payments' and parent in (select reference from staging.prestashop_orders))
            or (resource = 'order_slip' and parent in (select id::varchar from staging.prestashop_orders))
        )
),

ledger as (
    select source_type, source_id from ledger.sources
),

final as (
    select coalesce(shop.source_type, ledger.source_type) || ' ' || coalesce(shop.source_id, ledger.source_id) as id
    from shop
    full outer join ledger
        on shop.source_type = ledger.source_type and shop.source_id = ledger.source_id
    where shop.source_id is null or ledger.source_id is null
)

select * from final
