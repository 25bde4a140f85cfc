-- The newest state of the cart rules as they were applied to orders; deleted ones left out.
-- Grain: one row per cart rule of an order.
with

source as (
    select * from raw.prestashop_order_cart_rules
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_order_cart_rules'
),

final as (
    select
        source.connection,
        source.id,
        source.id_order,
        source.id_cart_rule,
        source.id_order_invoice,
        source.name,
        source.value,
        source.value_tax_excl,
        source.free_shipping,
        source.deleted,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
