"""The way of one order: from the shop's rows to its class in the reconciliation, on one screen.

What lives here: reading that story and telling it as text. What does not: the page around it (``html``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb

from ps_qb_pipeline.reports.grid import grid
from ps_qb_pipeline.reports.table import (
    ACTION,
    ACTUAL,
    CODE,
    CURRENCY,
    EXPECTED,
    HAPPENED,
    OWNER,
    PERCENT,
    REFERENCE,
    SEVERITY,
    TAX_CODE,
    Column,
    Table,
)
from ps_qb_pipeline.reports.words import show


@dataclass(frozen=True, slots=True)
class Step:
    """One station of the order's way: a sentence, and the rows behind it."""

    title: str
    said: str
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderStory:
    """Everything about one order. ``verdict`` is one sentence, ``todo`` what a person should do next."""

    order_id: int
    reference: str
    verdict: str
    steps: tuple[Step, ...]
    todo: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """A table of the story: a query that gives ``order_id`` and then its columns."""

    title: str
    sql: str
    columns: tuple[Column, ...]


_ORDERS = _Part(
    "The order",
    """select orders.id as order_id, orders.reference, orders.date_add, orders.payment, currencies.iso_code,
        orders.total_paid_tax_excl, orders.total_paid_tax_incl, states.name as state, orders.fetched_at
    from staging.prestashop_orders as orders
    left join staging.prestashop_currencies as currencies on orders.id_currency = currencies.id
    left join staging.prestashop_order_states as states on orders.current_state = states.id
    where orders.id in (select unnest($ids))""",
    (
        REFERENCE,
        Column("date_add", "Made"),
        Column("payment", "Payment"),
        CURRENCY,
        Column("net", "Without tax", "money"),
        Column("gross", "With tax", "money"),
        Column("state", "State"),
        Column("fetched_at", "Read"),
    ),
)

_DETAILS = _Part(
    "Its lines",
    """select id_order as order_id, product_reference, product_name, product_quantity, total_price_tax_excl,
        total_price_tax_incl, product_quantity_refunded
    from staging.prestashop_order_details where id_order in (select unnest($ids)) order by id""",
    (
        Column("sku", "SKU"),
        Column("name", "Product"),
        Column("quantity", "Quantity", "quantity"),
        Column("net", "Without tax", "money"),
        Column("gross", "With tax", "money"),
        Column("refunded", "Refunded", "quantity"),
    ),
)

_MONEY = _Part(
    "Its payments and credit slips",
    """select order_id, source_type, source_id, currency, shop_amount, event_at
    from recon.shop_objects
    where order_id in (select unnest($ids)) and source_type <> 'order' and in_shop
    order by source_type, source_id""",
    (
        Column("type", "Kind"),
        Column("id", "Id", "id"),
        CURRENCY,
        Column("amount", "Amount", "money"),
        Column("at", "When"),
    ),
)

_SOURCES = _Part(
    "What became of each",
    """select order_id, source_type, source_id, status, reason, document_key
    from ledger.sources where order_id in (select unnest($ids))
    order by list_position(['order', 'payment', 'slip'], source_type), source_id""",
    (
        Column("type", "Kind"),
        Column("id", "Id", "id"),
        Column("status", "Verdict"),
        Column("reason", "Reason"),
        Column("document", "Document key"),
    ),
)

_DOCUMENTS = _Part(
    "Documents that should be in QuickBooks",
    """select order_id, doc_number, type, txn_date, customer_name, currency, exchange_rate, total - total_tax,
        total_tax, total, deposit_to
    from ledger.documents where order_id in (select unnest($ids)) order by txn_date, key""",
    (
        Column("doc_number", "Number"),
        Column("type", "Type"),
        Column("txn_date", "Date", "date"),
        Column("customer", "Customer"),
        CURRENCY,
        Column("rate", "Rate", "rate"),
        Column("net", "Net", "money"),
        Column("tax", "Tax", "money"),
        Column("total", "Total", "money"),
        Column("account", "Account"),
    ),
)

_LINES = _Part(
    "Their lines",
    """select documents.order_id, documents.doc_number, lines.kind, lines.item, lines.quantity, lines.amount,
        lines.tax_code, lines.description
    from ledger.lines as lines inner join ledger.documents as documents on lines.document_key = documents.key
    where documents.order_id in (select unnest($ids)) order by documents.txn_date, documents.key, lines.line_no""",
    (
        Column("doc_number", "Number"),
        Column("kind", "Kind"),
        Column("item", "Item"),
        Column("quantity", "Quantity", "quantity"),
        Column("amount", "Amount", "money"),
        Column("tax_code", "Tax code"),
        Column("description", "Description"),
    ),
)

_TAXES = _Part(
    "Their tax",
    """select documents.order_id, documents.doc_number, taxes.code, taxes.rate, taxes.base, taxes.amount
    from ledger.taxes as taxes inner join ledger.documents as documents on taxes.document_key = documents.key
    where documents.order_id in (select unnest($ids)) order by documents.txn_date, documents.key, taxes.rate desc""",
    (
        Column("doc_number", "Number"),
        TAX_CODE,
        PERCENT,
        Column("base", "Base", "money"),
        Column("amount", "Tax", "money"),
    ),
)

_FINDINGS = _Part(
    "What the rules found",
    """select findings.order_id, findings.code, findings.severity, findings.amount, findings.currency,
        coalesce(nullif(findings.message, ''), codes.meaning), codes.action
    from ledger.findings as findings left join recon.codes as codes using (code)
    where findings.order_id in (select unnest($ids)) order by findings.code""",
    (
        CODE,
        SEVERITY,
        Column("amount", "Amount", "money"),
        CURRENCY,
        Column("message", "What was found"),
        ACTION,
    ),
)

_HOLDS = _Part(
    "What holds it back",
    """select order_id, rule, table_name, message, since from validation.holds
    where order_id in (select unnest($ids)) order by rule""",
    (
        Column("rule", "Rule"),
        Column("table", "Table"),
        Column("message", "Why"),
        Column("since", "Since"),
    ),
)

_INTENTS = _Part(
    "What was sent",
    """select documents.order_id, intents.doc_number, intents.entity, intents.state, intents.attempts,
        intents.first_sent_at, intents.confirmed_at, intents.qbo_id, intents.fault_message, intents.run_id
    from control.intents as intents
    inner join (
        select distinct order_id, role, source_id from ledger.documents where order_id in (select unnest($ids))
    ) as documents using (role, source_id)
    order by intents.first_sent_at, intents.key""",
    (
        Column("doc_number", "Number"),
        Column("entity", "Type"),
        Column("state", "State"),
        Column("attempts", "Attempts", "integer"),
        Column("first_sent_at", "First sent"),
        Column("confirmed_at", "Confirmed"),
        Column("qbo_id", "QuickBooks id"),
        Column("fault", "Refusal"),
        Column("run_id", "Run"),
    ),
)

_BOOKS = _Part(
    "Its documents in QuickBooks",
    """select objects.order_id, books.doc_number, books.entity, books.id, books.txn_date, books.customer_name,
        books.currency, books.total_tax, books.total, books.deposit_to_name, 'live'
    from recon.objects as objects
    inner join staging.quickbooks_documents as books
        on objects.object_type = books.entity and objects.object_id = books.id
    where objects.side = 'books' and objects.order_id in (select unnest($ids)) and objects.class_group <> 'dead'
    union all
    select pairs.order_id, books.doc_number, books.entity, books.id, books.txn_date, books.customer_name,
        books.currency, books.total_tax, books.total, books.deposit_to_name,
        if(books.deleted, 'deleted', 'voided')
    from recon.pairs as pairs
    inner join staging.quickbooks_documents as books on pairs.books_entity = books.entity and pairs.books_id = books.id
    where not pairs.live and pairs.order_id in (select unnest($ids))
    order by 5, 3, 4""",
    (
        Column("doc_number", "Number"),
        Column("entity", "Type"),
        Column("id", "Id"),
        Column("txn_date", "Date", "date"),
        Column("customer", "Customer"),
        CURRENCY,
        Column("tax", "Tax", "money"),
        Column("total", "Total", "money"),
        Column("account", "Account"),
        Column("life", "Is"),
    ),
)

_CLASSES = _Part(
    "Classes",
    """select order_id, side, object_type, object_id, class, amount, currency from recon.objects
    where order_id in (select unnest($ids)) order by side desc, object_type, object_id""",
    (
        Column("side", "Side"),
        Column("object", "Object"),
        Column("id", "Id"),
        Column("class", "Class"),
        Column("amount", "Amount", "money"),
        CURRENCY,
    ),
)

_EXCEPTIONS = _Part(
    "Exceptions",
    """select order_id, code, severity, owner, amount, currency, expected, actual, message, action
    from recon.exceptions where order_id in (select unnest($ids)) order by severity, amount desc, code""",
    (
        CODE,
        SEVERITY,
        OWNER,
        Column("amount", "Amount", "money"),
        CURRENCY,
        EXPECTED,
        ACTUAL,
        HAPPENED,
        ACTION,
    ),
)

_PARTS = (
    _ORDERS, _DETAILS, _MONEY, _SOURCES, _DOCUMENTS, _LINES, _TAXES, _FINDINGS, _HOLDS, _INTENTS, _BOOKS, _CLASSES,
    _EXCEPTIONS,
)  # fmt: skip

_Rows = Mapping[str, Mapping[int, tuple[tuple[Any, ...], ...]]]


def find_orders(con: duckdb.DuckDBPyConnection, text: str) -> list[int]:
    """The ids of the orders that ``text`` may mean: an order id, a reference or a document number."""
    rows = con.execute(
        """select id from staging.prestashop_orders where cast(id as varchar) = $text or reference = $text
        union select order_id from ledger.documents where doc_number = $text
        union select order_id from ledger.sources where reference = $text
            or (source_type = 'order' and cast(source_id as varchar) = $text)
        order by 1""",
        {"text": text.strip()},
    ).fetchall()
    return [int(row[0]) for row in rows]


def explain(con: duckdb.DuckDBPyConnection, order_ids: Sequence[int]) -> list[OrderStory]:
    """The stories of these orders, in the order asked for; an id that nothing is known of is left out."""
    if not order_ids:
        return []
    rows = {part.title: _by_order(con, part, order_ids) for part in _PARTS}
    known = {order for part in rows.values() for order in part}
    return [_story(order, rows) for order in order_ids if order in known]


def _by_order(
    con: duckdb.DuckDBPyConnection, part: _Part, order_ids: Sequence[int]
) -> dict[int, tuple[tuple[Any, ...], ...]]:
    found: dict[int, list[tuple[Any, ...]]] = {}
    for order_id, *values in con.execute(part.sql, {"ids": list(order_ids)}).fetchall():
        found.setdefault(int(order_id), []).append(tuple(values))
    return {order: tuple(values) for order, values in found.items()}


def _story(order: int, rows: _Rows) -> OrderStory:
    def tables(*parts: _Part) -> tuple[Table, ...]:
        present = ((part, rows[part.title].get(order, ())) for part in parts)
        return tuple(Table("", part.title, "", part.columns, found) for part, found in present if found)

    def found(part: _Part) -> tuple[tuple[Any, ...], ...]:
        return rows[part.title].get(order, ())

    documents, live = found(_DOCUMENTS), [row for row in found(_BOOKS) if row[-1] == "live"]
    exceptions, holds = found(_EXCEPTIONS), found(_HOLDS)
    steps = (
        Step(
            "In the shop", _said_of_shop(found(_ORDERS), found(_SOURCES)), tables(_ORDERS, _DETAILS, _MONEY)
        ),
        Step(
            "What should be booked",
            f"{_number(len(documents), 'document')} from {_number(len(found(_SOURCES)), 'source')}.",
            tables(_SOURCES, _DOCUMENTS, _LINES, _TAXES),
        ),
        Step(
            "Rules",
            f"{_number(len(found(_FINDINGS)), 'finding')}, {_number(len(holds), 'hold')}.",
            tables(_FINDINGS, _HOLDS),
        ),
        Step("Posting", f"{_number(len(found(_INTENTS)), 'write')} recorded.", tables(_INTENTS)),
        Step("In QuickBooks", f"{_number(len(live), 'live document')}.", tables(_BOOKS)),
        Step(
            "Reconciliation",
            f"{_number(len(exceptions), 'open exception')}." if exceptions else "Nothing is open.",
            tables(_CLASSES, _EXCEPTIONS),
        ),
    )
    reference = str(found(_ORDERS)[0][0]) if found(_ORDERS) else ""
    todo = tuple(dict.fromkeys(f"{row[0]}: {row[7]} {row[8]}".strip() for row in exceptions))
    return OrderStory(order, reference, _verdict(found(_CLASSES), exceptions, len(live)), steps, todo)


def _number(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}".capitalize()


def _said_of_shop(orders: tuple[tuple[Any, ...], ...], sources: tuple[tuple[Any, ...], ...]) -> str:
    if not orders and any(row[3] == "POISON_RECORD" for row in sources):
        return "The shop's record of this order cannot be read; what is wrong stands under the rules."
    if not orders:
        return "The shop holds no such order any more."
    row = orders[0]
    return f"{show(row[5], 'money')} {row[3] or 'of an unknown currency'}, paid by {row[2] or 'an unnamed method'}."


def _verdict(classes: tuple[tuple[Any, ...], ...], exceptions: tuple[tuple[Any, ...], ...], live: int) -> str:
    if exceptions:
        amount = sum((row[3] for row in exceptions), Decimal(0))
        codes = ", ".join(dict.fromkeys(row[0] for row in exceptions))
        return f"Open: {codes}, {show(amount, 'money')} {exceptions[0][4]}."
    order_class = next((row[3] for row in classes if row[0] == "shop" and row[1] == "order"), "")
    if order_class == "matched":
        return f"Booked and equal to the cent in {_number(live, 'document').lower()}."
    if order_class == "before_go_live":
        return "Older than the start of this connection: counted, never booked."
    if order_class.startswith("not_postable:"):
        return f"Not to be booked: {order_class.partition(':')[2]}."
    return f"Class: {order_class or 'none'}."


def story_text(story: OrderStory) -> str:
    """The story for a terminal."""
    return "\n".join(_text_lines(story)) + "\n"


def _text_lines(story: OrderStory) -> Iterator[str]:
    yield f"Order {story.order_id}  {story.reference}"
    yield story.verdict
    for number, step in enumerate(story.steps, 1):
        yield f"\n{number}. {step.title}: {step.said}"
        for table in step.tables:
            yield f"\n   {table.title}"
            yield from grid(table)
    yield "\nWhat to do next"
    yield from (f"   - {entry}" for entry in story.todo or ("Nothing.",))
