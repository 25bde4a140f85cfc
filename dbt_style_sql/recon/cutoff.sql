-- What was sold and not shipped, or shipped and not paid, at the end of the last full month.
-- Grain: one row per order that is open in one of the two ways.
with

period as (
    select coalesce(
        cast(getvariable('period_end') as date),
        cast(date_trunc('month', cast(coalesce(getvariable('as_of'), current_date) as date)) as date)
        - interval 1 day
    ) as last_day
),

sales as (
    select
        key,
        order_id,
        id_shop,
        currency,
        txn_date,
        total,
        total - total_tax as net
    from recon.pairs
    where
        role = 'sale' and not held and type in ('SalesReceipt', 'Invoice')
        and txn_date <= (select last_day from period)
        and txn_date > (select last_day - interval 3 month from period)
),

deliveries as (
    select
        id as order_id,
        delivery_date
    from staging.prestashop_orders
),

payments as (
    select
        applied.to_key,
        min(documents.txn_date) as first_day,
        sum(applied.amount) as paid
    from ledger.applied as applied
    inner join ledger.documents as documents on applied.document_key = documents.key
    where documents.type = 'Payment' and documents.txn_date <= (select last_day from period)
    group by all
),

invoices as (
    select
        key,
        order_id,
        type
    from recon.pairs
    where role = 'sale'
),

final as (
    select
        sales.order_id,
        sales.id_shop,
        documents.reference,
        documents.doc_number,
        sales.currency,
        cast(period.last_day as date) as period_end,
        case
            when deliveries.delivery_date is null or deliveries.delivery_date::date > period.last_day
                then 'sold, not shipped'
            else 'shipped, not paid'
        end as what,
        sales.txn_date,
        cast(deliveries.delivery_date as date) as delivery_date,
        cast(sales.net as decimal(18, 2)) as net,
        cast(sales.total as decimal(18, 2)) as total,
        cast(
            if(invoices.type = 'SalesReceipt', sales.total, coalesce(payments.paid, 0))
            as decimal(18, 2)
        ) as paid
    from sales
    cross join period
    inner join ledger.documents as documents on sales.key = documents.key
    inner join deliveries on sales.order_id = deliveries.order_id
    inner join invoices on sales.order_id = invoices.order_id
    left join payments on invoices.key = payments.to_key
    where
        deliveries.delivery_date is null
        or deliveries.delivery_date::date > period.last_day
        or (invoices.type = 'Invoice' and coalesce(payments.paid, 0) < sales.total)
)

select * from final
