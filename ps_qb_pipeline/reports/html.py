"""The report as one HTML page that needs nothing else: no network, no script, no other file.

What lives here: filling the template. What does not: figures and wording (``model``, ``front``).
Everything that comes from data is escaped by the template; only our own SVG is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ps_qb_pipeline.reports.charts import pictures
from ps_qb_pipeline.reports.front import by_currency, front
from ps_qb_pipeline.reports.ladder import ladders
from ps_qb_pipeline.reports.method import METHOD
from ps_qb_pipeline.reports.model import Report
from ps_qb_pipeline.reports.table import NUMERIC, Column, Table, sums_of
from ps_qb_pipeline.reports.words import show

ROWS_SHOWN = 50
"""How many rows of a table the page shows; the workbook has them all."""

_PARTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "tie-out": ("Does it tie out?", ("tie_out", "open_difference", "levels")),
    "signed": ("What was signed?", ("closed_periods", "changes")),
    "exceptions": ("What is open?", ("exceptions_by_code", "ageing", "exceptions", "duplicates", "twins")),
    "money": (
        "Money and tax",
        (
            "accounts",
            "payouts",
            "three_way",
            "bank",
            "vouchers",
            "tax",
            "ledger_tie_out",
            "cutoff",
            "adjustments",
            "numbering",
        ),
    ),
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
        parts=_parts(report),
        charts=_CHARTS,
        pictures=pictures(report),
        rows_shown=ROWS_SHOWN,
        method=METHOD,
        told={story.order_id for story in report.stories},
    )


def _parts(report: Report) -> dict[str, tuple[str, list[Table]]]:
    """The parts that this report has something for, with their tables."""
    parts = {
        anchor: (title, [report.tables[name] for name in names if name in report.tables])
        for anchor, (title, names) in _PARTS.items()
    }
    return {anchor: part for anchor, part in parts.items() if part[1]}


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
    environment.globals.update(shown_columns=_shown_columns, totals=sums_of, ladders=ladders, numeric=NUMERIC)
    return environment


def _shown_columns(table: Table) -> list[tuple[int, Column]]:
    """The columns that say something: not hidden, and not empty in every row."""
    hidden = _HIDDEN.get(table.name, set())
    return [
        (place, column)
        for place, column in enumerate(table.columns)
        if column.name not in hidden and any(row[place] not in (None, "") for row in table.rows)
    ]
