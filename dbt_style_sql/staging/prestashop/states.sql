-- The newest state of the states and provinces of countries; deleted ones left out.
-- Grain: one row per state of a country.
with

source as (
    select * from raw.prestashop_states
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_states'
),

final as (
    select
        source.connection,
        source.id,
        source.id_country,
        source.id_zone,
        source.iso_code,
        source.name,
        source.active,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
