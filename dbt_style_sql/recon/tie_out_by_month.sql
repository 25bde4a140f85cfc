-- From the shop's money to QuickBooks' money in steps that must meet to the cent, month by month.
-- Grain: one row per month, currency and measure (sales, refunds, payments, tax).
with

movements as (
    select * from recon.movements
),

summed as (
    select
        month,
        currency,
        measure,
        coalesce(sum(amount) filter (where step = 'shop'), 0) as shop,
        coalesce(sum(amount) filter (where step = 'before_go_live'), 0) as before_go_live,
        coalesce(sum(amount) filter (where step = 'not_postable'), 0) as not_postable,
        coalesce(sum(amount) filter (where step = 'held'), 0) as held,
        coalesce(
            sum(amount) filter (where step = 'restated' and not starts_with(class, 'unexplained')),
            0
        ) as restated,
        -- What has no class or no reason, each in its own direction.
        coalesce(
            sum(amount) filter (
                where step = 'unclassified' or starts_with(class, 'unexplained')
            ), 0
        ) as adrift,
        coalesce(
            sum(abs(amount)) filter (
                where step = 'unclassified' or starts_with(class, 'unexplained')
            ), 0
        ) as adrift_gross,
        coalesce(sum(amount) filter (where step = 'expected'), 0) as expected,
        coalesce(sum(amount) filter (where step = 'missing'), 0) as missing,
        coalesce(sum(amount) filter (where step = 'differences'), 0) as differences,
        coalesce(sum(amount) filter (where step = 'extras'), 0) as extras,
        coalesce(sum(amount) filter (where step = 'actual'), 0) as actual,
        coalesce(sum(amount) filter (where step = 'foreign'), 0) as foreign_amount,
        coalesce(sum(objects) filter (where step = 'unclassified'), 0) as unclassified_objects,
        coalesce(sum(objects) filter (where step = 'shop'), 0) as shop_objects,
        coalesce(sum(objects) filter (where step = 'actual'), 0) as books_objects
    from movements
    group by all
),

final as (
    select
        month,
        currency,
        measure,
        cast(shop as decimal(18, 2)) as shop,
        cast(before_go_live as decimal(18, 2)) as before_go_live,
        cast(not_postable as decimal(18, 2)) as not_postable,
        cast(held as decimal(18, 2)) as held,
        cast(restated as decimal(18, 2)) as restated,
        cast(expected as decimal(18, 2)) as expected,
        cast(missing as decimal(18, 2)) as missing,
        cast(differences as decimal(18, 2)) as differences,
        cast(extras as decimal(18, 2)) as extras,
        cast(actual as decimal(18, 2)) as actual,
        cast(foreign_amount as decimal(18, 2)) as foreign_amount,
        cast(shop - actual as decimal(18, 2)) as difference,
        cast(
            before_go_live + not_postable + held + restated + missing - differences - extras
            as decimal(18, 2)
        ) as explained,
        cast(
            adrift_gross
            + abs(shop - before_go_live - not_postable - held - restated - adrift - expected)
            + abs(expected - missing + differences + extras - actual) as decimal(18, 2)
        ) as unclassified,
        cast(unclassified_objects as bigint) as unclassified_objects,
        cast(shop_objects as bigint) as shop_objects,
        cast(books_objects as bigint) as books_objects
    from summed
)

select * from final
