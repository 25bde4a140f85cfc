-- Documents that were touched since we wrote them, or whose total differs: where their lines differ.
-- Grain: one row per such document with a difference in its lines.
with

touched as (
    select
        document_key,
        entity,
        id
    from recon.books_claims
    where
        document_key is not null
        and claim_no = 1
        and live
        and entity <> 'Payment'
        and (total <> expected_total or try_cast(sync_token as bigint) > written_token)
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
        id
    from staging.quickbooks_item_names
),

-- A line stands on the income account of its item.
item_accounts as (
    select
        id,
        name,
        income_account_id as account_id
    from staging.quickbooks_items
),

tax_codes as (
    select
        name,
        min(id) as id
    from staging.quickbooks_tax_codes
    group by all
),

our_lines as (
    select
        touched.document_key,
        lines.kind,
        coalesce(item_ids.id, known.id, named.id) as item_id,
        if(lines.tax_code = '', '', tax_codes.id) as tax_code_id,
        lines.amount
    from ledger.lines as lines
    inner join touched using (document_key)
    left join item_ids on lines.item = item_ids.key
    left join ledger.items as items on lines.item = items.key
    left join item_names as known on items.name = known.name
    left join item_names as named on lines.item = named.name
    left join tax_codes on lines.tax_code = tax_codes.name
),

ours as (
    select
        our_lines.document_key,
        item_accounts.account_id,
        sum(our_lines.amount) as amount,
        sum(if(our_lines.kind = 'shipping', our_lines.amount, 0)) as shipping,
        sum(if(our_lines.kind = 'discount', our_lines.amount, 0)) as discount
    from our_lines
    left join item_accounts on our_lines.item_id = item_accounts.id
    group by all
),

shipping_items as (
    select value as id from recon.marks
    where kind = 'shipping item'
),

discount_items as (
    select value as id from recon.marks
    where kind = 'discount item'
),

-- A discount over the whole document has no item, and stands on an account of its own.
their_lines as (
    select
        touched.document_key,
        lines.item_id,
        lines.tax_code_id,
        if(
            lines.item_id is null, coalesce(lines.account_id, 'discounts'), item_accounts.account_id
        ) as account_id,
        if(lines.item_id is null, -lines.amount, lines.amount) as amount
    from staging.quickbooks_document_lines as lines
    inner join touched using (entity, id)
    left join item_accounts on lines.item_id = item_accounts.id
    where lines.item_id is not null or lines.detail_type = 'DiscountLineDetail'
),

theirs as (
    select
        document_key,
        account_id,
        sum(amount) as amount,
        sum(if(item_id in (select s.id from shipping_items as s), amount, 0)) as shipping,
        sum(if(item_id in (select d.id from discount_items as d), amount, 0)) as discount
    from their_lines
    group by all
),

by_account as (
    select
        coalesce(ours.document_key, theirs.document_key) as document_key,
        coalesce(theirs.amount, 0) - coalesce(ours.amount, 0) as difference,
        coalesce(theirs.shipping, 0) - coalesce(ours.shipping, 0) as shipping,
        coalesce(theirs.discount, 0) - coalesce(ours.discount, 0) as discount
    from ours
    full outer join theirs
        on
            ours.document_key = theirs.document_key
            and ours.account_id is not distinct from theirs.account_id
),

-- Where every code of ours is known in the books: what stands under another code there.
our_codes as (
    select
        document_key,
        tax_code_id,
        sum(amount) as amount
    from our_lines
    where document_key not in (
        select unknown.document_key from our_lines as unknown where unknown.tax_code_id is null
    )
    group by all
),

-- (What a discount over the whole document does to each code shows in its tax.)
their_codes as (
    select
        document_key,
        coalesce(tax_code_id, '') as tax_code_id,
        sum(amount) as amount
    from their_lines
    where
        document_key in (select coded.document_key from our_codes as coded)
        and document_key not in (
            select reduced.document_key from their_lines as reduced where reduced.item_id is null
        )
    group by all
),

by_code as (
    select
        document_key,
        sum(greatest(coalesce(their_codes.amount, 0) - coalesce(our_codes.amount, 0), 0))
            as moved_to_other_codes
    from our_codes
    full outer join their_codes using (document_key, tax_code_id)
    where document_key in (select coded.document_key from their_codes as coded)
    group by all
),

-- Where an item of ours is not known in the books, nothing is said of items and accounts.
unknown_items as (
    select distinct document_key from our_lines
    where item_id is null
),

our_items as (
    select
        document_key,
        item_id,
        sum(amount) as amount
    from our_lines
    anti join unknown_items using (document_key)
    group by all
),

their_items as (
    select
        document_key,
        coalesce(item_id, '') as item_id,
        sum(amount) as amount
    from their_lines
    semi join our_items using (document_key)
    group by all
),

by_item as (
    select
        document_key,
        sum(greatest(coalesce(their_items.amount, 0) - coalesce(our_items.amount, 0), 0))
            as moved_to_other_items
    from our_items
    full outer join their_items using (document_key, item_id)
    group by all
),

summed as (
    select
        document_key,
        sum(difference) as net_difference,
        sum(shipping) as shipping_difference,
        sum(discount) as discount_difference,
        if(
            document_key in (select unknown.document_key from unknown_items as unknown), 0,
            sum(if(difference > 0, difference, 0))
        ) as moved_to_others
    from by_account
    group by document_key
    having sum(abs(difference)) <> 0
),

final as (
    select
        document_key,
        cast(coalesce(summed.net_difference, 0) as decimal(18, 2)) as net_difference,
        cast(coalesce(summed.shipping_difference, 0) as decimal(18, 2)) as shipping_difference,
        cast(coalesce(summed.discount_difference, 0) as decimal(18, 2)) as discount_difference,
        cast(coalesce(summed.moved_to_others, 0) as decimal(18, 2)) as moved_to_others,
        cast(coalesce(by_code.moved_to_other_codes, 0) as decimal(18, 2)) as moved_to_other_codes,
        -- Between items of one account: what moved to other accounts moved to other items too.
        cast(
            greatest(
                coalesce(by_item.moved_to_other_items, 0) - coalesce(summed.moved_to_others, 0), 0
            ) as decimal(18, 2)
        ) as moved_to_other_items
    from summed
    full outer join by_code using (document_key)
    full outer join by_item using (document_key)
    where
        summed.document_key is not null
        or by_code.moved_to_other_codes <> 0
        or by_item.moved_to_other_items <> 0
)

select * from final
