"""Shop rows to reference groups: joins and types, no judgement about money.

What lives here: putting together what PrestaShop keeps in thirty tables. What does not: reading the
shop (the ``prestashop`` room) and deciding anything (``translate``). A row that cannot be understood
poisons its order, and only its order.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting.money import ZERO
from ps_qb_pipeline.accounting.shop import (
    Address,
    CartRule,
    Detail,
    Invoice,
    Order,
    Pair,
    Payment,
    Person,
    Poison,
    ReferenceGroup,
    Shop,
    Slip,
    SlipLine,
    State,
    StateChange,
)

Row = Mapping[str, Any]
Tables = Mapping[str, Iterable[Row]]

_STATE_ROLES = {"PS_OS_ERROR": 8, "PS_OS_CANCELED": 6, "PS_OS_REFUND": 7, "PS_OS_DELIVERED": 5}
_NO_TIME = datetime(1, 1, 1)  # noqa: DTZ001 -- shop-local wall time, as all times here


class _Unusable(Exception):
    """A row lacks a field that accounting cannot do without."""


def groups(tables: Tables, shop: Shop | None = None) -> Iterator[ReferenceGroup]:
    """One group per (reference, cart), by the lowest order id; every order is in exactly one.

    ``tables`` maps resource names to typed rows; a chunk of orders may be given with only its own
    child rows, and with ``shop`` from ``read_shop`` so that the catalogue is read once.
    """
    shop = shop or read_shop(tables)
    joined = _Joined(tables)
    members: dict[tuple[str, int], list[Row]] = defaultdict(list)
    carts: dict[str, list[int]] = defaultdict(list)
    for row in sorted(tables.get("orders", ()), key=lambda entry: entry["id"]):
        key = (row.get("reference") or "", row.get("id_cart") or 0)
        if key not in members:
            carts[key[0]].append(key[1])
        members[key].append(row)
    for (reference, cart), rows in members.items():
        yield _group(reference, cart, rows, carts[reference], members, joined, shop)


def _group(
    reference: str,
    cart: int,
    rows: list[Row],
    carts: list[int],
    members: Mapping[tuple[str, int], list[Row]],
    joined: _Joined,
    shop: Shop,
) -> ReferenceGroup:
    poison: list[Poison] = []
    orders = []
    for row in rows:
        try:
            orders.append(joined.order(row, poison))
        except (_Unusable, TypeError, ValueError, ArithmeticError) as error:
            poison.append(Poison("order", row["id"], row["id"], _reason(error)))
    starts = [(members[reference, other][0].get("date_add") or _NO_TIME, other) for other in carts]
    payments = []
    for row in joined.payments.get(reference, ()):
        try:
            payment = joined.payment(row)
        except (_Unusable, TypeError, ValueError, ArithmeticError) as error:
            if cart == carts[0]:
                poison.append(Poison("payment", row["id"], rows[0]["id"], _reason(error)))
            continue
        if len(carts) == 1 or _cart_of(payment, starts) == cart:
            payments.append(payment)
    return ReferenceGroup(reference, cart, tuple(orders), tuple(payments), shop, tuple(poison))


def _cart_of(payment: Payment, starts: list[tuple[datetime, int]]) -> int:
    """The cart a payment belongs to when several share a reference: the last that began before it."""
    before = [start for start in starts if start[0] <= payment.date_add]
    return max(before or [min(starts)])[1]


def _reason(error: Exception) -> str:
    return (
        str(error)
        if isinstance(error, _Unusable)
        else f"a field has no usable value ({type(error).__name__})"
    )


class _Joined:
    """Child rows by their parent, and look-up tables by id."""

    def __init__(self, tables: Tables) -> None:
        self.details = _by(tables, "order_details", "id_order")
        self.rules = _by(tables, "order_cart_rules", "id_order")
        self.slips = _by(tables, "order_slip", "id_order")
        self.histories = _by(tables, "order_histories", "id_order")
        self.invoices = _by(tables, "order_invoices", "id_order")
        self.payments = _by(tables, "order_payments", "order_reference")
        self.tax_rows = _tax_rows(tables)
        self.cart_rules = {row["id"]: row for row in tables.get("cart_rules", ())}
        self.customers = {row["id"]: _person(row) for row in tables.get("customers", ())}
        self.currencies = {row["id"]: row["iso_code"] for row in tables.get("currencies", ())}
        self.states = _states(tables)
        self.countries = {row["id"]: row["iso_code"] for row in tables.get("countries", ())}
        regions = {row["id"]: row["iso_code"] for row in tables.get("states", ())}
        self.addresses = {row["id"]: self._address(row, regions) for row in tables.get("addresses", ())}
        self.products = {row["id"]: row for row in tables.get("products", ())}
        self.combinations = {row["id"]: row for row in tables.get("combinations", ())}
        self.carriers = {row["id"]: row.get("name") or "" for row in tables.get("carriers", ())}
        self.vouchers = _vouchers(tables)

    def _address(self, row: Row, regions: Mapping[int, str]) -> Address:
        return Address(
            id=row["id"],
            country=self.countries.get(row.get("id_country") or 0, ""),
            subdivision=regions.get(row.get("id_state") or 0, ""),
            postcode=row.get("postcode") or "",
            city=row.get("city") or "",
            address1=row.get("address1") or "",
            address2=row.get("address2") or "",
            company=row.get("company") or "",
            firstname=row.get("firstname") or "",
            lastname=row.get("lastname") or "",
            vat_number=(row.get("vat_number") or "").strip(),
            phone=row.get("phone") or row.get("phone_mobile") or "",
        )

    def order(self, row: Row, poison: list[Poison]) -> Order:
        number = row["id"]
        details = []
        for detail in self.details.get(number, ()):
            try:
                details.append(self._detail(detail))
            except (_Unusable, TypeError, ValueError, ArithmeticError) as error:
                poison.append(Poison("detail", detail["id"], number, _reason(error)))
        slips = []
        for slip in self.slips.get(number, ()):
            try:
                slips.append(self._slip(slip, row))
            except (_Unusable, TypeError, ValueError, ArithmeticError) as error:
                poison.append(Poison("slip", slip["id"], number, _reason(error)))
        currency = self.currencies.get(row.get("id_currency") or 0)
        if not currency:
            raise _Unusable("id_currency names no currency")
        ti = _need(row, "total_paid_tax_incl")
        return Order(
            id=number,
            reference=row.get("reference") or "",
            id_cart=row.get("id_cart") or 0,
            id_shop=row.get("id_shop") or 1,
            id_carrier=row.get("id_carrier") or 0,
            carrier=self.carriers.get(row.get("id_carrier") or 0, ""),
            currency=currency,
            conversion_rate=row.get("conversion_rate") or ZERO,
            round_type=row.get("round_type") or 2,
            round_mode=2 if row.get("round_mode") is None else row["round_mode"],
            carrier_tax_rate=row.get("carrier_tax_rate") or ZERO,
            products=Pair(_need(row, "total_products"), _need(row, "total_products_wt")),
            discounts=_pair(row, "total_discounts_tax_"),
            shipping=_pair(row, "total_shipping_tax_"),
            wrapping=_pair(row, "total_wrapping_tax_"),
            paid=Pair(_need(row, "total_paid_tax_excl"), ti),
            total_paid=ti if row.get("total_paid") is None else row["total_paid"],
            module=row.get("module") or "",
            payment=row.get("payment") or "",
            state=self.states.get(row.get("current_state") or 0),
            invoice_number=row.get("invoice_number") or 0,
            invoice_date=row.get("invoice_date"),
            delivery_date=row.get("delivery_date"),
            date_add=_need(row, "date_add"),
            customer=self.customers.get(row.get("id_customer") or 0)
            or Person(id=row.get("id_customer") or 0),
            invoice_address=self.addresses.get(row.get("id_address_invoice") or 0),
            delivery_address=self.addresses.get(row.get("id_address_delivery") or 0),
            details=tuple(details),
            cart_rules=tuple(
                self._cart_rule(rule) for rule in self.rules.get(number, ()) if not rule.get("deleted")
            ),
            slips=tuple(slips),
            history=self._history(number),
            invoices=tuple(
                Invoice(
                    invoice["id"],
                    invoice.get("number") or 0,
                    Pair(
                        invoice.get("total_paid_tax_excl") or ZERO, invoice.get("total_paid_tax_incl") or ZERO
                    ),
                    invoice.get("date_add"),
                )
                for invoice in self.invoices.get(number, ())
            ),
            date_upd=row.get("date_upd"),
            rounding_known=row.get("round_mode") is not None,
        )

    def _detail(self, row: Row) -> Detail:
        product = self.products.get(row.get("product_id") or 0, {})
        combination = self.combinations.get(row.get("product_attribute_id") or 0, {})
        sku = row.get("product_reference") or combination.get("reference") or product.get("reference") or ""
        return Detail(
            id=row["id"],
            product_id=row.get("product_id") or 0,
            product_attribute_id=row.get("product_attribute_id") or 0,
            name=row.get("product_name") or "",
            sku=sku.strip(),
            quantity=_need(row, "product_quantity"),
            quantity_refunded=row.get("product_quantity_refunded") or 0,
            quantity_return=row.get("product_quantity_return") or 0,
            quantity_reinjected=row.get("product_quantity_reinjected") or 0,
            unit=_pair(row, "unit_price_tax_"),
            total=_pair(row, "total_price_tax_"),
            refunded=Pair(
                row.get("total_refunded_tax_excl") or ZERO, row.get("total_refunded_tax_incl") or ZERO
            ),
            ecotax=row.get("ecotax") or ZERO,
            ecotax_tax_rate=row.get("ecotax_tax_rate") or ZERO,
            tax_computation_method=row.get("tax_computation_method") or 0,
            id_tax_rules_group=row.get("id_tax_rules_group") or product.get("id_tax_rules_group") or 0,
            taxes=tuple(int(tax["id"]) for tax in row.get("taxes") or () if int(tax["id"])),
            tax_rows=self.tax_rows.get(row["id"], {}) if self.tax_rows is not None else None,
            is_virtual=bool(product.get("is_virtual")),
            category=product.get("id_category_default") or 0,
        )

    def _cart_rule(self, row: Row) -> CartRule:
        rule = self.cart_rules.get(row.get("id_cart_rule") or 0, {})
        return CartRule(
            id=row["id"],
            id_cart_rule=row.get("id_cart_rule") or 0,
            name=row.get("name") or "",
            value=Pair(_need(row, "value_tax_excl"), _need(row, "value")),
            free_shipping=bool(row.get("free_shipping")),
            code=rule.get("code") or row.get("code") or "",
            reduction_percent=rule.get("reduction_percent") or ZERO,
            reduction_amount=rule.get("reduction_amount") or ZERO,
            reduction_tax=bool(rule.get("reduction_tax", True)),
            reduction_product=rule.get("reduction_product") or 0,
            gift_product=rule.get("gift_product") or 0,
            gift_product_attribute=rule.get("gift_product_attribute") or 0,
        )

    def _slip(self, row: Row, order: Row) -> Slip:
        lines = tuple(
            SlipLine(
                int(line.get("id_order_detail") or 0),
                int(line.get("product_quantity") or 0),
                Pair(Decimal(str(line["amount_tax_excl"])), Decimal(str(line["amount_tax_incl"]))),
            )
            for line in row.get("order_slip_details") or ()
        )
        date_add = _need(row, "date_add")
        return Slip(
            id=row["id"],
            date_add=date_add,
            products=_pair(row, "total_products_tax_"),
            shipping=_pair(row, "total_shipping_tax_"),
            amount=row.get("amount") or ZERO,
            order_slip_type=row.get("order_slip_type") or 0,
            conversion_rate=row.get("conversion_rate") or ZERO,
            lines=lines,
            voucher_code=self._voucher_of(order, date_add, len(self.slips.get(row["id_order"], ()))),
        )

    def _voucher_of(self, order: Row, made: datetime, slips: int) -> str:
        """The voucher that PrestaShop made in the same step as a slip, found by order and time."""
        for code, at in self.vouchers.get(order["id"], ()):
            if at is None or (at == made) or (slips == 1 and abs((at - made).total_seconds()) <= 2):
                return code
        return ""

    def _history(self, order: int) -> tuple[StateChange, ...]:
        changes = []
        for row in self.histories.get(order, ()):
            state = self.states.get(row.get("id_order_state") or 0)
            if state is not None and row.get("date_add") is not None:
                changes.append(StateChange(row["id"], state, row["date_add"]))
        changes.sort(key=lambda change: (change.date_add, change.id))
        return tuple(changes)

    def payment(self, row: Row) -> Payment:
        currency = self.currencies.get(row.get("id_currency") or 0)
        if not currency:
            raise _Unusable("id_currency names no currency")
        return Payment(
            id=row["id"],
            amount=_need(row, "amount"),
            currency=currency,
            label=row.get("payment_method") or "",
            conversion_rate=row.get("conversion_rate") or ZERO,
            transaction_id=(row.get("transaction_id") or "").strip(),
            id_employee=row.get("id_employee") or 0,
            date_add=_need(row, "date_add"),
        )


def _need(row: Row, name: str) -> Any:
    value = row.get(name)
    if value is None:
        raise _Unusable(f"{name} is empty")
    return value


def _pair(row: Row, stem: str) -> Pair:
    return Pair(_need(row, stem + "excl"), _need(row, stem + "incl"))


def _by(tables: Tables, name: str, parent: str) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in tables.get(name, ()):
        found[row.get(parent)].append(row)
    for rows in found.values():
        rows.sort(key=lambda row: row["id"])
    return found


def _tax_rows(tables: Tables) -> dict[int, dict[int, Decimal]] | None:
    if "order_detail_tax" not in tables:
        return None
    found: dict[int, dict[int, Decimal]] = defaultdict(dict)
    for row in tables["order_detail_tax"]:
        by_tax = found[row["id_order_detail"]]
        by_tax[row["id_tax"]] = by_tax.get(row["id_tax"], ZERO) + row["total_amount"]
    return found


def _person(row: Row) -> Person:
    return Person(
        id=row["id"],
        firstname=row.get("firstname") or "",
        lastname=row.get("lastname") or "",
        email=(row.get("email") or "").strip(),
        company=row.get("company") or "",
        is_guest=bool(row.get("is_guest")),
        id_default_group=row.get("id_default_group") or 0,
    )


def _states(tables: Tables) -> dict[int, State]:
    roles = dict(_STATE_ROLES)
    for row in tables.get("configurations", ()):
        if row.get("name") in roles and str(row.get("value") or "").isdigit():
            roles[row["name"]] = int(row["value"])
    return {
        row["id"]: State(
            id=row["id"],
            name=row.get("name") or "",
            paid=bool(row.get("paid")),
            invoice=bool(row.get("invoice")),
            logable=bool(row.get("logable")),
            shipped=bool(row.get("shipped")),
            delivery=bool(row.get("delivery")),
            module_name=row.get("module_name") or "",
            is_error=row["id"] == roles["PS_OS_ERROR"],
            is_cancel=row["id"] == roles["PS_OS_CANCELED"],
            is_refund=row["id"] == roles["PS_OS_REFUND"],
            is_delivered=row["id"] == roles["PS_OS_DELIVERED"],
        )
        for row in tables.get("order_states", ())
    }


VOUCHER_CODE = re.compile(r"^V(\d+)C(\d+)O(\d+)(?:-\d+)*$")
"""The code that PrestaShop gives a voucher made of a credit slip, and to what remains of it."""


def _vouchers(tables: Tables) -> dict[int, list[tuple[str, datetime | None]]]:
    found: dict[int, list[tuple[str, datetime | None]]] = defaultdict(list)
    for row in tables.get("cart_rules", ()):
        match = VOUCHER_CODE.match(row.get("code") or "")
        if match and "-" not in row["code"]:
            found[int(match.group(3))].append((row["code"], row.get("date_from") or row.get("date_add")))
    return found


def read_shop(tables: Tables) -> Shop:
    """The facts that all orders of a shop share, from its look-up tables."""
    settings = {row.get("name"): row.get("value") for row in tables.get("configurations", ())}
    currencies = {row["id"]: row for row in tables.get("currencies", ())}
    countries = {row["id"]: row["iso_code"] for row in tables.get("countries", ())}
    regions = {row["id"]: row["iso_code"] for row in tables.get("states", ())}
    percents = {row["id"]: row["rate"] for row in tables.get("taxes", ())}
    shop = Shop(
        default_currency=_look_up(currencies, settings.get("PS_CURRENCY_DEFAULT"), "iso_code"),
        default_country=countries.get(_number(settings.get("PS_COUNTRY_DEFAULT")), ""),
        currency_rates={row["iso_code"]: row["conversion_rate"] for row in currencies.values()},
        tax_percents=percents,
        sku_owners=_sku_owners(tables),
        tax_by_invoice_address=settings.get("PS_TAX_ADDRESS_TYPE") == "id_address_invoice",
        wrapping_group=_number(settings.get("PS_GIFT_WRAPPING_TAX_RULES_GROUP")),
    )
    return dataclasses.replace(shop, **_tax_places(tables, countries, regions, percents))


def _number(text: Any) -> int:
    return int(text) if str(text or "").isdigit() else 0


def _look_up(rows: Mapping[int, Row], key: Any, column: str) -> str:
    return str(rows.get(_number(key), {}).get(column, ""))


def _tax_places(
    tables: Tables, countries: Mapping[int, str], regions: Mapping[int, str], percents: Mapping[int, Decimal]
) -> dict[str, Any]:
    places: dict[int, set[str]] = defaultdict(set)
    groups_: dict[int, set[str]] = defaultdict(set)
    taxes: dict[tuple[int, str], list[int]] = defaultdict(list)
    for row in sorted(tables.get("tax_rules", ()), key=lambda entry: entry["id"]):
        country = countries.get(row["id_country"], "")
        region = regions.get(row.get("id_state") or 0, "")
        places[row["id_tax"]].add(country)
        if percents.get(row["id_tax"], ZERO):
            groups_[row["id_tax_rules_group"]].add(country)
        place = f"{country}-{region}" if region else country
        taxes[row["id_tax_rules_group"], place].append(row["id_tax"])
    return {
        "tax_places": {tax: frozenset(found) for tax, found in places.items()},
        "group_places": {group: frozenset(found) for group, found in groups_.items()},
        "group_taxes": {key: tuple(found) for key, found in taxes.items()},
    }


def _sku_owners(tables: Tables) -> dict[str, frozenset[tuple[int, str]]]:
    owners: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for row in tables.get("products", ()):
        sku = (row.get("reference") or "").strip()
        if sku:
            owners[sku.lower()].add((row["id"], sku))
    for row in tables.get("combinations", ()):
        sku = (row.get("reference") or "").strip()
        if sku:
            owners[sku.lower()].add((row.get("id_product") or 0, sku))
    return {sku: frozenset(found) for sku, found in owners.items()}
