"""Exchange rates: the inverse of the shop's snapshot, or an official table."""

from __future__ import annotations

from datetime import date
from typing import Any

from ps_qb_pipeline.accounting import currency
from ps_qb_pipeline.accounting.policy import OfficialRate
from ps_qb_pipeline_tests.accounting.factory import AT, SHOP, d, order, payment, policy

DAY = AT.date()
TABLE = (
    OfficialRate("USD", date(2026, 1, 1), d("0.90")),
    OfficialRate("USD", date(2026, 3, 1), d("0.95")),
    OfficialRate("USD", date(2026, 3, 9), d("0.99")),
)


def rate(code: str = "USD", snapshot: str = "1.080000", **changes: Any) -> currency.Exchange:
    return currency.exchange(order(currency=code, conversion_rate=d(snapshot)), SHOP, policy(**changes), DAY)


def test_home_currency_has_no_rate() -> None:
    """Nothing is converted at home."""
    assert rate("EUR", "1") == currency.Exchange(None)


def test_the_shops_rate_is_inverted_to_six_decimals() -> None:
    """1.08 dollars for a euro is 0.925926 euros for a dollar."""
    assert rate().rate == d("0.925926")


def test_another_default_currency_crosses_through_both() -> None:
    """A shop in dollars sells in euros; the books are kept in euros at home, yen abroad."""
    made = currency.exchange(
        order(currency="JPY", conversion_rate=d(160)),
        SHOP,
        policy(home_currency="USD", shop_currency="EUR"),
        DAY,
    )
    assert made.rate == d("0.006750")


def test_the_table_gives_the_rate_in_force() -> None:
    """The newest official rate that is not later than the day."""
    assert rate(fx_source="table", fx_table=TABLE).rate == d("0.950000")


def test_a_missing_rate_is_said() -> None:
    """Neither table nor usable snapshot."""
    assert rate("JPY", fx_source="table", fx_table=TABLE).missing
    assert rate(snapshot="0").missing


def test_a_rate_far_off_the_official_one_is_flagged() -> None:
    """0.9259 against 0.95 is more than one percent."""
    assert rate(fx_table=TABLE).codes == ("FX_RATE_DIFF",)
    assert rate(snapshot="1.055000", fx_table=TABLE).codes == ()


def test_a_rate_with_too_few_digits_gives_way_to_the_table() -> None:
    """0.000061 foreign units carries two digits; the official rate is used when there is one."""
    made = rate(snapshot="0.000061", fx_table=TABLE)
    assert (made.rate, made.codes) == (d("0.950000"), ("FX_RATE_PRECISION",))


def test_home_amounts_are_rounded_to_the_home_currency() -> None:
    """120.00 at 0.925926 is 111.11."""
    assert currency.home_amount(d("120.00"), d("0.925926"), "EUR") == d("111.11")
    assert currency.home_amount(d("120.00"), None, "EUR") is None


def test_a_foreign_payment_within_a_cent_of_the_rest_is_the_rest() -> None:
    """12.95 dollars at 1.08 are 11.99: the order lacked 12.00."""
    row = payment("12.95", currency="USD", conversion_rate=d("1.08"))
    assert currency.in_order_currency(row, order(), SHOP, d("12.00")) == d("12.00")


def test_a_row_without_a_rate_takes_the_shops_present_one() -> None:
    """Checkout stores a rate of 1 for foreign payments; it is not believed."""
    row = payment("10.80", currency="USD", conversion_rate=d(1))
    assert currency.in_order_currency(row, order(), SHOP, d("12.00")) == d("10.00")
