-- Every sale and refund that should be in the books with what it earned, without tax and in home
-- currency. Grain: one row per sale or refund document.
with

sold_lines as (
    select * from marts.sold_lines
),

pairs as (
    select
        key,
        order_id,
        id_shop,
        txn_date,
        live
    from recon.pairs
    where measure in ('sales', 'refunds') and not held
),

addresses as (
    select
        addresses.id,
        countries.iso_code as country
    from staging.prestashop_addresses as addresses
    inner join staging.prestashop_countries as countries on addresses.id_country = countries.id
),

carriers as (
    select
        id,
        name
    from staging.prestashop_carriers
),

orders as (
    select
        id,
        id_customer,
        id_carrier,
        id_address_delivery,
        payment,
        date_add
    from staging.prestashop_orders
),

summed as (
    select
        document_key,
        sum(units) as units,
        sum(if(bucket = 'goods' and not refund, amount, 0)) as gross_sales,
        sum(if(bucket = 'goods' and not refund, discount, 0)) as discounts,
        sum(if(bucket = 'goods' and refund, amount + discount, 0)) as refunds,
        sum(if(bucket = 'goods' and cost_source <> 'unknown', amount + discount, 0))
            as covered_revenue,
        sum(cogs) as cogs,
        sum(if(bucket = 'delivery', amount + discount, 0)) as delivery_income,
        sum(if(bucket = 'other', amount + discount, 0)) as other_income,
        sum(amount + discount) as income
    from sold_lines
    group by document_key
),

final as (
    select
        pairs.key as document_key,
        pairs.order_id,
        pairs.id_shop,
        cast(date_trunc('month', pairs.txn_date) as date) as month,
        cast(date_trunc('month', coalesce(orders.date_add, pairs.txn_date)) as date) as cohort,
        orders.id_customer as customer_id,
        coalesce(addresses.country, '') as country,
        coalesce(carriers.name, '') as carrier,
        coalesce(orders.payment, '') as payment_method,
        pairs.live as in_books,
        cast(summed.units as decimal(18, 3)) as units,
        cast(summed.gross_sales as decimal(18, 2)) as gross_sales,
        cast(summed.discounts as decimal(18, 2)) as discounts,
        cast(summed.refunds as decimal(18, 2)) as refunds,
        cast(summed.gross_sales + summed.discounts + summed.refunds as decimal(18, 2)) as revenue,
        cast(summed.covered_revenue as decimal(18, 2)) as covered_revenue,
        cast(summed.cogs as decimal(18, 2)) as cogs,
        cast(summed.delivery_income as decimal(18, 2)) as delivery_income,
        cast(summed.other_income as decimal(18, 2)) as other_income,
        cast(summed.income as decimal(18, 2)) as income
    from pairs
    inner join summed on pairs.key = summed.document_key
    left join orders on pairs.order_id = orders.id
    left join carriers on orders.id_carrier = carriers.id
    left join addresses on orders.id_address_delivery = addresses.id
)

select * from final
