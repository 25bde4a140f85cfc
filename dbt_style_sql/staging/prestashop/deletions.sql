-- The orders, payment rows and credit slips that were read once and are gone from the shop.
-- Grain: one row per kind and id.
with

superseded as (
    select
        source,
        landing_id
    from raw.superseded
),

gone as (
    select
        'order' as source_type,
        id as source_id,
        landing_id,
        'raw.prestashop_orders' as source
    from raw.prestashop_orders
    where deleted_at_source
    union all
    select
        'payment' as source_type,
        id as source_id,
        landing_id,
        'raw.prestashop_order_payments' as source
    from raw.prestashop_order_payments
    where deleted_at_source
    union all
    select
        'slip' as source_type,
        id as source_id,
        landing_id,
        'raw.prestashop_order_slip' as source
    from raw.prestashop_order_slip
    where deleted_at_source
),

final as (
    select
        gone.source_type,
        gone.source_id
    from gone
    anti join superseded using (source, landing_id)
)

select * from final
