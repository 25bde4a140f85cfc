-- The newest state of every journal entry, deleted ones included and marked. Grain: one row per journal entry.
with

source as (
    select * from raw.quickbooks_journal_entries
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_journal_entries'
),

last_known as (
    select landing_id from raw.last_known
    where source = 'raw.quickbooks_journal_entries'
),

final as (
    select
        source.connection,
        'JournalEntry' as entity,
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
