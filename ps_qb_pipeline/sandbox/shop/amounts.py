"""The arithmetic of an order: unit prices, line totals, shipping, discounts, rounded as the shop is set.

What lives here: amounts in Decimal and their texts. What does not: rows and what becomes of an order
(``commerce``).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Decimal

MODES = {
    0: ROUND_UP,
    1: ROUND_DOWN,
    2: ROUND_HALF_UP,
    3: ROUND_HALF_DOWN,
    4: ROUND_HALF_EVEN,
    5: ROUND_HALF_UP,
}
SIX = Decimal("0.000001")
ITEM, LINE, TOTAL = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Rounding:
    """How a shop rounds: mode, what is rounded (1 item, 2 line, 3 total), and the currency's places."""

    mode: int = 2
    type: int = LINE
    places: int = 2

    def money(self, amount: Decimal) -> Decimal:
        """The amount at the currency's places."""
        return amount.quantize(Decimal(1).scaleb(-self.places), MODES.get(self.mode, ROUND_HALF_UP))

    def unit(self, price: Decimal) -> Decimal:
        """A unit price: money where items are rounded, six places elsewhere."""
        return self.money(price) if self.type == ITEM else price.quantize(SIX, ROUND_HALF_UP)

    def line(self, price: Decimal, quantity: int) -> Decimal:
        """The total of a line."""
        total = (self.money(price) if self.type == ITEM else price) * quantity
        return total.quantize(SIX, ROUND_HALF_UP) if self.type == TOTAL else self.money(total)


@dataclass(frozen=True, slots=True)
class Both:
    """An amount without and with tax."""

    excl: Decimal = Decimal(0)
    incl: Decimal = Decimal(0)

    def __add__(self, other: Both) -> Both:
        return Both(self.excl + other.excl, self.incl + other.incl)

    def __sub__(self, other: Both) -> Both:
        return Both(self.excl - other.excl, self.incl - other.incl)

    def money(self, rounding: Rounding) -> Both:
        """Both amounts at the currency's places."""
        return Both(rounding.money(self.excl), rounding.money(self.incl))

    @classmethod
    def of(cls, excl: Decimal, rate: Decimal) -> Both:
        """The amount without tax and with a tax of so many percent on it, unrounded."""
        return cls(excl, excl * (1 + rate / 100))


def six(amount: Decimal | int) -> str:
    """The text in which the web service shows an amount."""
    return f"{Decimal(amount).quantize(SIX, ROUND_HALF_UP):.6f}"


def share(part: Both, of_incl: Decimal) -> Both:
    """So much of an amount with tax, and the part without tax in the proportion of ``part``."""
    if part.incl == 0:
        return Both(of_incl, of_incl)
    return Both(of_incl * part.excl / part.incl, of_incl)
