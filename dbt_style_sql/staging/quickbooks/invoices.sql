-- The newest state of every invoice, deleted ones included and marked. Grain: one row per invoice.
with

source as (
    select * from raw.quickbooks_invoices
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
        'Invoice' as entity,
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
        source.customer_id,
        source.customer_name,
        source.customer_memo,
        source.due_date,
        source.global_tax,
        source.total,
        source.home_total,
        source.total_tax,
        source.txn_tax_code_id,
        source.tax_line,
        source.balance,
        source.home_balance,
        source.class_id,
        source.payment_method_id,
        source.payment_ref_num,
        source.deposit_to_id,
        source.deposit_to_name,
        source.bill_country,
        source.ship_country,
        source.deposit,
        newest.last_landing_id > newest.landing_id as deleted,
        source.fetched_at,
        source.hash
    from source
    inner join newest on source.landing_id = newest.landing_id
)

select * from final
