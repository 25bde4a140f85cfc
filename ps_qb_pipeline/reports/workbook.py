"""The report as an XLSX workbook: typed cells, live totals, filters, frozen panes.

What lives here: laying out the tables as sheets. What does not: figures (``model``); every formula
repeats a figure that the report has computed, which stands in the cell until it is recalculated.
Text is always written as text, so no name in the shop can become a formula or a link.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ps_qb_pipeline.reports.front import Front, front
from ps_qb_pipeline.reports.model import Report
from ps_qb_pipeline.reports.table import Column, Table, of_one_currency
from ps_qb_pipeline.reports.words import clean, show

TITLE_ROW, INTRO_ROW, TOTAL_ROW, HEAD_ROW, FIRST_ROW = 0, 1, 2, 3, 4
"""Every sheet has the same five parts, so that totals and headings stay in view above the data."""

LONGEST_CELL = 1000
LINE_HEIGHT = 13
MOST_LINES = 12
WIDEST = 40
SHEET_ROWS = 1_048_576 - FIRST_ROW

_COVER_WIDTHS = (34, 40, 40, 26, 12, 26)

_HIDDEN = frozenset({"id", "age_bucket"})
"""Columns for machines: in the file, out of sight."""

_WORDS = frozenset({"flag", "owner", "severity"})

_FORMATS = {
    "money": "#,##0.00;[Red]-#,##0.00",
    "integer": "#,##0",
    "id": "0",
    "quantity": "#,##0.###",
    "rate": "0.######",
    "percent": "0.0%",
    "date": "yyyy-mm-dd",
    "month": "yyyy-mm",
}

_LIVE: Mapping[str, Mapping[str, str]] = {
    "tie_out": {
        "difference": "{shop}-{actual}",
        "explained": "{before_go_live}+{not_postable}+{held}+{restated}+{missing}-{differences}-{extras}",
    },
    "accounts": {
        "closing": "{opening}+{received}-{returned}+{others}",
        "difference": "{received}-{returned}-{expected_movement}",
    },
    "ledger_tie_out": {"difference": "{ours}-{expected}", "ledger_total": "{ours}+{others}"},
    "income_bridge": {
        "unallocated": "ROUND({books_income}-{report_income}-{missing}-{differences}-{rounding}-{surplus}-{others},2)"
    },
    "tax": {"difference": "{actual_tax}-{expected_tax}"},
    "conservation": {"remainder": "{amount}-{classed_amount}"},
}
"""Columns that are formulas of their row's other columns."""


@dataclass
class _Book:
    workbook: Any
    formats: dict[str, Any] = field(default_factory=dict)
    sheets: dict[str, str] = field(default_factory=dict)

    def format(self, name: str, **properties: Any) -> Any:
        if name not in self.formats:
            self.formats[name] = self.workbook.add_format(
                {"font_name": "Arial", "font_size": 10, **properties}
            )
        return self.formats[name]

    def head(self, kind: str) -> Any:
        right = kind in _FORMATS and kind not in {"date", "month"}
        name = "head right" if right else "head"
        align = {"align": "right"} if right else {"align": "left", "indent": 1}
        return self.format(
            name, bold=True, text_wrap=True, valign="top", bg_color="#E8EDF2", bottom=1, **align
        )

    def cell(self, kind: str, *, bold: bool = False) -> Any:
        properties: dict[str, Any] = {"valign": "top"}
        if kind == "text" or kind in _WORDS:
            properties |= {"text_wrap": True, "align": "left", "indent": 1}
        if kind in _FORMATS:
            properties["num_format"] = _FORMATS[kind]
        if bold:
            properties |= {"bold": True, "bottom": 1}
        return self.format(f"{kind}{'!' if bold else ''}", **properties)


def write_workbook(report: Report, path: Path) -> Path:
    """Writes the workbook to ``path`` and gives it back. One sheet a table, a cover in front."""
    import xlsxwriter

    path.parent.mkdir(parents=True, exist_ok=True)
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "default_date_format": "yyyy-mm-dd",
    }
    with xlsxwriter.Workbook(str(path), options) as workbook:
        book = _Book(workbook)
        tables = [table for table in report.tables.values() if table.rows or table.name in _ALWAYS]
        book.sheets = {table.name: _sheet_name(table.title) for table in tables}
        workbook.set_properties(
            {
                "title": f"Reconciliation {report.cover.connection}",
                "company": clean(report.cover.company),
                "created": report.cover.as_of.replace(tzinfo=None),
            }
        )
        _cover(book, report)
        for table in tables:
            _sheet(book, table)
    return path


_ALWAYS = frozenset({"tie_out", "open_difference", "exceptions", "conservation"})


def _sheet_name(title: str) -> str:
    return "".join(letter for letter in title.partition(":")[0] if letter not in "[]:*?/\\'")[:31]


def _cover(book: _Book, report: Report) -> None:
    sheet = book.workbook.add_worksheet("Cover")
    first, cover, figures = front(report), report.cover, report.figures
    for place, width in enumerate(_COVER_WIDTHS):
        sheet.set_column(place, place, width)
    sheet.hide_gridlines(2)
    facts: list[tuple[str, Any]] = [
        ("Shop", cover.shop),
        ("QuickBooks company", cover.company),
        ("Home currency", cover.home_currency),
        ("Data as of", f"{cover.as_of:%Y-%m-%d %H:%M %Z}"),
        ("Run", cover.run_id),
        ("Version", cover.version),
        ("Status", cover.status),
        ("Period", cover.period or "everything until now"),
        ("Prepared by", cover.preparer),
        ("Approved by", cover.approver),
        ("Snapshot", cover.snapshot),
        ("Orders in the shop", figures.orders),
        ("Orders to be booked", figures.postable + figures.held_orders),
        ("Orders in QuickBooks", figures.orders_confirmed),
        ("Orders held back", figures.held_orders),
        *((f"Orders not to be booked: {reason}", count) for reason, count in figures.not_postable.items()),
        ("Documents expected", figures.documents_expected),
        ("Documents in QuickBooks", figures.documents_confirmed),
    ]
    sheet.write_string(
        0, 0, f"Reconciliation of {clean(cover.shop)}", book.format("title", bold=True, font_size=16)
    )
    sheet.write_string(1, 0, first.headline, book.format("lead", font_size=12))
    sheet.write_string(2, 0, first.proof, book.format("lead"))
    row = 4
    for label, value in facts:
        if value == "":
            continue
        sheet.write_string(row, 0, clean(label), book.format("label", bold=True))
        if isinstance(value, int):
            sheet.write_number(row, 1, value, book.format("count", num_format="#,##0", align="left"))
        else:
            sheet.write_string(row, 1, clean(value), book.format("plain"))
        row += 1
    row = _cover_open(book, sheet, row + 1, report)
    _cover_tasks(book, sheet, row + 1, first)
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.set_footer("&LPrepared by, date:&CApproved by, date:&RPage &P of &N")


def _cover_tasks(book: _Book, sheet: Any, row: int, first: Front) -> None:
    """What to do, one cause a row: money, cases, what happened, the way out, for whom."""
    sheet.write_string(row, 0, "What to do", book.format("heading", bold=True, font_size=12))
    titles = ("Money", "What happened", "To do", "For", "Cases", "Code")
    for place, title in enumerate(titles):
        kind = "small head right" if title == "Cases" else "small head"
        align: dict[str, Any] = {"align": "right"} if title == "Cases" else {}
        if title == "Code":
            kind, align = "small head indented", {"indent": 1}
        sheet.write_string(row + 1, place, title, book.format(kind, bold=True, bottom=1, **align))
    wrapped = book.format("wrapped", text_wrap=True, valign="top")
    for number, task in enumerate(first.tasks, row + 2):
        texts = (task.amount, task.meaning, task.action, f"{task.owner}; {task.urgency}")
        for place, text in enumerate(texts):
            sheet.write_string(number, place, clean(text, LONGEST_CELL), wrapped)
        sheet.write_number(number, 4, task.count, book.cell("integer"))
        sheet.write_string(number, 5, task.code, book.cell("text"))
        lines = max(-(-len(text) // (width - 2)) for text, width in zip(texts, _COVER_WIDTHS, strict=False))
        sheet.set_row(number, LINE_HEIGHT * lines)
    if first.more_tasks:
        more = f"and {first.more_tasks} more on the sheet of exceptions by cause"
        sheet.write_string(row + 2 + len(first.tasks), 0, more, book.format("plain"))


def _cover_open(book: _Book, sheet: Any, row: int, report: Report) -> int:
    for place, title in enumerate(("By currency", "Open difference", "Of it held back", "Unexplained")):
        kind = "small head right" if place else "small head"
        align = {"align": "right"} if place else {}
        sheet.write_string(row, place, title, book.format(kind, bold=True, bottom=1, **align))
    exceptions, tie_out = report.tables["exceptions"], report.tables["tie_out"]
    figures = report.figures
    for currency, amount in sorted(figures.open_difference.items()):
        row += 1
        sheet.write_string(row, 0, currency, book.cell("text"))
        if exceptions.left_out or not exceptions.rows:
            sheet.write_number(row, 1, float(amount), book.cell("money"))
        else:
            wanted = _sum_by_currency(book, exceptions, "amount", row)
            sheet.write_formula(row, 1, wanted, book.cell("money"), float(amount))
        sheet.write_number(row, 2, float(figures.open_held.get(currency, 0)), book.cell("money"))
        unclassified = float(figures.unclassified.get(currency, 0))
        if tie_out.rows:
            wanted = _sum_by_currency(book, tie_out, "unclassified", row)
            sheet.write_formula(row, 3, wanted, book.cell("money"), unclassified)
        else:
            sheet.write_number(row, 3, unclassified, book.cell("money"))
    return row + 1


def _sum_by_currency(book: _Book, table: Table, column: str, row: int) -> str:
    from xlsxwriter.utility import xl_rowcol_to_cell

    names = [entry.name for entry in table.columns]
    ranges = [
        f"'{book.sheets[table.name]}'!{_range(names.index(name), len(table.rows))}"
        for name in (column, "currency")
    ]
    return f"=SUMIFS({ranges[0]},{ranges[1]},{xl_rowcol_to_cell(row, 0)})"


def _range(column: int, rows: int) -> str:
    from xlsxwriter.utility import xl_range_abs

    return str(xl_range_abs(FIRST_ROW, column, FIRST_ROW + max(rows, 1) - 1, column))


def _sheet(book: _Book, table: Table) -> None:
    sheet = book.workbook.add_worksheet(book.sheets[table.name])
    rows = table.rows[:SHEET_ROWS]
    widths = [
        _width(column, (row[place] for row in rows[:200])) for place, column in enumerate(table.columns)
    ]
    for place, column in enumerate(table.columns):
        hidden = {"hidden": True} if column.name in _HIDDEN else {}
        sheet.set_column(place, place, widths[place], None, hidden)
    sheet.write_string(TITLE_ROW, 0, table.title, book.format("title", bold=True, font_size=16))
    left_out = table.left_out + len(table.rows) - len(rows)
    more = f" {left_out:,} further rows are not in this workbook." if left_out else ""
    sheet.write_string(INTRO_ROW, 0, table.intro + more, book.format("intro", italic=True))
    _totals(book, sheet, table, len(rows))
    sheet.set_row(HEAD_ROW, 32)
    for place, column in enumerate(table.columns):
        sheet.write_string(HEAD_ROW, place, column.title, book.head(column.kind))
    live = _LIVE.get(table.name, {})
    names = [column.name for column in table.columns]
    for number, row in enumerate(rows, FIRST_ROW):
        lines = _lines(table, row, widths)
        if lines > 1:
            sheet.set_row(number, LINE_HEIGHT * lines)
        for place, (column, value) in enumerate(zip(table.columns, row, strict=True)):
            if column.name in live and value is not None:
                cells = {name: _cell(number, names.index(name)) for name in names}
                formula = "=" + live[column.name].format(**cells)
                sheet.write_formula(number, place, formula, book.cell(column.kind), float(value))
            else:
                _write(book, sheet, number, place, value, column.kind)
    sheet.freeze_panes(FIRST_ROW, _frozen(table))
    sheet.autofilter(HEAD_ROW, 0, HEAD_ROW + max(len(rows), 1), len(table.columns) - 1)
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(HEAD_ROW)
    sheet.set_footer("&L&A&RPage &P of &N")


def _totals(book: _Book, sheet: Any, table: Table, count: int) -> None:
    from xlsxwriter.utility import xl_range

    summed = [(place, column) for place, column in enumerate(table.columns) if column.summed]
    if not summed or not count:
        return
    if not of_one_currency(table):
        say = "Amounts are in several currencies; the cover and the sheet Open difference have the sums of each."
        sheet.write_string(TOTAL_ROW, 0, say, book.format("intro", italic=True))
        return
    sheet.write_string(TOTAL_ROW, 0, "Total of the rows shown", book.format("total", bold=True, bottom=1))
    for place, column in summed:
        total = sum((row[place] for row in table.rows[:count] if row[place] is not None), Decimal(0))
        formula = f"=SUBTOTAL(109,{xl_range(FIRST_ROW, place, FIRST_ROW + count - 1, place)})"
        sheet.write_formula(TOTAL_ROW, place, formula, book.cell(column.kind, bold=True), float(total))


def _cell(row: int, column: int) -> str:
    from xlsxwriter.utility import xl_rowcol_to_cell

    return str(xl_rowcol_to_cell(row, column))


def _frozen(table: Table) -> int:
    return 1 if len(table.columns) > 8 else 0


def _write(book: _Book, sheet: Any, row: int, place: int, value: Any, kind: str) -> None:
    if value is None or value == "":
        return
    if kind in _WORDS:
        sheet.write_string(row, place, show(value, kind), book.cell("text"))
    elif isinstance(value, int | Decimal | float):
        sheet.write_number(row, place, float(value), book.cell(kind))
    elif isinstance(value, datetime):
        sheet.write_datetime(row, place, value.replace(tzinfo=None), book.cell("date"))
    elif isinstance(value, date):
        sheet.write_datetime(row, place, datetime(value.year, value.month, value.day), book.cell(kind))  # noqa: DTZ001
    else:
        sheet.write_string(row, place, clean(str(value), LONGEST_CELL), book.cell("text"))


def _lines(table: Table, row: tuple[Any, ...], widths: Sequence[float]) -> int:
    """How many lines the row's longest wrapped text needs; not every program finds that out by itself."""
    texts = (
        -(-len(value) // max(1, int(width) - 2))
        for column, value, width in zip(table.columns, row, widths, strict=True)
        if column.kind == "text" and isinstance(value, str) and column.name not in _HIDDEN
    )
    return min(MOST_LINES, max(texts, default=1))


def _width(column: Column, values: Iterable[Any]) -> float:
    longest = max((len(show(value, column.kind)) for value in values if value is not None), default=0)
    least = 12 if column.kind == "money" else 8
    return float(min(WIDEST, max(least, longest + 2, min(len(column.title) + 3, 14))))
