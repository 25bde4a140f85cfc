"""One chunk of shop rows in, one chunk of ledger rows out: the part that also runs in other processes.

What lives here: calling accounting group by group and laying its values out as columns. What does
not: reading and writing the warehouse (``shop_rows``, ``ledger``).
"""

from __future__ import annotations

import hashlib
import json
import logging
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

import pyarrow as pa

from ps_qb_pipeline.accounting import intake, translate
from ps_qb_pipeline.accounting.documents import Customer, Document, Item, Source, Translation, to_json
from ps_qb_pipeline.accounting.findings import Finding
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.shop import Poison, ReferenceGroup, Shop
from ps_qb_pipeline.warehouse import shop_rows
from ps_qb_pipeline.warehouse.tables import LEDGER, TABLES, arrow_array

log = logging.getLogger(__name__)

Rows = dict[str, list[tuple[Any, ...]]]
_Card = TypeVar("_Card", Customer, Item)
Cards = dict[str, tuple[int, _Card]]
"""Customers or items by key, each with the newest order that uses it."""


@dataclass(frozen=True, slots=True)
class Written:
    """The ledger rows of one chunk, by table, and the number of orders that they come from."""

    orders: int
    tables: dict[str, pa.Table]


@dataclass(frozen=True, slots=True)
class Translator:
    """What every chunk shares. Called with a chunk, it gives the chunk's ledger rows."""

    lookups: Mapping[str, list[shop_rows.Row]]
    shop: Shop
    policy: Policy
    go_live: date
    poisoned: Mapping[int, tuple[Poison, ...]] = field(default_factory=dict)
    """Rows that could not be read at all, by the order that they belong to."""

    def __call__(self, chunk: shop_rows.Chunk) -> Written:
        """The ledger rows of one chunk."""
        read = {name: shop_rows.rows(table) for name, table in chunk.items()}
        posted = read.pop(shop_rows.POSTED)
        books = translate.Books(
            {row["key"]: row["txn_date"] for row in posted},
            frozenset(row["key"] for row in posted if row["type"] == "Invoice"),
        )
        tables = {**self.lookups, **read}
        rows: Rows = {name: [] for name in LEDGER}
        customers: Cards[Customer] = {}
        items: Cards[Item] = {}
        for group in intake.groups(tables, self.shop):
            made = self.translated(group, books)
            _lay_out(made, rows)
            _keep_cards(made, customers, items)
        rows["ledger.customers"] = [_customer(card, newest) for newest, card in customers.values()]
        rows["ledger.items"] = [_item(item, newest) for newest, item in items.values()]
        return Written(
            len(tables["orders"]), {name: _table(name, found) for name, found in rows.items() if found}
        )

    def translated(self, group: ReferenceGroup, books: translate.Books) -> Translation:
        """What accounting makes of a group; a group that it fails on is held whole, and nothing else with it."""
        unread = tuple(entry for order in group.orders for entry in self.poisoned.get(order.id, ()))
        if unread:
            group = replace(group, poison=(*group.poison, *unread))
        try:
            return translate.translate(
                group, self.policy, go_live=self.go_live, posted=books.posted, invoices=books.invoices
            )
        except Exception as error:  # noqa: BLE001  -- one order must never stop the others
            orders = [order.id for order in group.orders]
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.warning(
                "orders %s: %s in %s, line %s", orders, type(error).__name__, place.name, place.lineno
            )
            return _held_whole(group, f"The engine failed on it ({type(error).__name__}).")


def translator(
    lookups: Mapping[str, pa.Table],
    catalogue: Mapping[str, pa.Table],
    policy: Policy,
    go_live: date,
    *,
    poisoned: Mapping[int, tuple[Poison, ...]] | None = None,
) -> Translator:
    """What translates chunks: the look-up tables and the catalogue are read once, here."""
    read = {name: shop_rows.rows(table) for name, table in lookups.items()}
    shop = intake.read_shop({**read, **{name: shop_rows.rows(table) for name, table in catalogue.items()}})
    return Translator(read, shop, policy, go_live, poisoned or {})


def ledger_rows(documents: Iterable[Document], customers: Iterable[Customer]) -> dict[str, pa.Table]:
    """The ledger rows of documents and cards alone, by table."""
    rows: Rows = {name: [] for name in LEDGER}
    for document in documents:
        _lay_out_document(document, rows)
    rows["ledger.customers"] += (_customer(customer, 0) for customer in customers)
    return {name: _table(name, found) for name, found in rows.items() if found}


def finding_rows(findings: Iterable[Finding]) -> dict[str, pa.Table]:
    """The ledger rows of findings alone."""
    return {"ledger.findings": _table("ledger.findings", [_finding(one) for one in findings])}


def encode(table: pa.Table) -> bytes:
    """A table as bytes, for another process."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def decode(data: bytes) -> pa.Table:
    """The table that ``encode`` made bytes of."""
    return pa.ipc.open_stream(data).read_all()


def _held_whole(group: ReferenceGroup, message: str) -> Translation:
    """Every order, payment and slip of the group as a held source, with one finding each order."""

    def source(kind: str, number: int, order: Any, amount: Decimal, currency: str, event_at: Any) -> Source:
        shop = order.id_shop if order else 0
        return Source(
            kind,  # type: ignore[arg-type]  # one of the three kinds named below
            number,
            order.id if order else 0,
            shop,
            group.reference,
            "held",
            "POISON_RECORD",
            currency,
            amount,
            event_at,
        )

    first = group.orders[0] if group.orders else None
    sources = []
    for order in group.orders:
        sources.append(source("order", order.id, order, order.paid.ti, order.currency, order.date_add))
        for slip in order.slips:
            refunded = slip.products.ti + slip.shipping.ti
            sources.append(source("slip", slip.id, order, refunded, order.currency, slip.date_add))
    sources += [
        source("payment", payment.id, first, payment.amount, payment.currency, payment.date_add)
        for payment in group.payments
    ]
    findings = tuple(
        Finding(
            "POISON_RECORD",
            entry.type,
            entry.source_id,
            entry.order_id,
            "",
            entry.amount,
            entry.currency,
            message,
        )
        for entry in sources
    )
    return Translation((), (), (), findings, tuple(sources))


def _lay_out(made: Translation, rows: Rows) -> None:
    rows["ledger.sources"] += (
        (
            source.type,
            source.source_id,
            source.order_id,
            source.id_shop,
            source.reference,
            source.status,
            source.reason,
            source.currency,
            source.amount,
            source.event_at,
            source.document_key,
        )
        for source in made.sources
    )
    rows["ledger.findings"] += (_finding(finding) for finding in made.findings)
    for document in made.documents:
        _lay_out_document(document, rows)


def _keep_cards(made: Translation, customers: Cards[Customer], items: Cards[Item]) -> None:
    """Adds the cards that documents name: what is held creates nothing in the books."""
    newest = max((document.order_id for document in made.documents), default=0)
    customer_keys = {document.customer_key for document in made.documents}
    item_keys = {line.item for document in made.documents for line in document.lines}
    for customer in made.customers:
        if customer.key in customer_keys:
            _keep(customers, customer, newest)
    for item in made.items:
        if item.key in item_keys:
            _keep(items, item, newest)


def _keep(cards: Cards[_Card], card: _Card, newest: int) -> None:
    """The newest order's word stands, as it does between chunks: most cards of a chunk are used many times."""
    known = cards.get(card.key)
    if known is None or newest > known[0] or (newest == known[0] and to_json(card) > to_json(known[1])):
        cards[card.key] = (newest, card)


def _customer(customer: Customer, order_id: int) -> tuple[Any, ...]:
    return (customer.key, to_json(customer), customer.display_name, customer.currency, order_id)


def _item(item: Item, order_id: int) -> tuple[Any, ...]:
    return (item.key, to_json(item), item.sku, item.name, order_id)


def _lay_out_document(document: Document, rows: Rows) -> None:
    body = to_json(document)
    rows["ledger.documents"].append(
        (
            document.key,
            document.type,
            document.role,
            document.source_id,
            document.revision,
            document.doc_number,
            document.order_id,
            document.id_shop,
            document.reference,
            document.txn_date,
            document.due_date,
            document.currency,
            document.exchange_rate,
            document.home_total,
            document.customer_key,
            document.customer_name,
            document.location,
            document.global_tax,
            document.total,
            document.total_tax,
            document.deposit_to,
            document.payment_method,
            document.unapplied,
            document.refund_of,
            document.private_note,
            body,
            hashlib.sha256(body.encode()).hexdigest(),
        )
    )
    rows["ledger.lines"] += (
        (
            document.key,
            number,
            line.kind,
            line.item,
            line.sku,
            line.product_id,
            line.product_attribute_id,
            line.order_detail_id,
            line.amount,
            line.tax_code,
            line.quantity,
            line.unit_price,
            line.description,
            document.order_id,
        )
        for number, line in enumerate(document.lines, 1)
    )
    rows["ledger.taxes"] += (
        (document.key, tax.code, tax.rate, tax.base, tax.amount, document.order_id) for tax in document.taxes
    )
    rows["ledger.applied"] += (
        (document.key, part.to_key, part.to_doc_number, part.amount, document.order_id)
        for part in document.applied
    )


def _finding(finding: Finding) -> tuple[Any, ...]:
    return (
        finding.code,
        finding.severity,
        finding.owner,
        finding.source_type,
        finding.source_id,
        finding.order_id,
        finding.document_key,
        finding.amount,
        finding.currency,
        finding.message,
        json.dumps(finding.evidence, sort_keys=True, default=str),
    )


def _table(name: str, rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table(
        {
            column: arrow_array(values, kind)
            for (column, kind), values in zip(TABLES[name].items(), columns, strict=True)
        }
    )
