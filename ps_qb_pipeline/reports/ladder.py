"""The tie-out turned on its side: steps downwards, measures across, one ladder a currency.

What lives here: the order and wording of the steps. What does not: the figures (``model``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ps_qb_pipeline.reports.table import Table


@dataclass(frozen=True, slots=True)
class Rung:
    """One step: its title, and its value for each measure. ``strong`` steps are where one looks first."""

    title: str
    values: tuple[Any, ...]
    strong: bool


RUNGS = (
    ("shop", "In the shop"),
    ("before_go_live", "less: from before the start"),
    ("not_postable", "less: not to be booked (never paid, cancelled, …)"),
    ("held", "less: held back"),
    ("restated", "less: booked at another amount, for a listed reason"),
    ("expected", "Expected in QuickBooks"),
    ("missing", "less: missing there"),
    ("differences", "plus: differences in documents that are there"),
    ("extras", "plus: surplus documents"),
    ("actual", "In QuickBooks"),
    ("unclassified", "Unexplained (must be 0.00)"),
)
"""The steps from the shop's money to QuickBooks', by column of the tie-out."""

_STRONG = frozenset({"shop", "expected", "actual", "unclassified"})


def ladders(table: Table) -> list[tuple[str, list[str], list[Rung]]]:
    """Currency, measures and steps of each ladder, in the order of the tie-out."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in table.records():
        rows.setdefault(row["currency"], []).append(row)
    return [
        (
            currency,
            [row["measure"] for row in measures],
            [Rung(title, tuple(row[name] for row in measures), name in _STRONG) for name, title in RUNGS],
        )
        for currency, measures in rows.items()
    ]
