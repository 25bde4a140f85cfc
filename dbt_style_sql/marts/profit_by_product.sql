-- Profit by product and variant.
-- Grain: one row per shop, product and variant.
with

summed as (
    select * exclude (lines) from marts.sold_products
),

sold_as as (
    select
        id_shop,
        product_id,
        product_attribute_id,
        min(sku) as sku,
        min(category_id) as category_id
    from marts.sold_as
    group by id_shop, product_id, product_attribute_id
),

products as (
    select
        id,
        name
    from staging.prestashop_products
),

-- What the shop has deleted since is named as it was sold.
sold as (
    select
        details.product_id,
        max(details.product_name) as name
    from staging.prestashop_order_details as details
    semi join (
        select summed.product_id
        from summed
        anti join products on summed.product_id = products.id
    ) as gone on details.product_id = gone.product_id
    group by all
),

final as (
    select
        summed.id_shop,
        summed.product_id,
        summed.product_attribute_id,
        sold_as.sku,
        coalesce(products.name, sold.name, '') as product_name,
        sold_as.category_id,
        summed.* exclude (id_shop, product_id, product_attribute_id)
    from summed
    inner join sold_as
        on
            summed.id_shop is not distinct from sold_as.id_shop
            and summed.product_id is not distinct from sold_as.product_id
            and summed.product_attribute_id is not distinct from sold_as.product_attribute_id
    left join products on summed.product_id = products.id
    left join sold on summed.product_id = sold.product_id
)

select * from final
