-- The journal that would bring the books to what the shop means, if nobody repairs the documents
-- themselves: a proposal, never posted. Grain: one row per proposal and account.
with

missing as (
    select
        pairs.key as about,
        pairs.class as code,
        pairs.order_id,
        documents.doc_number,
        pairs.txn_date as day,
        pairs.currency,
        pairs.type,
        pairs.measure,
        documents.deposit_to,
        if(pairs.live, pairs.total - pairs.books_total, pairs.total) as gross,
        if(pairs.live, pairs.total_tax - pairs.books_tax, pairs.total_tax) as tax
    from recon.pairs as pairs
    inner join ledger.documents as documents using (key)
    where
        pairs.class <> 'matched'
        and not pairs.held
        and pairs.measure <> 'other'
        and pairs.currency = coalesce(pairs.books_currency, pairs.currency)
),

surplus as (
    select
        concat(exceptions.books_entity, '|', exceptions.books_id) as about,
        exceptions.code,
        exceptions.order_id,
        exceptions.doc_number,
        exceptions.event_date as day,
        exceptions.currency,
        exceptions.books_entity as type,
        case
            when exceptions.books_entity = 'Payment' then 'payments'
            when exceptions.books_entity in ('RefundReceipt', 'CreditMemo') then 'refunds'
            else 'sales'
        end as measure,
        books.deposit_to_name as deposit_to,
        -exceptions.amount as gross,
        -cast(coalesce(books.total_tax, 0) as decimal(18, 2)) as tax
    from recon.exceptions as exceptions
    inner join staging.quickbooks_documents as books
        on exceptions.books_entity = books.entity and exceptions.books_id = books.id
    where exceptions.code in ('DUPLICATE_IN_QBO', 'ORPHAN_IN_QBO', 'PAYMENT_EXTRA')
),

wrong as (
    select * from missing
    where gross <> 0 or tax <> 0
    union all by name
    select * from surplus
),

-- Debits positive. A sale brings money or a receivable and owes income and tax; refunds turn it.
entries as (
    select
        about,
        code,
        order_id,
        doc_number,
        day,
        currency,
        unnest([
            {
                'line_no': 1,
                'account': if(
                    type in ('Invoice', 'CreditMemo'), 'Accounts receivable',
                    coalesce(nullif(deposit_to, ''), 'Undeposited Funds')
                ),
                'amount': if(measure = 'refunds', -gross, gross)
            },
            {
                'line_no': 2,
                'account': if(
                    measure = 'payments', 'Accounts receivable', 'Income of the document''s items'
                ),
                'amount': if(
                    measure = 'payments', -gross,
                    if(measure = 'refunds', gross - tax, tax - gross)
                )
            },
            {
                'line_no': 3,
                'account': 'Tax',
                'amount': if(measure = 'payments', 0, if(measure = 'refunds', tax, -tax))
            }
        ]) as entry
    from wrong
),

deferrals as (
    select
        concat('cutoff|', order_id) as about,
        'DEFERRED_AT_PERIOD_END' as code,
        order_id,
        doc_number,
        period_end as day,
        currency,
        unnest([
            {'line_no': 1, 'account': 'Income of the document''s items', 'amount': net},
            {'line_no': 2, 'account': 'Deferred income', 'amount': -net}
        ]) as entry
    from recon.cutoff
    where what = 'sold, not shipped'
),

together as (
    select * from entries
    union all by name
    select * from deferrals
),

final as (
    select
        about,
        code,
        order_id,
        coalesce(doc_number, '') as doc_number,
        cast(day as date) as day,
        currency,
        entry.line_no as line_no,
        entry.account as account,
        cast(if(entry.amount > 0, entry.amount, 0) as decimal(18, 2)) as debit,
        cast(if(entry.amount < 0, -entry.amount, 0) as decimal(18, 2)) as credit
    from together
    where entry.amount <> 0
)

select * from final
