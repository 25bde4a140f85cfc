"""A checkout as PrestaShop computes it, on random carts: rows for properties that need many orders.

What lives here: the formulas of the shop's cart and payment module, written again for tests. Amounts obey
the identities of a fresh order by construction; what the engine makes of them is the tests' matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Any

from hypothesis import strategies as st

RATES = {1: Decimal(20), 2: Decimal("5.5"), 3: Decimal(10), 4: Decimal("2.1")}
CENT = Decimal("0.01")
MODES = {2: ROUND_HALF_UP, 4: ROUND_HALF_EVEN}
START = datetime(2026, 3, 2, 9, 30)  # noqa: DTZ001 -- shop-local wall time


@dataclass(frozen=True, slots=True)
class CartLine:
    """One line of a cart: net unit price with six decimals, quantity, tax id (0: untaxed)."""

    price: Decimal
    quantity: int
    tax: int


@dataclass(frozen=True, slots=True)
class Cart:
    """What a customer is about to pay."""

    lines: tuple[CartLine, ...]
    round_type: int
    round_mode: int
    percent_off: int
    shipping: Decimal
    """With tax, at 20 %."""
    paid_share: Decimal = Decimal(1)
    method: str = "Credit card"


def carts() -> st.SearchStrategy[Cart]:
    """Carts of one to six lines at several rates, with and without discount and shipping."""
    price = st.integers(10_000, 400_000_000).map(lambda n: Decimal(n).scaleb(-6))
    line = st.builds(CartLine, price, st.integers(1, 12), st.sampled_from([0, *RATES]))
    return st.builds(
        Cart,
        st.lists(line, min_size=1, max_size=6).filter(lambda ls: any(one.tax for one in ls)).map(tuple),
        st.sampled_from([1, 2, 3]),
        st.sampled_from(sorted(MODES)),
        st.sampled_from([0, 0, 5, 10, 33]),
        st.sampled_from([Decimal(0), Decimal("3.00"), Decimal("4.99"), Decimal("12.50")]),
        st.sampled_from([Decimal(1), Decimal(1), Decimal("0.4"), Decimal("1.5")]),
        st.sampled_from(["Credit card", "PayPal", "Bank transfer"]),
    )


class Checkout:
    """Turns carts into the rows that the web service would give."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {
            "orders": [],
            "order_details": [],
            "order_payments": [],
            "order_cart_rules": [],
            "cart_rules": [],
            "order_histories": [],
            "order_slip": [],
            "order_invoices": [],
            "currencies": [{"id": 1, "iso_code": "EUR", "conversion_rate": Decimal(1)}],
            "countries": [{"id": 8, "iso_code": "FR"}],
            "taxes": [{"id": number, "rate": rate} for number, rate in RATES.items()],
            "tax_rules": [
                {"id": number, "id_tax_rules_group": number, "id_country": 8, "id_tax": number}
                for number in RATES
            ],
            "order_states": [
                {
                    "id": 2,
                    "name": "Payment accepted",
                    "paid": True,
                    "invoice": True,
                    "logable": True,
                    "shipped": False,
                    "delivery": False,
                }
            ],
            "configurations": [{"name": "PS_CURRENCY_DEFAULT", "value": "1"}],
            "customers": [{"id": 7, "firstname": "Ada", "lastname": "Sample", "email": "ada@example.test"}],
            "addresses": [{"id": 1, "id_country": 8, "city": "Lyon"}],
        }

    def place(self, cart: Cart) -> int:
        """Adds the rows of one order; its id."""
        number = len(self.tables["orders"]) + 1
        net, gross = self._details(number, cart)
        discount = self._discount(number, cart, net, gross)
        mode = MODES[cart.round_mode]
        ship_net = (cart.shipping / Decimal("1.2")).quantize(CENT, mode)
        initial = [_initial(cart, side) for side in (0, 1)]
        at = START + timedelta(hours=number)
        paid = [
            initial[0].quantize(CENT, mode) - discount[0] + ship_net,
            initial[1].quantize(CENT, mode) - discount[1] + cart.shipping,
        ]
        self.tables["orders"].append(
            {
                "id": number,
                "id_shop": 1,
                "id_customer": 7,
                "id_cart": number,
                "reference": f"REF{number:06d}",
                "id_currency": 1,
                "conversion_rate": Decimal(1),
                "round_type": cart.round_type,
                "round_mode": cart.round_mode,
                "carrier_tax_rate": Decimal(20) if cart.shipping else Decimal(0),
                "total_products": net,
                "total_products_wt": gross,
                "total_discounts_tax_excl": discount[0],
                "total_discounts_tax_incl": discount[1],
                "total_shipping_tax_excl": ship_net,
                "total_shipping_tax_incl": cart.shipping,
                "total_wrapping_tax_excl": Decimal(0),
                "total_wrapping_tax_incl": Decimal(0),
                "total_paid": paid[1],
                "total_paid_tax_excl": paid[0],
                "total_paid_tax_incl": paid[1],
                "payment": cart.method,
                "module": "",
                "current_state": 2,
                "invoice_number": number,
                "invoice_date": at,
                "date_add": at,
                "id_address_invoice": 1,
                "id_address_delivery": 1,
            }
        )
        self.tables["order_histories"].append(
            {"id": number, "id_order": number, "id_order_state": 2, "date_add": at}
        )
        amount = (paid[1] * cart.paid_share).quantize(CENT)
        self.tables["order_payments"].append(
            {
                "id": number,
                "order_reference": f"REF{number:06d}",
                "id_currency": 1,
                "amount": amount,
                "payment_method": cart.method,
                "conversion_rate": Decimal(1),
                "transaction_id": f"T{number}",
                "date_add": at,
            }
        )
        return number

    def _details(self, number: int, cart: Cart) -> tuple[Decimal, Decimal]:
        sums = [Decimal(0), Decimal(0)]
        for line in cart.lines:
            units = _units(line)
            rows = [_row(unit, line.quantity, cart) for unit in units]
            sums = [total + row for total, row in zip(sums, rows, strict=True)]
            self.tables["order_details"].append(
                {
                    "id": len(self.tables["order_details"]) + 1,
                    "id_order": number,
                    "product_id": len(self.tables["order_details"]) + 1,
                    "product_attribute_id": 0,
                    "product_name": "Thing",
                    "product_reference": f"SKU-{len(self.tables['order_details']) + 1}",
                    "product_quantity": line.quantity,
                    "unit_price_tax_excl": units[0],
                    "unit_price_tax_incl": units[1],
                    "total_price_tax_excl": rows[0],
                    "total_price_tax_incl": rows[1],
                    "ecotax": Decimal(0),
                    "ecotax_tax_rate": Decimal(0),
                    "id_tax_rules_group": line.tax,
                    "tax_computation_method": 0,
                    "taxes": [{"id": line.tax}] if line.tax else [],
                }
            )
        mode = MODES[cart.round_mode]
        return sums[0].quantize(CENT, mode), sums[1].quantize(CENT, mode)

    def _discount(self, number: int, cart: Cart, net: Decimal, gross: Decimal) -> tuple[Decimal, Decimal]:
        if not cart.percent_off:
            return Decimal(0), Decimal(0)
        share = Decimal(cart.percent_off) / 100
        mode = MODES[cart.round_mode]
        values = ((net * share).quantize(CENT, mode), (gross * share).quantize(CENT, mode))
        self.tables["order_cart_rules"].append(
            {
                "id": len(self.tables["order_cart_rules"]) + 1,
                "id_order": number,
                "id_cart_rule": 1,
                "name": "off",
                "value": values[1],
                "value_tax_excl": values[0],
                "free_shipping": False,
                "deleted": False,
            }
        )
        return values

    def refund(self, order: int, slip: int, picks: list[tuple[int, int]]) -> None:
        """A credit slip for some units of some lines: (index of the line, quantity)."""
        details = [row for row in self.tables["order_details"] if row["id_order"] == order]
        lines = []
        for index, quantity in picks:
            row = details[index % len(details)]
            taken = min(quantity, row["product_quantity"])
            lines.append(
                {
                    "id_order_detail": row["id"],
                    "product_quantity": taken,
                    "amount_tax_excl": (row["unit_price_tax_excl"] * taken).quantize(CENT, ROUND_HALF_UP),
                    "amount_tax_incl": (row["unit_price_tax_incl"] * taken).quantize(CENT, ROUND_HALF_UP),
                }
            )
        net = sum((line["amount_tax_excl"] for line in lines), Decimal(0))
        gross = sum((line["amount_tax_incl"] for line in lines), Decimal(0))
        self.tables["order_slip"].append(
            {
                "id": slip,
                "id_order": order,
                "total_products_tax_excl": net,
                "total_products_tax_incl": gross,
                "total_shipping_tax_excl": Decimal(0),
                "total_shipping_tax_incl": Decimal(0),
                "amount": gross,
                "order_slip_type": 0,
                "date_add": START + timedelta(days=9, hours=slip),
                "order_slip_details": lines,
            }
        )


def _units(line: CartLine) -> tuple[Decimal, Decimal]:
    rate = RATES.get(line.tax, Decimal(0))
    return line.price, (line.price * (100 + rate) / 100).quantize(Decimal("0.000001"), ROUND_HALF_UP)


def _row(unit: Decimal, quantity: int, cart: Cart) -> Decimal:
    mode = MODES[cart.round_mode]
    if cart.round_type == 1:
        return unit.quantize(CENT, mode) * quantity
    if cart.round_type == 2:
        return (unit * quantity).quantize(CENT, mode)
    return unit * quantity


def _initial(cart: Cart, side: int) -> Decimal:
    """The sum of the rows before discounts: rounded per unit under ITEM only."""
    mode = MODES[cart.round_mode]
    total = Decimal(0)
    for line in cart.lines:
        unit = _units(line)[side]
        total += (unit.quantize(CENT, mode) if cart.round_type == 1 else unit) * line.quantity
    return total
