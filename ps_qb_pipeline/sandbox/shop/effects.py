"""What a row that the web service saves or deletes sets off elsewhere in the shop.

What lives here: one function a resource whose class in the core does more than save. What does not: the
saving itself (``writes``), states and payments (``commerce``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import md5, sha256
from random import Random
from typing import Any

from ps_qb_pipeline.sandbox.shop.amounts import six
from ps_qb_pipeline.sandbox.shop.answers import Fatal, Refusal
from ps_qb_pipeline.sandbox.shop.commerce import Cart, Impossible, Item, change_state, place, total_stock
from ps_qb_pipeline.sandbox.shop.query import php_int
from ps_qb_pipeline.sandbox.shop.resources import Resource
from ps_qb_pipeline.sandbox.shop.shop import Shop
from ps_qb_pipeline.sandbox.shop.tables import Row, leading_number

#: What a new object of a class holds before a request fills it.
PRESET: dict[str, Row] = {
    "products": {
        "id_default_combination": 0, "type": "simple", "id_shop_default": 1, "product_type": "standard",
        "condition": "new", "visibility": "both",
    },
}  # fmt: skip
REMOTE_PAYMENT = 11


@dataclass(slots=True)
class Saving:
    """One row on its way into the shop."""

    shop: Shop
    resource: Resource
    present: Row | None
    shown: Row
    """The row as the answer shows it: what was sent, as it was sent."""
    given: set[str]
    shops: list[int]
    row_id: int = 0
    ignored_associations: set[str] = field(default_factory=set)

    def insert(self, stored: Row) -> None:
        """Add the row."""
        self.row_id = int(self.shop.insert(self.resource.name, stored)["id"])

    def update(self, stored: Row) -> None:
        """Change what was sent of the row, and its date."""
        assert self.present is not None
        self.row_id = int(self.present["id"])
        names = self.given | {n for n in ("date_upd", "date_add") if n in stored}
        changes = {n: stored[n] for n in names if n in stored and n != "id"}
        self.shop.update(self.resource.name, self.row_id, **changes)

    def completed(self, association: str, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Entries as the core gives them back."""
        if association == "order_slip_details":
            return [
                {"id": self.row_id} | {k: _money(k, v) for k, v in e.items() if k != "id"} for e in entries
            ]
        if association == "cart_rows":
            blank = {
                "id_product": 0,
                "id_product_attribute": 0,
                "id_address_delivery": 0,
                "id_customization": 0,
                "quantity": 0,
            }
            return [blank | e | {"id_address_delivery": 0} for e in entries]
        return entries


def _money(name: str, value: Any) -> Any:
    return six(leading_number(str(value))) if name.startswith("amount") else value


# ------------------------------------------------------------------------------------ adding


def _add_customer(saving: Saving, stored: Row) -> None:
    """A registered customer's e-mail is unique; passwords are hashed; the shop comes from the request."""
    shop, shown = saving.shop, saving.shown
    if stored["is_guest"] != "1":
        same = shop.rows("customers", email=stored["email"])
        if any(str(r["is_guest"]) == "0" and str(r["deleted"]) == "0" for r in same):
            message = "The email is already used, please choose another one"
            raise Refusal(500, 140, message).and_also(46, "Unable to save resource")
    now = datetime.fromisoformat(shop.now())
    seed = f"{stored['email']}|{shop.tables['customers'].next_id()}"
    made = {
        "last_passwd_gen": str(now - timedelta(minutes=360)),
        "secure_key": md5(seed.encode(), usedforsecurity=False).hexdigest(),
        "passwd": "$2y$10$" + sha256(f"{seed}|{stored['passwd']}".encode()).hexdigest()[:53],
        "id_shop": saving.shops[0],
        "id_shop_group": 1,
    }
    if not shown["id_lang"]:
        made["id_lang"] = int(shop.configuration("PS_LANG_DEFAULT", "1"))
    shown |= made
    saving.insert(stored | made)


def _add_cart(saving: Saving, stored: Row) -> None:
    made = {"id_shop": saving.shops[0], "id_shop_group": 1}
    saving.shown |= made
    saving.insert(stored | made)


def _add_history(saving: Saving, stored: Row) -> None:
    """A new row of the history moves the order into its state; an unknown order or state kills the request."""
    try:
        employee = int(stored["id_employee"] or 0)
        row = change_state(saving.shop, stored["id_order"], stored["id_order_state"], employee=employee)
    except Impossible as error:
        raise Fatal from error
    saving.row_id = int(row["id"])


def _add_order(saving: Saving, stored: Row) -> None:
    """An order through the web service is a checkout of its cart; a cart is checked out once."""
    shop = saving.shop
    cart = shop.get("carts", stored["id_cart"])
    if cart is None or shop.rows("orders", id_cart=stored["id_cart"]):
        raise Fatal
    rows = (cart.get("associations") or {}).get("cart_rows") or []
    items = tuple(
        Item(int(r["id_product"]), int(r["quantity"]), int(r["id_product_attribute"])) for r in rows
    )
    free = next(
        (r["id"] for r in shop.rows("carriers", is_free="1") if str(r["active"]) == "1"), stored["id_carrier"]
    )
    carrier = stored["id_carrier"] if cart["delivery_option"] else int(free)
    try:
        order_id = place(shop, Cart(
            customer=stored["id_customer"], items=items, address=stored["id_address_delivery"],
            invoice_address=stored["id_address_invoice"], currency=stored["id_currency"], carrier=carrier,
            module=stored["module"], payment=stored["payment"], state=REMOTE_PAYMENT,
            paid=Decimal(stored["total_paid"]), id_cart=stored["id_cart"], id_shop=saving.shops[0],
        ), Random(f"cart {stored['id_cart']}"))  # noqa: S311  # fmt: skip
    except Impossible as error:
        raise Fatal from error
    saving.row_id = order_id
    saving.ignored_associations.add("order_rows")
    for name in ("date_add", "date_upd"):
        saving.shown[name] = None


def _add_product(saving: Saving, stored: Row) -> None:
    """A new product has a stock row of its own, and the last place in its category."""
    places = saving.shop.rows("products", id_category_default=stored["id_category_default"])
    last = max((int(r["position_in_category"] or 0) for r in places), default=0)
    stored["position_in_category"] = saving.shown["position_in_category"] = (
        last + 1 if stored["id_category_default"] else ""
    )
    saving.insert(stored)
    saving.shop.insert("stock_availables", {
        "id_product": saving.row_id, "id_product_attribute": 0, "id_shop": saving.shops[0], "quantity": 0, "out_of_stock": 2,
    })  # fmt: skip


ADD: dict[str, Callable[[Saving, Row], None]] = {
    "customers": _add_customer,
    "carts": _add_cart,
    "order_histories": _add_history,
    "orders": _add_order,
    "products": _add_product,
}


# ------------------------------------------------------------------------------------ changing


def _update_order(saving: Saving, stored: Row) -> None:
    """A new state takes effect as a change of state; a tracking number goes to the carriage."""
    assert saving.present is not None
    shop, order_id = saving.shop, int(saving.present["id"])
    before = int(saving.present["current_state"] or 0)
    wanted = php_int(str(saving.shown["current_state"] or "")) if "current_state" in saving.given else before
    saving.given.discard("current_state")
    saving.ignored_associations.add("order_rows")
    saving.update(stored)
    if "shipping_number" in saving.given:
        for row in shop.rows("order_carriers", id_order=order_id)[:1]:
            shop.update("order_carriers", row["id"], tracking_number=stored["shipping_number"])
    if wanted and wanted != before:
        try:
            change_state(shop, order_id, wanted)
        except Impossible as error:
            raise Fatal from error
        fresh = shop.get("orders", order_id) or {}
        for name in (
            "current_state",
            "valid",
            "invoice_number",
            "invoice_date",
            "delivery_number",
            "delivery_date",
            "date_upd",
        ):
            saving.shown[name] = fresh[name]
        if fresh["total_paid_real"] != saving.present["total_paid_real"]:
            saving.shown["total_paid_real"] = f"{Decimal(fresh['total_paid_real']).normalize():f}"


def _update_product(saving: Saving, stored: Row) -> None:
    """A product without a main category has no place in it."""
    if not stored["id_category_default"]:
        stored["position_in_category"] = saving.shown["position_in_category"] = ""
        saving.given.add("position_in_category")
    saving.update(stored)


def _update_stock(saving: Saving, stored: Row) -> None:
    """The row of a product with combinations is the sum of theirs."""
    assert saving.present is not None
    saving.update(stored)
    if int(saving.present["id_product_attribute"]):
        total_stock(saving.shop, int(saving.present["id_product"]))


def _update_tax(saving: Saving, stored: Row) -> None:
    """A rate that orders used never changes: the tax gets a successor, its rules move, it is marked deleted."""
    assert saving.present is not None
    shop, old = saving.shop, saving.present
    if (
        "rate" not in saving.given
        or Decimal(stored["rate"]) == Decimal(old["rate"])
        or not _tax_used(shop, int(old["id"]))
    ):
        saving.update(stored)
        return
    successor = shop.insert("taxes", stored)
    for rule in shop.rows("tax_rules", id_tax=old["id"]):
        shop.update("tax_rules", rule["id"], id_tax=successor["id"])
    shop.update("taxes", old["id"], deleted="1")
    saving.row_id = int(successor["id"])


def _tax_used(shop: Shop, tax: int) -> bool:
    details = shop.tables["order_details"]
    hanging = (details.value(i, "associations") for i in details.ids)
    return any(int(e["id"]) == tax for a in hanging if a for e in a.get("taxes") or ())


def _update_carriage(saving: Saving, stored: Row) -> None:
    """``orders.shipping_number`` is a view of the carriage's tracking number."""
    saving.update(stored)
    row = saving.shop.get("order_carriers", saving.row_id)
    if (
        "tracking_number" in saving.given
        and row is not None
        and row["id_order"] in saving.shop.tables["orders"]
    ):
        saving.shop.update("orders", row["id_order"], shipping_number=row["tracking_number"])


UPDATE: dict[str, Callable[[Saving, Row], None]] = {
    "orders": _update_order,
    "products": _update_product,
    "stock_availables": _update_stock,
    "taxes": _update_tax,
    "order_carriers": _update_carriage,
}


# ------------------------------------------------------------------------------------ deleting


def _delete_address(shop: Shop, resource: str, row_id: int) -> None:
    """An address that an order uses is only marked."""
    if shop.rows("orders", id_address_invoice=row_id) or shop.rows("orders", id_address_delivery=row_id):
        shop.update(resource, row_id, deleted="1", date_upd=shop.now())
    else:
        shop.delete(resource, row_id)


def _delete_product(shop: Shop, resource: str, row_id: int) -> None:
    """A product takes its combinations and stock rows along."""
    for other in ("stock_availables", "combinations"):
        for row in shop.rows(other, id_product=row_id):
            shop.delete(other, row["id"])
    shop.delete(resource, row_id)


def _delete_customer(shop: Shop, resource: str, row_id: int) -> None:
    """A customer takes the addresses along, as far as no order uses them."""
    for row in shop.rows("addresses", id_customer=row_id):
        _delete_address(shop, "addresses", row["id"])
    shop.delete(resource, row_id)


DELETE: dict[str, Callable[[Shop, str, int], None]] = {
    "addresses": _delete_address,
    "products": _delete_product,
    "customers": _delete_customer,
}
