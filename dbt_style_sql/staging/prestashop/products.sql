-- The newest state of the products; deleted ones left out.
-- Grain: one row per product.
with

source as (
    select * from raw.prestashop_products
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
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
