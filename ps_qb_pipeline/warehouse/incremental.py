"""Following what has landed since, instead of reading everything again.

What lives here: which raw rows a newer landing has superseded, so that a view of the newest states leaves
out a few rows instead of comparing all. What does not: the views themselves (``dbt_style_sql/staging``)
and which orders the news bears on (``changes``).
"""

# ruff: noqa: S608  (relations are named after our own files)

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
"""How far each relation that follows raw tables has read them, and by what it was made."""


def supersede(con: duckdb.DuckDBPyConnection, models: Mapping[str, Model]) -> None:
    """Notes in ``raw.superseded`` what has been superseded since, for every table that is read that way."""
    readers = [model for model in models.values() if SUPERSEDED in model.reads]
    keeping = {name for model in readers if LAST_KNOWN in model.reads for name in model.reads}
    raw = {name for model in readers for name in model.reads if name.startswith("raw.")} - _NOTES
    create_state(con)
    noted = {
        (source, version): landing_id
        for source, version, landing_id in con.execute(
            f"select source, version, landing_id from {STATE} where relation = '{SUPERSEDED}'"
        ).fetchall()
    }
    for source, last in landed(con, raw).items():
        keeps = source in keeping
        if noted.get((source, _way(keeps_deleted=keeps)), 0) != last:
            follow(con, source, keeps_deleted=keeps)


def landed(con: duckdb.DuckDBPyConnection, sources: Iterable[str]) -> dict[str, int]:
    """How far each of these raw tables has got, by name; all are asked in one statement."""
    each = [f"select '{source}', coalesce(max(landing_id), 0) from {source}" for source in sorted(sources)]
    return dict(con.execute(" union all ".join(each)).fetchall()) if each else {}


def _way(*, keeps_deleted: bool) -> str:
    """How notes are taken, as the state says it."""
    return LAST_KNOWN if keeps_deleted else ""


def follow(con: duckdb.DuckDBPyConnection, source: str, *, keeps_deleted: bool) -> None:
    """Notes what has been superseded since in one raw table; landing calls it, so that readers need not wait."""
    create_state(con)
    known = {"relation": SUPERSEDED, "source": source}
    # Notes that were taken the other way say nothing: earlier versions kept no last state of what is deleted.
    way = {"version": _way(keeps_deleted=keeps_deleted)}
    where = "where relation = $relation and source = $source"
    before = scalar(con, f"select max(landing_id) from {STATE} {where} and version = $version", known | way)
    now = landed(con, [source])[source]
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
            f"insert into {STATE} values ($relation, $version, $source, $landing_id)",
            known | way | {"landing_id": now},
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
def _transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.execute("begin")
    try:
        yield
    except BaseException:
        con.execute("rollback")
        raise
    con.execute("commit")
