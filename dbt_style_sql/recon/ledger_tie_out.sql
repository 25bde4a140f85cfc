-- Our documents against QuickBooks' own general ledger, profit and loss and trial balance.
-- Grain: one row per landed month and account that our documents stand on, in home currency.
with

accounts as (
    select
        id,
        fully_qualified_name as account,
        account_type,
        account_sub_type,
        classification,
        if(classification in ('Asset', 'Expense'), 1, -1) as debit_sign
    from staging.quickbooks_accounts
),

periods as (
    select distinct period as month
    from control.general_ledger
),

claims as (
    select
        entity,
        id
    from recon.books_claims
    where document_key is not null or stem is not null
),

ledger_lines as (
    select
        period as month,
        account_id,
        txn_id as id,
        case type
            when 'Sales Receipt' then 'SalesReceipt'
            when 'Refund' then 'RefundReceipt'
            when 'Credit Memo' then 'CreditMemo'
            when 'Journal Entry' then 'JournalEntry'
            else type
        end as entity,
        amount
    from control.general_ledger
),

booked as (
    select
        ledger_lines.month,
        ledger_lines.account_id,
        sum(if(claims.id is not null, ledger_lines.amount, 0)) as ours,
        sum(if(claims.id is null, ledger_lines.amount, 0)) as others,
        sum(ledger_lines.amount) as total
    from ledger_lines
    left join claims using (entity, id)
    group by all
),

documents as (
    select
        pairs.key,
        pairs.type,
        pairs.total,
        cast(date_trunc('month', pairs.txn_date) as date) as month,
        if(pairs.measure = 'refunds', -1, 1) as sign,
        coalesce(ledger_documents.exchange_rate, 1) as rate,
        coalesce(ledger_documents.home_total, pairs.total) as home_total,
        ledger_documents.deposit_to
    from recon.pairs as pairs
    inner join ledger.documents as ledger_documents using (key)
    semi join periods on cast(date_trunc('month', pairs.txn_date) as date) = periods.month
    where not pairs.held and pairs.measure <> 'other'
),

item_ids as (
    select
        key,
        max(qbo_id) as id
    from control.identities
    where kind = 'Item'
    group by all
),

item_names as (
    select
        name,
        min(id) as id
    from staging.quickbooks_items
    group by all
),

line_amounts as (
    select
        documents.month,
        coalesce(item_ids.id, known.id, named.id) as item_id,
        sum(round(documents.sign * lines.amount * documents.rate, 2)) as credit
    from ledger.lines as lines
    inner join documents on lines.document_key = documents.key
    left join item_ids on lines.item = item_ids.key
    left join ledger.items as items on lines.item = items.key
    left join item_names as known on items.name = known.name
    left join item_names as named on lines.item = named.name
    group by all
),

-- Credits of each document in the direction of the accounts that they stand on.
expected_rows as (
    select
        line_amounts.month,
        items.income_account_id as account_id,
        -accounts.debit_sign * line_amounts.credit as amount
    from line_amounts
    inner join staging.quickbooks_items as items on line_amounts.item_id = items.id
    inner join accounts on items.income_account_id = accounts.id
    union all by name
    select
        documents.month,
        accounts.id as account_id,
        documents.sign * documents.home_total as amount
    from documents
    inner join accounts on documents.deposit_to = accounts.account
    where documents.type in ('SalesReceipt', 'RefundReceipt', 'Payment')
),

expected as (
    select
        month,
        account_id,
        sum(amount) as amount
    from expected_rows
    group by all
),

receivable as (
    select
        month,
        sum(if(type = 'Payment', -home_total, sign * home_total)) as amount
    from documents
    where type in ('Invoice', 'CreditMemo', 'Payment')
    group by all
),

tax as (
    select
        documents.month,
        sum(round(documents.sign * taxes.amount * documents.rate, 2)) as amount
    from ledger.taxes as taxes
    inner join documents on taxes.document_key = documents.key
    group by all
),

reported as (
    select
        period as month,
        account_id,
        sum(if(report = 'ProfitAndLoss', amount, null)) as profit_and_loss,
        sum(if(report = 'TrialBalance', amount, null)) as trial_balance
    from control.account_totals
    group by all
),

grouped as (
    select
        booked.month,
        booked.account_id,
        case
            when accounts.account_type = 'Accounts Receivable' then 'Accounts receivable'
            when accounts.account_sub_type in ('GlobalTaxPayable', 'SalesTaxPayable') then 'Tax'
            else accounts.account
        end as account,
        booked.ours,
        booked.others,
        booked.total,
        reported.profit_and_loss,
        reported.trial_balance
    from booked
    inner join accounts on booked.account_id = accounts.id
    left join reported using (month, account_id)
),

by_account as (
    select
        month,
        account,
        sum(ours) as ours,
        sum(others) as others,
        sum(total) as total,
        sum(profit_and_loss) as profit_and_loss,
        sum(trial_balance) as trial_balance
    from grouped
    group by all
),

wanted as (
    select
        expected.month,
        accounts.account,
        expected.amount
    from expected
    inner join accounts on expected.account_id = accounts.id
    union all by name
    select
        month,
        'Accounts receivable' as account,
        amount
    from receivable
    union all by name
    select
        month,
        'Tax' as account,
        amount
    from tax
),

final as (
    select
        month,
        account,
        cast(coalesce(wanted.amount, 0) as decimal(18, 2)) as expected,
        cast(coalesce(by_account.ours, 0) as decimal(18, 2)) as ours,
        cast(coalesce(by_account.others, 0) as decimal(18, 2)) as others,
        cast(coalesce(by_account.total, 0) as decimal(18, 2)) as ledger_total,
        cast(by_account.profit_and_loss as decimal(18, 2)) as profit_and_loss,
        cast(by_account.trial_balance as decimal(18, 2)) as trial_balance,
        cast(coalesce(by_account.ours, 0) - coalesce(wanted.amount, 0) as decimal(18, 2))
            as difference,
        cast(
            coalesce(by_account.profit_and_loss - by_account.total, 0) as decimal(18, 2)
        ) as report_difference
    from wanted
    full outer join by_account using (month, account)
    where coalesce(wanted.amount, 0) <> 0 or coalesce(by_account.ours, 0) <> 0
)

select * from final
