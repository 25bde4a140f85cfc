-- The newest state of the tax rules: which tax a group of products bears where; deleted ones left out.
-- Grain: one row per tax rule.
with

source as (
    select * from raw.prestashop_tax_rules
),

newest as (
    select max(landing_id) as landing_id
    from source
    group by id
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
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
