"""What a credit slip really gives back."""

from __future__ import annotations

from ps_qb_pipeline.accounting import refunds
from ps_qb_pipeline.accounting.shop import SlipLine
from ps_qb_pipeline_tests.accounting.factory import cart_rule, d, detail, order, pair, slip


def codes(reading: refunds.Reading) -> list[str]:
    return [note.code for note in reading.notes]


def test_slip_totals_are_read_in_whole_cents() -> None:
    """69.7684 is 69.77; the net total follows the lines, which are rounded already."""
    made = refunds.read(
        slip(
            SlipLine(1, 1, pair("4.16", "4.99")),
            SlipLine(2, 1, pair("53.98", "64.78")),
            products=pair("58.14", "69.7684"),
        ),
        order(),
    )
    assert made.products == pair("58.14", "69.77")
    assert [str(line.amount.ti) for line in made.lines] == ["4.99", "64.78"]


def test_shipping_comes_on_top_of_the_amount() -> None:
    """order_slip.amount leaves shipping out; it is never the refund's total."""
    made = refunds.read(slip(SlipLine(1, 1, pair("10.00", "12.00")), shipping=pair("5.00", "6.00")), order())
    assert made.gross == d("18.00")


def test_the_voucher_mistake_is_recognised_and_mended() -> None:
    """The net total is lower by the voucher with tax: 120 becomes 108, 88 becomes 90."""
    discounted = order(
        detail(unit=pair("100", "120"), total=pair("100.00", "120.00")),
        discounts=pair("10.00", "12.00"),
        cart_rules=(cart_rule("10.00", "12.00"),),
    )
    made = refunds.read(
        slip(SlipLine(1, 1, pair("100.00", "120.00")), products=pair("88.00", "120.00")), discounted
    )
    assert made.products == pair("90.00", "108.00")
    assert codes(made) == ["SLIP_VOUCHER_RECOMPUTED"]


def test_a_typed_amount_restates_the_lines_pro_rata() -> None:
    """60 of 120: every line is halved."""
    made = refunds.read(
        slip(
            SlipLine(1, 1, pair("75.00", "90.00")), SlipLine(2, 1, pair("25.00", "30.00")), amount=d("60.00")
        ),
        order(),
    )
    assert made.products == pair("50.00", "60.00")
    assert [line.amount for line in made.lines] == [pair("37.50", "45.00"), pair("12.50", "15.00")]
    assert codes(made) == ["SLIP_AMOUNT_CHOSEN"]


def test_a_typed_amount_without_tax_is_grossed_up() -> None:
    """Shops that show net prices keep the typed amount net; their net total is the unrounded one."""
    made = refunds.read(
        slip(
            SlipLine(1, 1, pair("474.21", "569.05")),
            products=pair("474.208334", "569.05"),
            amount=d("161.66"),
        ),
        order(),
    )
    assert made.products.ti == d("193.99")


def test_either_total_as_amount_is_nobodys_choice() -> None:
    """The amount equals the net or the gross total, by the customer's price display."""
    for amount in ("10.00", "12.00"):
        made = refunds.read(slip(SlipLine(1, 1, pair("10.00", "12.00")), amount=d(amount)), order())
        assert (made.gross, codes(made)) == (d("12.00"), [])


def test_a_slip_without_lines_still_has_a_net_amount() -> None:
    """The stored totals stand; the builder divides them over the order's codes."""
    made = refunds.read(slip(products=pair("5.00", "6.00"), amount=d("6.00")), order())
    assert (made.products, made.lines) == (pair("5.00", "6.00"), ())


def test_untaxed_lines_keep_net_and_gross_alike() -> None:
    """Rounding noise between the two totals of an untaxed slip is no tax."""
    made = refunds.read(
        slip(
            SlipLine(1, 9, pair("40384", "40384")), products=pair("40384", "40383.54"), amount=d("40383.54")
        ),
        order(currency="JPY"),
    )
    assert made.products == pair("40384", "40384")
