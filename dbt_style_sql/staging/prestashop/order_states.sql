-- The newest state of the order states, whose flags tell what they mean; deleted ones left out.
-- Grain: one row per order state.
with

source as (
    select * from raw.prestashop_order_states
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_order_states'
),

final as (
    select
        source.connection,
        source.id,
        source.name,
        source.module_name,
        source.paid,
        source.logable,
        source.invoice,
        source.shipped,
        source.delivery,
        source.hidden,
        source.unremovable,
        source.deleted,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
