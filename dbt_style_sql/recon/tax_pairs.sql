-- Tax by rate where an expected document and its QuickBooks document disagree.
-- Grain: one row per expected document that is live in QuickBooks and tax rate in percent.
with

documents as (
    select
        key,
        currency
    from ledger.documents
    where global_tax in ('TaxExcluded', 'TaxInclusive')
),

claims as (
    select
        document_key,
        entity,
        id
    from recon.books_claims
    where document_key is not null and claim_no = 1 and live
),

taxes as (
    select
        document_key,
        cast(rate as decimal(9, 4)) as rate,
        base,
        amount
    from ledger.taxes
),


books_taxes as (
    select
        entity,
        id,
        cast(cast(rate as decimal(18, 6)) as decimal(9, 4)) as rate,
        base,
        amount
    from staging.quickbooks_document_taxes
),

-- Summed over both sides at once, only what differs is left.
suspects as (
    select document_key
    from (
        select
            document_key,
            rate,
            amount
        from taxes
        union all by name
        select
            claims.document_key,
            books_taxes.rate,
            -books_taxes.amount as amount
        from books_taxes
        inner join claims using (entity, id)
    )
    group by document_key, rate
    having sum(amount) <> 0
),

live as (
    select
        documents.key,
        documents.currency,
        claims.entity,
        claims.id
    from documents
    inner join claims on documents.key = claims.document_key
    semi join suspects on documents.key = suspects.document_key
),

ours as (
    select
        live.key,
        live.currency,
        taxes.rate,
        cast(sum(taxes.base) as decimal(18, 4)) as base,
        cast(sum(taxes.amount) as decimal(18, 4)) as amount
    from live
    inner join taxes on live.key = taxes.document_key
    group by all
),

theirs as (
    select
        live.key,
        live.currency,
        books_taxes.rate,
        cast(sum(books_taxes.base) as decimal(18, 6)) as base,
        cast(sum(books_taxes.amount) as decimal(18, 6)) as amount
    from live
    inner join books_taxes using (entity, id)
    group by all
),

final as (
    select
        coalesce(ours.key, theirs.key) as document_key,
        coalesce(ours.currency, theirs.currency) as currency,
        coalesce(ours.rate, theirs.rate) as rate,
        cast(coalesce(ours.base, 0) as decimal(18, 2)) as expected_base,
        cast(coalesce(theirs.base, 0) as decimal(18, 2)) as actual_base,
        cast(coalesce(ours.amount, 0) as decimal(18, 2)) as expected_tax,
        cast(coalesce(theirs.amount, 0) as decimal(18, 2)) as actual_tax,
        cast(coalesce(theirs.amount, 0) as decimal(18, 2))
        - cast(coalesce(ours.amount, 0) as decimal(18, 2)) as difference
    from ours
    full outer join theirs on ours.key = theirs.key and ours.rate = theirs.rate
    where coalesce(ours.amount, 0) <> coalesce(theirs.amount, 0)
)

select * from final
