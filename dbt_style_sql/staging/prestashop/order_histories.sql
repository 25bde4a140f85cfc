-- The newest state of the changes of state of orders; deleted ones left out.
-- Grain: one row per change of state.
with

source as (
    select * from raw.prestashop_order_histories
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
        source.id_order,
        source.id_order_state,
        source.id_employee,
        source.date_add,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
