"""Frozen rows of a period: a small DuckDB file that a signed report can be made from again.

What lives here: copying a period's rows, their hashes, and what changed since. What does not: who
signed them (``signoff``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from ps_qb_pipeline.errors import StorageError
from ps_qb_pipeline.reports.scope import Scope
from ps_qb_pipeline.reports.table import (
    CURRENCY,
    ORDER,
    Column,
    Table,
)

CHANGES_LISTED = 1000

_OF_PERIOD = (
    "recon.tie_out",
    "recon.open_difference",
    "recon.exceptions",
    "recon.objects",
    "recon.classes",
    "recon.pairs",
    "recon.notes",
    "recon.twins",
    "recon.cutoff",
    "recon.adjustments",
    "recon.accounts_rolled",
    "recon.payouts",
    "recon.payout_matches",
    "recon.bank_matches",
    "recon.tax_tie_out",
    "recon.ledger_tie_out",
    "marts.profit_lines",
    "marts.income_bridge",
    "marts.profit_by_month",
    "marts.profit_by_product",
    "marts.profit_by_customer",
    "marts.profit_by_country",
    "marts.profit_by_category",
    "marts.profit_by_payment_method",
    "marts.profit_by_carrier",
    "marts.profit_by_shop",
    "marts.profit_by_cohort",
)
_OTHERS = {
    "recon.codes": "select * from recon.codes",
    "recon.conservation": "select * from recon.conservation",
    "recon.numbering": "select * from recon.numbering",
    "recon.vouchers": "select * from recon.vouchers",
    "recon.stock": "select * from recon.stock",
    "ledger.documents": """select key, customer_key, customer_name, exchange_rate, home_total, deposit_to, reference, doc_number
        from ledger.documents where key in (select key from recon.pairs)""",
    "staging.quickbooks_documents": """select books.entity, books.id, books.txn_date
        from staging.quickbooks_documents as books
        semi join recon.pairs as pairs on books.entity = pairs.books_entity and books.id = pairs.books_id""",
}
"""Everything that the sections of a report read, by relation."""


def freeze(
    con: duckdb.DuckDBPyConnection, path: Path, scope: Scope, *, changed: Table | None = None
) -> dict[str, dict[str, object]]:
    """Copies the scope's rows into a new file at ``path``; gives row count and hash of each relation.

    ``changed`` is what moved since the version before, which the pack of this one shows.
    """
    path.unlink(missing_ok=True)
    queries = {name: f"select * from {name}" for name in _OF_PERIOD} | _OTHERS  # noqa: S608 - our own words
    try:
        con.execute(f"attach {_literal(path)} as frozen")
    except duckdb.Error as error:
        raise StorageError(f"{path} cannot be written: {str(error).splitlines()[0]}") from error
    try:
        for name, query in queries.items():
            schema = name.split(".", 1)[0]
            con.execute(f"create schema if not exists frozen.{schema}")
            con.execute(f"create table frozen.{name} as {scope.sql(query)}")
        if changed is not None:
            con.execute("create schema frozen.signoff")
            con.execute(f"create table frozen.{_CHANGES_KEPT}")
            for row in changed.rows:
                con.execute("insert into frozen.signoff.changes values (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    finally:
        con.execute("detach frozen")
    return hashes_of(path)


def hashes_of(path: Path) -> dict[str, dict[str, object]]:
    """Row count and hash of every relation in a frozen file; the order of rows does not matter."""
    with duckdb.connect(str(path), read_only=True) as con:
        names = con.execute(
            "select table_schema || '.' || table_name from information_schema.tables order by 1"
        ).fetchall()
        return {name: _hash(con, name) for (name,) in names}


def _hash(con: duckdb.DuckDBPyConnection, name: str) -> dict[str, object]:
    found = con.execute(
        f"select count(*), sha256(coalesce(string_agg(line, chr(10) order by line), ''))"  # noqa: S608 - our own words
        f" from (select cast(to_json(row) as varchar) as line from {name} as row)"
    ).fetchone()
    assert found is not None
    return {"rows": int(found[0]), "sha256": str(found[1])}


def combined(hashes: dict[str, dict[str, object]]) -> str:
    """One hash over all relations."""
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


_CHANGED = """
with now as (
    select side, object_type, object_id, order_id, class, amount, tax, currency, event_date from recon.objects
),
then_ as (
    select side, object_type, object_id, order_id, class, amount, tax, currency, event_date from frozen.recon.objects
),
joined as (
    select coalesce(now.order_id, then_.order_id) as order_id, side, object_type, object_id,
        now.object_id is null as is_gone, then_.object_id is null as is_new,
        now.class as class_now, then_.class as class_then, now.amount as amount_now, then_.amount as amount_then,
        now.tax as tax_now, then_.tax as tax_then, now.event_date as day_now, then_.event_date as day_then,
        coalesce(now.currency, then_.currency) as currency,
        coalesce(now.amount, 0) - coalesce(then_.amount, 0) as effect
    from now full outer join then_ using (side, object_type, object_id)
),
final as (
    select side, object_type, object_id, order_id,
        case when is_new then 'new' when is_gone then 'gone'
            when amount_now is distinct from amount_then then 'amount'
            when tax_now is distinct from tax_then then 'tax'
            when day_now is distinct from day_then then 'date' else 'class' end as what,
        case what when 'new' then '' when 'gone' then concat(amount_then, ' ', class_then)
            when 'amount' then cast(amount_then as varchar) when 'tax' then cast(tax_then as varchar)
            when 'date' then cast(day_then as varchar) else class_then end as before,
        case what when 'gone' then '' when 'new' then concat(amount_now, ' ', class_now)
            when 'amount' then cast(amount_now as varchar) when 'tax' then cast(tax_now as varchar)
            when 'date' then cast(day_now as varchar) else class_now end as after,
        effect, currency
    from joined
    where is_new or is_gone or class_now <> class_then or amount_now is distinct from amount_then
        or tax_now is distinct from tax_then or day_now is distinct from day_then
)
select * from final order by abs(effect) desc, side desc, object_type, object_id
"""


_CHANGES_KEPT = """signoff.changes (side varchar, object_type varchar, object_id varchar, order_id bigint, what varchar,
    before varchar, after varchar, effect decimal(18, 2), currency varchar)"""


def changes(con: duckdb.DuckDBPyConnection, path: Path, scope: Scope) -> Table:
    """What either side changed in the scope since the rows at ``path`` were frozen."""
    with _attached(con, path):
        return changes_table(con.execute(_scoped(scope)).fetchall())


def changes_kept(con: duckdb.DuckDBPyConnection) -> Table | None:
    """What the frozen file that ``con`` has open says had changed since the version before it."""
    found = con.execute(
        "select 1 from information_schema.tables where table_schema = 'signoff' and table_name = 'changes'"
    ).fetchone()
    return changes_table(con.execute("select * from signoff.changes").fetchall()) if found else None


def changes_table(rows: Sequence[tuple[Any, ...]]) -> Table:
    """Changes as a table of the report."""
    return Table(
        "changes",
        "Changes since the last approval",
        "What either side changed in the period after it was signed.",
        (
            Column("side", "Side"),
            Column("object_type", "Object"),
            Column("object_id", "Id"),
            ORDER,
            Column("what", "What changed"),
            Column("before", "As signed"),
            Column("after", "Now"),
            Column("effect", "Effect", "money"),
            CURRENCY,
        ),
        tuple(rows[:CHANGES_LISTED]),
        max(0, len(rows) - CHANGES_LISTED),
    )


def _scoped(scope: Scope) -> str:
    then = "frozen_objects_of_the_snapshot"
    return scope.sql(_CHANGED.replace("frozen.recon.objects", then)).replace(then, "frozen.recon.objects")


@contextmanager
def _attached(con: duckdb.DuckDBPyConnection, path: Path) -> Iterator[None]:
    con.execute(f"attach {_literal(path)} as frozen (read_only)")
    try:
        yield
    finally:
        con.execute("detach frozen")


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
