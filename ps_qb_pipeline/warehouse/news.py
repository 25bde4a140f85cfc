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

from collections.abc import Mapping

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
    "documents": "key varchar",
    "books": "entity varchar, id varchar",
    "payments": "id bigint",
    "slips": "id bigint",
    "products": "id bigint",
}
"""The sets and their columns: references and ids of orders, document keys, documents of the books, and so on."""

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


def gather(con: duckdb.DuckDBPyConnection, read_to: Mapping[str, int], now: Mapping[str, int]) -> bool:
    """Fills the sets with what has changed between two states of the raw tables; False when it is too much.

    ``read_to`` and ``now`` say how far each raw table had and has got.
    """
    for name, columns in SETS.items():
        con.execute(f"create or replace table news.{name} ({columns})")
        con.execute(f"create or replace temp table fresh_{name} ({columns})")
    if scalar(con, f"select count(*) from {CHANGED} where key = '{EVERYTHING}'"):
        return False
    since = {
        name.removeprefix("raw."): read_to.get(name, 0) for name in now if now[name] != read_to.get(name, 0)
    }
    if any(now[name] < read_to.get(name, 0) for name in now):
        return False
    _from_shop(con, since)
    _from_books(con, since)
    _from_notes(con)
    most = max(TOO_MANY * scalar(con, "select count(*) from ledger.documents"), 1000)
    _find_strays(con)
    while _grow(con):
        if scalar(con, "select count(*) from news.documents") > most:
            return False
        _follow(con)
    _beside(con)
    return True


def any_found(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether anything is in the sets."""
    return any(scalar(con, f"select count(*) from news.{name}") for name in SETS)


def _beside(con: duckdb.DuckDBPyConnection) -> None:
    """What is read beside: the documents that those of the books settle, and ours of the same numbers.

    A deposit names hundreds of payments. It depends on their being ours, and they not on it.
    """
    linked = " union all ".join(
        f"select unnest(list_transform(lines, lambda one: one.linked_id)) from raw.quickbooks_{table}"
        " where id in (select id from news.books)"
        for table in BOOKED.values()
    )
    con.execute(
        "create or replace temp table frontier_books as select distinct '' as entity, id"
        f" from ({linked}) as linked (id) where id is not null and id not in (select id from news.books)"
    )
    con.execute("create or replace table news.linked as select id from frontier_books")
    con.execute(
        "create or replace table news.beside as"
        f" select key from ledger.documents where doc_number <> '' and doc_number in ({_numbers_of_books()})"
    )


def _add(
    con: duckdb.DuckDBPyConnection, name: str, sql: str, parameters: Mapping[str, object] | None = None
) -> None:
    con.execute(f"insert into fresh_{name} {sql}", dict(parameters or {}))


def _ids(table: str, column: str = "id") -> str:
    """The ids of a raw table that landed again, with every state that they ever had."""
    return (
        f"select {column} from raw.{table} where id in (select id from raw.{table} where landing_id > $since)"
    )


def _from_shop(con: duckdb.DuckDBPyConnection, since: Mapping[str, int]) -> None:
    for table, last in since.items():
        name = table.removeprefix("prestashop_")
        if not table.startswith("prestashop_"):
            continue
        bound = {"since": last}
        if name == "orders":
            _add(con, "orders", _ids(table), bound)
            _add(con, "refs", _ids(table, "coalesce(reference, '')"), bound)
        elif name in OF_ORDERS:
            _add(con, "orders", _ids(table, "id_order"), bound)
            if name == "order_slip":
                _add(con, "slips", _ids(table), bound)
        elif name == "order_payments":
            _add(con, "payments", _ids(table), bound)
            _add(con, "refs", _ids(table, "coalesce(order_reference, '')"), bound)
        elif name == "addresses":
            _add(
                con, "orders",
                f"select id from staging.prestashop_orders where id_address_delivery in ({_ids(table)})", bound,
            )  # fmt: skip
        elif name in _COSTS:
            _from_catalogue(con, name, last)


def _from_catalogue(con: duckdb.DuckDBPyConnection, name: str, since: int) -> None:
    """Documents that sold a product whose cost, category or name is another now."""
    columns = ", ".join([*_COSTS[name], "deleted_at_source"])
    states = f"select {columns}, landing_id from raw.prestashop_{name} where id in (select id from raw.prestashop_{name} where landing_id > {since})"
    newest = "qualify row_number() over (partition by id order by landing_id desc) = 1"
    con.execute(
        f"""
        create or replace temp table fresh_catalogue as
        with after as (select {columns} from ({states}) {newest}),
        before as (select {columns} from ({states}) where landing_id <= {since} {newest})
        select distinct id from ((from after except from before) union all (from before except from after))
        """
    )
    column = "product_id" if name == "products" else "product_attribute_id"
    _add(
        con,
        "documents",
        f"select document_key from ledger.lines where {column} in (select id from fresh_catalogue)",
    )
    if name == "products":
        con.execute("insert into news.products select id from fresh_catalogue")


def _from_books(con: duckdb.DuckDBPyConnection, since: Mapping[str, int]) -> None:
    for entity, table in BOOKED.items():
        name = f"quickbooks_{table}"
        if name in since:
            _add(
                con, "books", f"select distinct '{entity}', id from raw.{name} where landing_id > $since",
                {"since": since[name]},
            )  # fmt: skip
    if "quickbooks_customers" in since:
        names = _ids("quickbooks_customers", "display_name")
        _add(
            con, "documents", f"select key from ledger.documents where customer_name in ({names})",
            {"since": since["quickbooks_customers"]},
        )  # fmt: skip


_NOTED = f"(select key from {CHANGED} where relation = '{{}}')"


def _from_notes(con: duckdb.DuckDBPyConnection) -> None:
    present = {row[0] for row in con.execute(f"select distinct relation from {CHANGED}").fetchall()}
    for relation, additions in _BY_NOTE.items():
        if relation in present:
            for name, sql in additions:
                _add(con, name, sql.format(noted=_NOTED.format(relation)))


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


def _grow(con: duckdb.DuckDBPyConnection) -> bool:
    """Takes what is fresh into the sets; what was known already is fresh no more. False when nothing is left."""
    grown = False
    for name, columns in SETS.items():
        plain = ", ".join(column.split()[0] for column in columns.split(", "))
        con.execute(
            f"create or replace temp table frontier_{name} as"
            f" select distinct {plain} from fresh_{name} where {plain.split(', ')[-1]} is not null"
            f" except select {plain} from news.{name}"
        )
        con.execute(f"insert into news.{name} select * from frontier_{name}")
        con.execute(f"delete from fresh_{name}")
        grown = bool(scalar(con, f"select count(*) from frontier_{name}")) or grown
    return grown


_REF = "(select reference from frontier_refs)"
_ORDER = "(select id from frontier_orders)"
_KEY = "(select key from frontier_documents)"
_BOOK = "(select id from frontier_books)"


def _numbers_of_books() -> str:
    each = [
        f"select {'coalesce(payment_ref_num, doc_number)' if table == 'payments' else 'doc_number'}"
        f" from raw.quickbooks_{table} where id in {_BOOK}"
        for table in BOOKED.values()
    ]
    return " union all ".join(each)


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
    ("orders", "refs", f"select reference from recon.shop_objects where order_id in {_ORDER} and reference <> ''"),
    ("orders", "slips", f"select id from raw.prestashop_order_slip where id_order in {_ORDER}"),
    ("orders", "payments", f"""
        select source_id from ledger.sources where source_type = 'payment' and order_id in {_ORDER}
        union all
        select source_id from recon.shop_objects where source_type = 'payment' and order_id in {_ORDER}"""),
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
    ("documents", "orders", f"select order_id from ledger.documents where key in {_KEY} and order_id > 0"),
    ("documents", "orders", f"select order_id from recon.pairs where key in {_KEY} and order_id > 0"),
    ("documents", "books", f"select entity, id from recon.books_claims where document_key in {_KEY}"),
    ("documents", "documents", f"select to_key from ledger.applied where document_key in {_KEY}"),
    ("documents", "documents", f"select document_key from ledger.applied where to_key in {_KEY}"),
    # What nobody claims may be claimed by its number, what was an orphan by its key.
    ("documents", "books", f"""
        select entity, id from recon.books_claims
        where claimed_by is null and doc_number in (
            select doc_number from ledger.documents where key in {_KEY} and doc_number <> ''
        )"""),
    ("documents", "books", f"""
        select entity, id from stray_claims
        where (role, source_id) in (select role, source_id from ledger.documents where key in {_KEY})"""),
    ("books", "documents", f"""
        select document_key from recon.books_claims where id in {_BOOK} and document_key is not null"""),
    ("books", "documents", """
        select key from ledger.documents
        where (role, source_id) in (select role, source_id from frontier_claims)"""),
    ("books", "documents", f"""
        select key from ledger.documents where doc_number <> '' and doc_number in ({_numbers_of_books()})"""),
    ("books", "orders", """
        select try_cast(source_id as bigint) from frontier_claims
        where role not in ('payment', 'refund', 'summary', 'fee', 'payout', 'exchange')"""),
    ("books", "payments", "select try_cast(source_id as bigint) from frontier_claims where role = 'payment'"),
    ("books", "slips", "select try_cast(source_id as bigint) from frontier_claims where role = 'refund'"),
    ("books", "books", """
        select entity, id from stray_claims
        where (role, source_id) in (select role, source_id from frontier_claims)"""),
    # A stranger that settles one of ours.
    ("books", "books", " union all ".join(f"""
        select '{entity}', document.id from raw.quickbooks_{table} as document
        semi join (select id from recon.books_claims where entity = '{entity}' and claimed_by is null) as strangers
            on document.id = strangers.id
        where list_has_any(list_transform(document.lines, lambda one: one.linked_id), (select list(id) from frontier_books))"""
        for entity, table in BOOKED.items())),
)  # fmt: skip
"""What hangs together: from a set, to a set, and how."""

_PARTS = "split_part(coalesce({0}, ''), '|', 2) as role, split_part(coalesce({0}, ''), '|', 3) as source_id"


def _find_strays(con: duckdb.DuckDBPyConnection) -> None:
    """Claims on sources for which no document was expected, by role and id of the source."""
    con.execute(
        "create or replace temp table stray_claims as"
        f" select entity, id, {_PARTS.format('stem')} from recon.books_claims where stem is not null"
    )


def _follow(con: duckdb.DuckDBPyConnection) -> None:
    grown = {name for name in SETS if scalar(con, f"select count(*) from frontier_{name}")}
    if "books" in grown:
        _find_claims(con)
    for source, target, sql in _STEPS:
        if source in grown:
            _add(con, target, sql)


def _find_claims(con: duckdb.DuckDBPyConnection) -> None:
    """What the fresh documents of the books say that they stand for, or that we wrote them as, in any state."""
    notes = [
        f"select origin.key from raw.quickbooks_{table} where origin.key <> '' and id in {_BOOK}"
        for table in BOOKED.values()
    ]
    written = f"""
        select key from control.intents where qbo_id in {_BOOK} and entity not in ('Customer', 'Item')
        union all
        select stem from recon.books_claims where id in {_BOOK} and stem is not null"""
    con.execute(
        "create or replace temp table frontier_keys (key varchar);"
        f" insert into frontier_keys {' union all '.join([*notes, written])}"
    )
    con.execute(
        "create or replace temp table frontier_claims as"
        f" select distinct {_PARTS.format('key')} from frontier_keys where key is not null"
    )
