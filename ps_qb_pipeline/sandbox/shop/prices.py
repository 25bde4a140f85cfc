"""Prices that a read computes: ``price[name][use_tax]=1`` on products and combinations.

What lives here: a product's current price with its tax in the shop's country and its current
reduction. What does not: prices of a cart (``life``).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ps_qb_pipeline.sandbox.shop.shop import Shop
from ps_qb_pipeline.sandbox.shop.tables import Row

HUNDRED = Decimal(100)


def price_fields(shop: Shop, asked: dict[str, Any], row: Row) -> dict[str, str]:
    """Name to price text of every computed price that a request asks for."""
    return {
        name: _price(shop, row, options if isinstance(options, dict) else {})
        for name, options in asked.items()
    }


def _price(shop: Shop, row: Row, options: dict[str, str]) -> str:
    product = row if "id_product" not in row else shop.get("products", row["id_product"])
    if product is None:
        return "0.000000"
    price = Decimal(str(product["price"]))
    if product is not row:
        price += Decimal(str(row["price"]))
    if options.get("use_tax", "1") not in {"", "0"}:
        country = int(options.get("country") or shop.configuration("PS_COUNTRY_DEFAULT", "8"))
        price *= 1 + taxes_of(shop, int(product["id_tax_rules_group"]), country).rate / HUNDRED
    if options.get("use_reduction", "1") not in {"", "0"}:
        price -= _reduction(shop, int(product["id"]), price)
    places = int(options.get("decimals") or shop.configuration("PS_PRICE_ROUND_MODE", "2"))
    return f"{price.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):.6f}"


def _reduction(shop: Shop, product: int, price: Decimal) -> Decimal:
    for rule in shop.rows("specific_prices", id_product=product):
        if rule["reduction_type"] == "percentage":
            return price * Decimal(str(rule["reduction"]))
        return Decimal(str(rule["reduction"]))
    return Decimal(0)


@dataclass(frozen=True, slots=True)
class Taxes:
    """The taxes on something: their ids, and how they add up (0 alone, 1 sum, 2 one upon the other)."""

    ids: tuple[int, ...] = ()
    rates: tuple[Decimal, ...] = ()
    method: int = 0

    @property
    def rate(self) -> Decimal:
        """All of them together, in percent."""
        if self.method != 2:
            return sum(self.rates, Decimal(0))
        factor = Decimal(1)
        for rate in self.rates:
            factor *= 1 + rate / HUNDRED
        return (factor - 1) * HUNDRED


def taxes_of(shop: Shop, group: int, country: int, state: int = 0) -> Taxes:
    """The taxes that a tax rules group sets for a destination; no rule means no tax.

    Rules go from the most special to the most general, each adds its tax, and a rule that stands alone is the last;
    how the taxes add up is the first rule's to say.
    """
    rules = [
        r
        for r in shop.rows("tax_rules", id_tax_rules_group=group)
        if int(r["id_country"]) == country and int(r["id_state"]) in {0, state}
    ]
    rules.sort(key=lambda r: (-int(r["id_state"]), int(r["id"])))
    ids: list[int] = []
    rates: list[Decimal] = []
    for rule in rules:
        tax = shop.get("taxes", int(rule["id_tax"]))
        if tax is not None:
            ids.append(int(tax["id"]))
            rates.append(Decimal(str(tax["rate"])))
        if int(rule["behavior"]) == 0:
            break
    return Taxes(tuple(ids), tuple(rates), int(rules[0]["behavior"]) if rules else 0)
