-- Every line of every transaction that QuickBooks holds, of all kinds in one form.
-- Grain: one row per entity, id and position of the line.
with

documents as (
    select entity, id, lines from staging.quickbooks_sales_receipts
    union all
    select entity, id, lines from staging.quickbooks_invoices
    union all
    select entity, id, lines from staging.quickbooks_payments
    union all
    select entity, id, lines from staging.quickbooks_refund_receipts
    union all
    select entity, id, lines from staging.quickbooks_credit_memos
    union all
    select entity, id, lines from staging.quickbooks_deposits
    union all
    select entity, id, lines from staging.quickbooks_purchases
    union all
    select entity, id, lines from staging.quickbooks_bills
    union all
    select entity, id, lines from staging.quickbooks_vendor_credits
    union all
    select entity, id, lines from staging.quickbooks_journal_entries
),

unnested as (
    select
        entity,
        id,
        generate_subscripts(lines, 1) as line_no,
        unnest(lines) as line
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
