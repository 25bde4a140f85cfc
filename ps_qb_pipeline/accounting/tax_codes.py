"""Which tax code a sale gets: the signed table of the policy, and nothing but it.

What lives here: schemes of untaxed sales and the search in the table. What does not: tax amounts
(``tax``). A combination without a row is never guessed: it is None, and its order is held.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from ps_qb_pipeline.accounting.places import EU, Place, is_abroad, is_other_member_state
from ps_qb_pipeline.accounting.policy import Policy, SaleKind, Scheme, TaxRule

Rates = tuple[Decimal, ...]

_UNTAXED: frozenset[Scheme] = frozenset(
    ("intra_community", "reverse_charge", "export", "exempt", "out_of_scope", "marketplace")
)


class TaxTable:
    """The policy's table with a memory, because few combinations occur many times."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._taxed: dict[tuple[Place, Rates, SaleKind, str], str | None] = {}
        self._untaxed: dict[tuple[Place, str, SaleKind], str | None] = {}
        self._sets: dict[Place, list[Rates]] = {}

    def taxed(self, place: Place, rates: Rates, kind: SaleKind, scheme: str = "") -> str | None:
        """The code of a sale at ``rates`` (percent above zero, any order), or None without a row."""
        key = (place, rates, kind, scheme)
        if key not in self._taxed:
            wanted = sorted(rates)
            rows = [
                rule
                for rule in self.policy.tax_rules
                if sorted(rule.rates) == wanted
                and rule.scheme not in _UNTAXED
                and (not scheme or rule.scheme == scheme)
            ]
            self._taxed[key] = _best(rows, place, kind)
        return self._taxed[key]

    def untaxed(self, place: Place, scheme: Scheme, kind: SaleKind) -> str | None:
        """The code of a sale without tax under ``scheme``, or None without a row."""
        key = (place, scheme, kind)
        if key not in self._untaxed:
            rows = [rule for rule in self.policy.tax_rules if rule.scheme == scheme and not any(rule.rates)]
            self._untaxed[key] = _best(rows, place, kind)
        return self._untaxed[key]

    def sets(self, place: Place) -> list[Rates]:
        """The sets of rates that have a row for ``place``, single rates last."""
        if place not in self._sets:
            rows = [
                rule.rates for rule in self.policy.tax_rules if any(rule.rates) and _rank(rule, place, "")
            ]
            self._sets[place] = sorted(dict.fromkeys(rows), key=len, reverse=True)
        return self._sets[place]

    def rates(self, code: str) -> Rates:
        """The percents of a code, in the order in which they apply."""
        entry = self.policy.tax_codes.get(code)
        return tuple(rate.percent for rate in entry.rates) if entry else ()


def untaxed_scheme(
    place: Place, seller: str, vat_number: str, kind: SaleKind, *, explained: bool
) -> Scheme | None:
    """Why a sale bears no tax, or None when nothing explains it.

    ``explained`` says that the shop itself gives a reason for an exemption: a rate of zero, a tax
    rule without a rate for that country, or tax on another line of the order.
    """
    if is_abroad(place, seller):
        return "export"
    if vat_number and is_other_member_state(place, seller):
        return "reverse_charge" if kind == "service" else "intra_community"
    return "exempt" if explained else None


def _best(rows: list[TaxRule], place: Place, kind: SaleKind) -> str | None:
    ranked = [
        (rank, -index, rule.code) for index, rule in enumerate(rows) if (rank := _rank(rule, place, kind))
    ]
    return max(ranked)[2] if ranked else None


def _rank(rule: TaxRule, place: Place, kind: SaleKind | Literal[""]) -> int:
    """How well a row fits: 0 not at all; naming the place or the kind counts for more than a wildcard."""
    if rule.kinds and kind and kind not in rule.kinds:
        return 0
    if rule.subdivisions and place.subdivision not in rule.subdivisions:
        return 0
    if place.country in rule.countries:
        country = 3
    elif "EU" in rule.countries and place.country in EU:
        country = 2
    elif "*" in rule.countries:
        country = 1
    else:
        return 0
    return country * 4 + (2 if rule.subdivisions else 0) + (1 if rule.kinds else 0)
