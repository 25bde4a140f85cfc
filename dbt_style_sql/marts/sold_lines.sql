-- Every line of every sale and refund that should be in the books, with discounts allocated to it and
-- its cost, without tax and in home currency.
-- Grain: one row per line of a sale or refund document, discounts that no line can carry included.
with

documents as (
    select
        key,
        order_id,
        id_shop,
        if(measure = 'refunds', -1, 1) as sign,
        exchange_rate
    from recon.pairs
    where measure in ('sales', 'refunds') and not held
),

-- Costs are kept in the shop's default currency.
shop_currency as (
    select max(currencies.iso_code) as iso_code
    from staging.prestashop_configurations as configurations
    inner join staging.prestashop_currencies as currencies
        on try_cast(configurations.value as bigint) = currencies.id
    where configurations.name = 'PS_CURRENCY_DEFAULT'
),

cost_rates as (
    select
        id as order_id,
        conversion_rate
    from staging.prestashop_orders
    where (select shop_currency.iso_code from shop_currency) is distinct from
        getvariable('home_currency')
),

order_details as (
    select
        id,
        product_quantity,
        product_quantity_reinjected,
        nullif(cast(original_wholesale_price as decimal(18, 6)), 0) as wholesale_price,
        total_price_tax_excl
    from staging.prestashop_order_details
),

products as (
    select
        id,
        cast(nullif(wholesale_price, 0) as decimal(18, 6)) as wholesale_price,
        id_category_default as category_id
    from staging.prestashop_products
),

combinations as (
    select
        id,
        cast(nullif(wholesale_price, 0) as decimal(18, 6)) as wholesale_price
    from staging.prestashop_combinations
),

-- Kinds of lines that are income; liabilities and tax lines are none. (A join, because of any other filter
-- DuckDB expects a fifth of the rows, and would keep the lines in memory instead of what joins them.)
kinds (kind, bucket) as (
    values
    ('product', 'goods'),
    ('goods', 'goods'),
    ('ecotax', 'goods'),
    ('discount', 'goods'),
    ('shipping', 'delivery'),
    ('wrapping', 'delivery'),
    ('rounding', 'other'),
    ('restocking', 'other')
),

-- (Read again where it is used: kept in memory, a million orders would not fit.)
lines as not materialized (
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
        if(
            kind = 'discount' and description ilike '%free shipping%', 'delivery', kinds.bucket
        ) as bucket
    from ledger.lines
    inner join kinds using (kind)
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
    where
        lines.kind <> 'discount'
        and lines.document_key in (select known.document_key from discounts as known)
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
        cast(
            share_so_far - coalesce(
                lag(share_so_far) over (
                    partition by document_key, tax_code, bucket
                    order by line_no
                ), 0
            ) as decimal(18, 4)
        ) as discount
    from shares
),

kept as not materialized (
    select
        lines.*,
        coalesce(allocated.discount, cast(0 as decimal(18, 4))) as discount
    from lines
    left join allocated using (document_key, line_no)
    where lines.kind <> 'discount'
    union all by name
    select
        lines.* replace (cast(0 as decimal(18, 4)) as amount),
        lines.amount as discount
    from lines
    anti join shares using (document_key, tax_code, bucket)
    where lines.kind = 'discount'
),

refunded as (
    select
        lines.order_detail_id,
        sum(lines.quantity) as units
    from ledger.lines as lines
    semi join (select documents.key from documents where documents.sign = -1) as refunds
        on lines.document_key = refunds.key
    where lines.kind = 'product' and lines.order_detail_id <> 0
    group by all
),

-- In another currency the lines of a document are rounded so that they sum to its home amount.
foreign_lines as (
    select
        kept.document_key,
        kept.line_no,
        kept.amount * documents.exchange_rate as amount,
        kept.discount * documents.exchange_rate as discount
    from kept
    inner join documents on kept.document_key = documents.key
    where documents.exchange_rate is not null
),

foreign_rounded as (
    select
        document_key,
        line_no,
        cast(
            round(sum(amount) over earlier, 2) - round(sum(amount) over earlier - amount, 2)
            as decimal(18, 2)
        ) as amount,
        cast(
            round(sum(discount) over earlier, 2) - round(sum(discount) over earlier - discount, 2)
            as decimal(18, 2)
        ) as discount
    from foreign_lines
    window earlier as (partition by document_key order by line_no)
),

priced as (
    select
        documents.key as document_key,
        documents.order_id,
        documents.id_shop,
        documents.sign,
        kept.line_no,
        kept.kind,
        kept.sku,
        kept.product_id,
        kept.product_attribute_id,
        kept.bucket,
        coalesce(foreign_rounded.amount, cast(kept.amount as decimal(18, 2))) as amount,
        coalesce(foreign_rounded.discount, cast(kept.discount as decimal(18, 2))) as discount,
        products.category_id,
        case
            when kept.kind <> 'product' then cast(0 as decimal(18, 3))
            when kept.quantity is not null
                then cast(if(documents.sign = 1, kept.quantity, -kept.quantity) as decimal(18, 3))
            when documents.sign = 1 then cast(order_details.product_quantity as decimal(18, 3))
            else cast(
                -order_details.product_quantity * kept.amount
                / nullif(order_details.total_price_tax_excl, 0) as decimal(18, 3)
            )
        end as units,
        -- Goods that did not come back into stock keep their cost.
        if(
            documents.sign = 1, null,
            coalesce(
                least(1, order_details.product_quantity_reinjected / nullif(refunded.units, 0)), 0
            )
        ) as stock_share,
        case
            when kept.kind <> 'product' then 'none needed'
            when order_details.wholesale_price is not null then 'order'
            when coalesce(combinations.wholesale_price, products.wholesale_price) is not null
                then 'product'
            else 'unknown'
        end as cost_source,
        if(
            kept.kind = 'product',
            coalesce(
                order_details.wholesale_price,
                combinations.wholesale_price,
                products.wholesale_price
            ),
            null
        ) as shop_cost,
        if(
            cost_rates.order_id is null, null,
            cast(coalesce(documents.exchange_rate, 1) * cost_rates.conversion_rate as double)
        ) as cost_rate
    from kept
    inner join documents on kept.document_key = documents.key
    left join foreign_rounded using (document_key, line_no)
    left join order_details on kept.order_detail_id = order_details.id
    left join products on kept.product_id = products.id
    left join combinations on kept.product_attribute_id = combinations.id
    left join refunded on kept.order_detail_id = refunded.order_detail_id
    left join cost_rates on documents.order_id = cost_rates.order_id
),

costed as (
    select
        *,
        if(cost_rate is null, shop_cost, cast(shop_cost * cost_rate as decimal(18, 6)))
            as unit_cost
    from priced
),

-- Refunds are negative. (A few words told apart by number are written and read in half the time; in
-- the order of the alphabet, which is theirs in lists too.)
final as (
    select
        document_key,
        line_no,
        order_id,
        id_shop,
        cast(
            kind as enum (
                'discount', 'ecotax', 'goods', 'product', 'restocking', 'rounding', 'shipping',
                'wrapping'
            )
        ) as kind,
        product_id,
        product_attribute_id,
        sku,
        category_id,
        cast(bucket as enum ('delivery', 'goods', 'other')) as bucket,
        sign = -1 as refund,
        units,
        if(sign = 1, amount, -amount) as amount,
        if(sign = 1, discount, -discount) as discount,
        cast(cost_source as enum ('none needed', 'order', 'product', 'unknown')) as cost_source,
        -- (In 64 bits where it fits: DuckDB rounds wider numbers thirty times slower.)
        case
            when unit_cost is null then null
            when stock_share is null
                then coalesce(
                    cast(try_cast(units * unit_cost as decimal(18, 9)) as decimal(18, 2)),
                    cast(units * unit_cost as decimal(18, 2))
                )
            else cast(units * unit_cost * stock_share as decimal(18, 2))
        end as cogs
    from costed
)

select * from final
