"""The workbook has typed cells and live totals, and no name of the shop is ever a formula."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from ps_qb_pipeline.reports.model import Report
from ps_qb_pipeline.reports.workbook import FIRST_ROW, HEAD_ROW, TOTAL_ROW, write_workbook


@pytest.fixture(scope="module")
def path(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The written file."""
    return write_workbook(report, tmp_path_factory.mktemp("book") / "report.xlsx")


@pytest.fixture(scope="module")
def book(path: Path) -> Any:
    """The workbook with its formulas."""
    return openpyxl.load_workbook(path)


@pytest.fixture(scope="module")
def values(path: Path) -> Any:
    """The workbook with the values that stand in the cells before any recalculation."""
    return openpyxl.load_workbook(path, data_only=True)


def column(sheet: Any, title: str) -> int:
    """The number of the column with this heading."""
    return next(cell.column for cell in sheet[HEAD_ROW + 1] if cell.value == title)


def test_only_our_own_formulas_are_formulas(book: Any) -> None:
    """Cells that calculate are sums and differences of cells; names that begin with = + - @ are text."""
    for sheet in book.worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                if cell.data_type == "f":
                    assert re.fullmatch(
                        r"=(SUBTOTAL\(109,|SUMIFS\()?[A-Z0-9$:,!'+\-() a-z]+", str(cell.value)
                    )
                    assert "HYPERLINK" not in str(cell.value)
                assert cell.hyperlink is None
    texts = {cell.value for row in book["Cover"].iter_rows() for cell in row}
    assert any(str(text).startswith("=HYPERLINK") for text in texts)


def test_amounts_dates_and_ids_are_typed(values: Any) -> None:
    """Money is a number with two places, a date is a date, an id is a whole number without separators."""
    sheet = values["Line detail"]
    row = FIRST_ROW + 1
    money, day, order = (sheet.cell(row, column(sheet, title)) for title in ("Total", "Date", "Order"))
    assert (money.data_type, money.number_format) == ("n", "#,##0.00;[Red]-#,##0.00")
    assert isinstance(day.value, datetime)
    assert (order.value, order.number_format) == (1004, "0")


def test_totals_are_live_and_right(book: Any, values: Any, report: Report) -> None:
    """The total is a formula over the rows below, and its stored value is the report's own sum."""
    amounts = report.tables["exceptions"].column("amount")
    place = column(book["Exceptions"], "Amount")
    formula = book["Exceptions"].cell(TOTAL_ROW + 1, place).value
    assert formula.startswith("=SUBTOTAL(109,")
    assert values["Exceptions"].cell(TOTAL_ROW + 1, place).value == float(sum(amounts))


def test_the_cover_says_what_the_summary_says(values: Any) -> None:
    """Open difference by currency, from the list of exceptions."""
    rows = {
        row[0].value: [cell.value for cell in row[1:4]] for row in values["Cover"].iter_rows() if row[0].value
    }
    assert rows["EUR"] == [105.6, 30, 0]
    assert rows["USD"] == [0, 0, 0]


def test_every_sheet_can_be_filtered_and_keeps_its_headings(book: Any) -> None:
    """Filters on the headings, panes frozen below them, no merged cells."""
    for sheet in book.worksheets[1:]:
        assert sheet.auto_filter.ref
        assert sheet.freeze_panes.endswith(str(FIRST_ROW + 1))
        assert not sheet.merged_cells.ranges


RECALCULATE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>0</value></prop></item>
</oor:items>
"""


def recalculated(path: Path, folder: Path) -> Path:
    """The workbook as LibreOffice writes it after computing every formula anew."""
    profile = folder / "profile" / "user"
    profile.mkdir(parents=True)
    (profile / "registrymodifications.xcu").write_text(RECALCULATE)
    subprocess.run(
        ["soffice", f"-env:UserInstallation={profile.parent.as_uri()}", "--headless", "--convert-to", "xlsx",
         "--outdir", str(folder), str(path)],
        check=True, capture_output=True, timeout=180,
    )  # fmt: skip
    return folder / path.name


@pytest.mark.skipif(
    shutil.which("soffice") is None, reason="LibreOffice is absent: nobody recalculated the workbook"
)
def test_recalculation_gives_the_same_figures(path: Path, book: Any, values: Any, tmp_path: Path) -> None:
    """LibreOffice, told to trust no stored value, arrives at every figure that stands in the file."""
    again = openpyxl.load_workbook(recalculated(path, tmp_path), data_only=True)
    formulas = [
        (sheet.title, cell.coordinate)
        for sheet in book.worksheets
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "f"
    ]
    assert len(formulas) > 50
    for title, place in formulas:
        assert again[title][place].value == pytest.approx(values[title][place].value or 0, abs=0.005), (
            title,
            place,
        )


def test_amounts_of_several_currencies_are_not_added(book: Any) -> None:
    """The line detail has euros and dollars: no total stands over it, and the sheet says where the sums are."""
    sheet = book["Line detail"]
    assert "several currencies" in sheet.cell(TOTAL_ROW + 1, 1).value
    assert [cell.value for cell in sheet[TOTAL_ROW + 1][1:] if cell.value is not None] == []
