-- The newest state of the taxes; a tax whose rate was changed lives on as deleted; deleted ones left out.
-- Grain: one row per tax.
with

source as (
    select * from raw.prestashop_taxes
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_taxes'
),

final as (
    select
        source.connection,
        source.id,
        source.rate,
        source.name,
        source.active,
        source.deleted,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
