"""What the news since the last reconciliation bears on: orders, documents and documents of the books.

What lives here: the sets of keys in the schema ``news``, found from what has landed and from what the
ledger, the gate and the control plane have noted, and followed to everything that hangs together with it.
What does not: making the models' rows again (``partial``) and what accounting has to do again (``changes``).

Rows hang together by the reference of their order, by the key of their document, and by the claim that a
document of the books makes. The sets are closed under that: what a row within them says depends on no row
outside of them, but for the small relations that are compared as a whole (``partial``).
"""

# ruff: noqa: S608  (names come from the tables below; values are bound)

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb

from ps_qb_pipeline.warehouse.incremental import create_state
from ps_qb_pipeline.warehouse.session import scalar

CHANGED = "runner.changed"
"""What changed in tables that do not land: the table and the key in it, noted by whoever writes it."""

EVERYTHING = "*"
"""The key that says that a whole table was made anew."""

TOO_MANY = 0.1
"""Beyond this part of all documents, making everything anew is the faster way."""

SETS: Mapping[str, str] = {
    "refs": "reference varchar",
    "orders": "id bigint",
    "payments": "id bigint",
    "slips": "id bigint",
    "documents": "key varchar",
    "books": "entity varchar, id varchar",
    "products": "id bigint",
}
"""The sets and their columns: references and ids of orders, document keys, documents of the books, and so on.

In the order in which they are followed.
"""

BOOKED: Mapping[str, str] = {
    "SalesReceipt": "sales_receipts",
    "Invoice": "invoices",
    "Payment": "payments",
    "RefundReceipt": "refund_receipts",
    "CreditMemo": "credit_memos",
    "Deposit": "deposits",
    "Transfer": "transfers",
    "Purchase": "purchases",
    "JournalEntry": "journal_entries",
    "Bill": "bills",
    "VendorCredit": "vendor_credits",
    "BillPayment": "bill_payments",
}
"""QuickBooks' kinds of documents and the raw tables that they land in."""

BRIEFLY = "* replace ('' as payload, '' as hash)"
"""The columns of a raw row that anything is made of: what came over the wire fills more blocks than all others."""

OF_ORDERS = ("order_details", "order_cart_rules", "order_slip", "order_invoices")
"""What names its order by ``id_order``."""

_COSTS = {
    "products": ("id", "wholesale_price", "id_category_default", "name"),
    "combinations": ("id", "wholesale_price"),
}


def note(
    con: duckdb.DuckDBPyConnection, table: str, keys: str, parameters: Mapping[str, object] | None = None
) -> None:
    """Notes that rows of ``table`` have changed; ``keys`` is a SELECT of their keys."""
    create_noted(con)
    con.execute(
        f"insert into {CHANGED} select distinct '{table}', cast(key as varchar) from ({keys}) as noted (key)",
        dict(parameters or {}),
    )


def create_noted(con: duckdb.DuckDBPyConnection) -> None:
    """Creates the table of what was noted."""
    create_state(con)
    con.execute(f"create table if not exists {CHANGED} (relation varchar, key varchar)")


Row = tuple[Any, ...]


class _Sets:
    """The sets while they are gathered: what is known, and what is fresh and has yet to be followed."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self.known: dict[str, set[Row]] = {name: set() for name in SETS}
        self._fresh: dict[str, set[Row]] = {name: set() for name in SETS}

    def add(self, names: str, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        """Adds the rows that a SELECT gives; its columns are those of the sets named, one after the other."""
        rows = self.con.execute(sql, dict(parameters or {})).fetchall()
        start = 0
        for name in names.split():
            end = start + len(_columns(name))
            self.take(name, (row[start:end] for row in rows))
            start = end

    def take(self, name: str, rows: Iterable[Row]) -> None:
        """Adds these rows to a set; what names nothing is left out."""
        self._fresh[name].update(row for row in rows if row[-1] is not None)

    def next(self) -> str | None:
        """The first set with anything fresh, which is known from now on and in its frontier; None when nothing is."""
        for name in SETS:
            fresh = self._fresh[name] - self.known[name]
            self._fresh[name] = set()
            if fresh:
                self.known[name] |= fresh
                self.write(f"temp table frontier_{name}", _columns(name), fresh)
                return name
        return None

    def write(self, table: str, columns: Mapping[str, str], rows: Iterable[Row]) -> None:
        """Makes a table of these rows."""
        each = ", ".join(f"unnest(${column}::{kind}[]) as {column}" for column, kind in columns.items())
        values = list(zip(*rows, strict=True)) or [() for _ in columns]
        self.con.execute(
            f"create or replace {table} as select {each}",
            {column: list(value) for column, value in zip(columns, values, strict=True)},
        )


def _columns(name: str) -> dict[str, str]:
    return {column.split()[0]: column.split()[1] for column in SETS[name].split(", ")}


def gather(con: duckdb.DuckDBPyConnection, read_to: Mapping[str, int], now: Mapping[str, int]) -> bool:
    """Fills the sets with what has changed between two states of the raw tables; False when it is too much.

    ``read_to`` and ``now`` say how far each raw table had and has got.
    """
    sets = _Sets(con)
    since = {
        name.removeprefix("raw."): read_to.get(name, 0) for name in now if now[name] != read_to.get(name, 0)
    }
    known = all(now[name] >= read_to.get(name, 0) for name in now) and not scalar(
        con, f"select count(*) from {CHANGED} where key = '{EVERYTHING}'"
    )
    if known:
        _from_shop(sets, since)
        _from_books(sets, since)
        _from_notes(sets)
        known = _follow(sets)
    for name in SETS:
        sets.write(f"table news.{name}", _columns(name), sets.known[name] if known else ())
    if known:
        _copy_books(con)
    return known


def any_found(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether anything is in the sets."""
    return bool(scalar(con, " union all ".join(f"(select 1 from news.{name} limit 1)" for name in SETS)))


def _follow(sets: _Sets) -> bool:
    """Follows what is fresh until nothing is; False when it becomes too much.

    A set is followed when those before it have nothing fresh, so that a large table is asked once for everything.
    """
    con = sets.con
    most = max(TOO_MANY * scalar(con, "select count(*) from ledger.documents"), 1000)
    there = _find_strays(con)
    while name := sets.next():
        if len(sets.known["documents"]) > most:
            return False
        if name == "books":
            there |= _find_claims(sets)
        missing = [table for table, rows in there.items() if not rows]
        for source, targets, sql in _STEPS:
            if source == name and not any(table in sql for table in missing):
                sets.add(targets, sql)
    return True


def _find_strays(con: duckdb.DuckDBPyConnection) -> dict[str, bool]:
    """Claims on sources for which no document was expected, and what nobody claims; whether there are any."""
    con.execute(
        "create or replace temp table stray_claims as"
        f" select entity, id, {_PARTS.format('stem')} from recon.books_claims where stem is not null"
    )
    con.execute(
        "create or replace temp table strangers as"
        " select entity, id, doc_number from recon.books_claims where claimed_by is null"
    )
    return {name: bool(scalar(con, f"select count(*) from {name}")) for name in ("stray_claims", "strangers")}


def _ids(table: str, columns: str = "id") -> str:
    """Columns of the rows of a raw table that landed again, with every state that they ever had."""
    return f"""
        select {columns} from raw.{table} where rowid in (
            select rowid from raw.{table} where id in (select id from raw.{table} where landing_id > $since)
        )"""


def _from_shop(sets: _Sets, since: Mapping[str, int]) -> None:
    for table, last in since.items():
        name = table.removeprefix("prestashop_")
        if not table.startswith("prestashop_"):
            continue
        bound = {"since": last}
        if name == "orders":
            sets.add("orders refs", _ids(table, "id, coalesce(reference, '')"), bound)
        elif name == "order_slip":
            sets.add("orders slips", _ids(table, "id_order, id"), bound)
        elif name in OF_ORDERS:
            sets.add("orders", _ids(table, "id_order"), bound)
        elif name == "order_payments":
            sets.add("payments refs", _ids(table, "id, coalesce(order_reference, '')"), bound)
        elif name == "addresses":
            sets.add(
                "orders",
                f"select id from staging.prestashop_orders where id_address_delivery in ({_ids(table)})", bound,
            )  # fmt: skip
        elif name in _COSTS:
            _from_catalogue(sets, name, last)


def _from_catalogue(sets: _Sets, name: str, since: int) -> None:
    """Documents that sold a product whose cost, category or name is another now."""
    sets.con.execute(
        f"create or replace temp table fresh_catalogue as {differing(f'raw.prestashop_{name}', _COSTS[name], since)}"
    )
    column = "product_id" if name == "products" else "product_attribute_id"
    sets.add(
        "documents",
        f"select document_key from ledger.lines where {column} in (select id from fresh_catalogue)",
    )
    if name == "products":
        sets.add("products", "select id from fresh_catalogue")


def differing(table: str, columns: Iterable[str], since: int) -> str:
    """A SELECT of the ids of a raw table whose newest state is another in these columns than it was then."""
    said = ", ".join(dict.fromkeys(["id", *columns, "deleted_at_source"]))
    newest = "qualify row_number() over (partition by id order by landing_id desc) = 1"
    return f"""
        with states as (
            select {said}, landing_id from {table} where rowid in (
                select rowid from {table} where id in (select id from {table} where landing_id > {since})
            )
        ),
        after as (select {said} from states {newest}),
        before as (select {said} from states where landing_id <= {since} {newest})
        select distinct id from ((from after except from before) union all (from before except from after))"""


def _from_books(sets: _Sets, since: Mapping[str, int]) -> None:
    for entity, table in BOOKED.items():
        name = f"quickbooks_{table}"
        if name in since:
            sets.add(
                "books", f"select distinct '{entity}', id from raw.{name} where landing_id > $since",
                {"since": since[name]},
            )  # fmt: skip
    if "quickbooks_customers" in since:
        names = _ids("quickbooks_customers", "display_name")
        sets.add(
            "documents", f"select key from ledger.documents where customer_name in ({names})",
            {"since": since["quickbooks_customers"]},
        )  # fmt: skip


_NOTED = f"(select key from {CHANGED} where relation = '{{}}')"


def _from_notes(sets: _Sets) -> None:
    present = {row[0] for row in sets.con.execute(f"select distinct relation from {CHANGED}").fetchall()}
    for relation, additions in _BY_NOTE.items():
        if relation in present:
            for name, sql in additions:
                sets.add(name, sql.format(noted=_NOTED.format(relation)))


_BY_NOTE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "ledger": (("refs", "select key from {noted}"),),
    "ledger.documents": (("documents", "select key from {noted}"),),
    "ledger.sources": tuple(
        (
            name,
            f"select try_cast(split_part(key, '|', 2) as bigint) from {{noted}} where split_part(key, '|', 1) = '{kind}'",
        )
        for kind, name in (("order", "orders"), ("payment", "payments"), ("slip", "slips"))
    ),
    "ledger.items": (("documents", "select document_key from ledger.lines where item in {noted}"),),
    "validation.holds": (("orders", "select cast(key as bigint) from {noted}"),),
    "control.intents": (
        ("documents", "select key from {noted}"),
        (
            "books",
            """
            select entity, qbo_id from control.intents
            where qbo_id <> '' and entity not in ('Customer', 'Item') and key in {noted}""",
        ),
        (
            "documents",
            """
            select key from ledger.documents where (role, source_id) in (
                select split_part(key, '|', 2), split_part(key, '|', 3) from {noted}
            )""",
        ),
    ),
    "control.identities": (
        ("documents", "select key from ledger.documents where customer_key in {noted}"),
        ("documents", "select document_key from ledger.lines where item in {noted}"),
    ),
}
"""What a note about a table bears on."""


_REF = "(select reference from frontier_refs)"
_ORDER = "(select id from frontier_orders)"
_KEY = "(select key from frontier_documents)"
_BOOK = "(select id from frontier_books)"

_STRAYS = (
    "select entity, id from stray_claims where role {} and source_id in (select cast(id as varchar) from {})"
)

_STEPS: tuple[tuple[str, str, str], ...] = (
    ("refs", "orders", f"select id from staging.prestashop_orders where coalesce(reference, '') in {_REF}"),
    ("refs", "orders", f"select order_id from recon.shop_objects where reference in {_REF} and order_id > 0"),
    ("refs", "orders", f"select order_id from ledger.sources where reference in {_REF} and order_id > 0"),
    ("refs", "payments", f"select id from raw.prestashop_order_payments where coalesce(order_reference, '') in {_REF}"),
    ("refs", "documents", f"select key from ledger.documents where reference in {_REF} and reference <> ''"),
    ("orders", "refs", f"select distinct coalesce(reference, '') from raw.prestashop_orders where id in {_ORDER}"),
    ("orders", "refs payments", f"""
        select nullif(reference, ''), if(source_type = 'payment', source_id, null)
        from recon.shop_objects where order_id in {_ORDER}"""),
    ("orders", "slips", f"select id from raw.prestashop_order_slip where id_order in {_ORDER}"),
    ("orders", "payments", f"select source_id from ledger.sources where source_type = 'payment' and order_id in {_ORDER}"),
    ("orders", "documents", f"select key from ledger.documents where order_id in {_ORDER}"),
    ("orders", "documents", f"select key from recon.pairs where order_id in {_ORDER}"),
    ("orders", "books", _STRAYS.format("not in ('payment', 'refund')", "frontier_orders")),
    ("payments", "refs", """
        select distinct coalesce(order_reference, '') from raw.prestashop_order_payments
        where id in (select id from frontier_payments)"""),
    ("payments", "books", _STRAYS.format("= 'payment'", "frontier_payments")),
    ("slips", "orders", """
        select id_order from raw.prestashop_order_slip where id in (select id from frontier_slips)"""),
    ("slips", "books", _STRAYS.format("= 'refund'", "frontier_slips")),
    ("documents", "orders", f"select nullif(order_id, 0) from ledger.documents where key in {_KEY}"),
    ("documents", "orders", f"select nullif(order_id, 0) from recon.pairs where key in {_KEY}"),
    ("documents", "books", f"select entity, id from recon.books_claims where document_key in {_KEY}"),
    ("documents", "documents", f"select to_key from ledger.applied where document_key in {_KEY}"),
    ("documents", "documents", f"select document_key from ledger.applied where to_key in {_KEY}"),
    # What nobody claims may be claimed by its number, what was an orphan by its key.
    ("documents", "books", f"""
        select entity, id from strangers
        where doc_number in (select doc_number from ledger.documents where key in {_KEY} and doc_number <> '')"""),
    ("documents", "books", f"""
        select entity, id from stray_claims
        where (role, source_id) in (select role, source_id from ledger.documents where key in {_KEY})"""),
    ("books", "documents", f"select document_key from recon.books_claims where id in {_BOOK}"),
    ("books", "documents", """
        select key from ledger.documents
        where (role, source_id) in (select role, source_id from frontier_unmet)"""),
    ("books", "documents", """
        select key from ledger.documents
        where doc_number <> '' and doc_number in (select doc_number from frontier_numbers)"""),
    ("books", "books", """
        select entity, id from stray_claims
        where (role, source_id) in (select role, source_id from frontier_claims)"""),
    # A stranger that settles one of ours.
    *(("books", "books", f"""
        select '{entity}', document.id
        from strangers inner join raw.quickbooks_{table} as document
            on strangers.entity = '{entity}' and strangers.id = document.id
        where list_has_any(list_transform(document.lines, lambda one: one.linked_id), (select list(id) from frontier_books))""")
        for entity, table in BOOKED.items()),
)  # fmt: skip
"""What hangs together: from a set, to sets, and how. Steps from an empty table of strays or strangers are left out."""

_PARTS = "split_part(coalesce({0}, ''), '|', 2) as role, split_part(coalesce({0}, ''), '|', 3) as source_id"


def _find_claims(sets: _Sets) -> dict[str, bool]:
    """What the fresh documents of the books say that they stand for, or that we wrote them as, in any state.

    And the numbers of those that say nothing: they may stand for a document by its number. Says whether there
    are any claims on what is not known yet, and any numbers.
    """
    con = sets.con
    stated = " union all ".join(
        f"select id, origin.key, {'coalesce(payment_ref_num, doc_number)' if table == 'payments' else 'doc_number'}"
        f" from raw.quickbooks_{table} where rowid in (select rowid from raw.quickbooks_{table} where id in {_BOOK})"
        for table in BOOKED.values()
    )
    con.execute(f"create or replace temp table frontier_stated (id, key, doc_number) as {stated}")
    con.execute(
        f"""
        create or replace temp table frontier_written as
        select qbo_id as id, key from control.intents
        where qbo_id in {_BOOK} and entity not in ('Customer', 'Item')"""
    )
    con.execute(
        f"""
        create or replace temp table frontier_claims as
        select distinct {_PARTS.format("key")}
        from (
            select key from frontier_stated
            union all
            select key from frontier_written
            union all
            select stem from recon.books_claims where stem is not null and id in {_BOOK}
        )
        where key <> ''"""
    )
    con.execute(
        """
        create or replace temp table frontier_numbers as
        select distinct doc_number from frontier_stated
        where coalesce(key, '') = '' and doc_number <> '' and id not in (select id from frontier_written)"""
    )
    # All documents of one source are of one order: who knows one, knows the others.
    known = {tuple(key.split("|")[1:3]) for (key,) in sets.known["documents"]}
    unmet = []
    for role, source in con.execute("from frontier_claims").fetchall():
        name = {"payment": "payments", "refund": "slips"}.get(role, "orders")
        if role not in _OF_NO_ORDER and source.isdecimal():
            sets.take(name, [(int(source),)])
        if role in _OF_NO_ORDER or (role, source) not in known:
            unmet.append((role, source))
    sets.write("temp table frontier_unmet", {"role": "varchar", "source_id": "varchar"}, unmet)
    return {
        "frontier_unmet": bool(unmet),
        "frontier_numbers": bool(scalar(con, "select count(*) from frontier_numbers")),
    }


_OF_NO_ORDER = frozenset({"summary", "fee", "payout", "exchange"})
"""Roles of documents that stand for something else than an order, a payment or a slip."""


def _copy_books(con: duckdb.DuckDBPyConnection) -> None:
    """The rows of the books' documents, of those that they settle, and our documents of the same numbers.

    A deposit names hundreds of payments. It depends on their being ours, and they not on it.
    """
    for table in BOOKED.values():
        con.execute(
            f"create or replace table news.narrowed_raw_quickbooks_{table} as {_of(table, 'news.books')}"
        )
    links = " union ".join(
        "select unnest(list_transform(lines, lambda one: one.linked_id)) as id"
        f" from news.narrowed_raw_quickbooks_{table}"
        for table in BOOKED.values()
    )
    con.execute(
        f"create or replace table news.linked as select id from ({links})"
        " where id is not null and id not in (select id from news.books)"
    )
    con.execute("create or replace table news.beside (key varchar)")
    if not scalar(con, "select count(*) from news.linked"):
        return
    for table in BOOKED.values():
        con.execute(f"insert into news.narrowed_raw_quickbooks_{table} {_of(table, 'news.linked')}")
    numbers = " union all ".join(
        f"select {'coalesce(payment_ref_num, doc_number)' if table == 'payments' else 'doc_number'}"
        f" from news.narrowed_raw_quickbooks_{table} where id in (select id from news.linked)"
        for table in BOOKED.values()
    )
    con.execute(
        "insert into news.beside select key from ledger.documents"
        f" where doc_number <> '' and doc_number in ({numbers})"
    )


def _of(table: str, ids: str) -> str:
    return (
        f"select {BRIEFLY} from raw.quickbooks_{table} where rowid in"
        f" (select rowid from raw.quickbooks_{table} where id in (select id from {ids}))"
    )
