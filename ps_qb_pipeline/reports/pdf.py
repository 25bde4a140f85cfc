"""The report as a PDF for signature.

What lives here: turning the model into the data of the typst template. What does not: figures and
wording. The same report gives the same bytes: no clock and no font of the machine takes part.
"""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from typing import Any

from ps_qb_pipeline.reports.charts import pictures
from ps_qb_pipeline.reports.front import front
from ps_qb_pipeline.reports.ladder import ladders
from ps_qb_pipeline.reports.method import METHOD
from ps_qb_pipeline.reports.model import Report
from ps_qb_pipeline.reports.table import NUMERIC, Table, sums_of
from ps_qb_pipeline.reports.words import clean, show

TEMPLATE = Path(__file__).parent / "templates" / "report.typ"

NOTHING = "\N{EN DASH}"

ROWS_PRINTED = 120
"""How many rows of a table are printed; the workbook and the detail files have them all."""

FEWER_PRINTED = {"numbering": 30, "notes_by_code": 60}
"""Lists that nobody signs row by row."""

_PRINTED = (
    "levels",
    "closed_periods",
    "changes",
    "open_difference",
    "exceptions_by_code",
    "ageing",
    "exceptions",
    "duplicates",
    "twins",
    "accounts",
    "payouts",
    "vouchers",
    "tax",
    "ledger_tie_out",
    "income_bridge",
    "profit_by_month",
    "profit_by_product",
    "profit_by_country",
    "cutoff",
    "numbering",
    "adjustments",
    "notes_by_code",
    "conservation",
)
_LEFT_OUT = {
    "exceptions": {"id", "age_bucket", "books_entity", "reference", "message", "event_date", "severity"},
    "exceptions_by_code": {"severity"},
}
_WIDE = {"compares", "meaning", "message", "action", "expected", "actual", "product_name", "account"}


def write_pdf(report: Report, path: Path) -> Path:
    """Writes the PDF to ``path`` and gives it back."""
    import typst

    path.parent.mkdir(parents=True, exist_ok=True)
    typst.compile(
        str(TEMPLATE),
        output=str(path),
        ignore_system_fonts=True,
        sys_inputs={"report": json.dumps(_data(report), ensure_ascii=False)},
        timestamp=int(report.cover.as_of.astimezone(UTC).timestamp()),
    )
    return path


def _data(report: Report) -> dict[str, Any]:
    cover, first = report.cover, front(report)
    return {
        "title": f"Reconciliation of {clean(cover.shop, 80)}",
        "headline": first.headline,
        "as_of": f"{cover.as_of:%Y-%m-%d %H:%M %Z}",
        "hash_line": " · ".join(
            part
            for part in (
                f"Run {clean(cover.run_id, 40)}" if cover.run_id else "",
                f"Snapshot {cover.snapshot}" if cover.snapshot else "",
                f"version {cover.version}",
            )
            if part
        ),
        "facts": _facts(report),
        "status": cover.status,
        "signatures": [
            ["Prepared by", clean(cover.preparer, 60)],
            ["Approved by", clean(cover.approver, 60)],
        ],
        "whole": report.whole,
        "proof": first.proof,
        "ladders": [
            {
                "currency": currency,
                "measures": [measure.capitalize() for measure in measures],
                "steps": [
                    {
                        "title": rung.title,
                        "strong": rung.strong,
                        "values": [
                            show(value, "money") if value or rung.strong else NOTHING for value in rung.values
                        ],
                    }
                    for rung in rungs
                ],
            }
            for currency, measures, rungs in ladders(report.tables["tie_out"])
        ],
        "tasks": [
            [
                f"{task.amount} in {task.count:,} cases" if task.count > 1 else task.amount,
                task.meaning,
                task.action,
                f"({task.owner}; {task.urgency}; {task.code})",
            ]
            for task in first.tasks
        ],
        "pictures": [
            {"title": picture.title, "alt": picture.alt, "svg": picture.svg}
            for name, picture in pictures(report).items()
            if name in {"sales", "open", "ladder"}
        ],
        "signed_on": f"{cover.as_of:%Y-%m-%d}" if cover.approver else "",
        "tables": [_table(report.tables[name]) for name in _PRINTED if name in report.tables],
        "method": list(METHOD),
    }


def _facts(report: Report) -> list[list[str]]:
    cover, figures = report.cover, report.figures
    facts = [
        ("Shop", cover.shop),
        ("QuickBooks company", cover.company),
        ("Period", cover.period or "everything until now"),
        ("Home currency", cover.home_currency),
        ("Data as of", f"{cover.as_of:%Y-%m-%d %H:%M %Z}"),
        ("Run", cover.run_id),
        ("Snapshot", cover.snapshot),
        ("Orders in the shop", f"{figures.orders:,}"),
        ("Orders to be booked", f"{figures.postable + figures.held_orders:,}"),
        ("Orders in QuickBooks", f"{figures.orders_confirmed:,}"),
        ("Documents in QuickBooks", f"{figures.documents_confirmed:,} of {figures.documents_expected:,}"),
    ]
    return [[label, clean(value, 100)] for label, value in facts if value]


def _table(table: Table) -> dict[str, Any]:
    left_out = _LEFT_OUT.get(table.name, set())
    places = [
        place
        for place, column in enumerate(table.columns)
        if column.name not in left_out and any(row[place] not in (None, "") for row in table.rows)
    ]
    columns = [table.columns[place] for place in places]
    sums = sums_of(table)
    printed = table.rows[: FEWER_PRINTED.get(table.name, ROWS_PRINTED)]
    shown = len(printed)
    every = len(table.rows) + table.left_out
    return {
        "title": table.title,
        "intro": table.intro,
        "size": 8.5 if len(columns) <= 9 else 7,
        "heads": [column.title for column in columns],
        "right": [column.kind in NUMERIC for column in columns],
        "widths": [2 if column.name in _WIDE else 0 for column in columns],
        "rows": [
            [clean(show(row[place], column.kind), 90) for place, column in zip(places, columns, strict=True)]
            for row in printed
        ],
        "totals": [
            show(sums[place], column.kind) if place in sums else ("Total" if number == 0 else "")
            for number, (place, column) in enumerate(zip(places, columns, strict=True))
        ]
        if sums and len(table.rows) > 1
        else [],
        "more": f"{shown:,} of {every:,} rows; the workbook has the rest." if every > shown else "",
    }
