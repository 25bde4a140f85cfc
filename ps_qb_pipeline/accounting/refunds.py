"""Credit slips to refunds: what a slip really gives back, and in which lines.

What lives here: reading a slip (voucher mistake, chosen amounts, missing quantities) and the inside of
its document. What does not: the document around it and who pays it out (``translate``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from ps_qb_pipeline.accounting import items, tax
from ps_qb_pipeline.accounting.coding import Coded
from ps_qb_pipeline.accounting.documents import Line, TaxLine
from ps_qb_pipeline.accounting.lines import product_line, total_of
from ps_qb_pipeline.accounting.money import ZERO, allocate, close_to, minor_unit, to_minor
from ps_qb_pipeline.accounting.notes import Hold, Note
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.sale import Sale
from ps_qb_pipeline.accounting.shop import Detail, Order, Pair, Slip, SlipLine
from ps_qb_pipeline.accounting.tax import Rates
from ps_qb_pipeline.accounting.tax_modes import GlobalTax, finish, tax_lines


class Reading(NamedTuple):
    """What a slip gives back, in whole minor units: goods and shipping, and how it came to that."""

    products: Pair
    shipping: Pair
    lines: tuple[SlipLine, ...]
    """The slip's lines, restated where a person chose the amount; they sum to ``products``."""
    voucher_excluded: bool
    notes: tuple[Note, ...]

    @property
    def gross(self) -> Decimal:
        """What goes back to the customer, tax included."""
        return self.products.ti + self.shipping.ti


@dataclass(frozen=True, slots=True)
class Refund:
    """The inside of a refund document."""

    lines: tuple[Line, ...]
    taxes: tuple[TaxLine, ...]
    global_tax: GlobalTax
    total: Decimal
    """What goes back in money: nothing when it becomes store credit."""
    total_tax: Decimal
    notes: tuple[Note, ...]


def read(slip: Slip, order: Order) -> Reading:
    """What a slip gives back, by ACCOUNTING rules; raises Hold for a slip that gives nothing.

    The total without tax of a slip that leaves the order's voucher out is too low by the voucher with
    tax; an amount that is neither of the two totals was typed by a person.
    """
    currency = order.currency
    unit = minor_unit(currency)
    lines = slip.lines
    summed = Pair(
        sum((line.amount.te for line in lines), ZERO), sum((line.amount.ti for line in lines), ZERO)
    )
    tolerance = unit * max(1, len(lines))
    agree = bool(lines) and abs(summed.ti - slip.products.ti) <= tolerance
    te, ti = slip.products
    given = order.discounts
    notes: list[Note] = []
    excluded = False
    expected = summed.te if agree else _net_of(ti, order)
    if given.ti and agree and abs(te + given.ti - expected) <= tolerance:
        excluded = True
        te, ti = expected - given.te, ti - given.ti
        notes.append(
            Note(
                "SLIP_VOUCHER_RECOMPUTED",
                to_minor(given.ti, currency),
                "the slip leaves the order's voucher out; its totals were recomputed",
                totals(slip),
            )
        )
    elif agree:
        off = to_minor(te, currency) - to_minor(summed.te, currency)
        if off:
            text = f"the slip's net total and its lines differ by {off:f}; the lines hold"
            notes.append(Note("SLIP_LINES_DIFF", off, text))
        te = summed.te
    chosen = _chosen(slip, unit)
    if chosen is not None and not excluded:
        ratio = chosen / slip.products.ti if slip.products.ti else ZERO
        te, ti = te * ratio, chosen
        notes.append(
            Note(
                "SLIP_AMOUNT_CHOSEN",
                to_minor(ti, currency),
                f"a person chose to give back {ti:f} for the goods",
                totals(slip),
            )
        )
    if lines and all(line.amount.te == line.amount.ti for line in lines):
        te = ti
    products = Pair(to_minor(te, currency), to_minor(ti, currency))
    shipping = Pair(to_minor(slip.shipping.te, currency), to_minor(slip.shipping.ti, currency))
    goods = (
        Pair(products.te + to_minor(given.te, currency), products.ti + to_minor(given.ti, currency))
        if excluded
        else products
    )
    return Reading(products, shipping, _restated(lines, goods, currency), excluded, tuple(notes))


def totals(slip: Slip) -> dict[str, str]:
    """A slip's stored totals, as evidence of a finding."""
    return {
        "products_without_tax": f"{slip.products.te:f}",
        "products_with_tax": f"{slip.products.ti:f}",
        "shipping_without_tax": f"{slip.shipping.te:f}",
        "shipping_with_tax": f"{slip.shipping.ti:f}",
    }


def _chosen(slip: Slip, unit: Decimal) -> Decimal | None:
    """The goods amount with tax that a person typed, or None.

    Shops that show prices without tax keep the typed amount without tax. Such a slip shows itself: its
    net total is the unrounded one.
    """
    amount, (te, ti) = slip.amount, slip.products
    if not amount or abs(amount - te) <= unit or abs(amount - ti) <= unit:
        return None
    shown_net = te != te.quantize(unit) and ti == ti.quantize(unit)
    return amount * ti / te if shown_net and te else amount


def _net_of(ti: Decimal, order: Order) -> Decimal:
    """A net amount for a gross one at the order's average, for slips without lines."""
    return ti * order.products.te / order.products.ti if order.products.ti else ti


def _restated(lines: Sequence[SlipLine], goods: Pair, currency: str) -> tuple[SlipLine, ...]:
    """The lines in whole minor units, summing to ``goods``: unchanged where they do, else pro rata."""
    if not lines:
        return ()
    unit = minor_unit(currency)
    sides = []
    for position, total in enumerate(goods):
        amounts = [line.amount[position] for line in lines]
        whole = [to_minor(amount, currency) for amount in amounts]
        off = abs(sum(whole, ZERO) - total)
        if off == 0:
            sides.append(whole)
        elif off <= unit * len(lines) and sum(amounts, ZERO):
            sides.append(close_to(amounts, total, unit))
        else:
            sides.append(allocate(total, amounts, currency))
    return tuple(
        SlipLine(line.id_order_detail, line.quantity, Pair(te, ti))
        for line, te, ti in zip(lines, sides[0], sides[1], strict=True)
    )


class RefundBuilder:
    """Builds the inside of one refund from a reading and the sale that it reverses."""

    def __init__(self, order: Order, sale: Sale, policy: Policy) -> None:
        self.order = order
        self.sale = sale
        self.policy = policy
        self.details = {detail.id: detail for detail in order.details}
        self.lines: list[Line] = []
        self.taxes: dict[tuple[str, Decimal], Decimal] = {}
        self.rates: dict[str, Rates] = {}
        for code in (*sale.codes.values(), *(part.code for part in sale.shipping)):
            known = self.rates.get(code.code, ())
            self.rates[code.code] = tuple(dict.fromkeys((*known, *code.rates)))
        self.notes: list[Note] = []

    def build(self, reading: Reading, *, whole: bool, store_credit: str = "") -> Refund:
        """The lines and taxes. ``whole``: the slip gives back everything that the order charged."""
        currency = self.order.currency
        chosen = any(note.code == "SLIP_AMOUNT_CHOSEN" for note in reading.notes)
        for line in reading.lines:
            self._goods(line, fee_apart=not chosen)
        if not reading.lines and reading.products.ti:
            self._goods_without_lines(reading.products)
        if reading.voucher_excluded:
            self._discounts()
        self._shipping(reading.shipping)
        if whole and self.sale.rounding:
            self.lines.append(
                Line("rounding", items.ROUNDING, self.sale.rounding, self.policy.out_of_scope_code)
            )
        total_tax = reading.gross - total_of(self.lines)
        self._close(total_tax)
        if store_credit:
            self.lines.append(
                Line(
                    "store_credit",
                    items.STORE_CREDIT,
                    -reading.gross,
                    self.policy.out_of_scope_code,
                    description=store_credit,
                )
            )
        taxes = tax_lines(self.lines, self.rates, self.taxes, self.policy.out_of_scope_code, currency)
        made = finish(
            tuple(self.lines), taxes, total_tax, self.sale.explained, currency, self.policy, self.notes
        )
        total = to_minor(ZERO, currency) if store_credit else reading.gross
        return Refund(made.lines, made.taxes, made.global_tax, total, total_tax, tuple(self.notes))

    def _goods(self, line: SlipLine, *, fee_apart: bool) -> None:
        """One refunded line; a unit refunded below its price is the full price less a restocking fee."""
        detail = self.details.get(line.id_order_detail)
        if detail is None:
            raise Hold("POISON_RECORD", f"the slip names line {line.id_order_detail}, which the order lacks")
        code = self.sale.codes[detail.id]
        item = self.sale.item_keys.get(detail.id, items.GOODS)
        currency = self.order.currency
        amount, fee = line.amount.te, ZERO
        full = self._full_price(detail, line.quantity)
        if fee_apart and line.quantity and full - amount > minor_unit(currency):
            amount, fee = full, amount - full
        if line.quantity:
            self.lines.append(product_line(detail, item, amount, line.quantity, code.code, currency))
        else:
            self.lines.append(product_line(detail, item, amount, 1, code.code, currency))
        if fee:
            self.lines.append(Line("restocking", items.RESTOCKING, fee, code.code, description=detail.name))
        self._add_tax(code, line.amount.tax)

    def _full_price(self, detail: Detail, quantity: int) -> Decimal:
        if quantity == detail.quantity:
            return to_minor(detail.total.te, self.order.currency)
        return to_minor(detail.unit.te * quantity, self.order.currency)

    def _goods_without_lines(self, products: Pair) -> None:
        """A slip that names no lines: its amount divided over the order's codes by their share."""
        weights: dict[Coded, Decimal] = {}
        taxed: dict[Coded, Decimal] = {}
        for detail in self.order.details:
            code = self.sale.codes[detail.id]
            weights[code] = weights.get(code, ZERO) + detail.total.te
            taxed[code] = taxed.get(code, ZERO) + detail.total.tax
        if not weights:
            raise Hold("REFUND_NO_SLIP", "the slip names no lines and the order has none", products.ti)
        nets = allocate(products.te, list(weights.values()), self.order.currency)
        taxes = allocate(products.tax, list(taxed.values()), self.order.currency)
        for code, net, amount in zip(weights, nets, taxes, strict=True):
            self.lines.append(Line("goods", items.GOODS, net, code.code))
            self._add_tax(code, amount)

    def _discounts(self) -> None:
        """The order's discount, taken off again code by code, with its tax."""
        given = self.order.discounts
        currency = self.order.currency
        parts = self.sale.discounts
        for code, amount in parts:
            self.lines.append(Line("discount", items.DISCOUNT, -amount, code.code))
        weights = [amount * sum(code.rates, ZERO) for code, amount in parts]
        if parts:
            for (code, _), share in zip(
                parts, allocate(to_minor(given.tax, currency), weights, currency), strict=True
            ):
                self._add_tax(code, -share)

    def _shipping(self, shipping: Pair) -> None:
        if not shipping.ti and not shipping.te:
            return
        parts = self.sale.shipping
        if not parts:
            raise Hold("REFUND_EXCEEDS_PAID", "shipping is refunded that was never charged", shipping.ti)
        currency = self.order.currency
        nets = allocate(shipping.te, [net for _, net in parts], currency)
        weights = [net * sum(code.rates, ZERO) for (code, _), net in zip(parts, nets, strict=True)]
        shares = allocate(shipping.tax, weights, currency)
        for (code, _), net, share in zip(parts, nets, shares, strict=True):
            self.lines.append(Line("shipping", items.SHIPPING, net, code.code))
            self._add_tax(code, share)

    def _add_tax(self, code: Coded, amount: Decimal) -> None:
        for rate, share in zip(code.rates, tax.split(amount, code.rates), strict=True):
            self.taxes[code.code, rate] = self.taxes.get((code.code, rate), ZERO) + share

    def _close(self, total_tax: Decimal) -> None:
        """Give what the lines' taxes lack of the slip's tax to the largest rate, within rounding."""
        self.taxes = tax.rounded(self.taxes, self.order.currency)
        rest = total_tax - sum(self.taxes.values(), ZERO)
        if not rest:
            return
        limit = minor_unit(self.order.currency) * (len(self.lines) + 1)
        if not self.taxes or abs(rest) > limit:
            raise Hold("TAX_RESIDUE", f"the refund's tax differs from its lines' by {rest:f}", rest)
        self.taxes[max(self.taxes, key=lambda key: abs(self.taxes[key]))] += rest


def is_whole(slip: Slip, order: Order, reading: Reading) -> bool:
    """Whether a slip gives back every unit of every line and all shipping, at the prices charged."""
    quantities = {line.id_order_detail: line.quantity for line in slip.lines}
    return (
        not reading.voucher_excluded
        and not order.discounts.ti
        and all(quantities.get(detail.id, 0) == detail.quantity for detail in order.details)
        and abs(reading.shipping.ti - order.shipping.ti) <= minor_unit(order.currency)
        and abs(reading.products.te - order.products.te) <= minor_unit(order.currency) * len(order.details)
    )


def ignores_discount(reading: Reading, order: Order, sale: Sale) -> bool:
    """Whether goods of a discounted order are given back at their full price."""
    on_goods = order.discounts.ti - sale.redeemed
    if any(rule.free_shipping for rule in order.cart_rules):
        on_goods -= order.shipping.ti
    return (
        bool(reading.products.ti)
        and on_goods > 0
        and not reading.voucher_excluded
        and not any(note.code == "SLIP_AMOUNT_CHOSEN" for note in reading.notes)
    )
