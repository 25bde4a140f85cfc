-- Every expected document beside the QuickBooks document that stands for it, and how they differ.
-- Grain: one row per expected document (ledger.documents.key).
with

documents as (
    select
        *,
        case
            when contains(key, '|adjustment|') or contains(key, '|summary|') then key
            when ends_with(key, '|0') then left(key, length(key) - 1)
            else rtrim(key, '0123456789')
        end as stem
    from ledger.documents
),

claims as not materialized (
    select * from recon.books_claims
    where document_key is not null and claim_no = 1
),

codes as (
    select * from recon.codes
),

holds as (
    select
        holds.order_id,
        coalesce(min(codes.code), 'POISON_RECORD') as hold_code
    from validation.holds as holds
    left join codes on holds.rule = codes.code
    where holds.order_id is not null
    group by all
),

live_intents as not materialized (
    select
        key,
        case
            when contains(key, '|adjustment|') or contains(key, '|summary|') then key
            when ends_with(key, '|0') then left(key, length(key) - 1)
            else rtrim(key, '0123456789')
        end as stem,
        state,
        coalesce(fault_message, '') as fault_message,
        if(
            state = 'CONFIRMED' and operation <> 'void',
            try_cast(amount as decimal(18, 2)), null
        ) as sent_total,
        try_cast(sync_token as bigint) as written_token,
        qbo_id <> '' as written,
        revision
    from control.intents
    where entity not in ('Customer', 'Item') and state not in ('DROPPED', 'SUPERSEDED')
),

-- Few documents were written more than once: then one of their keys names a revision.
repeated as (
    select stem
    from live_intents
    where stem <> key and not ends_with(key, '|0')
    group by all
),

intents as (
    select * exclude (key, revision)
    from live_intents
    anti join repeated using (stem)
    union all by name
    select
        stem,
        arg_max(state, revision * 2 + if(state = 'VOIDED', 1, 0)) as state,
        arg_max(fault_message, revision) as fault_message,
        arg_max(sent_total, revision) filter (where sent_total is not null) as sent_total,
        max(written_token) as written_token,
        bool_or(written) as written
    from live_intents
    semi join repeated using (stem)
    group by all
),

customers_known as (
    select
        key,
        max(qbo_id) as id
    from control.identities
    where kind = 'Customer'
    group by all
),

customers_named as (
    select
        display_name,
        min(id) as id
    from staging.quickbooks_customers
    group by all
),

accounts as (
    select
        fully_qualified_name,
        id
    from staging.quickbooks_account_names
),

tax_differences as (
    select
        document_key,
        max(abs(difference)) as largest
    from recon.tax_pairs
    where difference <> 0
    group by all
),

line_differences as (
    select * from recon.line_pairs
),

applied_differences as (
    select * from recon.applied_pairs
),

closed as (
    select max(book_close_date) as until from staging.quickbooks_preferences
),

-- What the shop says of the sources that each document carries. One that is held counts as held; its
-- document is what was posted for it.
carried as (
    select
        document_key,
        cast(sum(if(status = 'held', 0, shop_amount)) as decimal(18, 2)) as source_amount,
        cast(sum(if(status = 'held', 0, tax)) as decimal(18, 2)) as source_tax,
        bool_or(not in_shop) as source_gone,
        max(if(status = 'held', reason, null)) as waits_for
    from recon.shop_objects
    where source_type in ('order', 'slip') and document_key <> ''
    group by all
),

credit_lines as (
    select
        document_key,
        cast(sum(amount) as decimal(18, 2)) as credit
    from ledger.lines
    where kind = 'store_credit'
    group by all
),

-- The findings that may make a document's amounts differ from its source's, the strongest first.
findings as (
    select
        order_id,
        arg_min(code, place) as code
    from (
        select
            order_id,
            code,
            list_position([
                'SLIP_AMOUNT_CHOSEN', 'SLIP_VOUCHER_RECOMPUTED', 'TAX_STORE_CREDIT_GROSSUP',
                'TAX_AS_LINE', 'EDIT_AFTER_CLOSE', 'REFUND_ZERO', 'TAX_ROWS_STALE',
                'ROUNDING_LINE_USED', 'TAX_FORM_ADJUSTED', 'ECOTAX_LEFT_OUT',
                'SPLIT_SHIPPING_DERIVED', 'REFUND_IGNORES_DISCOUNT'
            ], code) as place
        from ledger.findings
    )
    group by all
),

-- (Not kept in memory: a million orders would not fit.)
compared as not materialized (
    select
        documents.key,
        documents.type,
        documents.role,
        documents.order_id,
        documents.id_shop,
        documents.reference,
        findings.order_id is not null as found,
        documents.txn_date,
        documents.currency,
        documents.exchange_rate,
        documents.home_total,
        documents.customer_name,
        documents.deposit_to,
        documents.total,
        documents.total_tax,
        case
            when documents.type = 'Payment' then 'payments'
            when documents.type in ('RefundReceipt', 'CreditMemo') then 'refunds'
            when documents.type in ('SalesReceipt', 'Invoice') then 'sales'
            else 'other'
        end as measure,
        holds.hold_code,
        coalesce(intents.state, '') as intent_state,
        coalesce(intents.fault_message, '') as fault_message,
        coalesce(intents.written and intents.state <> 'VOIDED', false) as written,
        claims.entity as books_entity,
        claims.id as books_id,
        coalesce(claims.live, false) as live,
        claims.txn_date as books_txn_date,
        claims.currency as books_currency,
        claims.exchange_rate as books_exchange_rate,
        claims.total as books_total,
        claims.total_tax as books_tax,
        claims.home_total as books_home_total,
        claims.customer_name as books_customer_name,
        claims.deposit_to_name as books_deposit_to,
        -- What was sent last tells whose change it is: the books moved away from it, or the shop.
        coalesce(intents.sent_total <> claims.total, false)
        or coalesce(try_cast(claims.sync_token as bigint) > intents.written_token, false)
            as books_moved,
        coalesce(
            intents.sent_total <> claims.total and intents.sent_total <> documents.total,
            false
        ) as both_moved,
        coalesce(claims.currency, documents.currency) <> documents.currency as other_currency,
        -- A receipt says that the money came, an invoice that it is owed.
        case
            when not coalesce(claims.live, false) or claims.entity = documents.type then null
            when claims.entity in ('SalesReceipt', 'RefundReceipt') then 'PAYMENT_EXTRA'
            when documents.type in ('SalesReceipt', 'RefundReceipt') then 'PAYMENT_MISSING'
        end as kind_code,
        claims.total - documents.total as gross_difference,
        claims.total_tax - documents.total_tax as tax_difference,
        coalesce(tax_differences.largest, 0) as rate_difference,
        claims.txn_date - documents.txn_date as days_apart,
        date_trunc('month', claims.txn_date) <> date_trunc('month', documents.txn_date)
            as other_period,
        case
            when documents.customer_name = '' then false
            when coalesce(customers_known.id, customers_named.id) is not null
                then coalesce(claims.customer_id, '')
                    <> coalesce(customers_known.id, customers_named.id)
            else coalesce(claims.customer_name, '') <> documents.customer_name
        end as other_customer,
        case
            when documents.deposit_to = '' or claims.entity <> documents.type then false
            when accounts.id is not null then coalesce(claims.deposit_to_id, '') <> accounts.id
            else coalesce(claims.deposit_to_name, '') <> documents.deposit_to
        end as other_deposit,
        coalesce(line_differences.net_difference, 0) as net_difference,
        coalesce(line_differences.shipping_difference, 0) as shipping_difference,
        coalesce(line_differences.discount_difference, 0) as discount_difference,
        if(
            coalesce(line_differences.net_difference, 0) = 0,
            coalesce(line_differences.moved_to_others, 0), 0
        ) as on_other_accounts,
        coalesce(line_differences.moved_to_other_codes, 0) as on_other_codes,
        coalesce(line_differences.moved_to_other_items, 0) as on_other_items,
        coalesce(applied_differences.not_applied, 0) as not_applied,
        coalesce(documents.txn_date <= (select closed.until from closed), false) as in_closed_period,
        -- A rate off by one in the sixth place is the rounding that 3.3 tolerates.
        coalesce(
            documents.exchange_rate is not null
            and claims.exchange_rate is not null
            and abs(claims.exchange_rate - documents.exchange_rate) > 0.000001,
            false
        )
        or coalesce(
            claims.total = documents.total
            and abs(claims.home_total - documents.home_total) > 0.01,
            false
        ) as other_rate,
        -- Where the total differs too, what the rate alone would make.
        coalesce(
            if(
                claims.total = documents.total,
                coalesce(
                    claims.home_total,
                    cast(claims.total * claims.exchange_rate as decimal(18, 2))
                ),
                cast(documents.total * claims.exchange_rate as decimal(18, 2))
            ) - documents.home_total,
            0
        ) as home_difference,
        case
            when documents.role = 'refund'
                then coalesce(carried.source_amount, 0)
                    - (documents.total - coalesce(credit_lines.credit, 0))
            when documents.role in ('payment', 'credit') then 0
            else coalesce(carried.source_amount, 0) - documents.total
        end as restated,
        case
            when documents.role in ('payment', 'credit') then 0
            else coalesce(carried.source_tax, 0) - documents.total_tax
        end as restated_tax,
        carried.waits_for,
        -- What has no source of its own (an advance, an adjustment) is explained by its role.
        case
            when carried.waits_for is not null then carried.waits_for
            when carried.source_gone then 'SOURCE_DELETED'
            when documents.role not in ('sale', 'refund', 'summary', 'payment', 'credit')
                then documents.role
            else findings.code
        end as restated_because
    from documents
    left join claims on documents.key = claims.document_key
    left join intents on documents.stem = intents.stem
    left join holds on documents.order_id = holds.order_id
    left join customers_known on documents.customer_key = customers_known.key
    left join customers_named on documents.customer_name = customers_named.display_name
    left join accounts on documents.deposit_to = accounts.fully_qualified_name
    left join tax_differences on documents.key = tax_differences.document_key
    left join line_differences on documents.key = line_differences.document_key
    left join applied_differences on documents.key = applied_differences.document_key
    left join carried on documents.key = carried.document_key
    left join credit_lines on documents.key = credit_lines.document_key
    left join findings on documents.order_id = findings.order_id
),

-- A receipt holds its sale and the money for it. Where the shop has changed the order since, invoice and
-- payment would be written today: the payment is then booked in the receipt, if it is as much.
covered as (
    select
        receipts.key,
        receipts.order_id
    from claims
    inner join ledger.documents as receipts on claims.document_key = receipts.key
    inner join ledger.documents as payments on receipts.order_id = payments.order_id
    anti join (select known.document_key from claims as known where known.live) as there
        on payments.key = there.document_key
    where
        claims.live
        and claims.entity in ('SalesReceipt', 'RefundReceipt')
        and claims.entity <> receipts.type
        and receipts.role = 'sale'
        and payments.type = 'Payment'
    group by receipts.key, receipts.order_id
    having sum(payments.total) = min(claims.total)
),

-- Which money differs, and who changed it.
judged as (
    select
        * replace (
            if(key in (select covered.key from covered), null, kind_code) as kind_code
        ),
        type = 'Payment' and order_id in (select covered.order_id from covered) as in_receipt,
        other_deposit or on_other_accounts <> 0 as other_account,
        case
            when not live or other_currency then null
            when
                gross_difference = 0 and tax_difference = 0 and rate_difference = 0
                and on_other_codes = 0 and not_applied = 0 and on_other_items = 0
                then null
            when intent_state = 'MISMATCH' then 'QBO_RECALCULATED'
            when both_moved then 'EDIT_CONFLICT'
            when
                not_applied <> 0
                or (
                    gross_difference = 0 and tax_difference = 0 and rate_difference = 0
                    and on_other_codes = 0
                )
                then 'QBO_EDITED'
            when books_moved and gross_difference in (0, tax_difference) then 'AMOUNT_TAX_DIFF'
            when books_moved then 'QBO_EDITED'
            when in_closed_period then 'EDIT_AFTER_CLOSE'
            when gross_difference in (0, tax_difference) then 'AMOUNT_TAX_DIFF'
            when net_difference <> 0 and net_difference = shipping_difference
                then 'AMOUNT_SHIP_DIFF'
            when net_difference <> 0 and net_difference = discount_difference
                then 'AMOUNT_DISC_DIFF'
            when tax_difference = 0 and gross_difference <> 0 then 'AMOUNT_NET_DIFF'
            else 'AMOUNT_GROSS_DIFF'
        end as money_code,
        case
            when gross_difference <> 0 then gross_difference
            when tax_difference <> 0 then tax_difference
            when rate_difference <> 0 then rate_difference
            when not_applied <> 0 then not_applied
            when on_other_codes <> 0 then on_other_codes
            else on_other_items
        end as money_amount,
        -- Where totals and taxes are the same, the figures say nothing.
        case
            when gross_difference <> 0 or tax_difference <> 0 or rate_difference <> 0 then null
            when not_applied <> 0
                then {'expected': 'settles its invoice', 'actual': 'taken off its invoice'}
            when on_other_codes <> 0
                then {'expected': 'the tax codes of our lines', 'actual': 'lines under other tax codes'}
            when on_other_items <> 0
                then {'expected': 'the lines that we wrote', 'actual': 'other lines over the same total'}
        end as money_words
    from compared
),

classed as (
    select
        *,
        case
            when live and other_currency then 'CURRENCY_DIFF'
            when live and money_code is not null then money_code
            when live and kind_code is not null then kind_code
            when live and other_rate then 'FX_RATE_DIFF'
            when live and other_customer then 'CUSTOMER_DIFF'
            when live and other_account then 'ACCOUNT_DIFF'
            when live and days_apart <> 0 and other_period then 'CUTOFF_DIFF'
            when live and days_apart <> 0 then 'DATE_DIFF'
            when live then 'matched'
            when in_receipt then 'in_receipt'
            when hold_code is not null then hold_code
            when in_closed_period and not written and books_id is null then 'PERIOD_CLOSED'
            when type = 'Payment' then 'PAYMENT_MISSING'
            when books_id is not null or written then 'QBO_DELETED'
            else 'MISSING_IN_QBO'
        end as class
    from judged
),

final as (
    select
        key,
        type,
        role,
        measure,
        order_id,
        id_shop,
        reference,
        found,
        txn_date,
        currency,
        exchange_rate,
        total,
        total_tax,
        deposit_to,
        class,
        live,
        coalesce(class = hold_code, false) as held,
        waits_for,
        intent_state,
        books_entity,
        books_id,
        books_currency,
        books_txn_date,
        books_total,
        books_tax,
        other_account,
        cast(restated as decimal(18, 2)) as restated,
        cast(restated_tax as decimal(18, 2)) as restated_tax,
        -- The tax of a slip and of its document are each rounded from their own parts.
        coalesce(
            restated_because,
            if(restated = 0 and abs(restated_tax) <= 0.05, 'rounding of the parts', null)
        ) as restated_because,
        -- Every way in which a live document differs; the class is the first of them.
        case
            when not live or class = 'matched' then null
            else [
                {
                    'code': if(other_currency, 'CURRENCY_DIFF', null),
                    'amount': cast(total as decimal(18, 2)),
                    'currency': currency,
                    'expected': currency,
                    'actual': books_currency
                },
                {
                    'code': money_code,
                    'amount': cast(money_amount as decimal(18, 2)),
                    'currency': currency,
                    'expected': coalesce(
                        money_words.expected, concat(total, ' with tax ', total_tax)
                    ),
                    'actual': coalesce(
                        money_words.actual, concat(books_total, ' with tax ', books_tax)
                    )
                },
                {
                    'code': kind_code,
                    'amount': cast(total as decimal(18, 2)),
                    'currency': currency,
                    'expected': type,
                    'actual': books_entity
                },
                {
                    'code': if(other_rate and not other_currency, 'FX_RATE_DIFF', null),
                    'amount': cast(home_difference as decimal(18, 2)),
                    'currency': getvariable('home_currency'),
                    'expected': concat('rate ', exchange_rate, ', ', home_total),
                    'actual': concat('rate ', books_exchange_rate, ', ', books_home_total)
                },
                {
                    'code': if(other_customer, 'CUSTOMER_DIFF', null),
                    'amount': cast(total as decimal(18, 2)),
                    'currency': currency,
                    'expected': customer_name,
                    'actual': books_customer_name
                },
                {
                    'code': if(other_account, 'ACCOUNT_DIFF', null),
                    'amount': if(other_deposit, total, on_other_accounts),
                    'currency': currency,
                    'expected': if(other_deposit, deposit_to, 'the accounts of our items'),
                    'actual': if(other_deposit, books_deposit_to, 'lines on other accounts')
                },
                {
                    'code': if(
                        days_apart <> 0, if(other_period, 'CUTOFF_DIFF', 'DATE_DIFF'), null
                    ),
                    'amount': cast(total as decimal(18, 2)),
                    'currency': currency,
                    'expected': cast(txn_date as varchar),
                    'actual': cast(books_txn_date as varchar)
                }
            ]
        end as differences,
        if(live, null, fault_message) as fault_message
    from classed
)

select * from final
