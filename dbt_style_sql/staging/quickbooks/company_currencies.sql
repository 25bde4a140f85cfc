-- The newest state of every currency. Grain: one row per currency.
with

source as (
    select * from raw.quickbooks_company_currencies
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
        source.name,
        source.active,
        source.code,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
