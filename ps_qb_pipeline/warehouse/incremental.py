"""Following what has landed since, instead of reading everything again.

What lives here: which raw rows a newer landing has superseded; and for tables of models, finding the
objects that changed, running the model's own SELECT over them alone, and replacing their rows. What
does not: making models whole (``models``).

A model says ``materialized: incremental`` and ``key:`` (the columns that name an object in it). Its
SELECT stays a plain SELECT over everything: here its raw tables are exchanged for those of their rows
whose id landed again, through all views in between. Relations under ``whole:`` are read as they are.
"""

# ruff: noqa: S608  (relations are named after our own files)

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from ps_qb_pipeline.warehouse.session import scalar

if TYPE_CHECKING:
    from ps_qb_pipeline.warehouse.models import Model

SUPERSEDED = "raw.superseded"
"""The landed rows that are no longer the newest of their id: all that a view of newest rows leaves out."""

LAST_KNOWN = "raw.last_known"
"""Of objects that are deleted at their source, the last state before, for views that go on showing it."""

_NOTES = frozenset({SUPERSEDED, LAST_KNOWN})

STATE = "runner.watermarks"
"""How far each incremental table has read each raw table, and by which SQL it was made."""

TOO_MANY = 0.2
"""Beyond this part of a raw table, making the table anew is the shorter way."""


def update(con: duckdb.DuckDBPyConnection, model: Model, models: Mapping[str, Model]) -> bool:
    """Replaces in the model's table the rows of what landed since; False when it has to be made whole."""
    create_state(con)
    sources = _sources(model, models)
    before = _read_to(con, model, models)
    now = {source: _last(con, source) for source in sources}
    if before is None or before.keys() != now.keys():
        return False
    grown = {source for source in sources if now[source] != before[source]}
    if not grown:
        return True
    counts = {source: _changed(con, source, before[source]) for source in sources}
    if any(now[source] < before[source] for source in grown) or any(
        changed > TOO_MANY * max(rows, 1000) for changed, rows in counts.values()
    ):
        return False
    with _transaction(con):
        _replace(con, model, models)
        _remember(con, model, models, now)
    return True


def supersede(con: duckdb.DuckDBPyConnection, models: Mapping[str, Model]) -> None:
    """Notes in ``raw.superseded`` what has been superseded since, for every table that is read that way."""
    readers = [model for model in models.values() if SUPERSEDED in model.reads]
    keeping = {name for model in readers if LAST_KNOWN in model.reads for name in model.reads}
    raw = {name for model in readers for name in model.reads if name.startswith("raw.")}
    for source in sorted(raw - _NOTES):
        follow(con, source, keeps_deleted=source in keeping)


def follow(con: duckdb.DuckDBPyConnection, source: str, *, keeps_deleted: bool) -> None:
    """Notes what has been superseded since in one raw table; landing calls it, so that readers need not wait."""
    create_state(con)
    known = {"relation": SUPERSEDED, "source": source}
    where = "where relation = $relation and source = $source"
    before = scalar(con, f"select max(landing_id) from {STATE} {where}", known)
    now = _last(con, source)
    if now == before:
        return
    with _transaction(con):
        if now < before or not before:
            for notes in _NOTES:
                con.execute(f"delete from {notes} where source = $source", {"source": source})
            before = 0
        note = _note_last_known if keeps_deleted else _note_superseded
        note(con, source, before)
        con.execute(f"delete from {STATE} {where}", known)
        con.execute(
            f"insert into {STATE} values ($relation, '', $source, $landing_id)", known | {"landing_id": now}
        )


def _note_superseded(con: duckdb.DuckDBPyConnection, source: str, since: int) -> None:
    """Every row of an id that landed after ``since``, except the newest, unless it is noted already."""
    con.execute(
        f"""
        insert into {SUPERSEDED}
        with newest as (
            select id, max(landing_id) as landing_id from {source} where landing_id > $since group by id
        )
        select $source, rows.landing_id
        from {source} as rows
        inner join newest on rows.id = newest.id and rows.landing_id < newest.landing_id
        anti join {SUPERSEDED} as noted on noted.source = $source and noted.landing_id = rows.landing_id
        """,
        {"since": since, "source": source},
    )


def _note_last_known(con: duckdb.DuckDBPyConnection, source: str, since: int) -> None:
    """As ``_note_superseded``, but of an object that is deleted the last state before that stands."""
    con.execute(
        f"""
        create or replace temp table landed_states as
        select
            id, max(landing_id) as newest, max(landing_id) filter (where not deleted_at_source) as kept,
            count(*) as states
        from {source} where id in (select id from {source} where landing_id > $since)
        group by id
        having states > 1 or kept is null
        """,
        {"since": since},
    )
    con.execute(
        f"""
        insert into {SUPERSEDED}
        select $source, rows.landing_id
        from {source} as rows
        inner join landed_states on rows.id = landed_states.id and rows.landing_id is distinct from landed_states.kept
        anti join {SUPERSEDED} as noted on noted.source = $source and noted.landing_id = rows.landing_id
        """,
        {"source": source},
    )
    con.execute(
        f"delete from {LAST_KNOWN} where source = $source and landing_id in"
        f" (select landing_id from {source} where id in (select id from landed_states))",
        {"source": source},
    )
    con.execute(
        f"insert into {LAST_KNOWN} select $source, kept from landed_states where kept < newest",
        {"source": source},
    )


def create_state(con: duckdb.DuckDBPyConnection) -> None:
    """Creates the table of watermarks."""
    con.execute(f"create schema if not exists {STATE.partition('.')[0]}")
    con.execute(
        f"create table if not exists {STATE} (relation varchar, version varchar, source varchar, landing_id bigint)"
    )


@contextmanager
def made_whole(con: duckdb.DuckDBPyConnection, model: Model, models: Mapping[str, Model]) -> Iterator[None]:
    """Around making the table whole: what had landed when it began is what it is known to hold."""
    now = {source: _last(con, source) for source in _sources(model, models)}
    con.execute(f"delete from {STATE} where relation = $relation", {"relation": model.name})
    yield
    _remember(con, model, models, now)


def _sources(model: Model, models: Mapping[str, Model]) -> list[str]:
    """The raw tables that the model reads, directly or through views, in a stable order."""
    found: set[str] = set()
    for name in model.reads - _whole(model):
        if name.startswith("raw.") and name not in _NOTES:
            found.add(name)
        elif name in models:
            found.update(_sources(models[name], models))
    return sorted(found)


def _whole(model: Model) -> frozenset[str]:
    return frozenset(model.contract.get("whole") or ())


def _version(model: Model, models: Mapping[str, Model]) -> str:
    """A hash of every SELECT that a row of the table went through."""
    upstream = sorted(name for name in model.reads - _whole(model) if name in models)
    texts = [model.code_version, *(_version(models[name], models) for name in upstream)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _read_to(
    con: duckdb.DuckDBPyConnection, model: Model, models: Mapping[str, Model]
) -> dict[str, int] | None:
    exists = con.execute(
        "select 1 from information_schema.tables where table_type = 'BASE TABLE'"
        " and table_schema = $schema and table_name = $table and table_catalog = current_database()",
        {"schema": model.schema, "table": model.table},
    ).fetchall()
    rows = con.execute(
        f"select source, landing_id from {STATE} where relation = $relation and version = $version",
        {"relation": model.name, "version": _version(model, models)},
    ).fetchall()
    return dict(rows) if exists and rows else None


def _remember(
    con: duckdb.DuckDBPyConnection, model: Model, models: Mapping[str, Model], now: Mapping[str, int]
) -> None:
    con.execute(f"delete from {STATE} where relation = $relation", {"relation": model.name})
    con.executemany(
        f"insert into {STATE} values (?, ?, ?, ?)",
        [(model.name, _version(model, models), source, landing_id) for source, landing_id in now.items()],
    )


def _last(con: duckdb.DuckDBPyConnection, source: str) -> int:
    return scalar(con, f"select max(landing_id) from {source}")


def _changed(con: duckdb.DuckDBPyConnection, source: str, since: int) -> tuple[int, int]:
    """Gathers every landed state of the objects that landed since; returns their number and that of all rows."""
    con.execute(
        f"create or replace temp table {_changed_rows(source)} as"
        f" select * from {source} where id in (select id from {source} where landing_id > $since)",
        {"since": since},
    )
    return (
        scalar(con, f"select count(*) from {_changed_rows(source)}"),
        scalar(con, f"select count(*) from {source}"),
    )


def _replace(con: duckdb.DuckDBPyConnection, model: Model, models: Mapping[str, Model]) -> None:
    keys = [str(column) for column in model.contract["key"]]
    key = ", ".join(f'"{column}"' for column in keys)
    sql, narrowed = _narrowed(con, model, models)
    named = " union ".join(f"select {key} from {relation}" for relation in narrowed)
    con.execute(f"create or replace temp table narrowed_keys as {named}")
    con.execute(f"create or replace temp table narrowed_rows as {sql}")
    con.execute(f"delete from {model.name} where ({key}) in (select ({key}) from narrowed_keys)")
    con.execute(f"insert into {model.name} by name select * from narrowed_rows")


def _narrowed(
    con: duckdb.DuckDBPyConnection, model: Model, models: Mapping[str, Model]
) -> tuple[str, list[str]]:
    """The model's SELECT over changed objects only, and the relations that it then reads them from."""
    sql = model.sql
    narrowed = []
    for name in sorted(model.reads - _whole(model)):
        if name.startswith("raw.") and name not in _NOTES:
            instead = _changed_rows(name)
        elif name in models and _sources(models[name], models):
            instead = f"narrowed_{name.replace('.', '_')}"
            inner, _ = _narrowed(con, models[name], models)
            con.execute(f"create or replace temp view {instead} as {inner}")
        else:
            continue
        sql = re.sub(rf"(?<!')\b{re.escape(name)}\b(?!')", instead, sql)  # the name, not a text that says it
        narrowed.append(instead)
    return sql, narrowed


def _changed_rows(source: str) -> str:
    return f"changed_{source.replace('.', '_')}"


@contextmanager
def _transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute("begin")
    try:
        yield
    except BaseException:
        con.execute("rollback")
        raise
    con.execute("commit")
