-- The newest state of the languages; deleted ones left out.
-- Grain: one row per language.
with

source as (
    select * from raw.prestashop_languages
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_languages'
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
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
