-- What payout files say otherwise than the shop: money on one side only, and amounts that differ.
-- Grain: one row per line, payment row, credit slip or payout that does not agree.
with

matches as (
    select * from recon.payout_matches
),

payouts as (
    select * from recon.payouts
),

-- Between the first and the last line of an account its provider has told everything.
told as (
    select
        account,
        currency,
        min(day) as from_day,
        max(day) as to_day
    from matches
    group by all
),

money as (
    select
        objects.source_type,
        objects.source_id,
        objects.order_id,
        objects.id_shop,
        objects.reference,
        objects.document_key,
        objects.currency,
        objects.shop_amount as amount,
        cast(objects.event_at as date) as day,
        documents.doc_number,
        date_diff(
            'day', cast(objects.event_at as date),
            cast(coalesce(getvariable('as_of'), current_date) as date)
        ) as age_days
    from recon.shop_objects as objects
    inner join ledger.documents as documents on objects.document_key = documents.key
    inner join told
        on
            documents.deposit_to = told.account
            and objects.currency = told.currency
            and cast(objects.event_at as date) between told.from_day and told.to_day
    where
        objects.source_type in ('payment', 'slip')
        and objects.status = 'postable'
        and objects.in_shop
        and objects.shop_amount > 0
),

unpaid as (
    select
        'PAY_UNMATCHED_PSP' as code,
        source_type as object_type,
        'no line of a payout' as actual,
        money.* exclude (source_type, source_id)
    from money
    where
        source_type = 'payment'
        and age_days > 5
        -- A refund of it names the payment too, and does not prove that it came.
        and source_id not in (
            select m.payment_id from matches as m
            where m.payment_id is not null and m.kind = 'payment'
        )
    union all
    select
        'REFUND_NOT_PAID_OUT' as code,
        source_type as object_type,
        'no refund at the provider' as actual,
        money.* exclude (source_type, source_id)
    from money
    where
        source_type = 'slip'
        and age_days > 7
        and source_id not in (select m.slip_id from matches as m where m.slip_id is not null)
),

strange as (
    select
        if(matched_by = 'no slip', 'REFUND_NO_SLIP', 'PSP_UNMATCHED') as code,
        'payout line' as object_type,
        concat(kind, ' ', amount, ' ', currency, ' in payout ', payout_id) as actual,
        order_id,
        reference,
        document_key,
        currency,
        amount,
        day,
        transaction_id as doc_number,
        if(candidates = '', '', concat('To look at: ', candidates, '.')) as detail
    from matches
    where matched_by <> 'transaction'
),

-- All lines of one payment together: a provider may capture in parts. What it tells of in a currency
-- that the customer did not pay in never settles the account of that payment.
captured as (
    select
        'CLEARING_NOT_ZERO' as code,
        'payout line' as object_type,
        concat(sum(amount), ' ', min(currency), ' at the provider') as actual,
        concat(min(shop_amount), ' ', shop_currency) as expected,
        min(order_id) as order_id,
        min(reference) as reference,
        min(document_key) as document_key,
        shop_currency as currency,
        sum(told_amount) - min(shop_amount) as amount,
        max(day) as day,
        min(transaction_id) as doc_number
    from matches
    where matched_by = 'transaction' and kind = 'payment' and told_amount is not null
    group by payment_id, shop_currency
    having sum(told_amount) <> min(shop_amount)
    union all by name
    select
        'CLEARING_NOT_ZERO' as code,
        'payout line' as object_type,
        concat(amount, ' ', currency, ' at the provider') as actual,
        concat(shop_amount, ' ', shop_currency) as expected,
        order_id,
        reference,
        document_key,
        shop_currency as currency,
        told_amount - shop_amount as amount,
        day,
        transaction_id as doc_number
    from matches
    where matched_by = 'transaction' and kind = 'refund' and told_amount <> shop_amount
),

short as (
    select
        'CLEARING_NOT_ZERO' as code,
        'payout' as object_type,
        concat(deposit, ' ', currency, ' paid out') as actual,
        concat(deposit - difference, ' ', currency, ' by its lines') as expected,
        currency,
        difference as amount,
        day,
        payout_id as doc_number
    from payouts
    where difference <> 0
),

together as (
    select * from unpaid
    union all by name
    select * from strange
    union all by name
    select * from captured
    union all by name
    select * from short
),

final as (
    select
        code,
        object_type,
        order_id,
        coalesce(id_shop, 0) as id_shop,
        coalesce(reference, '') as reference,
        coalesce(document_key, '') as document_key,
        coalesce(doc_number, '') as doc_number,
        currency,
        cast(amount as decimal(18, 2)) as amount,
        day as event_date,
        coalesce(expected, concat(amount, ' ', currency)) as expected,
        actual,
        coalesce(detail, '') as detail
    from together
)

select * from final
