-- From the shop's money to QuickBooks' money in steps that must meet to the cent, over all months.
-- Grain: one row per currency and measure (sales, refunds, payments, tax).
with

months as (
    select * from recon.tie_out_by_month
),

final as (
    select
        currency,
        measure,
        cast(sum(shop) as decimal(18, 2)) as shop,
        cast(sum(before_go_live) as decimal(18, 2)) as before_go_live,
        cast(sum(not_postable) as decimal(18, 2)) as not_postable,
        cast(sum(held) as decimal(18, 2)) as held,
        cast(sum(restated) as decimal(18, 2)) as restated,
        cast(sum(expected) as decimal(18, 2)) as expected,
        cast(sum(missing) as decimal(18, 2)) as missing,
        cast(sum(differences) as decimal(18, 2)) as differences,
        cast(sum(extras) as decimal(18, 2)) as extras,
        cast(sum(actual) as decimal(18, 2)) as actual,
        cast(sum(foreign_amount) as decimal(18, 2)) as foreign_amount,
        cast(sum(difference) as decimal(18, 2)) as difference,
        cast(sum(explained) as decimal(18, 2)) as explained,
        cast(sum(unclassified) as decimal(18, 2)) as unclassified,
        cast(sum(unclassified_objects) as bigint) as unclassified_objects,
        cast(sum(shop_objects) as bigint) as shop_objects,
        cast(sum(books_objects) as bigint) as books_objects
    from months
    group by all
)

select * from final
