"""Which earlier sale a credit takes back.

What lives here: matching the lines of credits to earlier lines of the same customer. What does not: the
rows that come of it (``retail``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from ps_qb_pipeline.sandbox.shop.retail_lines import Invoice, Line

ZERO = Decimal(0)
#: A sale's number, what is taken back of one of its lines, and of its carriage.
Part = tuple[str, "Taken | None", Decimal]


@dataclass(slots=True)
class Sold:
    """A line of a sale and what is left of it to take back."""

    invoice: str
    place: int
    line: Line
    left: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class Taken:
    """A part of a sold line that a credit takes back; the amount is without tax."""

    place: int
    quantity: int
    amount: Decimal


@dataclass(slots=True)
class Credit:
    """A credit as far as it belongs to one sale."""

    number: str
    sale: str
    parts: list[Taken] = field(default_factory=list)
    shipping: Decimal = ZERO


@dataclass(slots=True)
class Matched:
    """All credits, by the sale that they take back, and the lines that take back nothing that was sold."""

    credits: list[tuple[Invoice, Credit]] = field(default_factory=list)
    discounts: dict[str, Decimal] = field(default_factory=dict)
    """By the number of the sale that a discount credited within a day belongs to."""
    uncovered: list[tuple[Invoice, list[Line]]] = field(default_factory=list)


class Ledger:
    """What each customer bought and has not given back."""

    def __init__(self) -> None:
        self._by_code: dict[tuple[int, str], list[Sold]] = defaultdict(list)
        self._by_customer: dict[int, list[Sold]] = defaultdict(list)
        self._shipping: dict[int, dict[str, Decimal]] = defaultdict(dict)
        self._last: dict[int, tuple[Invoice, Decimal]] = {}

    def sell(self, invoice: Invoice) -> None:
        """Remember a sale."""
        goods, shipping, _ = parts_of(invoice)
        if invoice.customer:
            self._last[invoice.customer] = invoice, sum((line.amount for line in goods), ZERO)
        if shipping > 0:
            self._shipping[invoice.customer][invoice.number] = shipping
        for place, line in enumerate(goods):
            sold = Sold(invoice.number, place, line, line.quantity, line.amount)
            self._by_code[invoice.customer, line.code].append(sold)
            self._by_customer[invoice.customer].append(sold)

    def discounted(self, invoice: Invoice) -> tuple[str, Decimal] | None:
        """The sale and the amount of a credit that is nothing but a discount, given within a day of the sale."""
        if any(line.kind != "discount" for line in invoice.lines) or invoice.customer not in self._last:
            return None
        sale, worth = self._last[invoice.customer]
        amount = sum((-line.amount for line in invoice.lines), ZERO)
        if not ZERO < amount < worth or invoice.when - sale.when > timedelta(days=1):
            return None
        del self._last[invoice.customer]
        return sale.number, amount

    def take_back(self, invoice: Invoice) -> tuple[list[Credit], list[Line]]:
        """The parts of a credit by sale, and its lines that no sale covers."""
        by_sale: dict[str, Credit] = {}
        uncovered: list[Line] = []
        for line in sorted(invoice.lines, key=lambda entry: entry.kind == "shipping"):
            if line.kind == "fee" or line.amount >= 0:
                continue
            if line.kind == "product":
                found = self._goods(invoice.customer, line)
            elif line.kind == "shipping":
                found = self._carriage(invoice.customer, line, set(by_sale))
            else:
                found = self._amount(invoice.customer, line)
            if not found:
                uncovered.append(line)
            for sale, part, shipping in found:
                credit = by_sale.setdefault(sale, Credit(invoice.number, sale))
                credit.shipping += shipping
                if part is not None:
                    credit.parts.append(part)
        return list(by_sale.values()), uncovered

    def _goods(self, customer: int, line: Line) -> list[Part]:
        """The newest sales of the same goods at no lower price that together have enough left."""
        wanted = -line.quantity
        plan: list[tuple[Sold, int]] = []
        for sold in reversed(self._by_code[customer, line.code]):
            quantity = min(wanted, sold.left)
            if quantity > 0 and sold.line.price >= line.price and sold.value >= quantity * line.price:
                plan.append((sold, quantity))
                wanted -= quantity
        if wanted:
            return []
        return [self._part(sold, quantity, quantity * line.price) for sold, quantity in plan]

    def _part(self, sold: Sold, quantity: int, amount: Decimal) -> Part:
        sold.left -= quantity
        sold.value -= amount
        return sold.invoice, Taken(sold.place, quantity, amount), ZERO

    def _carriage(self, customer: int, line: Line, preferred: set[str]) -> list[Part]:
        """The carriage of a sale that this credit takes back, or of the newest that was charged enough."""
        amount = -line.amount
        left = self._shipping[customer]
        newest = list(left)[::-1]
        for sale in [*(n for n in newest if n in preferred), *(n for n in newest if n not in preferred)]:
            if left[sale] >= amount:
                left[sale] -= amount
                return [(sale, None, amount)]
        return []

    def _amount(self, customer: int, line: Line) -> list[Part]:
        """A discount or correction granted later: one piece of the newest line that is worth enough."""
        amount = -line.amount
        for sold in reversed(self._by_customer[customer]):
            if sold.left > 0 and sold.value >= amount:
                return [self._part(sold, 1, amount)]
        return []


def parts_of(invoice: Invoice) -> tuple[list[Line], Decimal, Decimal]:
    """The lines of an order that an invoice makes, its carriage and its discount, without tax.

    A shop sells no carriage alone: such an invoice has it as a free line.
    """
    goods = [
        i
        for i in invoice.lines
        if i.kind in {"product", "manual", "discount"} and i.quantity > 0 and i.price >= 0
    ]
    carriage = [i for i in invoice.lines if i.kind == "shipping" and i.amount > 0]
    discount = sum((-i.amount for i in invoice.lines if i.kind == "discount" and i.amount < 0), ZERO)
    if not goods:
        return carriage, ZERO, discount
    return goods, sum((i.amount for i in carriage), ZERO), discount


def matched(invoices: Iterable[Invoice], sales: set[str]) -> Matched:
    """Go through invoices by time and match each credit to the sales before it.

    ``sales`` holds the numbers of the invoices that become orders.
    """
    ledger, result = Ledger(), Matched()
    for invoice in invoices:
        if invoice.number in sales:
            ledger.sell(invoice)
        elif invoice.credit and (given := ledger.discounted(invoice)):
            result.discounts[given[0]] = given[1]
        elif invoice.credit:
            found, uncovered = ledger.take_back(invoice) if invoice.customer else ([], [])
            if not invoice.customer:
                uncovered = [line for line in invoice.lines if line.kind != "fee" and line.amount < 0]
            result.credits += [(invoice, credit) for credit in found]
            if uncovered:
                result.uncovered.append((invoice, uncovered))
    return result
