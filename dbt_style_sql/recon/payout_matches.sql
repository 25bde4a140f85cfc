-- The lines of payout files about money of customers, beside the payment row or credit slip of the
-- shop that each stands for: by the transaction's id, never by an amount alone.
-- Grain: one row per line of kind payment, refund or chargeback.
with

lines as (
    select * from staging.files_payout_lines
    where kind in ('payment', 'refund', 'chargeback')
),

line_ids as (
    select
        id,
        amount,
        unnest(ids) as transaction_id
    from lines
),

currencies as (
    select
        id,
        iso_code
    from staging.prestashop_currencies
),

-- Filtered before anything is joined: of many payments few are in the files of one provider.
payments as (
    select
        payments.id as payment_id,
        payments.transaction_id,
        payments.order_reference as reference,
        currencies.iso_code as currency,
        cast(payments.amount as decimal(18, 2)) as amount,
        cast(payments.date_add as date) as day
    from staging.prestashop_order_payments as payments
    left join currencies on payments.id_currency = currencies.id
    where
        payments.transaction_id in (select line_ids.transaction_id from line_ids)
        or payments.amount in (select abs(line_ids.amount) from line_ids)
),

found as (
    select
        line_ids.id,
        line_ids.amount,
        payments.* exclude (transaction_id, amount),
        payments.amount as paid,
        sources.order_id,
        sources.document_key
    from line_ids
    inner join payments using (transaction_id)
    left join ledger.sources as sources
        on sources.source_type = 'payment' and payments.payment_id = sources.source_id
    where line_ids.transaction_id <> ''
),

refunded as (
    select distinct
        order_id,
        shop_amount as amount
    from recon.shop_objects
    where
        source_type = 'slip' and in_shop
        and order_id in (select found.order_id from found)
),

-- A transaction that the shop keeps twice is the row with the same amount, else that of an order with
-- such a refund, else the older one.
by_transaction as (
    select found.* exclude (amount)
    from found
    left join refunded on found.order_id = refunded.order_id and -found.amount = refunded.amount
    qualify row_number() over (
        partition by found.id
        order by found.paid = found.amount desc, refunded.order_id is not null desc, found.payment_id
    ) = 1
),

slips as (
    select
        source_id as slip_id,
        order_id,
        shop_amount as amount,
        document_key,
        event_at,
        row_number() over (partition by order_id, shop_amount order by event_at, source_id) as place
    from recon.shop_objects
    where
        source_type = 'slip' and in_shop
        and order_id in (select known.order_id from by_transaction as known)
),

refunds as (
    select
        lines.id,
        by_transaction.order_id,
        -lines.amount as amount,
        lines.happened_at,
        row_number() over (
            partition by by_transaction.order_id, lines.amount order by lines.happened_at, lines.id
        ) as place
    from lines
    inner join by_transaction using (id)
    where lines.kind = 'refund'
),

equal_slips as (
    select
        refunds.id,
        slips.slip_id
    from refunds
    inner join slips using (order_id, amount, place)
),

-- What is left of one order is told apart by its turn: its amounts differ, and that is shown.
left_refunds as (
    select
        *,
        row_number() over (partition by order_id order by happened_at, id) as turn
    from refunds
    anti join equal_slips using (id)
),

left_slips as (
    select
        *,
        row_number() over (partition by order_id order by event_at, slip_id) as turn
    from slips
    anti join equal_slips using (slip_id)
),

slip_matches as (
    select * from equal_slips
    union all
    select
        left_refunds.id,
        left_slips.slip_id
    from left_refunds
    inner join left_slips using (order_id, turn)
),

-- For a person to look at: payments over the same amount, near in time, that no line stands for.
candidates as (
    select
        lines.id,
        string_agg(
            concat(payments.reference, ' of ', payments.day),
            '; ' order by abs(date_diff('day', payments.day, cast(lines.happened_at as date)))
        ) as candidates
    from lines
    inner join payments
        on
            abs(lines.amount) = payments.amount
            and lines.currency = payments.currency
            and abs(date_diff('day', payments.day, cast(lines.happened_at as date))) <= 5
    where
        lines.id not in (select known.id from by_transaction as known)
        and payments.payment_id not in (
            select taken.payment_id
            from by_transaction as taken
            inner join lines as told on taken.id = told.id
            where told.kind = 'payment'
        )
    group by all
),

final as (
    select
        lines.id,
        lines.method,
        lines.account,
        lines.payout_id,
        lines.kind,
        lines.transaction_id,
        lines.currency,
        lines.amount,
        lines.fee,
        cast(lines.happened_at as date) as day,
        by_transaction.payment_id,
        slip_matches.slip_id,
        by_transaction.order_id,
        coalesce(by_transaction.reference, lines.reference, '') as reference,
        coalesce(slips.document_key, by_transaction.document_key, '') as document_key,
        case
            when by_transaction.id is null then 'none'
            when lines.kind = 'refund' and slip_matches.slip_id is null then 'no slip'
            else 'transaction'
        end as matched_by,
        case
            when lines.kind = 'payment' then by_transaction.paid
            when lines.kind = 'refund' then -slips.amount
        end as shop_amount,
        coalesce(by_transaction.currency, lines.currency) as shop_currency,
        -- In the shop's currency; unknown where a provider that settles in home currency says no more.
        case
            when lines.currency = coalesce(by_transaction.currency, lines.currency) then lines.amount
            when lines.presented_currency = by_transaction.currency
                then sign(lines.amount) * abs(lines.presented_amount)
            when lines.currency <> getvariable('home_currency') then 0
        end as told_amount,
        coalesce(candidates.candidates, '') as candidates
    from lines
    left join by_transaction using (id)
    left join slip_matches using (id)
    left join slips using (slip_id)
    left join candidates using (id)
)

select * from final
