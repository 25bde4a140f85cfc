-- The newest state of the languages; deleted ones left out.
-- Grain: one row per language.
with

source as (
    select * from raw.prestashop_languages
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
        source.name,
        source.iso_code,
        source.language_code,
        source.locale,
        source.active,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
