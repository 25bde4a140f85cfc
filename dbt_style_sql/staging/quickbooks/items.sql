-- The newest state of every item. Grain: one row per item.
with

source as (
    select * from raw.quickbooks_items
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_items'
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
        source.fully_qualified_name,
        source.parent_id,
        source.sku,
        source.type,
        source.description,
        source.unit_price,
        source.purchase_cost,
        source.taxable,
        source.track_qty_on_hand,
        source.qty_on_hand,
        source.inv_start_date,
        source.income_account_id,
        source.income_account_name,
        source.expense_account_id,
        source.asset_account_id,
        source.sales_tax_code_id,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
