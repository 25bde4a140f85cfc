-- The roll-forward of every account that our documents are paid into or out of.
-- Grain: one row per account and month, in the currency of its documents.
with

accounts as (
    select
        id,
        fully_qualified_name as account,
        current_balance
    from staging.quickbooks_accounts
),

moves as (
    select * from recon.account_moves
),

ours as (
    select distinct
        accounts.id as account_id,
        moves.account,
        accounts.current_balance
    from moves
    inner join accounts using (account)
    where moves.side = 'expected'
),

expected as (
    select
        account,
        currency,
        month,
        expected_in,
        expected_out
    from moves
    where side = 'expected' and not held
),

actual as (
    select
        ours.account,
        moves.currency,
        moves.month,
        sum(moves.received) as received,
        sum(moves.returned) as returned,
        sum(moves.fees) as fees,
        sum(moves.payouts) as payouts,
        sum(moves.others) as others
    from moves
    inner join ours on moves.account = ours.account_id
    where moves.side = 'books'
    group by all
),

joined as (
    select
        account,
        currency,
        month,
        coalesce(expected.expected_in, 0) as expected_in,
        coalesce(expected.expected_out, 0) as expected_out,
        coalesce(actual.received, 0) as received,
        coalesce(actual.returned, 0) as returned,
        coalesce(actual.fees, 0) as fees,
        coalesce(actual.payouts, 0) as payouts,
        coalesce(actual.others, 0) as others,
        coalesce(actual.received - actual.returned - actual.fees - actual.payouts + actual.others, 0)
            as movement
    from expected
    full outer join actual using (account, currency, month)
),

final as (
    select
        joined.account,
        joined.currency,
        joined.month,
        cast(
            sum(movement) over upto - movement as decimal(18, 2)
        ) as opening,
        cast(received as decimal(18, 2)) as received,
        cast(returned as decimal(18, 2)) as returned,
        cast(fees as decimal(18, 2)) as fees,
        cast(payouts as decimal(18, 2)) as payouts,
        cast(others as decimal(18, 2)) as others,
        cast(sum(movement) over upto as decimal(18, 2)) as closing,
        cast(expected_in - expected_out as decimal(18, 2)) as expected_movement,
        cast(received - returned - (expected_in - expected_out) as decimal(18, 2)) as difference,
        -- The balance that QuickBooks shows today stands beside the newest month.
        if(
            row_number() over (partition by joined.account order by joined.month desc) = 1,
            cast(ours.current_balance as decimal(18, 2)), null
        ) as books_balance
    from joined
    left join ours using (account)
    window upto as (partition by joined.account, joined.currency order by joined.month)
)

select * from final
