-- Profit by order, with the fee that the payment provider took of it where a payout file tells it.
-- Grain: one row per order.
with

documents as (
    select * from marts.sold_documents
),

fees as (
    select
        matches.order_id,
        sum(matches.fee * coalesce(booked.exchange_rate, 1)) as fees
    from recon.payout_matches as matches
    left join ledger.documents as booked on matches.document_key = booked.key
    where matches.order_id is not null
    group by all
),

summed as (
    select
        order_id,
        min(month) as month,
        min(cohort) as cohort,
        max(customer_id) as customer_id,
        max(country) as country,
        max(payment_method) as payment_method,
        max(carrier) as carrier,
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
    from documents
    group by order_id
),

final as (
    select
        summed.*,
        cast(fees.fees as decimal(38, 2)) as fees,
        cast(
            summed.income - summed.cogs - coalesce(fees.fees, 0) as decimal(38, 2)
        ) as contribution
    from summed
    left join fees using (order_id)
)

select * from final
