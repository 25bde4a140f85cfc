"""One order to the lines and taxes of its sale.

What lives here: everything between the order's rows and a document's inside. What does not: whether
the order is a sale (``recognition``), how it was paid (``payments``), and the document around it
(``translate``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from ps_qb_pipeline.accounting import discounts, forms, items, tax, trust, vouchers
from ps_qb_pipeline.accounting.documents import Item, Line, TaxLine
from ps_qb_pipeline.accounting.lines import merged, net_amounts, product_line, total_of
from ps_qb_pipeline.accounting.money import DOWN, UP, ZERO, allocate, close_to, minor_unit, to_minor
from ps_qb_pipeline.accounting.places import Place, place_of
from ps_qb_pipeline.accounting.policy import Policy, SaleKind, Scheme
from ps_qb_pipeline.accounting.rules import Outcome
from ps_qb_pipeline.accounting.shop import Address, Detail, Order, Pair, Shop
from ps_qb_pipeline.accounting.tax import Charge, Rates
from ps_qb_pipeline.accounting.tax_codes import TaxTable, untaxed_scheme

_US_MODES = {"US_AST", "US_MANUAL"}
_TAX, _NON = "TAX", "NON"
GlobalTax = Literal["TaxExcluded", "TaxInclusive", "NotApplicable", ""]


class Note(NamedTuple):
    """A deviation found on the way; it becomes a finding of the order."""

    code: str
    amount: Decimal
    message: str
    evidence: Mapping[str, Any] = MappingProxyType({})


class Hold(Exception):
    """The order cannot be booked; the note says why."""

    def __init__(self, code: str, message: str, amount: Decimal = ZERO, **evidence: Any) -> None:
        super().__init__(message)
        self.note = Note(code, amount, message, evidence)


class Coded(NamedTuple):
    """A tax code with the rates that make it up; no rates for untaxed sales."""

    code: str
    rates: Rates


@dataclass(frozen=True, slots=True)
class Sale:
    """The inside of a sale, and what its refunds need to know of it."""

    lines: tuple[Line, ...]
    taxes: tuple[TaxLine, ...]
    global_tax: GlobalTax
    total: Decimal
    total_tax: Decimal
    items: tuple[Item, ...]
    notes: tuple[Note, ...]
    codes: dict[int, Coded]
    """The code of each order line, by its id."""
    item_keys: dict[int, str]
    shipping: tuple[tuple[Coded, Decimal], ...]
    """Shipping by code: net amounts before any discount."""
    discounts: tuple[tuple[Coded, Decimal], ...] = ()
    rounding: Decimal = ZERO
    redeemed: Decimal = ZERO
    """Store credit and gift cards used, gross."""
    explained: Decimal = ZERO
    """How far tax per rate may lie from what its bases give; refunds share the sale's reasons."""


class Builder:
    """Builds the sale of one order. A value of its own because a dozen facts are shared by the steps."""

    def __init__(
        self, order: Order, shop: Shop, policy: Policy, table: TaxTable, shipping: Pair, outcome: Outcome
    ) -> None:
        self.outcome = outcome
        self.order = order
        self.shop = shop
        self.policy = policy
        self.table = table
        self.shipping = shipping
        self.notes: list[Note] = []
        self.lines: list[Line] = []
        self.rates_of_code: dict[str, Rates] = {}
        self.taxes: dict[tuple[str, Decimal], Decimal] = {}
        self.averaged = ZERO
        """Tax of charges that the shop averaged over its products."""
        self.address = self._tax_address()
        self.vat_number = _vat_number(order)
        self.us = policy.tax_mode in _US_MODES
        rows = bool(order.details) and all(detail.tax_rows is not None for detail in order.details)
        self.from_bases = not rows and not order.rounding_known
        """Neither rows nor the rounding that made them: tax is what the bases give."""
        try:
            self.line_rates = [tax.effective_rates(detail, shop) for detail in order.details]
        except tax.UnknownTax as unknown:
            raise Hold("TAX_CODE_UNMAPPED", f"the shop no longer lists tax {unknown}") from None
        self.live_rates = [tuple(rate for rate in rates if rate) for rates in self.line_rates]
        self.any_taxed = any(self.live_rates)
        self.known = list(dict.fromkeys(rates for rates in self.live_rates if rates))

    # -- places and codes ----------------------------------------------------------------------

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
                where = shop.tax_places.get(number)
                if where and delivery.country in where:
                    return delivery
                if where and invoice.country in where:
                    return invoice
        return invoice if shop.tax_by_invoice_address else delivery

    def place(self, kind: SaleKind) -> Place:
        """Where a sale of ``kind`` is taxed."""
        address = self.address
        country = address.country or self.policy.seller_country
        return place_of(country, address.subdivision, address.postcode, goods=kind != "service")

    def code(self, rates: Rates, kind: SaleKind, *, explained: bool) -> Coded:
        """The tax code of a sale at ``rates``; raises Hold where the table has no row."""
        place = self.place(kind)
        if self.us:
            found = self.table.taxed(place, rates, kind) or _TAX if rates else _NON
            return self._remember(found, rates)
        if rates:
            taxed = self.table.taxed(place, rates, kind, self.outcome.scheme)
            if taxed is None:
                shown = " + ".join(f"{rate:f} %" for rate in rates)
                raise Hold(
                    "TAX_CODE_UNMAPPED",
                    f"no tax code is set for {shown} in {_shown(place)} ({kind})",
                    country=place.country,
                    subdivision=place.subdivision,
                    rates=[str(rate) for rate in rates],
                )
            return self._remember(taxed, rates)
        scheme: Scheme | None = self.outcome.scheme or untaxed_scheme(
            place, self.policy.seller_country, self.vat_number, kind, explained=explained
        )
        if scheme is None:
            raise Hold(
                "TAX_ZERO_UNEXPLAINED",
                f"no tax in {_shown(place)}, and nothing explains it",
                country=place.country,
            )
        untaxed = self.table.untaxed(place, scheme, kind)
        if untaxed is None:
            raise Hold(
                "TAX_CODE_UNMAPPED",
                f"no tax code is set for {scheme} sales to {_shown(place)} ({kind})",
                country=place.country,
                scheme=scheme,
            )
        return self._remember(untaxed, ())

    def _remember(self, code: str, rates: Rates) -> Coded:
        self.rates_of_code.setdefault(code, rates)
        return Coded(code, rates)

    def line_code(self, index: int, detail: Detail) -> Coded:
        """The tax code of one order line."""
        kind: SaleKind = "service" if detail.is_virtual else "goods"
        rates = self.live_rates[index]
        explained = bool(rates) or self.any_taxed or bool(detail.taxes) or self._exempt_by_rule(detail)
        return self.code(rates, kind, explained=explained)

    def _exempt_by_rule(self, detail: Detail) -> bool:
        group = detail.id_tax_rules_group
        if not group:
            return False
        known = self.shop.group_places
        country = self.address.country or self.policy.seller_country
        return bool(known) and country not in known.get(group, frozenset())

    # -- the steps -----------------------------------------------------------------------------

    def build(self, verdict: trust.Verdict) -> Sale:
        """The sale; raises Hold where something is not understood."""
        order = self.order
        found = vouchers.sort_out(order, self.policy)
        if found.undecided:
            raise Hold(
                "STORE_CREDIT_UNDECIDED",
                "store credit is used, and store_credit_policy is not set",
                order.discounts.ti,
            )
        codes = [self.line_code(index, detail) for index, detail in enumerate(order.details)]
        gift_cards = [vouchers.is_gift_card(detail, self.policy) for detail in order.details]
        sold = self._products(codes, gift_cards, verdict)
        shipping = self._charges(self.shipping, order.carrier_tax_rate, "shipping", items.SHIPPING)
        self._charges(order.wrapping, self._wrapping_percent(), "wrapping", items.WRAPPING)
        given = self._discounts(found, codes, shipping)
        for use in found.redeemed:
            item = items.STORE_CREDIT if use.kind == "store_credit" else items.GIFT_CARD
            kind: Any = use.kind
            self.lines.append(
                Line(kind, item, -use.value.ti, self.policy.out_of_scope_code, description=use.code)
            )
        rounding = self._rounding(found, verdict)
        self._product_taxes(codes, gift_cards, found, verdict)
        total_tax = self._residue(found, gift_cards, verdict)
        formed = self._formed(merged(self.lines), total_tax)
        self._say_verdict(verdict)
        self._say_redeemed(found)
        return Sale(
            lines=formed.lines,
            taxes=formed.taxes,
            global_tax=formed.global_tax,
            total=to_minor(order.paid.ti, order.currency),
            total_tax=total_tax,
            items=tuple(sold),
            notes=tuple(self.notes),
            codes={detail.id: code for detail, code in zip(order.details, codes, strict=True)},
            item_keys={line.order_detail_id: line.item for line in self.lines if line.kind == "product"},
            shipping=tuple(shipping),
            discounts=tuple(given),
            rounding=rounding,
            explained=self._explained(),
            redeemed=sum((use.value.ti for use in found.redeemed), ZERO),
        )

    def _say_verdict(self, verdict: trust.Verdict) -> None:
        if verdict.ecotax_left_out:
            text = "lines carry an ecotax that the totals leave out"
            self.notes.append(Note("ECOTAX_LEFT_OUT", ZERO, text))
        if verdict.odd_rows:
            text = f"{verdict.odd_rows} lines are not quantity times price"
            self.notes.append(Note("ROW_TOTAL_DIFF", ZERO, text))

    def _say_redeemed(self, found: vouchers.Vouchers) -> None:
        """Store credit that counts as money: the tax differs from the printed invoice by its tax."""
        tax_of_credit = sum((use.value.tax for use in found.redeemed), ZERO)
        if tax_of_credit:
            text = f"full tax is due: {tax_of_credit:f} more than the printed invoice shows"
            self.notes.append(
                Note("TAX_STORE_CREDIT_GROSSUP", to_minor(tax_of_credit, self.order.currency), text)
            )

    def _products(
        self, codes: Sequence[Coded], gift_cards: Sequence[bool], verdict: trust.Verdict
    ) -> list[Item]:
        order, currency = self.order, self.order.currency
        amounts = net_amounts(order, without_ecotax=verdict.ecotax_left_out)
        sold: dict[str, Item] = {}
        for index, detail in enumerate(order.details):
            amount = amounts[index]
            if gift_cards[index]:
                gross = to_minor(detail.total.ti, currency)
                self.lines.append(
                    product_line(
                        detail,
                        items.GIFT_CARD,
                        gross,
                        detail.quantity,
                        self.policy.out_of_scope_code,
                        currency,
                        kind="gift_card",
                    )
                )
                continue
            found = items.identify(detail, self.shop, self.policy, self.outcome.income_account)
            item = self._item(found, detail)
            sold[found.item.key] = found.item
            if detail.ecotax and not verdict.ecotax_left_out and self.policy.ecotax == "separate":
                eco = to_minor(detail.ecotax * detail.quantity, currency)
                amount -= eco
                code = self._ecotax_code(detail, codes[index])
                line = product_line(
                    detail, items.ECOTAX, eco, detail.quantity, code.code, currency, kind="ecotax"
                )
                self.lines.append(
                    product_line(detail, item, amount, detail.quantity, codes[index].code, currency)
                )
                self.lines.append(line)
            else:
                self.lines.append(
                    product_line(detail, item, amount, detail.quantity, codes[index].code, currency)
                )
        return list(sold.values()) if self.policy.missing_items != "generic" else []

    def _item(self, found: items.Identified, detail: Detail) -> str:
        if found.code:
            self.notes.append(
                Note(found.code, ZERO, f"product {detail.product_id}", {"item": found.item.key})
            )
        return self.policy.generic_item if self.policy.missing_items == "generic" else found.item.key

    def _ecotax_code(self, detail: Detail, code: Coded) -> Coded:
        if not code.rates or not detail.ecotax_tax_rate:
            return code
        rate = tax.plain(detail.ecotax_tax_rate)
        if rate == sum(code.rates, ZERO):
            return code
        return self.code((rate,), "ecotax", explained=True)

    def _wrapping_percent(self) -> Decimal:
        """The rate that the shop's rules give gift wrapping at the taxed place; 0 when unknown."""
        place = self.place("wrapping")
        group = self.shop.wrapping_group
        names = {place.country, f"{place.country}-{place.subdivision}"}
        taxes = [number for name in names for number in self.shop.group_taxes.get((group, name), ())]
        return sum((self.shop.tax_percents.get(number, ZERO) for number in taxes), ZERO)

    def _charges(
        self, amount: Pair, percent: Decimal, kind: SaleKind, item: str
    ) -> list[tuple[Coded, Decimal]]:
        """Shipping or wrapping as lines with their tax; the parts by code."""
        nets: dict[Rates, Decimal] = {}
        for rates, detail in zip(self.live_rates, self.order.details, strict=True):
            nets[rates] = nets.get(rates, ZERO) + detail.total.te
        known = self.known + [rates for rates in self._table_rates() if rates not in self.known]
        parts = tax.charges(amount, percent, known, self.order, nets)
        if not parts and not amount.te and not amount.ti:
            return []
        if not parts:
            raise Hold("TAX_RESIDUE", f"the tax of {kind} fits no rate of the order", amount.tax)
        if len(parts) > 1 or (
            amount.tax and not tax.fits(amount, sum(parts[0].rates, ZERO), self.order.currency)
        ):
            self.averaged += abs(amount.tax)
        coded = []
        free = kind == "shipping" and any(rule.free_shipping for rule in self.order.cart_rules)
        for part in parts:
            code = self.code(part.rates, kind, explained=self.any_taxed or not part.rates)
            line_kind: Any = kind
            self.lines.append(Line(line_kind, item, part.net, code.code))
            if not free and not self.from_bases:
                self._add_tax(code, part)
            coded.append((code, part.net))
        return coded

    def _table_rates(self) -> list[Rates]:
        """The sets of rates that the policy's table knows for the taxed place."""
        return self.table.sets(self.place("shipping"))

    def _add_tax(self, code: Coded, part: Charge) -> None:
        for rate, amount in zip(part.rates, part.amounts, strict=True):
            self.taxes[code.code, rate] = self.taxes.get((code.code, rate), ZERO) + amount

    def _discounts(
        self, found: vouchers.Vouchers, codes: Sequence[Coded], shipping: Sequence[tuple[Coded, Decimal]]
    ) -> list[tuple[Coded, Decimal]]:
        order = self.order
        divided = discounts.divide(
            order,
            found.discounts,
            found.rules,
            self.shipping,
            gifts_to_their_line=self.policy.tax_amounts == "override",
        )
        if divided.rules_differ:
            ruled = sum((rule.value.te for rule in found.rules), ZERO)
            self.notes.append(
                Note(
                    "DISCOUNT_RULES_DIFF",
                    to_minor(ruled - found.discounts.te, order.currency),
                    f"the vouchers sum to {ruled:f}, the order's discount is {found.discounts.te:f}",
                )
            )
        by_code: dict[Coded, Decimal] = {}
        for code, share in zip(codes, divided.lines, strict=True):
            if share:
                by_code[code] = by_code.get(code, ZERO) + share
        given = list(by_code.items())
        for code, amount in given:
            self.lines.append(Line("discount", items.DISCOUNT, -amount, code.code))
        if divided.shipping:
            given += self._shipping_discount(divided.shipping, shipping)
        return given

    def _shipping_discount(
        self, amount: Decimal, shipping: Sequence[tuple[Coded, Decimal]]
    ) -> list[tuple[Coded, Decimal]]:
        if not shipping:
            raise Hold("PS_IDENTITY_BREAK", "free shipping without shipping", amount)
        shares = allocate(amount, [net for _, net in shipping], self.order.currency)
        parts = [(code, share) for (code, _), share in zip(shipping, shares, strict=True) if share]
        for code, share in parts:
            self.lines.append(
                Line("discount", items.DISCOUNT, -share, code.code, description=discounts.FREE_SHIPPING)
            )
        return parts

    def _target_net(self, found: vouchers.Vouchers) -> Decimal:
        """What the lines must sum to: the stored net total, with vouchers counted as money and gross cards."""
        net = self.order.paid.te
        for use in found.redeemed:
            net += use.value.te - use.value.ti
        return net

    def _rounding(self, found: vouchers.Vouchers, verdict: trust.Verdict) -> Decimal:
        order = self.order
        cards = sum(
            (
                to_minor(detail.total.ti - detail.total.te, order.currency)
                for detail in order.details
                if vouchers.is_gift_card(detail, self.policy)
            ),
            ZERO,
        )
        gap = to_minor(self._target_net(found) + cards - total_of(self.lines), order.currency)
        if not gap:
            return ZERO
        limit = trust.rounding_bound(order)
        if abs(gap) > limit:
            raise Hold(
                "ROUNDING_EXCESS",
                f"the parts differ from the total by {gap:f}, and rounding explains at most {limit:f}",
                gap,
            )
        self.lines.append(Line("rounding", items.ROUNDING, gap, self.policy.out_of_scope_code))
        self.notes.append(
            Note(
                "ROUNDING_LINE_USED",
                gap,
                f"a rounding line of {gap:f} closes the order's parts with its total",
                {"gap_without_tax": f"{verdict.gap.te:f}", "gap_with_tax": f"{verdict.gap.ti:f}"},
            )
        )
        return gap

    def _product_taxes(
        self,
        codes: Sequence[Coded],
        gift_cards: Sequence[bool],
        found: vouchers.Vouchers,
        verdict: trust.Verdict,
    ) -> None:
        """Tax rows of the lines by code and rate; a stray amount at a rate of zero is left to the residue."""
        order = self.order
        ecotax = not verdict.ecotax_left_out
        if self.from_bases:
            self._taxes_of_bases()
            return
        made = tax.product_tax(
            order,
            self.line_rates,
            shipping=self.shipping,
            discounts=found.discounts,
            rules=found.rules,
            ecotax=ecotax,
        )
        if not made.closes:
            self.notes.append(
                Note("TAX_ROWS_STALE", ZERO, "the order's tax rows do not sum to its header's tax")
            )
        for index, line in enumerate(made.lines):
            if gift_cards[index]:
                continue
            code = codes[index].code
            for rate, amount in zip(line.rates, line.amounts, strict=True):
                if rate:
                    self.taxes[code, rate] = self.taxes.get((code, rate), ZERO) + amount
        if ecotax:
            self._ecotax_taxes(codes)

    def _taxes_of_bases(self) -> None:
        bases: dict[str, Decimal] = {}
        for line in self.lines:
            bases[line.tax_code] = bases.get(line.tax_code, ZERO) + line.amount
        for code, base in bases.items():
            for rate in self.rates_of_code.get(code, ()):
                self.taxes[code, rate] = forms.computed(base, rate, self.order.currency)

    def _ecotax_taxes(self, codes: Sequence[Coded]) -> None:
        """The tax on ecotaxes by code, closed to the order's one rounded sum."""
        exact: dict[Coded, Decimal] = {}
        for code, detail in zip(codes, self.order.details, strict=True):
            if detail.ecotax and detail.taxes and detail.ecotax_tax_rate and code.rates:
                own = self._ecotax_code(detail, code)
                amount = detail.ecotax * detail.quantity * detail.ecotax_tax_rate / 100
                exact[own] = exact.get(own, ZERO) + amount
        if not exact:
            return
        currency = self.order.currency
        shares = close_to(list(exact.values()), tax.ecotax_tax(self.order), minor_unit(currency))
        for code, share in zip(exact, shares, strict=True):
            self._add_tax(code, Charge(code.rates, ZERO, tax.split(share, code.rates)))

    def _residue(
        self, found: vouchers.Vouchers, gift_cards: Sequence[bool], verdict: trust.Verdict
    ) -> Decimal:
        """Close the taxes with the header's total tax; the rest goes to the largest. The total tax."""
        order = self.order
        total = order.paid.tax + sum((use.value.tax for use in found.redeemed), ZERO)
        for detail, card in zip(order.details, gift_cards, strict=True):
            if card:
                total -= to_minor(detail.total.tax, order.currency)
        total = to_minor(total, order.currency)
        self.taxes = tax.rounded(self.taxes, order.currency)
        rest = total - sum(self.taxes.values(), ZERO)
        if not rest:
            if verdict.gap.ti and not verdict.gap.te:
                self._say_stale(verdict, rest)
            return total
        limit = minor_unit(order.currency) * (max(1, len(order.details)) + 1)
        if abs(rest) > limit or not self.taxes:
            raise Hold(
                "TAX_RESIDUE", f"tax per rate and total tax differ by {rest:f}", rest, total_tax=str(total)
            )
        largest = max(self.taxes, key=lambda key: self.taxes[key])
        self.taxes[largest] += rest
        if not any(note.code in {"ROUNDING_LINE_USED", "TAX_ROWS_STALE"} for note in self.notes):
            self._say_stale(verdict, rest)
        return total

    def _say_stale(self, verdict: trust.Verdict, rest: Decimal) -> None:
        self.notes.append(
            Note(
                "TAX_ROWS_STALE",
                rest,
                f"the header's total tax holds; {rest:f} of it went to the largest rate",
                {"gap_without_tax": f"{verdict.gap.te:f}", "gap_with_tax": f"{verdict.gap.ti:f}"},
            )
        )

    # -- form ----------------------------------------------------------------------------------

    def _formed(self, lines: tuple[Line, ...], total_tax: Decimal) -> Finished:
        order = self.order
        taxes = tax_lines(
            lines, self.rates_of_code, self.taxes, self.policy.out_of_scope_code, order.currency
        )
        return finish(lines, taxes, total_tax, self._explained(), order.currency, self.policy, self.notes)

    def _explained(self) -> Decimal:
        """How far the shop's tax per rate may lie from what the bases give, summed over the rates.

        Half a minor unit for each unit sold (rounding per item) and some for each line; the tax of
        gifts, which the shop spreads over all rates; twice the tax on ecotaxes, which it takes back
        from the rows of the lines.
        """
        order = self.order
        pieces = sum(abs(detail.quantity) for detail in order.details)
        unit = minor_unit(order.currency)
        highest = max((sum(rates, ZERO) for rates in self.live_rates), default=ZERO)
        gifts = sum((rule.value.te for rule in order.cart_rules if rule.gift_product), ZERO)
        ecotax = sum((detail.ecotax * detail.quantity for detail in order.details), ZERO)
        wide = order.round_mode in {UP, DOWN}
        pieces_share = Decimal(pieces) if wide else Decimal(pieces) / 2
        return (
            unit * (pieces_share + (4 if wide else 2) * len(order.details) + 4)
            + self.averaged * 2
            + gifts * 2 * highest / 100
            + ecotax * 4 * highest / 100
        )


def tax_lines(
    lines: Sequence[Line],
    rates_of_code: dict[str, Rates],
    taxes: dict[tuple[str, Decimal], Decimal],
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


class Finished(NamedTuple):
    """Lines and taxes in the company's tax mode, and the mode itself."""

    lines: tuple[Line, ...]
    taxes: tuple[TaxLine, ...]
    global_tax: GlobalTax


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
    if policy.tax_mode in _US_MODES:
        return Finished(tuple(_us_line(line, taxes) for line in lines), taxes, "")
    if policy.tax_mode == "GLOBAL_INCL":
        gross = forms.to_gross(lines, taxes, currency)
        if gross is not None:
            return Finished(gross, taxes, "TaxInclusive")
    if policy.tax_amounts == "override":
        return Finished(lines, taxes, "TaxExcluded")
    off = sum((abs(forms.computed(each.base, each.rate, currency) - each.amount) for each in taxes), ZERO)
    if off > explained:
        raise Hold("TAX_RESIDUE", f"the tax per rate is {off:f} off what its bases give", off)
    form = forms.to_computed(
        lines, taxes, currency, policy.out_of_scope_code, forms.components(policy.tax_codes)
    )
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
    return replace(line, tax_code=_TAX if taxed else _NON)


def _vat_number(order: Order) -> str:
    for address in (order.invoice_address, order.delivery_address):
        if address is not None and address.vat_number:
            return address.vat_number
    return ""


def _shown(place: Place) -> str:
    return f"{place.country}-{place.subdivision}" if place.subdivision else place.country
