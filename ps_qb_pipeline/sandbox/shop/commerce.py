"""What becomes of an order in the core: it is placed, changes state, is invoiced and paid.

What lives here: the rows that each of these deeds writes, as PrestaShop 9.1.4 writes them, and what they
do to ``orders.date_upd``. What does not: refunds and edits (``aftersales``), chance (``life``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from ps_qb_pipeline.sandbox.shop.amounts import Both, Rounding, share, six
from ps_qb_pipeline.sandbox.shop.prices import taxes_of
from ps_qb_pipeline.sandbox.shop.resources import UNSET_MOMENT
from ps_qb_pipeline.sandbox.shop.shop import Shop
from ps_qb_pipeline.sandbox.shop.tables import Row

CANCELED, ERROR = 6, 8
#: Name under which a payment module books a payment that a change of state makes.
DISPLAY_NAMES = {
    "ps_wirepayment": "Wire payment",
    "ps_checkpayment": "Payments by check",
    "ps_cashondelivery": "Cash on delivery (COD)",
}


class Impossible(Exception):
    """The shop would not let this happen; the message says why."""


@dataclass(frozen=True, slots=True)
class Item:
    """So many of a product in a cart; a reduction in percent makes its price a special one."""

    product: int
    quantity: int = 1
    attribute: int = 0
    reduction_percent: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Discount:
    """A cart rule: percent of the products, or an amount with tax, or shipping for nothing."""

    name: str
    percent: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)
    free_shipping: bool = False
    rule: int = 0


@dataclass(frozen=True, slots=True)
class Cart:
    """Everything that makes an order."""

    customer: int
    items: tuple[Item, ...]
    address: int = 0
    """0 takes the customer's first."""
    invoice_address: int = 0
    currency: int = 0
    """0 takes the shop's default."""
    carrier: int = 2
    shipping: Decimal = Decimal("5.90")
    """Price of the carriage without tax, in the default currency."""
    wrapping: bool = False
    discounts: tuple[Discount, ...] = ()
    module: str = "ps_wirepayment"
    payment: str = "Bank transfer"
    state: int = 10
    transaction: str = ""
    paid: Decimal | None = None
    """What the customer pays at the checkout; nothing means the total where the state says paid."""
    note: str = ""
    id_cart: int = 0
    id_shop: int = 1


@dataclass(slots=True)
class _Draft:
    """An order on its way into the tables."""

    cart: Cart
    rounding: Rounding
    rate: Decimal
    country: int
    state: int
    products: Both = field(default_factory=Both)
    exact: Both = field(default_factory=Both)
    """The goods as the core adds them up to the amount that is due: unrounded, unless items are rounded."""
    lines: list[Row] = field(default_factory=list)


def rounding_of(shop: Shop, currency: int) -> Rounding:
    """How the shop rounds amounts of a currency."""
    row = shop.get("currencies", currency)
    mode = int(shop.configuration("PS_PRICE_ROUND_MODE", "2"))
    return Rounding(mode, int(shop.configuration("PS_ROUND_TYPE", "2")), int(row["precision"]) if row else 2)


def order_of(shop: Shop, order_id: int) -> Row:
    """An order's row.

    Errors:
        Impossible: there is no such order.
    """
    row = shop.get("orders", order_id)
    if row is None:
        raise Impossible(f"order {order_id}: there is none")
    return row


def touched(shop: Shop, order_id: int, **changes: Any) -> Row:
    """Change an order the way that moves its ``date_upd``."""
    return shop.update("orders", order_id, **changes, date_upd=shop.now())


# ------------------------------------------------------------------------------------ placing


def place(shop: Shop, cart: Cart, chance: Random) -> int:
    """A customer orders; returns the order's id.

    The order gets its lines, cart rules, carriage, first state and, where that state says paid, its
    invoice and payment.

    Errors:
        Impossible: customer, address, product or currency do not exist.
    """
    draft = _drafted(shop, cart)
    for item in cart.items:
        _add_line(shop, draft, item)
    products = draft.products.money(draft.rounding)
    shipping = _shipping(shop, draft)
    wrapping = _wrapping(shop, draft)
    discounts = _discounts(draft, products, shipping)
    discount = sum((amount for _, amount in discounts), Both()).money(draft.rounding)
    total = draft.exact.money(draft.rounding) + shipping + wrapping - discount
    now = shop.now()
    id_cart = cart.id_cart or _cart_row(shop, draft)
    order = shop.insert("orders", _order_row(draft, products, shipping, wrapping, discount, total) | {
        "id_cart": id_cart, "date_add": now, "date_upd": now, "reference": new_reference(shop, chance),
        "conversion_rate": six(draft.rate),
        "carrier_tax_rate": f"{_carrier_rate(shop, draft):.3f}", "id_shop_group": 1,
    })  # fmt: skip
    for line in draft.lines:
        shop.insert("order_details", line | {"id_order": order["id"]})
    for rule, amount in discounts:
        shop.insert("order_cart_rules", {
            "id_order": order["id"], "id_cart_rule": rule.rule or _rule_row(shop, rule), "name": rule.name, "value": six(amount.incl),
            "value_tax_excl": six(amount.excl), "free_shipping": "1" if rule.free_shipping else "0",
        })  # fmt: skip
    shop.insert("order_carriers", {
        "id_order": order["id"], "id_carrier": cart.carrier, "shipping_cost_tax_excl": six(shipping.excl),
        "shipping_cost_tax_incl": six(shipping.incl), "date_add": now,
    })  # fmt: skip
    _take_from_stock(shop, order["id"], -1)
    _first_state(shop, order["id"], cart, total.incl)
    return int(order["id"])


def _drafted(shop: Shop, cart: Cart) -> _Draft:
    customer = shop.get("customers", cart.customer)
    if customer is None:
        raise Impossible(f"customer {cart.customer}: there is none")
    addresses = shop.rows("addresses", id_customer=cart.customer)
    address = shop.get("addresses", cart.address) if cart.address else (addresses[0] if addresses else None)
    if address is None:
        raise Impossible(f"customer {cart.customer} has no address to deliver to")
    currency = cart.currency or int(shop.configuration("PS_CURRENCY_DEFAULT", "1"))
    money = shop.get("currencies", currency)
    if money is None:
        raise Impossible(f"currency {currency}: there is none")
    full = Cart(**{
        name: getattr(cart, name) for name in Cart.__slots__
    } | {"address": address["id"], "invoice_address": cart.invoice_address or address["id"], "currency": currency})  # fmt: skip
    rate = Decimal(str(money["conversion_rate"]))
    return _Draft(
        full, rounding_of(shop, currency), rate, int(address["id_country"]), int(address["id_state"])
    )


def _add_line(shop: Shop, draft: _Draft, item: Item) -> None:
    line = detail_row(shop, item, draft.rounding, draft.rate, draft.country, draft.state)
    draft.lines.append(line | {"id_shop": draft.cart.id_shop})
    draft.products += Both(Decimal(line["total_price_tax_excl"]), Decimal(line["total_price_tax_incl"]))
    unit = Both(Decimal(line["unit_price_tax_excl"]), Decimal(line["unit_price_tax_incl"]))
    draft.exact += Both(unit.excl * item.quantity, unit.incl * item.quantity)


def detail_row(
    shop: Shop, item: Item, rounding: Rounding, exchange: Decimal, country: int, state: int
) -> Row:
    """The line of an order for an item, without the order's id.

    Errors:
        Impossible: there is no such product or combination.
    """
    product = shop.get("products", item.product)
    combination = shop.get("combinations", item.attribute) if item.attribute else None
    if product is None or (item.attribute and combination is None):
        raise Impossible(f"product {item.product}/{item.attribute}: there is none")
    base = Decimal(str(product["price"])) + (Decimal(str(combination["price"])) if combination else 0)
    original = base * exchange
    price = original * (1 - item.reduction_percent / 100)
    taxes = taxes_of(shop, int(product["id_tax_rules_group"]), country, state)
    exact = Both.of(price, taxes.rate)
    unit = Both(rounding.unit(exact.excl), rounding.unit(exact.incl))
    cost = Decimal(str((combination or product)["wholesale_price"])) or Decimal(
        str(product["wholesale_price"])
    )
    return {
        "product_id": item.product,
        "product_attribute_id": item.attribute,
        "product_name": _product_name(shop, product, combination),
        "product_reference": (combination or product)["reference"] or product["reference"],
        "product_ean13": product["ean13"],
        "product_quantity": item.quantity,
        "product_quantity_in_stock": item.quantity,
        "product_price": six(price),
        "product_weight": product["weight"],
        "reduction_percent": f"{item.reduction_percent:.2f}",
        "id_tax_rules_group": product["id_tax_rules_group"],
        "ecotax_tax_rate": "0.000",
        "unit_price_tax_excl": six(unit.excl),
        "unit_price_tax_incl": six(unit.incl),
        "total_price_tax_excl": six(rounding.line(unit.excl, item.quantity)),
        "total_price_tax_incl": six(rounding.line(unit.incl, item.quantity)),
        "purchase_supplier_price": six(cost),
        "original_wholesale_price": six(cost),
        "original_product_price": six(original),
        "tax_computation_method": taxes.method,
        "associations": {"taxes": [{"id": i} for i in taxes.ids]} if taxes.ids else None,
    }


def _product_name(shop: Shop, product: Row, combination: Row | None) -> str:
    name = first_text(product["name"])
    if combination is None:
        return name
    values = []
    for entry in (combination.get("associations") or {}).get("product_option_values") or ():
        value = shop.get("product_option_values", int(entry["id"]))
        option = shop.get("product_options", int(value["id_attribute_group"])) if value else None
        if value and option:
            values.append(f"{first_text(option['public_name'])}:{first_text(value['name'])}")
    return f"{name} ({' - '.join(values)})" if values else name


def first_text(value: Any) -> str:
    """The first language's text of a multi-language value."""
    return str(value[0]["value"]) if isinstance(value, list) and value else str(value or "")


def _carrier_rate(shop: Shop, draft: _Draft) -> Decimal:
    carrier = shop.get("carriers", draft.cart.carrier)
    if carrier is None or str(carrier["is_free"]) == "1":
        return Decimal(0)
    return taxes_of(shop, int(carrier["id_tax_rules_group"]), draft.country, draft.state).rate


def _shipping(shop: Shop, draft: _Draft) -> Both:
    carrier = shop.get("carriers", draft.cart.carrier)
    if carrier is None or str(carrier["is_free"]) == "1":
        return Both()
    price = draft.rounding.money(draft.cart.shipping * draft.rate)
    return Both.of(price, _carrier_rate(shop, draft)).money(draft.rounding)


def _wrapping(shop: Shop, draft: _Draft) -> Both:
    if not draft.cart.wrapping:
        return Both()
    price = Decimal(shop.configuration("PS_GIFT_WRAPPING_PRICE", "2.5")) * draft.rate
    group = int(shop.configuration("PS_GIFT_WRAPPING_TAX_RULES_GROUP", "1"))
    rate = taxes_of(shop, group, draft.country, draft.state).rate
    return Both.of(price, rate).money(draft.rounding)


def _discounts(draft: _Draft, products: Both, shipping: Both) -> list[tuple[Discount, Both]]:
    """Each cart rule with its unrounded value; no rule takes more than what the ones before it left."""
    left = products
    result = []
    for rule in draft.cart.discounts:
        amount = Both()
        if rule.percent:
            part = rule.percent / 100
            amount = Both(left.excl * part, left.incl * part)
        elif rule.amount:
            amount = share(left, min(rule.amount * draft.rate, left.incl))
        left -= amount
        if rule.free_shipping:
            amount += shipping
        result.append((rule, amount))
    return result


def _rule_row(shop: Shop, rule: Discount) -> int:
    """The cart rule behind a discount that names none: one of the same name and value, or a new one."""
    values = {"reduction_percent": f"{rule.percent:.2f}", "reduction_amount": six(rule.amount)}
    for row in shop.rows("cart_rules", **values):
        if first_text(row["name"]) == rule.name:
            return int(row["id"])
    now = shop.now()
    row = shop.insert("cart_rules", values | {
        "name": [{"id": i, "value": rule.name} for i in shop.languages()], "active": "1", "reduction_tax": "1",
        "free_shipping": "1" if rule.free_shipping else "0", "quantity": 1000, "quantity_per_user": 1000,
        "date_from": "2020-01-01 00:00:00", "date_to": "2035-01-01 00:00:00", "date_add": now, "date_upd": now,
    })  # fmt: skip
    return int(row["id"])


def _cart_row(shop: Shop, draft: _Draft) -> int:
    cart = draft.cart
    rows = [{
        "id_product": i.product, "id_product_attribute": i.attribute, "id_address_delivery": 0, "id_customization": 0,
        "quantity": i.quantity,
    } for i in cart.items]  # fmt: skip
    highest = max(shop.tables["carts"].next_id() - 1, _highest(shop, "orders", "id_cart"))
    row = shop.insert("carts", {
        "id": highest + 1, "id_address_delivery": cart.address, "id_address_invoice": cart.invoice_address,
        "id_currency": cart.currency, "id_customer": cart.customer, "id_lang": 1, "id_shop_group": 1,
        "id_shop": cart.id_shop, "id_carrier": cart.carrier, "gift": "1" if cart.wrapping else "0",
        "date_add": shop.now(), "date_upd": shop.now(), "associations": {"cart_rows": rows},
    })  # fmt: skip
    return int(row["id"])


def _order_row(
    draft: _Draft, products: Both, shipping: Both, wrapping: Both, discount: Both, total: Both
) -> Row:
    cart = draft.cart
    return {
        "id_address_delivery": cart.address,
        "id_address_invoice": cart.invoice_address,
        "id_currency": cart.currency,
        "id_lang": 1,
        "id_customer": cart.customer,
        "id_carrier": cart.carrier,
        "id_shop": cart.id_shop,
        "module": cart.module,
        "payment": cart.payment,
        "note": cart.note,
        "gift": "1" if cart.wrapping else "0",
        "round_mode": draft.rounding.mode,
        "round_type": draft.rounding.type,
    } | totals_row(products, shipping, wrapping, discount, total)


def totals_row(products: Both, shipping: Both, wrapping: Both, discount: Both, total: Both) -> Row:
    """The amount columns of an order."""
    return {
        "total_discounts": six(discount.incl),
        "total_discounts_tax_incl": six(discount.incl),
        "total_discounts_tax_excl": six(discount.excl),
        "total_paid": six(total.incl),
        "total_paid_tax_incl": six(total.incl),
        "total_paid_tax_excl": six(total.excl),
        "total_products": six(products.excl),
        "total_products_wt": six(products.incl),
        "total_shipping": six(shipping.incl),
        "total_shipping_tax_incl": six(shipping.incl),
        "total_shipping_tax_excl": six(shipping.excl),
        "total_wrapping": six(wrapping.incl),
        "total_wrapping_tax_incl": six(wrapping.incl),
        "total_wrapping_tax_excl": six(wrapping.excl),
    }


def new_reference(shop: Shop, chance: Random) -> str:
    """Nine capital letters that no order bears yet."""
    while True:
        reference = "".join(chance.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(9))
        if not shop.rows("orders", reference=reference):
            return reference


def _first_state(shop: Shop, order_id: int, cart: Cart, total: Decimal) -> None:
    state = shop.get("order_states", cart.state)
    if state is None:
        raise Impossible(f"order state {cart.state}: there is none")
    wanted = cart.state
    if str(state["logable"]) == "1":
        paid = total if cart.paid is None else cart.paid
        if str(state["paid"]) == "1" and paid != total:
            wanted = ERROR
        elif paid > 0 and str(state["paid"]) == "1":
            record_payment(
                shop, order_id, paid, method=cart.payment, transaction=cart.transaction, checkout=True
            )
    change_state(shop, order_id, wanted, employee=0)


# ------------------------------------------------------------------------------------ states


def change_state(shop: Shop, order_id: int, state_id: int, *, employee: int = 0) -> Row:
    """Move an order into a state; returns the row of the history.

    A first state with the invoice flag makes the invoice; a paid state of an order that is not paid makes
    a payment of the rest, whatever was paid past the core; cancelling puts the goods back into stock.

    Errors:
        Impossible: there is no such order or state.
    """
    order = order_of(shop, order_id)
    state = shop.get("order_states", state_id)
    if state is None:
        raise Impossible(f"order state {state_id}: there is none")
    out = {CANCELED, ERROR}
    if state_id in out and int(order["current_state"] or 0) not in out:
        _take_from_stock(shop, order_id, 1)
    elif state_id not in out and int(order["current_state"] or 0) in out:
        _take_from_stock(shop, order_id, -1)
    history = shop.insert("order_histories", {
        "id_employee": employee, "id_order_state": state_id, "id_order": order_id, "date_add": shop.now(),
    })  # fmt: skip
    touched(shop, order_id, current_state=state_id, valid=str(state["logable"]))
    if str(state["invoice"]) == "1":
        make_invoice(shop, order_id)
    if str(state["paid"]) == "1":
        _pay_the_rest(shop, order_id)
    if str(state["delivery"]) == "1":
        _deliver(shop, order_id)
    return history


def make_invoice(shop: Shop, order_id: int) -> None:
    """Invoice an order, once."""
    order = order_of(shop, order_id)
    if int(order["invoice_number"] or 0):
        return
    number = _highest(shop, "order_invoices", "number") + 1
    now = shop.now()
    invoice = shop.insert("order_invoices", {
        "id_order": order_id, "number": number, "date_add": now, "shop_address": shop.configuration("PS_SHOP_NAME"),
        "total_discount_tax_excl": order["total_discounts_tax_excl"],
        "total_discount_tax_incl": order["total_discounts_tax_incl"],
    } | {name: order[name] for name in INVOICE_TOTALS})  # fmt: skip
    for resource in ("order_details", "order_carriers", "order_cart_rules"):
        for row in shop.rows(resource, id_order=order_id):
            shop.update(resource, row["id"], id_order_invoice=invoice["id"])
    touched(shop, order_id, invoice_number=number, invoice_date=now)


def _highest(shop: Shop, resource: str, column: str) -> int:
    """The highest number in a column."""
    index = shop.tables[resource].ids_sorted(column)
    return int(index[-1][0]) if index else 0


INVOICE_TOTALS = (
    "total_paid_tax_excl", "total_paid_tax_incl", "total_products", "total_products_wt", "total_shipping_tax_excl",
    "total_shipping_tax_incl", "total_wrapping_tax_excl", "total_wrapping_tax_incl",
)  # fmt: skip


def _pay_the_rest(shop: Shop, order_id: int) -> None:
    """The payment that a change into a paid state makes; payments posted past the core do not count."""
    order = order_of(shop, order_id)
    rest = Decimal(order["total_paid_tax_incl"]) - Decimal(str(order["total_paid_real"]))
    if rest > 0 and int(order["invoice_number"] or 0):
        method = DISPLAY_NAMES.get(order["module"], order["payment"])
        record_payment(shop, order_id, rest, method=str(method))


def record_payment(
    shop: Shop,
    order_id: int,
    amount: Decimal,
    *,
    method: str,
    transaction: str = "",
    currency: int = 0,
    employee: int | str = "",
    checkout: bool = False,
) -> Row:
    """Book a payment of an order as the core does: the row, what counts as received, and ``date_upd``.

    ``amount`` is in ``currency``, which 0 makes the order's own. A payment of the ``checkout`` bears the rate 1,
    also in a foreign currency.
    """
    order = order_of(shop, order_id)
    own = int(order["id_currency"])
    rate = Decimal(str(order["conversion_rate"]))
    received = amount
    if currency and currency != own:
        row = shop.get("currencies", currency)
        if row is None:
            raise Impossible(f"currency {currency}: there is none")
        other = Decimal(str(row["conversion_rate"]))
        received = rounding_of(shop, own).money(amount / other * rate)
        rate = other
    payment = shop.insert("order_payments", {
        "order_reference": order["reference"], "id_currency": currency or own, "amount": six(amount),
        "payment_method": method, "conversion_rate": six(1 if checkout else rate), "transaction_id": transaction,
        "date_add": shop.now(), "id_employee": employee,
    })  # fmt: skip
    touched(shop, order_id, total_paid_real=six(Decimal(str(order["total_paid_real"])) + received))
    return payment


def _deliver(shop: Shop, order_id: int) -> None:
    """Number the delivery of an order, once; no delivery without an invoice."""
    order = order_of(shop, order_id)
    if int(order["delivery_number"] or 0) or not int(order["invoice_number"] or 0):
        return
    number = _highest(shop, "order_invoices", "delivery_number") + 1
    now = shop.now()
    for invoice in shop.rows("order_invoices", id_order=order_id):
        if invoice["delivery_date"] == UNSET_MOMENT:
            shop.update("order_invoices", invoice["id"], delivery_number=number, delivery_date=now)
    touched(shop, order_id, delivery_number=number, delivery_date=now)


# ------------------------------------------------------------------------------------ stock


def _take_from_stock(shop: Shop, order_id: int, sign: int) -> None:
    for line in shop.rows("order_details", id_order=order_id):
        quantity = int(line["product_quantity"]) - int(line["product_quantity_reinjected"])
        move_stock(shop, int(line["product_id"]), int(line["product_attribute_id"]), sign * quantity)


def move_stock(shop: Shop, product: int, attribute: int, delta: int) -> None:
    """Change what is available of a product or combination; the product's row is the sum of its combinations."""
    for row in shop.rows("stock_availables", id_product=product, id_product_attribute=attribute):
        shop.update("stock_availables", row["id"], quantity=int(row["quantity"]) + delta)
    if attribute:
        total_stock(shop, product)


def total_stock(shop: Shop, product: int) -> None:
    """Make the product's own stock row the sum of its combinations' rows."""
    rows = shop.rows("stock_availables", id_product=product)
    parts = [r for r in rows if int(r["id_product_attribute"])]
    if parts:
        for row in rows:
            if not int(row["id_product_attribute"]):
                shop.update("stock_availables", row["id"], quantity=sum(int(p["quantity"]) for p in parts))
