-- The newest state of every exchange rate. Grain: one row per exchange rate.
with

source as (
    select * from raw.quickbooks_exchange_rates
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
        source.source_currency,
        source.target_currency,
        source.rate,
        source.as_of_date,
        source.updated_at,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
