"""What is read of a shop: one table of resources, their columns and how their changes show.

What lives here: names and types, nothing that runs. What does not: reading (``client``), typing of values
(``rows``), the order of an extraction (``extract``). Column names are PrestaShop's own.

Only the columns named here are ever asked for. Passwords, keys, reset tokens, card data, birthdays and
internet addresses are not among them, so that they cannot be landed, logged or lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["int", "decimal", "bool", "text", "datetime", "date", "i18n", "json"]
"""``i18n``: a text in the shop's default language. ``json``: an association, kept as its list of objects."""

Changes = Literal["date_upd", "id", "order", "reference", "snapshot"]
"""How a change of a row shows.

``date_upd``   the row's own time of change
``id``         rows are only added: a higher id
``order``      only with its order: read again for every changed order
``reference``  seldom: the whole resource, once a day or when an unknown id turns up
``snapshot``   never: the whole resource, once a day
"""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the web service: one raw table, one row per object and state of it."""

    name: str
    list_key: str
    """The key of a JSON list answer; not always the resource's name."""
    changes: Changes
    columns: dict[str, Kind]
    associations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The fields that are read of each association, by column."""
    optional: frozenset[str] = frozenset()
    """Columns that older shops do not know; they are empty there."""
    parent: str = ""
    """The column that names the order (or, for payments, the orders' reference) that the row belongs to."""
    only: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The only rows that may be read, by column and allowed values."""

    @property
    def display(self) -> str:
        """The value of the ``display`` parameter: exactly the columns of this table."""
        return display(self, without=frozenset())

    def slim(self, *columns: str) -> Resource:
        """The same resource with its id and ``columns`` only."""
        kept = {name: self.columns[name] for name in ("id", *columns)}
        inner = {name: fields for name, fields in self.associations.items() if name in kept}
        return replace(self, columns=kept, associations=inner, optional=self.optional & kept.keys())


def display(resource: Resource, *, without: frozenset[str]) -> str:
    """The ``display`` parameter of ``resource`` without the columns in ``without``."""
    parts = []
    for column in resource.columns:
        if column in without:
            continue
        inner = resource.associations.get(column)
        parts.append(f"{column}[{','.join(inner)}]" if inner else column)
    return f"[{','.join(parts)}]"


SETTINGS_READ = (
    "PS_ATCP_SHIPWRAP",
    "PS_COUNTRY_DEFAULT",
    "PS_CURRENCY_DEFAULT",
    "PS_GIFT_WRAPPING",
    "PS_GIFT_WRAPPING_PRICE",
    "PS_GIFT_WRAPPING_TAX_RULES_GROUP",
    "PS_INVOICE",
    "PS_LANG_DEFAULT",
    "PS_MULTISHOP_FEATURE_ACTIVE",
    "PS_ORDER_OUT_OF_STOCK",
    "PS_ORDER_RECALCULATE_SHIPPING",
    "PS_OS_CANCELED",
    "PS_OS_DELIVERED",
    "PS_OS_ERROR",
    "PS_OS_PAYMENT",
    "PS_OS_REFUND",
    "PS_PRICE_DISPLAY_PRECISION",
    "PS_PRICE_ROUND_MODE",
    "PS_ROUND_TYPE",
    "PS_SHOP_NAME",
    "PS_STOCK_MANAGEMENT",
    "PS_TAX",
    "PS_TAX_ADDRESS_TYPE",
    "PS_TIMEZONE",
    "PS_USE_ECOTAX",
    "PS_VERSION_DB",
)
"""The settings that are read by name; the rest of that table holds passwords of mail servers and modules."""

_ALL = (
    Resource(
        name="orders",
        list_key="orders",
        changes="date_upd",
        columns={
            "id": "int",
            "id_shop": "int",
            "id_shop_group": "int",
            "id_customer": "int",
            "id_address_invoice": "int",
            "id_address_delivery": "int",
            "id_cart": "int",
            "id_currency": "int",
            "id_lang": "int",
            "id_carrier": "int",
            "current_state": "int",
            "reference": "text",
            "module": "text",
            "payment": "text",
            "valid": "bool",
            "gift": "bool",
            "invoice_number": "int",
            "invoice_date": "datetime",
            "delivery_number": "int",
            "delivery_date": "datetime",
            "note": "text",
            "conversion_rate": "decimal",
            "round_mode": "int",
            "round_type": "int",
            "carrier_tax_rate": "decimal",
            "total_products": "decimal",
            "total_products_wt": "decimal",
            "total_discounts_tax_excl": "decimal",
            "total_discounts_tax_incl": "decimal",
            "total_shipping_tax_excl": "decimal",
            "total_shipping_tax_incl": "decimal",
            "total_wrapping_tax_excl": "decimal",
            "total_wrapping_tax_incl": "decimal",
            "total_paid": "decimal",
            "total_paid_tax_excl": "decimal",
            "total_paid_tax_incl": "decimal",
            "total_paid_real": "decimal",
            "date_add": "datetime",
            "date_upd": "datetime",
        },
        optional=frozenset({"note"}),
    ),
    Resource(
        name="order_details",
        list_key="order_details",
        changes="order",
        parent="id_order",
        columns={
            "id": "int",
            "id_order": "int",
            "id_order_invoice": "int",
            "id_shop": "int",
            "product_id": "int",
            "product_attribute_id": "int",
            "id_customization": "int",
            "product_name": "text",
            "product_reference": "text",
            "product_ean13": "text",
            "product_quantity": "int",
            "product_quantity_refunded": "int",
            "product_quantity_return": "int",
            "product_quantity_reinjected": "int",
            "product_price": "decimal",
            "original_product_price": "decimal",
            "original_wholesale_price": "decimal",
            "purchase_supplier_price": "decimal",
            "reduction_percent": "decimal",
            "reduction_amount": "decimal",
            "reduction_amount_tax_excl": "decimal",
            "reduction_amount_tax_incl": "decimal",
            "group_reduction": "decimal",
            "product_quantity_discount": "decimal",
            "unit_price_tax_excl": "decimal",
            "unit_price_tax_incl": "decimal",
            "total_price_tax_excl": "decimal",
            "total_price_tax_incl": "decimal",
            "total_refunded_tax_excl": "decimal",
            "total_refunded_tax_incl": "decimal",
            "ecotax": "decimal",
            "ecotax_tax_rate": "decimal",
            "tax_computation_method": "int",
            "id_tax_rules_group": "int",
            "taxes": "json",
        },
        associations={"taxes": ("id",)},
        optional=frozenset({"id_customization", "total_refunded_tax_excl", "total_refunded_tax_incl"}),
    ),
    Resource(
        name="order_payments",
        list_key="order_payments",
        changes="id",
        parent="order_reference",
        columns={
            "id": "int",
            "order_reference": "text",
            "id_currency": "int",
            "amount": "decimal",
            "payment_method": "text",
            "conversion_rate": "decimal",
            "transaction_id": "text",
            "id_employee": "int",
            "date_add": "datetime",
        },
        optional=frozenset({"id_employee"}),
    ),
    Resource(
        name="order_slip",
        list_key="order_slips",
        changes="date_upd",
        parent="id_order",
        columns={
            "id": "int",
            "id_order": "int",
            "id_customer": "int",
            "conversion_rate": "decimal",
            "total_products_tax_excl": "decimal",
            "total_products_tax_incl": "decimal",
            "total_shipping_tax_excl": "decimal",
            "total_shipping_tax_incl": "decimal",
            "amount": "decimal",
            "shipping_cost": "bool",
            "shipping_cost_amount": "decimal",
            "partial": "bool",
            "order_slip_type": "int",
            "date_add": "datetime",
            "date_upd": "datetime",
            "order_slip_details": "json",
        },
        associations={
            "order_slip_details": (
                "id",
                "id_order_detail",
                "product_quantity",
                "amount_tax_excl",
                "amount_tax_incl",
            )
        },
    ),
    Resource(
        name="order_invoices",
        list_key="order_invoices",
        changes="order",
        parent="id_order",
        columns={
            "id": "int",
            "id_order": "int",
            "number": "int",
            "delivery_number": "int",
            "delivery_date": "datetime",
            "total_discount_tax_excl": "decimal",
            "total_discount_tax_incl": "decimal",
            "total_paid_tax_excl": "decimal",
            "total_paid_tax_incl": "decimal",
            "total_products": "decimal",
            "total_products_wt": "decimal",
            "total_shipping_tax_excl": "decimal",
            "total_shipping_tax_incl": "decimal",
            "shipping_tax_computation_method": "int",
            "total_wrapping_tax_excl": "decimal",
            "total_wrapping_tax_incl": "decimal",
            "date_add": "datetime",
        },
    ),
    Resource(
        name="order_histories",
        list_key="order_histories",
        changes="id",
        parent="id_order",
        columns={
            "id": "int",
            "id_order": "int",
            "id_order_state": "int",
            "id_employee": "int",
            "date_add": "datetime",
        },
    ),
    Resource(
        name="order_states",
        list_key="order_states",
        changes="reference",
        columns={
            "id": "int",
            "name": "i18n",
            "module_name": "text",
            "paid": "bool",
            "logable": "bool",
            "invoice": "bool",
            "shipped": "bool",
            "delivery": "bool",
            "hidden": "bool",
            "unremovable": "bool",
            "deleted": "bool",
        },
    ),
    Resource(
        name="order_cart_rules",
        list_key="order_cart_rules",
        changes="order",
        parent="id_order",
        columns={
            "id": "int",
            "id_order": "int",
            "id_cart_rule": "int",
            "id_order_invoice": "int",
            "name": "text",
            "value": "decimal",
            "value_tax_excl": "decimal",
            "free_shipping": "bool",
            "deleted": "bool",
        },
        optional=frozenset({"deleted"}),
    ),
    Resource(
        name="order_carriers",
        list_key="order_carriers",
        changes="order",
        parent="id_order",
        columns={
            "id": "int",
            "id_order": "int",
            "id_carrier": "int",
            "id_order_invoice": "int",
            "weight": "decimal",
            "shipping_cost_tax_excl": "decimal",
            "shipping_cost_tax_incl": "decimal",
            "tracking_number": "text",
            "date_add": "datetime",
        },
    ),
    Resource(
        name="cart_rules",
        list_key="cart_rules",
        changes="reference",
        columns={
            "id": "int",
            "id_customer": "int",
            "name": "i18n",
            "code": "text",
            "date_from": "datetime",
            "date_to": "datetime",
            "quantity": "int",
            "partial_use": "bool",
            "free_shipping": "bool",
            "reduction_percent": "decimal",
            "reduction_amount": "decimal",
            "reduction_tax": "bool",
            "reduction_currency": "int",
            "reduction_product": "int",
            "gift_product": "int",
            "gift_product_attribute": "int",
            "active": "bool",
            "date_add": "datetime",
            "date_upd": "datetime",
        },
    ),
    Resource(
        name="customers",
        list_key="customers",
        changes="date_upd",
        columns={
            "id": "int",
            "id_shop": "int",
            "id_shop_group": "int",
            "id_lang": "int",
            "id_default_group": "int",
            "firstname": "text",
            "lastname": "text",
            "email": "text",
            "company": "text",
            "siret": "text",
            "ape": "text",
            "website": "text",
            "is_guest": "bool",
            "active": "bool",
            "deleted": "bool",
            "date_add": "datetime",
            "date_upd": "datetime",
        },
    ),
    Resource(
        name="addresses",
        list_key="addresses",
        changes="date_upd",
        columns={
            "id": "int",
            "id_customer": "int",
            "id_country": "int",
            "id_state": "int",
            "alias": "text",
            "company": "text",
            "vat_number": "text",
            "firstname": "text",
            "lastname": "text",
            "address1": "text",
            "address2": "text",
            "postcode": "text",
            "city": "text",
            "phone": "text",
            "phone_mobile": "text",
            "deleted": "bool",
            "date_add": "datetime",
            "date_upd": "datetime",
        },
    ),
    Resource(
        name="countries",
        list_key="countries",
        changes="reference",
        columns={
            "id": "int",
            "id_zone": "int",
            "iso_code": "text",
            "name": "i18n",
            "active": "bool",
            "contains_states": "bool",
        },
    ),
    Resource(
        name="states",
        list_key="states",
        changes="reference",
        columns={
            "id": "int",
            "id_country": "int",
            "id_zone": "int",
            "iso_code": "text",
            "name": "text",
            "active": "bool",
        },
    ),
    Resource(
        name="currencies",
        list_key="currencies",
        changes="reference",
        columns={
            "id": "int",
            "iso_code": "text",
            "name": "text",
            "conversion_rate": "decimal",
            "precision": "int",
            "active": "bool",
            "deleted": "bool",
        },
        optional=frozenset({"precision"}),
    ),
    Resource(
        name="taxes",
        list_key="taxes",
        changes="reference",
        columns={"id": "int", "rate": "decimal", "name": "i18n", "active": "bool", "deleted": "bool"},
    ),
    Resource(
        name="tax_rules",
        list_key="tax_rules",
        changes="reference",
        columns={
            "id": "int",
            "id_tax_rules_group": "int",
            "id_country": "int",
            "id_state": "int",
            "id_tax": "int",
            "zipcode_from": "text",
            "zipcode_to": "text",
            "behavior": "int",
            "description": "text",
        },
    ),
    Resource(
        name="tax_rule_groups",
        list_key="tax_rule_groups",
        changes="reference",
        columns={
            "id": "int",
            "name": "text",
            "active": "bool",
            "deleted": "bool",
            "date_add": "datetime",
            "date_upd": "datetime",
        },
    ),
    Resource(
        name="carriers",
        list_key="carriers",
        changes="reference",
        columns={
            "id": "int",
            "id_reference": "int",
            "name": "text",
            "active": "bool",
            "deleted": "bool",
            "is_free": "bool",
            "is_module": "bool",
            "external_module_name": "text",
            "id_tax_rules_group": "int",
        },
    ),
    Resource(
        name="products",
        list_key="products",
        changes="date_upd",
        columns={
            "id": "int",
            "id_shop_default": "int",
            "id_category_default": "int",
            "id_tax_rules_group": "int",
            "reference": "text",
            "ean13": "text",
            "name": "i18n",
            "price": "decimal",
            "wholesale_price": "decimal",
            "ecotax": "decimal",
            "product_type": "text",
            "is_virtual": "bool",
            "active": "bool",
            "state": "int",
            "date_add": "datetime",
            "date_upd": "datetime",
            "combinations": "json",
            "stock_availables": "json",
        },
        associations={"combinations": ("id",), "stock_availables": ("id", "id_product_attribute")},
        optional=frozenset({"product_type"}),
    ),
    Resource(
        name="combinations",
        list_key="combinations",
        changes="snapshot",
        columns={
            "id": "int",
            "id_product": "int",
            "reference": "text",
            "ean13": "text",
            "price": "decimal",
            "wholesale_price": "decimal",
            "ecotax": "decimal",
            "minimal_quantity": "int",
            "default_on": "bool",
            "product_option_values": "json",
        },
        associations={"product_option_values": ("id",)},
    ),
    Resource(
        name="stock_availables",
        list_key="stock_availables",
        changes="snapshot",
        columns={
            "id": "int",
            "id_product": "int",
            "id_product_attribute": "int",
            "id_shop": "int",
            "id_shop_group": "int",
            "quantity": "int",
            "depends_on_stock": "bool",
            "out_of_stock": "int",
        },
    ),
    Resource(
        name="configurations",
        list_key="configurations",
        changes="reference",
        columns={
            "id": "int",
            "id_shop": "int",
            "id_shop_group": "int",
            "name": "text",
            "value": "text",
            "date_upd": "datetime",
        },
        only={"name": SETTINGS_READ},
    ),
    Resource(
        name="shops",
        list_key="shops",
        changes="reference",
        columns={"id": "int", "id_shop_group": "int", "name": "text", "active": "bool", "deleted": "bool"},
    ),
    Resource(
        name="languages",
        list_key="languages",
        changes="reference",
        columns={
            "id": "int",
            "name": "text",
            "iso_code": "text",
            "language_code": "text",
            "locale": "text",
            "active": "bool",
        },
        optional=frozenset({"locale"}),
    ),
)

RESOURCES: dict[str, Resource] = {resource.name: resource for resource in _ALL}
"""Every resource that is read, by name."""
