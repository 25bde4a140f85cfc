-- The roll-forward of store credit by voucher: what was issued, used, has expired and is still open.
-- PrestaShop makes a voucher of a slip with the code V<rule>C<customer>O<order>, and of the rest of one a
-- new voucher whose code ends in -2, -3. Amounts are with tax or without, as the voucher is.
-- Grain: one row per voucher with all that was made of its rests.
with

rules as (
    select
        id,
        code,
        regexp_extract(code, '^V\d+C\d+O\d+') as voucher,
        try_cast(regexp_extract(code, '^V(\d+)', 1) as bigint) as first_id,
        try_cast(regexp_extract(code, 'C(\d+)', 1) as bigint) as customer_id,
        try_cast(regexp_extract(code, 'O(\d+)', 1) as bigint) as order_id,
        cast(reduction_amount as decimal(18, 2)) as amount,
        reduction_currency,
        coalesce(reduction_tax, true) as with_tax,
        coalesce(active, false) and coalesce(quantity, 0) > 0 as usable,
        coalesce(
            date_to < cast(coalesce(getvariable('as_of'), current_date) as date), false
        ) as over,
        date_add
    from staging.prestashop_cart_rules
    where regexp_matches(code, '^V\d+C\d+O\d+(-\d+)*$')
),

currencies as (
    select
        id,
        iso_code
    from staging.prestashop_currencies
),

uses as (
    select
        rules.voucher,
        sum(if(rules.with_tax, used.value, used.value_tax_excl)) as used,
        count(*) as times,
        coalesce(sum(used.value) filter (where orders.id_customer <> rules.customer_id), 0)
            as used_by_others,
        coalesce(bool_or(orders.id_currency <> rules.reduction_currency), false) as in_other_currency
    from staging.prestashop_order_cart_rules as used
    inner join rules on used.id_cart_rule = rules.id
    left join staging.prestashop_orders as orders on used.id_order = orders.id
    where not coalesce(used.deleted, false)
    group by all
),

held as (
    select
        voucher,
        min(customer_id) as customer_id,
        min(order_id) as order_id,
        min(reduction_currency) as id_currency,
        min(date_add) as date_add,
        max(if(id = first_id, amount, null)) as face,
        coalesce(sum(if(usable and not over, amount, 0)), 0) as open,
        coalesce(sum(if(usable and over, amount, 0)), 0) as expired
    from rules
    group by all
),

slips as (
    select
        order_id,
        max(shop_amount) as amount,
        max(currency) as currency
    from recon.shop_objects
    where source_type = 'slip' and in_shop and order_id in (select held.order_id from held)
    group by all
),

orders as (
    select id as order_id
    from staging.prestashop_orders
    where id in (select held.order_id from held)
),

-- A voucher is issued over its slip or less: an earlier voucher's part of the order is left out of it.
-- Where the slip cannot be seen the voucher's own word stands.
issues as (
    select
        held.voucher,
        case
            when slips.order_id is not null
                then least(coalesce(held.face, slips.amount), slips.amount)
            when orders.order_id is not null then 0
            else coalesce(held.face, held.open + held.expired + coalesce(uses.used, 0))
        end as issued,
        slips.currency
    from held
    left join slips using (order_id)
    left join orders using (order_id)
    left join uses using (voucher)
),

rolled as (
    select
        held.*,
        issues.issued,
        coalesce(currencies.iso_code, issues.currency, 'XXX') as currency,
        coalesce(uses.used, 0) as used,
        coalesce(uses.times, 0) as times,
        coalesce(uses.used_by_others, 0) as used_by_others,
        coalesce(uses.in_other_currency, false) as in_other_currency,
        coalesce(uses.used, 0) + held.expired + held.open - issues.issued as surplus
    from held
    inner join issues using (voucher)
    left join uses using (voucher)
    left join currencies on held.id_currency = currencies.id
),

final as (
    select
        voucher,
        customer_id,
        order_id,
        currency,
        cast(date_add as date) as issued_on,
        cast(issued as decimal(18, 2)) as issued,
        cast(used as decimal(18, 2)) as used,
        cast(expired as decimal(18, 2)) as expired,
        cast(open as decimal(18, 2)) as open,
        -- More used, expired and open than was issued. A rest that the shop no longer keeps is no lack of
        -- money, and what was used in another currency is not compared: the shop keeps no rate for it.
        cast(
            if(
                in_other_currency
                or surplus <= if(currency in ('JPY', 'KRW', 'CLP', 'VND', 'ISK'), 1, 0.01) * (times + 1) / 2,
                0, surplus
            ) as decimal(18, 2)
        ) as excess,
        cast(greatest(-surplus, 0) as decimal(18, 2)) as not_kept,
        cast(used_by_others as decimal(18, 2)) as used_by_others,
        cast(times as bigint) as times
    from rolled
)

select * from final
