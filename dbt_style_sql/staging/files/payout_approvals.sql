-- The payouts that a person approved, the first word of each.
-- Grain: one row per payout.
with

source as (
    select * from raw.files_payout_approvals
),

final as (
    select
        connection,
        id,
        method,
        currency,
        payout_id,
        approved_by,
        approved_at,
        documents
    from source
    qualify row_number() over (partition by connection, id order by landing_id) = 1
)

select * from final
