-- The newest state of the addresses; deleted ones left out.
-- Grain: one row per address.
with

source as (
    select * from raw.prestashop_addresses
),

superseded as (
    select landing_id from raw.superseded
    where source = 'raw.prestashop_addresses'
),

final as (
    select
        source.connection,
        source.id,
        source.id_customer,
        source.id_country,
        source.id_state,
        source.alias,
        source.company,
        source.vat_number,
        source.firstname,
        source.lastname,
        source.address1,
        source.address2,
        source.postcode,
        source.city,
        source.phone,
        source.phone_mobile,
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
