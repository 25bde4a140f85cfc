"""A shop made of the invoices of a real wholesaler.

What lives here: the rows that a PrestaShop would hold if these invoices had been made in it. What does not:
reading and choosing the invoices (``retail_lines``), matching refunds to sales (``retail_refunds``).

Real, from "Online Retail" and "Online Retail II" (UCI Machine Learning Repository, Daqing Chen, CC BY 4.0):
invoice numbers, moments, stock codes, descriptions, quantities, prices without tax in GBP, customer numbers,
countries, and which invoices are credits.

Simulated, by seed: tax (20 % in the United Kingdom, one code in twelve zero-rated, gift vouchers without tax,
nothing abroad), ways of paying and days of payment, names, addresses, VAT numbers, cost, states and their
moments.

What becomes of what: an invoice is an order whose reference is the invoice's number; a stock code in its
first spelling is the product's reference; POST, DOT, C2 and C3 are the order's shipping; a discount (D) credited
within a day of a sale is the cart rule of that sale; M and S are free lines; invoices without a customer are orders of guests. A credit whose lines an earlier sale to the
same customer covers is a credit slip of that sale (or one of each); a later discount or correction refunds an
amount of the newest line that is worth enough. Of the credits that nothing covers a few stay in: PrestaShop
cannot credit what it never sold, so they are slips of an order of 0.00, which pay out more than was paid.
Left out and counted: the other uncovered credits, stock write-offs, fees, bad debts, invoices of nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from random import Random

from ps_qb_pipeline.sandbox.shop.amounts import TOTAL, Both, Rounding, six
from ps_qb_pipeline.sandbox.shop.retail_lines import Invoice, Line, read, voucher
from ps_qb_pipeline.sandbox.shop.retail_reference import (
    COUNTRIES,
    STANDARD,
    UNTAXED,
    ZERO_RATED,
    reference_rows,
)
from ps_qb_pipeline.sandbox.shop.retail_refunds import Credit, matched, parts_of
from ps_qb_pipeline.sandbox.shop.tables import Row

Chunk = tuple[str, list[Row]]
ROUNDING = Rounding(type=TOTAL)
GBP = 3
PARCEL, COLLECTED = 2, 1
#: Way of paying: module, label, state at the checkout, days until the money comes.
WAYS: dict[str, tuple[str, str, int, tuple[int, int]]] = {
    "card": ("ps_wirepayment", "Credit card", 2, (0, 0)),
    "paypal": ("ps_wirepayment", "PayPal", 2, (0, 0)),
    "wire": ("ps_wirepayment", "Bank transfer", 10, (1, 21)),
    "cheque": ("ps_checkpayment", "Payments by check", 1, (3, 14)),
}
UNCOVERED_SHARE = 0.01


@dataclass(slots=True)
class Sale:
    """One invoice as an order, numbered, with what was taken back of it."""

    order: int
    invoice: Invoice
    goods: list[Line]
    shipping: Decimal
    discount: Decimal
    customer: int = 0
    address: int = 0
    details: list[int] = field(default_factory=list)
    refunds: list[tuple[Invoice, Credit]] = field(default_factory=list)
    placeholder: list[Line] = field(default_factory=list)
    """The uncovered lines of a credit, for which the order is only a frame."""


class Retail:
    """The first rows of a retail shop, made once for each call."""

    def __init__(self, count: int = 300, directory: Path | None = None, seed: int = 1) -> None:
        """A shop of so many invoices: of the bundled selection, or of the parquet files in a directory.

        Errors:
            SettingsError: the directory holds no such file.
        """
        self.count, self.directory, self.seed = count, directory, seed
        self.counts: Counter[str] = Counter()

    def __call__(self) -> Iterator[Chunk]:
        """Chunks of rows, (resource, rows), in an order in which they can be loaded."""
        self.counts.clear()
        invoices = read(self.directory, self.count)
        self.counts["invoices"] = len(invoices)
        sales = self._sales(invoices)
        self._match(invoices, sales)
        made = _Rows(list(sales.values()), self.seed, self.counts)
        yield from reference_rows().items()
        yield from made.chunks()

    def _sales(self, invoices: Iterable[Invoice]) -> dict[str, Sale]:
        sales: dict[str, Sale] = {}
        for invoice in invoices:
            if invoice.credit or invoice.number.startswith("A"):
                self.counts["left out: bad debt"] += invoice.number.startswith("A")
                continue
            goods, shipping, discount = parts_of(invoice)
            worth = sum((i.amount for i in goods), Decimal(0))
            if not goods or (worth + shipping <= 0 and not invoice.customer):
                self.counts["left out: stock moves and fees, no sale"] += 1
                continue
            sales[invoice.number] = Sale(0, invoice, goods, shipping, min(discount, worth))
        return sales

    def _match(self, invoices: list[Invoice], sales: dict[str, Sale]) -> None:
        """Hang credits on the sales that they take back, and the chosen uncovered ones on empty orders."""
        found = matched(invoices, set(sales))
        for number, amount in found.discounts.items():
            sales[number].discount += amount
        self.counts["discounts"] = len(found.discounts)
        for invoice, credit in found.credits:
            sales[credit.sale].refunds.append((invoice, credit))
        keep = max(2, int(len(invoices) * UNCOVERED_SHARE))
        usable = [(i, [x for x in lines if x.kind == "product"]) for i, lines in found.uncovered]
        for invoice, lines in usable:
            if lines and invoice.customer and keep > 0:
                keep -= 1
                sales[invoice.number] = Sale(0, invoice, [], Decimal(0), Decimal(0), placeholder=lines)
                self.counts["uncovered credits kept"] += 1
            else:
                self.counts["left out: uncovered credits"] += 1
        matching = {i.number for i, _ in found.credits}
        self.counts["credits"] = len(matching)
        seen = matching | {i.number for i, _ in found.uncovered}
        self.counts["left out: credits of fees"] = sum(
            1 for i in invoices if i.credit and i.number not in seen
        )


def draw(*parts: object) -> float:
    """A number from 0 up to 1 that these parts always give."""
    digest = sha256("|".join(str(p) for p in parts).encode()).digest()
    return int.from_bytes(digest[:7], "big") / (1 << 56)


class _Rows:
    """The rows of the sales."""

    def __init__(self, sales: list[Sale], seed: int, counts: Counter[str]) -> None:
        self.sales = sorted(sales, key=lambda s: (s.invoice.when, s.invoice.number))
        self.seed, self.counts = seed, counts
        self.products: dict[str, int] = {}
        self.buffers: dict[str, list[Row]] = defaultdict(list)
        self.next: Counter[str] = Counter()
        self.customers: dict[int, int] = {}
        self.addresses: dict[tuple[int, str], int] = {}
        self.invoices = 0
        self.groups: dict[str, int] = {}
        self.costs: dict[str, Decimal] = {}

    def chunks(self) -> Iterator[Chunk]:
        """All chunks: goods first, then orders with what belongs to them, every thousand orders."""
        self._goods()
        yield from self._flushed()
        for number, sale in enumerate(self.sales, start=1):
            sale.order = number
            self._people(sale)
            self._order(sale)
            if number % 1000 == 0:
                yield from self._flushed()
        yield from self._flushed()
        self.counts["orders"] = len(self.sales)
        self.counts["slips"] = self.next["order_slip"]

    def _flushed(self) -> Iterator[Chunk]:
        for resource, rows in self.buffers.items():
            if rows:
                yield resource, list(rows)
                rows.clear()

    def _add(self, resource: str, row: Row) -> int:
        self.next[resource] += 1
        self.buffers[resource].append({"id": self.next[resource]} | row)
        return self.next[resource]

    # -------------------------------------------------------------------------------- goods

    def _goods(self) -> None:
        prices: dict[str, list[Decimal]] = defaultdict(list)
        names: dict[str, str] = {}
        for sale in self.sales:
            for line in [*sale.goods, *sale.placeholder]:
                prices[line.code].append(line.price)
                names.setdefault(line.code, line.name)
        for code, name in names.items():
            known = sorted(p for p in prices[code] if p > 0) or [Decimal(0)]
            price = known[len(known) // 2]
            cost = price * self._cost_share(code)
            self.products[code] = self._add("products", {
                "id_category_default": 2, "id_tax_rules_group": self.group(code), "type": "simple", "id_shop_default": 1,
                "reference": code, "state": 1, "product_type": "standard", "price": six(price), "wholesale_price": six(cost),
                "active": "1", "available_for_order": "1", "show_price": "1", "visibility": "both", "condition": "new",
                "minimal_quantity": 1, "date_add": "2009-11-01 09:00:00", "date_upd": "2009-11-01 09:00:00",
                "name": [{"id": 1, "value": name}], "link_rewrite": [{"id": 1, "value": code.lower()}],
            })  # fmt: skip
            self._add("stock_availables", {
                "id_product": self.products[code], "id_product_attribute": 0, "id_shop": 1, "out_of_stock": 2,
                "quantity": int(500 * draw(self.seed, "stock", code)),
            })  # fmt: skip

    def group(self, code: str) -> int:
        """The tax rules group of a stock code."""
        if code not in self.groups:
            reduced = draw(self.seed, "tax", code) < 1 / 12
            self.groups[code] = UNTAXED if voucher(code) else ZERO_RATED if reduced else STANDARD
        return self.groups[code]

    # -------------------------------------------------------------------------------- people

    def _people(self, sale: Sale) -> None:
        invoice = sale.invoice
        when = str(invoice.when)
        if invoice.customer and invoice.customer in self.customers:
            sale.customer = self.customers[invoice.customer]
        else:
            label = str(invoice.customer or f"guest {invoice.number}")
            sale.customer = self._add("customers", {
                "id_default_group": 3 if invoice.customer else 2, "id_lang": 1, "lastname": self._pick(LAST, label),
                "firstname": self._pick(FIRST, label), "email": f"{label.replace(' ', '.')}@example.test", "active": "1",
                "is_guest": "0" if invoice.customer else "1", "id_shop": 1, "id_shop_group": 1, "last_passwd_gen": when,
                "company": self._company(invoice), "date_add": when, "date_upd": when,
                "associations": {"groups": [{"id": 3 if invoice.customer else 2}]},
            })  # fmt: skip
            if invoice.customer:
                self.customers[invoice.customer] = sale.customer
        key = (sale.customer, invoice.country)
        if key not in self.addresses:
            self.addresses[key] = self._address(sale)
        sale.address = self.addresses[key]

    def _company(self, invoice: Invoice) -> str | None:
        trades = invoice.customer and draw(self.seed, "trade", invoice.customer) < 0.7
        return f"Sample Trading {invoice.customer}" if trades else None

    def _address(self, sale: Sale) -> int:
        invoice = sale.invoice
        place = COUNTRIES[invoice.country]
        label = str(invoice.customer or f"guest {invoice.number}")
        company = self._company(invoice) or ""
        when = str(invoice.when)
        return self._add("addresses", {
            "id_customer": sale.customer, "id_country": place.country, "id_state": place.state, "alias": "Home",
            "company": company, "lastname": self._pick(LAST, label), "firstname": self._pick(FIRST, label),
            "vat_number": f"{place.vat}999999999" if company and place.vat else "", "dni": "00000000T" if place.dni else "",
            "address1": f"{1 + int(98 * draw(self.seed, 'street', label))} Sample Street", "postcode": place.postcode,
            "city": place.city, "date_add": when, "date_upd": when,
        })  # fmt: skip

    def _pick(self, words: tuple[str, ...], label: str) -> str:
        return words[int(len(words) * draw(self.seed, words[0], label))]

    # -------------------------------------------------------------------------------- orders

    def _order(self, sale: Sale) -> None:
        invoice = sale.invoice
        chance = Random(f"{self.seed}|{invoice.number}")  # noqa: S311 - chance by seed is the point
        taxed = COUNTRIES[invoice.country].taxed
        lines = [self._detail(sale, line, taxed=taxed) for line in sale.goods]
        lines += [
            self._detail(sale, Line(i.code, i.name, -i.quantity, Decimal(0), i.kind), taxed=taxed)
            for i in sale.placeholder
        ]
        products = sum((_worth(r) for r in lines), Both()).money(ROUNDING)
        shipping = Both.of(ROUNDING.money(sale.shipping), Decimal(20 if taxed else 0)).money(ROUNDING)
        discount = _discount(sale.discount, products)
        total = products + shipping - discount
        way = self._way(invoice, total, chance)
        moments = _Moments(invoice, way, chance)
        self._add("orders", self._header(sale, products, shipping, discount, total, way, moments))
        self.invoices += 1
        number = self._add(
            "order_invoices", _invoice_row(sale, self.invoices, products, shipping, discount, total, moments)
        )
        for row in lines:
            self.buffers["order_details"].append(row | {"id_order_invoice": number})
        self._around(sale, shipping, discount, total, way, moments, number)
        for credit_invoice, credit in sale.refunds:
            self._slip(sale, credit_invoice, credit, lines, taxed=taxed)
        if sale.placeholder:
            self._empty_slip(sale, lines, taxed=taxed)

    def _detail(self, sale: Sale, line: Line, *, taxed: bool) -> Row:
        tax = {STANDARD: 1, ZERO_RATED: 2}.get(self.group(line.code)) if taxed else None
        self.next["order_details"] += 1
        sale.details.append(self.next["order_details"])
        return {
            "id": self.next["order_details"],
            "id_order": sale.order,
            "product_id": self.products[line.code],
            "id_shop": 1,
            "product_name": line.name,
            "product_reference": line.code,
            "product_quantity": line.quantity,
            "product_quantity_in_stock": line.quantity,
            "id_tax_rules_group": self.group(line.code),
            "associations": TAXED[tax],
        } | _amounts(line.price, line.quantity, 20 if tax == 1 else 0, self._cost_share(line.code))

    def _cost_share(self, code: str) -> Decimal:
        """The share of its price that a code costs."""
        if code not in self.costs:
            self.costs[code] = Decimal(str(round(0.42 + 0.28 * draw(self.seed, "cost", code), 4)))
        return self.costs[code]

    def _way(self, invoice: Invoice, total: Both, chance: Random) -> str:
        if total.incl == 0:
            return "free"
        if not invoice.customer:
            return "card" if chance.random() < 0.7 else "paypal"
        return chance.choices(("card", "wire", "cheque"), (30, 50, 20))[0]

    def _header(
        self,
        sale: Sale,
        products: Both,
        shipping: Both,
        discount: Both,
        total: Both,
        way: str,
        moments: _Moments,
    ) -> Row:
        module, label, _, _ = WAYS.get(way, ("free_order", "Free order", 2, (0, 0)))
        return {
            "id_address_delivery": sale.address, "id_address_invoice": sale.address, "id_cart": sale.order,
            "id_currency": GBP, "id_lang": 1, "id_customer": sale.customer,
            "id_carrier": PARCEL if sale.shipping > 0 else COLLECTED, "current_state": 5, "module": module,
            "invoice_number": self.invoices + 1, "invoice_date": moments.paid, "delivery_number": self.invoices + 1,
            "delivery_date": moments.sent, "valid": "1", "date_add": moments.placed, "date_upd": moments.delivered,
            "id_shop_group": 1, "id_shop": 1, "payment": label, "round_mode": 2, "round_type": TOTAL,
            "conversion_rate": "1.000000", "reference": sale.invoice.number, "total_paid_real": six(total.incl),
            "carrier_tax_rate": "20.000" if shipping.incl > shipping.excl else "0.000",
            "total_discounts": six(discount.incl), "total_discounts_tax_incl": six(discount.incl),
            "total_discounts_tax_excl": six(discount.excl), "total_paid": six(total.incl),
            "total_paid_tax_incl": six(total.incl), "total_paid_tax_excl": six(total.excl),
            "total_products": six(products.excl), "total_products_wt": six(products.incl),
            "total_shipping": six(shipping.incl), "total_shipping_tax_incl": six(shipping.incl),
            "total_shipping_tax_excl": six(shipping.excl),
        }  # fmt: skip

    def _around(
        self,
        sale: Sale,
        shipping: Both,
        discount: Both,
        total: Both,
        way: str,
        moments: _Moments,
        invoice_id: int,
    ) -> None:
        """Carriage, discount, payment and history of an order."""
        _, label, state, _ = WAYS.get(way, ("", "Free order", 2, (0, 0)))
        self._add("order_carriers", {
            "id_order": sale.order, "id_carrier": PARCEL if sale.shipping > 0 else COLLECTED, "id_order_invoice": invoice_id,
            "shipping_cost_tax_excl": six(shipping.excl), "shipping_cost_tax_incl": six(shipping.incl),
            "date_add": moments.placed,
        })  # fmt: skip
        if discount.incl:
            rule = self._add("cart_rules", {
                "id_customer": sale.customer, "date_from": moments.placed, "date_to": moments.delivered, "quantity": 0,
                "quantity_per_user": 1, "priority": 1, "code": f"D-{sale.invoice.number}", "reduction_amount": six(discount.excl),
                "reduction_currency": GBP, "active": "1", "date_add": moments.placed, "date_upd": moments.placed,
                "name": [{"id": 1, "value": "Discount"}],
            })  # fmt: skip
            self._add("order_cart_rules", {
                "id_order": sale.order, "id_cart_rule": rule, "id_order_invoice": invoice_id, "name": "Discount",
                "value": six(discount.incl), "value_tax_excl": six(discount.excl),
            })  # fmt: skip
        if total.incl > 0:
            online = way in {"card", "paypal"}
            self._add("order_payments", {
                "order_reference": sale.invoice.number, "id_currency": GBP, "amount": six(total.incl), "payment_method": label,
                "conversion_rate": "1.000000", "date_add": moments.paid, "id_employee": "" if online else 1,
                "transaction_id": f"TX-{int(draw(self.seed, 'tx', sale.invoice.number) * (1 << 48)):012X}" if online else "",
            })  # fmt: skip
        steps = [
            (2, moments.paid, 0),
            (3, moments.packed, 1),
            (4, moments.sent, 1),
            (5, moments.delivered, 1),
        ]
        if state != 2:
            steps.insert(0, (state, moments.placed, 0))
        for entered, when, employee in steps:
            self._add("order_histories", {
                "id_employee": employee, "id_order_state": entered, "id_order": sale.order, "date_add": when,
            })  # fmt: skip

    # -------------------------------------------------------------------------------- slips

    def _slip(self, sale: Sale, invoice: Invoice, credit: Credit, lines: list[Row], *, taxed: bool) -> None:
        entries = []
        for part in credit.parts:
            row = lines[part.place]
            rate = (
                Decimal(20)
                if (row["associations"] or {"taxes": [{"id": 0}]})["taxes"][0]["id"] == 1
                else Decimal(0)
            )
            entries.append((row, part.quantity, Both.of(part.amount, rate)))
        carriage = Both.of(ROUNDING.money(credit.shipping), Decimal(20 if taxed else 0)).money(ROUNDING)
        self._slip_row(sale, invoice, entries, carriage)

    def _empty_slip(self, sale: Sale, lines: list[Row], *, taxed: bool) -> None:
        entries = []
        for row, line in zip(lines, sale.placeholder, strict=True):
            rate = Decimal(20 if taxed and self.group(line.code) == STANDARD else 0)
            entries.append((row, -line.quantity, Both.of(-line.amount, rate)))
        self._slip_row(sale, sale.invoice, entries, Both())

    def _slip_row(
        self, sale: Sale, invoice: Invoice, entries: list[tuple[Row, int, Both]], carriage: Both
    ) -> None:
        products = sum((worth for _, _, worth in entries), Both()).money(ROUNDING)
        when = str(invoice.when)
        slip = self.next["order_slip"] + 1
        parts = [{
            "id": slip, "id_order_detail": row["id"], "product_quantity": quantity, "amount_tax_excl": six(ROUNDING.money(worth.excl)),
            "amount_tax_incl": six(ROUNDING.money(worth.incl)),
        } for row, quantity, worth in entries]  # fmt: skip
        self._add("order_slip", {
            "id_customer": sale.customer, "id_order": sale.order, "conversion_rate": "1.000000",
            "total_products_tax_excl": six(products.excl), "total_products_tax_incl": six(products.incl),
            "total_shipping_tax_excl": six(carriage.excl), "total_shipping_tax_incl": six(carriage.incl),
            "amount": six(products.incl), "shipping_cost": "1" if carriage.incl else "0", "shipping_cost_amount": six(carriage.incl),
            "partial": 0, "order_slip_type": 2 if carriage.incl else 0, "date_add": when, "date_upd": when,
            "associations": {"order_slip_details": parts} if parts else None,
        })  # fmt: skip
        stored = {r["id"]: r for r in self.buffers["order_details"][-len(sale.details) :]}
        for row, quantity, worth in entries:
            target = stored[row["id"]]
            target["product_quantity_refunded"] = int(target.get("product_quantity_refunded", 0)) + quantity
            for name, amount in (
                ("total_refunded_tax_excl", worth.excl),
                ("total_refunded_tax_incl", worth.incl),
            ):
                target[name] = six(Decimal(target.get(name, 0)) + amount)


#: Tax id to the association of a line, one object for all lines.
TAXED: dict[int | None, Row | None] = {1: {"taxes": [{"id": 1}]}, 2: {"taxes": [{"id": 2}]}, None: None}


@lru_cache(maxsize=65536)
def _amounts(price: Decimal, quantity: int, rate: int, cost_share: Decimal) -> Row:
    """The amount columns of a line."""
    unit = Both.of(price, Decimal(rate))
    cost = six(price * cost_share)
    return {
        "product_price": six(price),
        "unit_price_tax_excl": six(unit.excl),
        "unit_price_tax_incl": six(unit.incl),
        "total_price_tax_excl": six(ROUNDING.line(unit.excl, quantity)),
        "total_price_tax_incl": six(ROUNDING.line(unit.incl, quantity)),
        "original_product_price": six(price),
        "purchase_supplier_price": cost,
        "original_wholesale_price": cost,
    }


def _worth(row: Row) -> Both:
    """The total of a line, unrounded as the shop keeps it."""
    return Both(Decimal(row["total_price_tax_excl"]), Decimal(row["total_price_tax_incl"]))


def _discount(amount: Decimal, products: Both) -> Both:
    """A discount without tax, and with the tax that the goods bear on average."""
    if not amount or not products.excl:
        return Both()
    return Both(amount, amount * products.incl / products.excl).money(ROUNDING)


def _invoice_row(
    sale: Sale, number: int, products: Both, shipping: Both, discount: Both, total: Both, moments: _Moments
) -> Row:
    return {
        "id_order": sale.order, "number": number, "delivery_number": number, "delivery_date": moments.sent,
        "total_discount_tax_excl": six(discount.excl), "total_discount_tax_incl": six(discount.incl),
        "total_paid_tax_excl": six(total.excl), "total_paid_tax_incl": six(total.incl), "total_products": six(products.excl),
        "total_products_wt": six(products.incl), "total_shipping_tax_excl": six(shipping.excl),
        "total_shipping_tax_incl": six(shipping.incl), "shop_address": "Retail Sandbox", "date_add": moments.paid,
    }  # fmt: skip


class _Moments:
    """When an order was placed, paid, packed, sent and delivered."""

    def __init__(self, invoice: Invoice, way: str, chance: Random) -> None:
        low, high = WAYS.get(way, ("", "", 2, (0, 0)))[3]
        placed = invoice.when
        paid = placed + timedelta(
            days=chance.randint(low, high), minutes=chance.randint(0, 400) if high else 0
        )
        packed = paid + timedelta(minutes=chance.randint(20, 900))
        sent = packed + timedelta(minutes=chance.randint(20, 900))
        delivered = sent + timedelta(minutes=chance.randint(900, 6000))
        self.placed, self.paid, self.packed = str(placed), str(paid), str(packed)
        self.sent, self.delivered = str(sent), str(delivered)


FIRST = (
    "Ada",
    "Bruno",
    "Clara",
    "Dario",
    "Elsa",
    "Farid",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Klara",
    "Luca",
    "Mina",
    "Noor",
)
LAST = (
    "Sample",
    "Placeholder",
    "Specimen",
    "Instance",
    "Muster",
    "Exemple",
    "Voorbeeld",
    "Ejemplo",
    "Esempio",
    "Beispiel",
)
