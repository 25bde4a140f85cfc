-- What a payment settles and what it leaves open do not make its total.
with

payments as (
    select * from ledger.documents
    where type = 'Payment' and total <> 0
),

applied as (
    select document_key, sum(amount) as settled
    from ledger.applied
    group by document_key
),

final as (
    select
        payments.key as id,
        'payment' as source_type,
        payments.source_id,
        payments.order_id
    from payments
    left join applied on payments.key = applied.document_key
    where coalesce(applied.settled, 0) + payments.unapplied <> payments.total
)

select * from final
