"""A process that can be killed between any two effects, and a database that can fail at any commit.

Each process is a greenlet with its own engine, clock and line to the books. Effects pass a hook; at a hook
the scheduler may let time pass, switch to another process, make the database fail, or kill. After a kill
nothing that the dying code still does (``finally`` blocks) has any effect, as with SIGKILL.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from greenlet import greenlet
from sqlalchemy import Engine, event

from ps_qb_pipeline.state.database import connect
from ps_qb_pipeline_tests.faults.clock import SimClock


class Killed(BaseException):
    """SIGKILL."""


class Fate(Protocol):
    """Who decides what happens at a hook."""

    def at(self, process: Process, name: str, *, switch: bool) -> None:
        """May kill, let time pass, or switch."""
        ...

    def database(self, process: Process, name: str) -> str:
        """The fault of a database step, or ``ok``."""
        ...


class Process:
    """One process; ``run`` starts a piece of work in it and returns when the scheduler says so."""

    def __init__(self, name: str, path: Path, clock: SimClock, fate: Fate) -> None:
        self.name = name
        self.clock = clock
        self.fate = fate
        self.dead = False
        self.masked = 0
        self.hooks = 0
        self.in_transaction = False
        self.engine = engine_for(name, path, self)

    def hook(self, name: str) -> None:
        """A crash point."""
        if self.dead:
            raise Killed
        self.hooks += 1
        self.fate.at(self, name, switch=not self.in_transaction)

    def kill(self) -> None:
        self.dead = True
        raise Killed

    def revive(self) -> None:
        """The supervisor starts the program again, in a new process."""
        self.dead = False
        self.masked = 0
        self.in_transaction = False
        self.engine.dispose()

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.hook("sleep")


class ProcessClock(SimClock):
    """The clock as one process sees it: sleeping is a crash point."""

    process: Process

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.process.hook("sleep")


class _Slot:
    """An engine that outlives days: compiling SQL anew for each would take longer than a short day."""

    def __init__(self) -> None:
        self.path = Path()
        self.process: Process | None = None
        self.engine = connect(f"sqlite:///{tempfile.gettempdir()}/psqb-slot-{id(self)}", busy_timeout=0.2)
        event.listen(self.engine, "do_connect", self._use)

    def _use(self, _dialect: Any, _record: Any, arguments: list[Any], parameters: dict[str, Any]) -> None:
        arguments[0] = str(self.path)
        if self.process is not None:
            parameters["factory"] = _faulty(self.process)


_SLOTS: dict[str, _Slot] = {}


def engine_for(slot: str, path: Path, process: Process | None = None) -> Engine:
    """The engine of this slot, on another day's file from now on."""
    found = _SLOTS.setdefault(slot, _Slot())
    found.engine.dispose()
    found.path, found.process = path, process
    return found.engine


_ERRORS: dict[str, Callable[[], Exception]] = {
    "db_locked": lambda: sqlite3.OperationalError("database is locked"),
    "db_readonly": lambda: sqlite3.OperationalError("attempt to write a readonly database"),
    "db_full": lambda: sqlite3.OperationalError("database or disk is full"),
    "db_io": lambda: sqlite3.OperationalError("disk I/O error"),
}


def _faulty(process: Process) -> type[sqlite3.Connection]:
    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *arguments: Any) -> Any:
            if process.dead:
                raise Killed
            if sql.startswith("BEGIN IMMEDIATE"):
                process.hook("db.begin")
                _maybe(process, "db.begin")
            if sql.startswith("BEGIN"):
                process.in_transaction = True
            return super().execute(sql, *arguments)

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = None) -> Any:
            del factory
            return super().cursor(Cursor)

        def commit(self) -> None:
            if not self.in_transaction:
                return
            wrote = self.total_changes != getattr(self, "seen", 0)
            if wrote:
                process.hook("db.commit")
                _maybe(process, "db.commit")
            super().commit()
            self.seen = self.total_changes
            process.in_transaction = False
            if wrote:
                process.hook("db.committed")

        def rollback(self) -> None:
            super().rollback()
            self.seen = self.total_changes
            process.in_transaction = False

    return Connection


def _maybe(process: Process, name: str) -> None:
    fault = process.fate.database(process, name)
    if fault != "ok":
        error = _ERRORS[fault]()
        raise error


class Scheduler:
    """Runs the pieces of work of several processes, one step of one process at a time."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        self._choose = choose
        self._main = greenlet.getcurrent()
        self._ready: list[greenlet] = []

    def pause(self) -> None:
        """Called inside a process: let another one go on, if there is one."""
        if greenlet.getcurrent() is not self._main and len(self._ready) > 1:
            self._main.switch()

    def run(self, *works: Callable[[], None]) -> None:
        """Run all of these until each has ended."""
        self._main = greenlet.getcurrent()
        self._ready = [greenlet(work) for work in works]
        while self._ready:
            one = self._ready[self._choose(len(self._ready))]
            one.switch()
            self._ready = [each for each in self._ready if not each.dead]
