"""What a shop's own history says about the policy that it needs, and how far a policy carries.

What lives here: observed payment labels, tax rates by destination and currencies; a complete draft of the
accounting settings made of them; the coverage of a policy in orders and money. What does not: asking a
person, and the connection's other settings (``cli``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting import tax, vouchers
from ps_qb_pipeline.accounting.coding import Coding
from ps_qb_pipeline.accounting.documents import Translation
from ps_qb_pipeline.accounting.money import ZERO
from ps_qb_pipeline.accounting.notes import Hold
from ps_qb_pipeline.accounting.places import EU
from ps_qb_pipeline.accounting.policy import MethodKind, Policy
from ps_qb_pipeline.accounting.rules import Outcome
from ps_qb_pipeline.accounting.shop import Order, ReferenceGroup, Shop
from ps_qb_pipeline.accounting.tax import Rates
from ps_qb_pipeline.accounting.tax_codes import TaxTable

NAME_LENGTH = 10
"""QuickBooks refuses longer names of tax codes."""

_WORDS: tuple[tuple[MethodKind, tuple[str, ...]], ...] = (
    ("free", ("free order", "commande gratuite")),
    ("cod", ("cash on delivery", "(cod)", "livraison", "nachnahme")),
    ("cheque", ("cheque", "check", "chèque")),
    ("wire", ("wire", "transfer", "virement", "überweisung", "bonifico", "bankwire")),
)


@dataclass(slots=True)
class Survey:
    """What was seen in a shop's orders: how often, and for how much gross money."""

    orders: int = 0
    currencies: Counter[str] = field(default_factory=Counter)
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Payment labels with their currency."""
    rates: Counter[tuple[str, str, Rates]] = field(default_factory=Counter)
    """Sets of rates above zero, with the country and subdivision that they were charged for."""
    store_credit: int = 0
    store_credit_money: Decimal = ZERO
    skus: set[str] = field(default_factory=set)
    without_sku: set[int] = field(default_factory=set)


def survey(groups: Iterable[ReferenceGroup], policy: Policy | None = None) -> Survey:
    """What the orders of a shop show; ``policy`` gives the seller's country where it is known."""
    seen = Survey()
    policy = policy or Policy()
    table = TaxTable(policy)
    for group in groups:
        for payment in group.payments:
            seen.labels[payment.label, payment.currency] += 1
        for order in group.orders:
            _see_order(seen, order, group.shop, policy, table)
    return seen


def _see_order(seen: Survey, order: Order, shop: Shop, policy: Policy, table: TaxTable) -> None:
    seen.orders += 1
    seen.currencies[order.currency] += 1
    seen.labels[order.payment, order.currency] += 1
    used = [rule for rule in order.cart_rules if vouchers.is_store_credit(rule)]
    seen.store_credit += len(used)
    seen.store_credit_money += sum((rule.value.ti for rule in used), ZERO)
    for detail in order.details:
        if detail.sku:
            seen.skus.add(detail.sku)
        else:
            seen.without_sku.add(detail.product_id)
    try:
        coding = Coding(order, shop, policy, table, Outcome())
    except Hold:
        return
    place = coding.place("goods")
    for rates in {*coding.live_rates, *_charge_rates(order, coding.live_rates)}:
        if rates:
            seen.rates[place.country, place.subdivision, rates] += 1


def _charge_rates(order: Order, of_lines: Iterable[Rates]) -> list[Rates]:
    """The rate of the carrier, where it is none that the lines bear."""
    percent = tax.plain(order.carrier_tax_rate) if order.carrier_tax_rate else ZERO
    known = any(abs(sum(rates, ZERO) - percent) < Decimal("0.001") for rates in of_lines)
    return [(percent,)] if percent and order.shipping.tax and not known else []


# -- the draft --------------------------------------------------------------------------------


def draft(seen: Survey, *, seller_country: str, home_currency: str) -> dict[str, Any]:
    """A complete accounting section for what was seen, as plain values ready for YAML.

    Every observed rate gets a code and every label an account; what only an accountant knows
    (``store_credit_policy``) stays unset, and holds the orders concerned until it is answered.
    """
    codes: dict[str, Any] = {}
    rules: list[dict[str, Any]] = []
    for country, subdivision, rates in sorted(seen.rates, key=str):
        name = _add_code(codes, country, subdivision, rates, seller_country)
        scheme = (
            "domestic"
            if country == seller_country
            else "oss"
            if _one_stop(country, seller_country)
            else "foreign"
        )
        rule: dict[str, Any] = {"code": name, "rates": [str(rate) for rate in rates], "countries": [country]}
        if subdivision:
            rule["subdivisions"] = [subdivision]
        rules.append({**rule, "scheme": scheme})
    for name, text in _UNTAXED:
        codes[name] = {"rates": [{"name": f"{name} 0", "percent": "0"}], "description": text}
    rules += [{"code": code, "scheme": scheme} for code, scheme in _UNTAXED_RULES]
    return {
        "home_currency": home_currency,
        "seller_country": seller_country,
        "tax_mode": "GLOBAL_EXCL",
        "tax_amounts": "computed",
        "tax_codes": codes,
        "tax_rules": rules,
        "methods": _methods(label for label, _ in seen.labels if label),
    }


_UNTAXED = (
    ("RC0", "Intra-Community supply, reverse charge"),
    ("EXP0", "Export"),
    ("EX0", "Exempt"),
    ("OOS", "Out of scope of tax"),
)
_UNTAXED_RULES = (
    ("RC0", "intra_community"),
    ("RC0", "reverse_charge"),
    ("EXP0", "export"),
    ("EX0", "exempt"),
    ("OOS", "out_of_scope"),
)


def _one_stop(country: str, seller: str) -> bool:
    return seller in EU and country in EU


def _add_code(codes: dict[str, Any], country: str, subdivision: str, rates: Rates, seller: str) -> str:
    """The name of the code for a set of rates; the codes of its single rates are added beside it."""
    place = f"{country}-{subdivision}" if subdivision else country
    suffix = "-OSS" if _one_stop(country, seller) and country != seller else ""
    if len(rates) == 1:
        name = _free(codes, f"{place}{rates[0]:f}{suffix}", f"{country}{rates[0]:f}")
        codes[name] = {"rates": [_rate(place, rates[0])], "description": f"{place} {rates[0]:f} %"}
        return name
    name = _free(codes, place, country)
    # Rates of their own: one shared with the code of a single rate would sum two bases into one tax, and
    # the cents of both would have to come out right together.
    entries = [_rate(place, rate, f" of {'+'.join(f'{each:f}' for each in rates)}") for rate in rates]
    codes[name] = {
        "rates": entries,
        "description": f"{place} {' + '.join(f'{rate:f} %' for rate in rates)}",
    }
    for rate, entry in zip(rates, entries, strict=True):
        part = _free(codes, f"{subdivision or country}{rate:f}", f"{country}{rate:f}")
        codes[part] = {"rates": [entry], "description": f"{place} {rate:f} % alone, a part of {name}"}
    return name


def _rate(place: str, rate: Decimal, of: str = "") -> dict[str, str]:
    return {"name": f"{place} {rate:f}{of}", "percent": f"{rate:f}"}


def _free(codes: dict[str, Any], *wanted: str) -> str:
    """The first of the wanted names that is short enough and not taken, else one with a number."""
    for name in wanted:
        if len(name) <= NAME_LENGTH and name not in codes:
            return name
    stem = wanted[-1][: NAME_LENGTH - 2]
    return next(name for number in range(2, 100) if (name := f"{stem}{number}") not in codes)


def _methods(labels: Iterable[str]) -> dict[str, Any]:
    methods: dict[str, Any] = {}
    for label in sorted(set(labels)):
        kind = _kind(label)
        short = "".join(sign for sign in label if sign not in ":{}")
        bank = kind in {"wire", "cheque"}
        methods[label] = {
            "labels": [label],
            "kind": kind,
            "code": "".join(word[0] for word in short.split() if word[0].isalnum()).upper()[:3] or "PAY",
            "account": "Bank:Main {CUR}" if bank else f"Clearing:{short} {{CUR}}",
            "holding_account": f"Clearing:{short} unproved {{CUR}}" if kind != "free" else "",
        }
    return methods


def _kind(label: str) -> MethodKind:
    text = label.lower()
    for kind, words in _WORDS:
        if any(word in text for word in words):
            return kind
    return "card"


# -- the coverage of a policy -----------------------------------------------------------------


@dataclass(slots=True)
class Coverage:
    """How many orders would post under a policy, and for how much money; the rest by its reason."""

    posts: int = 0
    held: Counter[str] = field(default_factory=Counter)
    not_postable: Counter[str] = field(default_factory=Counter)
    money_posts: Counter[str] = field(default_factory=Counter)
    """Gross money by currency."""
    money_held: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> Decimal:
        """The share of the orders that are sales which would post, in percent with one decimal."""
        sales = self.posts + sum(self.held.values())
        return (Decimal(self.posts) * 100 / sales).quantize(Decimal("0.1")) if sales else Decimal(100)


def coverage(translations: Iterable[Translation]) -> Coverage:
    """The coverage of the policy that made these translations."""
    found = Coverage()
    for one in translations:
        for source in one.sources:
            if source.type != "order":
                continue
            if source.status == "postable":
                found.posts += 1
                found.money_posts[source.currency] += source.amount  # type: ignore[assignment]  # counts money
            elif source.status == "held":
                found.held[source.reason] += 1
                found.money_held[source.currency] += source.amount  # type: ignore[assignment]  # counts money
            else:
                found.not_postable[source.reason] += 1
    return found
