"""The query language.

What lives here: the grammar (``select * from Customer where DisplayName like 'A%' orderby Id startposition 1
maxresults 10``), its errors, and the test of one object against a condition. What does not: fetching.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ps_qb_pipeline.sandbox.books import faults
from ps_qb_pipeline.sandbox.books.codec import Json, decimal
from ps_qb_pipeline.sandbox.books.entities import BY_URL, Entity

TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:\\.|[^'\\])*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<op><=|>=|!=|<>|[=<>])"""
    r"""|(?P<word>[A-Za-z_][\w.]*)|(?P<mark>[(),*]))""",
    re.VERBOSE | re.DOTALL,
)
OPERATORS = {"=", "!=", "<", ">", "<=", ">=", "in", "like"}
DATES = ("MetaData.CreateTime", "MetaData.LastUpdatedTime")
LARGEST_PAGE = 1000
USUAL_PAGE = 100
LARGEST_POSITION = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Condition:
    """``field`` compared by ``operator`` with the values (one, or several for ``in``)."""

    field: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query. ``order`` holds (field, descending)."""

    entity: Entity
    count: bool
    conditions: tuple[Condition, ...]
    order: tuple[tuple[str, bool], ...]
    start: int
    limit: int

    def names_active(self) -> bool:
        """Whether the query itself says which of active and inactive rows it wants."""
        return any(condition.field == "Active" for condition in self.conditions)


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    end = len(text.rstrip().rstrip(";").rstrip())
    while at < end:
        match = TOKEN.match(text, at, end)
        if match is None:
            raise faults.query_syntax(
                f'Lexical error at line 1, column {at + 1}.  Encountered: "{text[at : at + 1]}"'
            )
        at = match.end()
        found.append((str(match.lastgroup), match.group(str(match.lastgroup))))
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at][1].lower() if self.at < len(self.tokens) else ""

    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self) -> tuple[str, str]:
        if self.at >= len(self.tokens):
            raise faults.query_syntax('Encountered "<EOF>" at the end of the query.')
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, *words: str) -> str:
        if self.peek() not in words:
            got = self.tokens[self.at][1] if self.at < len(self.tokens) else "<EOF>"
            raise faults.query_syntax(f'Encountered "{got}". Was expecting one of: {", ".join(words)}')
        return self.take()[1].lower()

    def accept(self, word: str) -> bool:
        if self.peek() == word:
            self.at += 1
            return True
        return False


def parse(text: str) -> Query:
    """Parse one statement; raise Refusal 4000 for its form, 4001 for what it names."""
    reader = _Reader(text)
    reader.expect("select")
    count = _columns(reader)
    reader.expect("from")
    name = reader.take()[1]
    entity = BY_URL.get(name.lower())
    if entity is None:
        raise faults.query_invalid(f"Metadata not found for Entity: {name}")
    conditions: list[Condition] = []
    if reader.accept("where"):
        conditions.append(_condition(reader, entity))
        while reader.accept("and"):
            conditions.append(_condition(reader, entity))
    order = _order(reader, entity)
    start = _whole(reader, "startposition", 1, entity)
    limit = _whole(reader, "maxresults", USUAL_PAGE, entity)
    if limit > LARGEST_PAGE:
        raise faults.query_invalid(f"value {limit} is too large. Max allowed value is {LARGEST_PAGE}")
    if reader.peek():
        raise faults.query_syntax(f'Encountered "{reader.tokens[reader.at][1]}" where the query should end.')
    return Query(entity, count, tuple(conditions), order, start, limit)


def _columns(reader: _Reader) -> bool:
    if reader.accept("count"):
        reader.expect("(")
        reader.expect("*")
        reader.expect(")")
        return True
    while True:
        kind, _ = reader.take()
        if kind not in {"word", "mark"}:
            raise faults.query_syntax("Encountered a value where a column was expected.")
        if not reader.accept(","):
            return False


def _property(reader: _Reader, entity: Entity) -> str:
    kind, name = reader.take()
    if kind != "word":
        raise faults.query_syntax(f'Encountered "{name}" where a property was expected.')
    known = _by_lower(entity).get(name.lower())
    if known is None:
        raise faults.query_invalid(
            f"Property {name} not found for Entity {entity.name}, or it is not queryable"
        )
    return known


@lru_cache(maxsize=128)
def _by_lower(entity: Entity) -> dict[str, str]:
    return {name.lower(): name for name in entity.filterable()}


def _condition(reader: _Reader, entity: Entity) -> Condition:
    field = _property(reader, entity)
    operator = reader.expect(*OPERATORS)
    if field == "Id" and operator not in {"=", "in"}:
        raise faults.query_invalid(f"Operator {operator} is not supported for property Id")
    if operator != "in":
        return Condition(field, operator, (_value(reader),))
    reader.expect("(")
    values = [_value(reader)]
    while reader.accept(","):
        values.append(_value(reader))
    reader.expect(")")
    return Condition(field, operator, tuple(values))


def _value(reader: _Reader) -> str:
    kind, raw = reader.take()
    if kind == "text":
        return re.sub(r"\\(.)", r"\1", raw[1:-1], flags=re.DOTALL)
    if kind == "number" or raw.lower() in {"true", "false", "current_date"}:
        return raw.lower()
    raise faults.query_syntax(f'Encountered "{raw}" where a value was expected.')


def _order(reader: _Reader, entity: Entity) -> tuple[tuple[str, bool], ...]:
    if reader.accept("order"):
        reader.expect("by")
    elif not reader.accept("orderby"):
        return ()
    order = []
    while True:
        field = _property(reader, entity)
        descending = reader.accept("desc")
        if not descending:
            reader.accept("asc")
        order.append((field, descending))
        if not reader.accept(","):
            return tuple(order)


def _whole(reader: _Reader, word: str, usual: int, entity: Entity) -> int:
    if not reader.accept(word):
        return usual
    kind, raw = reader.take()
    if kind != "number" or "." in raw:
        raise faults.query_syntax(f'Encountered "{raw}" after {word.upper()} of {entity.name}.')
    if int(raw) < 1:
        raise faults.query_invalid(f"value {raw} is too small. Min allowed value is 1")
    if int(raw) > LARGEST_POSITION:
        raise faults.query_invalid(f"value {raw} is too large. Max allowed value is {LARGEST_POSITION}")
    return int(raw)


# Matching ------------------------------------------------------------------------------------------


def lookup(body: Json, field: str) -> Any:
    """Return the value of a property of an object, as queries see it: references by id, contacts by text."""
    value: Any = body
    for part in field.split("."):
        if isinstance(value, list):
            value = value[0] if value else None
        if not isinstance(value, dict):
            return None
        value = value.get(part, value.get(part.lower()))
    if isinstance(value, dict):
        return value.get("value", value.get("Address", value.get("FreeFormNumber")))
    return value


def matcher(condition: Condition, instant: Callable[[str], datetime], today: str) -> Callable[[Json], bool]:
    """Return the test of ``condition``. Values are compared case-insensitively, numbers as numbers."""
    values = [today if value == "current_date" else value for value in condition.values]
    field, operator = condition.field, condition.operator
    if field in DATES:
        return _dates(field, operator, values, instant)
    if operator == "like":
        pattern = re.compile(
            "^" + ".*".join(re.escape(part) for part in values[0].split("%")) + "$", re.IGNORECASE | re.DOTALL
        )
        return lambda body: pattern.match(_text(lookup(body, field))) is not None
    if operator == "in":
        wanted = {value.strip().lower() for value in values}
        return lambda body: _text(lookup(body, field)).lower() in wanted
    return lambda body: _compare(operator, lookup(body, field), values[0])


def _dates(
    field: str, operator: str, values: list[str], instant: Callable[[str], datetime]
) -> Callable[[Json], bool]:
    try:
        wanted = [instant(value) for value in values]
    except ValueError:
        raise faults.query_invalid(f"Invalid date-time for property {field}") from None

    def test(body: Json) -> bool:
        text = lookup(body, field)
        if text is None:
            return False
        if operator == "like":
            return str(text).startswith(values[0].rstrip("%"))
        present = instant(text)
        if operator == "in":
            return present in wanted
        return _holds(operator, present, wanted[0])

    return test


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _compare(operator: str, value: Any, wanted: str) -> bool:
    if operator == "!=":
        return not _compare("=", value, wanted)
    if isinstance(value, bool):
        return operator == "=" and _text(value) == wanted.lower()
    if value is None:
        return operator == "=" and not wanted.strip()
    if isinstance(value, int | Decimal):
        number = decimal(wanted)
        return number is not None and _holds(operator, Decimal(value), number)
    if operator == "=" and not wanted.strip():
        return not str(value).strip()
    return _holds(operator, str(value).lower(), wanted.lower())


def _holds(operator: str, left: Any, right: Any) -> bool:
    if operator == "=":
        return bool(left == right)
    if operator == "!=":
        return bool(left != right)
    if operator == "<":
        return bool(left < right)
    if operator == ">":
        return bool(left > right)
    return bool(left <= right) if operator == "<=" else bool(left >= right)


def sort_key(field: str) -> Callable[[Json], tuple[int, Any]]:
    """Return the key by which objects sort on a property: numbers as numbers, text without case."""

    def key(body: Json) -> tuple[int, Any]:
        value = lookup(body, field)
        if value is None:
            return (-1, "")
        if field == "Id":
            return (0, int(value))
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return (0, value)
        return (1, str(value).lower())

    return key
