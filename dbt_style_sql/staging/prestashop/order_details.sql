-- The newest state of the order lines; deleted ones left out.
-- Grain: one row per order line.
with

source as (
    select * from raw.prestashop_order_details
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_order_details'
),

final as (
    select
        source.connection,
        source.id,
        source.id_order,
        source.id_order_invoice,
        source.id_shop,
        source.product_id,
        source.product_attribute_id,
        source.id_customization,
        source.product_name,
        source.product_reference,
        source.product_ean13,
        source.product_quantity,
        source.product_quantity_refunded,
        source.product_quantity_return,
        source.product_quantity_reinjected,
        source.product_price,
        source.original_product_price,
        source.original_wholesale_price,
        source.purchase_supplier_price,
        source.reduction_percent,
        source.reduction_amount,
        source.reduction_amount_tax_excl,
        source.reduction_amount_tax_incl,
        source.group_reduction,
        source.product_quantity_discount,
        source.unit_price_tax_excl,
        source.unit_price_tax_incl,
        source.total_price_tax_excl,
        source.total_price_tax_incl,
        source.total_refunded_tax_excl,
        source.total_refunded_tax_incl,
        source.ecotax,
        source.ecotax_tax_rate,
        source.tax_computation_method,
        source.id_tax_rules_group,
        source.taxes,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
