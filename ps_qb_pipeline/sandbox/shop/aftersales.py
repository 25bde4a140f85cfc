"""What happens to an order after it was placed: refunds, edits, poison.

What lives here: credit slips and edited lines as the back office makes them, and rows that no shop should
hold. What does not: states and payments (``commerce``).

A refund leaves ``orders.date_upd`` alone, an edit moves it: that is how the core is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.sandbox.shop.amounts import Both, Rounding, share, six
from ps_qb_pipeline.sandbox.shop.commerce import (
    INVOICE_TOTALS,
    Impossible,
    Item,
    detail_row,
    move_stock,
    order_of,
    rounding_of,
    totals_row,
    touched,
)
from ps_qb_pipeline.sandbox.shop.shop import Shop
from ps_qb_pipeline.sandbox.shop.tables import Row

SHIPPED = {4, 5}


@dataclass(frozen=True, slots=True)
class Refunded:
    """So many of a line, for an amount with tax if it is not the price that was paid."""

    quantity: int
    amount: Decimal | None = None


def refund(
    shop: Shop,
    order_id: int,
    lines: Mapping[int, Refunded] | None = None,
    *,
    shipping: bool = False,
    restock: bool = False,
) -> int:
    """Make a credit slip; returns its id.

    Args:
        shop: the shop.
        order_id: the order.
        lines: order detail id to what is refunded of it; nothing means all that is left of every line.
        shipping: whether the whole carriage is refunded too.
        restock: whether the goods go back into stock.

    Errors:
        Impossible: more than is left of a line, or nothing at all.
    """
    order = order_of(shop, order_id)
    rounding = Rounding(
        int(order["round_mode"]), int(order["round_type"]), rounding_of(shop, order["id_currency"]).places
    )
    details = {int(r["id"]): r for r in shop.rows("order_details", id_order=order_id)}
    wanted = (
        lines if lines is not None else {i: Refunded(_left(r)) for i, r in details.items() if _left(r) > 0}
    )
    amounts: dict[int, Both] = {}
    for detail_id, part in wanted.items():
        if detail_id not in details or part.quantity > _left(details[detail_id]):
            raise Impossible(
                f"order {order_id}: line {detail_id} does not have {part.quantity} left to refund"
            )
        amounts[detail_id] = _worth(details[detail_id], part, rounding)
    carriage = _carriage(order) if shipping else Both()
    products = sum(amounts.values(), Both())
    if products.incl + carriage.incl <= 0:
        raise Impossible(f"order {order_id}: nothing is left to refund")
    slip_id = shop.tables["order_slip"].next_id()
    entries = [{
        "id": slip_id, "id_order_detail": i, "product_quantity": wanted[i].quantity,
        "amount_tax_excl": six(worth.excl), "amount_tax_incl": six(worth.incl),
    } for i, worth in amounts.items()]  # fmt: skip
    now = shop.now()
    shop.insert("order_slip", {
        "id": slip_id, "id_customer": order["id_customer"], "id_order": order_id, "conversion_rate": order["conversion_rate"],
        "total_products_tax_excl": six(products.excl), "total_products_tax_incl": six(products.incl),
        "total_shipping_tax_excl": six(carriage.excl), "total_shipping_tax_incl": six(carriage.incl),
        "amount": six(products.incl), "shipping_cost": "1" if shipping else "0", "shipping_cost_amount": six(carriage.incl),
        "partial": 0, "order_slip_type": 2 if shipping else 0, "date_add": now, "date_upd": now,
        "associations": {"order_slip_details": entries},
    })  # fmt: skip
    for detail_id, worth in amounts.items():
        _mark_refunded(shop, details[detail_id], wanted[detail_id].quantity, worth, restock=restock)
    return slip_id


def _left(detail: Row) -> int:
    return (
        int(detail["product_quantity"])
        - int(detail["product_quantity_refunded"])
        - int(detail["product_quantity_return"])
    )


def _worth(detail: Row, part: Refunded, rounding: Rounding) -> Both:
    """What a part of a line was sold for; the whole line is worth its own total."""
    if part.quantity == int(detail["product_quantity"]):
        whole = Both(Decimal(detail["total_price_tax_excl"]), Decimal(detail["total_price_tax_incl"]))
    else:
        unit = Both(Decimal(detail["unit_price_tax_excl"]), Decimal(detail["unit_price_tax_incl"]))
        whole = Both(unit.excl * part.quantity, unit.incl * part.quantity)
    whole = whole.money(rounding)
    if part.amount is None:
        return whole
    excl = part.amount * whole.excl / whole.incl if whole.incl else part.amount
    return Both(excl, part.amount).money(rounding)


def _carriage(order: Row) -> Both:
    return Both(Decimal(order["total_shipping_tax_excl"]), Decimal(order["total_shipping_tax_incl"]))


def _mark_refunded(shop: Shop, detail: Row, quantity: int, worth: Both, *, restock: bool) -> None:
    back = quantity if restock else 0
    shop.update(
        "order_details",
        int(detail["id"]),
        product_quantity_refunded=int(detail["product_quantity_refunded"]) + quantity,
        product_quantity_reinjected=int(detail["product_quantity_reinjected"]) + back,
        total_refunded_tax_excl=six(Decimal(detail["total_refunded_tax_excl"]) + worth.excl),
        total_refunded_tax_incl=six(Decimal(detail["total_refunded_tax_incl"]) + worth.incl),
    )
    if back:
        move_stock(shop, int(detail["product_id"]), int(detail["product_attribute_id"]), back)


# ------------------------------------------------------------------------------------ edits


def change_quantity(shop: Shop, order_id: int, detail_id: int, quantity: int) -> None:
    """Change how many of a line were ordered; 0 takes the line away.

    Errors:
        Impossible: the order has left, or has no such line.
    """
    order = _editable(shop, order_id)
    detail = next(
        (r for r in shop.rows("order_details", id_order=order_id) if int(r["id"]) == detail_id), None
    )
    if detail is None:
        raise Impossible(f"order {order_id}: there is no line {detail_id}")
    rounding = Rounding(
        int(order["round_mode"]), int(order["round_type"]), rounding_of(shop, order["id_currency"]).places
    )
    move_stock(
        shop,
        int(detail["product_id"]),
        int(detail["product_attribute_id"]),
        int(detail["product_quantity"]) - quantity,
    )
    if quantity == 0:
        shop.delete("order_details", detail_id)
    else:
        shop.update(
            "order_details",
            detail_id,
            product_quantity=quantity,
            total_price_tax_excl=six(rounding.line(Decimal(detail["unit_price_tax_excl"]), quantity)),
            total_price_tax_incl=six(rounding.line(Decimal(detail["unit_price_tax_incl"]), quantity)),
        )
    _count_again(shop, order_id, rounding)


def add_line(shop: Shop, order_id: int, item: Item) -> int:
    """Add a product to an order; returns the id of the line.

    Errors:
        Impossible: the order has left, or there is no such product.
    """
    order = _editable(shop, order_id)
    rounding = Rounding(
        int(order["round_mode"]), int(order["round_type"]), rounding_of(shop, order["id_currency"]).places
    )
    address = shop.get("addresses", int(order["id_address_delivery"])) or {"id_country": 0, "id_state": 0}
    row = detail_row(
        shop,
        item,
        rounding,
        Decimal(str(order["conversion_rate"])),
        int(address["id_country"]),
        int(address["id_state"]),
    )
    invoices = shop.rows("order_invoices", id_order=order_id)
    detail = shop.insert("order_details", row | {
        "id_order": order_id, "id_shop": order["id_shop"], "id_order_invoice": invoices[-1]["id"] if invoices else 0,
    })  # fmt: skip
    move_stock(shop, item.product, item.attribute, -item.quantity)
    _count_again(shop, order_id, rounding)
    return int(detail["id"])


def _editable(shop: Shop, order_id: int) -> Row:
    order = order_of(shop, order_id)
    if int(order["current_state"]) in SHIPPED:
        raise Impossible(f"order {order_id}: it has left, its lines cannot be edited")
    return order


def _count_again(shop: Shop, order_id: int, rounding: Rounding) -> None:
    """Header and invoice follow the lines; discounts in percent follow the products."""
    order = order_of(shop, order_id)
    lines = shop.rows("order_details", id_order=order_id)
    products = sum(
        (Both(Decimal(r["total_price_tax_excl"]), Decimal(r["total_price_tax_incl"])) for r in lines), Both()
    ).money(rounding)
    discount = _discounts_again(shop, order, products).money(rounding)
    wrapping = Both(Decimal(order["total_wrapping_tax_excl"]), Decimal(order["total_wrapping_tax_incl"]))
    shipping = _carriage(order)
    total = products + shipping + wrapping - discount
    changed = touched(shop, order_id, **totals_row(products, shipping, wrapping, discount, total))
    for invoice in shop.rows("order_invoices", id_order=order_id)[:1]:
        shop.update("order_invoices", int(invoice["id"]), **{name: changed[name] for name in INVOICE_TOTALS})


def _discounts_again(shop: Shop, order: Row, products: Both) -> Both:
    """The cart rules of an order reckoned anew; those with conditions of their own keep their value."""
    total, left = Both(), products
    for row in shop.rows("order_cart_rules", id_order=order["id"]):
        if str(row["deleted"]) == "1":
            continue
        value = Both(Decimal(row["value_tax_excl"]), Decimal(row["value"]))
        rule = shop.get("cart_rules", int(row["id_cart_rule"]))
        if rule is not None and _plain(rule):
            percent, amount = Decimal(str(rule["reduction_percent"])), Decimal(str(rule["reduction_amount"]))
            if percent:
                value = Both(left.excl * percent / 100, left.incl * percent / 100)
            else:
                value = share(left, min(amount * Decimal(str(order["conversion_rate"])), left.incl))
            shop.update(
                "order_cart_rules", int(row["id"]), value=six(value.incl), value_tax_excl=six(value.excl)
            )
        left -= value
        total += value
    return total


def _plain(rule: Row) -> bool:
    """Whether a cart rule is a percentage or an amount with tax on everything."""
    special = any(
        str(rule[name]) not in {"0", ""} for name in ("free_shipping", "reduction_product", "gift_product")
    )
    percent, amount = Decimal(str(rule["reduction_percent"])), Decimal(str(rule["reduction_amount"]))
    return not special and (percent > 0 or (amount > 0 and str(rule["reduction_tax"]) == "1"))


# ------------------------------------------------------------------------------------ poison

#: Ways to poison an order: what it does, and the columns that it sets.
POISON: dict[str, dict[str, Any]] = {
    "malformed_amount": {"total_paid_tax_incl": "12,34 EUR"},
    "total": {"total_paid_tax_incl": "+1.00", "total_paid": "+1.00"},
    "currency": {"id_currency": 999},
    "customer": {"id_customer": 999999},
    "address": {"id_address_invoice": 999999, "id_address_delivery": 999999},
    "state": {"current_state": 999},
    "date": {"date_add": "0000-00-00 00:00:00"},
    "control_character": {"note": "see\x0bbelow \x01"},
    "negative_total": {"total_paid_tax_incl": "-5.000000", "total_paid": "-5.000000"},
}


def poison(shop: Shop, order_id: int, how: str) -> dict[str, Any]:
    """Make an order one that no shop should hold, and move its ``date_upd``; returns the columns that were set.

    Besides the ways of ``POISON`` there are ``lines`` (its details vanish) and ``product`` (its first line
    names a product that is not there).

    Errors:
        Impossible: there is no such order or way.
    """
    order = order_of(shop, order_id)
    if how == "lines":
        for row in shop.rows("order_details", id_order=order_id):
            shop.delete("order_details", int(row["id"]))
        touched(shop, order_id)
        return {}
    if how == "product":
        for row in shop.rows("order_details", id_order=order_id)[:1]:
            shop.update("order_details", int(row["id"]), product_id=999999, product_reference="")
        touched(shop, order_id)
        return {"product_id": 999999}
    if how not in POISON:
        raise Impossible(
            f"{how}: no way to poison an order; there are {', '.join(sorted({*POISON, 'lines', 'product'}))}"
        )
    changes = {
        column: six(Decimal(order[column]) + Decimal(value[1:])) if str(value).startswith("+") else value
        for column, value in POISON[how].items()
    }
    touched(shop, order_id, **changes)
    return changes
