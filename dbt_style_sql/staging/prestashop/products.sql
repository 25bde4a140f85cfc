-- The newest state of the products; deleted ones left out.
-- Grain: one row per product.
with

source as (
    select * from raw.prestashop_products
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_products'
),

final as (
    select
        source.connection,
        source.id,
        source.id_shop_default,
        source.id_category_default,
        source.id_tax_rules_group,
        source.reference,
        source.ean13,
        source.name,
        source.price,
        source.wholesale_price,
        source.ecotax,
        source.product_type,
        source.is_virtual,
        source.active,
        source.state,
        source.date_add,
        source.date_upd,
        source.combinations,
        source.stock_availables,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
