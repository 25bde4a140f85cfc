-- The newest state of every customer card. Grain: one row per customer card.
with

source as (
    select * from raw.quickbooks_customers
),

newest as (
    select
        max(landing_id) as landing_id
    from source
    group by id
),

final as (
    select
        source.connection,
        source.id,
        source.sync_token,
        source.created_at,
        source.updated_at,
        source.display_name,
        source.active,
        source.given_name,
        source.family_name,
        source.company_name,
        source.email,
        source.phone,
        source.currency,
        source.balance,
        source.country,
        source.fully_qualified_name,
        source.parent_id,
        source.job,
        source.taxable,
        source.vat_number,
        source.notes,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
