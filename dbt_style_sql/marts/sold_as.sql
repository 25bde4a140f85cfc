-- Under which SKU and in which category every product and variant was sold.
-- Grain: one row per shop, product, variant, SKU and category.
with

final as (
    select
        id_shop,
        product_id,
        product_attribute_id,
        sku,
        category_id,
        count(*) as lines
    from marts.sold_lines
    group by all
)

select * from final
