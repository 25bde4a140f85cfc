"""The file in which a company lives.

What lives here: the SQLite schema (rows, ledger entries, balances, counters, replayed answers,
tokens, settings) and plain access to it. What does not: rules of any kind.

One connection, one thread: every request is served to its end before the next, so a request either
happened or did not. The write-ahead log survives a killed process.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ps_qb_pipeline.sandbox.books.codec import Json, dumps, loads

SCHEMA = """
create table if not exists rows (
    entity text not null, id integer not null, sync integer not null, active integer not null,
    deleted integer not null default 0, name text, number text, txn_date text,
    created text not null, updated text not null, visible text, earlier blob, body blob not null,
    primary key (entity, id));
create index if not exists rows_by_name on rows (entity, name);
create index if not exists rows_by_number on rows (entity, number);
create index if not exists rows_by_updated on rows (entity, updated);
create table if not exists entries (
    entity text not null, id integer not null, n integer not null, account integer not null,
    txn_date text not null, home integer not null, amount integer not null, currency text not null,
    party text, party_id integer, control integer, item integer, number text, memo text, primary key (entity, id, n));
create index if not exists entries_by_account on entries (account, txn_date);
create table if not exists balances (
    scope text not null, key integer not null, home integer not null, amount integer not null,
    primary key (scope, key));
create table if not exists counters (name text primary key, value integer not null);
create table if not exists replies (requestid text primary key, at text not null, status integer not null, body blob not null,
    digest text not null default '');
create table if not exists tokens (
    token text primary key, kind text not null, pair integer not null, issued real not null, expires real not null,
    state text not null);
create table if not exists settings (key text primary key, value text not null);
create table if not exists files (id integer primary key, name text, type text, content blob not null);
"""


@dataclass(slots=True)
class Row:
    """One object of a company. ``name`` and ``number`` are lower-case keys to look it up by."""

    entity: str
    id: int
    sync: int
    active: bool
    deleted: bool
    created: str
    updated: str
    body: bytes

    def json(self) -> Json:
        """Return the object itself."""
        value: Json = loads(self.body)
        return value


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a posting, in hundredths; debits are positive.

    ``home`` is in the company's currency, ``amount`` in the document's. ``control`` marks the receivable
    or payable of its party.
    """

    account: int
    home: int
    amount: int
    currency: str
    party: str = ""
    party_id: int = 0
    control: bool = False
    item: int = 0
    memo: str = ""


LARGEST_ID = 2**62
"""No id is larger; SQLite knows 64 bits."""
COLUMNS = "entity, id, sync, active, deleted, created, updated, body"


def by_id(where: str) -> str:
    """Return the ORDER BY for a condition: the plus keeps SQLite on the index of the condition.

    Without it SQLite walks all rows of an entity in the order of their ids.
    """
    indexed = any(
        f"{column}{mark}" in where
        for column in ("name", "number", "updated")
        for mark in ("=", " in", ">", "<")
    )
    return "order by +id" if indexed else "order by id"


def _row(values: tuple[Any, ...]) -> Row:
    entity, ident, sync, active, deleted, created, updated, body = values
    return Row(entity, ident, sync, bool(active), bool(deleted), created, updated, body)


class Store:
    """All state of one company."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self.connection.execute("pragma journal_mode=wal")
        self.connection.execute("pragma synchronous=normal")
        self.connection.executescript(SCHEMA)
        self._complete()

    def _complete(self) -> None:
        """Add what a file of an earlier version lacks."""
        columns = {row[1] for row in self.connection.execute("pragma table_info(replies)")}
        if "digest" not in columns:
            self.connection.execute("alter table replies add column digest text not null default ''")

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep everything inside, or nothing. May be nested; only the outermost commits."""
        if self.connection.in_transaction:
            self.connection.execute("savepoint inner")
            try:
                yield
            except BaseException:
                self.connection.execute("rollback to inner")
                self.connection.execute("release inner")
                raise
            self.connection.execute("release inner")
            return
        self.connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            self.connection.execute("rollback")
            raise
        self.connection.execute("commit")

    # Objects ---------------------------------------------------------------------------------------

    def get(self, entity: str, ident: int) -> Row | None:
        """Return one object, deleted ones included."""
        if abs(ident) > LARGEST_ID:
            return None
        return self._first("entity=? and id=?", (entity, ident))

    def by_name(self, entity: str, name: str) -> Row | None:
        """Return the first object of this name (case ignored) that is not deleted."""
        return self._first("entity=? and name=? and deleted=0", (entity, name.lower()))

    def by_number(self, entity: str, number: str) -> Row | None:
        """Return the first object with this number (case ignored) that is not deleted."""
        return self._first("entity=? and number=? and deleted=0", (entity, number.lower()))

    def _first(self, where: str, values: tuple[Any, ...]) -> Row | None:
        sql = f"select {COLUMNS} from rows where {where} {by_id(where)} limit 1"  # noqa: S608
        found = self.connection.execute(sql, values).fetchone()
        return None if found is None else _row(found)

    def select(
        self, entity: str, where: str = "", values: Iterable[Any] = (), tail: str = ""
    ) -> Iterator[Row]:
        """Yield objects by a condition on the columns of ``rows``, in the order of their ids."""
        condition = f"entity=? and {where}" if where else "entity=?"
        order = tail or by_id(where)
        sql = f"select {COLUMNS} from rows where {condition} {order}"  # noqa: S608
        for found in self.connection.execute(sql, (entity, *values)):
            yield _row(found)

    def count(self, entity: str, where: str, values: Iterable[Any] = ()) -> int:
        """Return how many objects meet a condition on the columns of ``rows``."""
        sql = f"select count(*) from rows where entity=? and {where}"  # noqa: S608
        return int(self.connection.execute(sql, (entity, *values)).fetchone()[0])

    def put(
        self, row: Row, *, name: str | None, number: str | None, txn_date: str | None, visible: str | None
    ) -> None:
        """Write one object; until ``visible`` queries are served the version before this one."""
        earlier = None
        if visible is not None:
            before = self.get(row.entity, row.id)
            earlier = None if before is None else before.body
        self.connection.execute(
            "insert or replace into rows (entity, id, sync, active, deleted, name, number, txn_date, created,"
            " updated, visible, earlier, body) values (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                row.entity,
                row.id,
                row.sync,
                int(row.active),
                int(row.deleted),
                name.lower() if name else None,
                number.lower() if number else None,
                txn_date,
                row.created,
                row.updated,
                visible,
                earlier,
                row.body,
            ),
        )

    def put_body(self, entity: str, ident: int, body: Json, *, updated: str | None = None) -> None:
        """Replace what the books themselves compute in an object; its version stays."""
        sql = "update rows set body=?, updated=coalesce(?, updated) where entity=? and id=?"
        self.connection.execute(sql, (dumps(body), updated, entity, ident))

    def hidden(self, entity: str, now: str) -> dict[int, bytes | None]:
        """Return the objects whose newest version the index does not show yet, with the one it shows."""
        sql = "select id, earlier from rows where entity=? and visible is not null and visible>?"
        return dict(self.connection.execute(sql, (entity, now)).fetchall())

    # Ledger ----------------------------------------------------------------------------------------

    def entries_of(self, entity: str, ident: int) -> list[Entry]:
        """Return what one document has posted."""
        sql = (
            "select account, home, amount, currency, party, party_id, control, item, memo from entries"
            " where entity=? and id=? order by n"
        )
        return [Entry(*found) for found in self.connection.execute(sql, (entity, ident))]

    def replace_entries(
        self, entity: str, ident: int, txn_date: str, number: str, entries: list[Entry]
    ) -> None:
        """Make ``entries`` the whole posting of one document; balances follow."""
        for entry in self.entries_of(entity, ident):
            self._balance(entry, -1)
        self.connection.execute("delete from entries where entity=? and id=?", (entity, ident))
        for entry in entries:
            self._balance(entry, 1)
        self.connection.executemany(
            "insert into entries (entity, id, n, account, txn_date, home, amount, currency, party, party_id, control,"
            " item, number, memo) values (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            [
                (
                    entity,
                    ident,
                    n,
                    e.account,
                    txn_date,
                    e.home,
                    e.amount,
                    e.currency,
                    e.party,
                    e.party_id,
                    e.control,
                    e.item,
                    number,
                    e.memo,
                )
                for n, e in enumerate(entries)
            ],
        )

    def _balance(self, entry: Entry, sign: int) -> None:
        keys = [("A", entry.account)]
        if entry.control:
            keys.append((entry.party, entry.party_id))
        for scope, key in keys:
            self.connection.execute(
                "insert into balances (scope, key, home, amount) values (?,?,?,?) on conflict (scope, key)"
                " do update set home=home+excluded.home, amount=amount+excluded.amount",
                (scope, key, sign * entry.home, sign * entry.amount),
            )

    def balance(self, scope: str, key: int) -> tuple[int, int]:
        """Return the balance of an account ('A') or of a party's receivable or payable, home and own currency."""
        sql = "select home, amount from balances where scope=? and key=?"
        found = self.connection.execute(sql, (scope, key)).fetchone()
        return (0, 0) if found is None else (found[0], found[1])

    # Counters and settings -------------------------------------------------------------------------

    def next(self, counter: str, start: int = 1) -> int:
        """Return the next number of a counter and remember it."""
        sql = (
            "insert into counters (name, value) values (?, ?) on conflict (name)"
            " do update set value=value+1 returning value"
        )
        return int(self.connection.execute(sql, (counter, start)).fetchone()[0])

    def at_least(self, counter: str, value: int) -> None:
        """Let a counter go on from ``value``, unless it is further."""
        self.connection.execute(
            "insert into counters (name, value) values (?, ?) on conflict (name) do update set value=max(value, ?)",
            (counter, value, value),
        )

    def setting(self, key: str, default: Any = None) -> Any:
        """Return a stored setting, or ``default``."""
        found = self.connection.execute("select value from settings where key=?", (key,)).fetchone()
        return default if found is None else json.loads(found[0])

    def set(self, key: str, value: Any) -> None:
        """Store a setting."""
        self.connection.execute(
            "insert or replace into settings (key, value) values (?, ?)", (key, json.dumps(value))
        )
