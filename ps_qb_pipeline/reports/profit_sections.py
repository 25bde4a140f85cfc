"""What was earned, cut in every way: the profit tables of the report as data.

What lives here: one row per cut. What does not: the figures (``dbt_style_sql/marts``).
"""

from __future__ import annotations

from ps_qb_pipeline.reports.section import Section, money
from ps_qb_pipeline.reports.table import MONTH, Column

_PROFIT = (
    Column("orders", "Orders", "integer"),
    Column("units", "Units", "quantity", summed=True),
    money("gross_sales", "Gross sales", summed=True),
    money("discounts", "Discounts", summed=True),
    money("refunds", "Refunds", summed=True),
    money("revenue", "Net revenue", summed=True),
    money("covered_revenue", "Of it, cost known", summed=True),
    money("cogs", "Cost of goods", summed=True),
    money("gross_margin", "Gross margin", summed=True),
    Column("margin_rate", "Margin", "percent"),
    Column("coverage", "Cost known for", "percent"),
    money("delivery_income", "Delivery income", summed=True),
    money("income", "Total income", summed=True),
)
_PROFIT_SQL = """orders, units, gross_sales, discounts, refunds, revenue, covered_revenue, cogs, gross_margin,
    round(gross_margin / nullif(covered_revenue, 0), 4) as margin_rate,
    round(covered_revenue / nullif(revenue, 0), 4) as coverage,
    delivery_income, income"""


def _profit(name: str, title: str, intro: str, keys: str, order: str, *columns: Column) -> Section:
    sql = f"select {keys}, {_PROFIT_SQL} from marts.{name} order by {order}"  # noqa: S608 - our own words
    return Section(name, title, intro, sql, (*columns, *_PROFIT))


_TAIL = " Without tax, in home currency; cost and margin cover only the revenue whose cost is known."

PROFIT = (
    _profit(
        "profit_by_month", "Profit by month", "By the month of the document." + _TAIL, "month", "month",
        MONTH,
    ),
    _profit(
        "profit_by_product", "Profit by product", "By product and variant, largest revenue first." + _TAIL,
        "id_shop, sku, if(product_id = 0, '(delivery and other lines)', product_name) as product_name", "revenue desc, product_id, product_attribute_id",
        Column("id_shop", "Shop", "id"), Column("sku", "SKU"), Column("product_name", "Product"),
    ),
    _profit(
        "profit_by_customer", "Profit by customer", "Largest revenue first." + _TAIL,
        "customer_id, customer_name", "revenue desc, customer_id",
        Column("customer_id", "Customer id", "id"), Column("customer_name", "Customer"),
    ),
    _profit(
        "profit_by_country", "Profit by country", "By country of delivery." + _TAIL, "country", "revenue desc, country",
        Column("country", "Country"),
    ),
    _profit(
        "profit_by_category", "Profit by category", "By default category of the product." + _TAIL,
        "category_id", "revenue desc, category_id", Column("category_id", "Category id", "id"),
    ),
    _profit(
        "profit_by_payment_method", "Profit by payment method", "As the shop names the method." + _TAIL,
        "payment_method", "revenue desc, payment_method", Column("payment_method", "Payment method"),
    ),
    _profit(
        "profit_by_carrier", "Profit by carrier", "By the carrier of the order." + _TAIL, "carrier",
        "revenue desc, carrier", Column("carrier", "Carrier"),
    ),
    _profit(
        "profit_by_shop", "Profit by shop", "Shops of a multishop." + _TAIL, "id_shop", "id_shop",
        Column("id_shop", "Shop", "id"),
    ),
    _profit(
        "profit_by_cohort", "Profit by month of order", "Refunds stand in the month of their order." + _TAIL,
        "cohort", "cohort", Column("cohort", "Month of order", "month"),
    ),
)  # fmt: skip
