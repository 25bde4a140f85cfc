"""A shop of any size, generated inside DuckDB as landed raw rows.

What lives here: orders, lines, payments, histories, invoices, slips, customers, addresses and the small
tables, in amounts that PrestaShop itself could have computed (rounding by item, tax on each unit).
What does not: the books of that shop (``books_volume``) and any measuring (``volume``). The same number
of orders always gives the same rows.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import duckdb

from ps_qb_pipeline.accounting.policy import PaymentMethod, Policy, TaxCode, TaxRate, TaxRule
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.warehouse import raw

GO_LIVE = date(2023, 1, 1)

POLICY = Policy(
    home_currency="EUR",
    seller_country="FR",
    tax_codes={
        "FR20": TaxCode((TaxRate("FR 20", Decimal(20)),)),
        "FR5.5": TaxCode((TaxRate("FR 5.5", Decimal("5.5")),)),
        "DE19": TaxCode((TaxRate("DE 19", Decimal(19)),)),
        "DE7": TaxCode((TaxRate("DE 7", Decimal(7)),)),
        "OOS": TaxCode(()),
    },
    tax_rules=(
        TaxRule("FR20", (Decimal(20),), ("FR",)),
        TaxRule("FR5.5", (Decimal("5.5"),), ("FR",)),
        TaxRule("DE19", (Decimal(19),), ("DE",), scheme="oss"),
        TaxRule("DE7", (Decimal(7),), ("DE",), scheme="oss"),
        TaxRule("DE19", (Decimal(19),), ("DE",)),
        TaxRule("DE7", (Decimal(7),), ("DE",)),
    ),
    methods={
        "stripe": PaymentMethod(("Card",), ("stripe",), "card", "STR", "Clearing:Stripe {CUR}"),
        "paypal": PaymentMethod(("PayPal",), ("paypal",), "card", "PP", "Clearing:PayPal {CUR}"),
        "bankwire": PaymentMethod(("Bank transfer",), ("ps_wirepayment",), "wire", "BW", "Bank:Main {CUR}"),
    },
)
"""The accountant's settings of this shop."""

_SMALL = {
    "currencies": """
        select * from (values
            (1, 'EUR', 'Euro', 1.0, 2, true, false), (2, 'USD', 'US Dollar', 1.08, 2, true, false)
        ) as rows (id, iso_code, name, conversion_rate, precision, active, deleted)""",
    "countries": """
        select * from (values (8, 1, 'FR', 'France', true, false), (1, 1, 'DE', 'Germany', true, false))
        as rows (id, id_zone, iso_code, name, active, contains_states)""",
    "taxes": """
        select * from (values (1, 20.0), (2, 5.5), (3, 19.0), (4, 7.0)) as rows (id, rate)""",
    "tax_rules": """
        select * from (values
            (1, 1, 8, 0, 1, 0), (2, 2, 8, 0, 2, 0), (3, 1, 1, 0, 3, 0), (4, 2, 1, 0, 4, 0)
        ) as rows (id, id_tax_rules_group, id_country, id_state, id_tax, behavior)""",
    "tax_rule_groups": """
        select * from (values (1, 'Standard', true, false), (2, 'Reduced', true, false))
        as rows (id, name, active, deleted)""",
    "order_states": """
        select * from (values
            (2, 'Payment accepted', true, true, true, false, false),
            (4, 'Shipped', true, true, true, true, true),
            (5, 'Delivered', true, true, true, true, true),
            (6, 'Cancelled', false, false, false, false, false),
            (10, 'Awaiting wire', false, false, false, false, false)
        ) as rows (id, name, paid, logable, invoice, shipped, delivery)""",
    "carriers": "select 1 as id, 1 as id_reference, 'Post' as name, true as active",
    "shops": "select 1 as id, 1 as id_shop_group, 'Shop' as name, true as active",
    "languages": "select 1 as id, 'English' as name, 'en' as iso_code, true as active",
    "configurations": """
        select * from (values
            (1, 'PS_CURRENCY_DEFAULT', '1'), (2, 'PS_TIMEZONE', 'Europe/Paris'), (3, 'PS_COUNTRY_DEFAULT', '8'),
            (4, 'PS_TAX_ADDRESS_TYPE', 'id_address_delivery'), (5, 'PS_ROUND_TYPE', '1')
        ) as rows (id, name, value)""",
}

_BIG = {
    "products": """
        select
            range + 1 as id, 1 as id_shop_default, range % 40 + 3 as id_category_default,
            if(range % 4 = 0, 2, 1) as id_tax_rules_group, 'SKU-' || (range + 1) as reference,
            'Product ' || (range + 1) as name, (199 + hash(range) % 9800) / 100 as price,
            (99 + hash(range) % 4000) / 100 as wholesale_price, 0 as ecotax, false as is_virtual, true as active, 1 as state
        from range(products())""",
    "customers": """
        select
            range + 1 as id, 1 as id_shop, 1 as id_default_group, 'First' || range as firstname, 'Last' || range as lastname,
            'c' || range || '@example.test' as email, '' as company, false as is_guest, true as active, false as deleted
        from range(customers())""",
    "addresses": """
        select
            range + 1 as id, range + 1 as id_customer, if(range % 5 = 0, 1, 8) as id_country, 0 as id_state,
            'home' as alias, '' as company, '' as vat_number, 'First' || range as firstname, 'Last' || range as lastname,
            (range % 300) || ' Long Street' as address1, '75001' as postcode, 'Paris' as city, '0102030405' as phone,
            false as deleted
        from range(customers())""",
    "order_details": """
        select
            id, id_order, id as id_order_invoice, 1 as id_shop, product_id, 0 as product_attribute_id,
            'Product ' || product_id as product_name, 'SKU-' || product_id as product_reference, quantity as product_quantity,
            if(refunded, quantity, 0) as product_quantity_refunded, 0 as product_quantity_return,
            0 as product_quantity_reinjected, unit_te as product_price, unit_te as original_product_price,
            round(unit_te * 0.6, 6) as original_wholesale_price, unit_te as unit_price_tax_excl,
            unit_ti as unit_price_tax_incl, line_te as total_price_tax_excl, line_ti as total_price_tax_incl,
            if(refunded, line_te, 0) as total_refunded_tax_excl, if(refunded, line_ti, 0) as total_refunded_tax_incl,
            0 as ecotax, 0 as ecotax_tax_rate, 0 as tax_computation_method,
            if(tax in (1, 3), 1, 2) as id_tax_rules_group, '[{"id":' || tax || '}]' as taxes
        from bench_lines""",
    "orders": """
        select
            id, 1 as id_shop, 1 as id_shop_group, customer as id_customer, customer as id_address_invoice,
            customer as id_address_delivery, id as id_cart, currency as id_currency, 1 as id_lang, 1 as id_carrier,
            if(cancelled, 6, 5) as current_state, reference, module, label as payment, not cancelled as valid,
            false as gift, if(cancelled, 0, id) as invoice_number, if(cancelled, null, made) as invoice_date,
            if(cancelled, null, made) as delivery_date, '' as note, if(currency = 1, 1.0, 1.08) as conversion_rate,
            2 as round_mode, 1 as round_type, if(german, 19.0, 20.0) as carrier_tax_rate,
            products_te as total_products, products_ti as total_products_wt, 0 as total_discounts_tax_excl,
            0 as total_discounts_tax_incl, shipping_te as total_shipping_tax_excl, shipping_ti as total_shipping_tax_incl,
            0 as total_wrapping_tax_excl, 0 as total_wrapping_tax_incl, products_ti + shipping_ti as total_paid,
            products_te + shipping_te as total_paid_tax_excl, products_ti + shipping_ti as total_paid_tax_incl,
            if(cancelled, 0, products_ti + shipping_ti) as total_paid_real, made as date_add, made as date_upd
        from bench_orders""",
    "order_payments": """
        select
            id, reference as order_reference, currency as id_currency, products_ti + shipping_ti as amount,
            label as payment_method, 1 as conversion_rate, 'tx' || id as transaction_id, 0 as id_employee, made as date_add
        from bench_orders where not cancelled""",
    "order_histories": """
        select id * 3 + step as id, id as id_order, state as id_order_state, 0 as id_employee, made + to_minutes(step) as date_add
        from (
            select id, made, unnest(if(cancelled, [10, 6], [2, 4, 5])) as state,
                generate_subscripts(if(cancelled, [10, 6], [2, 4, 5]), 1) - 1 as step
            from bench_orders
        )""",
    "order_invoices": """
        select
            id, id as id_order, id as number, products_te + shipping_te as total_paid_tax_excl,
            products_ti + shipping_ti as total_paid_tax_incl, products_te as total_products, products_ti as total_products_wt,
            shipping_te as total_shipping_tax_excl, shipping_ti as total_shipping_tax_incl, made as date_add
        from bench_orders where not cancelled""",
    "order_carriers": """
        select id, id as id_order, 1 as id_carrier, shipping_te as shipping_cost_tax_excl, shipping_ti as shipping_cost_tax_incl,
            made as date_add
        from bench_orders""",
    "order_slip": """
        select
            id, id_order, any_value(customer) as id_customer, any_value(rate) as conversion_rate,
            sum(line_te) as total_products_tax_excl, sum(line_ti) as total_products_tax_incl, 0 as total_shipping_tax_excl,
            0 as total_shipping_tax_incl, sum(line_ti) as amount, false as shipping_cost, 0 as shipping_cost_amount,
            0 as order_slip_type, any_value(made) + interval 3 day as date_add, any_value(made) + interval 3 day as date_upd,
            to_json(list({id: id, id_order_detail: line, product_quantity: quantity, amount_tax_excl: line_te,
                amount_tax_incl: line_ti})) as order_slip_details
        from (
            select id_order as id, id_order, bench_lines.id as line, quantity, line_te, line_ti, made, customer,
                if(currency = 1, 1.0, 1.08) as rate
            from bench_lines inner join bench_orders on bench_lines.id_order = bench_orders.id
            where refunded
        )
        group by id, id_order""",
}


def land_shop(con: duckdb.DuckDBPyConnection, orders: int) -> None:
    """Fills every ``raw.prestashop_*`` table of a shop with that many orders."""
    con.execute(f"create or replace temp macro products() as {max(50, orders // 100)}")
    con.execute(f"create or replace temp macro customers() as {max(10, orders * 2 // 5)}")
    _facts(con, orders)
    for name, resource in RESOURCES.items():
        raw.create_table(con, f"raw.prestashop_{name}", resource.columns)
        sql = _SMALL.get(name) or _BIG.get(name)
        if sql:
            _land(con, f"raw.prestashop_{name}", sql)
    con.execute("drop table bench_orders; drop table bench_lines")


def _facts(con: duckdb.DuckDBPyConnection, orders: int) -> None:
    """What the tables have in common: one row an order, one row a line. 1 in 20 is refunded, 1 in 50 cancelled."""
    con.execute(
        f"""
        create or replace temp table bench_lines as
        with lines as (
            select
                orders.range + 1 as id_order,
                number,
                hash(orders.range * 7 + number) as seed,
                (hash(orders.range) % customers())::bigint % 5 = 0 as german
            from range({orders}) as orders, range(1, 6) as numbers (number)
            where number <= 1 + hash(orders.range + 13) % 5 // 2 + hash(orders.range + 3) % 2
        ),
        priced as (
            select
                *, (1 + seed % products())::bigint as product_id, (1 + seed // 7 % 3)::bigint as quantity,
                ((199 + seed // 11 % 9800) / 100)::decimal(12, 2) as unit_te
            from lines
        ),
        taxed as (
            select *, if((product_id - 1) % 4 = 0, if(german, 4, 2), if(german, 3, 1)) as tax
            from priced
        ),
        rated as (
            select *, round(unit_te * case tax when 1 then 1.20 when 2 then 1.055 when 3 then 1.19 else 1.07 end, 2)
                ::decimal(12, 2) as unit_ti
            from taxed
        )
        select
            id_order * 8 + number as id, id_order, product_id, quantity, tax, unit_te, unit_ti,
            unit_te * quantity as line_te, unit_ti * quantity as line_ti,
            number = 1 and id_order % 20 = 0 as refunded
        from rated
        """
    )
    con.execute(
        f"""
        create or replace temp table bench_orders as
        with orders as (
            select
                range + 1 as id,
                1 + (hash(range) % customers())::bigint as customer,
                if(hash(range + 5) % 20 = 0, 2, 1) as currency,
                (range + 1) % 50 = 7 as cancelled,
                timestamp '2023-01-01 08:00:00' + to_seconds(range * 94608000 // {max(orders, 1)}) as made,
                (hash(range + 9) % 3)::bigint as method,
                'R' || lpad((range + 1)::varchar, 8, '0') as reference
            from range({orders})
        ),
        totals as (
            select id_order, sum(line_te) as products_te, sum(line_ti) as products_ti from bench_lines group by id_order
        )
        select
            orders.*, products_te, products_ti, 4.90::decimal(12, 2) as shipping_te,
            (customer - 1) % 5 = 0 as german,
            round(4.90 * if((customer - 1) % 5 = 0, 1.19, 1.20), 2)::decimal(12, 2) as shipping_ti,
            ['stripe', 'paypal', 'ps_wirepayment'][method + 1] as module,
            ['Card', 'PayPal', 'Bank transfer'][method + 1] as label
        from orders inner join totals on orders.id = totals.id_order
        """
    )


def _land(con: duckdb.DuckDBPyConnection, table: str, sql: str) -> None:
    made = f"""
        select 'bench' as connection, rows.*, md5(rows.id::varchar) as hash, false as deleted_at_source,
            timestamptz '2026-01-01 00:00:00+00' as fetched_at, row_number() over (order by rows.id) as landing_id,
            to_json(rows) as payload
        from ({sql}) as rows
        order by rows.id
    """
    con.execute(f"insert into {table} by name {made}")
