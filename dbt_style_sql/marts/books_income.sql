-- The income on every sales document of QuickBooks, in home currency, refunds negative.
-- Grain: one row per sales document (entity and id) with a line of income.
with

books as not materialized (
    select entity, id, txn_date, exchange_rate, private_note, deleted, lines
    from staging.quickbooks_sales_receipts
    union all
    select entity, id, txn_date, exchange_rate, private_note, deleted, lines
    from staging.quickbooks_invoices
    union all
    select entity, id, txn_date, exchange_rate, private_note, deleted, lines
    from staging.quickbooks_refund_receipts
    union all
    select entity, id, txn_date, exchange_rate, private_note, deleted, lines
    from staging.quickbooks_credit_memos
),

documents as not materialized (
    select
        entity,
        id,
        cast(date_trunc('month', txn_date) as date) as month,
        nullif(exchange_rate, 1) as rate,
        lines
    from books
    where not deleted and not coalesce(starts_with(private_note, 'Voided'), false)
),

-- Lines of items whose account is a liability (gift cards, store credit, advances) are no income.
income_items as (
    select items.id
    from staging.quickbooks_items as items
    left join staging.quickbooks_accounts as accounts on items.income_account_id = accounts.id
    where coalesce(accounts.classification, 'Revenue') <> 'Liability'
),

unnested as not materialized (
    select
        entity,
        id,
        month,
        rate,
        unnest(lines) as line
    from documents
),

books_lines as (
    select
        unnested.entity,
        unnested.id,
        unnested.month,
        if(unnested.entity in ('RefundReceipt', 'CreditMemo'), -1, 1)
        * if(
            unnested.rate is null,
            cast(unnested.line.amount as decimal(18, 2)),
            cast(round(unnested.line.amount * unnested.rate, 2) as decimal(18, 2))
        ) as income
    from unnested
    inner join income_items on unnested.line.item_id = income_items.id
),

final as (
    select
        entity,
        id,
        month,
        cast(sum(income) as decimal(18, 2)) as income
    from books_lines
    group by all
)

select * from final
