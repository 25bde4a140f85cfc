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

expected as (
    select
        document_key,
        cast(rate as decimal(9, 4)) as rate,
        cast(sum(base) as decimal(18, 4)) as base,
        cast(sum(amount) as decimal(18, 4)) as amount
    from ledger.taxes
    group by all
),

actual as (
    select
        entity,
        id,
        cast(cast(rate as decimal(18, 6)) as decimal(9, 4)) as rate,
        cast(sum(base) as decimal(18, 6)) as base,
        cast(sum(amount) as decimal(18, 6)) as amount
    from staging.quickbooks_document_taxes
    group by all
),

live as (
    select
        documents.key,
        documents.currency,
        claims.entity,
        claims.id
    from documents
    inner join claims on documents.key = claims.document_key
),

ours as (
    select
        live.key,
        live.currency,
        expected.rate,
        expected.base,
        expected.amount
    from live
    inner join expected on live.key = expected.document_key
),

theirs as (
    select
        live.key,
        live.currency,
        actual.rate,
        actual.base,
        actual.amount
    from live
    inner join actual using (entity, id)
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
