-- The newest state of the changes of state of orders; deleted ones left out.
-- Grain: one row per change of state.
with

source as (
    select * from raw.prestashop_order_histories
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_order_histories'
),

final as (
    select
        source.connection,
        source.id,
        source.id_order,
        source.id_order_state,
        source.id_employee,
        source.date_add,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
