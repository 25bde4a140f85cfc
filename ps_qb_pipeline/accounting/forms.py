"""A form of a document from which the books themselves compute the shop's tax, to the cent.

What lives here: shifting tax bases by balanced pairs of named lines. What does not: the shop's tax
(``tax``). QuickBooks computes tax per rate from the net lines of that rate, half-up; the shop may have
rounded per item. Where the two differ, a pair "PS Rounding" moves the base by so little that the
books arrive at the shop's tax: +x under the tax code, -x out of scope. Net and total stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from ps_qb_pipeline.accounting.documents import Line, TaxLine
from ps_qb_pipeline.accounting.items import ROUNDING
from ps_qb_pipeline.accounting.money import HUNDRED, ZERO, minor_unit, to_minor

_HALF = Decimal("0.5")


class Form(NamedTuple):
    """Lines and taxes as sent; ``shifted`` is the largest base that moved, None when no form exists."""

    lines: tuple[Line, ...]
    taxes: tuple[TaxLine, ...]
    shifted: Decimal | None


def computed(base: Decimal, rate: Decimal, currency: str) -> Decimal:
    """What the books compute as the tax of ``base`` at ``rate`` percent."""
    return to_minor(base * rate / HUNDRED, currency)


def to_computed(
    lines: tuple[Line, ...], taxes: tuple[TaxLine, ...], currency: str, out_of_scope: str
) -> Form:
    """The document's lines and taxes in a form that is computed to the same tax."""
    if all(computed(tax.base, tax.rate, currency) == tax.amount for tax in taxes):
        return Form(lines, taxes, ZERO)
    by_code: dict[str, list[TaxLine]] = {}
    for tax in taxes:
        by_code.setdefault(tax.code, []).append(tax)
    pairs: list[Line] = []
    bases: dict[str, Decimal] = {}
    largest = ZERO
    for code, own in by_code.items():
        shift = _shift(own, currency)
        if shift is None:
            return Form(lines, taxes, None)
        if shift:
            pairs += _pair(shift, code, out_of_scope)
            largest = max(largest, abs(shift))
        bases[code] = own[0].base + shift
    moved = tuple(TaxLine(tax.code, tax.rate, bases[tax.code], tax.amount) for tax in taxes)
    return Form(lines + tuple(pairs), moved, largest)


def _shift(taxes: Sequence[TaxLine], currency: str) -> Decimal | None:
    """By how much the base of one code has to move so that all of its rates compute; None if it cannot."""
    if all(computed(tax.base, tax.rate, currency) == tax.amount for tax in taxes):
        return ZERO
    unit = minor_unit(currency)
    lowest, highest = None, None
    for tax in taxes:
        if not tax.rate:
            if tax.amount:
                return None
            continue
        low = (tax.amount - unit * _HALF) * HUNDRED / tax.rate
        high = (tax.amount + unit * _HALF) * HUNDRED / tax.rate
        lowest = low if lowest is None else max(lowest, low)
        highest = high if highest is None else min(highest, high)
    if lowest is None or highest is None:
        return None
    return _nearest(taxes, lowest, highest, unit, currency)


def _nearest(
    taxes: Sequence[TaxLine], lowest: Decimal, highest: Decimal, unit: Decimal, currency: str
) -> Decimal | None:
    """The base nearest to the middle of the allowed range that computes for all rates, minus the present one."""
    first = lowest.quantize(unit, ROUND_CEILING)
    last = highest.quantize(unit, ROUND_FLOOR)
    middle = to_minor((lowest + highest) / 2, currency)
    for base in (middle, middle + unit, middle - unit, first, last):
        if first <= base <= last and all(computed(base, tax.rate, currency) == tax.amount for tax in taxes):
            return base - taxes[0].base
    return None


def _pair(shift: Decimal, code: str, out_of_scope: str) -> list[Line]:
    note = f"tax base of {code}"
    return [
        Line("rounding", ROUNDING, shift, code, description=note),
        Line("rounding", ROUNDING, -shift, out_of_scope, description=note),
    ]
