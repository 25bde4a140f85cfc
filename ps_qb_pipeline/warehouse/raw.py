"""Landing: what the two systems said, appended to ``raw`` tables and never changed.

What lives here: the form of a raw table, the appending of rows that are new, and the list of objects that
could not be read. What does not: reading from either system, and making sense of the rows (staging).

Every row holds typed columns and, beside them, the object verbatim. A row whose (id, hash) equals the
newest one of that id is not appended again, so landing a page twice changes nothing. A deletion is a row
too: ``deleted_at_source``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from ps_qb_pipeline.warehouse import incremental
from ps_qb_pipeline.warehouse.derived import DERIVED, read, read_payload
from ps_qb_pipeline.warehouse.session import exists
from ps_qb_pipeline.warehouse.tables import create_tables

_SQL_TYPES = {
    "int": "bigint",
    "decimal": "decimal(20,6)",
    "bool": "boolean",
    "text": "varchar",
    "i18n": "varchar",
    "datetime": "timestamp",
    "timestamptz": "timestamptz",
    "instant": "timestamptz",
    "bigint": "bigint",
    "varchar": "varchar",
    "date": "date",
    "json": "json",
    **{kind: derived.sql_type for kind, derived in DERIVED.items()},
}
_ARROW_TYPES = {
    "int": pa.int64(),
    "decimal": pa.decimal128(20, 6),
    "bool": pa.bool_(),
    "text": pa.string(),
    "i18n": pa.string(),
    "datetime": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "instant": pa.timestamp("us", tz="UTC"),
    "bigint": pa.int64(),
    "varchar": pa.string(),
    "date": pa.date32(),
    "json": pa.string(),
    **dict.fromkeys(DERIVED, pa.string()),
}
_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?\Z")
_HEAD = ("connection", "id")
_TAIL = ("payload", "hash", "deleted_at_source", "fetched_at", "landing_id")


class Landable(Protocol):
    """One object on its way into a raw table."""

    @property
    def id(self) -> int | str: ...  # noqa: D102
    @property
    def values(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def payload(self) -> str: ...  # noqa: D102
    @property
    def deleted(self) -> bool: ...  # noqa: D102
    @property
    def hash(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Landing:
    """One object as received. Without a ``hash`` of its own, its payload is what tells two states apart."""

    id: int | str
    values: Mapping[str, Any] = field(default_factory=dict)
    payload: str = "{}"
    deleted: bool = False
    hash: str = ""


@dataclass(frozen=True, slots=True)
class LandingResult:
    """What became of the rows of one ``land``; ``read`` is the sum of the others."""

    read: int
    inserted: int
    unchanged: int


class Unread(Protocol):
    """One object that could not be read."""

    @property
    def resource(self) -> str: ...  # noqa: D102
    @property
    def id(self) -> int | None: ...  # noqa: D102
    @property
    def parent(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def payload(self) -> str: ...  # noqa: D102


def create_table(
    con: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str], *, id_type: str | None = None
) -> None:
    """Creates ``table`` (``raw.<name>``) with ``columns``, or adds the columns that it lacks.

    ``columns`` maps a name to a kind: int, decimal, bool, text, i18n, datetime (wall time), timestamptz or
    instant, date, json, or a kind of ``derived.DERIVED``, which for rows that landed before the column came
    is read from their payload. ``id_type`` is ``int``/``bigint`` or ``text``/``varchar``; without it, ids are text in
    the tables of QuickBooks and of delivered files, and whole numbers elsewhere.
    """
    id_type = id_type or _id_type(table)
    schema, _, _ = _checked(table).rpartition(".")
    if schema:
        con.execute(f"create schema if not exists {schema}")
    typed = {name: _SQL_TYPES[kind] for name, kind in columns.items() if name != "id"}
    body = ", ".join(f'"{_checked(name)}" {sql_type}' for name, sql_type in typed.items())
    con.execute(
        f"create table if not exists {table} (connection varchar not null, id {_SQL_TYPES[id_type]} not null, "
        f"{body}{',' if body else ''} payload json, hash varchar not null, deleted_at_source boolean not null default false, "
        "fetched_at timestamptz not null, landing_id bigint not null)"
    )
    present = {row[0] for row in con.execute(f"describe {table}").fetchall()}
    for name, sql_type in typed.items():
        if name not in present:
            con.execute(f'alter table {table} add column "{name}" {sql_type}')
            if columns[name] in DERIVED:
                con.execute(f'update {table} set "{name}" = {read_payload(columns[name])}')  # noqa: S608


def land(
    con: duckdb.DuckDBPyConnection,
    table: str,
    columns: Mapping[str, str],
    rows: Iterable[Landable],
    *,
    connection: str,
    fetched_at: datetime,
    id_type: str | None = None,
) -> LandingResult:
    """Appends the rows that differ from the newest landed state of their id; creates ``table`` if needed.

    Rows of one call count as fetched in their order, so that of two states of one id the later is the
    newest. ``fetched_at`` is timezone-aware. A deletion of an id that was never landed is not appended.
    """
    landed = list(rows)
    id_type = id_type or _id_type(table)
    create_table(con, table, columns, id_type=id_type)
    if not landed:
        return LandingResult(0, 0, 0)
    names = [name for name in columns if name != "id"]
    con.register("landing_batch", _batch(landed, names, columns, id_type))
    try:
        inserted = _append(con, table, {name: columns[name] for name in names}, connection, fetched_at)
    finally:
        con.unregister("landing_batch")
    if inserted:
        create_tables(con, only="raw")
        incremental.follow(con, table, keeps_deleted=any(kind in DERIVED for kind in columns.values()))
    return LandingResult(len(landed), inserted, len(landed) - inserted)


def _batch(
    landed: Sequence[Landable], names: Sequence[str], columns: Mapping[str, str], id_type: str
) -> pa.Table:
    arrays: dict[str, pa.Array] = {
        "position": pa.array(range(len(landed)), pa.int64()),
        "id": pa.array([row.id for row in landed], _ARROW_TYPES[id_type]),
    }
    for name in names:
        kind = columns[name]
        values = [row.values.get(name) for row in landed]
        if kind == "json" or kind in DERIVED:
            values = [
                value if value is None or isinstance(value, str) else _compact(value) for value in values
            ]
        arrays[name] = pa.array(values, _ARROW_TYPES[kind])
    arrays["payload"] = pa.array([row.payload for row in landed], pa.string())
    arrays["hash"] = pa.array([_state(row) for row in landed], pa.string())
    arrays["deleted_at_source"] = pa.array([row.deleted for row in landed], pa.bool_())
    return pa.table(arrays)


def _append(
    con: duckdb.DuckDBPyConnection,
    table: str,
    kinds: Mapping[str, str],
    connection: str,
    fetched_at: datetime,
) -> int:
    columns = ", ".join([*_HEAD, *(f'"{name}"' for name in kinds), *_TAIL])
    values = [read(kind, f'"{name}"') if kind in DERIVED else f'"{name}"' for name, kind in kinds.items()]
    selected = ", ".join(
        ["$connection", "id", *values, "payload", "hash", "deleted_at_source", "$fetched_at"]
    )
    statement = f"""
        insert into {table} ({columns})
        with newest as (
            select id, arg_max(hash, landing_id) as hash
            from {table}
            where connection = $connection and id in (select id from landing_batch)
            group by id
        ),
        compared as (
            select
                batch.*,
                coalesce(lag(batch.hash) over (partition by batch.id order by batch.position), newest.hash) as before
            from landing_batch as batch
            left join newest on batch.id = newest.id
        )
        select {selected},
            (select coalesce(max(landing_id), 0) from {table}) + row_number() over (order by position)
        from compared
        where before is distinct from hash and not (deleted_at_source and before is null)
        order by position
    """  # noqa: S608 - names are checked, values are parameters
    answer = con.execute(statement, {"connection": connection, "fetched_at": fetched_at}).fetchone()
    return int(answer[0]) if answer else 0


def _id_type(table: str) -> str:
    return "text" if table.startswith(("raw.quickbooks_", "raw.files_")) else "int"


def newest_ids(con: duckdb.DuckDBPyConnection, table: str, *, connection: str) -> dict[int, str]:
    """The hash of the newest state of every id that is not deleted at its source."""
    if not exists(con, _checked(table)):
        return {}
    rows = con.execute(
        f"select id, arg_max(hash, landing_id) from {_checked(table)} where connection = $connection "  # noqa: S608
        "group by id having not arg_max(deleted_at_source, landing_id)",
        {"connection": connection},
    ).fetchall()
    return dict(rows)


def record_poisoned(
    con: duckdb.DuckDBPyConnection,
    system: str,
    rows: Iterable[Unread],
    *,
    connection: str,
    fetched_at: datetime,
) -> int:
    """Adds the objects that could not be read to ``raw.poisoned`` (one row per object and state of it).

    An object that is there already counts one more attempt. Returns the number of objects that are new.
    """
    _create_poisoned(con)
    added = 0
    for row in rows:
        state = hashlib.blake2b(row.payload.encode(errors="replace"), digest_size=16).hexdigest()
        key = {
            "connection": connection,
            "system": system,
            "resource": row.resource,
            "id": row.id,
            "hash": state,
        }
        known = con.execute(
            "update raw.poisoned set attempts = attempts + 1, last_seen = $now, resolved_at = null "
            "where connection = $connection and system = $system and resource = $resource "
            "and id is not distinct from $id and hash = $hash",
            key | {"now": fetched_at},
        ).fetchone()
        if known and known[0]:
            continue
        con.execute(
            "insert into raw.poisoned values ($connection, $system, $resource, $id, $parent, $reason, $payload, $hash, "
            "1, $now, $now, null)",
            key | {"parent": row.parent, "reason": row.reason, "payload": row.payload, "now": fetched_at},
        )
        added += 1
    return added


def resolve_poisoned(
    con: duckdb.DuckDBPyConnection,
    system: str,
    resource: str,
    ids: Iterable[int],
    *,
    connection: str,
    at: datetime,
) -> int:
    """Marks the poisoned objects among ``ids`` as read after all; returns how many there were."""
    _create_poisoned(con)
    answer = con.execute(
        "update raw.poisoned set resolved_at = $at where connection = $connection and system = $system "
        "and resource = $resource and resolved_at is null and id in (select unnest($ids::bigint[]))",
        {"at": at, "connection": connection, "system": system, "resource": resource, "ids": list(ids)},
    ).fetchone()
    return int(answer[0]) if answer else 0


def _create_poisoned(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("create schema if not exists raw")
    con.execute(
        "create table if not exists raw.poisoned (connection varchar not null, system varchar not null, "
        "resource varchar not null, id bigint, parent varchar, reason varchar not null, payload varchar, "
        "hash varchar not null, attempts integer not null, first_seen timestamptz not null, "
        "last_seen timestamptz not null, resolved_at timestamptz)"
    )


def _state(row: Landable) -> str:
    if row.deleted:
        return "deleted"
    return row.hash or hashlib.blake2b(row.payload.encode(), digest_size=16).hexdigest()


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _checked(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is not the name of a table or column")
    return name


class RawWarehouse:
    """The raw tables of one system and one connection, over an open session.

    ``con`` must not be inside a transaction: every landing is durable when its method returns.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, *, connection: str, system: str = "prestashop"
    ) -> None:
        self._con = con
        self._connection = connection
        self._system = system

    def land(
        self, name: str, columns: Mapping[str, str], rows: Sequence[Landable], fetched_at: datetime
    ) -> int:
        """Appends the rows that are new or changed to ``raw.<system>_<name>``; returns how many those were."""
        landed = land(
            self._con, self._table(name), columns, rows, connection=self._connection, fetched_at=fetched_at
        )
        if exists(self._con, "raw.poisoned"):
            ids = [row.id for row in rows if isinstance(row.id, int)]
            resolve_poisoned(self._con, self._system, name, ids, connection=self._connection, at=fetched_at)
        return landed.inserted

    def set_aside(self, rows: Sequence[Unread], fetched_at: datetime) -> None:
        """Keeps the objects that could not be read in ``raw.poisoned``."""
        record_poisoned(self._con, self._system, rows, connection=self._connection, fetched_at=fetched_at)

    def known(self, name: str) -> dict[int, str]:
        """The hash of the newest state of every id of ``name`` that is not deleted at its source."""
        return newest_ids(self._con, self._table(name), connection=self._connection)

    def known_of(self, name: str, column: str, values: Sequence[int | str]) -> dict[int, Any]:
        """The newest value of ``column`` of every id of ``name`` that is not deleted and whose value is in ``values``."""
        table = self._table(name)
        if not values or not exists(self._con, table):
            return {}
        kind = "varchar" if isinstance(values[0], str) else "bigint"
        rows = self._con.execute(
            f'select id, arg_max("{_checked(column)}", landing_id) as value from {table} '  # noqa: S608
            f"where connection = $connection and id in (select id from {table} where connection = $connection "
            f'and "{column}" in (select unnest($values::{kind}[]))) '
            "group by id having not arg_max(deleted_at_source, landing_id)",
            {"connection": self._connection, "values": list(values)},
        ).fetchall()
        wanted = set(values)
        return {number: value for number, value in rows if value in wanted}

    def values(self, name: str, columns: Sequence[str], ids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
        """The newest values of ``columns`` of the rows ``ids`` of ``name`` that are not deleted at their source."""
        table = self._table(name)
        if not ids or not exists(self._con, table):
            return {}
        picked = ", ".join(f'"{_checked(column)}"' for column in columns)
        rows = self._con.execute(
            f"select id, {picked} from {table} where connection = $connection "  # noqa: S608
            "and id in (select unnest($ids::bigint[])) "
            "qualify row_number() over (partition by id order by landing_id desc) = 1 and not deleted_at_source",
            {"connection": self._connection, "ids": list(ids)},
        ).fetchall()
        return {row[0]: tuple(row[1:]) for row in rows}

    def _table(self, name: str) -> str:
        return _checked(f"raw.{self._system}_{name}")
