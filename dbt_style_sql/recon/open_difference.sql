-- The money in unresolved exceptions, gross: one side's surplus never cancels the other's lack.
-- Grain: one row per currency.
with

exceptions as (
    select * from recon.exceptions
),

tie_out as (
    select distinct currency from recon.tie_out
),

summed as (
    select
        currency,
        count(*) as exceptions,
        sum(amount) as open_difference,
        sum(amount) filter (where origin = 'hold') as held,
        sum(amount) filter (where severity = 'B') as blocking
    from exceptions
    group by all
),

final as (
    select
        currency,
        coalesce(summed.exceptions, 0) as exceptions,
        cast(coalesce(summed.open_difference, 0) as decimal(18, 2)) as open_difference,
        cast(coalesce(summed.held, 0) as decimal(18, 2)) as held,
        cast(coalesce(summed.blocking, 0) as decimal(18, 2)) as blocking
    from tie_out
    full outer join summed using (currency)
)

select * from final
