-- The newest state of the settings of the shop, those that bear on money and time; deleted ones left out.
-- Grain: one row per setting.
with

source as (
    select * from raw.prestashop_configurations
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_configurations'
),

final as (
    select
        source.connection,
        source.id,
        source.id_shop,
        source.id_shop_group,
        source.name,
        source.value,
        source.date_upd,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
