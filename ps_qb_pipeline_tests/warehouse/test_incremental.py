"""A table that follows its raw rows holds what it would hold if it were made anew."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.warehouse import incremental, models
from ps_qb_pipeline.warehouse.derived import read_payload
from ps_qb_pipeline_tests.warehouse.unit_rows import raw_tables

KEPT = {
    "materialized": "incremental",
    "key": ["entity", "id"],
    "whole": ["staging.quickbooks_preferences"],
}
STAGED = {name: model for name, model in models.load_models().items() if model.schema == "staging"}
# Views of the product, made tables that follow their raw rows.
LOADED = {
    name: replace(model, contract=model.contract | KEPT)
    if name.startswith("staging.quickbooks_document")
    else model
    for name, model in STAGED.items()
}
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
    """Whatever lands, changes, shrinks or goes, in whatever steps: the tables are the same."""
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


@pytest.fixture
def con():
    with warehouse() as connection:
        connection.execute(
            "insert into raw.quickbooks_invoices"
            " (connection, id, total, hash, deleted_at_source, fetched_at, landing_id)"
            " select 'c', range + 1, 0, '', false, timestamptz '2026-01-01 00:00:00+00', range + 1 from range(2000)"
        )
        models.run_models(connection, NEEDED)
        yield connection


def test_little_news_touches_little(con, monkeypatch):
    """A few changed documents are replaced; the table is not made again."""
    made = []
    monkeypatch.setattr(models, "_make", lambda _con, model, _present: made.append(model.name))
    for number in random.Random(7).sample(range(1, 2001), 20):
        land(con, "raw.quickbooks_invoices", number, "new", 9)
    models.run_models(con, NEEDED, select=["staging.quickbooks_documents"])
    assert made == []
    assert con.execute("select count(*), sum(total) from staging.quickbooks_documents").fetchone() == (
        2000,
        180,
    )


def test_nothing_new_does_nothing(con):
    """Without news there is nothing to read."""
    assert incremental.update(con, LOADED["staging.quickbooks_documents"], NEEDED) is True


def test_other_sql_makes_the_table_anew(con):
    """A table made by an older SELECT is not followed: it is made again."""
    model = LOADED["staging.quickbooks_documents"]
    con.execute("update runner.watermarks set version = 'older'")
    assert incremental.update(con, model, NEEDED) is False


def test_much_news_makes_the_table_anew(con):
    """When most of it changed, making it anew is shorter."""
    con.execute(
        "insert into raw.quickbooks_invoices by name"
        " select * replace (landing_id + 5000 as landing_id) from raw.quickbooks_invoices"
    )
    assert incremental.update(con, LOADED["staging.quickbooks_documents"], NEEDED) is False


def test_a_run_that_dies_while_making_the_table_is_made_good(con):
    """Half-made tables are not taken for whole ones."""
    model = LOADED["staging.quickbooks_documents"]
    with pytest.raises(ZeroDivisionError), incremental.made_whole(con, model, NEEDED):
        raise ZeroDivisionError
    assert incremental.update(con, model, NEEDED) is False


def test_a_failed_update_changes_nothing(con, monkeypatch):
    """Rows and watermark move together or not at all."""
    before = con.execute("select count(*) from staging.quickbooks_documents").fetchone()
    land(con, "raw.quickbooks_invoices", 9999, "new", 1)
    monkeypatch.setattr(incremental, "_remember", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        incremental.update(con, LOADED["staging.quickbooks_documents"], NEEDED)
    monkeypatch.undo()
    assert con.execute("select count(*) from staging.quickbooks_documents").fetchone() == before
    assert incremental.update(con, LOADED["staging.quickbooks_documents"], NEEDED) is True
    assert con.execute("select count(*) from staging.quickbooks_documents").fetchone() == (before[0] + 1,)
