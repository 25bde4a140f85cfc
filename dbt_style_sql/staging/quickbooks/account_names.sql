-- Every full name that an account bears or bore: whoever renames one or puts it away leaves our documents as they were.
-- Grain: one row per full name.
with

source as (
    select * from raw.quickbooks_accounts
),

final as (
    select
        fully_qualified_name,
        arg_max(id, landing_id) as id
    from source
    where fully_qualified_name is not null
    group by fully_qualified_name
)

select * from final
