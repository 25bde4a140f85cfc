"""The JSON in which QuickBooks writes reports: header, columns, nested rows.

What lives here: the pieces and how they nest. What does not: figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ps_qb_pipeline.sandbox.books.codec import Json
from ps_qb_pipeline.sandbox.books.company import Company

MOST_CELLS = 400_000
TRUNCATED = "Unable to display more data. Please reduce the date range."


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a report; ``key`` is what requests name it by."""

    title: str
    kind: str = "Money"
    key: str = ""
    first: str = ""
    last: str = ""

    def as_json(self) -> Json:
        """Return the column as it stands in a report."""
        meta = [{"Name": "ColKey", "Value": self.key or self.title.lower()}]
        if self.first:
            meta = [
                {"Name": "StartDate", "Value": self.first},
                {"Name": "EndDate", "Value": self.last},
                *meta,
            ]
        return {"ColTitle": self.title, "ColType": self.kind, "MetaData": meta}


def money(hundredths: int | None) -> str:
    """Return an amount as reports print it; an absent one is empty."""
    if hundredths is None:
        return ""
    sign = "-" if hundredths < 0 else ""
    whole, rest = divmod(abs(hundredths), 100)
    return f"{sign}{whole}.{rest:02d}"


def cell(value: Any, ident: Any = None) -> Json:
    """Return one cell."""
    return {"value": str(value)} if ident is None else {"value": str(value), "id": str(ident)}


def data(cells: Sequence[Json]) -> Json:
    """Return a row of data."""
    return {"ColData": list(cells), "type": "Data"}


def section(
    title: str,
    rows: list[Json],
    summary: Sequence[Json],
    *,
    group: str = "",
    ident: Any = None,
    width: int = 2,
) -> Json:
    """Return a section with its rows and its total."""
    head = [cell(title, ident), *[cell("") for _ in range(width - 1)]]
    made: Json = {
        "Header": {"ColData": head},
        "Rows": {"Row": rows},
        "Summary": {"ColData": list(summary)},
        "type": "Section",
    }
    if group:
        made["group"] = group
    return made


def total(summary: Sequence[Json], group: str) -> Json:
    """Return a section that is only a total."""
    return {"Summary": {"ColData": list(summary)}, "type": "Section", "group": group}


@dataclass(frozen=True, slots=True)
class Frame:
    """What the header of a report says."""

    name: str
    first: str
    last: str
    basis: str = "Accrual"
    by: str = "Total"
    macro: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for: the frame, the parameters, and the columns' periods."""

    frame: Frame
    query: dict[str, str] = field(default_factory=dict)

    def values(self, name: str) -> list[str]:
        """Return a comma-separated parameter as a list."""
        return [part for part in self.query.get(name, "").split(",") if part]


def report(
    company: Company,
    frame: Frame,
    columns: Sequence[Column],
    rows: list[Json],
    *,
    options: Sequence[Json] = (),
) -> Json:
    """Return a whole report, cut short where QuickBooks would cut it."""
    header: Json = {"Time": company.clock.company(), "ReportName": frame.name}
    if frame.macro:
        header["DateMacro"] = frame.macro
    header |= {"ReportBasis": frame.basis, "StartPeriod": frame.first, "EndPeriod": frame.last}
    if frame.by:
        header["SummarizeColumnsBy"] = frame.by
    header["Currency"] = company.home
    header["Option"] = [*options, {"Name": "NoReportData", "Value": "false" if rows else "true"}]
    shown = _cut(rows, MOST_CELLS // max(len(columns), 1), len(columns))
    return {
        "Header": header,
        "Columns": {"Column": [column.as_json() for column in columns]},
        "Rows": {"Row": shown} if shown else {},
    }


def _cut(rows: list[Json], most: int, width: int) -> list[Json]:
    """Return ``rows`` with at most ``most`` rows of data, and a last one that says so."""
    left = [most]

    def walk(these: list[Json]) -> list[Json]:
        kept = []
        for row in these:
            if left[0] <= 0:
                break
            if "Rows" in row:
                kept.append(row | {"Rows": {"Row": walk(row["Rows"].get("Row", []))}})
            else:
                left[0] -= 1
                kept.append(row)
        return kept

    kept = walk(rows)
    if left[0] <= 0:
        kept.append(data([cell(TRUNCATED), *[cell("") for _ in range(width - 1)]]))
    return kept
