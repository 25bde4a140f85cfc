"""A small shop with its ledger, its intents and the mirror of its books, in a DuckDB in memory.

What lives here: a world in which both sides agree, whose books the tests then change. What does not:
the pipeline's own way of filling these tables; every row here is written out by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from ps_qb_pipeline.warehouse.models import load_models, run_models
from ps_qb_pipeline.warehouse.tables import create_tables

MODELS = load_models()
OURS = {name: model for name, model in MODELS.items() if model.schema in {"recon", "marts"}}
READ = {name for model in OURS.values() for name in model.reads if name.startswith("staging.")} | {
    "staging.prestashop_order_states",
    "staging.prestashop_shops",
    "staging.quickbooks_company_info",
    "staging.quickbooks_preferences",
}
AS_OF = date(2026, 2, 10)
CLEARING = "Clearing:Stripe EUR"
BANK = "Bank:Main EUR"
ID_CURRENCY = {"EUR": 1, "USD": 2}
SALES = {
    "SalesReceipt": "sales_receipts",
    "Invoice": "invoices",
    "RefundReceipt": "refund_receipts",
    "CreditMemo": "credit_memos",
}
"""The kinds whose lines are read beside their document: here they follow from the two tables of all kinds."""
ITEMS = {"sku:SKU-1": "11", "PS Shipping": "12", "PS Discount": "13"}


def _staging_tables(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("create schema if not exists staging")
    for model in MODELS.values():
        if model.name in READ and model.name.removeprefix("staging.quickbooks_") not in SALES.values():
            body = ", ".join(f'"{column.name}" {column.type or "varchar"}' for column in model.columns)
            con.execute(f"create table {model.name} ({body})")
    for kind, name in SALES.items():
        con.execute(
            f"""
            create or replace view staging.quickbooks_{name} as
            select documents.*, lines.lines
            from staging.quickbooks_documents as documents
            left join (
                select id, list({{'item_id': item_id, 'amount': amount}}) as lines
                from staging.quickbooks_document_lines where entity = '{kind}' group by id
            ) as lines on documents.id = lines.id
            where documents.entity = '{kind}'
            """
        )


@dataclass
class World:
    """The tables of one connection, with words to fill and to disturb them."""

    con: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)
    next_book_id: int = 100
    filled: bool = False
    """Whether ``con`` already holds a world that was kept."""

    def __post_init__(self) -> None:
        if self.filled:
            return
        create_tables(self.con)
        _staging_tables(self.con)
        self.rows("staging.prestashop_currencies", {"id": 1, "iso_code": "EUR"}, {"id": 2, "iso_code": "USD"})
        self.rows("staging.prestashop_countries", {"id": 8, "iso_code": "FR"}, {"id": 1, "iso_code": "DE"})
        self.rows("staging.prestashop_carriers", {"id": 3, "name": "Post"})
        self.rows("staging.prestashop_configurations", {"id": 1, "name": "PS_CURRENCY_DEFAULT", "value": "1"})
        self.rows("staging.prestashop_shops", {"id": 1, "name": "Boutique"})
        self.rows("staging.quickbooks_preferences", {"id": "1", "home_currency": "EUR"})
        named = (CLEARING, BANK, "Sales of goods", "Shipping income", "Rent", "VAT")
        for number, name in enumerate(named):
            account = {"id": str(number + 1), "fully_qualified_name": name}
            kind = "GlobalTaxPayable" if name == "VAT" else None
            self.rows("staging.quickbooks_accounts", {**account, "name": name, "account_sub_type": kind})
            self.rows("staging.quickbooks_account_names", account)
        self.rows(
            "staging.quickbooks_items",
            {"id": "11", "name": "SKU-1", "income_account_id": "3"},
            {"id": "12", "name": "PS Shipping", "income_account_id": "4"},
            {"id": "13", "name": "PS Discount", "income_account_id": "3"},
            {"id": "19", "name": "Room hire", "income_account_id": "5"},
        )
        self.con.execute(
            "insert into staging.quickbooks_item_names (name, id) select name, id from staging.quickbooks_items"
        )
        self.rows("ledger.items", {"key": "sku:SKU-1", "sku": "SKU-1", "name": "SKU-1", "body": "{}"})
        self.rows(
            "staging.prestashop_products",
            {"id": 5, "wholesale_price": Decimal("3.50"), "id_category_default": 2},
        )

    def rows(self, table: str, *rows: dict[str, Any]) -> None:
        """Adds rows given by column name."""
        for row in rows:
            names = ", ".join(f'"{name}"' for name in row)
            marks = ", ".join("?" for _ in row)
            self.con.execute(f"insert into {table} ({names}) values ({marks})", list(row.values()))

    def sale(
        self,
        order: int,
        *,
        day: date = date(2026, 1, 15),
        net: str = "25.00",
        tax: str = "5.00",
        currency: str = "EUR",
        rate: str = "",
        document: str = "SalesReceipt",
        booked: bool = True,
        customer: int = 12,
        restocked: int = 0,
        wholesale: str = "4.00",
        discount: str = "",
    ) -> str:
        """An order over one product and 5.00 shipping, its document, and that document in the books."""
        net_amount, tax_amount = Decimal(net), Decimal(tax)
        total = net_amount + tax_amount
        moment = datetime(day.year, day.month, day.day, 10, 0, 5)  # noqa: DTZ001 - the shop keeps wall time
        self._order(order, net_amount, total, moment, customer=customer, currency=currency, rate=rate)
        self._goods(order, restocked, wholesale)
        self._paid(order, total, moment, currency)
        key = f"1|sale|{order}|0"
        pay_key = key if document == "SalesReceipt" else f"1|payment|{order + 5000}|0"
        for kind, source, of in (("order", order, key), ("payment", order + 5000, pay_key)):
            self.source(kind, source, order, "postable", total, currency, moment, of)
        goods = net_amount - 5 + Decimal(discount or 0)
        parts = [("product", "sku:SKU-1", goods, order * 10), ("shipping", "PS Shipping", Decimal(5), 0)]
        if discount:
            parts.append(("discount", "PS Discount", -Decimal(discount), 0))
        account = CLEARING if document == "SalesReceipt" else ""
        number = f"PS1-{order}"
        self.document(
            key, document, order, number, day, currency, rate, net_amount, tax_amount, parts, customer, account, booked
        )  # fmt: skip
        if document == "Invoice":
            number = f"PS1-P{order + 5000}"
            self.document(
                pay_key, "Payment", order, number, day, currency, rate, total, Decimal(0), [], customer, BANK, booked
            )  # fmt: skip
        return key

    def _order(
        self,
        order: int,
        net: Decimal,
        total: Decimal,
        moment: datetime,
        *,
        customer: int,
        currency: str,
        rate: str,
    ) -> None:
        """The order in the shop and where it goes."""
        self.rows(
            "staging.prestashop_orders",
            {
                "id": order,
                "id_shop": 1,
                "id_customer": customer,
                "id_address_delivery": order,
                "id_carrier": 3,
                "id_currency": ID_CURRENCY[currency],
                "reference": f"REF{order}",
                "payment": "Stripe",
                "total_paid_tax_incl": total,
                "total_paid_tax_excl": net,
                "conversion_rate": Decimal(1) / Decimal(rate or 1),
                "date_add": moment,
                "valid": True,
            },
        )
        self.rows("staging.prestashop_addresses", {"id": order, "id_country": 8})

    def _goods(self, order: int, restocked: int, wholesale: str) -> None:
        """Two mugs."""
        self.rows(
            "staging.prestashop_order_details",
            {
                "id": order * 10,
                "id_order": order,
                "product_id": 5,
                "product_attribute_id": 0,
                "product_name": "Mug",
                "product_reference": "SKU-1",
                "product_quantity": 2,
                "product_quantity_refunded": 0,
                "product_quantity_return": 0,
                "product_quantity_reinjected": restocked,
                "original_wholesale_price": Decimal(wholesale),
            },
        )

    def _paid(self, order: int, total: Decimal, moment: datetime, currency: str) -> None:
        """The payment row of an order."""
        self.rows(
            "staging.prestashop_order_payments",
            {
                "id": order + 5000,
                "order_reference": f"REF{order}",
                "id_currency": ID_CURRENCY[currency],
                "amount": total,
                "payment_method": "Stripe",
                "date_add": moment,
            },
        )

    def refund(
        self,
        slip: int,
        order: int,
        *,
        net: str = "10.00",
        tax: str = "2.00",
        day: date = date(2026, 1, 20),
        booked: bool = True,
    ) -> str:
        """A credit slip over one unit of the order's product, its refund receipt, and that in the books."""
        net_amount, tax_amount = Decimal(net), Decimal(tax)
        moment = datetime(day.year, day.month, day.day, 9, 0, 0)  # noqa: DTZ001 - the shop keeps wall time
        self.rows(
            "staging.prestashop_order_slip",
            {
                "id": slip,
                "id_order": order,
                "total_products_tax_excl": net_amount,
                "total_products_tax_incl": net_amount + tax_amount,
                "total_shipping_tax_excl": Decimal(0),
                "total_shipping_tax_incl": Decimal(0),
                "date_add": moment,
            },
        )
        self.con.execute(
            "update staging.prestashop_order_details set product_quantity_refunded = product_quantity_refunded + 1"
            " where id_order = ?",
            [order],
        )
        key = f"1|refund|{slip}|0"
        self.source("slip", slip, order, "postable", net_amount + tax_amount, "EUR", moment, key)
        self.document(
            key,
            "RefundReceipt",
            order,
            f"PS1-R{slip}",
            day,
            "EUR",
            "",
            net_amount,
            tax_amount,
            [("product", "sku:SKU-1", net_amount, order * 10)],
            12,
            CLEARING,
            booked,
        )
        return key

    def source(
        self,
        kind: str,
        source: int,
        order: int,
        status: str,
        amount: Decimal,
        currency: str,
        moment: datetime,
        key: str = "",
        reason: str = "",
    ) -> None:
        """One row of the ledger's sources."""
        self.rows(
            "ledger.sources",
            {
                "source_type": kind,
                "source_id": source,
                "order_id": order,
                "id_shop": 1,
                "reference": f"REF{order}",
                "status": status,
                "reason": reason,
                "currency": currency,
                "amount": amount,
                "event_at": moment,
                "document_key": key,
            },
        )

    def unposted(self, order: int, status: str, reason: str, total: str = "30.00") -> None:
        """An order of the shop that has no document: held, not postable or before the start."""
        moment = datetime(2026, 1, 16, 8, 0, 0)  # noqa: DTZ001 - the shop keeps wall time
        amount = Decimal(total)
        self.rows(
            "staging.prestashop_orders",
            {
                "id": order,
                "id_shop": 1,
                "id_customer": 12,
                "id_currency": 1,
                "reference": f"REF{order}",
                "total_paid_tax_incl": amount,
                "total_paid_tax_excl": amount / Decimal("1.2"),
                "date_add": moment,
            },
        )
        self.source("order", order, order, status, amount, "EUR", moment, reason=reason)

    def document(
        self,
        key: str,
        kind: str,
        order: int,
        number: str,
        day: date,
        currency: str,
        rate: str,
        net: Decimal,
        tax: Decimal,
        parts: list[tuple[str, str, Decimal, int]],
        customer: int,
        account: str,
        booked: bool,
    ) -> None:
        """One ledger document with lines and tax, and its copy in the books if it is booked."""
        total = net + tax
        role, source = key.split("|")[1:3]
        home = (total * Decimal(rate)).quantize(Decimal("0.01")) if rate else None
        note = f"ps:{{v:1,i:1,s:1,o:{order},ref:REF{order},rev:0,role:{role},id:{source},h:00}}"
        self.rows(
            "ledger.documents",
            {
                "key": key,
                "type": kind,
                "role": role,
                "source_id": source,
                "revision": 0,
                "doc_number": number,
                "order_id": order,
                "id_shop": 1,
                "reference": f"REF{order}",
                "txn_date": day,
                "currency": currency,
                "exchange_rate": Decimal(rate) if rate else None,
                "home_total": home,
                "customer_key": f"1|customer|{customer}|{currency}",
                "customer_name": f"PS C{customer}",
                "global_tax": "TaxExcluded" if kind != "Payment" else "",
                "total": total,
                "total_tax": tax,
                "deposit_to": account,
                "unapplied": Decimal(0),
                "private_note": note,
                "body": "{}",
                "body_hash": "",
            },
        )
        for number_, (line_kind, item, amount, detail) in enumerate(parts, 1):
            self.rows(
                "ledger.lines",
                {
                    "document_key": key,
                    "line_no": number_,
                    "kind": line_kind,
                    "item": item,
                    "sku": item[4:],
                    "product_id": 5 if detail else 0,
                    "product_attribute_id": 0,
                    "order_detail_id": detail,
                    "amount": amount,
                    "tax_code": "FR20",
                    "quantity": (Decimal(1) if role == "refund" else Decimal(2)) if detail else None,
                    "description": "",
                },
            )
        if tax:
            self.rows(
                "ledger.taxes",
                {"document_key": key, "code": "FR20", "rate": Decimal(20), "base": net, "amount": tax},
            )
        if booked:
            book_id = self.book(
                kind, number, day, currency, total, tax, customer, account, key, rate, parts=parts
            )
            self.intent(key, kind, number, book_id, total)

    def intent(
        self, key: str, kind: str, number: str, book_id: str, total: Decimal, state: str = "CONFIRMED"
    ) -> None:
        """The record of a document that was written."""
        self.rows(
            "control.intents",
            {
                "key": key,
                "entity": kind,
                "role": key.split("|")[1],
                "source_id": key.split("|")[2],
                "revision": 0,
                "doc_number": number,
                "state": state,
                "qbo_id": book_id,
                "sync_token": "0",
                "operation": "create",
                "amount": total,
                "attempts": 1,
                "run_id": "run-1",
            },
        )

    def book(
        self,
        kind: str,
        number: str,
        day: date,
        currency: str,
        total: Decimal,
        tax: Decimal,
        customer: int,
        account: str,
        key: str | None,
        rate: str = "",
        item: str = "11",
        parts: Sequence[tuple[str, str, Decimal, int]] = (),
    ) -> str:
        """One document of the books; ``key`` is None for what a person made."""
        self.next_book_id += 1
        book_id = str(self.next_book_id)
        customer_id = f"{customer}{'' if currency == 'EUR' else currency}"
        name = f"PS C{customer}"
        accounts = {CLEARING: "1", BANK: "2"}
        self.rows(
            "staging.quickbooks_documents",
            {
                "entity": kind,
                "id": book_id,
                "sync_token": "0",
                "doc_number": number,
                "txn_date": day,
                "currency": currency,
                "exchange_rate": Decimal(rate) if rate else None,
                "total": total,
                "total_tax": None if kind == "Payment" else tax,
                "home_total": (total * Decimal(rate)).quantize(Decimal("0.01"))
                if rate and kind != "Payment"
                else None,
                "customer_id": customer_id,
                "customer_name": name,
                "deposit_to_id": accounts.get(account),
                "deposit_to_name": account or None,
                "source_key": key,
                "voided": False,
                "deleted": False,
                "private_note": "by hand" if key is None else "ps:{...}",
            },
        )
        if (
            self.con.execute(
                "select 1 from staging.quickbooks_customers where id = ?", [customer_id]
            ).fetchone()
            is None
        ):
            shown = name if currency == "EUR" else f"{name} {currency}"
            self.rows("staging.quickbooks_customers", {"id": customer_id, "display_name": shown})
            self.rows(
                "control.identities",
                {"kind": "Customer", "key": f"1|customer|{customer}|{currency}", "qbo_id": customer_id},
            )
        lines = [(ITEMS[name], amount) for _, name, amount, _ in parts] or [(item, total - tax)]
        for line_no, (item_id, amount) in enumerate(lines, 1):
            self.rows(
                "staging.quickbooks_document_lines",
                {"entity": kind, "id": book_id, "line_no": line_no, "amount": amount, "item_id": item_id},
            )
        if tax:
            self.rows(
                "staging.quickbooks_document_taxes",
                {
                    "entity": kind,
                    "id": book_id,
                    "line_no": 1,
                    "rate": Decimal(20),
                    "base": total - tax,
                    "amount": tax,
                },
            )
        return book_id

    def edit(self, number: str, **changes: Any) -> None:
        """A person's change to a document of the books, found by its number."""
        text = ", ".join(f"{name} = ?" for name in changes)
        self.con.execute(
            "update staging.quickbooks_documents set"
            f" {text}, sync_token = cast(cast(sync_token as integer) + 1 as varchar) where doc_number = ?",
            [*changes.values(), number],
        )

    def delete_in_books(self, number: str) -> None:
        """A person deletes a document in the books."""
        self.edit(number, deleted=True)

    def run(self, *schemas: str) -> None:
        """Runs the reconciliation and mart models, or those of one schema, as of the tests' day in EUR."""
        wanted = {name: model for name, model in OURS.items() if not schemas or model.schema in schemas}
        run_models(self.con, wanted, variables={"as_of": AS_OF, "home_currency": "EUR"})

    def all(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self.con.execute(sql).fetchall()

    def codes(self) -> dict[str, Decimal]:
        """Exception code to its summed amount."""
        return dict(self.all("select code, sum(amount) from recon.exceptions group by code order by code"))
