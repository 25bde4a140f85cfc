-- Every transaction that QuickBooks holds, of all kinds in one form, with the key of the source it was
-- posted from read from the machine line of its note. Grain: one row per entity and id.
with

preferences as (
    select max(home_currency) as home_currency from staging.quickbooks_preferences
),

sales_receipts as (
    select * from staging.quickbooks_sales_receipts
),

invoices as (
    select * from staging.quickbooks_invoices
),

payments as (
    select * replace (coalesce(payment_ref_num, doc_number) as doc_number)
    from staging.quickbooks_payments
),

refund_receipts as (
    select * from staging.quickbooks_refund_receipts
),

credit_memos as (
    select
        *,
        remaining_credit as unapplied
    from staging.quickbooks_credit_memos
),

deposits as (
    select * from staging.quickbooks_deposits
),

transfers as (
    select
        *,
        amount as total,
        to_account_id as deposit_to_id,
        to_account_name as deposit_to_name
    from staging.quickbooks_transfers
),

purchases as (
    select
        *,
        entity_id as customer_id,
        entity_name as customer_name,
        account_id as from_account_id,
        account_name as from_account_name
    from staging.quickbooks_purchases
),

bills as (
    select
        *,
        vendor_id as customer_id,
        vendor_name as customer_name
    from staging.quickbooks_bills
),

vendor_credits as (
    select
        *,
        vendor_id as customer_id,
        vendor_name as customer_name
    from staging.quickbooks_vendor_credits
),

bill_payments as (
    select
        *,
        vendor_id as customer_id,
        vendor_name as customer_name,
        coalesce(bank_account_id, card_account_id) as from_account_id
    from staging.quickbooks_bill_payments
),

-- A journal tells no total: it is the sum of its debits.
journal_entries as (
    select
        * replace (
            coalesce(
                nullif(total, 0),
                cast(
                    list_sum(
                        list_transform(
                            lines,
                            -- (Not called line: in a warehouse of 0.1 that is a column.)
                            lambda one: if(one.posting_type = 'Debit', coalesce(one.amount, 0), 0)
                        )
                    ) as decimal(20, 6)
                )
            ) as total
        )
    from staging.quickbooks_journal_entries
),

-- What a kind lacks is null.
documents as (
    select * from sales_receipts
    union all by name
    select * from invoices
    union all by name
    select * from payments
    union all by name
    select * from refund_receipts
    union all by name
    select * from credit_memos
    union all by name
    select * from deposits
    union all by name
    select * from transfers
    union all by name
    select * from purchases
    union all by name
    select * from bills
    union all by name
    select * from vendor_credits
    union all by name
    select * from bill_payments
    union all by name
    select * from journal_entries
),

final as (
    select
        entity,
        id,
        sync_token,
        doc_number,
        txn_date,
        due_date,
        coalesce(currency, preferences.home_currency) as currency,
        exchange_rate,
        total,
        total_tax,
        home_total,
        balance,
        unapplied,
        customer_id,
        customer_name,
        payment_method_id,
        deposit_to_id,
        deposit_to_name,
        from_account_id,
        from_account_name,
        department_id,
        global_tax,
        private_note,
        origin.key as source_key,
        origin.hash as source_hash,
        origin.order_id as source_order_id,
        coalesce(starts_with(private_note, 'Voided'), false) as voided,
        deleted,
        created_at,
        updated_at
    from documents
    cross join preferences
)

select * from final
