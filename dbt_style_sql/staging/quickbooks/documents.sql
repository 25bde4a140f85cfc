-- Every transaction that QuickBooks holds, of all kinds in one form, with the key of the source it was
-- posted from read from the machine line of its note. Grain: one row per entity and id.
with

preferences as (
    select max(home_currency) as home_currency from staging.quickbooks_preferences
),

sales_receipts as (
    select
        entity,
        id,
        sync_token,
        txn_date,
        currency,
        exchange_rate,
        doc_number,
        due_date,
        total,
        total_tax,
        home_total,
        balance,
        null::decimal(20, 6) as unapplied,
        customer_id,
        customer_name,
        payment_method_id,
        deposit_to_id,
        deposit_to_name,
        null::varchar as from_account_id,
        null::varchar as from_account_name,
        department_id,
        global_tax,
        private_note,
        deleted,
        created_at,
        updated_at
    from staging.quickbooks_sales_receipts
),

invoices as (
    select
        entity,
        id,
        sync_token,
        txn_date,
        currency,
        exchange_rate,
        doc_number,
        due_date,
        total,
        total_tax,
        home_total,
        balance,
        null::decimal(20, 6) as unapplied,
        customer_id,
        customer_name,
        payment_method_id,
        deposit_to_id,
        deposit_to_name,
        null::varchar as from_account_id,
        null::varchar as from_account_name,
        department_id,
        global_tax,
        private_note,
        deleted,
        created_at,
        updated_at
    from staging.quickbooks_invoices
),

payments as (
    select
        entity,
        id,
        sync_token,
        txn_date,
        currency,
        exchange_rate,
        coalesce(payment_ref_num, doc_number) as doc_number,
        null::date as due_date,
        total,
        null::decimal(20, 6) as total_tax,
        null::decimal(20, 6) as home_total,
        null::decimal(20, 6) as balance,
        unapplied,
        customer_id,
        customer_name,
        payment_method_id,
        deposit_to_id,
        deposit_to_name,
        null::varchar as from_account_id,
        null::varchar as from_account_name,
        department_id,
        null::varchar as global_tax,
        private_note,
        deleted,
        created_at,
        updated_at
    from staging.quickbooks_payments
),

refund_receipts as (
    select
        entity,
        id,
        sync_token,
        txn_date,
        currency,
        exchange_rate,
        doc_number,
        due_date,
        total,
        total_tax,
        home_total,
        balance,
        null::decimal(20, 6) as unapplied,
        customer_id,
        customer_name,
        payment_method_id,
        deposit_to_id,
        deposit_to_name,
        null::varchar as from_account_id,
        null::varchar as from_account_name,
        department_id,
        global_tax,
        private_note,
        deleted,
        created_at,
        updated_at
    from staging.quickbooks_refund_receipts
),

credit_memos as (
    select
        entity,
        id,
        sync_token,
        txn_date,
        currency,
        exchange_rate,
        doc_number,
        due_date,
        total,
        total_tax,
        home_total,
        balance,
        remaining_credit as unapplied,
        customer_id,
        customer_name,
        payment_method_id,
        deposit_to_id,
        deposit_to_name,
        null::varchar as from_account_id,
        null::varchar as from_account_name,
        department_id,
        global_tax,
        private_note,
        deleted,
        created_at,
        updated_at
    from staging.quickbooks_credit_memos
),

deposits as (
    select
        entity,
        id,
        sync_token,
        txn_date,
        currency,
        exchange_rate,
        doc_number,
        null::date as due_date,
        total,
        null::decimal(20, 6) as total_tax,
        home_total,
        null::decimal(20, 6) as balance,
        null::decimal(20, 6) as unapplied,
        null::varchar as customer_id,
        null::varchar as customer_name,
        null::varchar as payment_method_id,
        deposit_to_id,
        deposit_to_name,
        null::varchar as from_account_id,
        null::varchar as from_account_name,
        department_id,
        global_tax,
        private_note,
        deleted,
        created_at,
        updated_at
    from staging.quickbooks_deposits
),

transfers as (
    select
        entity,
        id,
        sync_token,
        txn_date,
        currency,
        exchange_rate,
        doc_number,
        null::date as due_date,
        amount as total,
        null::decimal(20, 6) as total_tax,
        null::decimal(20, 6) as home_total,
        null::decimal(20, 6) as balance,
        null::decimal(20, 6) as unapplied,
        null::varchar as customer_id,
        null::varchar as customer_name,
        null::varchar as payment_method_id,
        to_account_id as deposit_to_id,
        to_account_name as deposit_to_name,
        from_account_id,
        from_account_name,
        department_id,
        null::varchar as global_tax,
        private_note,
        deleted,
        created_at,
        updated_at
    from staging.quickbooks_transfers
),

purchases as (
    select
        entity,
        id,
        sync_token,
        txn_date,
        currency,
        exchange_rate,
        doc_number,
        null::date as due_date,
        total,
        total_tax,
        null::decimal(20, 6) as home_total,
        null::decimal(20, 6) as balance,
        null::decimal(20, 6) as unapplied,
        entity_id as customer_id,
        entity_name as customer_name,
        payment_method_id,
        null::varchar as deposit_to_id,
        null::varchar as deposit_to_name,
        account_id as from_account_id,
        account_name as from_account_name,
        department_id,
        global_tax,
        private_note,
        deleted,
        created_at,
        updated_at
    from staging.quickbooks_purchases
),

journal_entries as (
    select
        entity,
        id,
        sync_token,
        txn_date,
        currency,
        exchange_rate,
        doc_number,
        null::date as due_date,
        total,
        null::decimal(20, 6) as total_tax,
        home_total,
        null::decimal(20, 6) as balance,
        null::decimal(20, 6) as unapplied,
        null::varchar as customer_id,
        null::varchar as customer_name,
        null::varchar as payment_method_id,
        null::varchar as deposit_to_id,
        null::varchar as deposit_to_name,
        null::varchar as from_account_id,
        null::varchar as from_account_name,
        department_id,
        global_tax,
        private_note,
        deleted,
        created_at,
        updated_at
    from staging.quickbooks_journal_entries
),

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
    select * from journal_entries
),

noted as (
    select
        *,
        regexp_extract(private_note, 'ps:\{([^}]*)\}', 1) as machine_line
    from documents
),

parsed as (
    select
        *,
        regexp_extract(machine_line, '(?:^|,)i:([^,]*)', 1) as source_installation,
        regexp_extract(machine_line, '(?:^|,)role:([^,]*)', 1) as source_role,
        regexp_extract(machine_line, '(?:^|,)id:([^,]*)', 1) as source_id,
        regexp_extract(machine_line, '(?:^|,)rev:([^,]*)', 1) as source_revision,
        try_cast(regexp_extract(machine_line, '(?:^|,)o:([^,]*)', 1) as bigint) as source_order_id,
        regexp_extract(machine_line, '(?:^|,)h:([^,]*)', 1) as source_hash
    from noted
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
        case
            when machine_line <> ''
                then concat_ws(
                    '|',
                    source_installation,
                    coalesce(nullif(source_role, ''), 'sale'),
                    coalesce(nullif(source_id, ''), source_order_id::varchar),
                    coalesce(nullif(source_revision, ''), '0')
                )
        end as source_key,
        nullif(source_hash, '') as source_hash,
        source_order_id,
        coalesce(starts_with(private_note, 'Voided'), false) as voided,
        deleted,
        created_at,
        updated_at
    from parsed
    cross join preferences
)

select * from final
