-- What an accountant may want to know and need not settle: the books hold what the shop meant.
-- Grain: one row per finding of the ledger that is no exception.
with

ledger_findings as (
    select * from ledger.findings
),

sources as (
    select
        source_type,
        source_id,
        reference,
        id_shop,
        status,
        event_at
    from recon.shop_objects
),

codes as (
    select * from recon.codes
),

final as (
    select
        ledger_findings.code,
        codes.severity,
        codes.owner,
        ledger_findings.source_type,
        ledger_findings.source_id,
        ledger_findings.order_id,
        coalesce(sources.reference, '') as reference,
        coalesce(sources.id_shop, 0) as id_shop,
        ledger_findings.document_key,
        cast(coalesce(ledger_findings.amount, 0) as decimal(18, 2)) as amount,
        ledger_findings.currency,
        cast(sources.event_at as date) as event_date,
        coalesce(nullif(ledger_findings.message, ''), codes.meaning) as message
    from ledger_findings
    inner join codes using (code)
    left join sources
        on
            ledger_findings.source_type = sources.source_type
            and ledger_findings.source_id = sources.source_id
    where
        coalesce(sources.status, '') <> 'held'
        and (codes.severity <> 'B' or ledger_findings.code = 'PAY_UNDER')
)

select * from final
