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
        min(id) as id
    from staging.quickbooks_items
    group by all
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
    select distinct our_lines.item_id as id
    from our_lines
    where our_lines.kind = 'shipping'
),

discount_items as (
    select distinct our_lines.item_id as id
    from our_lines
    where our_lines.kind = 'discount'
),

theirs as (
    select
        touched.document_key,
        item_accounts.account_id,
        sum(lines.amount) as amount,
        sum(if(lines.item_id in (select s.id from shipping_items as s), lines.amount, 0))
            as shipping,
        sum(if(lines.item_id in (select d.id from discount_items as d), lines.amount, 0))
            as discount
    from staging.quickbooks_document_lines as lines
    inner join touched using (entity, id)
    left join item_accounts on lines.item_id = item_accounts.id
    where lines.item_id is not null
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

their_codes as (
    select
        touched.document_key,
        coalesce(lines.tax_code_id, '') as tax_code_id,
        sum(lines.amount) as amount
    from staging.quickbooks_document_lines as lines
    inner join touched using (entity, id)
    where
        lines.item_id is not null
        and touched.document_key in (select coded.document_key from our_codes as coded)
    group by all
),

by_code as (
    select
        document_key,
        sum(greatest(coalesce(their_codes.amount, 0) - coalesce(our_codes.amount, 0), 0))
            as moved_to_other_codes
    from our_codes
    full outer join their_codes using (document_key, tax_code_id)
    group by all
),

summed as (
    select
        document_key,
        sum(difference) as net_difference,
        sum(shipping) as shipping_difference,
        sum(discount) as discount_difference,
        sum(if(difference > 0, difference, 0)) as moved_to_others
    from by_account
    group by all
    having sum(abs(difference)) <> 0
),

final as (
    select
        coalesce(summed.document_key, by_code.document_key) as document_key,
        cast(coalesce(summed.net_difference, 0) as decimal(18, 2)) as net_difference,
        cast(coalesce(summed.shipping_difference, 0) as decimal(18, 2)) as shipping_difference,
        cast(coalesce(summed.discount_difference, 0) as decimal(18, 2)) as discount_difference,
        cast(coalesce(summed.moved_to_others, 0) as decimal(18, 2)) as moved_to_others,
        cast(coalesce(by_code.moved_to_other_codes, 0) as decimal(18, 2)) as moved_to_other_codes
    from summed
    full outer join by_code using (document_key)
    where summed.document_key is not null or by_code.moved_to_other_codes <> 0
)

select * from final
