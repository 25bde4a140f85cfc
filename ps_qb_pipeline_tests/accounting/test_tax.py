"""Tax per rate: recomputed as PrestaShop does it, and the taxes of shipping and wrapping."""

from __future__ import annotations

from ps_qb_pipeline.accounting import tax
from ps_qb_pipeline.accounting.shop import Pair
from ps_qb_pipeline_tests.accounting.factory import SHOP, ZERO, cart_rule, d, detail, order, pair

NOTHING = Pair(ZERO, ZERO)


def rows(made: tax.ProductTax) -> list[tuple[str, ...]]:
    return [tuple(str(amount) for amount in line.amounts) for line in made.lines]


def recompute(shopping: object, **changes: object) -> tax.ProductTax:
    rates = [tax.effective_rates(one, SHOP) for one in shopping.details]  # type: ignore[attr-defined]
    values = {"shipping": shopping.shipping, "discounts": shopping.discounts, "rules": shopping.cart_rules}  # type: ignore[attr-defined]
    return tax.product_tax(shopping, rates, **{**values, **changes})  # type: ignore[arg-type]


def test_rounding_per_item_multiplies_the_rounded_unit_tax() -> None:
    """77 units at 0.245 tax each carry 77 times 0.25, not 18.87."""
    line = detail(quantity=77, unit=pair("3.50", "3.745"), total=pair("269.50", "288.75"), taxes=(7,))
    made = tax.product_tax(order(line), [(d(7),)], shipping=NOTHING, discounts=NOTHING, rules=())
    assert rows(made) == [("19.25",)]


def test_the_residue_goes_to_the_largest_row_first() -> None:
    """10 % off a mixed order: PrestaShop takes the surplus cent from the 20 % row."""
    shopping = order(
        detail(1, unit=pair("50", "60"), total=pair("50.00", "60.00")),
        detail(2, quantity=2, unit=pair("10", "10.55"), total=pair("20.00", "21.10"), taxes=(2,)),
        discounts=pair("7.00", "8.11"),
        cart_rules=(cart_rule("7.00", "8.11"),),
    )
    made = recompute(shopping)
    assert made.closes
    assert rows(made) == [("8.99",), ("1.00",)]


def test_free_shipping_is_no_discount_on_goods() -> None:
    """A rule that pays for the shipping leaves the tax of the goods alone."""
    shopping = order(
        detail(1, unit=pair("30", "36"), total=pair("30.00", "36.00")),
        shipping=pair("5.00", "6.00"),
        discounts=pair("5.00", "6.00"),
        cart_rules=(cart_rule("5.00", "6.00", free_shipping=True),),
    )
    assert rows(recompute(shopping)) == [("6.00",)]


def test_a_rule_for_one_product_lowers_that_products_tax_only() -> None:
    """The discount of a product rule stays with its product."""
    shopping = order(
        detail(1, unit=pair("50", "60"), total=pair("50.00", "60.00")),
        detail(2, unit=pair("50", "60"), total=pair("50.00", "60.00")),
        discounts=pair("10.00", "12.00"),
        cart_rules=(cart_rule("10.00", "12.00", reduction_product=2),),
    )
    assert rows(recompute(shopping)) == [("10.00",), ("8.00",)]


def test_a_tax_on_tax_counts_at_its_effective_percent() -> None:
    """10 % and then 5 % on both is 10 and 5.5 on the net amount."""
    line = detail(taxes=(8, 5), tax_computation_method=2)
    shop = type(SHOP)(tax_percents={**SHOP.tax_percents, 8: d(10)})
    assert tax.effective_rates(line, shop) == (d(10), d("5.5"))


def test_rows_that_can_be_read_are_used_instead() -> None:
    """PrestaShop's own rows win over any recomputation, and must close with the header."""
    line = detail(unit=pair("10", "12"), total=pair("10.00", "12.00"), tax_rows={1: d("1.99")})
    made = recompute(order(line))
    assert rows(made) == [("1.99",)]
    assert not made.closes


def test_two_rates_of_one_charge_are_split_exactly_and_rounded_once() -> None:
    """Shares keep their fractions until all parts of a rate are known; a code keeps its sum."""
    shares = tax.split(d("0.97"), (d("9.975"), d(5)))
    assert sum(shares) == d("0.97")
    taxes = {("QC", d("9.975")): d("2.93") + shares[0], ("QC", d(5)): d("1.46") + shares[1]}
    assert tax.rounded(taxes, "EUR") == {("QC", d("9.975")): d("3.58"), ("QC", d(5)): d("1.78")}


def test_the_stored_rate_of_shipping_is_taken_when_it_explains_the_tax() -> None:
    """20 % on 4.17 makes 0.83; the part bears that rate."""
    (part,) = tax.charges(pair("4.17", "5.00"), d(20), [(d("5.5"),)], order(), {})
    assert (part.rates, part.net, part.amounts) == ((d(20),), d("4.17"), (d("0.83"),))


def test_without_a_stored_rate_the_best_known_one_is_found() -> None:
    """0.83 on 4.17 is nearer to 20 than to 19 percent."""
    (part,) = tax.charges(pair("4.17", "5.00"), ZERO, [(d(19),), (d(20),)], order(), {})
    assert part.rates == (d(20),)


def test_shipping_whose_tax_was_averaged_over_the_products_is_divided() -> None:
    """0.13 on 2.37 fits no rate: the shop averaged 7 % goods and untaxed goods."""
    nets = {(d(7),): d("1687.20"), (): d("425.00")}
    parts = tax.charges(pair("2.37", "2.50"), d(19), [(d(7),)], order(), nets)
    assert [(part.rates, str(part.net), part.amounts) for part in parts] == [
        ((d(7),), "1.89", (d("0.13"),)),
        ((), "0.48", ()),
    ]


def test_untaxed_shipping_has_no_rate() -> None:
    """No tax, no rate, whatever the carrier's rate says."""
    (part,) = tax.charges(pair("15.00", "15.00"), d(20), [(d(20),)], order(), {})
    assert (part.rates, part.amounts) == ((), ())
