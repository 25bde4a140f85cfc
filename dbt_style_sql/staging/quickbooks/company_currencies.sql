-- The newest state of every currency. Grain: one row per currency.
with

source as (
    select * from raw.quickbooks_company_currencies
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_company_currencies'
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
        source.code,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
