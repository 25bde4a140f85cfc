-- What the books' documents of ours are told by, all orders together: number prefixes, accounts, items of
-- shipping and discounts, and the first day. Grain: one row per kind and value.
with

documents as (
    select
        doc_number,
        type,
        deposit_to,
        txn_date
    from ledger.documents
),

items as (
    select
        id,
        name,
        income_account_id
    from staging.quickbooks_items
),

named as (
    select
        name,
        id
    from staging.quickbooks_item_names
),

known as (
    select
        key,
        max(qbo_id) as id
    from control.identities
    where kind = 'Item'
    group by all
),

-- Items of lines by their key; those without a card of ours carry their name.
sold as (
    select distinct
        if(kind in ('shipping', 'discount'), kind, '') as kind,
        item
    from ledger.lines
),

cards as (
    select
        key,
        name
    from ledger.items
),

-- The part before the first dash: few are different, so that few are looked at.
beginnings as (
    select distinct split_part(doc_number, '-', 1) as beginning
    from documents
    where contains(doc_number, '-')
),

together as (
    select
        'prefix' as kind,
        concat(beginning, '-') as value
    from beginnings
    where regexp_matches(beginning, '^[A-Za-z]+[0-9]+$')
    union all
    -- Where card sales are paid into. A bank account, which wires are paid into, has a life of its own.
    select
        'clearing account' as kind,
        accounts.id as value
    from staging.quickbooks_account_names as accounts
    semi join (
        select distinct documents.deposit_to
        from documents
        where documents.type in ('SalesReceipt', 'RefundReceipt')
    ) as cash on accounts.fully_qualified_name = cash.deposit_to
    union all
    select
        'income account' as kind,
        items.income_account_id as value
    from items
    where
        items.income_account_id is not null
        and items.id in (
            select named.id
            from named
            where
                named.name in (select sold.item from sold)
                or named.name in (select cards.name from cards)
        )
    union all
    select
        'tax account' as kind,
        id as value
    from staging.quickbooks_accounts
    where account_sub_type in ('GlobalTaxPayable', 'SalesTaxPayable')
    union all
    select
        concat(sold.kind, ' item') as kind,
        coalesce(known.id, carded.id, named.id) as value
    from sold
    left join known on sold.item = known.key
    left join cards on sold.item = cards.key
    left join named as carded on cards.name = carded.name
    left join named on sold.item = named.name
    where sold.kind <> ''
    union all
    select
        'first day' as kind,
        cast(min(txn_date) as varchar) as value
    from documents
),

final as (
    select distinct
        kind,
        value
    from together
    where value is not null
)

select * from final
