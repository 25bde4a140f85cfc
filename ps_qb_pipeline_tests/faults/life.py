"""A shop's day: orders, payments, edits, refunds, cancellations, and people in the books."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from ps_qb_pipeline.accounting.documents import Customer, Document, Item
from ps_qb_pipeline_tests.faults import shop as made
from ps_qb_pipeline_tests.faults.books import TRANSACTIONS, Company, Row, source_of

OLD = made.DAY - timedelta(days=30)


@dataclass
class Order:
    """One order as the shop has it now. ``version`` grows with every change, as ``date_upd`` does."""

    number: int
    who: int
    what: int
    net: Decimal
    wire: bool
    old: bool
    version: int = 0
    revision: int = 0
    paid: bool = False
    cancelled: bool = False
    refunds: list[tuple[int, Decimal]] = field(default_factory=list)

    def documents(self) -> list[Document]:
        """What should be in the books for it."""
        if self.cancelled:
            return []
        sold = made.sale(
            self.number,
            str(self.net),
            type="Invoice" if self.wire else "SalesReceipt",
            revision=self.revision,
            who=self.who,
            what=self.what,
        )
        sold = replace(sold, txn_date=OLD if self.old else made.DAY)
        found = [sold]
        if self.wire and self.paid:
            found.append(made.payment(self.number, sold))
        found += [made.refund(number, sold, str(net)) for number, net in self.refunds]
        return found

    def voids(self) -> list[str]:
        """What should not be in the books any more."""
        return [f"1|sale|{self.number}|0"] if self.cancelled else []


class Shop:
    """All orders, and the changes in the order in which they happened."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.orders: dict[int, Order] = {}
        self.slips = 0
        self.version = 0
        self.customers = 0
        self.moves: dict[int, int] = {}
        """How often each customer has changed their card."""

    def _touch(self, order: Order) -> None:
        self.version += 1
        order.version = self.version

    def changed_since(self, version: int, limit: int = 50) -> list[Order]:
        """A page of changed orders, oldest change first."""
        changed = sorted((o for o in self.orders.values() if o.version > version), key=lambda o: o.version)
        return changed[:limit]

    def place(self) -> str:
        rng = self.rng
        if not self.customers or rng.random() < 0.4:
            self.customers += 1
        number = len(self.orders) + 1
        order = Order(
            number,
            who=rng.randint(1, self.customers),
            what=rng.randint(1, 12),
            net=Decimal(rng.randint(100, 30000)) / 100,
            wire=rng.random() < 0.3,
            old=rng.random() < 0.05,
        )
        self.orders[number] = order
        self._touch(order)
        return f"place {number}"

    def live(self) -> str:
        """One thing that happens in a shop."""
        rng = self.rng
        order = rng.choice(list(self.orders.values()))
        if rng.random() < 0.15 and not _is_special(order.who):
            self.move(order.who)
            self._touch(order)
            return f"move {order.number}"
        roll = rng.random()
        if order.cancelled:
            return "nothing"
        if order.wire and not order.paid:
            if roll < 0.7:
                order.paid = True
                self._touch(order)
                return f"pay {order.number}"
            if roll < 0.85:
                order.cancelled = True
                self._touch(order)
                return f"cancel {order.number}"
        refundable = order.net - sum((net for _, net in order.refunds), Decimal(0))
        if roll < 0.45 and refundable > 1 and (order.paid or not order.wire):
            self.slips += 1
            net = (refundable * Decimal(rng.randint(10, 100)) / 100).quantize(Decimal("0.01"))
            order.refunds.append((self.slips, net))
            self._touch(order)
            return f"refund {order.number}"
        if not order.refunds and not order.paid:
            order.net = Decimal(rng.randint(100, 30000)) / 100
            order.revision += 1
            self._touch(order)
            return f"edit {order.number}"
        return "nothing"

    def move(self, who: int) -> None:
        """A customer has another address for mail, or another name."""
        self.moves[who] = self.moves.get(who, 0) + 1

    def customer(self, number: int) -> Customer:
        """Some share a name, some share an address, some have none; these never change, others do."""
        card = made.customer(number)
        moves = self.moves.get(number, 0)
        if moves:
            card = replace(card, email=f"ada{number}.{(moves + 1) // 2}@example.org")
        if moves > 1:
            card = replace(card, display_name=f"Ada Byron {number} the {moves // 2}.")
        if number % 7 == 0:
            card = replace(card, display_name="Ada Byron")
        if number % 11 == 0:
            card = replace(card, email="family@example.org")
        if number % 13 == 0:
            card = replace(card, email="")
        return card

    def item(self, number: int) -> Item:
        return made.item(number)


def _is_special(who: int) -> bool:
    return any(who % number == 0 for number in (7, 11, 13))


@dataclass
class Touched:
    """What people did in the books, so that the checker knows whose change a difference is."""

    edited: dict[str, Row] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    inactive: set[str] = field(default_factory=set)
    cards: dict[str, str] = field(default_factory=dict)


class Hands:
    """People who work in QuickBooks while we do."""

    def __init__(self, rng: random.Random, company: Company) -> None:
        self.rng = rng
        self.company = company
        self.touched = Touched()
        self.foreign_numbers = 0

    def act(self, shop: Shop) -> str:
        """One act."""
        ours = [(entity, row) for entity, row in self.company.live() if source_of(row)]
        roll = self.rng.random()
        if roll < 0.12:
            return self._take_number(shop)
        if roll < 0.2:
            return self._switch_item()
        if roll < 0.28:
            return self._rename_card()
        if not ours:
            return "nothing"
        entity, row = self.rng.choice(sorted(ours, key=lambda one: int(one[1]["Id"])))
        source = source_of(row)
        if roll < 0.45:
            self.company.edit(entity, row["Id"], CustomerMemo={"value": f"note {self.rng.random():.6f}"})
            return f"memo {source}"
        if roll < 0.65 and entity != "Payment":
            line = {**row["Line"][0], "Amount": Decimal(row["Line"][0]["Amount"]) + 1}
            self.company.edit(entity, row["Id"], Line=[line, *row["Line"][1:]])
            self.touched.edited[source] = dict(self.company.table(entity)[row["Id"]])
            return f"money {source}"
        if entity == "Invoice" and self._is_linked(row):
            return "nothing"
        if roll < 0.85:
            self.company._void(entity, {"Id": row["Id"], "SyncToken": row["SyncToken"]})
            self.touched.removed.add(source)
            return f"void {source}"
        self.company.delete(entity, row["Id"])
        self.touched.removed.add(source)
        return f"delete {source}"

    def _is_linked(self, row: Row) -> bool:
        linked = {
            link["TxnId"]
            for payment in self.company.table("Payment").values()
            for line in payment.get("Line", [])
            for link in line.get("LinkedTxn", [])
        }
        return row["Id"] in linked

    def _take_number(self, shop: Shop) -> str:
        """Somebody types a document whose number is one that we will want."""
        customers = [row for row in self.company.table("Customer").values() if row["Active"]]
        if not customers:
            return "nothing"
        number = f"PS1-{len(shop.orders) + self.rng.randint(1, 4)}"
        taken = {
            str(row.get("DocNumber"))
            for entity in TRANSACTIONS
            for row in self.company.table(entity).values()
        }
        if number in taken:
            return "nothing"
        body = {
            "DocNumber": number,
            "TxnDate": made.DAY.isoformat(),
            "CustomerRef": {"value": customers[0]["Id"]},
            "Line": [{"Amount": Decimal(5), "DetailType": "SalesItemLineDetail"}],
        }
        self.company._create(self.rng.choice(("SalesReceipt", "Invoice")), body)
        self.touched.foreign.add(number)
        return f"take {number}"

    def _rename_card(self) -> str:
        cards = [row for row in self.company.table("Customer").values() if row["Active"]]
        if not cards:
            return "nothing"
        row = self.rng.choice(cards)
        name = f"By hand {row['Id']}"
        self.company.edit("Customer", row["Id"], DisplayName=name)
        self.touched.cards[row["Id"]] = name
        return f"card {row['Id']}"

    def _switch_item(self) -> str:
        if self.touched.inactive:
            self.mend()
            return "activate items"
        items = [row for row in self.company.table("Item").values() if row["Active"]]
        if not items:
            return "nothing"
        row = self.rng.choice(items)
        self.company.edit("Item", row["Id"], Active=False)
        self.touched.inactive.add(row["Id"])
        return f"deactivate item {row['Id']}"

    def mend(self) -> None:
        """At the end of the day: items are active again and foreign numbers are given back."""
        for qbo_id in sorted(self.touched.inactive):
            self.company.edit("Item", qbo_id, Active=True)
        self.touched.inactive.clear()
