"""A form of a document from which the books themselves compute the shop's tax, to the cent.

What lives here: shifting tax bases by balanced pairs of named lines. What does not: the shop's tax
(``tax``). QuickBooks computes tax per rate from the net lines of that rate, half-up; the shop may have
rounded per item, or spread a gift over other rates. Where the two differ, a pair "PS Rounding" moves
the base so that the books arrive at the shop's tax: +x under the tax code, -x out of scope. Net, tax
and total of the document stay as they are, and its bases agree with its taxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from ps_qb_pipeline.accounting.documents import Line, TaxLine
from ps_qb_pipeline.accounting.items import ROUNDING
from ps_qb_pipeline.accounting.money import HUNDRED, ZERO, close_to, minor_unit, to_minor
from ps_qb_pipeline.accounting.policy import TaxCode

_HALF = Decimal("0.5")
_COMPONENTS: list[tuple[Mapping[str, TaxCode], Mapping[tuple[str, Decimal], str]]] = []
"""The last few answers of ``components``, because a policy serves many documents."""


class Form(NamedTuple):
    """Lines and taxes as sent; ``shifted`` is the largest base that moved, None when no form exists."""

    lines: tuple[Line, ...]
    taxes: tuple[TaxLine, ...]
    shifted: Decimal | None


def computed(base: Decimal, rate: Decimal, currency: str) -> Decimal:
    """What the books compute as the tax of ``base`` at ``rate`` percent."""
    return to_minor(base * rate / HUNDRED, currency)


def distance(taxes: Sequence[TaxLine], currency: str) -> Decimal:
    """How far the taxes lie from what their bases give, summed over the rates."""
    return sum((abs(computed(each.base, each.rate, currency) - each.amount) for each in taxes), ZERO)


def components(codes: Mapping[str, TaxCode]) -> Mapping[tuple[str, Decimal], str]:
    """For each rate of a code with several: the code that consists of this very rate alone.

    The two share the rate by its name, so that QuickBooks sums their lines into one base.
    """
    for known, parts in _COMPONENTS:
        if known is codes:
            return parts
    _COMPONENTS.insert(0, (codes, _components(codes)))
    del _COMPONENTS[4:]
    return _COMPONENTS[0][1]


def _components(codes: Mapping[str, TaxCode]) -> dict[tuple[str, Decimal], str]:
    alone = {code.rates[0].name: name for name, code in codes.items() if len(code.rates) == 1}
    return {
        (name, rate.percent): alone[rate.name]
        for name, code in codes.items()
        if len(code.rates) > 1
        for rate in code.rates
        if rate.name in alone
    }


def to_computed(
    lines: tuple[Line, ...],
    taxes: tuple[TaxLine, ...],
    currency: str,
    out_of_scope: str,
    parts: Mapping[tuple[str, Decimal], str],
) -> Form:
    """The document's lines and taxes in a form that is computed to the same tax.

    ``parts`` are the ``components`` of the policy's codes: where no base suits all rates of a code, each
    rate's base moves on its own under the code of that rate.
    """
    if all(computed(tax.base, tax.rate, currency) == tax.amount for tax in taxes):
        return Form(lines, taxes, ZERO)
    by_code: dict[str, list[TaxLine]] = {}
    for tax in taxes:
        by_code.setdefault(tax.code, []).append(tax)
    shifts: list[tuple[str, Decimal]] = []
    moved: list[TaxLine] = []
    for code, own in by_code.items():
        shift = _shift(own, currency)
        if shift is not None:
            shifts.append((code, shift))
            moved += [_moved(tax, shift) for tax in own]
            continue
        for tax in own:
            single, part = _shift([tax], currency), parts.get((code, tax.rate))
            if single is None or (single and part is None):
                return Form(lines, taxes, None)
            shifts.append((part or code, single))
            moved.append(_moved(tax, single))
    largest = max((abs(shift) for _, shift in shifts), default=ZERO)
    return Form(lines + _balanced(shifts, out_of_scope), tuple(moved), largest)


def _balanced(shifts: Sequence[tuple[str, Decimal]], out_of_scope: str) -> tuple[Line, ...]:
    """A line for each base that moves, and one out of scope that takes all of it back."""
    lines = [
        Line("rounding", ROUNDING, shift, code, description=f"tax base of {code}")
        for code, shift in shifts
        if shift
    ]
    back = -sum((line.amount for line in lines), ZERO)
    if back:
        lines.append(Line("rounding", ROUNDING, back, out_of_scope, description="balance of tax bases"))
    return tuple(lines)


def _moved(tax: TaxLine, shift: Decimal) -> TaxLine:
    return TaxLine(tax.code, tax.rate, tax.base + shift, tax.amount)


def to_gross(lines: tuple[Line, ...], taxes: tuple[TaxLine, ...], currency: str) -> tuple[Line, ...] | None:
    """The lines with their gross, for tax-inclusive documents; None where net and gross are no exact pair.

    The tax of each code divides over its lines by their net. A pair is exact when the gross, less its
    tax at the code's rates, gives back the net.
    """
    rates: dict[str, Decimal] = {}
    owed: dict[str, Decimal] = {}
    for tax in taxes:
        rates[tax.code] = rates.get(tax.code, ZERO) + tax.rate
        owed[tax.code] = owed.get(tax.code, ZERO) + tax.amount
    made = list(lines)
    for code, amount in owed.items():
        places = [index for index, line in enumerate(lines) if line.tax_code == code]
        exact = [lines[index].amount * rates[code] / HUNDRED for index in places]
        for index, share in zip(places, close_to(exact, amount, minor_unit(currency)), strict=True):
            gross = lines[index].amount + share
            if to_minor(gross * HUNDRED / (HUNDRED + rates[code]), currency) != lines[index].amount:
                return None
            made[index] = replace(lines[index], tax_inclusive_amount=gross)
    return tuple(
        line if line.tax_inclusive_amount is not None else replace(line, tax_inclusive_amount=line.amount)
        for line in made
    )


def _shift(taxes: Sequence[TaxLine], currency: str) -> Decimal | None:
    """By how much the base of one code has to move so that all of its rates compute; None if it cannot."""
    if all(computed(tax.base, tax.rate, currency) == tax.amount for tax in taxes):
        return ZERO
    unit = minor_unit(currency)
    lows, highs = [], []
    for tax in taxes:
        if tax.rate:
            lows.append((tax.amount - unit * _HALF) * HUNDRED / tax.rate)
            highs.append((tax.amount + unit * _HALF) * HUNDRED / tax.rate)
        elif tax.amount:
            return None
    first = max(lows).quantize(unit, ROUND_CEILING)
    last = min(highs).quantize(unit, ROUND_FLOOR)
    middle = to_minor((max(lows) + min(highs)) / 2, currency)
    for base in (middle, middle + unit, middle - unit, first, last):
        if first <= base <= last and all(computed(base, tax.rate, currency) == tax.amount for tax in taxes):
            return base - taxes[0].base
    return None
