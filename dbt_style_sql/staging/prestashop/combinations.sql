-- The newest state of the combinations (variants) of products; deleted ones left out.
-- Grain: one row per combination.
with

source as (
    select * from raw.prestashop_combinations
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_combinations'
),

final as (
    select
        source.connection,
        source.id,
        source.id_product,
        source.reference,
        source.ean13,
        source.price,
        source.wholesale_price,
        source.ecotax,
        source.minimal_quantity,
        source.default_on,
        source.product_option_values,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
