"""Lines of documents: amounts, unit prices and descriptions.

What lives here: how a line is written. What does not: which lines a document has (``sale``,
``refunds``) and their tax.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal

from ps_qb_pipeline.accounting.documents import Line, LineKind
from ps_qb_pipeline.accounting.money import ZERO, close_to, minor_unit, pad, to_minor
from ps_qb_pipeline.accounting.shop import Detail, Order

_SEVEN = Decimal("0.0000001")
NAME_LENGTH = 200


def unit_price(amount: Decimal, quantity: int | Decimal, currency: str) -> Decimal | None:
    """``amount`` / ``quantity`` to at most seven decimals, or None where the product would differ.

    The fewest decimals are used that give back the amount: QuickBooks multiplies and compares.
    """
    if not quantity:
        return None
    quantity = Decimal(quantity)
    price = pad((amount / quantity).quantize(_SEVEN, ROUND_HALF_UP), currency)
    return price if to_minor(price * quantity, currency) == amount else None


def product_line(
    detail: Detail,
    item: str,
    amount: Decimal,
    quantity: int,
    tax_code: str,
    currency: str,
    *,
    kind: LineKind = "product",
) -> Line:
    """The line of a product. Without a fitting unit price the quantity goes into the description."""
    price = unit_price(amount, quantity, currency)
    name = detail.name[:NAME_LENGTH]
    return Line(
        kind,
        item,
        amount,
        tax_code,
        Decimal(quantity) if price is not None else None,
        price,
        name if price is not None else f"{name} (quantity {quantity})".strip(),
        detail.sku,
        name,
        detail.product_id,
        detail.product_attribute_id,
        detail.id,
    )


def net_amounts(order: Order, *, without_ecotax: bool) -> list[Decimal]:
    """The net amount of each order line in whole minor units, summing to the products' total.

    Lines that are whole minor units already stay as they are; lines with more decimals (round type
    TOTAL) are closed to the header by largest remainder.
    """
    unit = minor_unit(order.currency)
    amounts = [
        detail.total.te - (detail.ecotax * detail.quantity if without_ecotax else ZERO)
        for detail in order.details
    ]
    whole = [to_minor(amount, order.currency) for amount in amounts]
    if whole == amounts or not amounts:
        return whole
    return close_to(amounts, to_minor(order.products.te, order.currency), unit)


def total_of(lines: Iterable[Line]) -> Decimal:
    """The sum of the lines' net amounts."""
    return sum((line.amount for line in lines), ZERO)


def merged(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines without those of zero amount that say nothing: products stay, even free ones."""
    return tuple(line for line in lines if line.amount or line.kind in {"product", "gift_card"})
