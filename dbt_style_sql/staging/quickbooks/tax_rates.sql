-- The newest state of every tax rate. Grain: one row per tax rate.
with

source as (
    select * from raw.quickbooks_tax_rates
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_tax_rates'
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
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
