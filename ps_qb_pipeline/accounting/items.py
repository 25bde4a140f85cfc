"""Products to items: by SKU, combination before product; what clashes never merges silently.

What lives here: item keys, names and cards. What does not: looking items up in the books (``posting``).
"""

from __future__ import annotations

from typing import NamedTuple

from ps_qb_pipeline.accounting.documents import Item
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.shop import Detail, Shop

SHIPPING, DISCOUNT, WRAPPING, ECOTAX = "PS Shipping", "PS Discount", "PS Gift wrap", "PS Ecotax"
ROUNDING, RESTOCKING, GOODS = "PS Rounding", "PS Restocking fee", "PS Goods"
STORE_CREDIT, GIFT_CARD = "PS Store credit", "PS Gift card"
DEPOSITS, CHARGEBACKS, SALES_TAX = "PS Customer deposits", "PS Chargebacks", "PS Sales tax"
"""The items of lines that are no products."""

NAME_LENGTH = 100


class Identified(NamedTuple):
    """The item of one order line, and the finding code that it earns, if any."""

    item: Item
    code: str


def identify(detail: Detail, shop: Shop, policy: Policy) -> Identified:
    """The item that a line sells. An empty SKU, or one that two products share, is named by number.

    The SKU is the one on the order line: the combination's where it has one, else the product's. SKUs
    that differ by case only are one name to QuickBooks, so they count as shared.
    """
    number = f"{detail.product_id}-{detail.product_attribute_id}"
    income = policy.accounts.income_by_category.get(detail.category, policy.accounts.income)
    if not detail.sku:
        item = Item(
            f"ps:{number}",
            "",
            f"PS {number}",
            "NonInventory",
            income,
            detail.product_id,
            detail.product_attribute_id,
        )
        return Identified(item, "SKU_EMPTY")
    owners = shop.sku_owners.get(detail.sku.lower(), frozenset())
    clash = len(owners) > 1 or any(owner != (detail.product_id, detail.sku) for owner in owners)
    if clash:
        name = _name(f"{detail.sku} ({number})")
        key = f"ps:{number}"
        return Identified(
            Item(
                key, detail.sku, name, "NonInventory", income, detail.product_id, detail.product_attribute_id
            ),
            "SKU_CLASH",
        )
    return Identified(
        Item(
            f"sku:{detail.sku}",
            detail.sku,
            _name(detail.sku),
            "NonInventory",
            income,
            detail.product_id,
            detail.product_attribute_id,
        ),
        "",
    )


def _name(text: str) -> str:
    """``text`` as QuickBooks takes it: no colon, no control characters, at most 100 characters."""
    clean = "".join(" " if ord(sign) < 32 else sign for sign in text.replace(":", "-"))
    return " ".join(clean.split())[:NAME_LENGTH]
