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

-- What we wrote, and as what: payouts and their fees go out of an account like refunds do.
documents as (
    select
        *,
        cast(date_trunc('month', txn_date) as date) as month,
        case
            when document_key is null and stem is null then 'others'
            when split_part(coalesce(document_key, stem), '|', 2) = 'fee' then 'fees'
            when split_part(coalesce(document_key, stem), '|', 2) in ('payout', 'exchange')
                then 'payouts'
            else 'customers'
        end as purpose
    from recon.books_claims
    where live
),

pairs as (
    select
        pairs.currency,
        cast(date_trunc('month', pairs.txn_date) as date) as month,
        pairs.measure,
        pairs.total,
        pairs.books_entity,
        pairs.books_id,
        pairs.live,
        pairs.held,
        pairs.deposit_to as account
    from recon.pairs as pairs
    where pairs.deposit_to <> ''
),

ours as (
    select distinct
        accounts.id as account_id,
        pairs.account,
        accounts.current_balance
    from pairs
    inner join accounts using (account)
),

expected as (
    select
        account,
        currency,
        month,
        sum(if(measure = 'refunds', 0, total)) as expected_in,
        sum(if(measure = 'refunds', total, 0)) as expected_out
    from pairs
    where not held
    group by all
),

moves as (
    select
        ours.account,
        documents.currency,
        documents.month,
        documents.purpose,
        if(documents.entity in ('RefundReceipt', 'CreditMemo'), -documents.total, documents.total)
            as amount
    from documents
    inner join ours on documents.deposit_to_id = ours.account_id
    union all by name
    select
        ours.account,
        documents.currency,
        documents.month,
        documents.purpose,
        -documents.total as amount
    from documents
    inner join ours on documents.from_account_id = ours.account_id
    union all by name
    select
        ours.account,
        documents.currency,
        documents.month,
        documents.purpose,
        case
            when lines.posting_type = 'Credit' then -lines.amount
            when documents.entity in ('Deposit', 'VendorCredit') then -lines.amount
            else lines.amount
        end as amount
    from documents
    inner join staging.quickbooks_document_lines as lines using (entity, id)
    inner join ours on lines.account_id = ours.account_id
    where lines.entity in ('JournalEntry', 'Deposit', 'Purchase', 'Bill', 'VendorCredit')
),

actual as (
    select
        account,
        currency,
        month,
        sum(if(purpose = 'customers' and amount > 0, amount, 0)) as received,
        sum(if(purpose = 'customers' and amount < 0, -amount, 0)) as returned,
        sum(if(purpose = 'fees', -amount, 0)) as fees,
        sum(if(purpose = 'payouts', -amount, 0)) as payouts,
        sum(if(purpose = 'others', amount, 0)) as others
    from moves
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
