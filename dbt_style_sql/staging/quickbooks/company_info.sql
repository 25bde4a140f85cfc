-- The newest state of the company. Grain: one row (a warehouse mirrors one company).
with

source as (
    select * from raw.quickbooks_company_info
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_company_info'
),

final as (
    select
        source.connection,
        source.id,
        source.sync_token,
        source.created_at,
        source.updated_at,
        source.company_name,
        source.legal_name,
        source.country,
        source.fiscal_year_start,
        source.time_zone,
        source.languages,
        source.company_start_date,
        source.name_value,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
