-- Every unresolved exception with its money, age, owner and the next step.
-- Grain: one row per difference, missing or surplus document, held source, and
-- disagreement of a payout or voucher.
with

shop_objects as (
    select * from recon.shop_objects
),

-- Only what is not matched needs its numbers and names.
pairs as (
    select
        pairs.*,
        documents.reference,
        documents.doc_number
    from recon.pairs as pairs
    inner join ledger.documents as documents using (key)
    where pairs.class <> 'matched'
),

surplus_objects as (
    select * from recon.objects
    where side = 'books' and class_group in ('extra', 'foreign') and class <> 'foreign'
),

held_objects as (
    select
        objects.*,
        shop_objects.reference,
        shop_objects.ledger_amount
    from recon.objects as objects
    inner join shop_objects
        on
            objects.object_type = shop_objects.source_type
            and objects.object_id = cast(shop_objects.source_id as varchar)
    where
        objects.side = 'shop'
        and (
            objects.class_group = 'held'
            or (objects.class_group = 'gone' and objects.class = 'SOURCE_DELETED')
        )
),

books as (
    select
        entity,
        id,
        doc_number
    from staging.quickbooks_documents
),

holds as (
    select
        order_id,
        min(rule || ': ' || message) as message
    from validation.holds
    where order_id is not null
    group by all
),

ledger_findings as (
    select * from ledger.findings
),

codes as (
    select * from recon.codes
),

in_books as (
    select
        *,
        unnest(differences) as part
    from pairs
    where differences is not null
),

differences as (
    select
        'difference' as origin,
        'shop' as side,
        part.code as code,
        part.amount as amount,
        part.currency as currency,
        id_shop,
        order_id,
        reference,
        type as object_type,
        key as document_key,
        doc_number,
        books_entity,
        books_id,
        txn_date as event_date,
        part.expected as expected,
        part.actual as actual,
        '' as detail
    from in_books
    where part.code is not null
),

-- A payment of nothing gives a credit to its invoice: that much is open again without it, as long as
-- both are there.
credits as (
    select
        applied.document_key as key,
        max(applied.amount) as credit
    from ledger.applied as applied
    inner join recon.pairs as targets on applied.to_key = targets.key
    where applied.document_key in (select p.key from pairs as p where p.role = 'credit' and not p.live)
    group by applied.document_key
    having bool_and(targets.live)
),

absent as (
    select
        'missing' as origin,
        'shop' as side,
        class as code,
        coalesce(credit, total) as amount,
        currency,
        id_shop,
        order_id,
        reference,
        type as object_type,
        key as document_key,
        doc_number,
        books_entity,
        books_id,
        txn_date as event_date,
        concat(total, ' ', currency) as expected,
        if(books_id is null, 'no document', 'deleted or voided') as actual,
        case
            when intent_state = 'REJECTED' then concat('QuickBooks refused it: ', fault_message)
            when intent_state in ('SENT', 'UNKNOWN')
                then 'It was sent and the answer is not known; the next run looks it up.'
            when intent_state = 'STUCK' then 'It was sent several times without an answer.'
            when intent_state = 'COLLISION'
                then 'Another document of the company has taken its number.'
            when intent_state = 'PLANNED' then 'It waits to be sent.'
            else ''
        end as detail
    from pairs
    left join credits using (key)
    where
        not live and not held and class <> 'in_receipt'
        and (role <> 'credit' or credit is not null)
),

surplus as (
    select
        'surplus' as origin,
        'books' as side,
        objects.class as code,
        objects.amount,
        objects.currency,
        objects.id_shop,
        objects.order_id,
        documents.reference,
        objects.object_type,
        objects.document_key,
        books.doc_number,
        books.entity as books_entity,
        books.id as books_id,
        objects.event_date,
        'no such document' as expected,
        concat(objects.amount, ' ', objects.currency) as actual,
        '' as detail
    from surplus_objects as objects
    inner join books on objects.object_type = books.entity and objects.object_id = books.id
    left join ledger.documents as documents on objects.document_key = documents.key
    -- The books' side of a held order: its money is counted once, on the shop's side.
    -- A payment of nothing only links a credit with its invoice.
    where (
        objects.class in ('DUPLICATE_IN_QBO', 'ORPHAN_IN_QBO', 'PAYMENT_EXTRA', 'QBO_FOREIGN_LINE')
        and not (objects.object_type = 'Payment' and objects.amount = 0)
    )
    or (objects.class = 'SOURCE_DELETED' and objects.order_id is null)
),

-- The rows that an order leaves behind when it is deleted: its document stands for them.
left_behind as (
    select regexp_extract(books.private_note, 'ref:([^,}]+)', 1) as reference
    from surplus
    inner join staging.quickbooks_documents as books
        on surplus.books_entity = books.entity and surplus.books_id = books.id
    where surplus.code = 'SOURCE_DELETED'
),

held_orders as (
    select distinct
        order_id,
        reference
    from held_objects
    where object_type = 'order' and class_group = 'held'
),

at_stake as (
    select
        code,
        source_type,
        source_id,
        cast(max(abs(amount)) as decimal(18, 2)) as amount
    from ledger.findings
    where code in ('EDIT_UNDERPAID', 'PAY_OVER', 'EDIT_CONFLICT', 'ACCOUNT_DIFF', 'CUTOFF_DIFF')
    group by all
),

held as (
    select
        'hold' as origin,
        'shop' as side,
        objects.class as code,
        case
            when objects.class = 'SOURCE_DELETED'
                then coalesce(objects.ledger_amount, objects.amount)
            -- The document stands in the books: at stake is by how much it no longer fits.
            when
                objects.class in (
                    'EDIT_UNDERPAID', 'PAY_OVER', 'EDIT_CONFLICT', 'ACCOUNT_DIFF', 'CUTOFF_DIFF'
                )
                then coalesce(at_stake.amount, objects.amount)
            else objects.amount
        end as amount,
        objects.currency,
        objects.id_shop,
        objects.order_id,
        objects.reference,
        objects.object_type,
        objects.document_key,
        objects.event_date,
        concat(objects.amount, ' ', objects.currency) as expected,
        'held back' as actual,
        coalesce(holds.message, '') as detail
    from held_objects as objects
    left join holds on objects.order_id = holds.order_id
    left join at_stake
        on
            objects.class = at_stake.code
            and objects.object_type = at_stake.source_type
            and objects.object_id = cast(at_stake.source_id as varchar)
    where
        (
            objects.object_type <> 'payment'
            or objects.order_id is null
            or objects.class = 'PAY_ORPHAN'
            or objects.reference not in (select held_orders.reference from held_orders)
        )
        -- Nor is what was paid for a part of a split cart that is gone too much for the others.
        and not (
            (
                objects.class in ('SOURCE_DELETED', 'PAY_OVER')
                or (objects.class = 'EDIT_CONFLICT' and coalesce(at_stake.amount, 0) = 0)
            )
            and objects.reference in (select known.reference from left_behind as known)
        )
),

-- What the ledger found on documents that it made all the same and that a person must settle.
found as (
    select
        'finding' as origin,
        'shop' as side,
        ledger_findings.code,
        cast(ledger_findings.amount as decimal(18, 2)) as amount,
        ledger_findings.currency,
        shop_objects.id_shop,
        ledger_findings.order_id,
        shop_objects.reference,
        ledger_findings.source_type as object_type,
        ledger_findings.document_key,
        '' as doc_number,
        cast(shop_objects.event_at as date) as event_date,
        '' as expected,
        '' as actual,
        ledger_findings.message as detail
    from ledger_findings
    inner join codes using (code)
    left join shop_objects
        on
            ledger_findings.source_type = shop_objects.source_type
            and ledger_findings.source_id = shop_objects.source_id
    where
        codes.severity = 'B'
        and not codes.holds
        and ledger_findings.code <> 'PAY_UNDER'
        and coalesce(shop_objects.status, '') not in ('held', 'before_go_live')
        and ledger_findings.order_id not in (select held_orders.order_id from held_orders)
),

providers as (
    select
        'payout' as origin,
        'provider' as side,
        *
    from recon.payout_exceptions
),

store_credit as (
    select
        'voucher' as origin,
        'shop' as side,
        'VOUCHER_DIFF' as code,
        if(excess > 0, excess, used_by_others) as amount,
        currency,
        order_id,
        'voucher' as object_type,
        voucher as doc_number,
        issued_on as event_date,
        concat(issued, ' ', currency, ' issued') as expected,
        if(
            excess > 0,
            concat(used, ' used, ', expired, ' expired, ', open, ' open'),
            concat(used_by_others, ' used by another customer')
        ) as actual
    from recon.vouchers
    where excess > 0 or used_by_others > 0
),

gathered as (
    select * from differences
    union all by name
    select * from absent
    union all by name
    select * from surplus
    union all by name
    select * from held
    union all by name
    select * from found
    union all by name
    select * from providers
    union all by name
    select * from store_credit
),

aged as (
    select
        gathered.*,
        greatest(
            0,
            date_diff(
                'day',
                gathered.event_date,
                cast(coalesce(getvariable('as_of'), current_date) as date)
            )
        ) as age_days
    from gathered
),

final as (
    select
        md5(concat_ws(
            '|', aged.code, aged.side, aged.object_type, aged.document_key,
            aged.books_entity, aged.books_id, aged.order_id, aged.reference,
            if(aged.origin in ('payout', 'voucher'), aged.doc_number, null)
        )) as id,
        aged.code,
        coalesce(codes.severity, 'B') as severity,
        coalesce(codes.owner, 'D') as owner,
        coalesce(codes.auto, 'no') as auto,
        aged.origin,
        aged.side,
        cast(abs(aged.amount) as decimal(18, 2)) as amount,
        cast(aged.amount as decimal(18, 2)) as signed_amount,
        aged.currency,
        aged.age_days,
        case
            when aged.age_days <= 1 then '0-1'
            when aged.age_days <= 3 then '2-3'
            when aged.age_days <= 7 then '4-7'
            when aged.age_days <= 14 then '8-14'
            when aged.age_days <= 30 then '15-30'
            when aged.age_days <= 60 then '31-60'
            else '60+'
        end as age_bucket,
        aged.event_date,
        -- Business days run from Monday to Friday; what happens at a weekend counts as of its Friday.
        cast(case
            when aged.code = 'REFUND_NOT_PAID_OUT' then aged.event_date + 7
            when coalesce(codes.severity, 'B') = 'B'
                then aged.event_date + cast(
                    2 - greatest(isodow(aged.event_date) - 5, 0)
                    + if(isodow(aged.event_date) > 3, 2, 0) as integer
                )
            else aged.event_date + cast(14 - greatest(isodow(aged.event_date) - 5, 0) as integer)
        end as date) as due_on,
        coalesce(aged.id_shop, 0) as id_shop,
        aged.order_id,
        coalesce(aged.reference, '') as reference,
        aged.object_type,
        coalesce(aged.document_key, '') as document_key,
        coalesce(aged.doc_number, '') as doc_number,
        coalesce(aged.books_entity, '') as books_entity,
        coalesce(aged.books_id, '') as books_id,
        coalesce(aged.expected, '') as expected,
        coalesce(aged.actual, '') as actual,
        trim(concat_ws(' ', codes.meaning, nullif(aged.detail, ''))) as message,
        coalesce(codes.action, '') as action
    from aged
    left join codes using (code)
)

select * from final
