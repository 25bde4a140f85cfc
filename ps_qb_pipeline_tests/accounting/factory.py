"""Small typed values for tests: an order is a few keywords away.

What lives here: builders with defaults of a plain French order. What does not: expectations.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting.policy import PaymentMethod, Policy, TaxCode, TaxRate, TaxRule
from ps_qb_pipeline.accounting.shop import (
    Address,
    CartRule,
    Detail,
    Invoice,
    Order,
    Pair,
    Payment,
    Person,
    ReferenceGroup,
    Shop,
    Slip,
    SlipLine,
    State,
    StateChange,
)

AT = datetime(2026, 3, 2, 10)  # noqa: DTZ001 -- shop-local wall time
LONG_AGO = date(2000, 1, 1)
ZERO = Decimal(0)


def d(text: str | int) -> Decimal:
    """A decimal."""
    return Decimal(str(text))


def pair(te: str, ti: str) -> Pair:
    """Net and gross."""
    return Pair(d(te), d(ti))


PAID = State(2, "Payment accepted", paid=True, invoice=True, logable=True, shipped=False, delivery=False)
WAITING = State(10, "Awaiting wire", paid=False, invoice=False, logable=False, shipped=False, delivery=False)
SHIPPED = State(4, "Shipped", paid=True, invoice=True, logable=True, shipped=True, delivery=True)
CANCELLED = State(
    6, "Cancelled", paid=False, invoice=False, logable=False, shipped=False, delivery=False, is_cancel=True
)
REFUNDED = State(
    7, "Refunded", paid=False, invoice=True, logable=False, shipped=False, delivery=False, is_refund=True
)
ERROR = State(
    8, "Error", paid=False, invoice=False, logable=False, shipped=False, delivery=False, is_error=True
)


def detail(number: int = 1, **changes: Any) -> Detail:
    """One unit at 10.00 net, 12.00 gross, tax 1 (20 %)."""
    values: dict[str, Any] = {
        "id": number,
        "product_id": number,
        "product_attribute_id": 0,
        "name": f"Thing {number}",
        "sku": f"SKU-{number}",
        "quantity": 1,
        "quantity_refunded": 0,
        "quantity_return": 0,
        "quantity_reinjected": 0,
        "unit": pair("10", "12"),
        "total": pair("10.00", "12.00"),
        "refunded": Pair(ZERO, ZERO),
        "ecotax": ZERO,
        "ecotax_tax_rate": ZERO,
        "tax_computation_method": 0,
        "id_tax_rules_group": 1,
        "taxes": (1,),
    }
    return Detail(**{**values, **changes})


def order(*details: Detail, **changes: Any) -> Order:
    """A paid order of the details (one thing when none are given), without shipping or discount."""
    lines = details or (detail(),)
    products = Pair(sum((x.total.te for x in lines), ZERO), sum((x.total.ti for x in lines), ZERO))
    nothing = Pair(ZERO, ZERO)
    discounts = changes.get("discounts", nothing)
    shipping = changes.get("shipping", nothing)
    wrapping = changes.get("wrapping", nothing)
    paid = changes.get(
        "paid",
        Pair(
            products.te - discounts.te + shipping.te + wrapping.te,
            products.ti - discounts.ti + shipping.ti + wrapping.ti,
        ),
    )
    values: dict[str, Any] = {
        "id": 1,
        "reference": "ABCDEFGHI",
        "id_cart": 1,
        "id_shop": 1,
        "id_carrier": 1,
        "carrier": "Post",
        "currency": "EUR",
        "conversion_rate": d(1),
        "round_type": 1,
        "round_mode": 2,
        "carrier_tax_rate": d(20) if shipping.tax else ZERO,
        "products": products,
        "discounts": discounts,
        "shipping": shipping,
        "wrapping": wrapping,
        "paid": paid,
        "total_paid": paid.ti,
        "module": "",
        "payment": "Card",
        "state": PAID,
        "invoice_number": 7,
        "invoice_date": AT,
        "delivery_date": None,
        "date_add": AT,
        "customer": Person(5, "Ada", "Sample", "ada@example.test"),
        "invoice_address": FRANCE,
        "delivery_address": FRANCE,
        "details": lines,
        "cart_rules": (),
        "slips": (),
        "history": (StateChange(1, PAID, AT),),
        "invoices": (Invoice(1, 7, paid, AT),),
    }
    return Order(**{**values, **changes})


def payment(amount: str, **changes: Any) -> Payment:
    """A card payment with a transaction id."""
    values: dict[str, Any] = {
        "id": 1,
        "amount": d(amount),
        "currency": "EUR",
        "label": "Card",
        "conversion_rate": d(1),
        "transaction_id": "T1",
        "id_employee": 0,
        "date_add": AT,
    }
    return Payment(**{**values, **changes})


def slip(*lines: SlipLine, **changes: Any) -> Slip:
    """A credit slip that is the sum of its lines, nine days later."""
    products = Pair(sum((x.amount.te for x in lines), ZERO), sum((x.amount.ti for x in lines), ZERO))
    values: dict[str, Any] = {
        "id": 31,
        "date_add": AT.replace(day=11),
        "products": products,
        "shipping": Pair(ZERO, ZERO),
        "amount": products.ti,
        "order_slip_type": 0,
        "conversion_rate": d(1),
        "lines": lines,
    }
    return Slip(**{**values, **changes})


def cart_rule(te: str, ti: str, **changes: Any) -> CartRule:
    """A live discount."""
    values: dict[str, Any] = {
        "id": 1,
        "id_cart_rule": 1,
        "name": "off",
        "value": pair(te, ti),
        "free_shipping": False,
    }
    return CartRule(**{**values, **changes})


FRANCE = Address(1, "FR", "", "69001", "Lyon", "1 Sample Street", "", "", "Ada", "Sample")
GERMANY = Address(2, "DE", "", "10115", "Berlin", "2 Musterweg", "", "", "Ada", "Sample")
QUEBEC = Address(3, "CA", "QC", "G1R 2B5", "Quebec", "3 Rue", "", "", "Ada", "Sample")

SHOP = Shop(
    default_currency="EUR",
    default_country="FR",
    currency_rates={"EUR": d(1), "USD": d("1.08"), "JPY": d(160)},
    tax_percents={1: d("20.000"), 2: d("5.500"), 3: d("19.000"), 4: d("9.975"), 5: d("5.000"), 6: d("0.000")},
    tax_places={1: frozenset({"FR"}), 2: frozenset({"FR"}), 3: frozenset({"DE"})},
    group_places={1: frozenset({"FR", "DE", "CA"}), 9: frozenset()},
)


def group(*orders: Order, payments: tuple[Payment, ...] = (), shop: Shop = SHOP) -> ReferenceGroup:
    """The orders of one cart with their payments."""
    return ReferenceGroup("ABCDEFGHI", 1, orders, payments, shop)


def policy(**changes: Any) -> Policy:
    """A French company with three methods and the usual codes, plain form."""
    rates = {
        "FR20": ("20",),
        "FR55": ("5.5",),
        "DE19-OSS": ("19",),
        "CA-QC": ("9.975", "5"),
        "QC-QST": ("9.975",),
        "QC-GST": ("5",),
        "EX0": ("0",),
        "RC0": ("0",),
        "EXP0": ("0",),
        "OOS": ("0",),
    }
    names = {"9.975": "QST 9.975", "5": "GST 5"}
    codes = {
        code: TaxCode(tuple(TaxRate(names.get(rate, f"{code} {rate}"), d(rate)) for rate in own))
        for code, own in rates.items()
    }
    rules = (
        TaxRule("FR20", (d(20),), ("FR",)),
        TaxRule("FR55", (d("5.5"),), ("FR",)),
        TaxRule("DE19-OSS", (d(19),), ("DE",), scheme="oss"),
        TaxRule("CA-QC", (d(5), d("9.975")), ("CA",), ("QC",), scheme="foreign"),
        TaxRule("RC0", scheme="intra_community"),
        TaxRule("RC0", scheme="reverse_charge"),
        TaxRule("EXP0", scheme="export"),
        TaxRule("EX0", scheme="exempt"),
    )
    values: dict[str, Any] = {
        "tax_codes": codes,
        "tax_rules": rules,
        "tax_amounts": "override",
        "methods": {
            "Card": PaymentMethod(account="Clearing:Card {CUR}", code="CRD", books_name="Credit card"),
            "Wire": PaymentMethod(
                kind="wire", account="Bank:Main {CUR}", holding_account="Clearing:Wire {CUR}", code="BW"
            ),
            "Cash on delivery": PaymentMethod(
                modules=("ps_cashondelivery",),
                kind="cod",
                account="Clearing:COD {CUR}",
                carrier_accounts={"Courier": "Clearing:Courier COD {CUR}"},
            ),
        },
    }
    return Policy(**{**values, **changes})
