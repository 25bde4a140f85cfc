-- Profit by customer.
-- Grain: one row per customer.
with

-- Counted apart: counting what is different within each of many customers takes far longer.
orders as (
    select
        customer_id,
        count(order_id) as orders
    from (
        select distinct
            customer_id,
            order_id
        from marts.sold_documents
    )
    group by all
),

summed as (
    select
        customer_id,
        max(document_key) as document_key,
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
    from marts.sold_documents
    group by customer_id
),

final as (
    select
        summed.customer_id,
        coalesce(documents.customer_name, '') as customer_name,
        orders.orders,
        summed.* exclude (customer_id, document_key)
    from summed
    inner join orders on summed.customer_id is not distinct from orders.customer_id
    left join ledger.documents as documents on summed.document_key = documents.key
)

select * from final
