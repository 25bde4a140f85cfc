"""The start of a connection: what QuickBooks holds already that looks like a shop order, and what is open.

What lives here: the list for a person to decide on, the decisions (remembered in the control plane), and
what they change. What does not: switching posting on (``state.connections``) and printing (``cli.cutover``).

A document is *adopted* when it is to stand for an order: it becomes the order's document, as if we had
posted it. An order is *excluded* when it is booked in another way: it is counted, never posted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.accounting.documents import Document, from_json
from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.orchestration import steps
from ps_qb_pipeline.orchestration.decisions import RESOURCE, decisions
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.posting import echo, plan
from ps_qb_pipeline.quickbooks.texts import canonical
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.audit import AuditEntry, append
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.database import writing
from ps_qb_pipeline.warehouse import models

NEAR = 3
"""Days that a document's date may lie from the order's to be like it."""


@dataclass(frozen=True, slots=True)
class Lookalike:
    """One document of the books that looks like an order of the shop; ``like`` says in what."""

    entity: str
    id: str
    doc_number: str
    txn_date: date
    total: Decimal
    currency: str
    order_id: int
    reference: str
    order_total: Decimal
    order_day: date
    like: tuple[str, ...]
    decision: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a person should look at before posting is switched on."""

    go_live: date
    lookalikes: tuple[Lookalike, ...]
    unpaid: tuple[tuple[str, date, str, Decimal, str], ...]
    """Invoices of the books with an open balance: number, date, customer, balance, currency."""
    vouchers: tuple[tuple[str, Decimal, str], ...]
    """Open vouchers of the shop: code, amount, currency."""
    owed: tuple[tuple[int, str, date, Decimal, str], ...]
    """Orders from before the start that were invoiced and not paid in full: id, reference, day, rest, currency."""


_LOOKALIKES = """
with books as (
    select entity, id, coalesce(doc_number, '') as doc_number, txn_date, total, currency,
        lower(coalesce(customer_name, '')) as customer_name, coalesce(private_note, '') as note
    from staging.quickbooks_documents
    where entity in ('SalesReceipt', 'Invoice') and not coalesce(deleted, false) and not coalesce(voided, false)
        and coalesce(source_key, '') = ''
        and (entity, id) not in (select (entity, qbo_id) from control.intents where qbo_id <> '')
),
orders as (
    select orders.id, orders.reference, orders.invoice_number, cast(orders.date_add as date) as placed,
        cast(coalesce(orders.invoice_date, orders.date_add) as date) as day,
        cast(orders.total_paid_tax_incl as decimal(18, 2)) as total, currencies.iso_code as currency,
        lower(concat_ws(' ', customers.firstname, customers.lastname)) as person,
        lower(coalesce(customers.company, '')) as company
    from staging.prestashop_orders as orders
    left join staging.prestashop_currencies as currencies on orders.id_currency = currencies.id
    left join staging.prestashop_customers as customers on orders.id_customer = customers.id
),
pairs as (
    select books.*, orders.id as order_id, orders.reference, orders.total as order_total, orders.day,
        doc_number <> '' and (
            doc_number = orders.reference
            or regexp_extract(doc_number, '([0-9]+)$', 1) = cast(orders.id as varchar)
            or (orders.invoice_number > 0
                and ltrim(regexp_extract(doc_number, '([0-9]+)$', 1), '0') = cast(orders.invoice_number as varchar))
        ) or (orders.reference <> '' and contains(note, orders.reference)) as by_number,
        books.total = orders.total and books.currency = orders.currency as by_amount,
        least(abs(books.txn_date - orders.day), abs(books.txn_date - orders.placed)) <= $near as by_date,
        customer_name <> '' and (customer_name = person or (company <> '' and customer_name = company)) as by_customer
    from books inner join orders
        on (books.total = orders.total and books.currency = orders.currency)
        or doc_number = orders.reference
        or (orders.invoice_number > 0
            and ltrim(regexp_extract(doc_number, '([0-9]+)$', 1), '0') = cast(orders.invoice_number as varchar))
        or regexp_extract(doc_number, '([0-9]+)$', 1) = cast(orders.id as varchar)
),
likely as (
    select *, cast(by_number as int) * 2 + cast(by_amount as int) + cast(by_date as int) + cast(by_customer as int)
        as points
    from pairs
    where (by_number and (by_amount or by_date)) or (by_amount and by_date and by_customer)
)
select entity, id, doc_number, txn_date, total, currency, order_id, reference, order_total, day,
    by_number, by_amount, by_date, by_customer
from likely
qualify row_number() over (partition by entity, id order by points desc, order_id) = 1
order by txn_date, doc_number, id
"""

_UNPAID = """
select coalesce(doc_number, ''), txn_date, coalesce(customer_name, ''), cast(balance as decimal(18, 2)), currency
from staging.quickbooks_documents
where entity = 'Invoice' and balance > 0 and not coalesce(deleted, false) and coalesce(source_key, '') = ''
order by txn_date, doc_number
"""

_VOUCHERS = """
select rules.code, cast(rules.reduction_amount as decimal(18, 2)), coalesce(currencies.iso_code, '')
from staging.prestashop_cart_rules as rules
left join staging.prestashop_currencies as currencies on rules.reduction_currency = currencies.id
where regexp_matches(coalesce(rules.code, ''), '^V[0-9]+C[0-9]+O[0-9]+') and rules.quantity > 0
    and rules.reduction_amount > 0 and coalesce(rules.active, true)
order by rules.code
"""

_OWED = """
with paid as (
    select order_reference as reference, sum(amount) as amount from staging.prestashop_order_payments group by all
)
select orders.id, orders.reference, cast(orders.invoice_date as date),
    cast(orders.total_paid_tax_incl - coalesce(paid.amount, 0) as decimal(18, 2)), currencies.iso_code
from staging.prestashop_orders as orders
left join paid using (reference)
left join staging.prestashop_currencies as currencies on orders.id_currency = currencies.id
where orders.invoice_number > 0 and cast(orders.invoice_date as date) < $go_live
    and orders.total_paid_tax_incl > coalesce(paid.amount, 0)
    and orders.current_state not in (select id from staging.prestashop_order_states where id in (6, 7))
order by orders.id
"""


def look(runtime: Runtime) -> Plan:
    """What is in the books and in the shop at the start; both are read first, which writes nothing to them."""
    runtime.armed()
    steps.pull_shop(runtime)
    steps.pull_books(runtime)
    decided = decisions(runtime)
    go_live = runtime.connection.go_live
    with runtime.warehouse("look at the start") as con:
        steps.prepare(con)
        models.run_models(con, select={name for name in models.load_models() if name.startswith("staging.")})
        found = con.execute(_LOOKALIKES, {"near": NEAR}).fetchall()
        unpaid = con.execute(_UNPAID).fetchall()
        vouchers = con.execute(_VOUCHERS).fetchall()
        owed = con.execute(_OWED, {"go_live": go_live}).fetchall()
    words = ("number", "amount", "date", "customer")
    lookalikes = tuple(_lookalike(row, words, decided) for row in found)
    return Plan(go_live, lookalikes, tuple(unpaid), tuple(vouchers), tuple(owed))


def _lookalike(row: Sequence[Any], words: Sequence[str], decided: dict[str, dict[str, Any]]) -> Lookalike:
    entity, qbo_id, number, txn_date, total, currency, order, reference, order_total, day, *same = row
    return Lookalike(
        entity, qbo_id, number, txn_date, total, currency, order, reference, order_total, day,
        tuple(word for word, true in zip(words, same, strict=True) if true),
        decided.get(str(order), {}).get("decision", ""),
    )  # fmt: skip


def exclude(runtime: Runtime, orders: Sequence[int], *, by: str) -> None:
    """These orders are booked in another way: counted, never posted."""
    _remember(runtime, {str(order): {"decision": "exclude"} for order in orders}, by=by)


def allow(runtime: Runtime, orders: Sequence[int], *, by: str) -> None:
    """Forget that these orders were excluded: they post like any other."""
    _remember(runtime, {str(order): None for order in orders}, by=by)


def adopt(runtime: Runtime, order: int, qbo_id: str, *, by: str, run_id: str) -> str:
    """The document of the books with this id stands for the order; its key.

    SettingsError when the order has no document to stand for, has one in the books already, or when the
    one named is of another kind: such an order can only be excluded.
    """
    document = _expected(runtime, order)
    with runtime.books() as books:
        row = books.read(document.type, qbo_id)
    draft = plan.draft(document, canonical(row))
    now = runtime.clock.now()
    realm = runtime.connection.books.realm
    facts = {
        "qbo_id": qbo_id,
        "sync_token": str(row.get("SyncToken", "")),
        "echoed_sha": echo.content_sha(row),
        "confirmed_at": now,
    }
    with writing(runtime.engine) as tx:
        if not intents.plan(tx, [draft], realm=realm, connection=runtime.name, run_id=run_id, now=now):
            raise SettingsError("has a document of ours already", where=f"order {order}")
        planned = intents.load(tx, realm, [draft.key])[draft.key]
        sent = intents.move(tx, planned, intents.SENT, now=now, run_id=run_id, reason=f"adopted by {by}")
        assert sent is not None
        intents.move(tx, sent, intents.CONFIRMED, now=now, run_id=run_id, reason="adopted", changes=facts)
    entry = {"decision": "adopt", "entity": document.type, "id": qbo_id}
    _remember(runtime, {str(order): entry}, by=by)
    steps.export_intents(runtime)
    return draft.key


def _expected(runtime: Runtime, order: int) -> Document:
    with runtime.warehouse("adopt a document", read_only=True) as con:
        rows = con.execute(
            "select body from ledger.documents where role = 'sale' and order_id = ?", [order]
        ).fetchall()
    if len(rows) != 1:
        raise SettingsError(
            "has no document that another could stand for; psqb explain says why", where=f"order {order}"
        )
    return from_json(rows[0][0])


def _remember(runtime: Runtime, news: dict[str, dict[str, Any] | None], *, by: str) -> None:
    now = runtime.clock.now()
    kept = decisions(runtime)
    for order, entry in news.items():
        kept.pop(order, None)
        if entry is not None:
            kept[order] = {**entry, "by": by, "at": now.isoformat()}
    Cursors(runtime.engine).commit(runtime.name, RESOURCE, kept)
    with writing(runtime.engine) as tx:
        append(
            tx,
            *(
                AuditEntry(
                    at=now,
                    connection=runtime.name,
                    actor=by,
                    action=f"{entry['decision'] if entry else 'allow'} at the start",
                    subject=f"order {order}",
                    after=f"id {entry['id']}" if entry and "id" in entry else "",
                )
                for order, entry in news.items()
            ),
        )
