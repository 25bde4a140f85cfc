-- The newest state of every deposit, deleted ones included and marked. Grain: one row per deposit.
with

source as (
    select * from raw.quickbooks_deposits
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_deposits'
),

last_known as (
    select landing_id from raw.last_known
    where source = 'raw.quickbooks_deposits'
),

final as (
    select
        source.connection,
        'Deposit' as entity,
        source.* exclude (
            connection, payload, hash, deleted_at_source, fetched_at, landing_id
        ),
        last_known.landing_id is not null as deleted,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    left join last_known on source.landing_id = last_known.landing_id
)

select * from final
