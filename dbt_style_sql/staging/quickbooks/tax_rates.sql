-- The newest state of every tax rate. Grain: one row per tax rate.
with

source as (
    select * from raw.quickbooks_tax_rates
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
        source.description,
        source.rate_value,
        source.agency_id,
        source.special_tax_type,
        source.display_type,
        source.effective_tax_rates,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
