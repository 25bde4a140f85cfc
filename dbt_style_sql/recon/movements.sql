-- The steps from what the shop holds to what QuickBooks holds, each summed by itself.
-- Grain: one row per shop, currency, measure (sales, refunds, payments, tax), step and class.
with

shop_objects as (
    select * from recon.shop_objects
),

objects as (
    select
        *,
        case
            when object_type in ('order', 'SalesReceipt', 'Invoice') then 'sales'
            when object_type in ('payment', 'Payment') then 'payments'
            when object_type in ('slip', 'RefundReceipt', 'CreditMemo') then 'refunds'
            else 'other'
        end as measure
    from recon.objects
),

pairs as (
    select * from recon.pairs
),

books as (
    select * from recon.books_claims
),

findings as (
    select distinct order_id from ledger.findings
),

-- The two ends are summed from the landed rows, the steps from the classes: they meet, or a row
-- is in no class or in two.
shop_end as (
    select
        id_shop,
        currency,
        source_type,
        count(*) as objects,
        sum(shop_amount) as amount,
        sum(if(source_type = 'slip', -tax, tax)) as tax
    from shop_objects
    where in_shop
    group by all
),

shop_steps as (
    select
        id_shop,
        currency,
        measure,
        class_group as step,
        class,
        count(*) as objects,
        sum(amount) as amount,
        sum(tax) as tax
    from objects
    where side = 'shop' and class_group not in ('expected', 'gone')
    group by all
),

document_totals as (
    select
        id_shop,
        currency,
        books_currency,
        type,
        measure,
        class,
        live,
        books_currency <> currency as other_currency,
        held,
        coalesce(
            restated_because,
            if(restated < 0 or restated_tax < 0, 'unexplained lack', 'unexplained surplus')
        ) as because,
        if(measure = 'refunds', -1, 1) as sign,
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
        currency,
        type,
        measure,
        'expected' as step,
        'expected' as class,
        objects,
        total as amount,
        sign * tax as tax
    from document_totals
    where not held
    union all by name
    select
        id_shop,
        currency,
        type,
        measure,
        'missing' as step,
        class,
        objects,
        total as amount,
        sign * tax as tax
    from document_totals
    where not held and not live
    union all by name
    select
        id_shop,
        currency,
        type,
        measure,
        'differences' as step,
        class,
        objects,
        if(coalesce(other_currency, false), 0, books_total) - total as amount,
        sign * (if(coalesce(other_currency, false), 0, books_tax) - tax) as tax
    from document_totals
    where live and class <> 'matched'
    union all by name
    select
        id_shop,
        books_currency as currency,
        type,
        measure,
        'differences' as step,
        class,
        objects,
        books_total as amount,
        sign * books_tax as tax
    from document_totals
    where live and other_currency
    union all by name
    select
        id_shop,
        currency,
        '' as type,
        measure,
        'restated' as step,
        because as class,
        objects,
        restated as amount,
        sign * restated_tax as tax
    from document_totals
    where not held and (restated <> 0 or restated_tax <> 0)
),

-- Payments belong to a reference, which may hold several orders: compared there.
payment_rows as (
    select
        reference,
        currency,
        id_shop,
        sum(amount) as amount
    from objects
    where side = 'shop' and measure = 'payments' and class_group = 'expected'
    group by all
    union all by name
    select
        reference,
        currency,
        id_shop,
        -sum(total) as amount
    from pairs
    where type in ('Payment', 'SalesReceipt') and not held
    group by all
),

payment_gaps as (
    select
        reference,
        currency,
        min(id_shop) as id_shop,
        sum(amount) as amount
    from payment_rows
    group by reference, currency
    having sum(amount) <> 0
),

explained_references as (
    select distinct reference
    from shop_objects
    where order_id in (select findings.order_id from findings) or not in_shop
    union
    select distinct reference
    from pairs
    where role not in ('sale', 'refund', 'summary', 'payment', 'credit')
),

payment_restated as (
    select
        id_shop,
        currency,
        if(
            reference in (select explained_references.reference from explained_references),
            'finding', if(amount < 0, 'unexplained lack', 'unexplained surplus')
        ) as class,
        count(*) as objects,
        sum(amount) as amount
    from payment_gaps
    group by all
),

books_end as (
    select
        objects.id_shop,
        objects.currency,
        objects.object_type as type,
        objects.measure,
        objects.class_group,
        objects.class,
        count(*) as objects,
        sum(objects.amount) as amount,
        sum(objects.tax) as tax
    from objects
    where objects.side = 'books' and objects.class_group <> 'dead' and objects.measure <> 'other'
    group by all
),

actual_end as (
    select
        coalesce(currency, 'XXX') as currency,
        entity as type,
        count(*) as objects,
        sum(total) as amount,
        sum(total_tax) as tax
    from books
    where
        live
        and (stem is not null or numbered_like_ours or (on_our_accounts and entity = 'Payment'))
    group by all
),

by_document as (
    select
        id_shop,
        currency,
        type,
        measure,
        step,
        class,
        objects,
        amount,
        tax
    from document_steps
    union all by name
    select
        id_shop,
        currency,
        type,
        measure,
        if(class_group = 'extra', 'extras', 'foreign') as step,
        class,
        objects,
        amount,
        tax
    from books_end
    where class_group in ('extra', 'foreign')
    union all by name
    select
        null as id_shop,
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
        if(type in ('RefundReceipt', 'CreditMemo'), -tax, tax) as tax
    from actual_end
    where type in ('Payment', 'RefundReceipt', 'CreditMemo', 'SalesReceipt', 'Invoice')
),

long as (
    select
        id_shop,
        currency,
        case source_type
            when 'order' then 'sales'
            when 'payment' then 'payments'
            else 'refunds'
        end as measure,
        'shop' as step,
        'shop' as class,
        objects,
        amount
    from shop_end
    union all by name
    select
        id_shop,
        currency,
        'tax' as measure,
        'shop' as step,
        'shop' as class,
        objects,
        tax as amount
    from shop_end
    where source_type <> 'payment'
    union all by name
    select
        id_shop,
        currency,
        measure,
        step,
        class,
        objects,
        amount
    from shop_steps
    union all by name
    select
        id_shop,
        currency,
        'tax' as measure,
        step,
        class,
        objects,
        tax as amount
    from shop_steps
    where measure <> 'payments'
    union all by name
    select
        id_shop,
        currency,
        measure,
        step,
        class,
        objects,
        amount
    from by_document
    union all by name
    select
        id_shop,
        currency,
        'payments' as measure,
        step,
        class,
        objects,
        amount
    from by_document
    where type = 'SalesReceipt'
    union all by name
    select
        id_shop,
        currency,
        'tax' as measure,
        step,
        class,
        objects,
        tax as amount
    from by_document
    where measure <> 'payments'
    union all by name
    select
        id_shop,
        currency,
        'payments' as measure,
        'restated' as step,
        class,
        objects,
        amount
    from payment_restated
),

final as (
    select
        coalesce(id_shop, 0) as id_shop,
        currency,
        measure,
        step,
        class,
        cast(sum(objects) as bigint) as objects,
        cast(sum(amount) as decimal(18, 2)) as amount
    from long
    group by all
)

select * from final
