-- From the income of this report to the income in QuickBooks, month by month in home currency.
-- Grain: one row per month.
with

lines as (
    select
        document_key,
        month,
        in_books,
        income
    from marts.sold_documents
),

pairs as (
    select * from recon.pairs
    where measure in ('sales', 'refunds') and not held
),

claims as (
    select * from recon.books_claims
    where live
),

books_income as (
    select * from marts.books_income
),

-- The end that everything must meet, summed by itself.
books_end as (
    select
        month,
        sum(income) as amount,
        count(*) as parts
    from books_income
    group by all
),

reported as (
    select
        month,
        sum(income) as amount,
        sum(if(in_books, 0, -income)) as not_there,
        count(*) as parts
    from lines
    group by all
),

-- Only documents that may differ are looked at one by one.
special as (
    select
        pairs.key,
        pairs.books_entity as entity,
        pairs.books_id as id,
        pairs.class,
        cast(date_trunc('month', pairs.txn_date) as date) as month
    from pairs
    where pairs.live and (pairs.class <> 'matched' or pairs.exchange_rate is not null)
),

special_meant as (
    select
        special.key,
        lines.income
    from lines
    inner join special on lines.document_key = special.key
),

special_booked as (
    select
        special.key,
        books_income.month,
        sum(books_income.income) as income
    from books_income
    inner join special using (entity, id)
    group by all
),

moved as (
    select
        special.month,
        if(special.class = 'matched', 'rounding of exchange', 'differences') as step,
        special.class,
        if(
            special_booked.month is distinct from special.month,
            0, coalesce(special_booked.income, 0)
        ) - coalesce(special_meant.income, 0) as amount
    from special
    left join special_meant using (key)
    left join special_booked using (key)
    union all by name
    select
        special_booked.month,
        'differences' as step,
        special.class,
        special_booked.income as amount
    from special
    inner join special_booked using (key)
    where special_booked.month <> special.month
),

others as (
    select
        books_income.month,
        if(
            claims.document_key is not null
            or claims.stem is not null
            or claims.numbered_like_ours,
            'surplus', 'others'
        ) as step,
        sum(books_income.income) as amount,
        count(*) as parts
    from books_income
    inner join claims using (entity, id)
    anti join pairs
        on books_income.entity = pairs.books_entity and books_income.id = pairs.books_id
    group by all
),

steps as (
    select
        month,
        'report' as step,
        amount,
        parts
    from reported
    union all by name
    select
        month,
        'missing' as step,
        not_there as amount
    from reported
    union all by name
    select
        month,
        step,
        amount,
        1 as parts
    from moved
    union all by name
    select
        month,
        step,
        amount,
        parts
    from others
),

summed as (
    select
        month,
        coalesce(sum(amount) filter (where step = 'report'), 0) as report,
        coalesce(sum(amount) filter (where step = 'missing'), 0) as missing,
        coalesce(sum(amount) filter (where step = 'differences'), 0) as differences,
        coalesce(sum(amount) filter (where step = 'rounding of exchange'), 0) as rounding,
        coalesce(sum(amount) filter (where step = 'surplus'), 0) as surplus,
        coalesce(sum(amount) filter (where step = 'others'), 0) as others,
        sum(amount) as explained,
        sum(parts) as parts
    from steps
    group by all
),

final as (
    select
        month,
        cast(coalesce(summed.report, 0) as decimal(18, 2)) as report_income,
        cast(coalesce(summed.missing, 0) as decimal(18, 2)) as missing,
        cast(coalesce(summed.differences, 0) as decimal(18, 2)) as differences,
        cast(coalesce(summed.rounding, 0) as decimal(18, 2)) as rounding,
        cast(coalesce(summed.surplus, 0) as decimal(18, 2)) as surplus,
        cast(coalesce(summed.others, 0) as decimal(18, 2)) as others,
        cast(coalesce(books_end.amount, 0) as decimal(18, 2)) as books_income,
        cast(coalesce(books_end.amount, 0) - coalesce(summed.explained, 0) as decimal(18, 2))
            as unallocated,
        cast(coalesce(summed.parts, 0) + coalesce(books_end.parts, 0) as bigint) as parts
    from summed
    full outer join books_end using (month)
)

select * from final
