-- The newest state of every payment, deleted ones included and marked. Grain: one row per payment.
with

source as (
    select * from raw.quickbooks_payments
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_payments'
),

newest as (
    select * from source
    anti join superseded on source.landing_id = superseded.landing_id
),

-- Of what is deleted now, the state that was known before.
last_known as (
    select max(landing_id) as landing_id
    from source
    where
        not deleted_at_source
        and id in (select newest.id from newest where newest.deleted_at_source)
    group by id
),

known as (
    select *, false as deleted from newest
    where not deleted_at_source
    union all
    select source.*, true as deleted from source
    semi join last_known on source.landing_id = last_known.landing_id
),

final as (
    select
        connection,
        'Payment' as entity,
        id,
        sync_token,
        created_at,
        updated_at,
        doc_number,
        txn_date,
        currency,
        exchange_rate,
        department_id,
        department_name,
        private_note,
        linked_txn,
        line,
        customer_id,
        customer_name,
        total,
        unapplied,
        payment_method_id,
        payment_ref_num,
        deposit_to_id,
        deposit_to_name,
        deleted,
        fetched_at,
        hash
    from known
)

select * from final
