"""Products to items: by SKU, combination before product; what clashes never merges silently.

What lives here: item keys, names and cards. What does not: looking items up in the books (``posting``).
"""

from __future__ import annotations

from functools import lru_cache
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


def identify(detail: Detail, shop: Shop, policy: Policy, income_account: str = "") -> Identified:
    """The item that a line sells. An empty SKU, or one that two products share, is named by number.

    The SKU is the one on the order line: the combination's where it has one, else the product's. SKUs
    that differ by case only are one name to QuickBooks, so they count as shared. An income account
    of a rule makes an item of its own, because in QuickBooks the account belongs to the item.
    """
    number = f"{detail.product_id}-{detail.product_attribute_id}"
    owners = shop.sku_owners.get(detail.sku.lower(), frozenset()) if detail.sku else frozenset()
    clash = any(owner != (detail.product_id, detail.sku) for owner in owners)
    if not detail.sku:
        key, name, code = f"ps:{number}", f"PS {number}", "SKU_EMPTY"
    elif clash:
        key, name, code = f"ps:{number}", f"{detail.sku} ({number})", "SKU_CLASH"
    else:
        key, name, code = f"sku:{detail.sku}", detail.sku, ""
    income = policy.accounts.income_by_category.get(detail.category, policy.accounts.income)
    if income_account and income_account != income:
        key, name, income = f"{key}@{income_account}", f"{name} - {income_account}", income_account
    item = Item(
        key,
        detail.sku,
        _name(name),
        "NonInventory",
        income,
        detail.product_id,
        detail.product_attribute_id,
    )
    return Identified(item, code)


@lru_cache(maxsize=20_000)
def _name(text: str) -> str:
    """``text`` as QuickBooks takes it: no colon, no control characters, at most 100 characters."""
    clean = "".join(" " if ord(sign) < 32 else sign for sign in text.replace(":", "-"))
    return " ".join(clean.split())[:NAME_LENGTH]
