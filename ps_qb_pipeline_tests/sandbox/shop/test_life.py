"""A shop's life: orders whose amounts hold together, and what each deed does to ``date_upd``."""

from __future__ import annotations

from decimal import Decimal
from math import prod

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.sandbox.shop.aftersales import POISON
from ps_qb_pipeline_tests.sandbox.shop.asking import Asked

CENT = Decimal("0.01")
LATER = "2026-11-20 08:00:00"


def amount(row: dict, column: str) -> Decimal:
    return Decimal(row[column])


def check_order(shop, order: dict) -> None:
    """The identities of an order that a PrestaShop computed."""
    details = shop.rows("order_details", id_order=order["id"])
    assert details
    for side, products in (("incl", "total_products_wt"), ("excl", "total_products")):
        lines = sum(amount(d, f"total_price_tax_{side}") for d in details)
        assert abs(lines - amount(order, products)) <= (CENT / 2 if order["round_type"] == 3 else 0)
        parts = (
            amount(order, products)
            + amount(order, f"total_shipping_tax_{side}")
            + amount(order, f"total_wrapping_tax_{side}")
        )
        gap = abs(
            parts - amount(order, f"total_discounts_tax_{side}") - amount(order, f"total_paid_tax_{side}")
        )
        assert gap <= CENT * ((len(details) + 2) // 2)
    assert order["total_paid"] == order["total_paid_tax_incl"]
    for detail in details:
        taxes = (detail["associations"] or {}).get("taxes", [])
        rates = [Decimal(str(shop.get("taxes", t["id"])["rate"])) / 100 for t in taxes]
        # Method 2 lays one tax upon the other, as Prince Edward Island once did: 5 % and 10 % are 15.5 %.
        compound = detail["tax_computation_method"] == 2
        factor = prod(1 + rate for rate in rates) if compound else 1 + sum(rates)
        unit = amount(detail, "unit_price_tax_excl") * factor
        assert abs(unit - amount(detail, "unit_price_tax_incl")) <= Decimal("0.000002")
        assert detail["product_quantity"] >= detail["product_quantity_refunded"] >= 0
    rules = sum(amount(r, "value") for r in shop.rows("order_cart_rules", id_order=order["id"]))
    assert abs(rules - amount(order, "total_discounts_tax_incl")) <= 2 * CENT
    payments = sum(
        amount(p, "amount") for p in shop.rows("order_payments", order_reference=order["reference"])
    )
    assert payments == amount(order, "total_paid_real")
    invoices = shop.rows("order_invoices", id_order=order["id"])
    assert len(invoices) == (1 if order["invoice_number"] else 0)
    for invoice in invoices:
        assert invoice["total_paid_tax_incl"] == order["total_paid_tax_incl"]
        assert all(d["id_order_invoice"] == invoice["id"] for d in details)
    assert shop.rows("order_histories", id_order=order["id"])[-1]["id_order_state"] == order["current_state"]
    for slip in shop.rows("order_slip", id_order=order["id"]):
        parts = slip["associations"]["order_slip_details"]
        assert sum(Decimal(p["amount_tax_incl"]) for p in parts) == amount(slip, "total_products_tax_incl")


@settings(max_examples=5, deadline=None)
@example(seed=201, shop="boutique")
@given(seed=st.integers(0, 2**32), shop=st.sampled_from(["boutique", "recorded", "empty", "retail"]))
def test_whatever_happens_every_new_order_holds_together(seed, shop):
    """Sixty events by seed over each bundled shop."""
    asked = Asked(shop)
    before = set(asked.shop.tables["orders"].ids)
    asked.control(clock={"freeze": "2026-11-01 09:00:00"})
    told = asked.control(life={"seed": seed, "days": 5, "per_day": 12})
    new = [o for o in asked.shop.rows("orders") if o["id"] not in before]
    assert sorted(told["orders"]) == [o["id"] for o in new]
    assert told["now"] > "2026-11-01"
    for order in new:
        check_order(asked.shop, order)


def test_the_same_seed_lives_the_same_life():
    """Row by row."""
    lives = []
    for _ in range(2):
        asked = Asked("boutique")
        asked.control(clock={"freeze": "2026-11-01 09:00:00"})
        asked.control(life={"seed": 3, "events": 40})
        lives.append(
            {
                name: asked.shop.rows(name)
                for name in ("orders", "order_details", "order_payments", "customers")
            }
        )
    assert lives[0] == lives[1]


def test_a_placed_order_is_what_was_said():
    """Ten pens at 8.325 and 20 %, with ten percent off: the same amounts as the shop would reckon."""
    asked = Asked("recorded")
    told = asked.control(place_order={
        "customer": 1, "items": [{"reference": "PEN-001", "quantity": 10}], "carrier": 2, "shipping": "5.90", "wrapping": False,
        "discounts": [{"name": "Ten", "percent": 10}], "way": "card", "transaction": "TX-1",
    })  # fmt: skip
    order = asked.shop.get("orders", told["order"])
    assert (order["total_products"], order["total_products_wt"]) == ("83.250000", "99.900000")
    assert (order["total_discounts_tax_excl"], order["total_discounts_tax_incl"]) == ("8.330000", "9.990000")
    assert (order["total_shipping_tax_excl"], order["total_shipping_tax_incl"]) == ("5.900000", "7.080000")
    assert order["total_paid_tax_incl"] == "96.990000"
    assert (order["current_state"], order["valid"], order["total_paid_real"]) == (2, "1", "96.990000")
    payment = asked.shop.rows("order_payments", order_reference=order["reference"])[0]
    assert (payment["transaction_id"], payment["payment_method"]) == ("TX-1", "Credit card")


def test_a_foreign_order_is_reckoned_in_its_currency():
    """Prices times the rate of the day, which the order keeps; the checkout's payment bears the rate 1."""
    asked = Asked("recorded")
    told = asked.control(place_order={
        "customer": 1, "items": [{"product": 1, "quantity": 1}], "carrier": 1, "discounts": [], "wrapping": False,
        "way": "card", "currency": "USD",
    })  # fmt: skip
    order = asked.shop.get("orders", told["order"])
    assert (order["conversion_rate"], order["total_products"]) == ("1.082500", "9.010000")
    payment = asked.shop.rows("order_payments", order_reference=order["reference"])[0]
    assert (payment["id_currency"], payment["conversion_rate"]) == (2, "1.000000")


def test_a_refund_leaves_the_order_s_date_alone_and_marks_its_lines():
    """A sync by ``date_upd`` does not see it."""
    asked = Asked("boutique")
    told = asked.control(place_order={"way": "card", "discounts": []})
    asked.control(clock={"freeze": LATER})
    before = asked.shop.get("orders", told["order"])
    detail = told["details"][0]
    slip = asked.control(
        refund={
            "order": told["order"],
            "lines": [{"detail": detail, "quantity": 1}],
            "shipping": True,
            "restock": True,
        }
    )
    assert asked.shop.get("orders", told["order"]) == before
    row = asked.shop.get("order_details", detail)
    assert (row["product_quantity_refunded"], row["product_quantity_reinjected"]) == (1, 1)
    stored = asked.shop.get("order_slip", slip["slip"])
    assert (stored["date_upd"], stored["order_slip_type"], stored["shipping_cost"]) == (LATER, 2, "1")
    assert stored["amount"] == stored["total_products_tax_incl"]


@pytest.mark.parametrize(
    "deed",
    [
        {"pay": {"amount": "1.00"}},
        {"set_state": {"state": 2}},
        {"cancel": {}},
        {"edit": {"add": {"product": 1, "quantity": 1}}},
        {"corrupt_order": {"how": "total"}},
    ],
    ids=lambda d: next(iter(d)),
)
def test_these_deeds_move_the_order_s_date(deed):
    """As the core's do."""
    asked = Asked("boutique")
    told = asked.control(place_order={"way": "wire"})
    asked.control(clock={"freeze": LATER})
    ((name, arguments),) = deed.items()
    asked.control(**{name: {"order": told["order"]} | arguments})
    assert asked.shop.get("orders", told["order"])["date_upd"] == LATER


def test_an_edit_reckons_header_and_invoice_again():
    """A line more, a line less."""
    asked = Asked("boutique")
    told = asked.control(
        place_order={"way": "card", "items": [{"product": 1, "quantity": 2}, {"product": 2, "quantity": 1}]}
    )
    asked.control(edit={"order": told["order"], "add": {"product": 5, "quantity": 1}})
    asked.control(edit={"order": told["order"], "detail": told["details"][1], "quantity": 0})
    order = asked.shop.get("orders", told["order"])
    details = asked.shop.rows("order_details", id_order=order["id"])
    assert [d["product_id"] for d in details] == [1, 5]
    assert sum(amount(d, "total_price_tax_incl") for d in details) == amount(order, "total_products_wt")
    invoice = asked.shop.rows("order_invoices", id_order=order["id"])[0]
    assert invoice["total_paid_tax_incl"] == order["total_paid_tax_incl"]


def test_what_the_shop_would_not_allow_is_refused_in_words():
    """And nothing happens."""
    asked = Asked("boutique")
    told = asked.control(place_order={"way": "card"})
    for command in (
        {"refund": {"order": told["order"], "lines": [{"detail": told["details"][0], "quantity": 999}]}},
        {"pay": {"order": 999999}},
        {"place_order": {"items": [{"reference": "NO-SUCH"}]}},
        {"corrupt_order": {"order": told["order"], "how": "nonsense"}},
        {"nonsense": {}},
        {"fault": {"kind": "nonsense"}},
    ):
        answer = asked.client.put("/_control", json=command)
        assert answer.status_code == 400
        assert answer.json()["error"]
    assert asked.client.put("/_control", content=b"no json").status_code == 400


@pytest.mark.parametrize("how", [*POISON, "lines", "product"])
def test_a_poisoned_order_is_served_as_it_lies(how):
    """JSON stays JSON; the next order is untouched."""
    asked = Asked("boutique")
    first, second = asked.ids("/api/orders?sort=[id_ASC]&limit=2")
    untouched = asked.shop.get("orders", second)
    asked.control(corrupt_order={"order": first, "how": how})
    rows = asked.rows("/api/orders?display=full&sort=[id_ASC]&limit=2")
    assert [r["id"] for r in rows] == [first, second]
    assert asked.shop.get("orders", second) == untouched
