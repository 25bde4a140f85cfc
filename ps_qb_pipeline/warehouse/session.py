"""The only opener of a connection's DuckDB file.

What lives here: the lease that keeps two processes from opening one file, and the session that
opens late, closes early and always closes. What does not: what is read or written inside it.

DuckDB lets one process write and then refuses every other process, readers too. An advisory lock
beside the file queues them instead, and names the holder to whoever waited in vain.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import duckdb

from ps_qb_pipeline.errors import Busy, StorageError

MEMORY_LIMIT = "2GB"
"""What DuckDB may hold in memory; beyond it, it spills to a folder beside the file."""

_PAUSE = 0.05
_WAY_OUT = (
    "give this user the right to it, or move it away: a full_refresh makes it again from shop and books"
)


@contextmanager
def session(
    path: Path,
    *,
    owner: str,
    reason: str,
    timeout: float = 60.0,
    read_only: bool = False,
    memory_limit: str = MEMORY_LIMIT,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse at ``path``, opened under the lease and closed whatever happens.

    ``owner`` and ``reason`` stand in the lock file while the session lasts; readers share the lease,
    a writer has it alone. Raises ``Busy`` when the lease is not free within ``timeout`` seconds and
    ``StorageError`` when the file cannot be opened, read or written.
    """
    path = Path(path).absolute()
    if read_only and not path.exists():
        raise StorageError(f"{path} does not exist yet; run the pipeline once, it creates the warehouse")
    with lease(path, owner=owner, reason=reason, timeout=timeout, shared=read_only):
        connection = _connect(path, read_only=read_only, memory_limit=memory_limit)
        try:
            yield connection
        except (duckdb.IOException, duckdb.FatalException) as error:
            raise StorageError(
                f"{path} cannot be {'read' if read_only else 'written'}: {_first_line(error)}"
            ) from error
        finally:
            connection.close()


@contextmanager
def lease(path: Path, *, owner: str, reason: str, timeout: float, shared: bool = False) -> Iterator[None]:
    """The right to open the file at ``path``, held until the block ends.

    The operating system gives it back when the process dies, so no lease ever needs to be cleared.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a+")
    except OSError as error:
        raise StorageError(
            f"{lock} cannot be written: {error.strerror}; make its folder writable or set PSQB_HOME to another one"
        ) from error
    with file:
        _acquire(file, path, timeout=timeout, shared=shared)
        if not shared:
            _note(file, owner=owner, reason=reason)
        try:
            yield
        finally:
            if not shared:
                _overwrite(file, "")
            fcntl.flock(file, fcntl.LOCK_UN)


def holder(path: Path) -> dict[str, str] | None:
    """Who says to hold the lease of ``path`` now (owner, reason, pid, since), or None."""
    lock = path.with_name(path.name + ".lock")
    try:
        text = lock.read_text()
        found = json.loads(text) if text else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _acquire(file: IO[str], path: Path, *, timeout: float, shared: bool) -> None:
    wanted = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(file, wanted)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Busy(_busy_message(path, timeout), path=str(path), holder=holder(path)) from None
            time.sleep(_PAUSE)
        else:
            return


def _busy_message(path: Path, timeout: float) -> str:
    found = holder(path)
    who = (
        f"{found.get('owner')} ({found.get('reason')}), process {found.get('pid')}, since {found.get('since')}"
        if found
        else "a reader or another program"
    )
    return f"{path} is in use by {who}; waited {timeout:g} s. Try again when it is done"


def _note(file: IO[str], *, owner: str, reason: str) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    _overwrite(file, json.dumps({"owner": owner, "reason": reason, "pid": str(os.getpid()), "since": since}))


def _overwrite(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()


def _connect(path: Path, *, read_only: bool, memory_limit: str) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(str(path), read_only=read_only, config={"memory_limit": memory_limit})
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise Busy(f"{path} is open in a program that takes no lease; close it and try again") from error
        raise StorageError(f"{path} cannot be opened: {_first_line(error)}; {_WAY_OUT}") from error
    except duckdb.Error as error:
        raise StorageError(f"{path} is not a usable warehouse: {_first_line(error)}; {_WAY_OUT}") from error
    # For cursors of the connection too. Times are stored with their offset and shown in one zone.
    connection.execute("set global timezone = 'UTC'")
    connection.execute("set global preserve_insertion_order = false")
    # A few thousand wanted rows are looked up column by column, instead of reading all columns of all rows.
    connection.execute("set global dynamic_or_filter_threshold = 10000")
    # Looking for the best way to store keys that repeat nowhere takes longer than everything else in writing.
    connection.execute("set global disabled_compression_methods = 'zstd,fsst,dict_fsst'")
    return connection


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]


def exists(con: duckdb.DuckDBPyConnection, relation: str) -> bool:
    """Whether there is a table or view of this name; the name is the caller's own."""
    # Binding a name is far cheaper than DuckDB's list of tables, which it makes anew for each question.
    try:
        con.execute(f"select 1 from {relation} limit 0")  # noqa: S608 -- as said
    except duckdb.CatalogException:
        return False
    return True


def scalar(con: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, Any] | None = None) -> int:
    """The one number that a query gives; 0 for none. Leaves nothing unfetched on the connection."""
    rows = con.execute(sql, parameters or {}).fetchall()
    return int(rows[0][0] or 0) if rows else 0
