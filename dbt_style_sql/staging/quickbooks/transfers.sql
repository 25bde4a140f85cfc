-- The newest state of every transfer, deleted ones included and marked. Grain: one row per transfer.
with

source as (
    select * from raw.quickbooks_transfers
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_transfers'
),

last_known as (
    select landing_id from raw.last_known
    where source = 'raw.quickbooks_transfers'
),

final as (
    select
        source.connection,
        'Transfer' as entity,
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
