-- The newest state of the addresses; deleted ones left out.
-- Grain: one row per address.
with

source as (
    select * from raw.prestashop_addresses
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
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
