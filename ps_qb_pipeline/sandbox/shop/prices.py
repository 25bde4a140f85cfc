"""Prices that a read computes: ``price[name][use_tax]=1`` on products and combinations.

What lives here: a product's current price with its tax in the shop's country and its current
reduction. What does not: prices of a cart (``life``).
"""

from __future__ import annotations

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
        price *= 1 + tax_rate(shop, int(product["id_tax_rules_group"]), country) / HUNDRED
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


def tax_rate(shop: Shop, group: int, country: int, state: int = 0) -> Decimal:
    """The rate in percent that a tax rules group sets for a destination; several taxes add up."""
    return sum((Decimal(str(t["rate"])) for t in taxes_of(shop, group, country, state)), Decimal(0))


def taxes_of(shop: Shop, group: int, country: int, state: int = 0) -> list[Row]:
    """The taxes that a tax rules group sets for a destination; no rule means no tax."""
    rules = [r for r in shop.rows("tax_rules", id_tax_rules_group=group) if int(r["id_country"]) == country]
    exact = [r for r in rules if int(r["id_state"]) == state and state]
    found: list[Row] = []
    for rule in exact or [r for r in rules if int(r["id_state"]) == 0]:
        tax = shop.get("taxes", int(rule["id_tax"]))
        if tax is not None:
            found.append(tax)
    return found
