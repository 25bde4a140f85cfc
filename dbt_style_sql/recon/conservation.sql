-- Every object in exactly one class: counts and sums of the classes against those of the rows.
-- Grain: one row per side and object type.
with

shop_rows as (
    select
        'shop' as side,
        source_type as object_type,
        count(*) as objects,
        sum(shop_amount) as amount
    from recon.shop_objects
    group by all
),

books_rows as (
    select
        'books' as side,
        entity as object_type,
        count(*) as objects,
        sum(if(live, total, 0)) as amount
    from recon.books_claims
    where not deleted
    group by all
),

rows_held as (
    select * from shop_rows
    union all by name
    select * from books_rows
),

classed as (
    select
        side,
        object_type,
        cast(sum(objects) as bigint) as classed_objects,
        sum(amount) as classed_amount,
        cast(
            coalesce(sum(objects) filter (where class is null or class = 'unclassified'), 0)
            as bigint
        ) as unclassified_objects
    from recon.classes
    group by all
),

final as (
    select
        side,
        object_type,
        coalesce(rows_held.objects, 0) as objects,
        coalesce(classed.classed_objects, 0) as classed_objects,
        cast(coalesce(rows_held.amount, 0) as decimal(18, 2)) as amount,
        cast(coalesce(classed.classed_amount, 0) as decimal(18, 2)) as classed_amount,
        coalesce(classed.unclassified_objects, 0) as unclassified_objects,
        cast(
            coalesce(rows_held.amount, 0) - coalesce(classed.classed_amount, 0) as decimal(18, 2)
        ) as remainder,
        coalesce(rows_held.objects, 0) = coalesce(classed.classed_objects, 0)
        and coalesce(rows_held.amount, 0) = coalesce(classed.classed_amount, 0)
        and coalesce(classed.unclassified_objects, 0) = 0 as holds
    from rows_held
    full outer join classed using (side, object_type)
)

select * from final
