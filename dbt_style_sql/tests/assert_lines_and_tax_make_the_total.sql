-- A document's lines and its tax do not make its total.
with

documents as (
    select * from ledger.documents
    where type in ('SalesReceipt', 'Invoice', 'RefundReceipt', 'CreditMemo')
),

lines as (
    select document_key, sum(amount) as net
    from ledger.lines
    group by document_key
),

final as (
    select
        documents.key as id,
        'order' as source_type,
        documents.order_id as source_id,
        documents.order_id
    from documents
    left join lines on documents.key = lines.document_key
    where coalesce(lines.net, 0) + documents.total_tax <> documents.total
)

select * from final
