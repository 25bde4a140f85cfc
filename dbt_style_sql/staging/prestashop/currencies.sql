-- The newest state of the currencies, at the rate of today; deleted ones left out.
-- Grain: one row per currency.
with

source as (
    select * from raw.prestashop_currencies
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_currencies'
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
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
