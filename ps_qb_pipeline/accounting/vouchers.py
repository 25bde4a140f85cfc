"""Store credit and gift cards: which vouchers are money already received.

What lives here: telling a liability from a marketing discount. What does not: the issue of store
credit by a refund (``refunds``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from ps_qb_pipeline.accounting.intake import VOUCHER_CODE
from ps_qb_pipeline.accounting.money import to_minor
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.shop import CartRule, Detail, Order, Pair


class Redemption(NamedTuple):
    """A voucher used as money: what it took off, and which liability it lowers."""

    kind: str
    """``store_credit`` or ``gift_card``."""
    value: Pair
    code: str


class Vouchers(NamedTuple):
    """The vouchers of an order: those that are money, and the rules that remain discounts."""

    redeemed: tuple[Redemption, ...]
    rules: tuple[CartRule, ...]
    discounts: Pair
    undecided: str = ""
    """The code of a voucher that the policy does not say how to book."""


def is_store_credit(rule: CartRule) -> bool:
    """Whether a rule's code is one that PrestaShop makes of a credit slip, or of what was left of it."""
    return bool(VOUCHER_CODE.match(rule.code))


def is_gift_card(detail: Detail, policy: Policy) -> bool:
    """Whether a line sells a voucher that is taxed only when it is used."""
    return policy.gift_cards == "multi_purpose" and detail.sku in policy.gift_card_skus


def sort_out(order: Order, policy: Policy) -> Vouchers:
    """Which of an order's cart rules are payment with a liability, and what discount remains."""
    redeemed: list[tuple[str, CartRule]] = []
    rules = []
    undecided = ""
    for rule in order.cart_rules:
        if policy.gift_cards == "multi_purpose" and _is_gift_code(rule.code, policy.gift_card_codes):
            redeemed.append(("gift_card", rule))
        elif is_store_credit(rule) and policy.store_credit_policy == "payment":
            redeemed.append(("store_credit", rule))
        else:
            if is_store_credit(rule) and not policy.store_credit_policy:
                undecided = rule.code
            rules.append(rule)
    if not redeemed:
        return Vouchers((), order.cart_rules, order.discounts, undecided)
    used = _values(order, redeemed, rules)
    left = Pair(
        order.discounts.te - sum((use.value.te for use in used), Decimal(0)),
        order.discounts.ti - sum((use.value.ti for use in used), Decimal(0)),
    )
    return Vouchers(tuple(used), tuple(rules), left, undecided)


def _values(
    order: Order, redeemed: Sequence[tuple[str, CartRule]], rules: Sequence[CartRule]
) -> list[Redemption]:
    """What each voucher took off; a voucher that is the only rule took off the whole discount."""
    if len(redeemed) == 1 and not rules:
        kind, rule = redeemed[0]
        return [Redemption(kind, order.discounts, rule.code)]
    return [
        Redemption(
            kind,
            Pair(to_minor(rule.value.te, order.currency), to_minor(rule.value.ti, order.currency)),
            rule.code,
        )
        for kind, rule in redeemed
    ]


def _is_gift_code(code: str, patterns: tuple[str, ...]) -> bool:
    return bool(code) and any(_compiled(pattern).fullmatch(code) for pattern in patterns)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
