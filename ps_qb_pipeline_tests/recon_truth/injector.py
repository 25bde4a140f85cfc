"""The hand that edits: documents to try things on, and the books' own API.

What lives here: choosing targets by a seed, each used once, and reading and writing through the API.
What does not: what is done (``in_books``, ``in_shop``, ``in_files``).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.quickbooks.client import Books
from ps_qb_pipeline_tests.recon_truth.judging import Truth

Row = dict[str, Any]
_OWN = frozenset(
    [
        "Id",
        "SyncToken",
        "MetaData",
        "domain",
        "sparse",
        "TotalAmt",
        "HomeTotalAmt",
        "Balance",
        "HomeBalance",
        "LinkedTxn",
    ]
)


@dataclass(frozen=True, slots=True)
class Target:
    """A booked and matched document."""

    key: str
    entity: str
    books_id: str
    doc_number: str
    order_id: int
    txn_date: date
    currency: str
    total: Decimal
    tax: Decimal
    rate: Decimal | None
    account: str
    role: str


class Injector:
    """Differences, each on an order of its own, taken in the order of a seed."""

    def __init__(self, books: Books, targets: list[Target], rng: random.Random, truth: Truth) -> None:
        self.books = books
        self.targets = targets
        self.rng = rng
        self.truth = truth
        self.number = 0
        self.skipped: list[str] = []
        self.closed: set[int] = set()
        """Orders that nothing else may be tried on."""
        rng.shuffle(self.targets)

    @property
    def free(self) -> list[Target]:
        """The documents that may still be tried on."""
        return [one for one in self.targets if one.order_id not in self.closed]

    def take(self, kind: str, wanted: Callable[[Target], bool]) -> Target | None:
        """The next document that fits; its order is used for nothing else. None when there is none left."""
        found = next((target for target in self.free if wanted(target)), None)
        if found is None:
            self.skipped.append(kind)
            return None
        self.targets = [one for one in self.targets if one.order_id != found.order_id]
        return found

    def request(self) -> str:
        """A request id of a person's own."""
        self.number += 1
        return f"by-hand-{self.number}"

    def read(self, target: Target) -> Row:
        """The document as it is."""
        return self.books.read(target.entity, target.books_id)

    def update(self, entity: str, row: Row) -> Row:
        """Save the document as a person's program would."""
        body = {name: value for name, value in row.items() if not name.startswith("Home")}
        after: Row = self.books.update(entity, as_bytes(body), self.request()).body[entity]
        return after

    def create(self, entity: str, row: Row) -> Row:
        """A new document."""
        body = {name: value for name, value in row.items() if name not in _OWN}
        return self.make(entity, body)

    def make(self, entity: str, body: Row) -> Row:
        """A new document of exactly this body."""
        made: Row = self.books.create(entity, as_bytes(body), self.request()).body[entity]
        return made

    def delete(self, target: Target) -> None:
        """Delete the document for good."""
        token = str(self.read(target)["SyncToken"])
        self.books.delete(target.entity, target.books_id, token, self.request())

    def void(self, target: Target) -> None:
        """Void the document: the number stays, the amounts are zero."""
        token = str(self.read(target)["SyncToken"])
        self.books.void(target.entity, target.books_id, token, self.request())


def as_bytes(row: Mapping[str, Any]) -> bytes:
    """The body that is sent."""
    return json.dumps(row, default=float).encode()


def is_sale(target: Target) -> bool:
    """A sales receipt with something to change."""
    return target.entity == "SalesReceipt" and target.total > 5


def at_home(target: Target) -> bool:
    """A sales receipt in home currency."""
    return is_sale(target) and target.rate is None


def item_lines(row: Row) -> list[Row]:
    """The lines that sell something."""
    return [line for line in row["Line"] if line.get("DetailType") == "SalesItemLineDetail"]


def largest(row: Row) -> Row:
    """The line over the most money."""
    return max(item_lines(row), key=lambda one: Decimal(str(one["Amount"])))


def raise_line(row: Row, by: Decimal) -> None:
    """Change the largest line, and leave the tax to QuickBooks."""
    line = largest(row)
    line["Amount"] = Decimal(str(line["Amount"])) + by
    line["SalesItemLineDetail"].pop("UnitPrice", None)
    line["SalesItemLineDetail"].pop("Qty", None)
    row.pop("TxnTaxDetail", None)


def total_of(row: Mapping[str, Any]) -> Decimal:
    """The total of a document."""
    return Decimal(str(row["TotalAmt"]))
