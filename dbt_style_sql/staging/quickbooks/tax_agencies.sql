-- The newest state of every tax agency. Grain: one row per tax agency.
with

source as (
    select * from raw.quickbooks_tax_agencies
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
        source.display_name,
        source.tax_registration_number,
        source.tax_tracked_on_sales,
        source.tax_tracked_on_purchases,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
