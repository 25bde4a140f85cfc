-- The newest state of the countries; deleted ones left out.
-- Grain: one row per country.
with

source as (
    select * from raw.prestashop_countries
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
        source.id_zone,
        source.iso_code,
        source.name,
        source.active,
        source.contains_states,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
