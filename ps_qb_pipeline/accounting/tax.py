"""Tax per rate: PrestaShop's own rows where they can be read, else recomputed as PrestaShop does.

What lives here: amounts of tax and the rates that they belong to. What does not: which tax code a
rate gets (``tax_codes``), the bases (``lines``) and the form that books compute to (``forms``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from ps_qb_pipeline.accounting.money import (
    HUNDRED,
    ITEM,
    TOTAL,
    ZERO,
    allocate,
    close_to,
    exponent,
    minor_unit,
    ps_round,
    to_minor,
)
from ps_qb_pipeline.accounting.shop import CartRule, Detail, Order, Pair, Shop

Rates = tuple[Decimal, ...]
"""Percents on the net amount, in the order in which they apply; a compound rate is effective."""

_COMPOUND = 2
_HALF_THOUSANDTH = Decimal("0.0005")
_FIT = Decimal("1.2")


class UnknownTax(Exception):
    """A line names a tax that the shop no longer lists."""


@dataclass(frozen=True, slots=True)
class LineTax:
    """The taxes of one order line: their effective rates, zero included, and the amount of each."""

    rates: Rates
    amounts: tuple[Decimal, ...]


class ProductTax(NamedTuple):
    """The taxes of all lines in their order; ``closes`` says that they sum to what the header demands."""

    lines: tuple[LineTax, ...]
    closes: bool


def effective_rates(detail: Detail, shop: Shop) -> Rates:
    """The percents of a line's taxes on its net amount, rates of zero included.

    Under method 2 each tax is charged on the taxes before it too: 10 then 5 gives 10 and 5.5.
    """
    rates = []
    whole = HUNDRED
    for tax in detail.taxes:
        percent = shop.tax_percents.get(tax)
        if percent is None:
            raise UnknownTax(str(tax))
        own = percent * whole / HUNDRED if detail.tax_computation_method == _COMPOUND else percent
        whole += own
        rates.append(plain(own))
    return tuple(rates)


@cache
def plain(percent: Decimal) -> Decimal:
    """The same number without trailing zeros, so that 20.000 and 20 are one key and print alike."""
    short = percent.normalize()
    return short.quantize(Decimal(1)) if short == short.to_integral_value() else short


def discount_shares(rules: Iterable[CartRule]) -> tuple[bool, dict[int, Decimal]]:
    """Whether a live rule gives free shipping, and the net discount kept for single products, by product id."""
    free = False
    kept: dict[int, Decimal] = {}
    for rule in rules:
        free = free or rule.free_shipping
        if rule.reduction_product > 0:
            kept[rule.reduction_product] = kept.get(rule.reduction_product, ZERO) + rule.value.te
    return free, kept


def product_tax(
    order: Order,
    rates: Sequence[Rates],
    *,
    shipping: Pair,
    discounts: Pair,
    rules: Sequence[CartRule],
    ecotax: bool = True,
) -> ProductTax:
    """Tax per line and rate of ``order``; ``rates`` are the effective ones of its lines.

    ``shipping`` is the order's own (repaired), ``discounts`` and ``rules`` leave out what counts as
    payment. Ecotax bears its own tax, which is not in these rows.
    """
    free, kept = discount_shares(rules)
    expected = order.products.tax - discounts.tax + (shipping.tax if free else ZERO)
    if ecotax:
        expected -= ecotax_tax(order)
    rows: list[list[Decimal]]
    if order.details and all(detail.tax_rows is not None for detail in order.details):
        rows = [[(detail.tax_rows or {}).get(tax, ZERO) for tax in detail.taxes] for detail in order.details]
        _round_per_tax(order, rows)
        closes = sum((amount for row in rows for amount in row), ZERO) == expected
    else:
        spread = discounts.te - sum(kept.values(), ZERO) - (shipping.te if free else ZERO)
        rows = [
            _line_tax(order, detail, rates[index], spread, kept) for index, detail in enumerate(order.details)
        ]
        closes = _close(order, rows, expected)
    return ProductTax(tuple(map(LineTax, rates, map(tuple, rows))), closes)


def ecotax_tax(order: Order) -> Decimal:
    """The tax on all ecotaxes of an order, rounded once."""
    whole = ZERO
    for detail in order.details:
        if detail.ecotax and detail.taxes:
            whole += detail.ecotax * detail.ecotax_tax_rate / HUNDRED * detail.quantity
    return ps_round(whole, exponent(order.currency), order.round_mode) if whole else ZERO


def _line_tax(
    order: Order, detail: Detail, rates: Rates, spread: Decimal, kept: Mapping[int, Decimal]
) -> list[Decimal]:
    """The tax of one line per rate, rounded by the order's round type, before the residue."""
    if not rates:
        return []
    unit = detail.unit.te
    if spread and order.products.te:
        unit -= spread * (detail.unit.te + detail.ecotax) / order.products.te
    if detail.product_id in kept and detail.quantity:
        unit -= kept[detail.product_id] / detail.quantity
    digits, mode = exponent(order.currency), order.round_mode
    amounts = []
    for rate in rates:
        tax = unit * rate / HUNDRED
        if order.round_type == ITEM:
            amounts.append(ps_round(tax, digits, mode) * detail.quantity)
        elif order.round_type == TOTAL:
            amounts.append(tax * detail.quantity)
        else:
            amounts.append(ps_round(tax * detail.quantity, digits, mode))
    return amounts


def _close(order: Order, rows: list[list[Decimal]], expected: Decimal) -> bool:
    """Spread what is missing to ``expected`` over all rows, the largest first, in whole minor units."""
    digits, mode, unit = exponent(order.currency), order.round_mode, minor_unit(order.currency)
    by_tax: dict[int, Decimal] = {}
    places = []
    for detail, row in zip(order.details, rows, strict=True):
        for position, amount in enumerate(row):
            tax = detail.taxes[position]
            by_tax[tax] = by_tax.get(tax, ZERO) + amount
            places.append((row, position))
    made = sum((ps_round(amount, digits, mode) for amount in by_tax.values()), ZERO)
    missing = int(((expected - made) / unit).to_integral_value())
    if places and missing:
        places.sort(key=lambda place: -place[0][place[1]])
        each, rest = divmod(abs(missing), len(places))
        sign = unit if missing > 0 else -unit
        for number, (row, position) in enumerate(places):
            row[position] += sign * (each + (1 if number < rest else 0))
    _round_per_tax(order, rows)
    return bool(places) or not missing


def _round_per_tax(order: Order, rows: list[list[Decimal]]) -> None:
    """With round type TOTAL, rows become whole minor units and each tax sums to its rounded total."""
    if order.round_type != TOTAL:
        return
    by_tax: dict[int, list[tuple[list[Decimal], int]]] = {}
    for detail, row in zip(order.details, rows, strict=True):
        for position in range(len(row)):
            by_tax.setdefault(detail.taxes[position], []).append((row, position))
    for places in by_tax.values():
        exact = [row[position] for row, position in places]
        total = ps_round(sum(exact, ZERO), exponent(order.currency), order.round_mode)
        shares = close_to(exact, total, minor_unit(order.currency))
        for (row, position), share in zip(places, shares, strict=True):
            row[position] = share


# -- shipping, wrapping -----------------------------------------------------------------------


class Charge(NamedTuple):
    """A part of shipping or wrapping under one set of rates: net amount and tax per rate."""

    rates: Rates
    net: Decimal
    amounts: tuple[Decimal, ...]


def charges(
    amount: Pair, percent: Decimal, known: Sequence[Rates], order: Order, nets: Mapping[Rates, Decimal]
) -> list[Charge]:
    """How a charge and its tax divide over rates.

    ``percent`` is the combined rate that the shop stored, ``known`` the sets of rates that it may
    consist of. Where neither the stored rate nor a known one can have made the tax, the shop averaged
    it over the products (``nets`` by rates), and so does this.
    """
    if not amount.te and not amount.ti:
        return []
    if not amount.tax and not (percent and fits(amount, percent, order.currency)):
        return [Charge((), amount.te, ())]
    if percent and fits(amount, percent, order.currency):
        rates = _named(percent, known)
        return [Charge(rates, amount.te, split(amount.tax, rates))]
    fitting = [rates for rates in known if rates and fits(amount, sum(rates, ZERO), order.currency)]
    if fitting:
        best = min(fitting, key=lambda rates: abs(amount.te * sum(rates, ZERO) / HUNDRED - amount.tax))
        return [Charge(best, amount.te, split(amount.tax, best))]
    return _averaged(amount, order, nets)


def fits(amount: Pair, percent: Decimal, currency: str) -> bool:
    """Whether rounding alone explains the tax of ``amount`` at ``percent``."""
    return abs(amount.te * percent / HUNDRED - amount.tax) <= minor_unit(currency) * _FIT


def _named(percent: Decimal, known: Sequence[Rates]) -> Rates:
    """The known set of rates that sums to ``percent``, else ``percent`` alone."""
    for rates in known:
        if rates and abs(sum(rates, ZERO) - percent) < _HALF_THOUSANDTH:
            return rates
    return (plain(percent),) if percent else ()


def split(tax: Decimal, rates: Rates) -> tuple[Decimal, ...]:
    """``tax`` in proportion to ``rates``, exact: it is rounded once, when all parts of a rate are known."""
    if len(rates) < 2:
        return (tax,) * len(rates)
    whole = sum(rates, ZERO)
    return tuple(tax * rate / whole for rate in rates)


def rounded(
    taxes: Mapping[tuple[str, Decimal], Decimal], currency: str
) -> dict[tuple[str, Decimal], Decimal]:
    """Exact taxes by code and rate in whole minor units; each code keeps its sum."""
    unit = minor_unit(currency)
    by_code: dict[str, list[Decimal]] = {}
    for code, rate in taxes:
        by_code.setdefault(code, []).append(rate)
    made = {}
    for code, rates in by_code.items():
        exact = [taxes[code, rate] for rate in rates]
        for rate, share in zip(
            rates, close_to(exact, to_minor(sum(exact, ZERO), currency), unit), strict=True
        ):
            made[code, rate] = share
    return made


def _averaged(amount: Pair, order: Order, nets: Mapping[Rates, Decimal]) -> list[Charge]:
    """The charge divided over the products' rates by net amount, its tax as PrestaShop spreads it.

    PrestaShop weighs every tax row of the lines, rounds each share, and gives the rest to the rows
    in whole minor units, the largest first.
    """
    parts = [(rates, net) for rates, net in nets.items() if net > 0]
    if not any(rates for rates, _ in parts):
        return [Charge((), amount.te, ())] if not amount.tax else []
    unit = minor_unit(order.currency)
    digits, mode = exponent(order.currency), order.round_mode
    weight = sum((net * len(rates) for rates, net in parts), ZERO)
    taxes: dict[tuple[Rates, int], Decimal] = {}
    for rates, net in parts:
        for position, rate in enumerate(rates):
            taxes[rates, position] = ps_round(amount.te * net / weight * rate / HUNDRED, digits, mode)
    missing = int(((amount.tax - sum(taxes.values(), ZERO)) / unit).to_integral_value())
    each, rest = divmod(abs(missing), len(taxes))
    sign = unit if missing > 0 else -unit
    for number, key in enumerate(sorted(taxes, key=lambda entry: -taxes[entry])):
        taxes[key] += sign * (each + (1 if number < rest else 0))
    shares = allocate(amount.te, [net for _, net in parts], order.currency)
    return [
        Charge(rates, share, tuple(taxes[rates, position] for position in range(len(rates))))
        for (rates, _), share in zip(parts, shares, strict=True)
    ]
