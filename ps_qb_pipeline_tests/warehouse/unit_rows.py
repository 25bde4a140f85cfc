"""The given and expected rows of a contract, run against the model that they belong to.

A contract may hold ``units``: a list of ``name``, ``given`` (relation to rows), ``expect`` (rows) and
``variables``. Columns that a given row leaves out are null; what landing fills in has a default. Only
the columns that the first expected row names are compared, rows in any order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import duckdb

from ps_qb_pipeline.orchestration.landing import raw_tables
from ps_qb_pipeline.warehouse import models
from ps_qb_pipeline.warehouse.derived import DERIVED, read

LANDED = {
    "connection": "test",
    "hash": "",
    "payload": "{}",
    "deleted_at_source": False,
    "fetched_at": "2026-01-01 00:00:00+00",
}
VARIABLES = {"as_of": "2026-10-31", "home_currency": "EUR"}


def differences(model: models.Model, unit: dict[str, Any], loaded: dict[str, models.Model]) -> dict[str, Any]:
    """What the model gives and the unit does not expect, and the other way round; both empty when it holds."""
    needed = _closure(model, loaded)
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        models.prepare(con, raw_tables(), needed)
        variables = VARIABLES | unit.get("variables", {})
        models.run_models(con, needed, variables=variables)
        for relation, rows in unit["given"].items():
            _give(con, relation, rows)
        con.execute("create schema if not exists runner; drop table if exists runner.watermarks")
        models.run_models(con, {name: each for name, each in needed.items() if name not in unit["given"]})
        return _compare(con, model.name, unit["expect"])


def _closure(model: models.Model, loaded: dict[str, models.Model]) -> dict[str, models.Model]:
    wanted, waiting = set(), [model.name]
    while waiting:
        name = waiting.pop()
        if name in loaded and name not in wanted:
            wanted.add(name)
            waiting += loaded[name].reads
    return {name: each for name, each in loaded.items() if name in wanted}


def _give(con: duckdb.DuckDBPyConnection, relation: str, rows: list[dict[str, Any]]) -> None:
    columns = {row[0]: row[1] for row in con.execute(f"describe {relation}").fetchall()}
    kind = con.execute(
        "select table_type from information_schema.tables where table_schema || '.' || table_name = ?",
        [relation],
    ).fetchone()[0]
    con.execute(f"create temp table given as select * from {relation} limit 0")
    con.execute(f"drop {'view' if kind == 'VIEW' else 'table'} {relation}")
    con.execute(f"create table {relation} as select * from given")
    con.execute("drop table given")
    for number, row in enumerate(rows, 1):
        unknown = set(row) - set(columns)
        assert not unknown, f"{relation} has no column {', '.join(sorted(unknown))}"
        landed = LANDED | {"landing_id": number} if relation.startswith("raw.") else {}
        _insert(con, relation, columns, landed | row, raw_tables().get(relation, {}))
    if "origin" in columns:
        con.execute(f"update {relation} set origin = {read('machine_line', 'private_note')}")


def _insert(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    columns: dict[str, str],
    row: dict[str, Any],
    kinds: Mapping[str, str] = MappingProxyType({}),
) -> None:
    values = {name: _plain(row[name]) for name in columns if name in row and row[name] is not None}
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join(
        read(kinds[name], "?::varchar") if kinds.get(name) in DERIVED else "?" for name in values
    )
    con.execute(f"insert into {relation} ({names}) values ({marks})", list(values.values()))


def _plain(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value) if isinstance(value, float) else value


def _compare(con: duckdb.DuckDBPyConnection, relation: str, expected: list[dict[str, Any]]) -> dict[str, Any]:
    if not expected:
        return {"unexpected": con.execute(f"select * from {relation}").fetchall(), "missing": []}
    columns = {row[0]: row[1] for row in con.execute(f"describe {relation}").fetchall()}
    named = [name for name in expected[0] if name in columns]
    assert len(named) == len(expected[0]), f"{relation} has no column {set(expected[0]) - set(columns)}"
    selected = ", ".join(f'"{name}"' for name in named)
    con.execute(f"create temp table expected as select {selected} from {relation} limit 0")
    for row in expected:
        _insert(con, "expected", {name: columns[name] for name in named}, row)
    actual = f"select {selected} from {relation}"
    return {
        "unexpected": con.execute(f"{actual} except all select * from expected").fetchall(),
        "missing": con.execute(f"select * from expected except all {actual}").fetchall(),
    }
