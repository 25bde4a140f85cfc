-- The steps from what the shop holds to what QuickBooks holds, each summed by itself.
-- Grain: one row per shop, month, currency, measure (sales, refunds, payments, tax), step and class.
with

classes as (
    select
        side,
        id_shop,
        month,
        currency,
        object_type as type,
        class_group,
        class,
        objects,
        amount,
        tax,
        case
            when object_type in ('order', 'SalesReceipt', 'Invoice') then 'sales'
            when object_type in ('payment', 'Payment') then 'payments'
            when object_type in ('slip', 'RefundReceipt', 'CreditMemo') then 'refunds'
            else 'other'
        end as measure
    from recon.classes
),

pairs as (
    select
        *,
        cast(date_trunc('month', txn_date) as date) as month
    from recon.pairs
),

books as (
    select
        entity,
        coalesce(currency, 'XXX') as currency,
        cast(date_trunc('month', txn_date) as date) as month,
        total,
        total_tax
    from recon.books_claims
    where
        live
        and (
            document_key is not null
            or stem is not null
            or numbered_like_ours
            or (on_our_accounts and entity = 'Payment')
        )
        and entity in ('Payment', 'RefundReceipt', 'CreditMemo', 'SalesReceipt', 'Invoice')
),

-- The two ends come from the classes and the mirror, the steps between from the pairs: they meet, or
-- a row is in no class or in two.
actual as (
    select
        currency,
        month,
        entity as type,
        count(*) as objects,
        sum(total) as amount,
        sum(if(entity in ('RefundReceipt', 'CreditMemo'), -total_tax, total_tax)) as tax
    from books
    group by all
),

pairs_summed as (
    select
        id_shop,
        month,
        currency,
        type,
        measure,
        class,
        live,
        held,
        coalesce(books_currency, currency) as books_currency,
        coalesce(books_entity, type) as books_type,
        cast(date_trunc('month', coalesce(books_txn_date, txn_date)) as date) as books_month,
        coalesce(
            restated_because,
            if(restated < 0 or restated_tax < 0, 'unexplained lack', 'unexplained surplus')
        ) as because,
        if(measure = 'refunds', -1, 1) as sign,
        coalesce(restated <> 0, false) or coalesce(restated_tax <> 0, false) as was_restated,
        count(*) as objects,
        sum(total) as total,
        sum(total_tax) as tax,
        sum(coalesce(books_total, 0)) as books_total,
        sum(coalesce(books_tax, 0)) as books_tax,
        sum(coalesce(restated, 0)) as restated,
        sum(coalesce(restated_tax, 0)) as restated_tax
    from pairs
    where measure <> 'other'
    group by all
),

document_steps as (
    select
        id_shop,
        month,
        currency,
        type,
        measure,
        'expected' as step,
        'expected' as class,
        objects,
        total as amount,
        sign * tax as tax
    from pairs_summed
    where not held
    union all by name
    select
        id_shop,
        month,
        currency,
        type,
        measure,
        'missing' as step,
        class,
        objects,
        total as amount,
        sign * tax as tax
    from pairs_summed
    where not held and not live
    union all by name
    -- What differs leaves its own month and currency and arrives in those that it stands in.
    select
        id_shop,
        month,
        currency,
        type,
        measure,
        'differences' as step,
        class,
        objects,
        -total as amount,
        -sign * tax as tax
    from pairs_summed
    where live and (class <> 'matched' or books_type <> type)
    union all by name
    select
        id_shop,
        books_month as month,
        books_currency as currency,
        books_type as type,
        measure,
        'differences' as step,
        class,
        0 as objects,
        objects as parts,
        books_total as amount,
        sign * books_tax as tax
    from pairs_summed
    where live and (class <> 'matched' or books_type <> type)
    union all by name
    select
        id_shop,
        month,
        currency,
        '' as type,
        measure,
        'restated' as step,
        because as class,
        objects,
        restated as amount,
        sign * restated_tax as tax
    from pairs_summed
    where not held and was_restated
),

-- Most payments equal their document. The rest is compared by reference, which may hold several
-- orders of one payment.
payment_rows as (
    select
        document_key,
        currency,
        sum(shop_amount) as amount
    from recon.shop_objects
    where source_type = 'payment' and status = 'postable' and in_shop and document_key <> ''
    group by all
),

cash_documents as (
    select
        key,
        currency,
        month,
        id_shop,
        total
    from pairs
    where type in ('Payment', 'SalesReceipt') and not held
),

payment_differences as (
    select
        coalesce(cash_documents.key, payment_rows.document_key) as key,
        coalesce(cash_documents.currency, payment_rows.currency) as currency,
        coalesce(payment_rows.amount, 0) - coalesce(cash_documents.total, 0) as amount
    from cash_documents
    full outer join payment_rows
        on
            cash_documents.key = payment_rows.document_key
            and cash_documents.currency = payment_rows.currency
    where coalesce(payment_rows.amount, 0) <> coalesce(cash_documents.total, 0)
),

payment_gaps as (
    select
        pairs.reference,
        payment_differences.currency,
        min(pairs.month) as month,
        min(pairs.id_shop) as id_shop,
        sum(payment_differences.amount) as amount
    from payment_differences
    inner join pairs using (key)
    where not pairs.held
    group by pairs.reference, payment_differences.currency
    having sum(payment_differences.amount) <> 0
),

gap_orders as (
    select
        pairs.reference,
        pairs.role,
        pairs.found
    from pairs
    semi join payment_gaps using (reference)
),

explained_references as (
    select gap_orders.reference
    from gap_orders
    where
        gap_orders.found
        or gap_orders.role not in ('sale', 'refund', 'summary', 'payment', 'credit')
    union
    select shop_objects.reference
    from recon.shop_objects as shop_objects
    where not shop_objects.in_shop
),

payment_restated as (
    select
        id_shop,
        month,
        currency,
        case
            when reference in (select known.reference from explained_references as known)
                then 'finding'
            when amount < 0 then 'unexplained lack'
            else 'unexplained surplus'
        end as class,
        count(*) as objects,
        sum(amount) as amount
    from payment_gaps
    group by all
),

by_type as (
    select
        id_shop,
        month,
        currency,
        type,
        measure,
        'shop' as step,
        'shop' as class,
        objects,
        amount,
        tax
    from classes
    where side = 'shop' and class_group <> 'gone'
    union all by name
    select
        id_shop,
        month,
        currency,
        type,
        measure,
        class_group as step,
        class,
        objects,
        amount,
        tax
    from classes
    where side = 'shop' and class_group not in ('expected', 'gone')
    union all by name
    select
        id_shop,
        month,
        currency,
        type,
        measure,
        if(class_group = 'extra', 'extras', 'foreign') as step,
        class,
        objects,
        amount,
        tax
    from classes
    where side = 'books' and class_group in ('extra', 'foreign') and measure <> 'other'
    union all by name
    select
        0 as id_shop,
        month,
        currency,
        type,
        case
            when type = 'Payment' then 'payments'
            when type in ('RefundReceipt', 'CreditMemo') then 'refunds'
            else 'sales'
        end as measure,
        'actual' as step,
        'actual' as class,
        objects,
        amount,
        tax
    from actual
    union all by name
    select * from document_steps
),

long as (
    select * exclude (type, tax) from by_type
    union all by name
    -- A sales receipt is a sale and its payment at once.
    select * exclude (type, tax, measure), 'payments' as measure
    from by_type
    where type = 'SalesReceipt'
    union all by name
    select * exclude (type, tax, measure, amount), 'tax' as measure, tax as amount
    from by_type
    where measure <> 'payments'
    union all by name
    select *, 'payments' as measure, 'restated' as step
    from payment_restated
),

final as (
    select
        coalesce(id_shop, 0) as id_shop,
        month,
        currency,
        measure,
        step,
        class,
        cast(sum(objects) as bigint) as objects,
        cast(sum(coalesce(parts, objects)) as bigint) as parts,
        cast(sum(amount) as decimal(18, 2)) as amount
    from long
    group by all
)

select * from final
