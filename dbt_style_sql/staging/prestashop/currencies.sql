-- The newest state of the currencies, at the rate of today; deleted ones left out.
-- Grain: one row per currency.
with

source as (
    select * from raw.prestashop_currencies
),

newest as (
    select max(landing_id) as landing_id
    from source
    group by id
),

final as (
    select
        source.connection,
        source.id,
        source.iso_code,
        source.name,
        source.conversion_rate,
        source.precision,
        source.active,
        source.deleted,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
