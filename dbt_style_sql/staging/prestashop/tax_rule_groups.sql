-- The newest state of the groups of tax rules; deleted ones left out.
-- Grain: one row per tax rule group.
with

source as (
    select * from raw.prestashop_tax_rule_groups
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
        source.name,
        source.active,
        source.deleted,
        source.date_add,
        source.date_upd,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
