-- The newest state of the cart rules: vouchers, gifts, store credits; deleted ones left out.
-- Grain: one row per cart rule.
with

source as (
    select * from raw.prestashop_cart_rules
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_cart_rules'
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
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
