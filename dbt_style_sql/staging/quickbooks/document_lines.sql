-- Every line of every transaction that QuickBooks holds, of all kinds in one form.
-- Grain: one row per entity, id and position of the line.
with

documents as (
    select entity, id, line from staging.quickbooks_sales_receipts
    union all
    select entity, id, line from staging.quickbooks_invoices
    union all
    select entity, id, line from staging.quickbooks_payments
    union all
    select entity, id, line from staging.quickbooks_refund_receipts
    union all
    select entity, id, line from staging.quickbooks_credit_memos
    union all
    select entity, id, line from staging.quickbooks_deposits
    union all
    select entity, id, line from staging.quickbooks_purchases
    union all
    select entity, id, line from staging.quickbooks_journal_entries
),

parsed as (
    select
        entity,
        id,
        from_json(
            line,
            '[{
                "Id": "VARCHAR",
                "Amount": "DECIMAL(20,6)",
                "Description": "VARCHAR",
                "DetailType": "VARCHAR",
                "LinkedTxn": [{"TxnId": "VARCHAR", "TxnType": "VARCHAR"}],
                "SalesItemLineDetail": {
                    "ItemRef": {"value": "VARCHAR", "name": "VARCHAR"},
                    "TaxCodeRef": {"value": "VARCHAR"},
                    "Qty": "DECIMAL(20,6)",
                    "UnitPrice": "DECIMAL(20,7)",
                    "TaxInclusiveAmt": "DECIMAL(20,6)"
                },
                "DiscountLineDetail": {"DiscountAccountRef": {"value": "VARCHAR", "name": "VARCHAR"}},
                "AccountBasedExpenseLineDetail": {
                    "AccountRef": {"value": "VARCHAR", "name": "VARCHAR"},
                    "TaxCodeRef": {"value": "VARCHAR"}
                },
                "DepositLineDetail": {"AccountRef": {"value": "VARCHAR", "name": "VARCHAR"}},
                "JournalEntryLineDetail": {
                    "PostingType": "VARCHAR",
                    "AccountRef": {"value": "VARCHAR", "name": "VARCHAR"},
                    "TaxCodeRef": {"value": "VARCHAR"}
                }
            }]'
        ) as lines
    from documents
),

unnested as (
    select
        entity,
        id,
        generate_subscripts(lines, 1) as line_no,
        unnest(lines) as line
    from parsed
),

final as (
    select
        entity,
        id,
        line_no,
        line.Id as line_id,
        coalesce(line.DetailType, 'LinkedTxn') as detail_type,
        line.Amount as amount,
        line.SalesItemLineDetail.ItemRef.value as item_id,
        line.SalesItemLineDetail.ItemRef.name as item_name,
        coalesce(
            line.SalesItemLineDetail.TaxCodeRef.value,
            line.AccountBasedExpenseLineDetail.TaxCodeRef.value,
            line.JournalEntryLineDetail.TaxCodeRef.value
        ) as tax_code_id,
        line.SalesItemLineDetail.Qty as quantity,
        line.SalesItemLineDetail.UnitPrice as unit_price,
        line.SalesItemLineDetail.TaxInclusiveAmt as tax_inclusive_amount,
        line.Description as description,
        coalesce(
            line.AccountBasedExpenseLineDetail.AccountRef.value,
            line.DepositLineDetail.AccountRef.value,
            line.JournalEntryLineDetail.AccountRef.value,
            line.DiscountLineDetail.DiscountAccountRef.value
        ) as account_id,
        coalesce(
            line.AccountBasedExpenseLineDetail.AccountRef.name,
            line.DepositLineDetail.AccountRef.name,
            line.JournalEntryLineDetail.AccountRef.name,
            line.DiscountLineDetail.DiscountAccountRef.name
        ) as account_name,
        line.JournalEntryLineDetail.PostingType as posting_type,
        line.LinkedTxn[1].TxnType as linked_type,
        line.LinkedTxn[1].TxnId as linked_id
    from unnested
)

select * from final
