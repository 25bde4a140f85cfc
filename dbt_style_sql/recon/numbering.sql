-- Gaps and repeats in the shop's invoice and credit slip numbers.
-- Grain: one row per gap or repeated number.
with

numbers as (
    select
        'invoice' as kind,
        coalesce(orders.id_shop, 0) as id_shop,
        date_part('year', invoices.date_add) as year,
        invoices.number,
        count(*) as times
    from staging.prestashop_order_invoices as invoices
    left join staging.prestashop_orders as orders on invoices.id_order = orders.id
    where invoices.number > 0
    group by all
    union all by name
    select
        'credit slip' as kind,
        0 as id_shop,
        0 as year,
        id as number,
        1 as times
    from staging.prestashop_order_slip
),

-- Numbers may start again each year: a fall of the highest number shows that they do.
beside as (
    select
        *,
        lag(number) over (partition by kind order by number, year) as before
    from numbers
),

final as (
    select
        kind,
        id_shop,
        'gap' as what,
        before + 1 as first_number,
        number - 1 as last_number,
        number - before - 1 as count
    from beside
    where number > before + 1
    union all by name
    select
        kind,
        id_shop,
        'repeat' as what,
        number as first_number,
        number as last_number,
        times as count
    from numbers
    where times > 1
)

select * from final
