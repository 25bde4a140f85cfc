-- Every document of the company's mirror and which expected document it stands for, if any.
-- Grain: one row per QuickBooks document (entity and id), deleted ones included.
with

documents as (
    select * from staging.quickbooks_documents
),

document_lines as (
    select * from staging.quickbooks_document_lines
),

marks as (
    select * from recon.marks
),

items as (
    select * from staging.quickbooks_items
),

expected as not materialized (
    select
        doc_number,
        type,
        key,
        total,
        -- The key without its revision; of an adjustment or a summary the key itself.
        case
            when contains(key, '|adjustment|') or contains(key, '|summary|') then key
            when ends_with(key, '|0') then left(key, length(key) - 1)
            else rtrim(key, '0123456789')
        end as stem
    from ledger.documents
),

-- What we know to have written, by QuickBooks' own id: the strongest claim.
written as (
    select
        entity,
        qbo_id as id,
        max(case
            when contains(key, '|adjustment|') or contains(key, '|summary|') then key
            when ends_with(key, '|0') then left(key, length(key) - 1)
            else rtrim(key, '0123456789')
        end) as stem,
        max(try_cast(sync_token as bigint)) as written_token
    from control.intents
    where qbo_id <> '' and entity not in ('Customer', 'Item')
    group by all
),

-- (Money by way of decimal(18, 6), because DuckDB rounds what exceeds 64 bits thirty times slower.)
documents_written as (
    select
        documents.entity,
        documents.id,
        documents.sync_token,
        documents.doc_number,
        documents.txn_date,
        coalesce(documents.currency, 'XXX') as currency,
        documents.exchange_rate,
        coalesce(
            cast(try_cast(documents.total as decimal(18, 6)) as decimal(18, 2)),
            cast(documents.total as decimal(18, 2)), 0
        ) as total,
        coalesce(
            cast(try_cast(documents.total_tax as decimal(18, 6)) as decimal(18, 2)),
            cast(documents.total_tax as decimal(18, 2)), 0
        ) as total_tax,
        coalesce(
            cast(try_cast(documents.home_total as decimal(18, 6)) as decimal(18, 2)),
            cast(documents.home_total as decimal(18, 2))
        ) as home_total,
        documents.customer_id,
        documents.customer_name,
        documents.deposit_to_id,
        documents.deposit_to_name,
        documents.from_account_id,
        documents.created_at,
        coalesce(documents.deleted, false) as deleted,
        not coalesce(documents.deleted, false) and not coalesce(documents.voided, false) as live,
        case
            when written.stem is not null then 'intent'
            when coalesce(documents.source_key, '') <> '' then 'note'
        end as claimed_by,
        coalesce(
            written.stem,
            case
                when documents.source_key = '' then null
                when contains(documents.source_key, '|adjustment|') or contains(documents.source_key, '|summary|') then documents.source_key
                when ends_with(documents.source_key, '|0')
                    then left(documents.source_key, length(documents.source_key) - 1)
                else rtrim(documents.source_key, '0123456789')
            end
        ) as stem,
        written.written_token
    from documents
    left join written using (entity, id)
),

numbers as (
    select
        expected.doc_number,
        min(expected.stem) as stem
    from expected
    semi join (
        select unclaimed.doc_number
        from documents_written as unclaimed
        where unclaimed.claimed_by is null
    ) as unclaimed on expected.doc_number = unclaimed.doc_number
    where expected.doc_number <> ''
    group by all
),

-- (Read again where it is used, as what is expected: kept in memory, a million orders would not fit.)
claimed as not materialized (
    select * from documents_written
    where claimed_by is not null
    union all by name
    select
        documents_written.* replace (
            if(numbers.stem is null, null, 'number') as claimed_by,
            numbers.stem as stem
        )
    from documents_written
    left join numbers on documents_written.doc_number = numbers.doc_number
    where documents_written.claimed_by is null
),

-- Only what nobody claims needs a look at its accounts, from the day of our first document on.
strangers as (
    select
        entity,
        id,
        deposit_to_id,
        from_account_id,
        regexp_extract(doc_number, '^[A-Za-z]+[0-9]+-') as prefix
    from claimed
    where
        stem is null
        and live
        and txn_date >= (select cast(min(marks.value) as date) from marks where marks.kind = 'first day')
),

our_clearing_accounts as (
    select value as id from marks
    where kind = 'clearing account'
),

our_income_accounts as (
    select value as id from marks
    where kind = 'income account'
),

-- Nobody books on a tax account by hand without meaning the tax of somebody's documents.
our_accounts as (
    select value as id from marks
    where kind in ('clearing account', 'income account', 'tax account')
),

strange_lines as (
    select
        document_lines.entity,
        document_lines.id,
        bool_or(coalesce(
            items.income_account_id in (select ours.id from our_income_accounts as ours)
            or document_lines.account_id in (select ours.id from our_accounts as ours),
            false
        )) as on_our_accounts,
        bool_or(settled.id is not null) as settles_ours,
        -- A journal between two of our accounts moves its money once.
        greatest(
            sum(document_lines.amount) filter (
                where document_lines.posting_type = 'Debit'
                and document_lines.account_id in (select ours.id from our_accounts as ours)
            ),
            sum(document_lines.amount) filter (
                where document_lines.posting_type = 'Credit'
                and document_lines.account_id in (select ours.id from our_accounts as ours)
            )
        ) as amount_on_ours
    from document_lines
    semi join strangers using (entity, id)
    left join items on document_lines.item_id = items.id
    left join claimed as settled
        on
            document_lines.linked_type = settled.entity
            and document_lines.linked_id = settled.id
            and settled.stem is not null
    group by all
),

placed as (
    select
        strangers.entity,
        strangers.id,
        strangers.prefix in (select marks.value from marks where marks.kind = 'prefix')
            as numbered_like_ours,
        coalesce(
            strangers.deposit_to_id in (select ours.id from our_clearing_accounts as ours), false
        )
        or coalesce(
            strangers.from_account_id in (select ours.id from our_clearing_accounts as ours), false
        )
        or coalesce(strange_lines.on_our_accounts, false)
        or coalesce(strange_lines.settles_ours, false) as on_our_accounts,
        cast(strange_lines.amount_on_ours as decimal(18, 2)) as amount_on_ours
    from strangers
    left join strange_lines using (entity, id)
),

repeated as (
    select
        entity,
        id,
        row_number() over (
            partition by stem
            order by live desc, claimed_by = 'intent' desc, created_at, length(id), id
        ) as claim_no
    from claimed
    where stem in (select c.stem from claimed as c group by c.stem having count(*) > 1)
),

final as (
    select
        claimed.entity,
        claimed.id,
        expected.key as document_key,
        if(expected.key is null, claimed.stem, null) as stem,
        claimed.claimed_by,
        claimed.doc_number,
        coalesce(repeated.claim_no, 1) as claim_no,
        claimed.live,
        claimed.deleted,
        coalesce(placed.numbered_like_ours, false) as numbered_like_ours,
        coalesce(placed.on_our_accounts, false) as on_our_accounts,
        claimed.currency,
        claimed.txn_date,
        claimed.exchange_rate,
        -- Of a journal by hand what stands on our accounts.
        if(
            claimed.entity = 'JournalEntry' and placed.amount_on_ours is not null,
            placed.amount_on_ours, claimed.total
        ) as total,
        claimed.total_tax,
        claimed.home_total,
        expected.total as expected_total,
        claimed.customer_id,
        claimed.customer_name,
        claimed.deposit_to_id,
        claimed.deposit_to_name,
        claimed.from_account_id,
        claimed.sync_token,
        claimed.written_token
    from claimed
    left join expected on claimed.stem = expected.stem
    left join repeated on claimed.entity = repeated.entity and claimed.id = repeated.id
    left join placed on claimed.entity = placed.entity and claimed.id = placed.id
)

select * from final
