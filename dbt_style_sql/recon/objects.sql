-- Every object of either side in exactly one class.
-- Grain: one row per order, payment row and credit slip of the shop, and per QuickBooks document.
with

-- (What is read more than once is read again: kept in memory, a million orders would not fit.)
shop_objects as not materialized (
    select * from recon.shop_objects
),

pairs as not materialized (
    select * from recon.pairs
),

claims as not materialized (
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

-- What the ledger does not know: its order may be gone from the shop.
unknown as (
    select
        source_type,
        source_id,
        order_id,
        reference
    from shop_objects
    where not in_ledger
),

shop_orders as (
    select
        source_id as order_id,
        reference
    from shop_objects
    where source_type = 'order' and in_shop
),

widowed as (
    select
        unknown.source_type,
        unknown.source_id
    from unknown
    anti join shop_orders using (order_id)
    where unknown.source_type = 'slip'
    union all
    select
        unknown.source_type,
        unknown.source_id
    from unknown
    anti join shop_orders using (reference)
    where unknown.source_type = 'payment'
),

shop_judged as (
    select
        shop_objects.*,
        case
            when not shop_objects.in_shop and coalesce(pairs.live, false) then 'SOURCE_DELETED'
            when not shop_objects.in_shop then 'not_postable:deleted'
            when pairs.key is not null and shop_objects.status = 'postable' then pairs.class
            when holds.hold_code is not null then holds.hold_code
            when widowed.source_id is not null then 'SOURCE_DELETED'
            when shop_objects.status = 'held'
                then coalesce(codes.code, 'POISON_RECORD')
            when shop_objects.status = 'before_go_live' then 'before_go_live'
            when shop_objects.status = 'not_postable'
                then 'not_postable:' || shop_objects.reason
            else 'unclassified'
        end as class,
        pairs.key is not null as has_document,
        coalesce(
            cast(date_trunc('month', pairs.txn_date) as date),
            cast(date_trunc('month', shop_objects.event_at) as date)
        ) as month,
        pairs.held as document_held,
        holds.hold_code as order_hold
    from shop_objects
    left join pairs on shop_objects.document_key = pairs.key
    left join codes on shop_objects.reason = codes.code
    left join holds on shop_objects.order_id = holds.order_id
    left join widowed
        on
            shop_objects.source_type = widowed.source_type
            and shop_objects.source_id = widowed.source_id
),

shop_classed as (
    select
        *,
        case
            when not in_shop then 'gone'
            when has_document and status = 'postable'
                then if(document_held, 'held', 'expected')
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
        status,
        reason
    from shop_objects
    where in_ledger
),

-- Ours by its key, and no document is expected: what became of its source? (Never null in split_part:
-- DuckDB 2.0 stumbles over a filter on this view when the whole column is null.)
unexpected as (
    select
        *,
        case split_part(coalesce(stem, ''), '|', 2)
            when 'payment' then 'payment'
            when 'refund' then 'slip'
            else 'order'
        end as source_type,
        try_cast(split_part(coalesce(stem, ''), '|', 3) as bigint) as source_id
    from claims
    where document_key is null and not deleted
),

deletions as (
    select * from staging.prestashop_deletions
),

books_judged as (
    select
        claims.* exclude (stem),
        pairs.order_id,
        pairs.id_shop,
        -- A second document stands in a month of its own.
        cast(
            date_trunc('month', if(claims.claim_no > 1, claims.txn_date, pairs.txn_date)) as date
        ) as month,
        case
            when not claims.live then pairs.class
            when claims.claim_no > 1 then 'DUPLICATE_IN_QBO'
            when pairs.class = 'matched' then coalesce(pairs.waits_for, 'matched')
            else pairs.class
        end as class
    from claims
    inner join pairs on claims.document_key = pairs.key
    where not claims.deleted
    union all by name
    select
        unexpected.* exclude (stem, source_type, source_id) replace ('' as document_key),
        sources.order_id,
        coalesce(sources.id_shop, 0) as id_shop,
        cast(date_trunc('month', unexpected.txn_date) as date) as month,
        case
            when not unexpected.live then 'voided'
            when unexpected.stem is not null and sources.status = 'held' then sources.reason
            when
                (
                    unexpected.stem is not null
                    or unexpected.numbered_like_ours
                    or unexpected.on_our_accounts
                )
                and unexpected.entity = 'Payment' then 'PAYMENT_EXTRA'
            when unexpected.stem is not null and deletions.source_id is not null
                then 'SOURCE_DELETED'
            when unexpected.stem is not null or unexpected.numbered_like_ours
                then 'ORPHAN_IN_QBO'
            when unexpected.on_our_accounts then 'QBO_FOREIGN_LINE'
            else 'foreign'
        end as class
    from unexpected
    left join sources
        on
            unexpected.source_type = sources.source_type
            and unexpected.source_id = sources.source_id
    left join deletions
        on
            unexpected.source_type = deletions.source_type
            and unexpected.source_id = deletions.source_id
),

books_classed as (
    select
        *,
        case
            when not live then 'dead'
            when document_key <> '' and claim_no = 1 then 'paired'
            when class in ('foreign', 'QBO_FOREIGN_LINE') then 'foreign'
            else 'extra'
        end as class_group
    from books_judged
),

together as (
    select
        'shop' as side,
        source_type as object_type,
        cast(source_id as varchar) as object_id,
        id_shop,
        order_id,
        currency,
        shop_amount as amount,
        if(source_type = 'slip', -tax, tax) as tax,
        cast(event_at as date) as event_date,
        month,
        class,
        class_group,
        document_key
    from shop_classed
    union all by name
    select
        'books' as side,
        entity as object_type,
        id as object_id,
        id_shop,
        order_id,
        currency,
        if(live, total, 0) as amount,
        case
            when not live then 0
            when entity in ('RefundReceipt', 'CreditMemo') then -total_tax
            else total_tax
        end as tax,
        txn_date as event_date,
        month,
        class,
        class_group,
        document_key
    from books_classed
),

-- (A few words told apart by number are written and read in half the time; in
-- the order of the alphabet, which is theirs in lists too.)
final as (
    select
        * replace (
            cast(side as enum ('books', 'shop')) as side,
            cast(
                object_type as enum (
                    'Bill', 'BillPayment', 'CreditMemo', 'Deposit', 'Invoice', 'JournalEntry',
                    'Payment', 'Purchase', 'RefundReceipt', 'SalesReceipt', 'Transfer',
                    'VendorCredit', 'order', 'payment', 'slip'
                )
            ) as object_type,
            cast(
                class_group as enum (
                    'before_go_live', 'dead', 'expected', 'extra', 'foreign', 'gone', 'held',
                    'not_postable', 'paired', 'unclassified'
                )
            ) as class_group
        )
    from together
)

select * from final
