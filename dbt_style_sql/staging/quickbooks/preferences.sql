-- The newest state of the preferences. Grain: one row (a company has one).
with

source as (
    select * from raw.quickbooks_preferences
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_preferences'
),

final as (
    select
        source.connection,
        source.id,
        source.sync_token,
        source.created_at,
        source.updated_at,
        source.home_currency,
        source.multi_currency,
        source.using_sales_tax,
        source.tax_prefs,
        source.partner_tax_enabled,
        source.custom_txn_numbers,
        source.allow_discount,
        source.allow_shipping,
        source.auto_apply_credit,
        source.book_close_date,
        source.class_tracking,
        source.class_tracking_per_line,
        source.track_departments,
        source.use_account_numbers,
        source.first_month_of_year,
        source.quantity_on_hand,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
