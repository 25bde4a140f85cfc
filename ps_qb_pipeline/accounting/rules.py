"""The accountant's own rules: under a condition another account, class, location, scheme or a hold.

What lives here: whether a rule applies and what it changes. What does not: the rules themselves (the
policy). Later rules win where two set the same thing; the first hold wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from ps_qb_pipeline.accounting.policy import Condition, Policy, Rule, Scheme
from ps_qb_pipeline.accounting.shop import Order


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rules say of one order; empty texts change nothing."""

    income_account: str = ""
    klass: str = ""
    location: str = ""
    scheme: Scheme | Literal[""] = ""
    hold: str = ""
    applied: tuple[str, ...] = ()


def apply(order: Order, policy: Policy, *, method: str, day: date) -> Outcome:
    """What the policy's rules change for ``order``, paid by ``method`` and recognised on ``day``."""
    if not policy.rules:
        return Outcome()
    return combine([rule for rule in policy.rules if holds(rule.when, order, policy, method=method, day=day)])


def combine(rules: Sequence[Rule]) -> Outcome:
    """The joint outcome of rules that apply, in their order."""
    outcome = Outcome(applied=tuple(rule.name for rule in rules))
    for rule in rules:
        outcome = replace(
            outcome,
            income_account=rule.income_account or outcome.income_account,
            klass=rule.klass or outcome.klass,
            location=rule.location or outcome.location,
            scheme=rule.scheme or outcome.scheme,
            hold=outcome.hold or rule.hold,
        )
    return outcome


def holds(when: Condition, order: Order, policy: Policy, *, method: str, day: date) -> bool:
    """Whether every part of a condition that is set is true of the order."""
    address = order.delivery_address or order.invoice_address
    country = address.country if address else policy.seller_country
    vat = any(a is not None and a.vat_number for a in (order.invoice_address, order.delivery_address))
    skus = {detail.sku for detail in order.details}
    checks = (
        not when.countries or country in when.countries,
        not when.currencies or order.currency in when.currencies,
        not when.shops or order.id_shop in when.shops,
        not when.methods or method in when.methods,
        not when.skus or bool(skus & set(when.skus)),
        not when.customer_groups or order.customer.id_default_group in when.customer_groups,
        when.b2b is None or when.b2b == vat,
        when.total_at_least is None or order.paid.ti >= when.total_at_least,
        when.total_below is None or order.paid.ti < when.total_below,
        when.date_from is None or day >= when.date_from,
        when.date_to is None or day <= when.date_to,
    )
    return all(checks)
