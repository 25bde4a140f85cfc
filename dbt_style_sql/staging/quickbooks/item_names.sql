-- Every name that an item bears or bore: whoever renames one or puts it away leaves our documents as they were.
-- Grain: one row per name.
with

source as (
    select * from raw.quickbooks_items
),

final as (
    select
        name,
        arg_max(id, landing_id) as id
    from source
    where name is not null
    group by name
)

select * from final
