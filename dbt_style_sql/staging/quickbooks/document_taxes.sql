-- The tax of each rate in every transaction that QuickBooks holds.
-- Grain: one row per entity, id and position of the tax line.
with

documents as (
    select entity, id, tax_line from staging.quickbooks_sales_receipts
    union all
    select entity, id, tax_line from staging.quickbooks_invoices
    union all
    select entity, id, tax_line from staging.quickbooks_refund_receipts
    union all
    select entity, id, tax_line from staging.quickbooks_credit_memos
    union all
    select entity, id, tax_line from staging.quickbooks_purchases
),

parsed as (
    select
        entity,
        id,
        from_json(
            tax_line,
            '[{
                "Amount": "DECIMAL(20,6)",
                "TaxLineDetail": {
                    "TaxRateRef": {"value": "VARCHAR"},
                    "TaxPercent": "DECIMAL(20,6)",
                    "NetAmountTaxable": "DECIMAL(20,6)"
                }
            }]'
        ) as tax_lines
    from documents
),

unnested as (
    select
        entity,
        id,
        generate_subscripts(tax_lines, 1) as line_no,
        unnest(tax_lines) as tax_line
    from parsed
),

final as (
    select
        entity,
        id,
        line_no,
        tax_line.TaxLineDetail.TaxRateRef.value as tax_rate_id,
        tax_line.TaxLineDetail.TaxPercent as rate,
        tax_line.TaxLineDetail.NetAmountTaxable as base,
        tax_line.Amount as amount
    from unnested
)

select * from final
