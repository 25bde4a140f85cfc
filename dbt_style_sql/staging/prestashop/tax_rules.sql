-- The newest state of the tax rules: which tax a group of products bears where; deleted ones left out.
-- Grain: one row per tax rule.
with

source as (
    select * from raw.prestashop_tax_rules
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_tax_rules'
),

final as (
    select
        source.connection,
        source.id,
        source.id_tax_rules_group,
        source.id_country,
        source.id_state,
        source.id_tax,
        source.zipcode_from,
        source.zipcode_to,
        source.behavior,
        source.description,
        source.fetched_at,
        source.hash
    from source
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
