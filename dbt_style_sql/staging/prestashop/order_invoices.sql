-- The newest state of the invoices; deleted ones left out.
-- Grain: one row per invoice.
with

source as (
    select * from raw.prestashop_order_invoices
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_order_invoices'
),

final as (
    select
        source.connection,
        source.id,
        source.id_order,
        source.number,
        source.delivery_number,
        source.delivery_date,
        source.total_discount_tax_excl,
        source.total_discount_tax_incl,
        source.total_paid_tax_excl,
        source.total_paid_tax_incl,
        source.total_products,
        source.total_products_wt,
        source.total_shipping_tax_excl,
        source.total_shipping_tax_incl,
        source.shipping_tax_computation_method,
        source.total_wrapping_tax_excl,
        source.total_wrapping_tax_incl,
        source.date_add,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
