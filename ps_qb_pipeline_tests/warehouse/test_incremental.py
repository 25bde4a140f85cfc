"""Views of the newest states show what they would show if all landed rows were compared anew."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.warehouse import incremental, models, raw
from ps_qb_pipeline.warehouse.derived import read_payload
from ps_qb_pipeline_tests.warehouse.unit_rows import raw_tables

LOADED = {name: model for name, model in models.load_models().items() if model.schema == "staging"}
FOLLOWED = [
    "staging.prestashop_orders",
    "staging.quickbooks_documents",
    "staging.quickbooks_document_lines",
    "staging.quickbooks_document_taxes",
]
SOURCES = ["raw.prestashop_orders", "raw.quickbooks_invoices", "raw.quickbooks_payments"]

TAKEN_APART = {"origin": "machine_line", "lines": "document_lines"}

changes = st.tuples(
    st.sampled_from(SOURCES),
    st.integers(1, 5),
    st.sampled_from(["new", "new", "new", "deleted"]),
    st.integers(0, 3),
)


def needed():
    wanted = set(FOLLOWED)
    while True:
        more = wanted | {name for each in wanted for name in LOADED[each].reads if name in LOADED}
        if more == wanted:
            return {name: model for name, model in LOADED.items() if name in wanted}
        wanted = more


NEEDED = needed()


def warehouse():
    con = duckdb.connect()
    con.execute("set timezone = 'UTC'")
    tables = {source for model in NEEDED.values() for source in model.reads if source.startswith("raw.")}
    models.prepare(con, {name: columns for name, columns in raw_tables().items() if name in tables}, NEEDED)
    con.execute(
        "insert into raw.quickbooks_preferences (connection, id, home_currency, hash, deleted_at_source, fetched_at,"
        " landing_id) values ('c', '1', 'EUR', '', false, now(), 1)"
    )
    return con


def land(con, source, number, what, amount):
    landing = con.execute(f"select coalesce(max(landing_id), 0) + 1 from {source}").fetchone()[0]
    row = {
        "connection": "c",
        "id": number,
        "hash": "",
        "deleted_at_source": what == "deleted",
        "landing_id": landing,
    }
    if what == "new" and source.startswith("raw.quickbooks"):
        lines = [{"Amount": amount, "LinkedTxn": [{"TxnId": "9", "TxnType": "Invoice"}]}] * amount
        note = f"ps:{{i:1,o:{number},rev:{amount}}}"
        row |= {
            "total": amount,
            "private_note": note,
            "payload": json.dumps({"Line": lines, "PrivateNote": note}),
        }
    elif what == "new":
        row |= {"reference": f"R{number}", "total_paid": amount}
    names = ", ".join(row)
    con.execute(
        f"insert into {source} ({names}, fetched_at) values ({', '.join('?' * len(row))}, '2026-01-01 00:00:00+00')",
        list(row.values()),
    )
    if source.startswith("raw.quickbooks"):
        read = ", ".join(f"{name} = {read_payload(kind)}" for name, kind in TAKEN_APART.items())
        con.execute(f"update {source} set {read} where landing_id = ?", [landing])


def content(con):
    return {name: con.execute(f"select * from {name} order by all").fetchall() for name in FOLLOWED}


def followed_orders(con):
    return con.execute(
        "select id, reference, total_paid from staging.prestashop_orders order by id"
    ).fetchall()


def newest_orders(con):
    rows = con.execute(
        "select id, reference, total_paid, deleted_at_source from raw.prestashop_orders order by landing_id"
    ).fetchall()
    newest = {row[0]: row for row in rows}
    return [row[:3] for _, row in sorted(newest.items()) if not row[3]]


@given(st.lists(st.lists(changes, max_size=4), min_size=1, max_size=4))
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
def test_following_gives_what_making_anew_gives(batches):
    """Whatever lands, changes, shrinks or goes, in whatever steps: the views show the same."""
    with warehouse() as con:
        for batch in batches:
            for change in batch:
                land(con, *change)
            models.run_models(con, NEEDED)
        followed = content(con)
        assert followed_orders(con) == newest_orders(con)
        con.execute("drop table runner.watermarks")
        models.run_models(con, NEEDED)
        assert followed == content(con)


def test_a_landing_notes_what_it_supersedes_at_once():
    """Nobody who reads afterwards has to: a state that came again is no news, a new one is."""
    columns = raw_tables()["raw.quickbooks_invoices"]
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    def superseded(*states):
        rows = [raw.Landing("7", {"total": Decimal(state)}, state) for state in states]
        raw.land(con, "raw.quickbooks_invoices", columns, rows, connection="c", fetched_at=moment)
        return con.execute("select landing_id from raw.superseded order by 1").fetchall()

    with warehouse() as con:
        assert superseded("1") == []
        assert superseded("2", "3") == [(1,), (2,)]
        assert superseded("3") == [(1,), (2,)]


def test_a_failed_note_is_made_good(monkeypatch):
    """Rows and watermark move together or not at all."""
    with warehouse() as con:
        land(con, "raw.quickbooks_invoices", 1, "new", 1)
        models.run_models(con, NEEDED)
        land(con, "raw.quickbooks_invoices", 1, "new", 2)
        monkeypatch.setattr(incremental, "_note_last_known", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            models.run_models(con, NEEDED)
        monkeypatch.undo()
        models.run_models(con, NEEDED)
        assert con.execute("select id, total from staging.quickbooks_documents").fetchall() == [("1", 2)]


def test_notes_of_an_earlier_version_are_taken_again():
    """A document that was deleted before last states were kept shows its last state after the upgrade, dated and all."""
    with warehouse() as con:
        land(con, "raw.quickbooks_invoices", 1, "new", 7)
        land(con, "raw.quickbooks_invoices", 1, "deleted", 0)
        incremental.create_state(con)
        con.execute("insert into raw.superseded values ('raw.quickbooks_invoices', 1)")
        con.execute(
            "insert into runner.watermarks values ('raw.superseded', '', 'raw.quickbooks_invoices', 2)"
        )
        models.run_models(con, NEEDED)
        shown = con.execute("select id, total, deleted from staging.quickbooks_documents").fetchall()
        assert shown == [("1", 7, True)]
