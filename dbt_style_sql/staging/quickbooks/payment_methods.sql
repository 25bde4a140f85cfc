-- The newest state of every payment method. Grain: one row per payment method.
with

source as (
    select * from raw.quickbooks_payment_methods
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_payment_methods'
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
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
