"""Payouts that a person approved, as documents of the ledger.

What lives here: what an approval takes (every line known, the lines make the deposit), the documents
that follow from it, and putting them among the documents that should exist. What does not: sending them
(``posting``). An approval is landed like a file: appended, never changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb

from ps_qb_pipeline.accounting import payouts
from ps_qb_pipeline.accounting.documents import Document, from_json, to_json
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.warehouse import news
from ps_qb_pipeline.warehouse.raw import Landing, land
from ps_qb_pipeline.warehouse.translation import ledger_rows

TABLE = "raw.files_payout_approvals"
COLUMNS: Mapping[str, str] = {
    "method": "text",
    "currency": "text",
    "payout_id": "text",
    "approved_by": "text",
    "approved_at": "timestamptz",
    "documents": "json",
}
ROLES = ("fee", "payout", "exchange")
_ODD = re.compile(r"[^A-Za-z0-9_.-]")


class Approval(NamedTuple):
    """A payout that was approved, with what it becomes in the books."""

    payout_id: str
    deposit: Decimal
    currency: str
    documents: tuple[Document, ...]


def candidates(con: duckdb.DuckDBPyConnection, payout_id: str = "") -> list[dict[str, Any]]:
    """The payouts as reconciliation sees them, the newest first; of one id only if it is given."""
    cursor = con.execute(
        "select * from recon.payouts where $id = '' or payout_id = $id order by day desc, payout_id",
        {"id": payout_id},
    )
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def approve(
    con: duckdb.DuckDBPyConnection,
    payout_id: str,
    policy: Policy,
    *,
    connection: str,
    by: str,
    now: datetime,
    received_home: Decimal | None = None,
) -> Approval:
    """Land the approval of a payout; SettingsError says why it cannot be approved.

    ``received_home`` is what the bank got where it converted a foreign payout to home currency.
    """
    found = candidates(con, payout_id)
    if len(found) != 1:
        many = "is not in any file that was delivered" if not found else "is the id of several payouts"
        raise SettingsError(f"payout {payout_id} {many}")
    row = found[0]
    if row["state"] in {"approved", "booked"}:
        documents = tuple(one for one in approved(con) if one.source_id == _source(payout_id))
        return Approval(payout_id, row["deposit"], row["currency"], documents)
    if row["state"] != "ready":
        raise SettingsError(_why_not(row))
    payout = _payout(con, row, received_home)
    made = payouts.settle(payout, policy, carrying_rate=_carrying_rate(con, row))
    if made.findings and not row["by_withdrawal"]:
        raise SettingsError("; ".join(finding.message for finding in made.findings))
    body = json.dumps([json.loads(to_json(document)) for document in made.documents], sort_keys=True)
    values = {
        "method": row["method"],
        "currency": row["currency"],
        "payout_id": payout_id,
        "approved_by": by,
        "approved_at": now,
        "documents": body,
    }
    key = f"{row['method']}|{row['currency']}|{payout_id}"
    land(
        con,
        TABLE,
        COLUMNS,
        [Landing(key, values, body)],
        connection=connection,
        fetched_at=now,
    )
    return Approval(payout_id, row["deposit"], row["currency"], made.documents)


def _why_not(row: Mapping[str, Any]) -> str:
    if row["unmatched_lines"]:
        return (
            f"payout {row['payout_id']} has {row['unmatched_lines']} line(s) over {row['unmatched_amount']} "
            f"{row['currency']} that no order is known for; psqb payout --connection N --show ID lists them"
        )
    return (
        f"the lines of payout {row['payout_id']} make {row['deposit'] - row['difference']} "
        f"{row['currency']} and {row['deposit']} was paid out; nothing is posted on such a difference"
    )


def _source(payout_id: str) -> str:
    """The payout's id as part of a key and of a machine line."""
    return _ODD.sub("-", payout_id)


def _payout(
    con: duckdb.DuckDBPyConnection, row: Mapping[str, Any], received_home: Decimal | None
) -> payouts.Payout:
    charges = tuple(_charges(con, row))
    return payouts.Payout(
        id=_source(str(row["payout_id"])),
        currency=row["currency"],
        day=row["day"],
        method=row["method"],
        gross=row["payments"],
        refunds=-row["refunds"],
        fees=sum((charge.amount for charge in charges), Decimal(0)),
        net=row["deposit"],
        received_home=received_home,
        charges=charges,
    )


def _charges(con: duckdb.DuckDBPyConnection, row: Mapping[str, Any]) -> Iterator[payouts.Charge]:
    """All fees as one line, and every chargeback, reserve, conversion and adjustment as its own."""
    count = row["lines"]
    yield payouts.Charge("fee", -row["fees"], f"fees of {count} line(s) of payout {row['payout_id']}")
    rows = con.execute(
        """
        select kind, -amount, said, transaction_id from staging.files_payout_lines
        where method = $method and currency = $currency and payout_id = $id
            and kind in ('chargeback', 'reserve', 'exchange', 'adjustment')
        order by happened_at, id
        """,
        {"method": row["method"], "currency": row["currency"], "id": row["payout_id"]},
    ).fetchall()
    for kind, amount, said, transaction in rows:
        yield payouts.Charge(kind, amount, f"{said} {transaction}".strip())


def _carrying_rate(con: duckdb.DuckDBPyConnection, row: Mapping[str, Any]) -> Decimal | None:
    """Home units for one unit of the payout's currency, as its payments were booked; None at home."""
    found = con.execute(
        """
        select sum(documents.home_total) / sum(documents.total)
        from recon.payout_matches as matches
        inner join ledger.documents as documents on matches.document_key = documents.key
        where matches.payout_id = $id and matches.method = $method and matches.currency = $currency
            and matches.kind = 'payment' and documents.exchange_rate is not null
        """,
        {"method": row["method"], "currency": row["currency"], "id": row["payout_id"]},
    ).fetchone()
    if not found or found[0] is None:
        return None
    return Decimal(str(found[0])).quantize(Decimal("0.000001"))


def approved(con: duckdb.DuckDBPyConnection) -> list[Document]:
    """The documents of every payout that was approved."""
    rows = con.execute(
        f"select documents from {TABLE} qualify row_number() over (partition by id order by landing_id) = 1"  # noqa: S608
    ).fetchall()
    return [from_json(json.dumps(one)) for (body,) in rows for one in json.loads(body)]


def book(con: duckdb.DuckDBPyConnection) -> int:
    """Put the documents of approved payouts into the ledger; returns how many there are."""
    documents = approved(con)
    keys = [document.key for document in documents]
    for name in ("ledger.lines", "ledger.taxes"):
        con.execute(
            f"delete from {name} where document_key in (select unnest($keys::varchar[]))",  # noqa: S608
            {"keys": keys},
        )
    con.execute("delete from ledger.documents where key in (select unnest($keys::varchar[]))", {"keys": keys})
    if keys:
        news.note(con, "ledger.documents", "select unnest($keys::varchar[])", {"keys": keys})
    for name, table in ledger_rows(documents, ()).items():
        con.register("approved_rows", table)
        con.execute(f"insert into {name} by name select * from approved_rows")  # noqa: S608
        con.unregister("approved_rows")
    return len(documents)
