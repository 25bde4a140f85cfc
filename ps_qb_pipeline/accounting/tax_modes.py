"""How a company keeps tax: the finished lines and taxes of a document in each tax mode.

What lives here: tax lines from bases, and the modes GLOBAL_EXCL, GLOBAL_INCL, US_AST, US_MANUAL and
NO_TAX. What does not: amounts of tax (``tax``) and the form that is computed (``forms``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Literal, NamedTuple

from ps_qb_pipeline.accounting import forms, items
from ps_qb_pipeline.accounting.coding import NON, TAX, US_MODES
from ps_qb_pipeline.accounting.documents import Line, TaxLine
from ps_qb_pipeline.accounting.money import ZERO, to_minor
from ps_qb_pipeline.accounting.notes import Hold, Note
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.tax import Rates

GlobalTax = Literal["TaxExcluded", "TaxInclusive", "NotApplicable", ""]


class Finished(NamedTuple):
    """Lines and taxes in the company's tax mode, and QuickBooks' word for the mode."""

    lines: tuple[Line, ...]
    taxes: tuple[TaxLine, ...]
    global_tax: GlobalTax


def tax_lines(
    lines: Sequence[Line],
    rates_of_code: Mapping[str, Rates],
    taxes: Mapping[tuple[str, Decimal], Decimal],
    out_of_scope: str,
    currency: str,
) -> tuple[TaxLine, ...]:
    """One tax line per code and rate, bases summed from ``lines``; out of scope has none."""
    bases: dict[str, Decimal] = {}
    for line in lines:
        if line.tax_code and line.tax_code != out_of_scope:
            bases[line.tax_code] = bases.get(line.tax_code, ZERO) + line.amount
    zero = to_minor(ZERO, currency)
    return tuple(
        TaxLine(code, rate, base, taxes.get((code, rate), zero))
        for code, base in bases.items()
        for rate in (rates_of_code.get(code) or (ZERO,))
    )


def finish(
    lines: tuple[Line, ...],
    taxes: tuple[TaxLine, ...],
    total_tax: Decimal,
    explained: Decimal,
    currency: str,
    policy: Policy,
    notes: list[Note],
) -> Finished:
    """Lines and taxes in the company's tax mode and, where asked for, in a form that computes.

    Raises Hold where the taxes lie further from their bases than ``explained``, or no form exists.
    """
    if policy.tax_mode == "NO_TAX":
        return _without_tax(lines, total_tax, notes)
    if policy.tax_mode in US_MODES:
        return Finished(tuple(_us_line(line, taxes) for line in lines), taxes, "")
    if policy.tax_mode == "GLOBAL_INCL":
        gross = forms.to_gross(lines, taxes, currency)
        if gross is not None:
            return Finished(gross, taxes, "TaxInclusive")
    if policy.tax_amounts == "override":
        return Finished(lines, taxes, "TaxExcluded")
    off = forms.distance(taxes, currency)
    if off > explained:
        raise Hold("TAX_RESIDUE", f"the tax per rate is {off:f} off what its bases give", off)
    parts = forms.components(policy.tax_codes)
    form = forms.to_computed(lines, taxes, currency, policy.out_of_scope_code, parts)
    if form.shifted is None:
        raise Hold("TAX_RESIDUE", "no form exists from which QuickBooks computes the shop's tax", total_tax)
    if form.shifted:
        notes.append(Note("TAX_FORM_ADJUSTED", form.shifted, f"bases moved by at most {form.shifted:f}"))
    return Finished(form.lines, form.taxes, "TaxExcluded")


def _without_tax(lines: tuple[Line, ...], total_tax: Decimal, notes: list[Note]) -> Finished:
    plain = tuple(replace(line, tax_code="") for line in lines)
    if total_tax:
        notes.append(Note("TAX_AS_LINE", total_tax, "the tax stands as a line"))
        plain += (Line("tax", items.SALES_TAX, total_tax),)
    return Finished(plain, (), "NotApplicable")


def _us_line(line: Line, taxes: Sequence[TaxLine]) -> Line:
    taxed = any(entry.code == line.tax_code and entry.rate for entry in taxes)
    return replace(line, tax_code=TAX if taxed else NON)
