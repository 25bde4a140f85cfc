"""Documents that the books hold already and that may not simply be rewritten: the ledger's part of it.

What lives here: finding pending documents whose like is posted, asking the judge that the caller brings,
and putting its answer into the pending ledger: what was posted stays, an adjustment stands beside it, or
the source is held. Of a source that is held, for whatever reason, the document that was posted stays in the
ledger too, so that the proof sees what becomes of it in the books. What does not: the judgement itself
(``accounting.changes``, ``posting.amending``).
"""

# ruff: noqa: S608  (names of this file; values are bound)

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol

import duckdb
import pyarrow as pa

from ps_qb_pipeline.accounting.documents import Document, from_json
from ps_qb_pipeline.accounting.findings import Finding
from ps_qb_pipeline.warehouse.session import scalar
from ps_qb_pipeline.warehouse.translation import finding_rows, ledger_rows

_LIVE = "state = 'CONFIRMED' and operation in ('create', 'update') and entity not in ('Customer', 'Item')"
_ROLES = "('sale', 'refund', 'summary')"


@dataclass(frozen=True, slots=True)
class Case:
    """One document that the books hold, and what the shop says of it now.

    ``wanted`` is the document as it would be made today; None when its order was cancelled and nothing
    is wanted any more. ``payments`` are the order's payments beside it.
    """

    key: str
    wanted: Document | None
    payments: tuple[Document, ...] = ()
    invoice_issued: bool = False
    day: date | None = None
    """The shop-local day of the order's last change."""
    deposited: bool = False
    """Whether a bank deposit names the document: QuickBooks locks it then."""
    reassigned: bool = False
    """Whether the order has belonged to more than one customer of the shop."""


@dataclass(slots=True)
class Answer:
    """What becomes of the cases. ``keep`` and ``add`` replace or join the pending documents by key."""

    keep: list[Document] = field(default_factory=list)
    """Documents as they were posted; what is pending under their key goes."""
    now: dict[str, Document] = field(default_factory=dict)
    """What the shop says today of documents that stay as posted, by key: for whom, when, at which rate, from where."""
    add: list[Document] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    """Document keys whose sources wait for a person, with the code; nothing of theirs is pending then."""
    inside: dict[str, str] = field(default_factory=dict)
    """Documents that are not needed beside a kept one, with its key: what they would say, it says."""
    findings: list[Finding] = field(default_factory=list)


_NO_FACTS: tuple[bool, date | None, bool] = (False, None, False)


class Judge(Protocol):
    """Who knows what was posted."""

    def __call__(self, cases: Sequence[Case]) -> Answer:
        """What becomes of each case."""

    def standing(self, keys: Sequence[str]) -> list[Document]:
        """What was posted under each key, with its adjustments."""


Write = Callable[[Mapping[str, pa.Table]], None]


def settle(con: duckdb.DuckDBPyConnection, judge: Judge, write: Write) -> None:
    """Ask ``judge`` about every pending document that the books hold, and do as it says."""
    cases = [*_changed(con), *_cancelled(con)]
    now = _judged(con, cases, judge, write) if cases else {}
    _keep_held(con, judge, write, now)


def _judged(
    con: duckdb.DuckDBPyConnection, cases: Sequence[Case], judge: Judge, write: Write
) -> dict[str, Document]:
    """Does as the judge says; gives what the shop says today of what is kept or held, by key."""
    deposited = _deposited(con)
    answer = judge([replace(case, deposited=case.key.rpartition("|")[0] in deposited) for case in cases])
    kept = {document.key for document in answer.keep}
    _delete_documents(con, {*kept, *answer.held, *answer.inside})
    write(ledger_rows([*answer.keep, *answer.add], ()))
    _follow_the_shop(con, [answer.now[key] for key in sorted(kept & answer.now.keys())])
    if answer.findings:
        write(finding_rows(answer.findings))
    _mark_sources(con, kept, answer.held, answer.inside)
    return answer.now


def _keep_held(
    con: duckdb.DuckDBPyConnection, judge: Judge, write: Write, now: Mapping[str, Document]
) -> None:
    """What was posted for a source that is held stands beside it: a person may change it in the books meanwhile."""
    rows = con.execute(
        f"""
        with held as (
            select
                if(source_type = 'order', 'sale', 'refund') as role, source_type, source_id,
                cast(source_id as varchar) as source
            from ledger.pending_sources
            where status = 'held' and source_type in ('order', 'slip')
        )
        select distinct intents.key, held.source_type, held.source_id
        from control.intents as intents
        inner join held on intents.role = held.role and intents.source_id = held.source
        anti join ledger.pending_documents as pending
            on intents.role = pending.role and intents.source_id = pending.source_id
        where {_LIVE}
        order by all
        """
    ).fetchall()
    if not rows:
        return
    standing = judge.standing([key for key, _, _ in rows])
    _delete_documents(con, (document.key for document in standing))
    write(ledger_rows(standing, ()))
    _follow_the_shop(con, [now[document.key] for document in standing if document.key in now])
    for key, kind, source in rows:
        con.execute(
            "update ledger.pending_sources set document_key = $key"
            " where source_type = $kind and source_id = $source"
            " and $key in (select key from ledger.pending_documents)",
            {"key": key, "kind": kind, "source": source},
        )


def _stem(column: str) -> str:
    return rf"regexp_replace({column}, '\|[^|]*$', '')"


def _changed(con: duckdb.DuckDBPyConnection) -> list[Case]:
    rows = con.execute(
        f"""
        select documents.key, documents.body, documents.order_id
        from ledger.pending_documents as documents
        semi join (
            select {_stem("key")} as stem from control.intents
            where {_LIVE} and source_id in (select source_id from ledger.pending_documents)
        ) as posted
            on {_stem("documents.key")} = posted.stem
        where documents.role in {_ROLES}
        order by documents.key
        """
    ).fetchall()
    orders = {row[2] for row in rows}
    payments = _payments(con, orders)
    facts = _shop_facts(con, orders)
    return [
        _case(key, from_json(body), payments.get(order, ()), facts.get(order, _NO_FACTS))
        for key, body, order in rows
    ]


def _cancelled(con: duckdb.DuckDBPyConnection) -> list[Case]:
    """Posted sales of pending orders that were cancelled and are no sale any more."""
    rows = con.execute(
        f"""
        select intents.key, sources.order_id
        from ledger.pending_sources as sources
        inner join control.intents as intents
            on intents.role = 'sale' and intents.source_id = cast(sources.source_id as varchar)
        where sources.source_type = 'order' and sources.status = 'not_postable'
            and sources.reason = 'cancelled' and {_LIVE}
        order by intents.key
        """
    ).fetchall()
    facts = _shop_facts(con, {row[1] for row in rows})
    return [_case(key, None, (), facts.get(order, _NO_FACTS)) for key, order in rows]


def _case(
    key: str, wanted: Document | None, payments: Iterable[Document], facts: tuple[bool, date | None, bool]
) -> Case:
    issued, day, reassigned = facts
    return Case(key, wanted, tuple(payments), issued, day, reassigned=reassigned)


def _payments(con: duckdb.DuckDBPyConnection, orders: Iterable[int]) -> dict[int, list[Document]]:
    """The payments that settle a part of each order; those of a split cart settle several."""
    rows = con.execute(
        """
        select distinct coalesce(owners.order_id, documents.order_id), documents.key, documents.body
        from ledger.pending_documents as documents
        left join ledger.pending_applied as applied on documents.key = applied.document_key
        left join ledger.pending_documents as owners on applied.to_key = owners.key
        where documents.role = 'payment'
            and coalesce(owners.order_id, documents.order_id) in (select unnest($orders::bigint[]))
        order by all
        """,
        {"orders": sorted(orders)},
    ).fetchall()
    found: dict[int, list[Document]] = {}
    for order, _, body in rows:
        found.setdefault(order, []).append(from_json(body))
    return found


def _shop_facts(
    con: duckdb.DuckDBPyConnection, orders: Iterable[int]
) -> dict[int, tuple[bool, date | None, bool]]:
    """By order: whether an invoice number is issued, the day of the last change, whether the customer is another."""
    rows = con.execute(
        """
        with ours as (select unnest($orders::bigint[]) as id),
        given as (
            select id from raw.prestashop_orders semi join ours using (id)
            group by id having count(distinct id_customer) > 1
        )
        select id, coalesce(invoice_number, 0) > 0, cast(date_upd as date), id in (select id from given)
        from staging.prestashop_orders semi join ours using (id)
        """,
        {"orders": sorted(orders)},
    ).fetchall()
    return {number: (issued, day, given) for number, issued, day, given in rows}


def _deposited(con: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Stems of posted documents that a bank deposit in the mirror names: QuickBooks locks them."""
    present = scalar(
        con,
        "select count(*) from information_schema.tables where table_schema = 'staging'"
        " and table_name = 'quickbooks_document_lines'",
    )
    if not present:
        return frozenset()
    rows = con.execute(
        f"""
        select distinct {_stem("intents.key")}
        from staging.quickbooks_document_lines as lines
        inner join control.intents as intents
            on lines.linked_type = intents.entity and lines.linked_id = intents.qbo_id
        where lines.entity = 'Deposit' and {_LIVE.replace("entity", "intents.entity")}
        """
    ).fetchall()
    return frozenset(row[0] for row in rows)


def _delete_documents(con: duckdb.DuckDBPyConnection, keys: Iterable[str]) -> None:
    named = {"keys": sorted(keys)}
    for name in ("lines", "taxes", "applied"):
        con.execute(
            f"delete from ledger.pending_{name} where document_key in (select unnest($keys::varchar[]))",
            named,
        )
    con.execute("delete from ledger.pending_documents where key in (select unnest($keys::varchar[]))", named)


def _follow_the_shop(con: duckdb.DuckDBPyConnection, documents: Iterable[Document]) -> None:
    """The row of a kept document says what the shop says, its body what is in the books: the proof compares both."""
    for document in documents:
        con.execute(
            """
            update ledger.pending_documents set
                customer_name = if(customer_key = $customer, customer_name, $name),
                customer_key = $customer,
                txn_date = $day,
                deposit_to = if(deposit_to = '' or $account = '', deposit_to, $account),
                exchange_rate = $rate,
                home_total = if(exchange_rate is distinct from $rate, round(total * $rate, 2), home_total)
            where key = $key
            """,
            {
                "key": document.key,
                "customer": document.customer_key,
                "name": document.customer_name,
                "day": document.txn_date,
                "account": document.deposit_to,
                "rate": document.exchange_rate,
            },
        )


def _mark_sources(
    con: duckdb.DuckDBPyConnection, kept: Iterable[str], held: Mapping[str, str], inside: Mapping[str, str]
) -> None:
    """The order of a document that is kept carries it, even when it is cancelled; those that wait say why."""
    for key in sorted(kept):
        con.execute(
            "update ledger.pending_sources set status = 'postable', reason = '', document_key = $key"
            " where source_type = 'order' and document_key = '' and status = 'not_postable'"
            " and $key like '%|sale|' || source_id || '|%'",
            {"key": key},
        )
    for key, code in sorted(held.items()):
        con.execute(
            "update ledger.pending_sources set status = 'held', reason = $code, document_key = ''"
            " where document_key = $key",
            {"key": key, "code": code},
        )
    for key, holder in sorted(inside.items()):
        con.execute(
            "update ledger.pending_sources set document_key = $holder where document_key = $key",
            {"key": key, "holder": holder},
        )
