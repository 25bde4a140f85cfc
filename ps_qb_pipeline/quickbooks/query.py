"""QuickBooks' query language: statements out, rows in.

What lives here: literals that cannot break out of their quotes, and statements that page. What does
not: sending them (``client``). Statements hold ids and document numbers of ours wherever possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ps_qb_pipeline.quickbooks.answers import inside
from ps_qb_pipeline.quickbooks.entities import ENTITIES

PAGE = 1000
"""The most rows that one answer holds."""
IN_LIST = 100
"""How many values one IN list holds, so that a statement stays far below every limit of length."""
_WORD = re.compile(r"[A-Za-z][A-Za-z.]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def literal(value: str) -> str:
    r"""A text in quotes; ``\`` and ``'`` are escaped, control characters become spaces.

    The empty text is written as one space, as the language wants it.
    """
    if not value:
        return "' '"
    cleaned = _CONTROL.sub(" ", value)
    escaped = cleaned.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def equals(name: str, value: str) -> str:
    """The condition that a property has exactly this value (without regard to case)."""
    return f"{_name(name)} = {literal(value)}"


def among(name: str, values: Sequence[str]) -> Iterator[str]:
    """Conditions that together find every row whose property is one of the values."""
    for start in range(0, len(values), IN_LIST):
        listed = ", ".join(literal(value) for value in values[start : start + IN_LIST])
        yield f"{_name(name)} IN ({listed})"


def changed_since(since: datetime) -> str:
    """The condition that a row changed at an aware moment or later."""
    if since.tzinfo is None:
        raise ValueError(f"{since} has no time zone")
    return f"MetaData.LastUpdatedTime >= {literal(since.isoformat(timespec='seconds'))}"


def page_statement(entity: str, where: str = "", *, start: int = 1, size: int = PAGE) -> str:
    """One page of an entity, inactive rows included, ordered by Id so that pages join without gaps."""
    paging = f"ORDERBY Id STARTPOSITION {int(start)} MAXRESULTS {int(size)}"
    return f"SELECT * FROM {_name(entity)}{_where(entity, where)} {paging}"  # noqa: S608  names are checked


def count_statement(entity: str, where: str = "") -> str:
    """The number of an entity's rows, inactive ones included."""
    return f"SELECT COUNT(*) FROM {_name(entity)}{_where(entity, where)}"  # noqa: S608  names are checked


def rows(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of an answer; none found is an empty ``QueryResponse``."""
    found = inside(answer, "QueryResponse")
    return next((value for value in found.values() if isinstance(value, list)), [])


def total(answer: Mapping[str, Any]) -> int:
    """The number that a counting answer holds."""
    return int(inside(answer, "QueryResponse").get("totalCount", 0))


def _where(entity: str, where: str) -> str:
    known = ENTITIES.get(entity)
    hides_inactive = known is not None and known.lists_inactive and "Active" not in where
    conditions = [part for part in (where, "Active IN (true, false)" if hides_inactive else "") if part]
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _name(word: str) -> str:
    if not _WORD.fullmatch(word):
        raise ValueError(f"{word!r} is not a name of the query language")
    return word
