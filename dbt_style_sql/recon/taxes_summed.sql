-- Tax by month, country of delivery, code and rate, summed over documents that are kept.
-- Grain: one row per currency, month, country, tax code and rate, and whether it is what has moved.
with

final as (
    select
        currency,
        month,
        country,
        moved,
        code,
        rate,
        count(*) as parts,
        cast(sum(base) as decimal(18, 4)) as base,
        cast(sum(tax) as decimal(18, 4)) as tax,
        cast(sum(if(live, base, 0)) as decimal(18, 4)) as live_base,
        cast(sum(if(live, tax, 0)) as decimal(18, 4)) as live_tax
    from recon.taxed
    group by all
)

select * from final
