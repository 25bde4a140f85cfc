-- The tax of each rate in every transaction that QuickBooks holds.
-- Grain: one row per entity, id and position of the tax line.
with

documents as (
    select entity, id, tax_lines from staging.quickbooks_sales_receipts
    union all
    select entity, id, tax_lines from staging.quickbooks_invoices
    union all
    select entity, id, tax_lines from staging.quickbooks_refund_receipts
    union all
    select entity, id, tax_lines from staging.quickbooks_credit_memos
    union all
    select entity, id, tax_lines from staging.quickbooks_purchases
),

unnested as (
    select
        entity,
        id,
        generate_subscripts(tax_lines, 1) as line_no,
        unnest(tax_lines) as line
    from documents
),

final as (
    select
        entity,
        id,
        line_no,
        line.*
    from unnested
)

select * from final
