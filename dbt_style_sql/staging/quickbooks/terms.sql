-- The newest state of every payment term. Grain: one row per payment term.
with

source as (
    select * from raw.quickbooks_terms
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_terms'
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
        source.type,
        source.due_days,
        source.day_of_month_due,
        source.discount_percent,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
