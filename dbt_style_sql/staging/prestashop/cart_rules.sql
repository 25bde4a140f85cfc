-- The newest state of the cart rules: vouchers, gifts, store credits; deleted ones left out.
-- Grain: one row per cart rule.
with

source as (
    select * from raw.prestashop_cart_rules
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
        source.id_customer,
        source.name,
        source.code,
        source.date_from,
        source.date_to,
        source.quantity,
        source.partial_use,
        source.free_shipping,
        source.reduction_percent,
        source.reduction_amount,
        source.reduction_tax,
        source.reduction_currency,
        source.reduction_product,
        source.gift_product,
        source.gift_product_attribute,
        source.active,
        source.date_add,
        source.date_upd,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
