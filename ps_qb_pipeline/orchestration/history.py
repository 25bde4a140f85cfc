"""Dagster's own history in SQLite, with connections that stay open.

What lives here: how Dagster's three SQLite storages reach their files. What does not: what they store. Theirs open
a file, sync it twice and close it for every event; a run of ours has some seven hundred. Kept connections write
the same rows in a fraction of the time, and without a sync each: what must survive a power cut is in the control
plane, which has a file and rules of its own. See https://docs.dagster.io/deployment/oss/oss-instance-configuration
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster._core.storage.event_log.polling_event_watcher import SqlPollingEventWatcher
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event

RUNS_OPEN = 8
"""How many files of single runs stay open; the web UI reads many, one after the other."""


def _kept(address: str) -> Engine:
    engine = create_engine(address, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def _without_sync(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


class Runs(SqliteRunStorage):
    """The runs, with one pool of connections."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engine = _kept(conn_string)
        super().__init__(conn_string, inst_data)

    def connect(self) -> Any:
        """A transaction on a connection that stays open afterwards."""
        return _transaction(self._engine)

    def dispose(self) -> None:
        """Close what is open."""
        self._engine.dispose()


class Schedules(SqliteScheduleStorage):
    """The state of sensors and schedules, with one pool of connections."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engine = _kept(conn_string)
        super().__init__(conn_string, inst_data)

    def connect(self) -> Any:
        """A transaction on a connection that stays open afterwards."""
        return _transaction(self._engine)

    def dispose(self) -> None:
        """Close what is open."""
        self._engine.dispose()


class Events(SqliteEventLogStorage):
    """One file for what concerns assets and one a run, as Dagster has it."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._shards = threading.RLock()
        # Dagster's own watcher waits for a file to change, which with kept connections it rarely does.
        self._watching: SqlPollingEventWatcher | None = None
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._shards, _transaction(self._engine_of(shard)) as connection:
            yield connection

    def _engine_of(self, shard: str) -> Engine:
        if shard not in self._engines:
            engine = self._engines[shard] = _kept(self.conn_string_for_shard(shard))
            self._initdb(engine)
            if len(self._engines) > RUNS_OPEN:
                self._engines.popitem(last=False)[1].dispose()
        self._engines.move_to_end(shard)
        return self._engines[shard]

    def wipe(self) -> None:
        """Delete everything, files included."""
        self._close()
        super().wipe()

    def watch(self, run_id: str, cursor: str | None, callback: Callable[..., Any]) -> None:
        """Call ``callback`` for each event of the run from ``cursor`` on."""
        if self._watching is None:
            self._watching = SqlPollingEventWatcher(self)
        self._watching.watch_run(run_id, cursor, callback)

    def end_watch(self, run_id: str, handler: Callable[..., Any]) -> None:
        """No longer call ``handler``."""
        if self._watching is not None:
            self._watching.unwatch_run(run_id, handler)

    def dispose(self) -> None:
        """Close what is open."""
        if self._watching is not None:
            self._watching.close()
        self._close()

    def _close(self) -> None:
        with self._shards:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()


class History(DagsterSqliteStorage):
    """Dagster's SQLite storage of runs, events and schedules under ``base_dir``, in Dagster's own files.

    Named by ``storage.custom`` in ``dagster.yaml``; without that entry Dagster reads and writes the same files.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        history = Path(base_dir) / "history"
        self._run_storage = Runs.from_local(str(history))
        self._event_log_storage = Events(str(history / "runs"))
        self._schedule_storage = Schedules.from_local(str(Path(base_dir) / "schedules"))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> History:
        """What Dagster calls with the mapping under ``storage.custom.config``."""
        return cls.from_local(inst_data=inst_data, **config_value)
