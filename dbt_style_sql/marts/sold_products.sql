-- What was sold and refunded of every product and variant, summed over lines that are kept.
-- Grain: one row per shop, product and variant.
with

lines as (
    select
        *,
        cast(amount + discount as decimal(18, 2)) as earned
    from marts.sold_lines
),

final as (
    select
        id_shop,
        product_id,
        product_attribute_id,
        count(*) as lines,
        count(distinct order_id) as orders,
        coalesce(sum(units), 0) as units,
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
)

select * from final
