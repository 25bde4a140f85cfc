"""The report as one HTML page that needs nothing else: no network, no script, no other file.

What lives here: filling the template. What does not: figures and wording (``model``, ``front``).
Everything that comes from data is escaped by the template; only our own SVG is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ps_qb_pipeline.reports.charts import pictures
from ps_qb_pipeline.reports.front import by_currency, front
from ps_qb_pipeline.reports.model import Report
from ps_qb_pipeline.reports.story import OrderStory
from ps_qb_pipeline.reports.table import Column, Table
from ps_qb_pipeline.reports.words import show

ROWS_SHOWN = 50
"""How many rows of a table the page shows; the workbook has them all."""

NUMERIC = frozenset({"money", "integer", "id", "quantity", "rate", "percent"})

_PARTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "tie-out": ("Does it tie out?", ("tie_out", "open_difference")),
    "exceptions": ("What is open?", ("exceptions_by_code", "ageing", "exceptions", "duplicates", "twins")),
    "money": ("Money and tax", ("accounts", "tax", "cutoff", "numbering")),
    "profit": (
        "What was earned?",
        (
            "profit_by_month",
            "income_bridge",
            "profit_by_product",
            "profit_by_customer",
            "profit_by_country",
            "profit_by_category",
            "profit_by_payment_method",
            "profit_by_carrier",
            "profit_by_cohort",
        ),
    ),
    "proof": ("Proof and notes", ("conservation", "classes", "notes_by_code")),
}
_CHARTS = {"tie_out": ("sales",), "exceptions_by_code": ("open",), "profit_by_month": ("ladder",)}
_CHARTS |= {"profit_by_product": ("products",), "profit_by_country": ("countries",)}
_HIDDEN = {
    "exceptions": {
        "id",
        "age_bucket",
        "books_entity",
        "books_id",
        "reference",
        "event_date",
        "action",
        "severity",
    },
    **{
        name: {"id_shop", "covered_revenue", "delivery_income", "income"}
        for name in _PARTS["profit"][1]
        if name not in {"profit_by_month", "income_bridge"}
    },
}


def report_html(report: Report) -> str:
    """The page of the whole report."""
    return _render(
        "report.html",
        report=report,
        front=front(report),
        currencies=by_currency(report),
        parts=_PARTS,
        charts=_CHARTS,
        pictures=pictures(report),
        rows_shown=ROWS_SHOWN,
        told={story.order_id for story in report.stories},
    )


def story_html(story: OrderStory) -> str:
    """The page of one order alone."""
    return _render("order.html", story=story)


def write_html(report: Report, path: Path) -> Path:
    """Writes the page to ``path`` and gives it back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report_html(report), encoding="utf-8")
    return path


def _render(template: str, **values: Any) -> str:
    return str(_environment().get_template(template).render(**values))


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ps_qb_pipeline.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["show"] = show
    environment.globals.update(
        shown_columns=_shown_columns, totals=_totals, ladders=_ladders, numeric=NUMERIC
    )
    return environment


def _shown_columns(table: Table) -> list[tuple[int, Column]]:
    """The columns that say something: not hidden, and not empty in every row."""
    hidden = _HIDDEN.get(table.name, set())
    return [
        (place, column)
        for place, column in enumerate(table.columns)
        if column.name not in hidden and any(row[place] not in (None, "") for row in table.rows)
    ]


@dataclass(frozen=True, slots=True)
class _Rung:
    """One row of the tie-out turned on its side: a step, and its value for each measure."""

    title: str
    values: tuple[Any, ...]
    strong: bool


_RUNGS = (
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
_STRONG = frozenset({"shop", "expected", "actual", "unclassified"})


def _ladders(table: Table) -> list[tuple[str, list[str], list[_Rung]]]:
    """The tie-out as one ladder a currency: steps downwards, measures across."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in table.records():
        rows.setdefault(row["currency"], []).append(row)
    return [
        (
            currency,
            [row["measure"] for row in measures],
            [_Rung(title, tuple(row[name] for row in measures), name in _STRONG) for name, title in _RUNGS],
        )
        for currency, measures in rows.items()
    ]


def _totals(table: Table) -> dict[int, Any]:
    """The sums of the summed columns, where every row is in one currency and none is left out."""
    currencies = (
        set(table.column("currency")) if "currency" in {column.name for column in table.columns} else set()
    )
    if table.left_out or len(currencies) > 1 or not table.rows:
        return {}
    return {
        place: sum(row[place] for row in table.rows if row[place] is not None)
        for place, column in enumerate(table.columns)
        if column.summed
    }
