"""Exchange rates: home units for one foreign unit, six decimals, half-up.

What lives here: which rate a document carries. What does not: amounts in home currency of reports.
"""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from ps_qb_pipeline.accounting.money import ONE, minor_unit, to_minor
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.shop import Order, Payment, Shop

_SIX = Decimal("0.000001")
_TOLERANCE = Decimal("0.01")
_FEWEST_DIGITS = 5


class Exchange(NamedTuple):
    """The rate of one order: ``rate`` is None in home currency, ``missing`` when none can be had."""

    rate: Decimal | None
    codes: tuple[str, ...] = ()
    missing: bool = False


def exchange(order: Order, shop: Shop, policy: Policy, day: date) -> Exchange:
    """The rate of an order's documents, from the shop's snapshot or the official table.

    The snapshot counts foreign units for one unit of the shop's default currency, so it is inverted;
    when that default is not the home currency, the rate crosses through both. A snapshot with fewer
    than five significant digits is not used when the table has a rate.
    """
    currency, home = order.currency, policy.home_currency
    if currency == home:
        return Exchange(None)
    official = official_rate(policy, currency, day)
    if policy.fx_source == "table":
        return Exchange(official) if official else Exchange(None, ("FX_RATE_MISSING",), missing=True)
    default = policy.shop_currency or shop.default_currency or home
    rate = _from_snapshot(order.conversion_rate, default, home, shop)
    codes: list[str] = []
    if rate is not None and _digits(order.conversion_rate) < _FEWEST_DIGITS and currency != default:
        codes.append("FX_RATE_PRECISION")
        rate = official or rate
    if rate is None:
        rate = official
    if rate is None:
        return Exchange(None, ("FX_RATE_MISSING",), missing=True)
    if official and abs(rate - official) > official * _TOLERANCE:
        codes.append("FX_RATE_DIFF")
    return Exchange(rate, tuple(codes))


def _from_snapshot(snapshot: Decimal, default: str, home: str, shop: Shop) -> Decimal | None:
    if snapshot <= 0:
        return None
    crossing = ONE
    if default != home:
        crossing = shop.currency_rates.get(home, Decimal(0))
        if crossing <= 0:
            return None
    return (crossing / snapshot).quantize(_SIX, ROUND_HALF_UP)


def _digits(rate: Decimal) -> int:
    """Significant digits that the shop's six decimals can hold: 0.000061 has two, 1.080000 seven."""
    return len(rate.quantize(_SIX).as_tuple().digits) if rate else 0


def official_rate(policy: Policy, currency: str, day: date) -> Decimal | None:
    """The official rate in force on ``day``: the newest of the table that is not later."""
    best = None
    for row in policy.fx_table:
        if row.currency == currency and row.day <= day and (best is None or row.day >= best.day):
            best = row
    return best.home.quantize(_SIX, ROUND_HALF_UP) if best else None


def home_amount(total: Decimal, rate: Decimal | None, home: str) -> Decimal | None:
    """``total`` in home currency, or None for a document in home currency."""
    return None if rate is None else to_minor(total * rate, home)


def in_order_currency(payment: Payment, order: Order, shop: Shop, rest: Decimal) -> Decimal:
    """A payment's amount in its order's currency; ``rest`` is what the order still lacks.

    A foreign amount goes through the shop's default currency at the payment's own rate, or at the
    shop's present one where the row holds none. What is within one minor unit of ``rest`` is ``rest``.
    """
    if payment.currency == order.currency:
        return to_minor(payment.amount, order.currency)
    rate = payment.conversion_rate
    if payment.currency == shop.default_currency:
        rate = ONE
    elif rate in {0, 1}:
        rate = shop.currency_rates.get(payment.currency, ONE)
    converted = to_minor(payment.amount / (rate or ONE) * (order.conversion_rate or ONE), order.currency)
    return rest if abs(converted - rest) <= minor_unit(order.currency) else converted
