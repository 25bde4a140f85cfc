-- Tax by month, country of delivery and rate: as meant, and as the same documents hold it.
-- Grain: one row per currency, month, country, tax code and rate in percent.
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
        pairs.currency,
        cast(date_trunc('month', pairs.txn_date) as date) as month,
        coalesce(orders.country, '') as country,
        if(pairs.measure = 'refunds', -1, 1) as sign,
        pairs.live
    from recon.pairs as pairs
    left join orders on pairs.order_id = orders.id
    where pairs.measure in ('sales', 'refunds') and not pairs.held
),

meant as (
    select
        documents.currency,
        documents.month,
        documents.country,
        taxes.code,
        cast(taxes.rate as decimal(9, 4)) as rate,
        count(*) as documents,
        sum(documents.sign * taxes.base) as expected_base,
        sum(documents.sign * taxes.amount) as expected_tax,
        sum(if(documents.live, documents.sign * taxes.base, 0)) as live_base,
        sum(if(documents.live, documents.sign * taxes.amount, 0)) as live_tax
    from ledger.taxes as taxes
    inner join documents on taxes.document_key = documents.key
    group by all
),

-- What differs in documents that are there, by the same dimensions; the code is not known there.
moved as (
    select
        documents.currency,
        documents.month,
        documents.country,
        tax_pairs.rate,
        sum(documents.sign * (tax_pairs.actual_base - tax_pairs.expected_base)) as base,
        sum(documents.sign * tax_pairs.difference) as tax
    from recon.tax_pairs as tax_pairs
    inner join documents on tax_pairs.document_key = documents.key
    group by all
),

numbered as (
    select
        *,
        row_number() over (partition by currency, month, country, rate order by code) as place
    from meant
),

final as (
    select
        currency,
        month,
        country,
        coalesce(numbered.code, '') as code,
        rate,
        coalesce(numbered.documents, 0) as documents,
        cast(coalesce(numbered.expected_base, 0) as decimal(18, 2)) as expected_base,
        cast(coalesce(numbered.expected_tax, 0) as decimal(18, 2)) as expected_tax,
        cast(coalesce(numbered.live_base, 0) + coalesce(moved.base, 0) as decimal(18, 2))
            as actual_base,
        cast(coalesce(numbered.live_tax, 0) + coalesce(moved.tax, 0) as decimal(18, 2))
            as actual_tax,
        cast(
            coalesce(numbered.live_tax, 0) + coalesce(moved.tax, 0)
            - coalesce(numbered.expected_tax, 0) as decimal(18, 2)
        ) as difference
    from numbered
    full outer join (select *, 1 as place from moved) as moved
        using (currency, month, country, rate, place)
)

select * from final
