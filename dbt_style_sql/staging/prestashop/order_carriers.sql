-- The newest state of the shipments of orders; deleted ones left out.
-- Grain: one row per shipment of an order.
with

source as (
    select * from raw.prestashop_order_carriers
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_order_carriers'
),

final as (
    select
        source.connection,
        source.id,
        source.id_order,
        source.id_carrier,
        source.id_order_invoice,
        source.weight,
        source.shipping_cost_tax_excl,
        source.shipping_cost_tax_incl,
        source.tracking_number,
        source.date_add,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
