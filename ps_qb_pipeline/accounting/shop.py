"""What the engine reads: the rows of a shop as typed values, one reference group at a time.

What lives here: shapes. What does not: how rows become these shapes (``intake``). Names are
PrestaShop's own where a PrestaShop name exists; times are shop-local wall time without a zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple


class Pair(NamedTuple):
    """One amount seen twice: ``te`` without tax and ``ti`` with tax."""

    te: Decimal
    ti: Decimal

    @property
    def tax(self) -> Decimal:
        """The tax between the two."""
        return self.ti - self.te


@dataclass(frozen=True, slots=True)
class State:
    """One order state with the flags that give it its meaning."""

    id: int
    name: str
    paid: bool
    invoice: bool
    logable: bool
    shipped: bool
    delivery: bool
    module_name: str = ""
    is_error: bool = False
    is_cancel: bool = False
    is_refund: bool = False
    is_delivered: bool = False


@dataclass(frozen=True, slots=True)
class StateChange:
    """One row of an order's history."""

    id: int
    state: State
    date_add: datetime


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address with ISO codes instead of ids. Personal data."""

    id: int = 0
    country: str = ""
    subdivision: str = ""
    postcode: str = ""
    city: str = ""
    address1: str = ""
    address2: str = ""
    company: str = ""
    firstname: str = ""
    lastname: str = ""
    vat_number: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """A customer of the shop. Personal data."""

    id: int
    firstname: str = ""
    lastname: str = ""
    email: str = ""
    company: str = ""
    is_guest: bool = False
    id_default_group: int = 0


@dataclass(frozen=True, slots=True)
class Detail:
    """One line of an order. ``unit`` and ``total`` are after catalogue reductions, ecotax included.

    ``taxes`` are the ids of the line's taxes in the order in which they apply; ``ecotax`` is per
    unit, without tax.
    """

    id: int
    product_id: int
    product_attribute_id: int
    name: str
    sku: str
    quantity: int
    quantity_refunded: int
    quantity_return: int
    quantity_reinjected: int
    unit: Pair
    total: Pair
    refunded: Pair
    ecotax: Decimal
    ecotax_tax_rate: Decimal
    tax_computation_method: int
    id_tax_rules_group: int
    taxes: tuple[int, ...]
    tax_rows: Mapping[int, Decimal] | None = None
    """PrestaShop's own tax amounts by tax id, when they can be read; None when they cannot."""
    is_virtual: bool = False
    category: int = 0


@dataclass(frozen=True, slots=True)
class CartRule:
    """One discount of an order; ``value`` covers free shipping too when that flag is set."""

    id: int
    id_cart_rule: int
    name: str
    value: Pair
    free_shipping: bool
    code: str = ""
    reduction_percent: Decimal = Decimal(0)
    reduction_amount: Decimal = Decimal(0)
    reduction_tax: bool = True
    reduction_product: int = 0
    gift_product: int = 0
    gift_product_attribute: int = 0


@dataclass(frozen=True, slots=True)
class SlipLine:
    """One refunded line of a credit slip; ``amount`` is for ``quantity`` units."""

    id_order_detail: int
    quantity: int
    amount: Pair


@dataclass(frozen=True, slots=True)
class Slip:
    """One credit slip as stored; nothing in it is trusted before ``refunds`` has read it."""

    id: int
    date_add: datetime
    products: Pair
    shipping: Pair
    amount: Decimal
    order_slip_type: int
    conversion_rate: Decimal
    lines: tuple[SlipLine, ...]
    voucher_code: str = ""
    """The code of the voucher that PrestaShop made of this slip, when it did."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment row of a reference. ``amount`` is in ``currency``, which may not be the order's."""

    id: int
    amount: Decimal
    currency: str
    label: str
    conversion_rate: Decimal
    transaction_id: str
    id_employee: int
    date_add: datetime


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice that the shop issued for an order."""

    id: int
    number: int
    paid: Pair
    date_add: datetime | None


@dataclass(frozen=True, slots=True)
class Order:
    """One order with every row that belongs to it."""

    id: int
    reference: str
    id_cart: int
    id_shop: int
    id_carrier: int
    carrier: str
    currency: str
    conversion_rate: Decimal
    round_type: int
    round_mode: int
    """As stored, or half-up where it is not known; see ``rounding_known``."""
    carrier_tax_rate: Decimal
    products: Pair
    discounts: Pair
    shipping: Pair
    wrapping: Pair
    paid: Pair
    total_paid: Decimal
    module: str
    payment: str
    state: State | None
    invoice_number: int
    invoice_date: datetime | None
    delivery_date: datetime | None
    date_add: datetime
    customer: Person
    invoice_address: Address | None
    delivery_address: Address | None
    details: tuple[Detail, ...]
    cart_rules: tuple[CartRule, ...]
    slips: tuple[Slip, ...]
    history: tuple[StateChange, ...]
    invoices: tuple[Invoice, ...]
    date_upd: datetime | None = None
    rounding_known: bool = True
    """Whether the shop told its round mode: without it, its tax rows cannot be recomputed."""


class Poison(NamedTuple):
    """A row that cannot be understood, and why. The reason names fields, never values."""

    source_type: str
    source_id: int
    order_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Shop:
    """What is the same for all orders of a shop: taxes, their territory, the catalogue's SKUs."""

    default_currency: str = ""
    default_country: str = ""
    currency_rates: Mapping[str, Decimal] = field(default_factory=dict)
    tax_percents: Mapping[int, Decimal] = field(default_factory=dict)
    tax_places: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Country codes in which the tax rules use a tax, by tax id."""
    group_places: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """Country codes for which a tax rules group has a rate above zero, by group id."""
    sku_owners: Mapping[str, frozenset[tuple[int, str]]] = field(default_factory=dict)
    """Product ids and exact spellings by SKU in lower case."""
    tax_by_invoice_address: bool = False
    wrapping_group: int = 0
    group_taxes: Mapping[tuple[int, str], tuple[int, ...]] = field(default_factory=dict)
    """Tax ids by tax rules group and place (``CA-QC`` or ``FR``)."""


@dataclass(frozen=True, slots=True)
class ReferenceGroup:
    """All orders of one cart (one reference), with the payments of that reference."""

    reference: str
    id_cart: int
    orders: tuple[Order, ...]
    payments: tuple[Payment, ...]
    shop: Shop
    poison: tuple[Poison, ...] = ()
