"""The tax code of each part of an order: which place the shop taxed, and which row of the table fits.

What lives here: from an order's taxes and addresses to codes. What does not: the table itself
(``tax_codes``), the territory (``places``) and amounts of tax (``tax``).
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from ps_qb_pipeline.accounting import tax
from ps_qb_pipeline.accounting.notes import Hold
from ps_qb_pipeline.accounting.places import Place, place_of
from ps_qb_pipeline.accounting.policy import Policy, SaleKind, Scheme
from ps_qb_pipeline.accounting.rules import Outcome
from ps_qb_pipeline.accounting.shop import Address, Detail, Order, Shop
from ps_qb_pipeline.accounting.tax import Rates
from ps_qb_pipeline.accounting.tax_codes import TaxTable, untaxed_scheme

US_MODES = frozenset(("US_AST", "US_MANUAL"))
TAX, NON = "TAX", "NON"
"""QuickBooks' pseudo codes on the lines of a company in the US."""


class Coded(NamedTuple):
    """A tax code with the rates that make it up; no rates for untaxed sales."""

    code: str
    rates: Rates


class Coding:
    """The tax codes of one order. It remembers the rates of every code that it gave."""

    def __init__(self, order: Order, shop: Shop, policy: Policy, table: TaxTable, outcome: Outcome) -> None:
        self.order = order
        self.shop = shop
        self.policy = policy
        self.table = table
        self.outcome = outcome
        self.address = self._tax_address()
        self.country = self.address.country or policy.seller_country
        subdivision, postcode = self.address.subdivision, self.address.postcode
        self._goods_place = place_of(self.country, subdivision, postcode, goods=True)
        self._service_place = place_of(self.country, subdivision, postcode, goods=False)
        self.vat_number = _vat_number(order)
        try:
            self.line_rates = [tax.effective_rates(detail, shop) for detail in order.details]
        except tax.UnknownTax as unknown:
            raise Hold("TAX_CODE_UNMAPPED", f"the shop no longer lists tax {unknown}") from None
        self.live_rates = [tuple(rate for rate in rates if rate) for rates in self.line_rates]
        self.any_taxed = any(self.live_rates)
        self.rates_of_code: dict[str, Rates] = {}
        self._known: list[Rates] | None = None

    def _tax_address(self) -> Address:
        """The address that the shop taxed: by the evidence of the taxes' own countries, else its setting."""
        order, shop = self.order, self.shop
        delivery = order.delivery_address or order.invoice_address
        invoice = order.invoice_address or order.delivery_address
        if delivery is None or invoice is None:
            return Address(country=self.policy.seller_country)
        if delivery.country == invoice.country:
            return delivery
        for detail in order.details:
            for number in detail.taxes:
                where = shop.tax_places.get(number, frozenset())
                if delivery.country in where:
                    return delivery
                if invoice.country in where:
                    return invoice
        return invoice if shop.tax_by_invoice_address else delivery

    def place(self, kind: SaleKind) -> Place:
        """Where a sale of ``kind`` is taxed."""
        return self._service_place if kind == "service" else self._goods_place

    def line(self, index: int, detail: Detail) -> Coded:
        """The tax code of one order line."""
        kind: SaleKind = "service" if detail.is_virtual else "goods"
        explained = self.any_taxed or bool(detail.taxes) or self._exempt_by_rule(detail)
        return self.code(self.live_rates[index], kind, explained=explained)

    def _exempt_by_rule(self, detail: Detail) -> bool:
        """Whether the line's tax rules group has no rate above zero for the country."""
        known = self.shop.group_places
        group = detail.id_tax_rules_group
        return bool(group and known) and self.country not in known.get(group, frozenset())

    def ecotax(self, detail: Detail, code: Coded) -> Coded:
        """The code of a line's ecotax, which bears a rate of its own; that of the line where it is untaxed."""
        if not code.rates or not detail.ecotax_tax_rate:
            return code
        rate = tax.plain(detail.ecotax_tax_rate)
        return code if rate == sum(code.rates, Decimal(0)) else self.code((rate,), "ecotax", explained=True)

    def code(self, rates: Rates, kind: SaleKind, *, explained: bool) -> Coded:
        """The tax code of a sale at ``rates``; raises Hold where the table has no row.

        ``explained`` says that the shop gives a reason for a sale without tax.
        """
        place = self.place(kind)
        if self.policy.tax_mode in US_MODES:
            return self._remember((self.table.taxed(place, rates, kind) or TAX) if rates else NON, rates)
        if rates:
            return self._remember(self._taxed(place, rates, kind), rates)
        return self._remember(self._untaxed(place, kind, explained=explained), ())

    def _taxed(self, place: Place, rates: Rates, kind: SaleKind) -> str:
        found = self.table.taxed(place, rates, kind, self.outcome.scheme)
        if found is None:
            shown = " + ".join(f"{rate:f} %" for rate in rates)
            raise Hold(
                "TAX_CODE_UNMAPPED",
                f"no tax code is set for {shown} in {_shown(place)} ({kind})",
                country=place.country,
                subdivision=place.subdivision,
                rates=[str(rate) for rate in rates],
            )
        return found

    def _untaxed(self, place: Place, kind: SaleKind, *, explained: bool) -> str:
        seller = self.policy.seller_country
        scheme: Scheme | None = self.outcome.scheme or untaxed_scheme(
            place, seller, self.vat_number, kind, explained=explained
        )
        if scheme is None:
            text = f"no tax in {_shown(place)}, and nothing explains it"
            raise Hold("TAX_ZERO_UNEXPLAINED", text, country=place.country)
        found = self.table.untaxed(place, scheme, kind)
        if found is None:
            text = f"no tax code is set for {scheme} sales to {_shown(place)} ({kind})"
            raise Hold("TAX_CODE_UNMAPPED", text, country=place.country, scheme=scheme)
        return found

    def _remember(self, code: str, rates: Rates) -> Coded:
        known = self.rates_of_code.setdefault(code, rates)
        if known != rates:  # in the US every taxed line bears the code TAX, whatever its rates
            self.rates_of_code[code] = tuple(dict.fromkeys((*known, *rates)))
        return Coded(code, rates)

    def known_rates(self) -> list[Rates]:
        """Sets of rates that a charge may bear: those of the lines, then those of the table for the place."""
        if self._known is None:
            own = list(dict.fromkeys(rates for rates in self.live_rates if rates))
            self._known = own + [rates for rates in self.table.sets(self._goods_place) if rates not in own]
        return self._known

    def wrapping_percent(self) -> Decimal:
        """The rate that the shop's rules give gift wrapping at the taxed place; 0 when unknown."""
        place = self.place("wrapping")
        names = {place.country, f"{place.country}-{place.subdivision}"}
        group = self.shop.wrapping_group
        taxes = [number for name in names for number in self.shop.group_taxes.get((group, name), ())]
        return sum((self.shop.tax_percents.get(number, Decimal(0)) for number in taxes), Decimal(0))


def _vat_number(order: Order) -> str:
    for address in (order.invoice_address, order.delivery_address):
        if address is not None and address.vat_number:
            return address.vat_number
    return ""


def _shown(place: Place) -> str:
    return f"{place.country}-{place.subdivision}" if place.subdivision else place.country
