"""A table for people, whatever draws it.

What lives here: columns with their kinds, and rows of plain values. What does not: queries and drawing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "text",
    "money",
    "integer",
    "id",
    "quantity",
    "percent",
    "rate",
    "date",
    "month",
    "flag",
    "owner",
    "severity",
]
"""How a column's values are shown. ``money`` is Decimal with two places, ``percent`` a share of one,
``id`` a whole number that is no quantity."""


NUMERIC = frozenset({"money", "integer", "id", "quantity", "rate", "percent"})
"""The kinds that are set to the right."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. ``summed`` columns get a total where the rows are of one currency."""

    name: str
    title: str
    kind: Kind = "text"
    summed: bool = False


CURRENCY = Column("currency", "Currency")
ORDER = Column("order_id", "Order", "id")
CODE = Column("code", "Code")
SEVERITY = Column("severity", "Severity", "severity")
OWNER = Column("owner", "Owner", "owner")
REFERENCE = Column("reference", "Reference")
ACTION = Column("action", "What to do")
DOCUMENT = Column("doc_number", "Document")
MONTH = Column("month", "Month", "month")
EXPECTED = Column("expected", "Expected")
ACTUAL = Column("actual", "In QuickBooks")
HAPPENED = Column("message", "What happened")
TAX_CODE = Column("code", "Tax code")
PERCENT = Column("rate", "Rate, %", "rate")
"""Columns that several tables have, under one title each."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for people. ``left_out`` counts the rows beyond what the report carries."""

    name: str
    title: str
    intro: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    left_out: int = 0

    def column(self, name: str) -> tuple[Any, ...]:
        """The values of one column."""
        place = [column.name for column in self.columns].index(name)
        return tuple(row[place] for row in self.rows)

    def records(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


def of_one_currency(table: Table) -> bool:
    """Whether its amounts can be added: a sum over currencies is no amount of anything."""
    if "currency" not in {column.name for column in table.columns}:
        return True
    return len(set(table.column("currency"))) <= 1


def sums_of(table: Table) -> dict[int, Any]:
    """The sums of the summed columns by place, where every row is in one currency and none is left out."""
    if table.left_out or not table.rows or not of_one_currency(table):
        return {}
    return {
        place: sum(row[place] for row in table.rows if row[place] is not None)
        for place, column in enumerate(table.columns)
        if column.summed
    }
