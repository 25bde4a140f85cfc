-- The newest state of the customers; a guest has one row per order; deleted ones left out.
-- Grain: one row per customer.
with

source as (
    select * from raw.prestashop_customers
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_customers'
),

final as (
    select
        source.connection,
        source.id,
        source.id_shop,
        source.id_shop_group,
        source.id_lang,
        source.id_default_group,
        source.firstname,
        source.lastname,
        source.email,
        source.company,
        source.siret,
        source.ape,
        source.website,
        source.is_guest,
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
