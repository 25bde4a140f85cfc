"""Discounts to lines: PrestaShop's ratio, product rules and gifts to their own, the header holds."""

from __future__ import annotations

from typing import Any

from ps_qb_pipeline.accounting import discounts
from ps_qb_pipeline.accounting.shop import Order
from ps_qb_pipeline_tests.accounting.factory import cart_rule, d, detail, order, pair


def divide(shopping: Order, **changes: Any) -> discounts.Discount:
    return discounts.divide(
        shopping,
        shopping.discounts,
        shopping.cart_rules,
        shopping.shipping,
        **{"gifts_to_their_line": True, **changes},
    )


def two_lines(discount: tuple[str, str], *rules: Any, **changes: Any) -> Order:
    return order(
        detail(1, unit=pair("50", "60"), total=pair("50.00", "60.00")),
        detail(2, unit=pair("25", "30"), total=pair("25.00", "30.00")),
        discounts=pair(*discount),
        cart_rules=rules,
        **changes,
    )


def test_a_general_discount_divides_by_the_lines_share() -> None:
    """7.50 off 75.00 is 5.00 and 2.50."""
    assert divide(two_lines(("7.50", "9.00"), cart_rule("7.50", "9.00"))).lines == [d("5.00"), d("2.50")]


def test_a_product_rule_stays_with_its_product() -> None:
    """The rest of the discount divides over all lines."""
    made = divide(
        two_lines(
            ("10.50", "12.60"), cart_rule("3.00", "3.60", reduction_product=2), cart_rule("7.50", "9.00")
        )
    )
    assert made.lines == [d("5.00"), d("5.50")]


def test_a_gift_is_taken_off_its_own_line_or_spread_as_the_shop_taxes_it() -> None:
    """Where books compute the tax, the shop's spreading of gifts is followed instead."""
    shopping = two_lines(("25.00", "30.00"), cart_rule("25.00", "30.00", gift_product=2))
    assert divide(shopping).lines == [d("0.00"), d("25.00")]
    assert divide(shopping, gifts_to_their_line=False).lines == [d("16.67"), d("8.33")]


def test_free_shipping_takes_the_shipping_and_no_more() -> None:
    """The rest of a rule that also gives a percentage goes to the goods."""
    made = divide(
        two_lines(
            ("12.50", "15.00"), cart_rule("12.50", "15.00", free_shipping=True), shipping=pair("5.00", "6.00")
        )
    )
    assert (made.shipping, made.lines) == (d("5.00"), [d("5.00"), d("2.50")])


def test_the_header_holds_where_the_rules_do_not_sum_to_it() -> None:
    """A capped discount is divided as the header has it, and that is said."""
    made = divide(two_lines(("6.00", "7.20"), cart_rule("9.00", "10.80")))
    assert sum(made.lines) == d("6.00")
    assert made.rules_differ


def test_product_rules_above_the_header_are_cut_to_it() -> None:
    """Never more is taken off than the order took off."""
    made = divide(two_lines(("6.00", "7.20"), cart_rule("9.00", "10.80", reduction_product=1)))
    assert made.lines == [d("6.00"), d("0.00")]
