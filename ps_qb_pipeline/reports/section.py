"""One table of the report as data.

What lives here: a query with its columns and words. What does not: the tables themselves (``sections``,
``profit_sections``), running and drawing them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ps_qb_pipeline.reports.table import Column


@dataclass(frozen=True, slots=True)
class Section:
    """One table: its query gives exactly its columns, in their order."""

    name: str
    title: str
    intro: str
    sql: str
    columns: tuple[Column, ...]


def money(name: str, title: str, *, summed: bool = False) -> Column:
    """A column of amounts."""
    return Column(name, title, "money", summed)
