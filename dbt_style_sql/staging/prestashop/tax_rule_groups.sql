-- The newest state of the groups of tax rules; deleted ones left out.
-- Grain: one row per tax rule group.
with

source as (
    select * from raw.prestashop_tax_rule_groups
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_tax_rule_groups'
),

final as (
    select
        source.connection,
        source.id,
        source.name,
        source.active,
        source.deleted,
        source.date_add,
        source.date_upd,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
