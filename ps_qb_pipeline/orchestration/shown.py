"""What the pages of the reports show in Dagster: figures over time, tables, pictures.

What lives here: turning a report into metadata. What does not: the figures themselves (``reports``) and
the metadata of tables (``metadata``).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import dagster as dg

from ps_qb_pipeline.orchestration.metadata import Metadata, facts
from ps_qb_pipeline.reports.front import by_currency, front
from ps_qb_pipeline.reports.model import Report
from ps_qb_pipeline.reports.table import Table
from ps_qb_pipeline.reports.words import show

ROWS = 20
"""More would be stored with every run and read by every page."""


def reconciliation(report: Report) -> Metadata:
    """The proof: its figures by currency, tie-out, levels, exceptions and the pictures of both sides."""
    first, figures = front(report), report.figures
    numbers: dict[str, Any] = {
        "headline": first.headline,
        "proof": first.proof,
        "orders": figures.orders,
        "orders_in_books": figures.orders_confirmed,
        "orders_held": figures.held_orders,
        "documents_missing": figures.documents_expected - figures.documents_confirmed,
        "open_exceptions": sum(figures.exceptions.values()) + sum(figures.held.values()),
    }
    for row in by_currency(report):
        currency = row["currency"]
        numbers |= {
            f"sold_{currency}": row["sold"],
            f"in_books_{currency}": row["booked"],
            f"open_difference_{currency}": row["open"],
            f"unexplained_{currency}": figures.unclassified.get(currency, Decimal(0)),
        }
    tables = ("levels", "exceptions_by_code", "closed_periods", "changes")
    return {
        **facts(numbers),
        "tie_out": _tie_out(report),
        **_tables(report, tables),
        **_pictures(report, "sales", "open"),
    }


def profit(report: Report) -> Metadata:
    """What was earned, in home currency: figures, the months, the best products, the pictures."""
    months = report.tables["profit_by_month"].records()
    total = {
        name: sum((row[name] or Decimal(0) for row in months), Decimal(0))
        for name in (
            "gross_sales",
            "discounts",
            "refunds",
            "revenue",
            "covered_revenue",
            "cogs",
            "gross_margin",
        )
    }
    unallocated = sum(
        (abs(row["unallocated"]) for row in report.tables["income_bridge"].records()), Decimal(0)
    )
    numbers: dict[str, Any] = {**total, "unallocated": unallocated}
    if total["covered_revenue"]:
        numbers["margin_percent"] = round(100 * total["gross_margin"] / total["covered_revenue"], 2)
    if total["revenue"]:
        numbers["cost_known_percent"] = round(100 * total["covered_revenue"] / total["revenue"], 2)
    tables = ("profit_by_month", "income_bridge", "profit_by_product", "profit_by_country")
    return {
        **facts(numbers),
        **_tables(report, tables),
        **_pictures(report, "ladder", "products", "countries"),
    }


def _tie_out(report: Report) -> dg.MetadataValue[Any]:
    rows = report.tables["tie_out"].records()
    kept = ("currency", "measure", "shop", "expected", "actual", "difference", "explained", "unclassified")
    records = [dg.TableRecord({name: _cell(row[name]) for name in kept}) for row in rows]
    return dg.MetadataValue.table(records) if records else dg.MetadataValue.text("nothing yet")


def _tables(report: Report, names: tuple[str, ...]) -> Metadata:
    return {
        name: _table(report.tables[name])
        for name in names
        if name in report.tables and report.tables[name].rows
    }


def _table(table: Table) -> dg.MetadataValue[Any]:
    filled = [
        place
        for place in range(len(table.columns))
        if any(row[place] not in (None, "") for row in table.rows)
    ]
    records = [
        dg.TableRecord(
            {table.columns[place].title: show(row[place], table.columns[place].kind) for place in filled}
        )
        for row in table.rows[:ROWS]
    ]
    return dg.MetadataValue.table(
        records, schema=dg.TableSchema([dg.TableColumn(table.columns[place].title) for place in filled])
    )


def _cell(value: Any) -> str:
    return show(value, "money") if isinstance(value, Decimal) else str(value)


def _pictures(report: Report, *names: str) -> Mapping[str, dg.MetadataValue[Any]]:
    """Pictures as SVG inside Markdown, which the UI draws; a quarter of the size of a PNG, with every run."""
    from ps_qb_pipeline.reports.charts import pictures

    drawn = pictures(report)
    return {
        f"chart_{name}": dg.MetadataValue.md(
            f"![{drawn[name].alt}](data:image/svg+xml;base64,{base64.b64encode(drawn[name].svg.encode()).decode()})"
        )
        for name in names
        if name in drawn
    }
