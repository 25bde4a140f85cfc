"""What the books hold already, as far as it bears on how an order is translated, kept up by what has changed.

What lives here: the documents that were posted, by key, with the day that they stand at: those that the mirror
shows, and those that we were told of since. What does not: the orders that they concern (``changes``) and what
they mean for them (``accounting``).

It matters to advances, which a sale takes back, to invoices, which stay invoices however they are paid, and to
all documents once a period is closed: what stands in it stays. What is known stands in ``runner.posted``; a key
is looked at again when its document landed in the mirror, or when its intent or the expected document changed.
"""

# ruff: noqa: S608  (names of this file)

from __future__ import annotations

import duckdb

from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.warehouse.incremental import STATE, landed
from ps_qb_pipeline.warehouse.news import BOOKED
from ps_qb_pipeline.warehouse.session import exists, scalar
from ps_qb_pipeline.warehouse.tables import POSTED_SINCE

POSTED = "runner.posted"
"""What was known when the ledger was last brought up to date."""

_COLUMNS = "key varchar, order_id bigint, txn_date date, type varchar"
_MIRROR = "staging.quickbooks_documents"
_IN_MIRROR = f"""
    select source_key as key, source_order_id as order_id, txn_date, entity as type from {_MIRROR}
    where source_key is not null and not deleted
"""
_NOTHING = """
    select null::varchar as key, null::bigint as order_id, null::date as txn_date, null::varchar as type where false
"""
_SOURCES = tuple(f"raw.quickbooks_{table}" for table in BOOKED.values())


def find(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Looks at what is posted now.

    Leaves the temporary ``posted_now`` (all of it), ``posted_keys`` (the keys that were looked at again),
    ``posted_fresh`` (what they stand for now) and ``posted_news`` (where that differs from what was known).
    """
    con.execute(f"create table if not exists {POSTED} ({_COLUMNS})")
    con.execute("create or replace temp table posted_keys (key varchar)")
    now, before = _landed(con), _read_to(con, policy)
    followed = bool(now) and before.keys() == now.keys() and all(now[name] >= before[name] for name in now)
    if followed:
        _find_keys(con, {source: before[source] for source in now if now[source] > before[source]})
    if followed and not scalar(con, "select count(*) from posted_keys"):
        _nothing_new(con)
    else:
        _look(con, policy, "{key} in (select key from posted_keys)" if followed else "true")
    con.execute("create or replace temp table posted_read_to (source varchar, landing_id bigint)")
    if now:
        con.execute(f"insert into posted_read_to values {', '.join(map(str, now.items()))}")


def _nothing_new(con: duckdb.DuckDBPyConnection) -> None:
    for name in ("fresh", "news"):
        con.execute(f"create or replace temp table posted_{name} ({_COLUMNS})")
    con.execute(f"create or replace temp view posted_now as select * from {POSTED}")


def _look(con: duckdb.DuckDBPyConnection, policy: Policy, limit: str) -> None:
    con.execute(
        f"create or replace temp view posted_mirror as {_IN_MIRROR if exists(con, _MIRROR) else _NOTHING}"
    )
    con.execute(f"create or replace temp table posted_fresh as {_held(policy, limit)}")
    if limit == "true":
        con.execute(f"insert into posted_keys select key from posted_fresh union select key from {POSTED}")
    con.execute(
        f"""
        create or replace temp view posted_now as
        select * from {POSTED} anti join posted_keys using (key) union all select * from posted_fresh
        """
    )
    known = f"select * from {POSTED} where key in (select key from posted_keys)"
    con.execute(
        f"""
        create or replace temp table posted_news as
        (select * from posted_fresh except {known}) union all ({known} except select * from posted_fresh)
        """
    )


def remember(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """What ``find`` saw is what is known."""
    if scalar(con, "select count(*) from posted_keys"):
        con.execute(f"delete from {POSTED} where key in (select key from posted_keys)")
        con.execute(f"insert into {POSTED} select * from posted_fresh")
    con.execute(f"delete from {POSTED_SINCE}")
    con.execute(f"delete from {STATE} where relation = '{POSTED}'")
    con.execute(
        f"insert into {STATE} select '{POSTED}', '{_extent(policy)}', source, landing_id from posted_read_to"
    )


def note_part(con: duckdb.DuckDBPyConnection, before: str, after: str) -> None:
    """Notes the documents that differ between two SELECTs of key, order and date of some expected ones."""
    con.execute(
        f"insert into {POSTED_SINCE} select distinct key"
        f" from (({before} except {after}) union all ({after} except {before}))"
    )


def note_all(con: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    """Notes what is known otherwise now that all expected documents were made anew."""
    note_part(con, f"select * from ({_held(policy, 'true')})", f"select * from {POSTED}")


def _extent(policy: Policy) -> str:
    """How much of what is posted matters."""
    return "all" if policy.book_close_date else "some"


def _landed(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How far each table of the mirror has got; empty where some was never made."""
    try:
        return landed(con, _SOURCES)
    except duckdb.CatalogException:
        return {}


def _read_to(con: duckdb.DuckDBPyConnection, policy: Policy) -> dict[str, int]:
    rows = con.execute(
        f"select source, landing_id from {STATE} where relation = '{POSTED}' and version = '{_extent(policy)}'"
    )
    return dict(rows.fetchall())


def _find_keys(con: duckdb.DuckDBPyConnection, grown: dict[str, int]) -> None:
    """The keys that somebody noted, and those that what landed says or has said."""
    each = [f"select key from {POSTED_SINCE}"]
    each += [
        f"select origin.key from {source} where id in (select id from {source} where landing_id > {since})"
        for source, since in grown.items()
    ]
    con.execute(
        f"insert into posted_keys select distinct key from ({' union all '.join(each)}) where key <> ''"
    )


def _held(policy: Policy, limit: str) -> str:
    """A SELECT of what is posted; ``limit`` is a condition on ``{key}``."""
    # Asked of each side by itself: behind their union it would be asked of every document that there is.
    matters = "true" if policy.book_close_date else "({key} like '%|deposit|%' or {type} = 'Invoice')"
    matters = f"{matters} and {limit}"
    return f"""
        with mirror as (
            select * from posted_mirror where {matters.format(key="key", type="type")}
        ),
        confirmed as (
            select intents.key, documents.order_id, documents.txn_date, intents.entity as type
            from control.intents as intents inner join ledger.documents as documents on intents.key = documents.key
            where intents.state = 'CONFIRMED' and intents.operation <> 'void'
                and {matters.format(key="intents.key", type="intents.entity")}
        ),
        held as (select * from mirror union all select * from confirmed anti join mirror using (key))
        select key, min(order_id) as order_id, min(txn_date) as txn_date, min(type) as type from held group by key
        """
