-- Payments that were touched since we wrote them and no longer settle the documents that they are for.
-- Grain: one row per such payment.
with

written as (
    select
        qbo_id as id,
        max(try_cast(sync_token as bigint)) as sync_token
    from control.intents
    where qbo_id <> '' and entity = 'Payment'
    group by all
),

touched as (
    select
        claims.document_key,
        claims.id
    from recon.books_claims as claims
    inner join staging.quickbooks_documents as books using (entity, id)
    inner join written on claims.id = written.id
    where
        claims.entity = 'Payment' and claims.live and claims.claim_no = 1
        and claims.document_key is not null
        and try_cast(books.sync_token as bigint) > written.sync_token
),

-- What a payment is for counts only while it is there to be paid.
expected as (
    select
        touched.document_key,
        targets.entity,
        targets.id,
        sum(applied.amount) as amount
    from ledger.applied as applied
    inner join touched using (document_key)
    inner join recon.books_claims as targets
        on
            applied.to_key = targets.document_key
            and targets.claim_no = 1 and targets.live
    group by all
),

actual as (
    select
        touched.document_key,
        lines.linked_type as entity,
        lines.linked_id as id,
        sum(lines.amount) as amount
    from staging.quickbooks_document_lines as lines
    inner join touched on lines.entity = 'Payment' and lines.id = touched.id
    where lines.linked_id is not null
    group by all
),

final as (
    select
        document_key,
        cast(sum(greatest(expected.amount - coalesce(actual.amount, 0), 0)) as decimal(18, 2))
            as not_applied
    from expected
    left join actual using (document_key, entity, id)
    group by all
    having sum(greatest(expected.amount - coalesce(actual.amount, 0), 0)) > 0
)

select * from final
