"""A shop's life by seed: customers who order, pay, get refunds, edit and cancel, as time passes.

What lives here: chance. What does not: the deeds (``commerce``, ``aftersales``). The same seed over the same
shop makes the same life.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from ps_qb_pipeline.sandbox.shop.aftersales import Refunded, add_line, change_quantity, refund
from ps_qb_pipeline.sandbox.shop.commerce import (
    Cart,
    Discount,
    Impossible,
    Item,
    change_state,
    order_of,
    place,
    record_payment,
)
from ps_qb_pipeline.sandbox.shop.shop import Shop
from ps_qb_pipeline.sandbox.shop.tables import Row

FIRST = (
    "Ada",
    "Bruno",
    "Clara",
    "Dario",
    "Elsa",
    "Farid",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Klara",
    "Luca",
    "Mina",
    "Noor",
)
LAST = (
    "Exemple",
    "Muster",
    "Sample",
    "Voorbeeld",
    "Ejemplo",
    "Esempio",
    "Placeholder",
    "Specimen",
    "Fictif",
    "Beispiel",
)
STREETS = ("Sample Street", "Example Road", "Rue de l'Exemple", "Musterweg", "Calle Ejemplo")
#: Ways of paying: name to module, label, first state.
PAYMENTS: dict[str, tuple[str, str, int]] = {
    "card": ("ps_wirepayment", "Credit card", 2),
    "paypal": ("ps_wirepayment", "PayPal", 2),
    "wire": ("ps_wirepayment", "Bank transfer", 10),
    "cheque": ("ps_checkpayment", "Payments by check", 1),
    "cod": ("ps_cashondelivery", "Cash on delivery (COD)", 13),
}
#: How often each is chosen.
WEIGHTS = {"card": 50, "paypal": 20, "wire": 15, "cheque": 10, "cod": 5}
PAID, PREPARING, SHIPPED, DELIVERED, CANCELED = 2, 3, 4, 5, 6


@dataclass(slots=True)
class Life:
    """One run of a shop's life."""

    shop: Shop
    chance: Random
    done: Counter[str] = field(default_factory=Counter)
    orders: list[int] = field(default_factory=list)
    _shelf: list[tuple[int, int]] = field(default_factory=list)
    _ways: dict[str, int] = field(default_factory=dict)

    # -------------------------------------------------------------------------------- people and goods

    def customer(self) -> int:
        """A customer who may order: mostly one who is known, sometimes a new one, sometimes a guest."""
        customers = self.shop.tables["customers"].ids
        if customers and self.chance.random() < 0.6:
            known = self.chance.choice(customers)
            if self.shop.rows("addresses", id_customer=known):
                return known
        return self.new_customer(guest=self.chance.random() < 0.3)

    def new_customer(self, *, guest: bool = False) -> int:
        """Somebody new, with an address in a country where the shop's customers live."""
        first, last = self.chance.choice(FIRST), self.chance.choice(LAST)
        number = self.shop.tables["customers"].next_id()
        now = self.shop.now()
        customer = self.shop.insert("customers", {
            "id_default_group": 3, "id_lang": 1, "lastname": last, "firstname": first,
            "email": f"{first}.{number}@example.test".lower(), "active": "1", "is_guest": "1" if guest else "0",
            "id_shop": 1, "id_shop_group": 1, "date_add": now, "date_upd": now, "last_passwd_gen": now,
            "associations": {"groups": [{"id": 3}]},
        })  # fmt: skip
        country, state, postcode, city = self._place()
        self.shop.insert("addresses", {
            "id_customer": customer["id"], "id_country": country, "id_state": state, "alias": "Home", "lastname": last,
            "firstname": first, "address1": f"{self.chance.randint(1, 99)} {self.chance.choice(STREETS)}",
            "postcode": postcode, "city": city, "date_add": now, "date_upd": now,
        })  # fmt: skip
        return int(customer["id"])

    def _place(self) -> tuple[int, int, str, str]:
        addresses = self.shop.tables["addresses"]
        if addresses.ids:
            row = addresses.get(self.chance.choice(addresses.ids))
            assert row is not None
            return int(row["id_country"]), int(row["id_state"]), str(row["postcode"]), str(row["city"])
        return int(self.shop.configuration("PS_COUNTRY_DEFAULT", "8")), 0, "69001", "Sample"

    def items(self) -> tuple[Item, ...]:
        """One to four different goods."""
        shelf = self.shelf()
        chosen = self.chance.sample(shelf, min(len(shelf), self.chance.choice((1, 1, 2, 2, 3, 4))))
        return tuple(
            Item(
                product,
                self.chance.choice((1, 1, 1, 2, 3)),
                attribute,
                Decimal(self.chance.choice((0, 0, 0, 0, 10))),
            )
            for product, attribute in chosen
        )

    def shelf(self) -> list[tuple[int, int]]:
        """What can be bought: (product, combination), looked up once; an empty shop gets goods first."""
        if self._shelf:
            return self._shelf
        if not len(self.shop.tables["products"]):
            stock_shelves(self.shop, self.chance)
        goods = []
        for row in self.shop.rows("products", active="1"):
            variants = self.shop.rows("combinations", id_product=row["id"])
            if Decimal(str(row["price"])) > 0 and row["product_type"] in {"standard", "combinations", ""}:
                goods += [(int(row["id"]), int(v["id"])) for v in variants] or [(int(row["id"]), 0)]
        self._shelf = goods
        return goods

    # -------------------------------------------------------------------------------- events

    def order(self, **given: Any) -> int:
        """Somebody orders; what is given is not left to chance."""
        chance = self.chance
        discounts: tuple[Discount, ...] = ()
        draw = chance.random()
        if draw < 0.12:
            discounts = (Discount("Ten percent off", percent=Decimal(10)),)
        elif draw < 0.2:
            discounts = (Discount("Five off", amount=Decimal(5)),)
        way = given.pop("way", None) or self.way()
        module, payment, state = PAYMENTS[way]
        carriers = [r["id"] for r in self.shop.rows("carriers", active="1") if str(r["deleted"]) == "0"] or [
            0
        ]
        chosen: dict[str, Any] = {
            "customer": given.get("customer") or self.customer(),
            "items": given.get("items") or self.items(),
            "carrier": chance.choice(carriers),
            "shipping": Decimal(chance.choice(("2.50", "5.90", "12.34"))),
            "wrapping": chance.random() < 0.08,
            "discounts": discounts,
            "module": module,
            "payment": payment,
            "state": state,
            "transaction": f"TX-{chance.getrandbits(48):012X}" if way in {"card", "paypal"} else "",
        } | given
        order_id = place(self.shop, Cart(**chosen), chance)
        self.orders.append(order_id)
        return order_id

    def way(self) -> str:
        """A way of paying that the shop's customers have used before; any in a shop without orders."""
        table = self.shop.tables["orders"]
        if not self._ways:
            used = {(table.value(i, "module"), table.value(i, "payment")) for i in table.ids}
            self._ways = {n: w for n, w in WEIGHTS.items() if PAYMENTS[n][:2] in used} or WEIGHTS
        return self.chance.choices(list(self._ways), list(self._ways.values()))[0]

    def pay(self) -> int:
        """An order that waits for its money gets it."""
        order = self._any(
            lambda o: Decimal(str(o["total_paid_real"])) == 0 and int(o["current_state"]) in {1, 10, 13}
        )
        pay(self.shop, int(order["id"]))
        return int(order["id"])

    def advance(self) -> int:
        """A paid order goes one state on."""
        order = self._any(lambda o: int(o["current_state"]) in {PAID, PREPARING, SHIPPED})
        change_state(self.shop, int(order["id"]), int(order["current_state"]) + 1, employee=1)
        return int(order["id"])

    def refund(self) -> int:
        """A paid order is refunded, whole or in part."""
        order = self._any(
            lambda o: (
                int(o["invoice_number"]) > 0
                and Decimal(str(o["total_paid_real"])) > 0
                and int(o["current_state"]) != CANCELED
            )
        )
        order_id = int(order["id"])
        if self.chance.random() < 0.4:
            refund(
                self.shop, order_id, shipping=self.chance.random() < 0.5, restock=self.chance.random() < 0.5
            )
        else:
            detail = self.chance.choice(self.shop.rows("order_details", id_order=order_id))
            refund(self.shop, order_id, {int(detail["id"]): Refunded(1)}, restock=self.chance.random() < 0.5)
        return order_id

    def edit(self) -> int:
        """An order that has not left gets another quantity or another line."""
        order = self._any(lambda o: int(o["current_state"]) in {1, 2, 3, 10, 13})
        order_id = int(order["id"])
        details = self.shop.rows("order_details", id_order=order_id)
        if details and self.chance.random() < 0.6:
            detail = self.chance.choice(details)
            change_quantity(self.shop, order_id, int(detail["id"]), int(detail["product_quantity"]) + 1)
        else:
            product, attribute = self.chance.choice(self.shelf())
            add_line(self.shop, order_id, Item(product, 1, attribute))
        return order_id

    def cancel(self) -> int:
        """An order that has not left is cancelled."""
        order = self._any(lambda o: int(o["current_state"]) in {1, 2, 3, 10, 13})
        change_state(self.shop, int(order["id"]), CANCELED, employee=1)
        return int(order["id"])

    def move(self) -> int:
        """A customer's address is corrected in place, also for orders that are past."""
        addresses = self.shop.tables["addresses"]
        if not addresses.ids:
            raise Impossible("nobody has an address")
        row_id = self.chance.choice(addresses.ids)
        self.shop.update(
            "addresses", row_id, address2=f"Floor {self.chance.randint(1, 9)}", date_upd=self.shop.now()
        )
        return row_id

    def _any(self, meets: Callable[[Row], bool]) -> Row:
        recent = [
            r
            for i in self.shop.tables["orders"].ids[-200:]
            if (r := self.shop.get("orders", i)) is not None and meets(r)
        ]
        if not recent:
            raise Impossible("no order is in such a state")
        return self.chance.choice(recent)


#: Events and how often they happen.
EVENTS: dict[str, int] = {
    "order": 40,
    "pay": 14,
    "advance": 26,
    "refund": 8,
    "edit": 4,
    "cancel": 4,
    "move": 4,
}


def pay(
    shop: Shop, order_id: int, *, amount: Decimal | None = None, currency: int = 0, method: str = ""
) -> None:
    """Somebody in the back office books a payment; a full one moves the order to "Payment accepted".

    Errors:
        Impossible: there is no such order.
    """
    order = order_of(shop, order_id)
    rest = Decimal(order["total_paid_tax_incl"]) - Decimal(str(order["total_paid_real"]))
    record_payment(
        shop,
        order_id,
        rest if amount is None else amount,
        method=method or order["payment"],
        currency=currency,
        employee=1,
    )
    after = order_of(shop, order_id)
    if Decimal(after["total_paid_real"]) >= Decimal(after["total_paid_tax_incl"]) and int(
        after["current_state"]
    ) in {1, 10, 13}:
        change_state(shop, order_id, PAID, employee=1)


def live(shop: Shop, seed: int, *, events: int = 0, days: int = 0, per_day: int = 12) -> dict[str, Any]:
    """Let a shop live for so many events, or so many days of about so many events each.

    The clock moves with it and stands still afterwards when days were asked for. Returns how often each event
    happened and the ids of the orders that were placed.
    """
    life = Life(shop, Random(f"{seed}|{shop.tables['orders'].next_id()}"))  # noqa: S311 - chance by seed is the point
    total = events or days * per_day
    step = 86400 / per_day
    for _ in range(total):
        if days:
            shop.set_clock(frozen=shop.clock.now() + life.chance.uniform(0, 2 * step))
        for _attempt in range(8):
            name = life.chance.choices(list(EVENTS), list(EVENTS.values()))[0]
            try:
                getattr(life, name)()
            except Impossible:
                continue
            life.done[name] += 1
            break
    return {"events": dict(life.done), "orders": life.orders, "now": shop.now()}


def stock_shelves(shop: Shop, chance: Random, count: int = 12) -> None:
    """Put some goods into an empty shop."""
    now = shop.now()
    languages = [r["id"] for r in shop.rows("languages")] or [1]
    for number in range(1, count + 1):
        name = f"Sample {number}"
        price = Decimal(chance.randint(100, 9000)) / 100
        row = shop.insert("products", {
            "id_category_default": 2, "id_tax_rules_group": chance.choice((1, 1, 1, 2, 3)), "reference": f"SAMPLE-{number:03d}",
            "price": f"{price:.6f}", "wholesale_price": f"{price * Decimal('0.55'):.6f}", "active": "1", "state": 1,
            "product_type": "standard", "type": "simple", "available_for_order": "1", "show_price": "1", "id_shop_default": 1,
            "name": [{"id": i, "value": name} for i in languages], "minimal_quantity": 1, "visibility": "both",
            "condition": "new", "date_add": now, "date_upd": now,
        } | {f.name: [{"id": i, "value": ""} for i in languages] for f in shop.tables["products"].resource.fields
             if f.i18n and f.name != "name"})  # fmt: skip
        shop.insert(
            "stock_availables", {"id_product": row["id"], "id_shop": 1, "quantity": 1000, "out_of_stock": 2}
        )


def shift_rows(shop: Shop, resource: str, how: str, number: int) -> None:
    """Let a row change, appear or vanish behind the back of somebody who is paging."""
    table = shop.tables.get(resource)
    if table is None or not table.ids:
        return
    chance = Random(f"{resource}|{how}|{number}")  # noqa: S311 - chance by seed is the point
    row_id = chance.choice(table.ids)
    if how == "delete":
        shop.delete(resource, row_id)
    elif how == "insert" and resource == "orders":
        Life(shop, chance).order()
    elif how == "insert":
        row = table.get(row_id) or {}
        shop.insert(resource, {k: v for k, v in row.items() if k != "id"})
    elif "date_upd" in table.resource.by_name:
        shop.update(resource, row_id, date_upd=shop.now())
    shop.journal.commit()
