-- The stock of the shop beside the stock that QuickBooks keeps, where it keeps any.
-- Grain: one row per inventory item of QuickBooks that the shop sells.
with

items as (
    select
        id as item_id,
        name,
        sku,
        cast(coalesce(qty_on_hand, 0) as decimal(18, 4)) as books_quantity,
        purchase_cost
    from staging.quickbooks_items
    where type = 'Inventory' and coalesce(active, true) and coalesce(sku, '') <> ''
),

quantities as (
    select
        id_product,
        id_product_attribute,
        sum(quantity) as quantity
    from staging.prestashop_stock_availables
    group by all
),

goods as (
    select
        lower(combinations.reference) as sku,
        combinations.id_product as product_id,
        combinations.id as product_attribute_id
    from staging.prestashop_combinations as combinations
    where coalesce(combinations.reference, '') <> ''
    union all
    select
        lower(products.reference) as sku,
        products.id as product_id,
        0 as product_attribute_id
    from staging.prestashop_products as products
    where coalesce(products.reference, '') <> ''
),

-- Two goods of one SKU share one item.
shop as (
    select
        goods.sku,
        sum(quantities.quantity) as quantity
    from goods
    inner join quantities
        on
            goods.product_id = quantities.id_product
            and goods.product_attribute_id = quantities.id_product_attribute
    where goods.sku in (select lower(items.sku) from items)
    group by all
),

final as (
    select
        items.item_id,
        items.name,
        items.sku,
        cast(shop.quantity as decimal(18, 4)) as shop_quantity,
        items.books_quantity,
        cast(items.books_quantity - shop.quantity as decimal(18, 4)) as difference,
        cast((items.books_quantity - shop.quantity) * items.purchase_cost as decimal(18, 2))
            as value_difference
    from items
    inner join shop on lower(items.sku) = shop.sku
)

select * from final
