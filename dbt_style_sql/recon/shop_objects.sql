-- What the shop holds beside what the ledger made of it.
-- Grain: one row per order, payment row and credit slip, of either side.
with

orders as not materialized (
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
        iso_code,
        iso_code in (
            'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'VND',
            'VUV', 'XAF', 'XOF', 'XPF'
        ) as without_minor_unit
    from staging.prestashop_currencies
),

sources as (
    select * from ledger.sources
),

-- Amounts as the shop keeps them, with six decimals, goods and shipping of a slip apart.
kept as (
    select
        'order' as source_type,
        id as source_id,
        id as order_id,
        id_shop,
        reference,
        id_currency,
        coalesce(total_paid_tax_incl, 0) as gross,
        coalesce(total_paid_tax_excl, 0) as net,
        cast(0 as decimal(18, 6)) as shipping_gross,
        cast(0 as decimal(18, 6)) as shipping_net,
        date_add as event_at
    from orders
    union all by name
    select
        'payment' as source_type,
        id as source_id,
        order_reference as reference,
        id_currency,
        coalesce(amount, 0) as gross,
        coalesce(amount, 0) as net,
        cast(0 as decimal(18, 6)) as shipping_gross,
        cast(0 as decimal(18, 6)) as shipping_net,
        date_add as event_at
    from payments
    union all by name
    select
        'slip' as source_type,
        slips.id as source_id,
        slips.id_order as order_id,
        orders.id_shop,
        orders.reference,
        orders.id_currency,
        coalesce(slips.total_products_tax_incl, 0) as gross,
        coalesce(slips.total_products_tax_excl, 0) as net,
        cast(coalesce(slips.total_shipping_tax_incl, 0) as decimal(18, 6)) as shipping_gross,
        cast(coalesce(slips.total_shipping_tax_excl, 0) as decimal(18, 6)) as shipping_net,
        slips.date_add as event_at
    from slips
    left join orders on slips.id_order = orders.id
),

-- Money has as many decimals as its currency. (By way of decimal(18, 6) where it fits: DuckDB rounds
-- numbers of more than 64 bits thirty times slower.)
narrowed as (
    select
        *,
        coalesce(
            cast(try_cast(gross as decimal(18, 6)) as decimal(18, 2)),
            cast(gross as decimal(18, 2))
        ) as gross_2,
        coalesce(
            cast(try_cast(net as decimal(18, 6)) as decimal(18, 2)), cast(net as decimal(18, 2))
        ) as net_2,
        cast(shipping_gross as decimal(18, 2)) as shipping_gross_2,
        cast(shipping_net as decimal(18, 2)) as shipping_net_2
    from kept
),

shop as (
    select
        kept.source_type,
        kept.source_id,
        kept.order_id,
        kept.id_shop,
        kept.reference,
        currencies.iso_code as currency,
        kept.event_at,
        if(
            currencies.without_minor_unit,
            cast(round(kept.gross, 0) as decimal(18, 2))
            + cast(round(kept.shipping_gross, 0) as decimal(18, 2)),
            kept.gross_2 + kept.shipping_gross_2
        ) as amount,
        if(
            currencies.without_minor_unit,
            cast(round(kept.net, 0) as decimal(18, 2))
            + cast(round(kept.shipping_net, 0) as decimal(18, 2)),
            kept.net_2 + kept.shipping_net_2
        ) as net
    from narrowed as kept
    left join currencies on kept.id_currency = currencies.id
),

final as (
    select
        source_type,
        source_id,
        coalesce(sources.order_id, shop.order_id) as order_id,
        coalesce(sources.id_shop, shop.id_shop, 0) as id_shop,
        coalesce(nullif(sources.reference, ''), shop.reference, '') as reference,
        coalesce(shop.currency, nullif(sources.currency, ''), 'XXX') as currency,
        cast(coalesce(shop.amount, 0) as decimal(18, 2)) as shop_amount,
        cast(coalesce(shop.amount - shop.net, 0) as decimal(18, 2)) as tax,
        coalesce(
            cast(try_cast(sources.amount as decimal(18, 6)) as decimal(18, 2)),
            cast(sources.amount as decimal(18, 2))
        ) as ledger_amount,
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
