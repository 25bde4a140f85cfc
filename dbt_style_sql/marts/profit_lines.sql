-- Every line of every sale and refund that should be in the books with what it earned and where, without
-- tax and in home currency. Grain: one row per line of a sale or refund document, discounts that no line
-- can carry included.
with

lines as (
    select
        *,
        cast(amount + discount as decimal(18, 2)) as earned,
        cast(0 as decimal(18, 2)) as nothing
    from marts.sold_lines
),

documents as (
    select * from marts.sold_documents
),

final as (
    select
        lines.document_key,
        lines.line_no,
        lines.order_id,
        lines.id_shop,
        documents.month,
        documents.cohort,
        lines.kind,
        lines.product_id,
        lines.product_attribute_id,
        lines.sku,
        lines.category_id,
        documents.customer_id,
        documents.country,
        documents.carrier,
        documents.payment_method,
        documents.in_books,
        lines.units,
        if(lines.bucket = 'goods' and not lines.refund, lines.amount, lines.nothing) as gross_sales,
        if(lines.bucket = 'goods' and not lines.refund, lines.discount, lines.nothing) as discounts,
        if(lines.bucket = 'goods' and lines.refund, lines.earned, lines.nothing) as refunds,
        if(lines.bucket = 'goods', lines.earned, lines.nothing) as revenue,
        if(lines.bucket = 'delivery', lines.earned, lines.nothing) as delivery_income,
        if(lines.bucket = 'other', lines.earned, lines.nothing) as other_income,
        lines.earned as income,
        lines.cost_source,
        lines.cogs,
        if(lines.bucket = 'goods' and lines.cost_source <> 'unknown', lines.earned, lines.nothing)
            as covered_revenue
    from lines
    inner join documents on lines.document_key = documents.document_key
)

select * from final
