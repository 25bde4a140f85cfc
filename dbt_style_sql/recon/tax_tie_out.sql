-- Tax by month, country of delivery and rate: as meant, and as the same documents hold it.
-- Grain: one row per currency, month, country, tax code and rate in percent.
with

summed as (
    select * from recon.taxes_summed
),

meant as (
    select
        currency,
        month,
        country,
        code,
        rate,
        parts as documents,
        base as expected_base,
        tax as expected_tax,
        live_base,
        live_tax
    from summed
    where not moved
),

-- What differs in documents that are there, by the same dimensions; the code is not known there.
moved as (
    select
        currency,
        month,
        country,
        rate,
        base,
        tax
    from summed
    where moved
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
