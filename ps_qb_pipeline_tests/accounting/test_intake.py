"""Rows to groups: what belongs together, and what cannot be read."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting import intake
from ps_qb_pipeline_tests.accounting.factory import AT, d
from ps_qb_pipeline_tests.properties.checkout import Cart, CartLine, Checkout

CART = Cart((CartLine(d(10), 1, 1),), 1, 2, 0, Decimal(0))


def shop(count: int = 1) -> Checkout:
    made = Checkout()
    for _ in range(count):
        made.place(CART)
    return made


def test_orders_of_one_cart_are_one_group_with_their_payments() -> None:
    """Reference and cart make the group; payments follow the reference."""
    made = shop(3)
    for row in made.tables["orders"][1:]:
        row["reference"], row["id_cart"] = "REF000001", 1
    for row in made.tables["order_payments"]:
        row["order_reference"] = "REF000001"
    (group,) = intake.groups(made.tables)
    assert [order.id for order in group.orders] == [1, 2, 3]
    assert [payment.id for payment in group.payments] == [1, 2, 3]


def test_a_reference_used_twice_keeps_its_payments_apart() -> None:
    """References are not unique by design: a payment goes to the cart that began before it."""
    made = shop(2)
    for row in made.tables["orders"]:
        row["reference"] = "SAME"
    made.tables["orders"][1]["date_add"] = AT + timedelta(days=50)
    for row, days in zip(made.tables["order_payments"], (1, 51), strict=True):
        row["order_reference"], row["date_add"] = "SAME", AT + timedelta(days=days)
    groups = list(intake.groups(made.tables))
    assert [[payment.id for payment in group.payments] for group in groups] == [[1], [2]]


def test_a_row_that_cannot_be_read_poisons_its_order_only() -> None:
    """The reason names the field, never its value."""
    made = shop(2)
    made.tables["order_details"][0]["total_price_tax_incl"] = None
    first, second = intake.groups(made.tables)
    assert [(poison.source_type, poison.order_id, poison.reason) for poison in first.poison] == [
        ("detail", 1, "total_price_tax_incl is empty")
    ]
    assert second.poison == ()


def test_an_order_without_currency_or_total_is_poisoned_itself() -> None:
    """Nothing can be booked without either."""
    for field in ("id_currency", "total_paid_tax_incl"):
        made = shop()
        made.tables["orders"][0][field] = None
        (group,) = intake.groups(made.tables)
        assert (group.orders, group.poison[0].source_type) == ((), "order")


def test_deleted_rules_and_taxes_of_number_zero_do_not_count() -> None:
    """A rule taken off again is no discount; tax 0 is how an exemption module leaves its mark."""
    made = shop()
    made.place(Cart((CartLine(d(10), 1, 1),), 1, 2, 10, Decimal(0)))
    made.tables["order_cart_rules"][0]["deleted"] = True
    made.tables["order_details"][0]["taxes"] = [{"id": 0}]
    first, second = intake.groups(made.tables)
    assert first.orders[0].details[0].taxes == ()
    assert second.orders[0].cart_rules == ()


def test_a_slip_finds_the_voucher_that_was_made_of_it() -> None:
    """Code pattern and time link the two; what remains of an older voucher does not."""
    made = shop()
    made.refund(1, 3, [(0, 1)])
    at = made.tables["order_slip"][0]["date_add"]
    made.tables["cart_rules"] = [
        {"id": 8, "code": "V8C7O1", "date_from": at},
        {"id": 9, "code": "V8C7O1-2", "date_from": at},
        {"id": 10, "code": "V10C7O99", "date_from": at},
    ]
    (group,) = intake.groups(made.tables)
    assert group.orders[0].slips[0].voucher_code == "V8C7O1"


def test_histories_are_in_the_order_of_their_times() -> None:
    """Ids of histories do not follow their dates."""
    made = shop()
    late: dict[str, Any] = {"id": 1, "id_order": 1, "id_order_state": 2, "date_add": AT + timedelta(days=400)}
    made.tables["order_histories"][0]["id"] = 2
    made.tables["order_histories"].append(late)
    (group,) = intake.groups(made.tables)
    assert [change.id for change in group.orders[0].history] == [2, 1]


def test_without_a_round_mode_the_tax_rows_cannot_be_recomputed() -> None:
    """Then tax is what the bases give."""
    made = shop()
    made.tables["orders"][0]["round_mode"] = None
    (group,) = intake.groups(made.tables)
    assert not group.orders[0].rounding_known


def test_chunks_share_what_was_read_once() -> None:
    """A chunk with only its own rows gives the same group as the whole shop."""
    made = shop(4)
    facts = intake.read_shop(made.tables)
    whole = list(intake.groups(made.tables))
    chunk = dict(made.tables)
    for name, key in (("orders", "id"), ("order_details", "id_order"), ("order_histories", "id_order")):
        chunk[name] = [row for row in made.tables[name] if row[key] == 3]
    chunk["order_payments"] = [row for row in made.tables["order_payments"] if row["id"] == 3]
    (alone,) = intake.groups(chunk, facts)
    assert alone.orders == whole[2].orders
    assert alone.payments == whole[2].payments
