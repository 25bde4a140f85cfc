-- The newest state of every class. Grain: one row per class.
with

source as (
    select * from raw.quickbooks_classes
),

newest as (
    select
        max(landing_id) as landing_id
    from source
    group by id
),

final as (
    select
        source.connection,
        source.id,
        source.sync_token,
        source.created_at,
        source.updated_at,
        source.name,
        source.active,
        source.fully_qualified_name,
        source.parent_id,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
