"""The one file in which a sandbox shop survives its process.

What lives here: what happened to the shop since it was set up (changed rows, deleted rows, settings),
in SQLite. What does not: the rows that the shop was set up with; they are the same every time, made
again from bundled data, a directory or a seed, so the file stays small however big the shop is.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ps_qb_pipeline.errors import StorageError

SCHEMA = """
create table if not exists facts (name text primary key, value text not null);
create table if not exists changes (
    resource text not null, id integer not null, row text, primary key (resource, id)
) without rowid;
"""


class Journal:
    """Changes of a shop, written through and committed once a request."""

    def __init__(self, path: Path | None, identity: str) -> None:
        """Open or make the file; ``identity`` says which shop it belongs to.

        Errors:
            StorageError: the file cannot be opened, or holds the changes of another shop.
        """
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(":memory:" if path is None else path, check_same_thread=False)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = normal")
            self._connection.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                f"{path}: the sandbox shop's state cannot be opened ({error}); name another file"
            ) from error
        known = self.fact("identity")
        if known is None:
            self.remember("identity", identity)
            self.commit()
        elif known != identity:
            self.close()
            raise StorageError(
                f"{path}: holds the state of the shop {known}, not of {identity}; delete it or name another file"
            )

    def fact(self, name: str) -> Any:
        """A remembered setting, or nothing."""
        row = self._connection.execute("select value from facts where name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def remember(self, name: str, value: Any) -> None:
        """Keep a setting; ``commit`` makes it durable."""
        self._connection.execute("insert or replace into facts values (?, ?)", (name, json.dumps(value)))

    def record(self, resource: str, row_id: int, row: dict[str, Any] | None) -> None:
        """Keep a row's newest form, nothing for a deleted row; ``commit`` makes it durable."""
        body = None if row is None else json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        self._connection.execute("insert or replace into changes values (?, ?, ?)", (resource, row_id, body))

    def changes(self) -> Iterator[tuple[str, int, dict[str, Any] | None]]:
        """Every changed row in its newest form."""
        for resource, row_id, body in self._connection.execute(
            "select resource, id, row from changes order by 1, 2"
        ):
            yield resource, row_id, None if body is None else json.loads(body)

    def clear(self) -> None:
        """Forget every change and setting but the identity."""
        self._connection.execute("delete from changes")
        self._connection.execute("delete from facts where name <> 'identity'")
        self.commit()

    def commit(self) -> None:
        """Make everything recorded durable."""
        self._connection.commit()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
