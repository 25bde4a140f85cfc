-- Every line of every sale and refund that should be in the books, with discounts allocated to it,
-- its cost and its margin, without tax and in home currency.
-- Grain: one row per line of a sale or refund document, discounts that no line can carry included.
with

documents as (
    select
        key,
        type,
        role,
        order_id,
        id_shop,
        reference,
        txn_date,
        currency,
        coalesce(exchange_rate, 1) as rate,
        exchange_rate is not null as foreign_currency,
        customer_key,
        customer_name,
        live as in_books,
        if(measure = 'refunds', -1, 1) as sign
    from recon.pairs
    where measure in ('sales', 'refunds') and not coalesce(class = hold_code, false)
),

orders as (
    select
        id,
        id_customer,
        id_carrier,
        id_address_delivery,
        payment,
        conversion_rate,
        date_add
    from staging.prestashop_orders
),

addresses as (
    select
        id,
        id_country
    from staging.prestashop_addresses
),

countries as (
    select
        id,
        iso_code
    from staging.prestashop_countries
),

carriers as (
    select
        id,
        name
    from staging.prestashop_carriers
),

order_details as (
    select
        id,
        product_name,
        product_reference,
        product_quantity,
        product_quantity_reinjected,
        original_wholesale_price,
        total_price_tax_excl
    from staging.prestashop_order_details
),

products as (
    select
        id,
        wholesale_price,
        id_category_default
    from staging.prestashop_products
),

combinations as (
    select
        id,
        wholesale_price
    from staging.prestashop_combinations
),

shop_currency as (
    select max(currencies.iso_code) as iso_code
    from staging.prestashop_configurations as configurations
    inner join staging.prestashop_currencies as currencies
        on try_cast(configurations.value as bigint) = currencies.id
    where configurations.name = 'PS_CURRENCY_DEFAULT'
),

-- Liabilities and tax lines are no income.
lines as (
    select
        document_key,
        line_no,
        kind,
        sku,
        product_id,
        product_attribute_id,
        order_detail_id,
        amount,
        tax_code,
        quantity,
        case
            when kind in ('product', 'goods', 'ecotax') then 'goods'
            when kind in ('shipping', 'wrapping') then 'delivery'
            when kind = 'discount' and description ilike '%free shipping%' then 'delivery'
            when kind = 'discount' then 'goods'
            else 'other'
        end as bucket
    from ledger.lines
    where kind not in ('store_credit', 'gift_card', 'deposit', 'tax', 'account', 'chargeback')
),

discounts as (
    select
        document_key,
        tax_code,
        bucket,
        sum(amount) as discount
    from lines
    where kind = 'discount'
    group by all
),

-- Rounding the running sum leaves no cent over, whatever the number of lines.
carriers_of_discount as (
    select
        lines.document_key,
        lines.tax_code,
        lines.bucket,
        lines.line_no,
        discounts.discount,
        sum(lines.amount) over whole as base,
        sum(lines.amount) over upto as running
    from lines
    inner join discounts using (document_key, tax_code, bucket)
    where lines.kind <> 'discount'
    window
        whole as (partition by lines.document_key, lines.tax_code, lines.bucket),
        upto as (
            partition by lines.document_key, lines.tax_code, lines.bucket
            order by lines.line_no
        )
),

shares as (
    select
        document_key,
        tax_code,
        bucket,
        line_no,
        cast(round(discount * running / base, 2) as decimal(18, 2)) as share_so_far
    from carriers_of_discount
    where base <> 0
),

allocated as (
    select
        document_key,
        line_no,
        share_so_far - coalesce(
            lag(share_so_far) over (
                partition by document_key, tax_code, bucket
                order by line_no
            ), 0
        ) as discount
    from shares
),

spread as (
    select
        document_key,
        tax_code,
        bucket
    from lines
    where kind <> 'discount'
    group by all
    having sum(amount) <> 0
),

kept as (
    select
        lines.*,
        coalesce(allocated.discount, 0) as discount
    from lines
    left join allocated using (document_key, line_no)
    where lines.kind <> 'discount'
    union all by name
    select
        lines.* replace (0 as amount),
        lines.amount as discount
    from lines
    anti join spread using (document_key, tax_code, bucket)
    where lines.kind = 'discount'
),

refunded as (
    select
        kept.order_detail_id,
        sum(kept.quantity) as units
    from kept
    inner join documents on kept.document_key = documents.key
    where documents.sign = -1 and kept.order_detail_id <> 0
    group by all
),

priced as (
    select
        documents.* exclude (customer_key),
        kept.line_no,
        kept.kind,
        kept.sku,
        kept.product_id,
        kept.product_attribute_id,
        kept.order_detail_id,
        kept.bucket,
        kept.amount * documents.rate as home_amount,
        kept.discount * documents.rate as home_discount,
        if(
            kept.kind = 'product',
            coalesce(
                kept.quantity,
                if(
                    documents.sign = 1,
                    order_details.product_quantity,
                    round(
                        order_details.product_quantity * kept.amount
                        / nullif(order_details.total_price_tax_excl, 0), 3
                    )
                )
            ), 0
        ) as units,
        if(
            documents.sign = 1, 1,
            coalesce(
                least(1, order_details.product_quantity_reinjected / nullif(refunded.units, 0)), 0
            )
        ) as stock_share,
        order_details.product_name,
        case
            when kept.kind <> 'product' then 'none needed'
            when order_details.original_wholesale_price > 0 then 'order'
            when combinations.wholesale_price > 0 or products.wholesale_price > 0 then 'product'
            else 'unknown'
        end as cost_source,
        case
            when order_details.original_wholesale_price > 0
                then order_details.original_wholesale_price
            when combinations.wholesale_price > 0 then combinations.wholesale_price
            when products.wholesale_price > 0 then products.wholesale_price
        end
        * if(
            (select shop_currency.iso_code from shop_currency) is distinct from
            getvariable('home_currency'),
            documents.rate * orders.conversion_rate, 1
        ) as unit_cost,
        products.id_category_default as category_id,
        orders.id_customer as customer_id,
        coalesce(countries.iso_code, '') as country,
        coalesce(carriers.name, '') as carrier,
        coalesce(orders.payment, '') as payment_method,
        cast(date_trunc('month', documents.txn_date) as date) as month,
        cast(date_trunc('month', coalesce(orders.date_add, documents.txn_date)) as date) as cohort
    from kept
    inner join documents on kept.document_key = documents.key
    left join orders on documents.order_id = orders.id
    left join addresses on orders.id_address_delivery = addresses.id
    left join countries on addresses.id_country = countries.id
    left join carriers on orders.id_carrier = carriers.id
    left join order_details on kept.order_detail_id = order_details.id
    left join products on kept.product_id = products.id
    left join combinations on kept.product_attribute_id = combinations.id
    left join refunded on kept.order_detail_id = refunded.order_detail_id
),

-- In another currency each document's lines are rounded so that they sum to its own home amount.
foreign_rounded as (
    select
        key,
        line_no,
        round(sum(home_amount) over earlier, 2) - round(
            sum(home_amount) over earlier - home_amount, 2
        ) as home_amount,
        round(sum(home_discount) over earlier, 2) - round(
            sum(home_discount) over earlier - home_discount, 2
        ) as home_discount
    from priced
    where foreign_currency
    window earlier as (partition by key order by line_no)
),

rounded as (
    select
        priced.* replace (
            cast(coalesce(foreign_rounded.home_amount, priced.home_amount) as decimal(18, 2))
                as home_amount,
            cast(coalesce(foreign_rounded.home_discount, priced.home_discount) as decimal(18, 2))
                as home_discount
        )
    from priced
    left join foreign_rounded using (key, line_no)
),

final as (
    select
        key as document_key,
        line_no,
        type as document_type,
        order_id,
        id_shop,
        reference,
        txn_date,
        month,
        cohort,
        kind,
        order_detail_id,
        product_id,
        product_attribute_id,
        sku,
        coalesce(product_name, '') as product_name,
        category_id,
        customer_id,
        customer_name,
        country,
        carrier,
        payment_method,
        currency,
        in_books,
        cast(sign * units as decimal(18, 3)) as units,
        if(sign = 1 and bucket = 'goods', home_amount, 0) as gross_sales,
        if(sign = 1 and bucket = 'goods', home_discount, 0) as discounts,
        if(sign = -1 and bucket = 'goods', -(home_amount + home_discount), 0) as refunds,
        if(bucket = 'goods', sign * (home_amount + home_discount), 0) as revenue,
        if(bucket = 'delivery', sign * (home_amount + home_discount), 0) as delivery_income,
        if(bucket = 'other', sign * (home_amount + home_discount), 0) as other_income,
        sign * (home_amount + home_discount) as income,
        cost_source,
        cast(unit_cost as decimal(18, 6)) as unit_cost,
        cast(round(sign * units * stock_share * unit_cost, 2) as decimal(18, 2)) as cogs,
        if(
            bucket = 'goods' and cost_source <> 'unknown',
            sign * (home_amount + home_discount), 0
        ) as covered_revenue
    from rounded
)

select * from final
