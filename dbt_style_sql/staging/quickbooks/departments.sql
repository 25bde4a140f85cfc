-- The newest state of every department (location). Grain: one row per department (location).
with

source as (
    select * from raw.quickbooks_departments
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_departments'
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
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
