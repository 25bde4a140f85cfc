"""Quantities on hand of inventory items.

What lives here: which transactions move stock, and by how much. What does not: its value (``postings``).
"""

from __future__ import annotations

from decimal import Decimal

from ps_qb_pipeline.sandbox.books import faults
from ps_qb_pipeline.sandbox.books.codec import Json, decimal, ref
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import Entity
from ps_qb_pipeline.sandbox.books.lines import leaves

OUT = {
    "SalesReceipt": -1,
    "Invoice": -1,
    "RefundReceipt": 1,
    "CreditMemo": 1,
    "Bill": 1,
    "Purchase": 1,
    "VendorCredit": -1,
}


def inventory_lines(company: Company, body: Json) -> list[tuple[Json, Decimal]]:
    """Return (item, quantity) of every line of an inventory item."""
    found = []
    for line in leaves(body):
        detail = line.get(line["DetailType"]) or {}
        ident = ref(detail.get("ItemRef"))
        item = company.find("Item", ident) if ident else None
        if item is not None and item.get("Type") == "Inventory":
            found.append((item, decimal(detail.get("Qty")) or Decimal(0)))
    return found


def check(company: Company, body: Json) -> None:
    """Refuse a transaction dated before an inventory item was first counted."""
    for item, _ in inventory_lines(company, body):
        if body["TxnDate"] < str(item.get("InvStartDate", "")):
            raise faults.before_inventory_start(str(item["Name"]))


def moves(company: Company, entity: str, body: Json | None) -> dict[str, Decimal]:
    """Return by how much a transaction changes the quantity of each item."""
    if body is None:
        return {}
    changed: dict[str, Decimal] = {}
    if entity == "InventoryAdjustment":
        for line in body.get("Line", []):
            detail = line["ItemAdjustmentLineDetail"]
            ident = ref(detail["ItemRef"])
            changed[ident] = changed.get(ident, Decimal(0)) + (decimal(detail.get("QtyDiff")) or Decimal(0))
        return changed
    sign = OUT.get(entity, 0)
    for item, quantity in inventory_lines(company, body) if sign else []:
        changed[item["Id"]] = changed.get(item["Id"], Decimal(0)) + sign * quantity
    return changed


def move(company: Company, entity: Entity, body: Json | None, before: Json | None) -> None:
    """Change quantities on hand by what a transaction moves now less what it moved before."""
    if entity.name not in OUT and entity.name != "InventoryAdjustment":
        return
    changed = moves(company, entity.name, body)
    for ident, quantity in moves(company, entity.name, before).items():
        changed[ident] = changed.get(ident, Decimal(0)) - quantity
    for ident, quantity in changed.items():
        found = company.find("Item", ident)
        if found is not None and quantity:
            item = dict(found, QtyOnHand=(decimal(found.get("QtyOnHand")) or Decimal(0)) + quantity)
            company.patch("Item", int(ident), item, touched=True)
