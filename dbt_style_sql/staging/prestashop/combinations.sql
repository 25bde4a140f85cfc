-- The newest state of the combinations (variants) of products; deleted ones left out.
-- Grain: one row per combination.
with

source as (
    select * from raw.prestashop_combinations
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
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
