-- The lines of the books' documents that move an account by themselves: journals, deposits, purchases, bills.
-- Grain: one row per such line of a document that is live.
with

claims as (
    select
        entity,
        id,
        currency,
        cast(date_trunc('month', txn_date) as date) as month,
        document_key,
        stem
    from recon.books_claims
    where live and entity in ('JournalEntry', 'Deposit', 'Purchase', 'Bill', 'VendorCredit')
),

lines as (
    select * from staging.quickbooks_document_lines
    where entity in ('JournalEntry', 'Deposit', 'Purchase', 'Bill', 'VendorCredit')
),

final as (
    select
        claims.entity,
        claims.id,
        claims.document_key,
        claims.stem,
        claims.currency,
        claims.month,
        lines.account_id,
        cast(
            case
                when lines.posting_type = 'Credit' then -lines.amount
                when claims.entity in ('Deposit', 'VendorCredit') then -lines.amount
                else lines.amount
            end as decimal(18, 2)
        ) as amount
    from claims
    inner join lines using (entity, id)
    where lines.account_id is not null
)

select * from final
