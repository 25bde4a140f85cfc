-- The newest state of every transfer, deleted ones included and marked. Grain: one row per transfer.
with

source as (
    select * from raw.quickbooks_transfers
),

newest as (
    select
        max(landing_id) filter (where not deleted_at_source) as landing_id,
        max(landing_id) as last_landing_id
    from source
    group by id
),

final as (
    select
        source.connection,
        'Transfer' as entity,
        source.id,
        source.sync_token,
        source.created_at,
        source.updated_at,
        source.doc_number,
        source.txn_date,
        source.currency,
        source.exchange_rate,
        source.department_id,
        source.department_name,
        source.private_note,
        source.linked_txn,
        source.line,
        source.amount,
        source.from_account_id,
        source.from_account_name,
        source.to_account_id,
        source.to_account_name,
        newest.last_landing_id > newest.landing_id as deleted,
        source.fetched_at,
        source.hash
    from source
    inner join newest on source.landing_id = newest.landing_id
)

select * from final
