-- The newest state of every tax agency. Grain: one row per tax agency.
with

source as (
    select * from raw.quickbooks_tax_agencies
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_tax_agencies'
),

final as (
    select
        source.connection,
        source.id,
        source.sync_token,
        source.created_at,
        source.updated_at,
        source.display_name,
        source.tax_registration_number,
        source.tax_tracked_on_sales,
        source.tax_tracked_on_purchases,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
