-- The newest state of the stock as the shop counts it; deleted ones left out.
-- Grain: one row per stock row.
with

source as (
    select * from raw.prestashop_stock_availables
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_stock_availables'
),

final as (
    select
        source.connection,
        source.id,
        source.id_product,
        source.id_product_attribute,
        source.id_shop,
        source.id_shop_group,
        source.quantity,
        source.depends_on_stock,
        source.out_of_stock,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
