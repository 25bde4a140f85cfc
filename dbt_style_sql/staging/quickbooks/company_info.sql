-- The newest state of the company. Grain: one row (a warehouse mirrors one company).
with

source as (
    select * from raw.quickbooks_company_info
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
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
