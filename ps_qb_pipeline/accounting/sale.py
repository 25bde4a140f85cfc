"""One order to the lines and taxes of its sale.

What lives here: everything between the order's rows and a document's inside. What does not: whether
the order is a sale (``recognition``), how it was paid (``payments``), which codes it gets (``coding``)
and the document around it (``money_in``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from ps_qb_pipeline.accounting import discounts, forms, items, tax, trust, vouchers
from ps_qb_pipeline.accounting.coding import Coded, Coding
from ps_qb_pipeline.accounting.documents import Item, Line, TaxLine
from ps_qb_pipeline.accounting.lines import merged, net_amounts, product_line, total_of
from ps_qb_pipeline.accounting.money import DOWN, UP, ZERO, allocate, close_to, minor_unit, to_minor
from ps_qb_pipeline.accounting.notes import Hold, Note
from ps_qb_pipeline.accounting.policy import Policy, SaleKind
from ps_qb_pipeline.accounting.rules import Outcome
from ps_qb_pipeline.accounting.shop import Detail, Order, Pair, Shop
from ps_qb_pipeline.accounting.tax import Charge, Rates
from ps_qb_pipeline.accounting.tax_codes import TaxTable
from ps_qb_pipeline.accounting.tax_modes import Finished, GlobalTax, finish, tax_lines


class Part(NamedTuple):
    """A net amount under one tax code: a part of the shipping, of a discount."""

    code: Coded
    net: Decimal


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
    """The item of each order line that sells a product, by its id."""
    shipping: tuple[Part, ...]
    """Shipping by code, before any discount."""
    discounts: tuple[Part, ...] = ()
    rounding: Decimal = ZERO
    redeemed: Decimal = ZERO
    """Store credit and gift cards used, gross."""
    explained: Decimal = ZERO
    """How far tax per rate may lie from what its bases give; refunds share the sale's reasons."""


def whole(pair: Pair, currency: str) -> Pair:
    """Both sides in whole minor units: old shops kept totals with six decimals."""
    return Pair(to_minor(pair.te, currency), to_minor(pair.ti, currency))


class Builder:
    """Builds the sale of one order. A value of its own because a dozen facts are shared by the steps."""

    def __init__(
        self, order: Order, shop: Shop, policy: Policy, table: TaxTable, shipping: Pair, outcome: Outcome
    ) -> None:
        self.order = order
        self.currency = order.currency
        self.shop = shop
        self.policy = policy
        self.shipping = shipping
        self.outcome = outcome
        self.coding = Coding(order, shop, policy, table, outcome)
        found = vouchers.sort_out(order, policy)
        self.vouchers = found._replace(
            redeemed=tuple(use._replace(value=whole(use.value, order.currency)) for use in found.redeemed)
        )
        self.cards = [vouchers.is_gift_card(detail, policy) for detail in order.details]
        self.notes: list[Note] = []
        self.lines: list[Line] = []
        self.taxes: dict[tuple[str, Decimal], Decimal] = {}
        self.averaged = ZERO
        """Tax of charges that the shop averaged over its products."""
        rows = bool(order.details) and all(detail.tax_rows is not None for detail in order.details)
        self.from_bases = not rows and not order.rounding_known
        """Neither rows nor the rounding that made them: tax is what the bases give."""

    def build(self, verdict: trust.Verdict) -> Sale:
        """The sale; raises Hold where something is not understood."""
        order, coding = self.order, self.coding
        if self.vouchers.undecided:
            text = "store credit is used, and store_credit_policy is not set"
            raise Hold("STORE_CREDIT_UNDECIDED", text, order.discounts.ti)
        outside = Coded(self.policy.out_of_scope_code, ())
        codes = [
            outside if self.cards[index] else coding.line(index, detail)
            for index, detail in enumerate(order.details)
        ]
        sold = self._products(codes, verdict)
        shipping = self._charges(self.shipping, order.carrier_tax_rate, "shipping", items.SHIPPING)
        self._charges(order.wrapping, coding.wrapping_percent(), "wrapping", items.WRAPPING)
        given = self._discounts(codes, shipping)
        self._redeemed()
        rounding = self._rounding(verdict)
        self._product_taxes(codes, verdict)
        total_tax = self._residue(verdict)
        explained = self._explained()
        formed = self._formed(merged(self.lines), total_tax, explained)
        self._say_verdict(verdict)
        return Sale(
            lines=formed.lines,
            taxes=formed.taxes,
            global_tax=formed.global_tax,
            total=to_minor(order.paid.ti, self.currency),
            total_tax=total_tax,
            items=tuple(sold),
            notes=tuple(self.notes),
            codes={detail.id: code for detail, code in zip(order.details, codes, strict=True)},
            item_keys={line.order_detail_id: line.item for line in self.lines if line.kind == "product"},
            shipping=tuple(shipping),
            discounts=tuple(given),
            rounding=rounding,
            redeemed=sum((use.value.ti for use in self.vouchers.redeemed), ZERO),
            explained=explained,
        )

    # -- products ------------------------------------------------------------------------------

    def _products(self, codes: Sequence[Coded], verdict: trust.Verdict) -> list[Item]:
        """A line for each order line, ecotax apart; the items that they sell."""
        amounts = net_amounts(self.order, without_ecotax=verdict.ecotax_left_out)
        apart = self.policy.ecotax == "separate" and not verdict.ecotax_left_out
        sold: dict[str, Item] = {}
        for index, detail in enumerate(self.order.details):
            if self.cards[index]:
                self._gift_card(detail)
                continue
            found = items.identify(detail, self.shop, self.policy, self.outcome.income_account)
            if found.code:
                text = f"product {detail.product_id}"
                self.notes.append(Note(found.code, ZERO, text, {"item": found.item.key}))
            sold[found.item.key] = found.item
            generic = self.policy.missing_items == "generic"
            item = self.policy.generic_item if generic else found.item.key
            ecotax = to_minor(detail.ecotax * detail.quantity, self.currency) if apart else ZERO
            amount = amounts[index] - ecotax
            self.lines.append(
                product_line(detail, item, amount, detail.quantity, codes[index].code, self.currency)
            )
            if ecotax:
                code = self.coding.ecotax(detail, codes[index]).code
                self.lines.append(
                    product_line(
                        detail, items.ECOTAX, ecotax, detail.quantity, code, self.currency, kind="ecotax"
                    )
                )
        return list(sold.values()) if self.policy.missing_items != "generic" else []

    def _gift_card(self, detail: Detail) -> None:
        """A voucher sold is a liability at its gross; tax falls due when it is used."""
        gross = to_minor(detail.total.ti, self.currency)
        code = self.policy.out_of_scope_code
        self.lines.append(
            product_line(
                detail, items.GIFT_CARD, gross, detail.quantity, code, self.currency, kind="gift_card"
            )
        )

    # -- shipping and wrapping -----------------------------------------------------------------

    def _charges(self, amount: Pair, percent: Decimal, kind: SaleKind, item: str) -> list[Part]:
        """Shipping or wrapping as lines with their tax; the parts by code."""
        amount = whole(amount, self.currency)
        if not amount.te and not amount.ti:
            return []
        coding = self.coding
        nets: dict[Rates, Decimal] = {}
        for rates, detail in zip(coding.live_rates, self.order.details, strict=True):
            nets[rates] = nets.get(rates, ZERO) + detail.total.te
        charges = tax.charges(amount, percent, coding.known_rates(), self.order, nets)
        if not charges:
            raise Hold("TAX_RESIDUE", f"the tax of {kind} fits no rate of the order", amount.tax)
        if amount.tax and not tax.fits(amount, sum(charges[0].rates, ZERO), self.currency):
            self.averaged += abs(amount.tax)
        free = kind == "shipping" and any(rule.free_shipping for rule in self.order.cart_rules)
        parts = []
        for charge in charges:
            code = coding.code(charge.rates, kind, explained=True)
            line_kind: Any = kind
            self.lines.append(Line(line_kind, item, charge.net, code.code))
            if not free and not self.from_bases:
                self._add_tax(code, charge)
            parts.append(Part(code, charge.net))
        return parts

    def _add_tax(self, code: Coded, charge: Charge) -> None:
        for rate, amount in zip(charge.rates, charge.amounts, strict=True):
            self.taxes[code.code, rate] = self.taxes.get((code.code, rate), ZERO) + amount

    # -- discounts and vouchers ----------------------------------------------------------------

    def _discounts(self, codes: Sequence[Coded], shipping: Sequence[Part]) -> list[Part]:
        """One negative line per tax code, free shipping apart; the parts, positive."""
        found = self.vouchers
        divided = discounts.divide(
            self.order,
            found.discounts,
            found.rules,
            self.shipping,
            gifts_to_their_line=self.policy.tax_amounts == "override",
        )
        if divided.rules_differ:
            ruled = sum((rule.value.te for rule in found.rules), ZERO)
            off = to_minor(ruled - found.discounts.te, self.currency)
            text = f"the vouchers sum to {ruled:f}, the order's discount is {found.discounts.te:f}"
            self.notes.append(Note("DISCOUNT_RULES_DIFF", off, text))
        by_code: dict[Coded, Decimal] = {}
        for code, share in zip(codes, divided.lines, strict=True):
            if share:
                by_code[code] = by_code.get(code, ZERO) + share
        given = [Part(code, amount) for code, amount in by_code.items()]
        for part in given:
            self.lines.append(Line("discount", items.DISCOUNT, -part.net, part.code.code))
        if divided.shipping:
            given += self._free_shipping(divided.shipping, shipping)
        return given

    def _free_shipping(self, amount: Decimal, shipping: Sequence[Part]) -> list[Part]:
        if not shipping:
            raise Hold("PS_IDENTITY_BREAK", "free shipping without shipping", amount)
        shares = allocate(amount, [part.net for part in shipping], self.currency)
        parts = [Part(part.code, share) for part, share in zip(shipping, shares, strict=True) if share]
        for part in parts:
            text = discounts.FREE_SHIPPING
            self.lines.append(Line("discount", items.DISCOUNT, -part.net, part.code.code, description=text))
        return parts

    def _redeemed(self) -> None:
        """Vouchers that are money lower their liability; the tax is due in full."""
        more_tax = ZERO
        for use in self.vouchers.redeemed:
            item = items.STORE_CREDIT if use.kind == "store_credit" else items.GIFT_CARD
            kind: Any = use.kind
            code = self.policy.out_of_scope_code
            self.lines.append(Line(kind, item, -use.value.ti, code, description=use.code))
            more_tax += use.value.tax
        if more_tax:
            text = f"full tax is due: {more_tax:f} more than the printed invoice shows"
            self.notes.append(Note("TAX_STORE_CREDIT_GROSSUP", to_minor(more_tax, self.currency), text))

    # -- rounding ------------------------------------------------------------------------------

    def _rounding(self, verdict: trust.Verdict) -> Decimal:
        """The bounded line that closes the parts with the stored total; its amount."""
        target = to_minor(self.order.paid.te, self.currency)
        for use in self.vouchers.redeemed:
            target += use.value.te - use.value.ti
        for detail, card in zip(self.order.details, self.cards, strict=True):
            if card:
                target += to_minor(detail.total.tax, self.currency)
        gap = to_minor(target - total_of(self.lines), self.currency)
        if not gap:
            return ZERO
        limit = trust.rounding_bound(self.order)
        if abs(gap) > limit:
            text = f"the parts differ from the total by {gap:f}, and rounding explains at most {limit:f}"
            raise Hold("ROUNDING_EXCESS", text, gap)
        self.lines.append(Line("rounding", items.ROUNDING, gap, self.policy.out_of_scope_code))
        text = f"a rounding line of {gap:f} closes the order's parts with its total"
        self.notes.append(Note("ROUNDING_LINE_USED", gap, text, _gaps(verdict)))
        return gap

    # -- tax -----------------------------------------------------------------------------------

    def _product_taxes(self, codes: Sequence[Coded], verdict: trust.Verdict) -> None:
        """Tax rows of the lines by code and rate; a stray amount at a rate of zero is left to the residue."""
        if self.from_bases:
            self._taxes_of_bases()
            return
        ecotax = not verdict.ecotax_left_out
        made = tax.product_tax(
            self.order,
            self.coding.line_rates,
            shipping=self.shipping,
            discounts=self.vouchers.discounts,
            rules=self.vouchers.rules,
            ecotax=ecotax,
        )
        if not made.closes:
            text = "the order's tax rows do not sum to its header's tax"
            self.notes.append(Note("TAX_ROWS_STALE", ZERO, text))
        for code, line, card in zip(codes, made.lines, self.cards, strict=True):
            for rate, amount in zip(line.rates, line.amounts, strict=True):
                if rate and not card:
                    self.taxes[code.code, rate] = self.taxes.get((code.code, rate), ZERO) + amount
        if ecotax:
            self._ecotax_taxes(codes)

    def _taxes_of_bases(self) -> None:
        bases: dict[str, Decimal] = {}
        for line in self.lines:
            bases[line.tax_code] = bases.get(line.tax_code, ZERO) + line.amount
        for code, base in bases.items():
            for rate in self.coding.rates_of_code.get(code, ()):
                self.taxes[code, rate] = forms.computed(base, rate, self.currency)

    def _ecotax_taxes(self, codes: Sequence[Coded]) -> None:
        """The tax on ecotaxes by code, closed to the order's one rounded sum."""
        exact: dict[Coded, Decimal] = {}
        for code, detail in zip(codes, self.order.details, strict=True):
            if detail.ecotax and detail.taxes and detail.ecotax_tax_rate and code.rates:
                own = self.coding.ecotax(detail, code)
                amount = detail.ecotax * detail.quantity * detail.ecotax_tax_rate / 100
                exact[own] = exact.get(own, ZERO) + amount
        if not exact:
            return
        whole = tax.ecotax_tax(self.order)
        shares = close_to(list(exact.values()), whole, minor_unit(self.currency))
        for code, share in zip(exact, shares, strict=True):
            self._add_tax(code, Charge(code.rates, ZERO, tax.split(share, code.rates)))

    def _residue(self, verdict: trust.Verdict) -> Decimal:
        """Close the taxes with the header's total tax; the rest goes to the largest. The total tax."""
        total = whole(self.order.paid, self.currency).tax
        for use in self.vouchers.redeemed:
            total += use.value.tax
        for detail, card in zip(self.order.details, self.cards, strict=True):
            if card:
                total -= to_minor(detail.total.tax, self.currency)
        total = to_minor(total, self.currency)
        self.taxes = tax.rounded(self.taxes, self.currency)
        rest = total - sum(self.taxes.values(), ZERO)
        said = {note.code for note in self.notes} & {"ROUNDING_LINE_USED", "TAX_ROWS_STALE"}
        if rest:
            limit = minor_unit(self.currency) * (max(1, len(self.order.details)) + 1)
            if abs(rest) > limit or not self.taxes:
                raise Hold("TAX_RESIDUE", f"tax per rate and total tax differ by {rest:f}", rest)
            self.taxes[max(self.taxes, key=lambda key: self.taxes[key])] += rest
        if (rest or verdict.gap.ti) and not said:
            text = f"the header's total tax holds; {rest:f} of it went to the largest rate"
            self.notes.append(Note("TAX_ROWS_STALE", rest, text, _gaps(verdict)))
        return total

    # -- form ----------------------------------------------------------------------------------

    def _formed(self, lines: tuple[Line, ...], total_tax: Decimal, explained: Decimal) -> Finished:
        policy = self.policy
        taxes = tax_lines(
            lines, self.coding.rates_of_code, self.taxes, policy.out_of_scope_code, self.currency
        )
        return finish(lines, taxes, total_tax, explained, self.currency, policy, self.notes)

    def _explained(self) -> Decimal:
        """How far the shop's tax per rate may lie from what the bases give, summed over the rates.

        Half a minor unit for each unit sold (rounding per item) and some for each line; the tax of
        gifts, which the shop spreads over all rates; the tax on ecotaxes, which it takes back from the
        rows of the lines; tax of charges that it averaged over the products.
        """
        order = self.order
        wide = 2 if order.round_mode in {UP, DOWN} else 1
        pieces = sum(abs(detail.quantity) for detail in order.details)
        highest = max((sum(rates, ZERO) for rates in self.coding.live_rates), default=ZERO)
        gifts = sum((rule.value.te for rule in order.cart_rules if rule.gift_product), ZERO)
        ecotax = sum((detail.ecotax * detail.quantity for detail in order.details), ZERO)
        units = wide * (Decimal(pieces) / 2 + 2 * len(order.details)) + 4
        return (
            minor_unit(self.currency) * units + self.averaged * 2 + (gifts * 2 + ecotax * 4) * highest / 100
        )

    def _say_verdict(self, verdict: trust.Verdict) -> None:
        if verdict.ecotax_left_out:
            text = "lines carry an ecotax that the totals leave out"
            self.notes.append(Note("ECOTAX_LEFT_OUT", ZERO, text))
        if verdict.odd_rows:
            text = f"{verdict.odd_rows} lines are not quantity times price"
            self.notes.append(Note("ROW_TOTAL_DIFF", ZERO, text))


def _gaps(verdict: trust.Verdict) -> dict[str, str]:
    return {"gap_without_tax": f"{verdict.gap.te:f}", "gap_with_tax": f"{verdict.gap.ti:f}"}
