"""One object of the web service becomes one typed row.

What lives here: the tolerant reading of values (numbers as numbers or strings, booleans as ``"0"``, ``1``
or ``""``, texts in one or several languages, ``0000-00-00``) and the hash that tells one state of a row
from another. What does not: answers and errors (``wire``), requests (``client``).

Tolerant of form, never of meaning: a value that is not what its column says makes the row unreadable, and
an unreadable row is set aside by name. Nothing is guessed and nothing is dropped.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import Any

from ps_qb_pipeline.prestashop.resources import Kind, Resource

Row = dict[str, Any]

_SIX_PLACES = Decimal("0.000001")
_DECIMAL_LIMIT = Decimal(10) ** 14
_BIGINT_LIMIT = 2**63
_SIX_DECIMALS = re.compile(r"\d{1,14}\.\d{6}\Z", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,19}\Z", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?\Z", re.ASCII)
_WHOLE = re.compile(r"([+-]?\d{1,19})\.0*\Z", re.ASCII)
_WALL_TIME = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?\Z", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")
_MISSING = object()


class Unreadable(ValueError):
    """A value is not what its column says. The message names column and kind, never the value."""


@dataclass(frozen=True, slots=True)
class Record:
    """One object as received (``payload``), as typed (``values``), and the hash of its typed state."""

    id: int
    values: Row
    payload: str
    hash: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Poisoned:
    """One object that could not be read. It is shown to a person and read again by every sweep."""

    resource: str
    id: int | None
    parent: str
    """The order's id, or the orders' reference, that the object belongs to, as far as it can be told."""
    reason: str
    payload: str


def _int(value: object) -> int | None:
    if value is None or value is False or value == "":
        return None
    if isinstance(value, str):
        text = value.strip()
        whole = _WHOLE.match(text)
        text = whole.group(1) if whole else text
        if not _INTEGER.match(text):
            raise Unreadable("is not a whole number")
        value = int(text)
    if not isinstance(value, int | Decimal) or (isinstance(value, Decimal) and not value.is_finite()):
        raise Unreadable("is not a whole number")
    if not -_BIGINT_LIMIT <= value < _BIGINT_LIMIT:
        raise Unreadable("is too large for a whole number")
    if int(value) != value:
        raise Unreadable("is not a whole number")
    return int(value)


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, str) and _SIX_DECIMALS.match(value):
        return Decimal(value)
    if value is None or value is False or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise Unreadable("is not a number")
    if isinstance(value, str) and not _NUMBER.match(value.strip()):
        raise Unreadable("is not a number")
    number = Decimal(value.strip() if isinstance(value, str) else value)
    if not number.is_finite() or abs(number) >= _DECIMAL_LIMIT:
        raise Unreadable("is too large for an amount")
    return number.quantize(_SIX_PLACES, rounding=ROUND_HALF_EVEN) + 0


def _bool(value: object) -> bool:
    if value is None or value == "":
        return False
    if isinstance(value, str | int) and str(int(value) if isinstance(value, bool) else value) in {"0", "1"}:
        return value in {1, "1"}
    raise Unreadable('is not "0" or "1"')


def _text(value: object) -> str:
    if value is None or value is False:
        return ""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, int | Decimal) and value is not True:
        return str(value)
    raise Unreadable("is not a text")


def _datetime(value: object) -> datetime | None:
    text = _text(value).strip()
    if not text or text.startswith("0000-00-00"):
        return None
    if not _WALL_TIME.match(text):
        raise Unreadable("is not a date and time without offset")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise Unreadable("is not a date and time") from error


def _date(value: object) -> date | None:
    moment = _datetime(value)
    return moment.date() if moment else None


def _association(value: object, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The objects of an association with the fields ``names``: ids and quantities whole, amounts as text."""
    if value is None or value in (False, "", {}):
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Unreadable("is not a list of objects")
    return [{name: _associated(name, item.get(name)) for name in names} for item in value]


def _associated(name: str, value: object) -> int | str | None:
    if name.startswith("id") or name.endswith("quantity"):
        return _int(value)
    number = _decimal(value)
    return None if number is None else str(number)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {_text(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, Decimal):
        return str(value)
    return value


def _i18n(value: object, language: int | None) -> str:
    """One text: in ``language``, in the first language otherwise; plain where the shop sends it plain."""
    if not isinstance(value, list):
        return _text(value)
    first = None
    for entry in value:
        if not isinstance(entry, dict) or "value" not in entry:
            raise Unreadable("is not a text in languages")
        if language is not None and _int(entry.get("id")) == language:
            return _text(entry["value"])
        first = first if first is not None else _text(entry["value"])
    return first or ""


_PARSERS: dict[Kind, Callable[[object], Any]] = {
    "int": _int,
    "decimal": _decimal,
    "bool": _bool,
    "text": _text,
    "datetime": _datetime,
    "date": _date,
}
_EMPTY: dict[Kind, Any] = {"bool": False, "text": "", "i18n": "", "json": []}


@cache
def _plan(name: str, columns: tuple[tuple[str, Kind], ...]) -> tuple[tuple[str, Kind, Any], ...]:
    del name
    return tuple((column, kind, _PARSERS.get(kind)) for column, kind in columns)


def typed(resource: Resource, fields: Mapping[str, Any], *, language: int | None = None) -> Row:
    """The object ``fields`` as a row with exactly the columns of ``resource``.

    ``text`` is never None: nothing is the empty string. Unset dates and numbers are None. Raises
    ``Unreadable`` when a value is not what its column says or a column that every shop has is absent.
    """
    associations = fields.get("associations")
    inner: Mapping[str, Any] = associations if isinstance(associations, Mapping) else {}
    if associations and not isinstance(associations, Mapping):
        raise Unreadable("associations is not an object")
    row: Row = {}
    for column, kind, parse in _plan(resource.name, tuple(resource.columns.items())):
        try:
            if kind == "json":
                row[column] = _association(inner.get(column), resource.associations[column])
                continue
            value = fields.get(column, _MISSING)
            if value is _MISSING:
                row[column] = _absent(resource, column, kind)
            elif kind == "i18n":
                row[column] = _i18n(value, language)
            else:
                row[column] = parse(value)
        except Unreadable as error:
            raise Unreadable(f"{column} {error} (wanted {kind})") from error
    if row.get("id") is None:
        raise Unreadable("id is empty (wanted int)")
    return row


def _absent(resource: Resource, column: str, kind: Kind) -> Any:
    if column not in resource.optional:
        raise Unreadable("is absent")
    return _EMPTY.get(kind)


def row_hash(row: Mapping[str, Any]) -> str:
    """The same for equal typed rows, whatever form their values had on the wire."""
    return hashlib.blake2b(repr(list(row.items())).encode(), digest_size=16).hexdigest()


def record(
    resource: Resource, fields: Any, payload: str, *, language: int | None = None
) -> Record | Poisoned:
    """The object ``fields``, whose text is ``payload``, as a record, or set aside with the reason."""
    payload = _sound_json(fields, payload)
    if not isinstance(fields, Mapping):
        return Poisoned(resource.name, None, "", "is not an object", payload)
    try:
        row = typed(resource, fields, language=language)
        return Record(row["id"], row, payload, row_hash(row))
    except (Unreadable, RecursionError) as error:
        reason = str(error) if isinstance(error, Unreadable) else "is nested too deeply"
        return Poisoned(resource.name, _known_id(fields), _known_parent(resource, fields), reason, payload)


def _sound_json(fields: Any, payload: str) -> str:
    """``payload``, or, if it escapes half a surrogate pair, which no database takes, the same cleaned."""
    if "\\ud" not in payload and "\\uD" not in payload:
        return payload
    try:
        return json.dumps(_cleaned(fields), ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return "null"


def _known_id(fields: Mapping[str, Any]) -> int | None:
    try:
        return _int(fields.get("id"))
    except Unreadable:
        return None


def _known_parent(resource: Resource, fields: Mapping[str, Any]) -> str:
    column = "id" if resource.name == "orders" else resource.parent
    try:
        return _text(fields.get(column, ""))[:64]
    except Unreadable:
        return ""
