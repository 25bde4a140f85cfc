-- The newest state of every purchase (expense), deleted ones included and marked. Grain: one row per purchase (expense).
with

source as (
    select * from raw.quickbooks_purchases
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
        'Purchase' as entity,
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
        source.global_tax,
        source.total,
        source.total_tax,
        source.tax_line,
        source.account_id,
        source.account_name,
        source.payment_type,
        source.payment_method_id,
        source.entity_id,
        source.entity_name,
        source.credit,
        newest.last_landing_id > newest.landing_id as deleted,
        source.fetched_at,
        source.hash
    from source
    inner join newest on source.landing_id = newest.landing_id
)

select * from final
