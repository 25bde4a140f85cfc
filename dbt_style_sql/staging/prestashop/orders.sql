-- The newest state of the orders of the shop; deleted ones left out.
-- Grain: one row per order.
with

source as (
    select * from raw.prestashop_orders
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_orders'
),

final as (
    select
        source.connection,
        source.id,
        source.id_shop,
        source.id_shop_group,
        source.id_customer,
        source.id_address_invoice,
        source.id_address_delivery,
        source.id_cart,
        source.id_currency,
        source.id_lang,
        source.id_carrier,
        source.current_state,
        source.reference,
        source.module,
        source.payment,
        source.valid,
        source.gift,
        source.invoice_number,
        source.invoice_date,
        source.delivery_number,
        source.delivery_date,
        source.note,
        source.conversion_rate,
        source.round_mode,
        source.round_type,
        source.carrier_tax_rate,
        source.total_products,
        source.total_products_wt,
        source.total_discounts_tax_excl,
        source.total_discounts_tax_incl,
        source.total_shipping_tax_excl,
        source.total_shipping_tax_incl,
        source.total_wrapping_tax_excl,
        source.total_wrapping_tax_incl,
        source.total_paid,
        source.total_paid_tax_excl,
        source.total_paid_tax_incl,
        source.total_paid_real,
        source.date_add,
        source.date_upd,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
