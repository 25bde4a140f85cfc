"""Money before the sale: the advance that carries tax, and its reversal when the sale comes.

What lives here: how an advance divides over tax codes. What does not: which payments are advances
(``translate``). Where VAT or GST is charged, tax falls due with the money.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from ps_qb_pipeline.accounting import items, tax
from ps_qb_pipeline.accounting.documents import Line, TaxLine
from ps_qb_pipeline.accounting.money import ZERO, allocate, to_minor
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.sale import Sale
from ps_qb_pipeline.accounting.tax_modes import GlobalTax, finish, tax_lines


class Advance(NamedTuple):
    """The inside of an advance."""

    lines: tuple[Line, ...]
    taxes: tuple[TaxLine, ...]
    global_tax: GlobalTax
    total_tax: Decimal


def inside(amount: Decimal, sale: Sale, policy: Policy, currency: str) -> Advance:
    """The inside of an advance of ``amount``, tax included, at the order's rates.

    The advance divides over the tax codes by their gross share in the sale; the part without a code
    of its own (rounding) follows the others.
    """
    gross = _gross_by_code(sale, policy.out_of_scope_code)
    shares = allocate(amount, [whole for whole, _, _ in gross.values()], currency)
    lines: list[Line] = []
    taxes: dict[tuple[str, Decimal], Decimal] = {}
    rates = {}
    total = ZERO
    for (code, (whole, base, own)), share in zip(gross.items(), shares, strict=True):
        part = to_minor(share * (whole - base) / whole, currency) if whole else ZERO
        total += part
        rates[code] = tuple(entry.rate for entry in own if entry.rate)
        lines.append(Line("deposit", items.DEPOSITS, share - part, code, description="advance payment"))
        for rate, piece in zip(rates[code], tax.split(part, rates[code]), strict=True):
            taxes[code, rate] = piece
    made = tax_lines(lines, rates, tax.rounded(taxes, currency), policy.out_of_scope_code, currency)
    formed = finish(tuple(lines), made, total, sale.explained, currency, policy, [])
    return Advance(formed.lines, formed.taxes, formed.global_tax, total)


def _gross_by_code(sale: Sale, out_of_scope: str) -> dict[str, tuple[Decimal, Decimal, Sequence[TaxLine]]]:
    """Gross, net and tax lines of a sale by code; all of it out of scope where there is no tax code."""
    found: dict[str, tuple[Decimal, Decimal, Sequence[TaxLine]]] = {}
    for code in dict.fromkeys(entry.code for entry in sale.taxes):
        own = [entry for entry in sale.taxes if entry.code == code]
        base = own[0].base
        whole = base + sum((entry.amount for entry in own), ZERO)
        if whole > 0:
            found[code] = (whole, base, own)
    return found or {out_of_scope: (Decimal(1), Decimal(1), ())}
