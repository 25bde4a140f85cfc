"""Landing: append-only, once, with deletions as rows and poison set aside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.warehouse.raw import (
    Landing,
    LandingResult,
    RawWarehouse,
    create_table,
    land,
    newest_ids,
    record_poisoned,
)

TABLE = "raw.prestashop_things"
COLUMNS = {"id": "int", "name": "text", "amount": "decimal", "taxes": "json"}
NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def thing(number: int, name: str = "a", **options: Any) -> Landing:
    values = {"id": number, "name": name, "amount": Decimal("1.500000"), "taxes": [{"id": 1}]}
    return Landing(number, values, payload=f'{{"id":{number},"name":"{name}"}}', **options)


def put(
    con: duckdb.DuckDBPyConnection, *rows: Landing, connection: str = "x", at: datetime = NOW
) -> LandingResult:
    return land(con, TABLE, COLUMNS, rows, connection=connection, fetched_at=at)


def test_row_lands_with_typed_columns_and_payload(con: duckdb.DuckDBPyConnection) -> None:
    """Typed columns, the verbatim object, source, time and hash stand in one row."""
    put(con, thing(1))
    row = con.execute(
        f"select connection, id, name, amount, taxes->>'$[0].id', payload->>'name', fetched_at, "
        f"deleted_at_source, landing_id, length(hash) from {TABLE}"
    ).fetchone()
    assert row[:6] == ("x", 1, "a", Decimal("1.500000"), "1", "a")
    assert row[6].astimezone(UTC) == NOW
    assert row[7:] == (False, 1, 32)


def test_landing_the_same_page_twice_changes_nothing(con: duckdb.DuckDBPyConnection) -> None:
    """The second time every row counts as unchanged."""
    assert put(con, thing(1), thing(2)) == LandingResult(2, 2, 0)
    assert put(con, thing(1), thing(2), at=NOW + timedelta(days=1)) == LandingResult(2, 0, 2)
    assert con.execute(f"select count(*), max(fetched_at) from {TABLE}").fetchone()[0] == 2


def test_state_that_returns_is_a_new_row(con: duckdb.DuckDBPyConnection) -> None:
    """Only the newest state of an id is compared with: a, b, a are three rows."""
    for name in ("a", "b", "a", "a"):
        put(con, thing(1, name))
    assert con.execute(f"select list(name order by landing_id) from {TABLE}").fetchone()[0] == ["a", "b", "a"]


def test_states_of_one_id_within_a_batch_keep_their_order(con: duckdb.DuckDBPyConnection) -> None:
    """A row that changed while being paged comes twice in one landing; the later state is the newest."""
    assert put(con, thing(1, "a"), thing(2), thing(1, "a"), thing(1, "b")) == LandingResult(4, 3, 1)
    newest = con.execute(f"select arg_max(name, landing_id) from {TABLE} where id = 1").fetchone()[0]
    assert newest == "b"


def test_deletion_is_a_row_and_a_return_is_one_too(con: duckdb.DuckDBPyConnection) -> None:
    """Nothing is removed: the deletion stands after the state that it ended."""
    put(con, thing(1))
    gone = Landing(1, {"id": 1}, "null", deleted=True)
    assert put(con, gone).inserted == 1
    assert put(con, gone).inserted == 0
    assert newest_ids(con, TABLE, connection="x") == {}
    assert put(con, thing(1)).inserted == 1
    assert list(newest_ids(con, TABLE, connection="x")) == [1]
    assert con.execute(f"select list(deleted_at_source order by landing_id) from {TABLE}").fetchone()[0] == [
        False,
        True,
        False,
    ]


def test_deletion_of_what_never_landed_is_nothing(con: duckdb.DuckDBPyConnection) -> None:
    """It would say nothing about anything."""
    assert put(con, Landing(9, deleted=True)) == LandingResult(1, 0, 1)


def test_connections_do_not_see_each_other(con: duckdb.DuckDBPyConnection) -> None:
    """The same id of two shops is two objects."""
    put(con, thing(1), connection="x")
    assert put(con, thing(1), connection="y").inserted == 1


def test_hash_of_its_own_tells_states_apart(con: duckdb.DuckDBPyConnection) -> None:
    """Where typed values are the same, another form on the wire is not another state."""
    put(con, Landing(1, {"name": "a"}, '{"id":1}', hash="h"))
    assert put(con, Landing(1, {"name": "a"}, '{"id":"1"}', hash="h")).inserted == 0


def test_books_have_text_ids(con: duckdb.DuckDBPyConnection) -> None:
    """QuickBooks' ids are strings, also when they look like numbers."""
    table, columns = "raw.quickbooks_invoices", {"total": "decimal", "created_at": "instant"}
    rows = [Landing("146", {"total": Decimal(3), "created_at": NOW})]
    land(con, table, columns, rows, connection="x", fetched_at=NOW)
    assert con.execute(f"select id, created_at from {table}").fetchone() == ("146", NOW)
    assert list(newest_ids(con, table, connection="x")) == ["146"]


def test_column_of_a_newer_version_is_added(con: duckdb.DuckDBPyConnection) -> None:
    """Old rows have it empty."""
    put(con, thing(1))
    land(
        con,
        TABLE,
        COLUMNS | {"day": "date"},
        [Landing(2, {"day": date(2026, 1, 2)})],
        connection="x",
        fetched_at=NOW,
    )
    assert con.execute(f"select list(day order by id) from {TABLE}").fetchone()[0] == [None, date(2026, 1, 2)]


def test_nothing_landed_is_an_empty_table(con: duckdb.DuckDBPyConnection) -> None:
    """Models over it can run."""
    assert put(con) == LandingResult(0, 0, 0)
    assert con.execute(f"select count(*) from {TABLE}").fetchone() == (0,)


@pytest.mark.parametrize("name", ["raw.x; drop table y", "raw.X", 'a"b', "raw.a.b", ""])
def test_names_are_checked(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Names come from our own tables; anything else is a bug, and no SQL is made of it."""
    with pytest.raises(ValueError, match="not the name"):
        create_table(con, name, {})


STATES = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["a", "b", "deleted"])), max_size=12)


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(STATES, max_size=5))
def test_newest_state_is_the_last_one_landed_and_no_state_follows_itself(
    batches: list[list[tuple[int, str]]],
) -> None:
    """Whatever comes in whatever batches, against a plain dictionary."""
    with duckdb.connect() as con:
        model: dict[int, list[str]] = {}
        for batch in batches:
            rows = [
                Landing(n, {"id": n}, "null", deleted=True) if state == "deleted" else thing(n, state)
                for n, state in batch
            ]
            put(con, *rows)
            for number, state in batch:
                history = model.setdefault(number, [])
                if (history[-1:] or ["deleted"]) != [state]:
                    history.append(state)
        create_table(con, TABLE, COLUMNS)
        found = con.execute(
            f"select id, list(case when deleted_at_source then 'deleted' else name end order by landing_id) "
            f"from {TABLE} group by id"
        ).fetchall()
        assert dict(found) == {number: history for number, history in model.items() if history}
        assert con.execute(f"select count(*) = count(distinct landing_id) from {TABLE}").fetchone() == (True,)


@dataclass(frozen=True)
class Unreadable:
    resource: str
    id: int | None
    parent: str = ""
    reason: str = "total_paid is not a number"
    payload: str = "{}"


def test_object_that_cannot_be_read_is_kept_once_with_its_attempts(con: duckdb.DuckDBPyConnection) -> None:
    """By resource, id and content; one without an id is kept too."""
    poison = [Unreadable("orders", 7, "7"), Unreadable("orders", None)]
    assert record_poisoned(con, "prestashop", poison, connection="x", fetched_at=NOW) == 2
    later = NOW + timedelta(hours=1)
    assert record_poisoned(con, "prestashop", poison, connection="x", fetched_at=later) == 0
    rows = con.execute("select id, attempts, first_seen < last_seen from raw.poisoned order by id").fetchall()
    assert rows == [(7, 2, True), (None, 2, True)]


def test_object_that_lands_after_all_is_resolved(con: duckdb.DuckDBPyConnection) -> None:
    """It stays in the list, with the moment at which it could be read."""
    warehouse = RawWarehouse(con, connection="x")
    warehouse.set_aside([Unreadable("things", 1), Unreadable("things", 2)], NOW)
    assert warehouse.land("things", COLUMNS, [thing(1)], NOW) == 1
    assert con.execute("select id from raw.poisoned where resolved_at is null").fetchall() == [(2,)]
    warehouse.set_aside([Unreadable("things", 1)], NOW)
    assert len(con.execute("select id from raw.poisoned where resolved_at is null").fetchall()) == 2


def test_warehouse_tells_what_it_knows(con: duckdb.DuckDBPyConnection) -> None:
    """Newest, not deleted values: by id and by the value of a column."""
    warehouse = RawWarehouse(con, connection="x")
    assert warehouse.known("things") == {}
    assert warehouse.known_of("things", "name", ["a"]) == {}
    warehouse.land("things", COLUMNS, [thing(1, "a"), thing(2, "a"), thing(3, "c")], NOW)
    warehouse.land("things", COLUMNS, [thing(2, "b"), Landing(3, {"id": 3}, "null", deleted=True)], NOW)
    assert warehouse.known("things").keys() == {1, 2}
    assert warehouse.known_of("things", "name", ["a", "c"]) == {1: "a"}
    assert warehouse.values("things", ["name", "amount"], [1, 2, 3, 4]) == {
        1: ("a", Decimal("1.500000")),
        2: ("b", Decimal("1.500000")),
    }


def test_a_column_that_landing_takes_apart_is_read_from_payloads_that_landed_before(con):
    """A warehouse of an older version shows the lines and sources of its documents as one of today does."""
    table, moment = "raw.quickbooks_invoices", datetime(2026, 1, 1, tzinfo=UTC)
    lines = [{"Id": "1", "Amount": Decimal("12.34"), "DetailType": "SalesItemLineDetail"}]
    note = "Thanks. ps:{v:1,i:1,s:1,o:45,ref:X,rev:2,role:sale,id:45,h:00ff}"
    payload = json.dumps({"PrivateNote": note, "Line": lines}, default=float)
    columns = {"lines": "document_lines", "origin": "machine_line"}
    rows = [Landing("1", {}, payload), Landing("2", {}, "{}")]
    land(con, table, {}, rows, connection="c", fetched_at=moment)
    create_table(con, table, columns)
    later = Landing("3", {"lines": lines, "origin": note}, payload)
    land(con, table, columns, [later], connection="c", fetched_at=moment)
    read = "select id, lines[1].amount, origin.key, origin.order_id from raw.quickbooks_invoices order by id"
    amount, key = Decimal("12.340000"), "1|sale|45|2"
    assert con.execute(read).fetchall() == [
        ("1", amount, key, 45),
        ("2", None, None, None),
        ("3", amount, key, 45),
    ]
