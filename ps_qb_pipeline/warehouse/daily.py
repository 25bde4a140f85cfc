"""Daily summaries: the pending documents of each day joined, where the settings want it.

What lives here: handing the days to ``accounting.summaries`` one at a time, putting the summaries in
the place of their members, and remembering who was in a summary that is posted. What does not: what
joins and how (``accounting.summaries``).

A document of an order that a rule holds is not joined: it stays by itself, where the hold finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime

import duckdb
import pyarrow as pa

from ps_qb_pipeline.accounting.documents import Document, from_json
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.accounting.summaries import Summaries, summarise
from ps_qb_pipeline.warehouse.translation import ledger_rows

_MEMBERS = "runner.summary_members"


def wanted(policy: Policy) -> bool:
    """Whether any day is posted as a summary."""
    return "daily" in {policy.posting, policy.posting_before}


def join_days(
    con: duckdb.DuckDBPyConnection,
    policy: Policy,
    now: datetime | None,
    write: Callable[[Mapping[str, pa.Table]], None],
) -> None:
    """Puts summaries in the place of the pending documents that join one; ``write`` adds pending rows.

    The sources of the members name the summary. Days that are still open at ``now`` (shop-local) wait:
    their sources are not postable yet, with the reason ``day_open``.
    """
    con.execute(f"create table if not exists {_MEMBERS} (summary_key varchar, member_key varchar)")
    con.execute("create or replace temp table joined (member_key varchar, summary_key varchar)")
    frozen, business = _frozen(con), _business(con)
    for day in _days(con):
        made = summarise(_documents(con, day), policy, business=business, frozen=frozen, now=now)
        _note(con, made)
        summaries = [document for document in made.documents if document.key in made.members]
        write(ledger_rows(summaries, made.customers))
    _replace_members(con)


def _days(con: duckdb.DuckDBPyConnection) -> Iterator[date]:
    rows = con.execute("select distinct txn_date from ledger.pending_documents order by all").fetchall()
    return (row[0] for row in rows)


def _documents(con: duckdb.DuckDBPyConnection, day: date) -> Iterator[Document]:
    rows = con.execute(
        """
        select body from ledger.pending_documents
        where txn_date = $day and type in ('SalesReceipt', 'RefundReceipt')
            and order_id not in (select order_id from validation.holds where order_id is not null)
        order by key
        """,
        {"day": day},
    ).fetchall()
    return (from_json(row[0]) for row in rows)


def _business(con: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Keys of the customers with a VAT number, who get documents of their own."""
    rows = con.execute(
        "select distinct key from ledger.pending_customers"
        " where coalesce(json_extract_string(body, '$.vat_number'), '') <> ''"
    ).fetchall()
    return frozenset(row[0] for row in rows)


def _frozen(con: duckdb.DuckDBPyConnection) -> dict[str, frozenset[str]]:
    """The members of every summary that is posted."""
    rows = con.execute(
        f"""
        select summary_key, list(member_key) from {_MEMBERS}
        where summary_key in (select key from control.intents where state = 'CONFIRMED')
        group by summary_key
        """  # noqa: S608 -- a name of this file
    ).fetchall()
    return {key: frozenset(members) for key, members in rows}


def _note(con: duckdb.DuckDBPyConnection, made: Summaries) -> None:
    pairs = [(member, key) for key, members in made.members.items() for member in members]
    pairs += [(member, "") for member in made.waiting]
    if pairs:
        members, keys = zip(*pairs, strict=True)
        con.register("arriving", pa.table({"member_key": list(members), "summary_key": list(keys)}))
        con.execute("insert into joined by name select * from arriving")
        con.unregister("arriving")


def _replace_members(con: duckdb.DuckDBPyConnection) -> None:
    """The members go, their sources name the summary, and the summaries remember them."""
    for name in ("lines", "taxes", "applied"):
        con.execute(
            f"delete from ledger.pending_{name} where document_key in (select member_key from joined)"  # noqa: S608
        )
    con.execute("delete from ledger.pending_documents where key in (select member_key from joined)")
    con.execute(
        """
        update ledger.pending_sources as sources
        set
            document_key = joined.summary_key,
            status = if(joined.summary_key = '', 'not_postable', sources.status),
            reason = if(joined.summary_key = '', 'day_open', sources.reason)
        from joined
        where sources.document_key = joined.member_key
        """
    )
    con.execute(f"delete from {_MEMBERS}")  # noqa: S608
    con.execute(
        f"insert into {_MEMBERS} select summary_key, member_key from joined where summary_key <> ''"  # noqa: S608
    )
