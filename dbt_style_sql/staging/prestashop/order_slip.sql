-- The newest state of the credit slips; deleted ones left out.
-- Grain: one row per credit slip.
with

source as (
    select * from raw.prestashop_order_slip
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_order_slip'
),

final as (
    select
        source.connection,
        source.id,
        source.id_order,
        source.id_customer,
        source.conversion_rate,
        source.total_products_tax_excl,
        source.total_products_tax_incl,
        source.total_shipping_tax_excl,
        source.total_shipping_tax_incl,
        source.amount,
        source.shipping_cost,
        source.shipping_cost_amount,
        source.partial,
        source.order_slip_type,
        source.date_add,
        source.date_upd,
        source.order_slip_details,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
