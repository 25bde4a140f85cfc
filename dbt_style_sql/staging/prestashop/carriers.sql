-- The newest state of the carriers; editing one makes a new id of the same id_reference; deleted ones left out.
-- Grain: one row per carrier.
with

source as (
    select * from raw.prestashop_carriers
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
        source.id_reference,
        source.name,
        source.active,
        source.deleted,
        source.is_free,
        source.is_module,
        source.external_module_name,
        source.id_tax_rules_group,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
