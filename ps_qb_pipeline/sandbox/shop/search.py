"""Finding the rows that a question means.

What lives here: the database's part of a read: comparing, ordering, cutting out a page, and the
choice of an index. What does not: the syntax of questions (``query``).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import islice
from typing import Any

from ps_qb_pipeline.sandbox.shop.query import Condition, Question
from ps_qb_pipeline.sandbox.shop.resources import Field
from ps_qb_pipeline.sandbox.shop.tables import Table, comparable, folded

Predicate = Callable[[int], bool]


def find(
    table: Table, question: Question, allowed: Condition | None = None, languages: Iterable[int] = ()
) -> list[int]:
    """Ids of the rows that the question means, in its order, cut to its page.

    Args:
        table: the rows.
        question: conditions, order and page.
        allowed: one more condition that the caller's context sets, such as the shop.
        languages: ids of the languages whose texts may be compared.
    """
    if question.broken:
        return []
    conditions = [*question.conditions, *([allowed] if allowed else [])]
    column = _indexed_order(table, question)
    if column:
        return _along_index(table, question, column, conditions, tuple(languages))
    ids, rest = _narrowed(table, conditions)
    tests = [_predicate(table, c, tuple(languages)) for c in rest]
    offset, count = question.limit or (0, len(table))
    if question.sort[:1] == [("id", False)] or (
        ids is None and not table.resource.natural and not question.sort
    ):
        hits = (i for i in (table.ids if ids is None else ids) if all(t(i) for t in tests))
        return list(islice(hits, offset, offset + count))
    hits_list = [i for i in (table.ids if ids is None else ids) if all(t(i) for t in tests)]
    _order(table, hits_list, question.sort)
    return hits_list[offset : offset + count]


def _indexed_order(table: Table, question: Question) -> str:
    """The column whose index already has the order that is asked for, and bounds no smaller set of rows exists for."""
    if not question.sort or question.sort[1:] not in ([], [("id", False)]) or question.sort[0][1]:
        return ""
    column = question.sort[0][0]
    if column == "id" or table.resource.by_name[column].i18n:
        return ""
    narrower = any(
        c.operator == "equals" or (c.operator == "between" and c.field != column) for c in question.conditions
    )
    return "" if narrower else column


def _along_index(
    table: Table, question: Question, column: str, conditions: list[Condition], languages: tuple[int, ...]
) -> list[int]:
    """The asked page, read off an index in its own order."""
    field = table.resource.by_name[column]
    ranged = next(
        (c for c in conditions if c.field == column and c.operator in {"between", "above", "below"}), None
    )
    tests = [_predicate(table, c, languages) for c in conditions if c is not ranged]
    index = table.ids_sorted(column)
    start, stop = _slice(index, field, ranged) if ranged else (0, len(index))
    offset, count = question.limit or (0, len(index))
    hits = (i for _, i in islice(index, start, stop) if all(t(i) for t in tests))
    return list(islice(hits, offset, offset + count))


def _order(table: Table, ids: list[int], sort: list[tuple[str, bool]]) -> None:
    """Sort in place: by the fields asked for, then as the database happens to return rows."""
    ids.sort(key=table.rank)
    for name, descending in reversed(sort):
        if name == "id":
            ids.sort(reverse=descending)
            continue
        field = table.resource.by_name[name]
        ids.sort(key=lambda i: _sort_key(field, table.value(i, name)), reverse=descending)


def _sort_key(field: Field, value: Any) -> Any:
    if field.i18n:
        value = value[0]["value"] if isinstance(value, list) and value else value
        return folded(str(value or ""))
    return comparable(field, value)


def _narrowed(table: Table, conditions: list[Condition]) -> tuple[list[int] | None, list[Condition]]:
    """Candidates out of the best index, ascending by id, and the conditions that remain to be tested."""
    for condition in sorted(conditions, key=_usefulness):
        field = table.resource.by_name[condition.field]
        if field.i18n:
            continue
        rest = [c for c in conditions if c is not condition]
        if condition.operator == "equals":
            keys = [comparable(field, v) for v in condition.values]
            if condition.field == "id":
                return sorted({int(k) for k in keys if k == int(k) and int(k) in table}), rest
            return table.ids_equal(condition.field, _matchable(field, keys)), rest
        if condition.operator in {"between", "above", "below"}:
            return _ranged(table, field, condition), rest
    return None, conditions


def _usefulness(condition: Condition) -> int:
    if condition.operator == "equals":
        return 0 if condition.field == "id" else 1
    return {"between": 2, "above": 3, "below": 4}.get(condition.operator, 9)


def _matchable(field: Field, keys: list[Any]) -> list[Any]:
    """Keys without the unreadable dates, which equal nothing."""
    return [k for k in keys if k != ""] if field.temporal else keys


def _ranged(table: Table, field: Field, condition: Condition) -> list[int]:
    if field.name == "id":
        low, high, low_in, high_in = _bounds(field, condition)
        bottom = None if low is None else int(low) + (0 if low_in and low == int(low) else 1)
        top = None if high is None else (int(high) if high_in or high != int(high) else int(high) - 1)
        return table.ids_between(bottom, top)
    index = table.ids_sorted(field.name)
    start, stop = _slice(index, field, condition)
    return sorted(row_id for _, row_id in index[start:stop])


def _slice(index: list[tuple[Any, int]], field: Field, condition: Condition) -> tuple[int, int]:
    """From where to where an index holds what a range means."""
    low, high, low_in, high_in = _bounds(field, condition)
    start = 0
    if low is not None:
        start = bisect_left(index, (low, 0)) if low_in else bisect_right(index, (low, 1 << 62))
    stop = len(index)
    if high is not None:
        stop = bisect_right(index, (high, 1 << 62)) if high_in else bisect_left(index, (high, 0))
    return start, stop


def _bounds(field: Field, condition: Condition) -> tuple[Any, Any, bool, bool]:
    first = comparable(field, condition.values[0])
    if condition.operator == "between":
        return first, comparable(field, condition.values[1]), True, True
    return (first, None, False, False) if condition.operator == "above" else (None, first, False, False)


# ------------------------------------------------------------------------------------ tests


def _predicate(table: Table, condition: Condition, languages: tuple[int, ...]) -> Predicate:
    field = table.resource.by_name[condition.field]
    meets = _comparison(field, condition)
    if field.i18n:
        return lambda i: any(meets(v) for v in _texts(table.value(i, field.name), languages))
    return lambda i: meets(table.value(i, field.name))


def _texts(value: Any, languages: tuple[int, ...]) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [entry["value"] for entry in value if not languages or int(entry["id"]) in languages]


def _comparison(field: Field, condition: Condition) -> Callable[[Any], bool]:
    if condition.operator == "like":
        pattern = like_pattern(condition.values[0])
        return lambda v: pattern.fullmatch(folded("" if v is None or v is False else str(v))) is not None
    keys = [comparable(field, v) for v in condition.values]
    if condition.operator == "equals":
        wanted = set(_matchable(field, keys))
        return lambda v: comparable(field, v) in wanted
    if condition.operator == "not":
        unwanted = set(_matchable(field, keys))
        return lambda v: comparable(field, v) not in unwanted
    low, high, low_in, high_in = _bounds(field, condition)

    def within(value: Any) -> bool:
        key = comparable(field, value)
        if low is not None and (key < low or (key == low and not low_in)):
            return False
        return not (high is not None and (key > high or (key == high and not high_in)))

    return within


@lru_cache(maxsize=256)
def like_pattern(text: str) -> re.Pattern[str]:
    """A LIKE pattern as a regular expression over folded texts: % any run, _ any character."""
    parts = ({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in folded(text))
    return re.compile("".join(parts), re.DOTALL)
