"""The rows and the policy of a worked case, as a shop's web service and an accountant would give them.

What lives here: from the keys of a case to typed rows. What does not: running and judging (``cases``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting.places import EU
from ps_qb_pipeline.accounting.policy import PaymentMethod, Policy, TaxCode, TaxRate, TaxRule

ZERO = Decimal(0)

STATES = {
    "awaiting_cheque": (1, {}),
    "paid": (2, {"paid", "invoice", "logable"}),
    "preparation": (3, {"paid", "invoice", "logable", "delivery"}),
    "shipped": (4, {"paid", "invoice", "logable", "delivery", "shipped"}),
    "delivered": (5, {"paid", "invoice", "logable", "delivery", "shipped"}),
    "cancelled": (6, {}),
    "refunded": (7, {"invoice"}),
    "error": (8, {}),
    "backorder_paid": (9, {"paid", "invoice"}),
    "awaiting_wire": (10, {}),
    "remote_paid": (11, {"paid", "invoice", "logable"}),
    "backorder_unpaid": (12, {}),
    "awaiting_cod": (13, {}),
}
WORDS = (
    ("cancel", "cancelled"),
    ("refund", "refunded"),
    ("error", "error"),
    ("shipp", "shipped"),
    ("deliver", "delivered"),
    ("prepar", "preparation"),
    ("process", "preparation"),
    ("remote", "remote_paid"),
    ("wire", "awaiting_wire"),
    ("che", "awaiting_cheque"),
    ("cod", "awaiting_cod"),
    ("cash", "awaiting_cod"),
    ("await", "awaiting_wire"),
    ("pending", "awaiting_wire"),
    ("accept", "paid"),
    ("paid", "paid"),
    ("paym", "paid"),
)
METHODS = {
    "stripe": PaymentMethod(labels=("stripe",), code="STR", account="Clearing:Stripe {CUR}"),
    "paypal": PaymentMethod(labels=("paypal",), code="PP", account="Clearing:PayPal {CUR}"),
    "bankwire": PaymentMethod(labels=("bankwire",), kind="wire", code="BW", account="Bank:Main {CUR}"),
}


def policy_of(case: Mapping[str, Any], rates: Mapping[str, Decimal]) -> Policy:
    """The accountant's policy that all cases share, with what this one sets."""
    config = case.get("config", {})
    close = config.get("book_close_date")
    shops = {int(order.get("id_shop", 1)) for order in case["prestashop"].get("orders", [])}
    codes = {code: TaxCode((TaxRate(code, rate),)) for code, rate in rates.items()}
    rules = [
        TaxRule(code, (rate,), (code[:2], "*") if code[:2].isalpha() else ("*",))
        for code, rate in rates.items()
        if rate
    ]
    schemes = {"RC0": ("intra_community", "reverse_charge"), "EXP0": ("export",), "EX0": ("exempt",)}
    for code, names in schemes.items():
        rules += [TaxRule(code, scheme=scheme) for scheme in names if code in rates]  # type: ignore[arg-type]
    return Policy(
        home_currency=config.get("home_currency", "EUR"),
        seller_country="FR",
        timezone=case["prestashop"].get("shop_timezone", "Europe/Paris"),
        tax_mode=config.get("tax_mode", "GLOBAL_EXCL"),
        tax_codes=codes,
        tax_rules=tuple(rules),
        tax_amounts="override",
        methods=METHODS,
        posting=config.get("posting", "per_order"),
        issued_invoices="edit",
        store_credit_policy=config.get("store_credit_policy", ""),
        book_close_date=moment(close).date() if close else None,
        customer_names="pseudonymous",
        gift_card_skus=("GIFT-CARD",),
        gift_card_codes=tuple(re.escape(code) for code in _gift_codes(case["prestashop"])),
        locations={number: f"Shop {number}" for number in shops},
    )


def _gift_codes(shop: Mapping[str, Any]) -> list[str]:
    rules = shop.get("cart_rules", [])
    return [
        str(rule["code"]) for rule in rules if "gift_card" in str(rule.get("type", "")) and rule.get("code")
    ]


class Tables:
    """The rows that the shop's web service would give for a case."""

    def __init__(self, shop: Mapping[str, Any], rates: Mapping[str, Decimal], policy: Policy) -> None:
        self.shop = shop
        self.policy = policy
        self.orders = shop.get("orders", [])
        self.taxes = {code: number for number, code in enumerate(rates, start=1)}
        self.percents = {self.taxes[code]: rate for code, rate in rates.items()}
        currencies = list(dict.fromkeys([policy.home_currency, *(o["currency"] for o in self.orders)]))
        self.currencies = {code: number for number, code in enumerate(currencies, start=1)}
        address = shop.get("address") or {}
        country = address.get("country", "")
        self.countries = {
            code: number for number, code in enumerate(sorted({"FR", country, *EU} - {""}), start=1)
        }
        self.tables: dict[str, list[dict[str, Any]]] = {
            "orders": [self._order(order) for order in self.orders],
            "order_details": self._details(),
            "order_payments": self._payments(),
            "currencies": [
                {"id": number, "iso_code": code, "conversion_rate": Decimal(1)}
                for code, number in self.currencies.items()
            ],
            "countries": [{"id": number, "iso_code": code} for code, number in self.countries.items()],
            "order_states": [
                {
                    "id": number,
                    "name": name,
                    **{flag: flag in flags for flag in ("paid", "invoice", "logable", "shipped", "delivery")},
                }
                for name, (number, flags) in STATES.items()
            ],
            "customers": [
                {"id": order["id_customer"], "is_guest": bool(int(order.get("is_guest", 0)))}
                for order in self.orders
                if order.get("id_customer")
            ],
            "addresses": [
                {"id": 1, "id_country": self.countries[country], "vat_number": address.get("vat_number", "")}
            ]
            if country
            else [],
            "configurations": [
                {"name": "PS_CURRENCY_DEFAULT", "value": str(self.currencies[policy.home_currency])}
            ],
            "order_histories": [row for order in self.orders for row in self._history(order)],
            "tax_rules": [
                {"id": 1, "id_tax_rules_group": 1, "id_country": number, "id_tax": 1}
                for number in self.countries.values()
            ],
        }
        self._cart_rules()
        self._slips()
        if shop.get("order_detail_tax"):
            self.tables["order_detail_tax"] = self._tax_rows()
        self.tables["taxes"] = [{"id": number, "rate": rate} for number, rate in self.percents.items()]

    def _order(self, order: Mapping[str, Any]) -> dict[str, Any]:
        name = self._state(order)
        totals = {
            key: amount(order.get(key))
            for key in [
                "total_products",
                "total_products_wt",
                "total_discounts_tax_excl",
                "total_discounts_tax_incl",
                "total_shipping_tax_excl",
                "total_shipping_tax_incl",
                "total_wrapping_tax_excl",
                "total_wrapping_tax_incl",
                "total_paid_tax_excl",
                "total_paid_tax_incl",
            ]
        }
        invoice = order.get("invoice_date")
        methods = [row["method"] for row in self.shop.get("payments", [])]
        return {
            **totals,
            "id": order["id_order"],
            "id_shop": int(order.get("id_shop", 1)),
            "id_customer": order.get("id_customer", 0),
            "id_cart": 1 if order.get("reference") else order["id_order"],
            "reference": self._reference(order),
            "id_currency": self.currencies[order["currency"]],
            "conversion_rate": amount(order.get("conversion_rate", 1)),
            "round_type": int(order.get("round_type", 2)),
            "round_mode": order.get("round_mode"),
            "carrier_tax_rate": amount(order.get("carrier_tax_rate")),
            "total_paid": amount(order.get("total_paid", order.get("total_paid_tax_incl"))),
            "invoice_date": moment(invoice) if invoice else None,
            "date_add": moment(order.get("date_add") or invoice or self._first_payment() or "2026-01-01"),
            "current_state": STATES[name][0],
            "payment": methods[0] if methods else "",
            "module": "",
            "id_address_invoice": 1,
            "id_address_delivery": 1,
        }

    def _first_payment(self) -> str:
        return min((str(row["date_add"]) for row in self.shop.get("payments", [])), default="")

    def _state(self, order: Mapping[str, Any]) -> str:
        name = str(order.get("current_state", "")).lower()
        if name.isdigit():
            return next(key for key, (number, _) in STATES.items() if number == int(name))
        for word, state in WORDS:
            if word in name:
                return state
        return "paid" if order.get("invoice_date") else "awaiting_wire"

    def _reference(self, order: Mapping[str, Any]) -> str:
        return order.get("reference") or f"REF{order['id_order']}"

    def _history(self, order: Mapping[str, Any]) -> list[dict[str, Any]]:
        now = self._state(order)
        rows = []
        if order.get("invoice_date"):
            rows.append((STATES["paid"][0], moment(order["invoice_date"])))
        if not rows or now != "paid":
            rows.append(
                (STATES[now][0], moment(order.get("edited_at") or order.get("invoice_date") or "2026-01-02"))
            )
        return [
            {"id": number, "id_order": order["id_order"], "id_order_state": state, "date_add": at}
            for number, (state, at) in enumerate(rows, start=1)
        ]

    def _owner(self, entry: Mapping[str, Any]) -> int:
        return int(entry.get("id_order") or (self.orders[0]["id_order"] if self.orders else 0))

    def _details(self) -> list[dict[str, Any]]:
        rows = []
        for number, entry in enumerate(self.shop.get("details", []), start=1):
            tax = entry.get("tax")
            if tax is not None and tax not in self.taxes:
                net, gross = amount(entry["unit_price_tax_excl"]), amount(entry["unit_price_tax_incl"])
                self.taxes[tax] = len(self.taxes) + 1
                self.percents[self.taxes[tax]] = ((gross / net - 1) * 100).quantize(Decimal("0.01"))
            rows.append(
                {
                    "id": number,
                    "id_order": self._owner(entry),
                    "product_id": number,
                    "product_attribute_id": 0,
                    "product_name": f"Product {number}",
                    "product_reference": "GIFT-CARD" if entry.get("gift_card") else f"SKU-{number}",
                    "product_quantity": int(entry["qty"]),
                    **{
                        key: amount(entry[key])
                        for key in (
                            "unit_price_tax_excl",
                            "unit_price_tax_incl",
                            "total_price_tax_excl",
                            "total_price_tax_incl",
                        )
                    },
                    "ecotax": amount(entry.get("ecotax")),
                    "ecotax_tax_rate": amount(entry.get("ecotax_tax_rate")),
                    "tax_computation_method": 1,
                    "id_tax_rules_group": 1,
                    "taxes": [{"id": self.taxes[tax]}] if tax is not None else [],
                }
            )
        return rows

    def _tax_rows(self) -> list[dict[str, Any]]:
        """PrestaShop's own rows; a row that names a tax only belongs to the first line of that tax."""
        rows = []
        for entry in self.shop["order_detail_tax"]:
            number = self.taxes[entry["tax"]]
            for detail in self.tables["order_details"]:
                if {"id": number} in detail["taxes"] and detail["id_order"] == self._owner(entry):
                    rows.append(
                        {
                            "id_order_detail": detail["id"],
                            "id_tax": number,
                            "total_amount": amount(entry["total_amount"]),
                        }
                    )
                    break
        return rows

    def _payments(self) -> list[dict[str, Any]]:
        by_id = {order["id_order"]: order for order in self.orders}
        rows = []
        for number, entry in enumerate(self.shop.get("payments", []), start=1):
            order = by_id.get(self._owner(entry))
            rows.append(
                {
                    "id": int(entry.get("id", number)),
                    "order_reference": entry.get("order_reference")
                    or (self._reference(order) if order else ""),
                    "id_currency": self.currencies[order["currency"] if order else self.policy.home_currency],
                    "amount": amount(entry["amount"]),
                    "payment_method": entry["method"],
                    "conversion_rate": amount(entry.get("conversion_rate", 1)),
                    "transaction_id": f"T{number}",
                    "date_add": moment(entry["date_add"]),
                }
            )
        return rows

    def _cart_rules(self) -> None:
        used, rules = [], []
        for number, entry in enumerate(self.shop.get("cart_rules", []), start=1):
            code = str(entry.get("code", ""))
            used.append(
                {
                    "id": number,
                    "id_order": self._owner(entry),
                    "id_cart_rule": number,
                    "name": entry.get("name", ""),
                    "value": amount(entry["value"]),
                    "value_tax_excl": amount(entry["value_tax_excl"]),
                    "free_shipping": bool(int(entry.get("free_shipping", 0))),
                }
            )
            rules.append(
                {
                    "id": number,
                    "code": code,
                    "reduction_percent": amount(entry.get("percent")),
                    "reduction_amount": amount(entry.get("amount_tax_incl")),
                    "gift_product": self._gift(entry),
                }
            )
        for number, entry in enumerate(self.shop.get("vouchers", []), start=1000):
            rules.append({"id": number, "code": entry["code"], "date_from": None})
        self.tables["order_cart_rules"], self.tables["cart_rules"] = used, rules

    def _gift(self, entry: Mapping[str, Any]) -> int:
        """The product that a gift rule gives: the line that costs what the rule takes off."""
        if not entry.get("gift_product"):
            return 0
        value = amount(entry["value_tax_excl"])
        for detail in self.tables["order_details"]:
            if value in {
                detail["total_price_tax_excl"],
                detail["unit_price_tax_excl"].quantize(Decimal("0.01")),
            }:
                return int(detail["product_id"])
        return 0

    def _slips(self) -> None:
        self.tables["order_slip"] = []
        vouchers = list(self.shop.get("vouchers", []))
        for entry in self.shop.get("slips", []):
            number = self._owner(entry)
            at = moment(entry["date_add"])
            self._date_voucher(entry, at, vouchers)
            self.tables["order_slip"].append(
                {
                    "id": entry["id"],
                    "id_order": number,
                    **{
                        key: amount(entry.get(key))
                        for key in (
                            "total_products_tax_excl",
                            "total_products_tax_incl",
                            "total_shipping_tax_excl",
                            "total_shipping_tax_incl",
                            "amount",
                        )
                    },
                    "order_slip_type": int(entry.get("order_slip_type", 0)),
                    "date_add": at,
                    "order_slip_details": self._slip_lines(entry, number),
                }
            )

    def _date_voucher(
        self, entry: Mapping[str, Any], at: datetime, vouchers: list[Mapping[str, Any]]
    ) -> None:
        """Give the voucher of a slip the slip's second: the one of its amount, else the next."""
        gross = amount(entry["total_products_tax_incl"]) + amount(entry.get("total_shipping_tax_incl"))
        net = amount(entry["total_products_tax_excl"]) + amount(entry.get("total_shipping_tax_excl"))
        own = next((v for v in vouchers if amount(v["reduction_amount"]) in {gross, net}), None)
        own = own or (vouchers[0] if len(self.shop.get("slips", [])) == len(vouchers) and vouchers else None)
        if own is None:
            return
        vouchers.remove(own)
        for rule in self.tables["cart_rules"]:
            if rule["code"] == own["code"] and "date_from" in rule:
                rule["date_from"] = at

    def _slip_lines(self, entry: Mapping[str, Any], order: int) -> list[dict[str, Any]]:
        details = [detail for detail in self.tables["order_details"] if detail["id_order"] == order]
        free = list(details)
        rows = []
        for line in entry.get("detail", []):
            net, gross = amount(line["unit_price_tax_excl"]), amount(line["unit_price_tax_incl"])
            own = _nearest(net, gross, free or details)
            if own in free:
                free.remove(own)
            quantity = int(line.get("qty", 0))
            rows.append(
                {
                    "id_order_detail": own["id"],
                    "product_quantity": quantity,
                    "amount_tax_excl": net * (quantity or 1),
                    "amount_tax_incl": gross * (quantity or 1),
                }
            )
        return rows


def _nearest(net: Decimal, gross: Decimal, details: list[dict[str, Any]]) -> dict[str, Any]:
    """The order line that a slip line means: of its price, else of its tax, else the first."""

    def distance(detail: Mapping[str, Any]) -> tuple[bool, Decimal, Decimal]:
        own = detail["unit_price_tax_excl"]
        ratio = detail["unit_price_tax_incl"] / own if own else Decimal(1)
        return (
            abs(own - net) > Decimal("0.01"),
            abs(ratio - (gross / net if net else Decimal(1))).quantize(Decimal("0.01")),
            abs(own - net),
        )

    return min(details, key=distance)


def amount(text: Any) -> Decimal:
    """The number of a case; absent means zero."""
    return ZERO if text in {None, ""} else Decimal(str(text))


def moment(text: Any) -> datetime:
    """The shop-local time of a case."""
    if isinstance(text, datetime):
        return text
    if isinstance(text, date):
        return datetime(text.year, text.month, text.day)  # noqa: DTZ001 -- shop-local wall time
    return datetime.fromisoformat(str(text))
