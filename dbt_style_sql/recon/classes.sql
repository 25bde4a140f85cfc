-- Every object of either side counted and summed by its class.
-- Grain: one row per side, kind of object, shop, month, currency and class.
with

objects as (
    select * from recon.objects
),

final as (
    select
        side,
        object_type,
        id_shop,
        month,
        currency,
        class,
        class_group,
        count(*) as objects,
        cast(sum(amount) as decimal(18, 2)) as amount,
        cast(sum(tax) as decimal(18, 2)) as tax
    from objects
    group by all
)

select * from final
