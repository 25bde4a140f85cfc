-- Profit by product and variant.
-- Grain: one row per shop, product and variant.
with

lines as (
    select * from marts.profit_lines
),

summed as (
    select
        id_shop,
        product_id,
        product_attribute_id,
        min(sku) as sku,
        min(category_id) as category_id,
        count(distinct order_id) as orders,
        sum(units) as units,
        sum(gross_sales) as gross_sales,
        sum(discounts) as discounts,
        sum(refunds) as refunds,
        sum(revenue) as revenue,
        sum(covered_revenue) as covered_revenue,
        sum(revenue) - sum(covered_revenue) as revenue_without_cost,
        coalesce(sum(cogs), 0) as cogs,
        sum(covered_revenue) - coalesce(sum(cogs), 0) as gross_margin,
        sum(delivery_income) as delivery_income,
        sum(other_income) as other_income,
        sum(income) as income
    from lines
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
        product_id,
        max(product_name) as name
    from staging.prestashop_order_details
    where product_id not in (select products.id from products)
    group by all
),

final as (
    select
        summed.id_shop,
        summed.product_id,
        summed.product_attribute_id,
        summed.sku,
        coalesce(products.name, sold.name, '') as product_name,
        summed.* exclude (id_shop, product_id, product_attribute_id, sku)
    from summed
    left join products on summed.product_id = products.id
    left join sold on summed.product_id = sold.product_id
)

select * from final
