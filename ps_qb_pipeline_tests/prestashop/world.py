"""A small shop to test on: orders with everything that belongs to them, in the double's tables."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ps_qb_pipeline_tests.prestashop.shop_double import START, ShopDouble, blank, stamp


def shop_with(orders: int = 3, *, lines: int = 2, age: timedelta = timedelta(days=30)) -> ShopDouble:
    """A shop of ``orders`` paid orders, the newest ``age`` old."""
    double = ShopDouble()
    tables = double.tables
    for name, value in (
        ("PS_TIMEZONE", "Europe/Paris"),
        ("PS_LANG_DEFAULT", "1"),
        ("PS_CURRENCY_DEFAULT", "1"),
    ):
        tables["configurations"].append(
            blank("configurations", id=len(tables["configurations"]) + 1, name=name, value=value, id_shop="")
        )
    for name, value in (("PS_ROUND_TYPE", "2"), ("PS_PRICE_ROUND_MODE", "2")):
        tables["configurations"].append(
            blank("configurations", id=len(tables["configurations"]) + 1, name=name, value=value, id_shop="")
        )
    tables["languages"].append(blank("languages", id=1, iso_code="en", active="1"))
    tables["shops"].append(blank("shops", id=1, name="One", active=1))
    tables["currencies"].append(blank("currencies", id=1, iso_code="EUR", active="1"))
    tables["countries"].append(blank("countries", id=8, iso_code="FR"))
    tables["taxes"].append(blank("taxes", id=1, rate="20.000", name="VAT"))
    tables["carriers"].append(blank("carriers", id=2, name="Post"))
    tables["tax_rule_groups"].append(blank("tax_rule_groups", id=1, name="Standard", active="1"))
    tables["tax_rules"].append(blank("tax_rules", id=1, id_tax_rules_group=1, id_tax=1))
    for number, flags in (
        (1, {}),
        (2, {"paid": "1", "invoice": "1"}),
        (5, {"paid": "1", "invoice": "1", "shipped": "1"}),
    ):
        tables["order_states"].append(blank("order_states", id=number, name=f"state {number}", **flags))
    tables["products"].append(blank("products", id=1, reference="PEN", name="Pen", state=1))
    for _ in range(orders):
        add_order(double, at=START - age, lines=lines)
    return double


def add_order(double: ShopDouble, *, at: datetime | None = None, lines: int = 2) -> int:
    """Places one paid order now, or ``at`` that wall time; returns its id."""
    tables = double.tables
    moment = stamp(at or double.now)
    number = double.next_id("orders")
    reference = f"REF{number:06}"
    tables["customers"].append(
        blank("customers", id=number, email=f"c{number}@example.test", date_add=moment, date_upd=moment)
    )
    tables["addresses"].append(
        blank("addresses", id=number, id_customer=number, id_country=8, date_add=moment, date_upd=moment)
    )
    tables["orders"].append(
        blank(
            "orders",
            id=number,
            id_shop=1,
            reference=reference,
            id_customer=number,
            id_address_invoice=number,
            id_address_delivery=number,
            id_currency=1,
            id_carrier=2,
            current_state=2,
            valid="1",
            conversion_rate="1.000000",
            total_products=f"{10 * lines}.000000",
            total_paid_tax_incl=f"{12 * lines}.000000",
            total_paid_real=f"{12 * lines}.000000",
            date_add=moment,
            date_upd=moment,
        )
    )
    for _ in range(lines):
        add_row(double, "order_details", id_order=number, product_id=1, product_quantity=1, taxes=[{"id": 1}])
    add_row(
        double, "order_payments", order_reference=reference, amount=f"{12 * lines}.000000", date_add=moment
    )
    add_row(double, "order_histories", id_order=number, id_order_state=2, date_add=moment)
    add_row(double, "order_invoices", id_order=number, number=number, date_add=moment)
    add_row(double, "order_carriers", id_order=number, id_carrier=2, date_add=moment)
    return number


def add_row(double: ShopDouble, name: str, /, **values: Any) -> int:
    """Adds one object to the table ``name``; returns its id."""
    number = double.next_id(name)
    double.tables[name].append(blank(name, id=number, **values))
    return number


def add_slip(double: ShopDouble, order: int, amount: str = "12.000000") -> int:
    """Refunds a line of ``order``, as PrestaShop does: the order's header is not touched."""
    line = next(row for row in double.tables["order_details"] if row["id_order"] == order)
    line["product_quantity_refunded"] = 1
    return add_row(
        double,
        "order_slip",
        id_order=order,
        total_products_tax_incl=amount,
        date_add=stamp(double.now),
        date_upd=stamp(double.now),
        order_slip_details=[
            {"id": 1, "id_order_detail": line["id"], "product_quantity": 1, "amount_tax_incl": amount}
        ],
    )
