-- The newest state of the stock as the shop counts it; deleted ones left out.
-- Grain: one row per stock row.
with

source as (
    select * from raw.prestashop_stock_availables
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
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
