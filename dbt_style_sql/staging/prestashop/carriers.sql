-- The newest state of the carriers; editing one makes a new id of the same id_reference; deleted ones left out.
-- Grain: one row per carrier.
with

source as (
    select * from raw.prestashop_carriers
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_carriers'
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
    anti join superseded on source.landing_id = superseded.landing_id
    where not source.deleted_at_source
)

select * from final
