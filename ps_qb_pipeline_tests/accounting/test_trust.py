"""Whether stored totals can be trusted, and the repair of split shipping."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ps_qb_pipeline.accounting import trust
from ps_qb_pipeline.accounting.shop import Invoice, Order
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
    made = trust.shippings(group(first, second))
    assert made.derived == {1, 2}
    assert made.by_order == {1: pair("2.00", "2.40"), 2: pair("3.00", "3.60")}
    wrong = trust.shippings(group(first, replace(first, id=2)))
    assert wrong.broken
    assert not wrong.derived


def test_a_split_cart_with_sound_parts_is_left_alone() -> None:
    """Nothing is derived where every part adds up."""
    made = trust.shippings(group(order(id=1), order(id=2)))
    assert not made.derived
    assert not made.broken


def parts() -> list[Order]:
    """Three parts of one cart that repeat its shipping of 10.00, of which 2.00, 3.00 and 5.00 are theirs."""
    whole = pair("10.00", "12.00")
    paid = (pair("12.00", "14.40"), pair("13.00", "15.60"), pair("15.00", "18.00"))
    return [order(id=n, shipping=whole, paid=own, total_paid=own.ti) for n, own in enumerate(paid, 1)]


def test_a_split_cart_whose_part_was_edited_keeps_the_others() -> None:
    """An edit gives the second part the whole shipping; the first and the third were never touched."""
    first, second, third = parts()
    edited = replace(second, paid=pair("20.00", "24.00"), total_paid=d(24), date_upd=AT + timedelta(days=1))
    made = trust.shippings(group(first, edited, third))
    assert made.derived == {1, 3}
    assert made.by_order == {1: pair("2.00", "2.40"), 2: pair("10.00", "12.00"), 3: pair("5.00", "6.00")}
    more = replace(
        edited, shipping=pair("11.00", "13.20"), paid=pair("14.00", "16.80"), total_paid=d("16.80")
    )
    assert trust.shippings(group(first, more, third)).by_order[2] == pair("4.00", "4.80")
    assert trust.shippings(group(first, replace(edited, date_upd=AT), third)).broken


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_split_cart_whose_part_was_deleted_keeps_the_others(gone: int) -> None:
    """What was paid, or the number that is missing, says that there was another part."""
    all_parts = parts()
    left = [one for one in all_parts if one is not all_parts[gone]]
    made = trust.shippings(group(*left, payments=(payment("48.00"),)))
    assert made.derived == {one.id for one in left}
    assert trust.shippings(group(left[0], payments=(payment("48.00"),))).derived == {left[0].id}
    assert trust.shippings(group(*left)).broken == (gone != 1)


def test_a_total_that_somebody_lowered_is_no_deleted_part() -> None:
    """A single order whose total lacks 1.00 was paid 1.00 more than it says, which is no other order."""
    lowered = order(shipping=pair("5.00", "6.00"), paid=pair("14.00", "17.00"), total_paid=d(17))
    assert trust.shippings(group(lowered, payments=(payment("18.00"),))).broken


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
