"""Discounts to tax codes: PrestaShop's own ratio, gifts and product rules to their line.

What lives here: how the header's discount divides. What does not: vouchers that count as payment
(``vouchers``) and the tax that goes with it (``tax``).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from ps_qb_pipeline.accounting.money import ZERO, allocate, minor_unit, to_minor
from ps_qb_pipeline.accounting.shop import CartRule, Order, Pair

FREE_SHIPPING = "free shipping"


class Discount(NamedTuple):
    """The net discount of an order: per line, and on shipping. All amounts are positive."""

    lines: list[Decimal]
    shipping: Decimal
    rules_differ: bool


def divide(
    order: Order,
    discounts: Pair,
    rules: Sequence[CartRule],
    shipping: Pair,
    *,
    gifts_to_their_line: bool,
) -> Discount:
    """The discount per order line, net, to the minor unit, and the part that pays for shipping.

    Free shipping takes the shipping's amount. A rule for one product goes to that product's lines, a
    gift to its line; the rest divides by the lines' share in the products' total. The header's
    discount is what is divided: where the rules do not sum to it, it holds.
    """
    count = len(order.details)
    currency = order.currency
    if not discounts.te:
        return Discount([ZERO] * count, ZERO, rules_differ=False)
    free = any(rule.free_shipping for rule in rules)
    on_shipping = min(shipping.te, discounts.te) if free else ZERO
    left = discounts.te - on_shipping
    weights = [detail.total.te for detail in order.details]
    own = _own_lines(order, rules, weights, gifts=gifts_to_their_line)
    kept = sum(own, ZERO)
    if kept > left:
        shares = allocate(left, own, currency) if kept else own
    elif not count:
        shares = []
        on_shipping = discounts.te
    else:
        spread = allocate(left - kept, weights, currency)
        shares = [first + second for first, second in zip(own, spread, strict=True)]
    ruled = sum((rule.value.te for rule in rules), ZERO)
    limit = minor_unit(currency) * max(1, len(rules))
    return Discount(shares, on_shipping, bool(rules) and abs(ruled - discounts.te) > limit)


def _own_lines(
    order: Order, rules: Sequence[CartRule], weights: Sequence[Decimal], *, gifts: bool
) -> list[Decimal]:
    """The part of each line that product rules and gifts claim, in whole minor units."""
    own = [ZERO] * len(weights)
    for rule in rules:
        places = _lines_of(order, rule, gifts=gifts)
        if not places:
            continue
        value = to_minor(rule.value.te, order.currency)
        if rule.free_shipping:
            value -= min(value, order.shipping.te)
        for place, share in zip(
            places, allocate(value, [weights[place] for place in places], order.currency), strict=True
        ):
            own[place] += share
    return own


def _lines_of(order: Order, rule: CartRule, *, gifts: bool) -> list[int]:
    if rule.reduction_product > 0:
        return [n for n, detail in enumerate(order.details) if detail.product_id == rule.reduction_product]
    if not gifts or not rule.gift_product:
        return []
    lines = [
        (n, detail)
        for n, detail in enumerate(order.details)
        if detail.product_id == rule.gift_product
        and (not rule.gift_product_attribute or detail.product_attribute_id == rule.gift_product_attribute)
    ]
    exact = [n for n, detail in lines if detail.total.te == to_minor(rule.value.te, order.currency)]
    return exact[:1] or [n for n, _ in lines][:1]
