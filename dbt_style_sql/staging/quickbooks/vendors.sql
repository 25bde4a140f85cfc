-- The newest state of every vendor. Grain: one row per vendor.
with

source as (
    select * from raw.quickbooks_vendors
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_vendors'
),

final as (
    select
        source.connection,
        source.id,
        source.sync_token,
        source.created_at,
        source.updated_at,
        source.display_name,
        source.active,
        source.given_name,
        source.family_name,
        source.company_name,
        source.email,
        source.phone,
        source.currency,
        source.balance,
        source.country,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
