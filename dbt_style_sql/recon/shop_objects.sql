-- What the shop holds beside what the ledger made of it.
-- Grain: one row per order, payment row and credit slip, of either side.
with

orders as (
    select * from staging.prestashop_orders
),

payments as (
    select * from staging.prestashop_order_payments
),

slips as (
    select * from staging.prestashop_order_slip
),

currencies as (
    select
        id,
        iso_code
    from staging.prestashop_currencies
),

sources as (
    select * from ledger.sources
),

shop as (
    select
        'order' as source_type,
        orders.id as source_id,
        orders.id as order_id,
        orders.id_shop,
        orders.reference,
        currencies.iso_code as currency,
        cast(coalesce(orders.total_paid_tax_incl, 0) as decimal(18, 2)) as amount,
        cast(
            coalesce(orders.total_paid_tax_incl, 0) - coalesce(orders.total_paid_tax_excl, 0)
            as decimal(18, 2)
        ) as tax,
        orders.date_add as event_at
    from orders
    left join currencies on orders.id_currency = currencies.id
    union all by name
    select
        'payment' as source_type,
        payments.id as source_id,
        payments.order_reference as reference,
        currencies.iso_code as currency,
        cast(coalesce(payments.amount, 0) as decimal(18, 2)) as amount,
        cast(0 as decimal(18, 2)) as tax,
        payments.date_add as event_at
    from payments
    left join currencies on payments.id_currency = currencies.id
    union all by name
    select
        'slip' as source_type,
        slips.id as source_id,
        slips.id_order as order_id,
        orders.id_shop,
        orders.reference,
        currencies.iso_code as currency,
        cast(
            coalesce(slips.total_products_tax_incl, 0) + coalesce(slips.total_shipping_tax_incl, 0)
            as decimal(18, 2)
        ) as amount,
        cast(
            coalesce(slips.total_products_tax_incl, 0) + coalesce(slips.total_shipping_tax_incl, 0)
            - coalesce(slips.total_products_tax_excl, 0)
            - coalesce(slips.total_shipping_tax_excl, 0) as decimal(18, 2)
        ) as tax,
        slips.date_add as event_at
    from slips
    left join orders on slips.id_order = orders.id
    left join currencies on orders.id_currency = currencies.id
),

final as (
    select
        source_type,
        source_id,
        coalesce(sources.order_id, shop.order_id) as order_id,
        coalesce(sources.id_shop, shop.id_shop, 0) as id_shop,
        coalesce(sources.reference, shop.reference, '') as reference,
        coalesce(shop.currency, nullif(sources.currency, ''), 'XXX') as currency,
        coalesce(shop.amount, 0) as shop_amount,
        coalesce(shop.tax, 0) as tax,
        cast(sources.amount as decimal(18, 2)) as ledger_amount,
        coalesce(shop.event_at, sources.event_at) as event_at,
        coalesce(sources.status, '') as status,
        coalesce(sources.reason, '') as reason,
        coalesce(sources.document_key, '') as document_key,
        shop.source_id is not null as in_shop,
        sources.source_id is not null as in_ledger
    from shop
    full outer join sources using (source_type, source_id)
)

select * from final
