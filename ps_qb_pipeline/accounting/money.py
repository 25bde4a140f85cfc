"""Amounts: currency exponents, PrestaShop's rounding, allocation to the minor unit.

What lives here: arithmetic on ``Decimal`` that knows minor units. What does not: which amounts are
rounded when (``lines``, ``tax``, ``discounts``).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    Decimal,
)
from functools import cache

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)

UP, DOWN, HALF_UP, HALF_DOWN, HALF_EVEN, HALF_ODD = range(6)
"""PrestaShop's round modes as ``orders.round_mode`` and ``PS_PRICE_ROUND_MODE`` number them."""

ITEM, LINE, TOTAL = 1, 2, 3
"""PrestaShop's round types as ``orders.round_type`` numbers them; 0 on old orders means LINE."""

_EXPONENTS = {
    **dict.fromkeys(
        (
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
_QUANTA = tuple(Decimal(1).scaleb(-digits) for digits in range(8))
_DECIMAL_MODES = {
    UP: ROUND_CEILING,
    DOWN: ROUND_FLOOR,
    HALF_UP: ROUND_HALF_UP,
    HALF_DOWN: ROUND_HALF_DOWN,
    HALF_EVEN: ROUND_HALF_EVEN,
}
_NOISE = Decimal("1E-10")


@cache
def exponent(currency: str) -> int:
    """The number of decimals of ``currency`` (ISO 4217): 0 for JPY, 3 for KWD, 2 for most."""
    return _EXPONENTS.get(currency, 2)


@cache
def minor_unit(currency: str) -> Decimal:
    """The smallest amount of ``currency``: 0.01 EUR, 1 JPY, 0.001 KWD."""
    return _QUANTA[exponent(currency)]


def to_minor(amount: Decimal, currency: str) -> Decimal:
    """``amount`` rounded half-up to the minor unit, with exactly the currency's decimals."""
    return amount.quantize(minor_unit(currency), ROUND_HALF_UP)


def ps_round(value: Decimal, digits: int, mode: int = HALF_UP) -> Decimal:
    """``value`` rounded as PrestaShop's ``Tools::ps_round`` does; an unknown mode means half-up.

    Up and down go to the next number towards plus or minus infinity. A quotient that does not end
    in decimal is freed of its last digits first, as PrestaShop compares 14 significant digits.
    """
    quantum = _QUANTA[digits]
    if mode == HALF_ODD:
        return _half_odd(value, quantum)
    if mode in {UP, DOWN}:
        value = value.quantize(_NOISE, ROUND_HALF_UP)
    return value.quantize(quantum, _DECIMAL_MODES.get(mode, ROUND_HALF_UP))


def _half_odd(value: Decimal, quantum: Decimal) -> Decimal:
    even = value.quantize(quantum, ROUND_HALF_EVEN)
    if abs(value - even) * 2 == quantum:
        return even + quantum if value > even else even - quantum
    return even


def allocate(total: Decimal, weights: Sequence[Decimal], currency: str) -> list[Decimal]:
    """Shares of ``total`` in proportion to ``weights``, whole minor units, summing to ``total``.

    Largest remainder: every share is cut to the minor unit, and the missing units go one by one to
    the largest remainders, earlier positions first among equals. Weights that sum to zero put all
    of ``total`` on the first position; there must be at least one weight unless ``total`` is zero.
    """
    if not weights:
        if total:
            raise ValueError("an amount other than zero needs at least one weight")
        return []
    quantum = minor_unit(currency)
    whole = sum(weights, ZERO)
    if not whole:
        return [total.quantize(quantum), *(ZERO.quantize(quantum) for _ in weights[1:])]
    exact = [total * weight / whole for weight in weights]
    return close_to(exact, total, quantum)


def close_to(exact: Sequence[Decimal], total: Decimal, quantum: Decimal) -> list[Decimal]:
    """``exact`` amounts as whole quanta that sum to ``total``, by largest remainder.

    ``total`` must be a multiple of ``quantum``. The units that are missing or too many after cutting
    go round by round to all positions, largest remainder first.
    """
    floors = [value.quantize(quantum, ROUND_FLOOR) for value in exact]
    missing = int((total - sum(floors, ZERO)) / quantum)
    if missing:
        order = sorted(range(len(exact)), key=lambda index: floors[index] - exact[index])
        rounds, rest = divmod(missing, len(order))
        for position, index in enumerate(order):
            floors[index] += quantum * (rounds + (1 if position < rest else 0))
    return floors


def pad(amount: Decimal, currency: str) -> Decimal:
    """``amount`` with exactly the currency's decimals when it has no more, else unchanged."""
    quantum = minor_unit(currency)
    padded = amount.quantize(quantum, ROUND_HALF_UP)
    return padded if padded == amount else amount
