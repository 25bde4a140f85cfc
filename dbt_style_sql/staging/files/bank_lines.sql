-- The newest state of every booking of the bank statements that were delivered.
-- Grain: one row per booking.
with

source as (
    select * from raw.files_bank_lines
),

newest as (
    select * from source
    qualify row_number() over (partition by connection, id order by landing_id desc) = 1
),

final as (
    select
        connection,
        id,
        account,
        format,
        booked_on,
        cast(amount as decimal(18, 2)) as amount,
        currency,
        counterparty,
        reference,
        description,
        file,
        line_no,
        fetched_at
    from newest
    where not deleted_at_source
)

select * from final
