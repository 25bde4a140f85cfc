-- What each incoming booking of a bank statement may pay: an open invoice or the payout of a provider.
-- A booking is sure of its invoice only when its text names exactly one that is open over its amount;
-- everything else is a suggestion to a person. Grain: one row per incoming booking.
with

lines as (
    select
        *,
        upper(concat_ws(' ', reference, description)) as words
    from staging.files_bank_lines
    where amount > 0
),

open_invoices as (
    select
        books.id as invoice_id,
        books.doc_number,
        books.customer_name,
        books.txn_date,
        books.currency,
        cast(books.balance as decimal(18, 2)) as balance,
        documents.order_id,
        documents.reference,
        documents.key as document_key
    from staging.quickbooks_documents as books
    left join recon.books_claims as claims
        on books.entity = claims.entity and books.id = claims.id and claims.claim_no = 1
    left join ledger.documents as documents on claims.document_key = documents.key
    where
        books.entity = 'Invoice' and books.balance > 0
        and not coalesce(books.deleted, false) and not coalesce(books.voided, false)
),

-- Every name that an invoice may be called by: its number, the order's reference, the shop's number.
names as (
    select invoice_id, upper(doc_number) as name from open_invoices
    union
    select invoice_id, upper(reference) from open_invoices
    union
    select
        open_invoices.invoice_id,
        concat('IN', lpad(cast(invoices.number as varchar), 6, '0'))
    from open_invoices
    inner join staging.prestashop_order_invoices as invoices
        on open_invoices.order_id = invoices.id_order
    where invoices.number > 0
),

tokens as (
    select distinct
        id,
        unnest(regexp_extract_all(words, '[A-Z0-9][A-Z0-9-]*')) as name
    from lines
),

named as (
    select distinct
        tokens.id,
        names.invoice_id
    from tokens
    inner join names using (name)
    where length(tokens.name) >= 4
),

named_once as (
    select
        id,
        count(*) as invoices,
        min(invoice_id) as invoice_id
    from named
    group by all
),

alike as (
    select
        lines.id,
        open_invoices.invoice_id,
        jaro_winkler_similarity(
            upper(lines.counterparty), upper(open_invoices.customer_name)
        ) as likeness,
        abs(date_diff('day', open_invoices.txn_date, lines.booked_on)) as days_apart
    from lines
    inner join open_invoices
        on lines.amount = open_invoices.balance and lines.currency = open_invoices.currency
    where lines.id not in (select known.id from named_once as known)
),

suggested as (
    select
        alike.id,
        count(*) as invoices,
        arg_max(alike.invoice_id, alike.likeness * 1000 - alike.days_apart) as invoice_id,
        max(alike.likeness) as likeness,
        string_agg(
            concat(open_invoices.doc_number, ' of ', open_invoices.txn_date), '; '
            order by alike.likeness desc, alike.days_apart
        ) as candidates
    from alike
    inner join open_invoices using (invoice_id)
    group by all
),

payouts as (
    select
        lines.id,
        arg_min(
            payouts.payout_id,
            if(contains(lines.words, upper(payouts.payout_id)), 0, 1000)
            + abs(date_diff('day', payouts.day, lines.booked_on))
        ) as payout_id
    from lines
    inner join recon.payouts as payouts
        on
            lines.amount = payouts.deposit
            and lines.currency = payouts.currency
            and (
                contains(lines.words, upper(payouts.payout_id))
                or abs(date_diff('day', payouts.day, lines.booked_on)) <= 5
            )
    group by all
),

final as (
    select
        lines.id,
        lines.account,
        lines.booked_on,
        lines.amount,
        lines.currency,
        lines.counterparty,
        trim(concat_ws(' ', lines.reference, lines.description)) as words,
        coalesce(payouts.payout_id, '') as payout_id,
        open_invoices.invoice_id,
        open_invoices.doc_number,
        open_invoices.order_id,
        open_invoices.document_key,
        open_invoices.balance,
        case
            when payouts.id is not null then 'payout'
            when named_once.invoices > 1 then 'names several invoices'
            when
                named_once.invoices = 1 and open_invoices.balance = lines.amount
                and open_invoices.currency = lines.currency
                then 'names the invoice'
            when named_once.invoices = 1 then 'names the invoice, another amount'
            when suggested.likeness >= 0.85 then 'amount and payer'
            when suggested.id is not null then 'amount alone'
            else 'nothing'
        end as rule,
        coalesce(
            payouts.id is null and named_once.invoices = 1
            and open_invoices.balance = lines.amount and open_invoices.currency = lines.currency,
            false
        ) as sure,
        coalesce(suggested.candidates, '') as candidates
    from lines
    left join payouts using (id)
    left join named_once using (id)
    left join suggested using (id)
    left join open_invoices
        on coalesce(named_once.invoice_id, suggested.invoice_id) = open_invoices.invoice_id
)

select * from final
