-- What moves every account month by month, as our documents mean it and as the books' documents do.
-- Grain: one row per side, account (by name where expected, by id in the books), currency, month and held.
with

pairs as (
    select
        deposit_to as account,
        currency,
        cast(date_trunc('month', txn_date) as date) as month,
        held,
        count(*) as parts,
        sum(if(measure = 'refunds', 0, total)) as expected_in,
        sum(if(measure = 'refunds', total, 0)) as expected_out
    from recon.pairs
    where deposit_to <> ''
    group by all
),

claims as (
    select
        entity,
        document_key,
        stem,
        currency,
        cast(date_trunc('month', txn_date) as date) as month,
        deposit_to_id,
        from_account_id,
        total
    from recon.books_claims
    where live
),

moves as (
    select
        deposit_to_id as account,
        document_key,
        stem,
        currency,
        month,
        if(entity in ('RefundReceipt', 'CreditMemo'), -total, total) as amount
    from claims
    where deposit_to_id is not null
    union all by name
    select
        from_account_id as account,
        document_key,
        stem,
        currency,
        month,
        -total as amount
    from claims
    where from_account_id is not null
    union all by name
    select
        account_id as account,
        document_key,
        stem,
        currency,
        month,
        amount
    from recon.account_lines
),

-- What we wrote, and as what: payouts and their fees go out of an account like refunds do.
meant as (
    select
        *,
        case
            when document_key is null and stem is null then 'others'
            when contains(coalesce(document_key, stem), '|fee|') then 'fees'
            when
                contains(coalesce(document_key, stem), '|payout|')
                or contains(coalesce(document_key, stem), '|exchange|')
                then 'payouts'
            else 'customers'
        end as purpose
    from moves
),

actual as (
    select
        account,
        currency,
        month,
        count(*) as parts,
        sum(if(purpose = 'customers' and amount > 0, amount, 0)) as received,
        sum(if(purpose = 'customers' and amount < 0, -amount, 0)) as returned,
        sum(if(purpose = 'fees', -amount, 0)) as fees,
        sum(if(purpose = 'payouts', -amount, 0)) as payouts,
        sum(if(purpose = 'others', amount, 0)) as others
    from meant
    group by all
),

together as (
    select
        'expected' as side,
        *
    from pairs
    union all by name
    select
        'books' as side,
        false as held,
        *
    from actual
),

final as (
    select
        side,
        account,
        currency,
        month,
        held,
        parts,
        cast(coalesce(expected_in, 0) as decimal(18, 2)) as expected_in,
        cast(coalesce(expected_out, 0) as decimal(18, 2)) as expected_out,
        cast(coalesce(received, 0) as decimal(18, 2)) as received,
        cast(coalesce(returned, 0) as decimal(18, 2)) as returned,
        cast(coalesce(fees, 0) as decimal(18, 2)) as fees,
        cast(coalesce(payouts, 0) as decimal(18, 2)) as payouts,
        cast(coalesce(others, 0) as decimal(18, 2)) as others
    from together
)

select * from final
