-- The newest state of the taxes; a tax whose rate was changed lives on as deleted; deleted ones left out.
-- Grain: one row per tax.
with

source as (
    select * from raw.prestashop_taxes
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
        source.rate,
        source.name,
        source.active,
        source.deleted,
        source.fetched_at,
        source.hash
    from source
    semi join newest on source.landing_id = newest.landing_id
    where not source.deleted_at_source
)

select * from final
