-- The newest state of every account. Grain: one row per account.
with

source as (
    select * from raw.quickbooks_accounts
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.quickbooks_accounts'
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
        source.acct_num,
        source.classification,
        source.account_type,
        source.account_sub_type,
        source.currency,
        source.current_balance,
        source.sub_account,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
