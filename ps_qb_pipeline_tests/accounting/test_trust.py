"""Whether stored totals can be trusted, and the repair of split shipping."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ps_qb_pipeline.accounting import trust
from ps_qb_pipeline.accounting.shop import Invoice
from ps_qb_pipeline_tests.accounting.factory import AT, d, detail, group, order, pair, payment


def code(shopping: object) -> str:
    return trust.check(shopping, shopping.shipping).code  # type: ignore[arg-type, attr-defined]


def test_rounding_is_bounded_by_type_mode_and_lines() -> None:
    """No gap per item or total; half the lines per line; every line with rounding up or down."""
    three = order(detail(1), detail(2), detail(3))
    assert trust.bound(three) == 0
    assert trust.bound(replace(three, round_mode=0)) == d("0.01")
    assert trust.bound(replace(three, round_type=2)) == d("0.02")
    assert trust.bound(replace(three, round_type=2, round_mode=1)) == d("0.04")
    assert trust.rounding_bound(order(*(detail(n) for n in range(1, 40)))) == d("0.10")


@pytest.mark.parametrize(
    "broken",
    [
        {"paid": pair("10.01", "12.00")},
        {"total_paid": d("12.01")},
        {"paid": pair("12.10", "12.00")},
        {"products": pair("10.00", "12.02"), "paid": pair("10.00", "12.02"), "total_paid": d("12.02")},
        {"discounts": pair("-1.00", "0.00")},
    ],
)
def test_totals_that_do_not_add_up_break_the_order(broken: dict) -> None:
    """A cent is enough where rounding explains none."""
    assert code(replace(order(), **broken)) == "PS_IDENTITY_BREAK"


def test_a_discount_larger_without_tax_is_the_shops_mistake() -> None:
    """It has a code of its own, because an accountant must decide."""
    assert code(order(discounts=pair("3.00", "1.00"))) == "PS_DISCOUNT_TAX_INVERTED"


def test_a_line_that_is_not_quantity_times_price_is_said_not_held() -> None:
    """Edited orders carry such lines; sums and header still hold."""
    odd = order(detail(unit=pair("9.99", "12")))
    verdict = trust.check(odd, odd.shipping)
    assert (verdict.code, verdict.odd_rows) == ("", 1)


def test_ecotax_that_only_the_lines_carry_is_recognised() -> None:
    """Lines with an ecotax of 2.00 that the header leaves out."""
    shopping = order(
        detail(unit=pair("12", "14.40"), total=pair("12.00", "14.40"), ecotax=d(2), ecotax_tax_rate=d(20)),
        products=pair("10.00", "12.00"),
        paid=pair("10.00", "12.00"),
        total_paid=d("12.00"),
    )
    assert trust.check(shopping, shopping.shipping).ecotax_left_out


def test_shipping_of_a_split_cart_is_derived_only_when_it_sums_up() -> None:
    """Two parts repeat 5.00: 2.00 and 3.00 are derived; 2.00 and 2.00 are not."""
    first = order(id=1, shipping=pair("5.00", "6.00"), paid=pair("12.00", "14.40"))
    second = order(id=2, shipping=pair("5.00", "6.00"), paid=pair("13.00", "15.60"))
    made = trust.shippings([first, second])
    assert made.repaired
    assert made.by_order == {1: pair("2.00", "2.40"), 2: pair("3.00", "3.60")}
    wrong = trust.shippings([first, replace(first, id=2)])
    assert wrong.broken
    assert not wrong.repaired


def test_a_split_cart_with_sound_parts_is_left_alone() -> None:
    """Nothing is derived where every part adds up."""
    made = trust.shippings([order(id=1), order(id=2)])
    assert not made.repaired
    assert not made.broken


def test_traces_of_edits_are_seen() -> None:
    """A second invoice, a gap in the line numbers, or a change after the last status and payment."""
    plain = order(detail(1), detail(2))
    assert not trust.was_edited(plain, group(plain))
    gap = order(detail(1), detail(3))
    assert trust.was_edited(gap, group(gap))
    assert not trust.was_edited(gap, group(gap, order(detail(2), id=2)))
    twice = order(invoices=(Invoice(1, 7, pair("10", "12"), AT), Invoice(2, 8, pair("0", "0"), AT)))
    assert trust.was_edited(twice, group(twice))
    late = order(date_upd=AT + timedelta(days=1))
    assert trust.was_edited(late, group(late))
    assert not trust.was_edited(
        late, group(late, payments=(payment("12.00", date_add=AT + timedelta(days=1)),))
    )
