"""Amounts: PrestaShop's rounding and allocation to the minor unit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ps_qb_pipeline.accounting import money
from ps_qb_pipeline_tests.accounting.factory import d


@pytest.mark.parametrize(
    ("value", "mode", "rounded"),
    [
        ("1.005", money.HALF_UP, "1.01"),
        ("1.005", money.HALF_DOWN, "1.00"),
        ("1.005", money.HALF_EVEN, "1.00"),
        ("1.015", money.HALF_EVEN, "1.02"),
        ("1.005", money.HALF_ODD, "1.01"),
        ("1.015", money.HALF_ODD, "1.01"),
        ("1.001", money.UP, "1.01"),
        ("1.009", money.DOWN, "1.00"),
        ("-1.005", money.HALF_UP, "-1.01"),
        ("-1.001", money.UP, "-1.00"),
        ("-1.001", money.DOWN, "-1.01"),
        ("1.005", 99, "1.01"),
    ],
)
def test_rounding_follows_the_shops_six_modes(value: str, mode: int, rounded: str) -> None:
    """Half-way cases and directions are those of Tools::ps_round; an unknown mode is half-up."""
    assert str(money.ps_round(d(value), 2, mode)) == rounded


def test_a_quotient_is_not_cut_by_its_last_digit() -> None:
    """Three thirds of ten are ten, also when rounding down."""
    assert money.ps_round(d(10) / 3 * 3, 2, money.DOWN) == 10


@pytest.mark.parametrize(("currency", "unit"), [("EUR", "0.01"), ("JPY", "1"), ("KWD", "0.001")])
def test_currencies_have_their_own_minor_unit(currency: str, unit: str) -> None:
    """Yen have no decimals, dinars three."""
    assert money.minor_unit(currency) == d(unit)


def test_the_missing_cent_goes_to_the_largest_remainder() -> None:
    """10.00 over weights 1, 1, 1 gives the first the extra cent; 2, 1 rounds to thirds."""
    assert money.allocate(d("10.00"), [d(1), d(1), d(1)], "EUR") == [d("3.34"), d("3.33"), d("3.33")]
    assert money.allocate(d("1.00"), [d(2), d(1)], "EUR") == [d("0.67"), d("0.33")]


def test_weights_of_nothing_put_all_on_the_first() -> None:
    """An amount is never lost because its weights are zero."""
    assert money.allocate(d("5.00"), [d(0), d(0)], "EUR") == [d("5.00"), d("0.00")]
    with pytest.raises(ValueError, match="weight"):
        money.allocate(d("5.00"), [], "EUR")


@given(
    st.integers(-(10**9), 10**9),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=9).filter(any),
    st.sampled_from(["EUR", "JPY", "KWD"]),
)
def test_shares_always_sum_to_the_whole(minor: int, weights: list[int], currency: str) -> None:
    """However an amount is divided, nothing is lost and no share is off by more than a unit."""
    unit = money.minor_unit(currency)
    total = minor * unit
    shares = money.allocate(total, [Decimal(weight) for weight in weights], currency)
    assert sum(shares) == total
    whole = Decimal(sum(weights))
    assert all(
        abs(share - total * weight / whole) < unit * 2 for share, weight in zip(shares, weights, strict=True)
    )
