"""Whether an order's stored totals can be trusted: PrestaShop's identities within their bounds.

What lives here: the checks and the repair of split shipping. What does not: what is done about a
break (``translate`` holds the order).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting.money import (
    DOWN,
    ITEM,
    TOTAL,
    UP,
    ZERO,
    exponent,
    minor_unit,
    ps_round,
)
from ps_qb_pipeline.accounting.shop import Detail, Order, Pair, ReferenceGroup

_SIX = Decimal("0.00001")
_MOST = 10
NOTHING = Pair(ZERO, ZERO)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks of one order found; ``code`` is empty when the order can be trusted."""

    code: str = ""
    message: str = ""
    gap: Pair = NOTHING
    """Stored total minus its parts, in money: what a rounding line has to explain."""
    ecotax_left_out: bool = False
    odd_rows: int = 0
    evidence: dict[str, Any] = field(default_factory=dict)


def bound(order: Order) -> Decimal:
    """The largest gap that rounding explains between an order's total and its parts, in money."""
    lines = len(order.details)
    up_or_down = order.round_mode in {UP, DOWN}
    if order.round_type in {ITEM, TOTAL}:
        units = 1 if up_or_down else 0
    else:
        units = lines + 1 if up_or_down else (lines + 2) // 2
    return minor_unit(order.currency) * units


def rounding_bound(order: Order) -> Decimal:
    """The largest rounding line that an order may get, in money: never more than ten minor units."""
    lines = len(order.details)
    units = lines + 1 if order.round_mode in {UP, DOWN} else (lines + 2) // 2
    return minor_unit(order.currency) * min(units, _MOST)


def gap_of(order: Order, shipping: Pair) -> Pair:
    """Stored total minus products, discounts, ``shipping`` and wrapping, without and with tax."""
    return Pair(
        order.paid.te - order.products.te + order.discounts.te - shipping.te - order.wrapping.te,
        order.paid.ti - order.products.ti + order.discounts.ti - shipping.ti - order.wrapping.ti,
    )


def within(gap: Pair, limit: Decimal) -> bool:
    """Whether both sides of ``gap`` stay within ``limit``."""
    return abs(gap.te) <= limit and abs(gap.ti) <= limit


def check(order: Order, shipping: Pair) -> Verdict:
    """The verdict on one order, whose own shipping is ``shipping`` (stored or repaired)."""
    unit = minor_unit(order.currency)
    if order.discounts.te - order.discounts.ti > unit:
        return Verdict(
            "PS_DISCOUNT_TAX_INVERTED",
            f"the discount without tax, {order.discounts.te}, is larger than with tax, {order.discounts.ti}",
        )
    if order.total_paid != order.paid.ti:
        return _broken("total_paid differs from total_paid_tax_incl", order.total_paid - order.paid.ti)
    if order.paid.te < 0 or order.paid.ti < 0 or order.discounts.te < 0:
        return _broken("a total is negative", order.paid.ti)
    if order.paid.te > order.paid.ti:
        return _broken("the total without tax is larger than with tax", order.paid.te - order.paid.ti)
    gap = gap_of(order, shipping)
    if not within(gap, bound(order)):
        return _broken("the parts do not add up to the total within rounding", max(gap, key=abs))
    return _check_rows(order, gap)


def _check_rows(order: Order, gap: Pair) -> Verdict:
    te, ti = -order.products.te, -order.products.ti
    eco_te, eco_ti = ZERO, ZERO
    odd = 0
    digits = exponent(order.currency)
    for detail in order.details:
        te += detail.total.te
        ti += detail.total.ti
        if detail.ecotax:
            amount = detail.ecotax * detail.quantity
            eco_te += amount
            eco_ti += amount * (100 + detail.ecotax_tax_rate) / 100
        odd += _odd_row(detail, order, digits)
    unit = minor_unit(order.currency)
    limit = unit / 2 if order.round_type == TOTAL else ZERO
    if abs(te) <= limit and abs(ti) <= limit:
        return Verdict(gap=gap, odd_rows=odd)
    lines = unit * max(1, len(order.details))
    if eco_te and abs(te - eco_te) <= lines and abs(ti - eco_ti) <= lines:
        return Verdict(gap=gap, ecotax_left_out=True, odd_rows=odd)
    return _broken("the lines do not add up to the products' total", te if abs(te) > limit else ti)


def _odd_row(detail: Detail, order: Order, digits: int) -> bool:
    """Whether a line's total is not quantity times unit price under the order's own rounding."""
    mode, quantity = order.round_mode, detail.quantity
    for unit, total in ((detail.unit.te, detail.total.te), (detail.unit.ti, detail.total.ti)):
        if order.round_type == ITEM:
            expected = ps_round(unit, digits, mode) * quantity
        elif order.round_type == TOTAL:
            expected = unit * quantity
        else:
            expected = ps_round(unit * quantity, digits, mode)
        if abs(expected - total) > _SIX:
            return True
    return False


def _broken(message: str, amount: Decimal) -> Verdict:
    return Verdict("PS_IDENTITY_BREAK", message, evidence={"off_by": str(amount)})


def was_edited(order: Order, group: ReferenceGroup) -> bool:
    """Whether the rows show that an order changed after its checkout.

    Checkout numbers the lines of a cart without a gap and makes one invoice; the order moves last with
    its history or a payment. An edit that a later status change covers shows in none of these.
    """
    if len(order.invoices) > 1:
        return True
    known = {detail.id for one in group.orders for detail in one.details}
    own = [detail.id for detail in order.details]
    if own and any(number not in known for number in range(min(own), max(own))):
        return True
    moves = [change.date_add for change in order.history]
    moves += [payment.date_add for payment in group.payments]
    return order.date_upd is not None and bool(moves) and order.date_upd > max(moves)


@dataclass(frozen=True, slots=True)
class Shippings:
    """The shipping of each order of a group by id; ``derived`` are the orders that it was derived for."""

    by_order: dict[int, Pair]
    derived: frozenset[int] = frozenset()
    broken: bool = False


def shippings(group: ReferenceGroup) -> Shippings:
    """Each order's own shipping; derived where the parts of a split cart repeat the whole cart's.

    Derived is what the total leaves when products, discounts and wrapping are taken away. It holds when
    the derived amounts sum to the stored one, which every part must repeat. A part that was edited since
    has its totals made anew, and a part that was deleted takes its shipping with it: then the others hold
    by themselves as long as they leave room for it.
    """
    orders = group.orders
    stored = {order.id: order.shipping for order in orders}
    odd = [order for order in orders if not within(gap_of(order, order.shipping), bound(order))]
    if not odd:
        return Shippings(stored)
    derived = {order.id: gap_of(order, NOTHING) for order in orders}
    if len(orders) > 1 and _room(orders, derived) == NOTHING:
        return Shippings(derived, frozenset(derived))
    edited = [order for order in orders if was_edited(order, group)] if len(orders) > 1 else []
    untouched = [order for order in orders if order not in edited]
    room = _room(untouched or orders, derived)
    if room is not None and (edited or _part_is_gone(group, room)):
        alone = frozenset(order.id for order in odd)
        return Shippings(stored | {number: derived[number] for number in alone}, alone)
    return Shippings(stored, broken=True)


def _room(orders: Sequence[Order], derived: Mapping[int, Pair]) -> Pair | None:
    """What the derived shipping of some parts leaves of the whole that they repeat; None when it cannot be."""
    whole = orders[0].shipping
    limit = sum((bound(order) for order in orders), ZERO)
    own = [derived[order.id] for order in orders]
    room = Pair(whole.te - sum(pair.te for pair in own), whole.ti - sum(pair.ti for pair in own))
    same = all(order.shipping == whole for order in orders)
    sound = all(ZERO <= pair.te <= pair.ti + limit for pair in own)
    if not same or not sound or min(room) < -limit:
        return None
    return NOTHING if within(room, limit) else room


def _part_is_gone(group: ReferenceGroup, room: Pair) -> bool:
    """Whether the reference had one order more: a number is missing, or more was paid than carriage explains."""
    numbers = [order.id for order in group.orders]
    currency = group.orders[0].currency
    paid = sum((one.amount for one in group.payments if one.currency == currency), ZERO)
    rest = paid - sum((order.paid.ti for order in group.orders), ZERO)
    return max(numbers) - min(numbers) >= len(numbers) or rest > room.ti
