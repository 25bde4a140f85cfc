-- The newest state of the payment rows, which name the order reference and never an order; deleted ones left out.
-- Grain: one row per payment row.
with

source as (
    select * from raw.prestashop_order_payments
),

newest as (
    select max(landing_id) as landing_id
    from source
    group by id
),

final as (
    select
        source.connection,
        source.id,
        source.order_reference,
        source.id_currency,
        source.amount,
        source.payment_method,
        source.conversion_rate,
        source.transaction_id,
        source.id_employee,
        source.date_add,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
