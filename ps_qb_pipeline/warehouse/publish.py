"""The readers' copy: a file of its own that spreadsheets, BI tools and people may open at any time.

What lives here: writing that copy and putting it in place in one step. What does not: the warehouse
itself, which nobody but the pipeline opens. Raw payloads, staging, customers' cards and the bodies of
documents are not published: they hold personal data that a reader of figures does not need.
"""

# ruff: noqa: S608  (names come from the catalogue of our own file)

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import duckdb

from ps_qb_pipeline.errors import StorageError
from ps_qb_pipeline.warehouse.session import scalar

PUBLISHED = ("ledger", "recon", "marts", "validation")
"""The schemas that readers get."""

_CARDS = "ledger.customers"
_BODY = "body"


def publish(
    con: duckdb.DuckDBPyConnection, target: Path, *, schemas: Sequence[str] = PUBLISHED
) -> dict[str, int]:
    """Copies ``schemas`` into the DuckDB file ``target``; returns rows by relation.

    The file is written beside ``target`` and renamed over it: who has the old one open keeps reading
    it whole, who opens it again sees the new one. Views become tables.
    """
    target = Path(target).absolute()
    new = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        rows = _copy(con, new, schemas)
        new.replace(target)
    except (OSError, duckdb.IOException) as error:
        first = str(error).split("\n", 1)[0]
        raise StorageError(f"{target} cannot be written: {first}; make its folder writable") from error
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)
    return rows


def _copy(con: duckdb.DuckDBPyConnection, new: Path, schemas: Sequence[str]) -> dict[str, int]:
    path = str(new).replace("'", "''")
    con.execute(f"attach '{path}' as published")
    try:
        relations = con.execute(
            "select table_schema, table_name from information_schema.tables"
            " where table_catalog = current_database() and list_contains($schemas, table_schema)"
            " and not starts_with(table_name, 'pending_') and concat(table_schema, '.', table_name) <> $cards"
            " order by all",
            {"schemas": list(schemas), "cards": _CARDS},
        ).fetchall()
        rows = {}
        for schema, name in relations:
            con.execute(f'create schema if not exists published."{schema}"')
            rows[f"{schema}.{name}"] = scalar(
                con,
                f'create table published."{schema}"."{name}" as'
                f""" select columns(lambda name: name <> '{_BODY}') from "{schema}"."{name}\"""",
            )
    finally:
        con.execute("detach published")
    return rows
