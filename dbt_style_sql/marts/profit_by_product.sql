-- Profit by product and variant.
-- Grain: one row per shop, product and variant.
with

lines as (
    select
        *,
        cast(amount + discount as decimal(18, 2)) as earned
    from marts.sold_lines
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
        sum(if(bucket = 'goods' and not refund, amount, 0)) as gross_sales,
        sum(if(bucket = 'goods' and not refund, discount, 0)) as discounts,
        sum(if(bucket = 'goods' and refund, earned, 0)) as refunds,
        sum(if(bucket = 'goods', earned, 0)) as revenue,
        sum(if(bucket = 'goods' and cost_source <> 'unknown', earned, 0)) as covered_revenue,
        revenue - covered_revenue as revenue_without_cost,
        coalesce(sum(cogs), 0) as cogs,
        covered_revenue - coalesce(sum(cogs), 0) as gross_margin,
        sum(if(bucket = 'delivery', earned, 0)) as delivery_income,
        sum(if(bucket = 'other', earned, 0)) as other_income,
        sum(earned) as income
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
        summed.sku,
        coalesce(products.name, sold.name, '') as product_name,
        summed.* exclude (id_shop, product_id, product_attribute_id, sku)
    from summed
    left join products on summed.product_id = products.id
    left join sold on summed.product_id = sold.product_id
)

select * from final
