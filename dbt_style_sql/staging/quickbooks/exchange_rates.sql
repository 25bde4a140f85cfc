-- The newest state of every exchange rate. Grain: one row per exchange rate.
with

source as (
    select * from raw.quickbooks_exchange_rates
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_exchange_rates'
),

final as (
    select
        source.connection,
        source.id,
        source.source_currency,
        source.target_currency,
        source.rate,
        source.as_of_date,
        source.updated_at,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
