-- The newest state of the payment rows, which name the order reference and never an order; deleted ones left out.
-- Grain: one row per payment row.
with

source as (
    select * from raw.prestashop_order_payments
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_order_payments'
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
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
