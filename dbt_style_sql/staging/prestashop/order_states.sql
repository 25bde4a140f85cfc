-- The newest state of the order states, whose flags tell what they mean; deleted ones left out.
-- Grain: one row per order state.
with

source as (
    select * from raw.prestashop_order_states
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
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
