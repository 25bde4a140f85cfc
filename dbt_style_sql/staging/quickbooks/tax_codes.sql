-- The newest state of every tax code. Grain: one row per tax code.
with

source as (
    select * from raw.quickbooks_tax_codes
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_tax_codes'
),

final as (
    select
        source.connection,
        source.id,
        source.sync_token,
        source.created_at,
        source.updated_at,
        source.name,
        source.active,
        source.description,
        source.taxable,
        source.tax_group,
        source.hidden,
        source.sales_tax_rates,
        source.purchase_tax_rates,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
