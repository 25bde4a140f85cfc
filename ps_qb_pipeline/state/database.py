"""Opening the control plane and running transactions on it.

What lives here: the engine (SQLite in WAL mode with full synchronisation by default, PostgreSQL by
URL), read and write transactions, and the translation of driver errors into our own. What does not:
tables (``tables``) and any meaning (the other modules of this room).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from ps_qb_pipeline.errors import Busy, PipelineError, SettingsError, StorageError

BUSY_TIMEOUT_SECONDS = 30
_WRITE = "psqb_write"


def open_control_plane(url: str, *, busy_timeout: float = BUSY_TIMEOUT_SECONDS) -> Engine:
    """The control plane at ``url``, created and brought to the newest schema if need be.

    ``sqlite://`` alone is a private database in memory. Raises StorageError when the place cannot be
    written: nothing may be sent to QuickBooks that cannot be recorded first.
    """
    engine = connect(url, busy_timeout=busy_timeout)
    from ps_qb_pipeline.state.migrations.upgrade import upgrade

    try:
        with writing(engine) as tx:
            upgrade(tx)
    except PipelineError:
        engine.dispose()
        raise
    return engine


def connect(url: str, *, busy_timeout: float = BUSY_TIMEOUT_SECONDS) -> Engine:
    """An engine with our transaction rules on it; the schema is left as it is found."""
    try:
        address = make_url(url)
        if address.get_backend_name() != "sqlite":
            return create_engine(address, pool_pre_ping=True, isolation_level="SERIALIZABLE")
    except ArgumentError as error:
        # The value may hold a password, so that it is not repeated; nor is what was made of it.
        raise SettingsError(
            "PSQB_STATE_URL is no database address; it reads postgresql+psycopg://user@host/name, "
            "or is left unset for a file in PSQB_HOME"
        ) from error
    except ImportError as error:
        raise SettingsError(
            f"PSQB_STATE_URL names a database whose driver {error.name} is not installed; install it, "
            "or leave PSQB_STATE_URL unset for a file in PSQB_HOME"
        ) from error
    options: dict[str, Any] = {"connect_args": {"timeout": busy_timeout, "check_same_thread": False}}
    if address.database and address.database != ":memory:":
        _prepare_file(Path(address.database))
    else:
        options["poolclass"] = StaticPool
    engine = create_engine(address, **options)
    event.listen(engine, "connect", _configure_sqlite(busy_timeout))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_file(path: Path) -> None:
    """Create folder and file for this user's eyes only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    except OSError as error:
        raise StorageError(
            f"the control plane {path} cannot be created ({error.strerror}); "
            "it must lie where this user may write, see PSQB_HOME and PSQB_STATE_URL"
        ) from error


def _configure_sqlite(busy_timeout: float) -> Any:
    def configure(connection: Any, _record: Any) -> None:
        # The driver must not open transactions of its own: ours begin in the mode that we choose.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(busy_timeout * 1000)}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    return configure


def _begin_sqlite(connection: Connection) -> None:
    # A write transaction takes the lock at once. Taken later, after a read, it could find the lock
    # held by another writer, and SQLite would fail without waiting.
    wants_write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if wants_write else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One write transaction: all of it is on disk when the block ends, or none of it.

    Raises Busy when another process holds the database for longer than the busy timeout, StorageError
    when the disk is full, read-only or broken.
    """
    with _translated(), engine.connect() as connection:
        connection.execution_options(**{_WRITE: True})
        with connection.begin():
            yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One read transaction: everything read in the block is of one moment."""
    with _translated(), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _ours(str(error.orig)) from error
    except SQLAlchemyError as error:
        raise StorageError(f"the control plane failed: {error}") from error


def _ours(said: str) -> PipelineError:
    lowered = said.lower()
    if "locked" in lowered or "could not serialize" in lowered or "deadlock" in lowered:
        return Busy(f"the control plane is held by another process ({said}); try again when it has finished")
    if "readonly" in lowered or "read-only" in lowered:
        return StorageError(f"the control plane is read-only ({said}); give this user the right to write it")
    if "full" in lowered or "disk i/o" in lowered:
        return StorageError(f"the control plane cannot be written ({said}); free some disk space")
    if "unable to open" in lowered:
        return StorageError(f"the control plane cannot be opened ({said}); see PSQB_HOME and PSQB_STATE_URL")
    if "not a database" in lowered or "malformed" in lowered:
        return StorageError(
            f"the control plane is damaged ({said}); put its last backup in its place before anything is posted"
        )
    return StorageError(f"the control plane failed: {said}")
