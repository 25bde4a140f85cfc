-- The newest state of the cart rules as they were applied to orders; deleted ones left out.
-- Grain: one row per cart rule of an order.
with

source as (
    select * from raw.prestashop_order_cart_rules
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
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
