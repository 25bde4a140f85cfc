-- Orders of one customer that look alike: made within an hour, over the same amount.
-- Grain: one row per order that has an earlier twin.
with

orders as (
    select
        orders.id as order_id,
        orders.reference,
        orders.id_shop,
        orders.id_customer,
        currencies.iso_code as currency,
        orders.total_paid_tax_incl as amount,
        orders.date_add
    from staging.prestashop_orders as orders
    left join staging.prestashop_currencies as currencies on orders.id_currency = currencies.id
    where orders.total_paid_tax_incl > 0
),

repeated as (
    select
        id_customer,
        currency,
        amount
    from orders
    group by all
    having count(*) > 1
),

beside as (
    select
        orders.*,
        lag(order_id) over alike as twin_order_id,
        lag(date_add) over alike as twin_date_add,
        lag(reference) over alike as twin_reference
    from orders
    semi join repeated using (id_customer, currency, amount)
    window alike as (partition by id_customer, currency, amount order by date_add, order_id)
),

final as (
    select
        order_id,
        twin_order_id,
        reference,
        id_shop,
        id_customer,
        currency,
        cast(amount as decimal(18, 2)) as amount,
        date_add,
        date_diff('minute', twin_date_add, date_add) as minutes_apart
    from beside
    where
        twin_order_id is not null
        -- The parts of a split cart share their reference and are no twins.
        and reference <> twin_reference
        and date_add - twin_date_add <= interval 1 hour
)

select * from final
