-- The tax of the rates of a document does not make its tax.
with

documents as (
    select * from ledger.documents
    where type in ('SalesReceipt', 'Invoice', 'RefundReceipt', 'CreditMemo')
),

taxes as (
    select document_key, sum(amount) as tax
    from ledger.taxes
    group by document_key
),

final as (
    select
        documents.key as id,
        'order' as source_type,
        documents.order_id as source_id,
        documents.order_id
    from documents
    inner join taxes on documents.key = taxes.document_key
    where taxes.tax <> documents.total_tax
)

select * from final
