-- The newest state of the countries; deleted ones left out.
-- Grain: one row per country.
with

source as (
    select * from raw.prestashop_countries
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_countries'
),

final as (
    select
        source.connection,
        source.id,
        source.id_zone,
        source.iso_code,
        source.name,
        source.active,
        source.contains_states,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
