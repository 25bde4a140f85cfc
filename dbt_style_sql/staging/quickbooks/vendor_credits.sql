-- The newest state of every vendor credit, deleted ones included and marked. Grain: one row per vendor credit.
with

source as (
    select * from raw.quickbooks_vendor_credits
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_vendor_credits'
),

last_known as (
    select landing_id from raw.last_known
    where source = 'raw.quickbooks_vendor_credits'
),

final as (
    select
        source.connection,
        'VendorCredit' as entity,
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
