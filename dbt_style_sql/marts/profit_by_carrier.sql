-- Profit by carrier.
-- Grain: one row per carrier.
with

documents as (
    select * from marts.sold_documents
),

final as (
    select
        carrier,
        count(distinct order_id) as orders,
        coalesce(sum(units), 0) as units,
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
    from documents
    group by carrier
)

select * from final
