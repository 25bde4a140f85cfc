-- Every payout of a provider: what it is made of, whether its lines make its amount, and how far it is.
-- Grain: one row per method, currency and payout.
with

lines as (
    select * from staging.files_payout_lines
    where payout_id <> ''
),

matches as (
    select
        method,
        currency,
        payout_id,
        count(*) filter (where matched_by <> 'transaction') as unmatched_lines,
        sum(abs(amount)) filter (where matched_by <> 'transaction') as unmatched_amount
    from recon.payout_matches
    where payout_id <> ''
    group by all
),

approvals as (
    select
        method,
        currency,
        payout_id,
        approved_by,
        approved_at
    from staging.files_payout_approvals
),

booked as (
    select
        source_id,
        count(*) filter (where not live) as not_booked
    from recon.pairs
    inner join ledger.documents as documents using (key)
    where pairs.role in ('fee', 'payout', 'exchange') and pairs.order_id = 0
    group by all
),

summed as (
    select
        method,
        account,
        currency,
        payout_id,
        bool_or(by_withdrawal) as by_withdrawal,
        coalesce(
            max(payout_date),
            max(cast(happened_at as date)) filter (where kind = 'payout'),
            max(cast(happened_at as date))
        ) as day,
        count(*) as lines,
        coalesce(sum(amount) filter (where kind = 'payment'), 0) as payments,
        coalesce(sum(amount) filter (where kind = 'refund'), 0) as refunds,
        coalesce(sum(amount) filter (where kind = 'chargeback'), 0) as chargebacks,
        -coalesce(sum(fee) filter (where kind <> 'payout'), 0)
        + coalesce(sum(amount) filter (where kind = 'fee'), 0) as fees,
        coalesce(sum(amount) filter (where kind = 'reserve'), 0) as reserves,
        coalesce(sum(amount) filter (where kind = 'exchange'), 0) as exchange,
        coalesce(sum(amount) filter (where kind = 'adjustment'), 0) as adjustments,
        sum(net) filter (where kind <> 'payout') as net,
        -sum(amount) filter (where kind = 'payout') as paid_out,
        max(payout_amount) as stated
    from lines
    group by all
),

final as (
    select
        summed.method,
        summed.account,
        summed.currency,
        summed.payout_id,
        summed.day,
        summed.by_withdrawal,
        summed.lines,
        cast(summed.payments as decimal(18, 2)) as payments,
        cast(summed.refunds as decimal(18, 2)) as refunds,
        cast(summed.chargebacks as decimal(18, 2)) as chargebacks,
        cast(summed.fees as decimal(18, 2)) as fees,
        cast(summed.reserves as decimal(18, 2)) as reserves,
        cast(summed.exchange as decimal(18, 2)) as exchange,
        cast(summed.adjustments as decimal(18, 2)) as adjustments,
        cast(coalesce(summed.paid_out, summed.stated, summed.net, 0) as decimal(18, 2)) as deposit,
        -- A balance that the provider keeps may be larger than what is withdrawn.
        cast(
            if(
                summed.by_withdrawal, 0,
                coalesce(summed.paid_out, summed.stated, summed.net, 0)
                - (payments + refunds + chargebacks + fees + reserves + exchange + adjustments)
            ) as decimal(18, 2)
        ) as difference,
        coalesce(matches.unmatched_lines, 0) as unmatched_lines,
        cast(coalesce(matches.unmatched_amount, 0) as decimal(18, 2)) as unmatched_amount,
        case
            when approvals.approved_by is not null and coalesce(booked.not_booked, 1) = 0 then 'booked'
            when approvals.approved_by is not null then 'approved'
            when coalesce(matches.unmatched_lines, 0) > 0 then 'unmatched lines'
            when
                not summed.by_withdrawal
                and coalesce(summed.paid_out, summed.stated, summed.net, 0)
                <> payments + refunds + chargebacks + fees + reserves + exchange + adjustments
                then 'lines do not make the deposit'
            else 'ready'
        end as state,
        coalesce(approvals.approved_by, '') as approved_by,
        approvals.approved_at
    from summed
    left join matches using (method, currency, payout_id)
    left join approvals using (method, currency, payout_id)
    left join booked on summed.payout_id = booked.source_id
)

select * from final
