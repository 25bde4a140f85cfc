"""The rows of one resource in memory, with the indexes that make questions cheap.

What lives here: storage, comparison as the database's collation compares, indexes. What does not:
the language of filters (``query``), the file that outlives the process (``journal``).
"""

from __future__ import annotations

import re
import sys
import unicodedata
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from ps_qb_pipeline.sandbox.shop.resources import Field, Resource

Row = dict[str, Any]


@lru_cache(maxsize=65536)
def folded(text: str) -> str:
    """The text as a case- and accent-insensitive collation sees it; trailing spaces do not count."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return bare.casefold().rstrip(" ")


@lru_cache(maxsize=65536)
def leading_number(text: str) -> Decimal:
    """The number that a text begins with, 0 when it begins with none: how the database casts."""
    match = re.match(r"\s*[-+]?(\d+(\.\d*)?|\.\d+)", text)
    try:
        return Decimal(match.group().strip()) if match else Decimal(0)
    except InvalidOperation:
        return Decimal(0)


def comparable(field: Field, value: Any) -> Any:
    """A stored value or a literal, in the form in which values of this column are compared."""
    if field.numeric:
        if isinstance(value, int):
            return value
        return leading_number("" if value is None or value is False else str(value))
    text = "" if value is None or value is False else str(value)
    if field.temporal:
        return moment(text)
    return folded(text)


def moment(text: str) -> str:
    """A date literal as ``YYYY-MM-DD HH:MM:SS``; an unreadable one sorts before every date and equals none."""
    match = re.match(
        r"(\d{4})-(\d\d?)-(\d\d?)(?:[ T](\d\d?):(\d\d?)(?::(\d\d?))?)?(?:Z|\.\d+)?$", text.strip()
    )
    if not match:
        return ""
    year, *rest = (int(g or 0) for g in match.groups())
    return "{:04d}-{:02d}-{:02d} {:02d}:{:02d}:{:02d}".format(year, *rest)


class Table:
    """Rows of one resource by id.

    A row is kept as a tuple in the order of ``columns``; equal texts are stored once, because a shop of
    twenty thousand orders repeats most of its values.
    """

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.columns: tuple[str, ...] = (*resource.by_name, "associations")
        self._place = {name: i for i, name in enumerate(self.columns)}
        self._unset = [*(f.unset for f in resource.by_name.values()), None]
        self._rows: dict[int, tuple[Any, ...]] = {}
        self._ids: list[int] = []
        self._ids_dirty = False
        self._equal: dict[str, dict[Any, list[int]]] = {}
        self._sorted: dict[str, list[tuple[Any, int]]] = {}
        self._highest = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row_id: int) -> bool:
        return row_id in self._rows

    @property
    def ids(self) -> list[int]:
        """All ids, ascending."""
        if self._ids_dirty:
            self._ids = sorted(self._rows)
            self._ids_dirty = False
        return self._ids

    def next_id(self) -> int:
        """The id of the next new row; an id is never given twice, not even after a deletion."""
        return self._highest + 1

    def get(self, row_id: int) -> Row | None:
        """The whole row, or nothing."""
        row = self._rows.get(row_id)
        return None if row is None else dict(zip(self.columns, row, strict=True))

    def value(self, row_id: int, column: str) -> Any:
        """One column of one row."""
        return self._rows[row_id][self._place[column]]

    def load(self, rows: Iterable[Row]) -> None:
        """Take rows in bulk; what a row does not say is unset."""
        for row in rows:
            self._rows[row["id"]] = self._packed(row)
            self._highest = max(self._highest, row["id"])
        self._ids_dirty = True
        self._forget()

    def put(self, row: Row) -> None:
        """Insert or replace one row, indexes included."""
        row_id = row["id"]
        old = self._rows.get(row_id)
        new = self._packed(row)
        self._rows[row_id] = new
        if old is None:
            self._highest = max(self._highest, row_id)
            if not self._ids_dirty:
                insort(self._ids, row_id)
        self._reindex(row_id, old, new)

    def remove(self, row_id: int) -> None:
        """Delete one row; its id is not given again."""
        old = self._rows.pop(row_id, None)
        self._highest = max(self._highest, row_id)
        if old is not None:
            self._ids_dirty = True
            self._reindex(row_id, old, None)

    def _packed(self, row: Row) -> tuple[Any, ...]:
        values = list(self._unset)
        for name, value in row.items():
            place = self._place.get(name)
            if place is not None:
                values[place] = sys.intern(value) if type(value) is str and len(value) < 40 else value
        return tuple(values)

    # -------------------------------------------------------------------------------- indexes

    def ids_between(self, low: int | None, high: int | None) -> list[int]:
        """Ids with low <= id <= high, ascending."""
        start = 0 if low is None else bisect_left(self.ids, low)
        stop = len(self.ids) if high is None else bisect_left(self.ids, high + 1)
        return self.ids[start:stop]

    def ids_equal(self, column: str, keys: Iterable[Any]) -> list[int]:
        """Ids of the rows whose comparable value is one of the keys, ascending."""
        index = self._equal.get(column)
        if index is None:
            index = self._equal[column] = defaultdict(list)
            field, place = self.resource.by_name[column], self._place[column]
            for row_id in self.ids:
                index[comparable(field, self._rows[row_id][place])].append(row_id)
        found: set[int] = set()
        for key in keys:
            found.update(index.get(key, ()))
        return sorted(found)

    def ids_sorted(self, column: str) -> list[tuple[Any, int]]:
        """(comparable value, id) of every row, ascending: the index of a column."""
        index = self._sorted.get(column)
        if index is None:
            field, place = self.resource.by_name[column], self._place[column]
            index = sorted((comparable(field, self._rows[i][place]), i) for i in self.ids)
            self._sorted[column] = index
        return index

    def rank(self, row_id: int) -> tuple[Any, int]:
        """The place of a row in the natural order."""
        column = self.resource.natural
        key = comparable(self.resource.by_name[column], self.value(row_id, column)) if column else 0
        return key, row_id

    def _forget(self) -> None:
        self._equal.clear()
        self._sorted.clear()

    def _reindex(self, row_id: int, old: tuple[Any, ...] | None, new: tuple[Any, ...] | None) -> None:
        for column, index in self._equal.items():
            before, after = self._keys(column, old, new)
            if before != after:
                if before is not _NOTHING:
                    index[before].remove(row_id)
                if after is not _NOTHING:
                    insort(index[after], row_id)
        for column, ordered in self._sorted.items():
            before, after = self._keys(column, old, new)
            if before != after:
                if before is not _NOTHING:
                    del ordered[bisect_left(ordered, (before, row_id))]
                if after is not _NOTHING:
                    insort(ordered, (after, row_id))

    def _keys(self, column: str, old: tuple[Any, ...] | None, new: tuple[Any, ...] | None) -> tuple[Any, Any]:
        field, place = self.resource.by_name[column], self._place[column]
        return (
            _NOTHING if old is None else comparable(field, old[place]),
            _NOTHING if new is None else comparable(field, new[place]),
        )


_NOTHING = object()
