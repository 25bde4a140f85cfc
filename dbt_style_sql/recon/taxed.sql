-- The tax of every expected sale and refund by rate, and where QuickBooks holds another.
-- Grain: one row per document, tax code and rate, and one per document and rate that differs (moved).
with

countries as (
    select
        addresses.id,
        countries.iso_code
    from staging.prestashop_addresses as addresses
    inner join staging.prestashop_countries as countries on addresses.id_country = countries.id
),

orders as (
    select
        orders.id,
        countries.iso_code as country
    from staging.prestashop_orders as orders
    inner join countries on orders.id_address_delivery = countries.id
),

documents as (
    select
        pairs.key,
        coalesce(pairs.order_id, 0) as order_id,
        pairs.currency,
        cast(date_trunc('month', pairs.txn_date) as date) as month,
        coalesce(orders.country, '') as country,
        if(pairs.measure = 'refunds', -1, 1) as sign,
        pairs.live
    from recon.pairs as pairs
    left join orders on pairs.order_id = orders.id
    where pairs.measure in ('sales', 'refunds') and not pairs.held
),

-- What differs in documents that are there stands beside what is meant; its code is not known there.
taxes as (
    select
        document_key,
        false as moved,
        code,
        cast(rate as decimal(9, 4)) as rate,
        cast(base as decimal(18, 4)) as base,
        cast(amount as decimal(18, 4)) as tax
    from ledger.taxes
    union all
    select
        document_key,
        true as moved,
        cast(null as varchar) as code,
        rate,
        cast(actual_base - expected_base as decimal(18, 4)) as base,
        cast(difference as decimal(18, 4)) as tax
    from recon.tax_pairs
),

-- The key of a document with an order would take more room than all the rest, and its order says as much.
final as (
    select
        if(documents.order_id = 0, documents.key, '') as document_key,
        documents.order_id,
        documents.currency,
        documents.month,
        documents.country,
        taxes.moved,
        taxes.code,
        taxes.rate,
        cast(documents.sign * taxes.base as decimal(18, 4)) as base,
        cast(documents.sign * taxes.tax as decimal(18, 4)) as tax,
        documents.live
    from taxes
    inner join documents on taxes.document_key = documents.key
)

select * from final
