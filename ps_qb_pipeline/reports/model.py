"""The model of a report: what every rendering shows, as plain values.

What lives here: cover, figures and tables, and the summary for machines. What does not: how they are
read (``reading``) and how they are drawn (``html``, ``workbook``). A rendering computes no figure of
its own, so that all of them say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.reports.story import OrderStory
from ps_qb_pipeline.reports.table import Table


@dataclass(frozen=True, slots=True)
class Cover:
    """What the report is about. ``as_of`` is when its data were read, with time zone."""

    connection: str
    shop: str
    company: str
    home_currency: str
    as_of: datetime
    run_id: str
    version: str
    status: str = "Draft"


@dataclass(frozen=True, slots=True)
class Figures:
    """The counts of the first screen. Every order is postable, held or not postable."""

    orders: int
    postable: int
    not_postable: dict[str, int]
    held_orders: int
    held: dict[str, int]
    documents_expected: int
    documents_confirmed: int
    orders_confirmed: int
    exceptions: dict[str, int]
    unclassified: dict[str, Decimal]
    unclassified_objects: int
    open_difference: dict[str, Decimal]
    open_held: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a rendering may show."""

    cover: Cover
    figures: Figures
    tables: dict[str, Table]
    stories: tuple[OrderStory, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether our own proof holds: every object is in one class and every cent is explained."""
        proof = all(self.tables["conservation"].column("holds"))
        return proof and not self.figures.unclassified_objects and not any(self.figures.unclassified.values())


def summary(report: Report) -> dict[str, Any]:
    """The key figures for machines; amounts are strings with two places, by currency."""
    figures = report.figures
    return {
        "orders": figures.orders,
        "postable": figures.postable,
        "not_postable": dict(figures.not_postable),
        "documents_expected": figures.documents_expected,
        "documents_confirmed": figures.documents_confirmed,
        "orders_confirmed": figures.orders_confirmed,
        "held": dict(figures.held),
        "held_orders": figures.held_orders,
        "exceptions": dict(figures.exceptions),
        "unclassified": _texts(figures.unclassified),
        "unclassified_objects": figures.unclassified_objects,
        "open_difference": _texts(figures.open_difference),
        "open_held": _texts(figures.open_held),
    }


def _texts(amounts: dict[str, Decimal]) -> dict[str, str]:
    return {currency: f"{amount:.2f}" for currency, amount in sorted(amounts.items())}
