-- Every object of either side in exactly one class.
-- Grain: one row per order, payment row and credit slip of the shop, and per QuickBooks document.
with

shop_objects as (
    select * from recon.shop_objects
),

pairs as (
    select * from recon.pairs
),

claims as (
    select * from recon.books_claims
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

shop_references as (
    select distinct reference
    from shop_objects
    where source_type = 'order' and in_shop
),

shop_orders as (
    select source_id as order_id
    from shop_objects
    where source_type = 'order' and in_shop
),

shop_judged as (
    select
        shop_objects.*,
        pairs.books_entity,
        pairs.books_id,
        pairs.doc_number,
        case
            when not shop_objects.in_shop and coalesce(pairs.live, false) then 'SOURCE_DELETED'
            when not shop_objects.in_shop then 'not_postable:deleted'
            when pairs.key is not null and shop_objects.status = 'postable' then pairs.class
            when holds.hold_code is not null then holds.hold_code
            when not shop_objects.in_ledger and (
                (
                    shop_objects.source_type = 'slip'
                    and shop_objects.order_id not in (select order_id from shop_orders)
                )
                or (
                    shop_objects.source_type = 'payment'
                    and shop_objects.reference not in (select reference from shop_references)
                )
            ) then 'SOURCE_DELETED'
            when shop_objects.status = 'held'
                then coalesce(codes.code, 'POISON_RECORD')
            when shop_objects.status = 'before_go_live' then 'before_go_live'
            when shop_objects.status = 'not_postable'
                then 'not_postable:' || shop_objects.reason
            else 'unclassified'
        end as class,
        pairs.key is not null as has_document,
        pairs.hold_code as document_hold,
        holds.hold_code as order_hold
    from shop_objects
    left join pairs on shop_objects.document_key = pairs.key
    left join codes on shop_objects.reason = codes.code
    left join holds on shop_objects.order_id = holds.order_id
),

shop_classed as (
    select
        *,
        case
            when not in_shop then 'gone'
            when has_document and status = 'postable'
                then if(class = document_hold, 'held', 'expected')
            when order_hold is not null or status = 'held' or class = 'SOURCE_DELETED' then 'held'
            when status in ('before_go_live', 'not_postable') then status
            else 'unclassified'
        end as class_group
    from shop_judged
),

sources as (
    select
        source_type,
        source_id,
        order_id,
        id_shop,
        reference,
        status,
        reason
    from shop_objects
    where in_ledger
),

books_sources as (
    select
        *,
        split_part(stem, '|', 2) as role,
        case split_part(stem, '|', 2)
            when 'payment' then 'payment'
            when 'refund' then 'slip'
            else 'order'
        end as source_type,
        try_cast(split_part(stem, '|', 3) as bigint) as source_id
    from claims
    where not deleted
),

books_judged as (
    select
        books.*,
        pairs.key as document_key,
        coalesce(pairs.order_id, sources.order_id) as order_id,
        coalesce(pairs.id_shop, sources.id_shop, 0) as id_shop,
        coalesce(pairs.reference, sources.reference, '') as reference,
        case
            when not books.live then coalesce(pairs.class, 'voided')
            when pairs.key is not null and books.claim_no > 1 then 'DUPLICATE_IN_QBO'
            when pairs.key is not null then pairs.class
            when books.stem is not null and sources.status = 'held' then sources.reason
            when
                (books.stem is not null or books.numbered_like_ours or books.on_our_accounts)
                and books.entity = 'Payment' then 'PAYMENT_EXTRA'
            when books.stem is not null or books.numbered_like_ours then 'ORPHAN_IN_QBO'
            when books.on_our_accounts then 'QBO_FOREIGN_LINE'
            else 'foreign'
        end as class
    from books_sources as books
    left join pairs using (stem)
    left join sources
        on
            books.source_type = sources.source_type
            and books.source_id = sources.source_id
            and pairs.key is null
),

books_classed as (
    select
        *,
        case
            when not live then 'dead'
            when document_key is not null and claim_no = 1 then 'paired'
            when class in ('foreign', 'QBO_FOREIGN_LINE') then 'foreign'
            else 'extra'
        end as class_group
    from books_judged
),

final as (
    select
        'shop' as side,
        source_type as object_type,
        cast(source_id as varchar) as object_id,
        case source_type
            when 'order' then 'sales'
            when 'payment' then 'payments'
            else 'refunds'
        end as measure,
        id_shop,
        order_id,
        reference,
        currency,
        shop_amount as amount,
        if(source_type = 'slip', -tax, tax) as tax,
        cast(event_at as date) as event_date,
        class,
        class_group,
        document_key,
        coalesce(doc_number, '') as doc_number,
        books_entity,
        books_id,
        coalesce(ledger_amount, shop_amount) as ledger_amount
    from shop_classed
    union all by name
    select
        'books' as side,
        entity as object_type,
        id as object_id,
        case
            when entity = 'Payment' then 'payments'
            when entity in ('RefundReceipt', 'CreditMemo') then 'refunds'
            when entity in ('SalesReceipt', 'Invoice') then 'sales'
            else 'other'
        end as measure,
        id_shop,
        order_id,
        reference,
        coalesce(currency, 'XXX') as currency,
        if(live, total, 0) as amount,
        if(not live, 0, if(measure = 'refunds', -total_tax, total_tax)) as tax,
        txn_date as event_date,
        class,
        class_group,
        coalesce(document_key, '') as document_key,
        coalesce(doc_number, '') as doc_number,
        entity as books_entity,
        id as books_id,
        if(live, total, 0) as ledger_amount
    from books_classed
)

select * from final
