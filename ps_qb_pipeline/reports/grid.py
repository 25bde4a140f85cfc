"""A table as text for a terminal.

What lives here: column widths and alignment. What does not: what stands in the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ps_qb_pipeline.reports.table import NUMERIC, Table
from ps_qb_pipeline.reports.words import show

WIDEST = 60


def grid(table: Table) -> Iterator[str]:
    """The lines of the table: headings, rule, rows; columns without any value are left out."""
    filled = [
        place
        for place in range(len(table.columns))
        if any(row[place] not in (None, "") for row in table.rows)
    ]
    columns = [table.columns[place] for place in filled]
    cells = [[show(row[place], table.columns[place].kind) for place in filled] for row in table.rows]
    widths = [
        min(WIDEST, max(len(column.title), *(len(row[place]) for row in cells)))
        for place, column in enumerate(columns)
    ]

    def line(values: Sequence[str]) -> str:
        parts = (
            value.rjust(width) if column.kind in NUMERIC else value.ljust(width)
            for value, width, column in zip(values, widths, columns, strict=True)
        )
        return ("   " + "  ".join(parts)).rstrip()

    yield line([column.title for column in columns])
    yield "   " + "  ".join("-" * width for width in widths)
    yield from (line(row) for row in cells)
