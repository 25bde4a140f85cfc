-- The newest state of every line of the payout files that payment providers delivered.
-- Grain: one row per line.
with

source as (
    select * from raw.files_payout_lines
),

newest as (
    select * from source
    qualify row_number() over (partition by connection, id order by landing_id desc) = 1
),

final as (
    select
        connection,
        id,
        method,
        account,
        -- A provider that names no payouts pays out what stands before a withdrawal.
        coalesce(
            nullif(payout_id, ''),
            if(
                by_withdrawal,
                first_value(if(kind = 'payout', transaction_id, null) ignore nulls) over (
                    partition by connection, method, currency
                    order by happened_at, if(kind = 'payout', 1, 0), line_no
                    rows between current row and unbounded following
                ),
                if(kind = 'payout', transaction_id, null)
            ),
            ''
        ) as payout_id,
        payout_date,
        cast(payout_amount as decimal(18, 2)) as payout_amount,
        kind,
        said,
        transaction_id,
        cast(ids as varchar[]) as ids,
        reference,
        cast(amount as decimal(18, 2)) as amount,
        cast(fee as decimal(18, 2)) as fee,
        cast(net as decimal(18, 2)) as net,
        currency,
        cast(presented_amount as decimal(18, 2)) as presented_amount,
        presented_currency,
        happened_at,
        description,
        by_withdrawal,
        file,
        line_no,
        fetched_at
    from newest
    where not deleted_at_source
)

select * from final
