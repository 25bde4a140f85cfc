-- The newest state of every class. Grain: one row per class.
with

source as (
    select * from raw.quickbooks_classes
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_classes'
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
