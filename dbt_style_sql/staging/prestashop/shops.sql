-- The newest state of the shops of the installation; deleted ones left out.
-- Grain: one row per shop.
with

source as (
    select * from raw.prestashop_shops
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_shops'
),

final as (
    select
        source.connection,
        source.id,
        source.id_shop_group,
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
