"""Every format says the same, and none of them can be turned against its reader."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import zipfile
from decimal import Decimal
from pathlib import Path

import duckdb
import openpyxl
import pytest

from ps_qb_pipeline.reports.model import Report, summary
from ps_qb_pipeline.reports.pack import write_pack
from ps_qb_pipeline.reports.pdf import write_pdf
from ps_qb_pipeline.reports.workbook import FIRST_ROW, HEAD_ROW
from ps_qb_pipeline_tests.recon.world import World
from ps_qb_pipeline_tests.reports.test_workbook import recalculated


@pytest.fixture(scope="module")
def pack(report: Report, world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The written files."""
    return write_pack(report, world.con, tmp_path_factory.mktemp("pack"))


def test_the_summary_file_is_the_summary(pack: dict[str, Path], report: Report) -> None:
    """JSON with amounts as strings."""
    assert json.loads(pack["summary"].read_text()) == summary(report)


def test_the_pdf_is_the_same_every_time(report: Report, pack: dict[str, Path], tmp_path: Path) -> None:
    """A signed report can be made again, byte by byte."""
    again = write_pdf(report, tmp_path / "again.pdf")
    assert again.read_bytes() == pack["pdf"].read_bytes()
    assert pack["pdf"].read_bytes().startswith(b"%PDF")


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext")
def test_the_pdf_says_what_the_summary_says(pack: dict[str, Path]) -> None:
    """Open difference, codes and the hostile name as plain text."""
    text = subprocess.run(
        ["pdftotext", "-layout", str(pack["pdf"]), "-"], capture_output=True, text=True, check=True
    ).stdout
    for words in ("105.60", "QBO_DELETED", "Prepared by", "Unexplained (must be 0.00)", "<script>"):
        assert words in text


def test_csv_has_no_formula(pack: dict[str, Path]) -> None:
    """Texts that begin like a formula are marked; numbers stay numbers."""
    cells = [
        cell
        for path in pack["detail"].glob("*.csv")
        for row in csv.reader(path.read_text(encoding="utf-8").splitlines())
        for cell in row
    ]
    assert [cell for cell in cells if cell.startswith(("'@", "'-", "'="))], "hostile texts are in the detail"
    assert [cell for cell in cells if cell.lstrip()[:1] in {"=", "+", "@"}] == []
    assert all(Decimal(cell).is_finite() for cell in cells if cell.startswith("-"))


def test_csv_and_parquet_have_the_same_sums(pack: dict[str, Path], report: Report) -> None:
    """The exceptions of either file sum to the open difference."""
    wanted = sum(report.figures.open_difference.values())
    for kind in ("csv", "parquet"):
        path = pack["detail"] / f"exceptions.{kind}"
        total = duckdb.sql(f"select sum(amount) from '{path}'").fetchall()[0][0]
        assert Decimal(str(total)).quantize(Decimal("0.01")) == wanted


def test_a_hostile_name_changes_no_sum(report: Report, harmless_report: Report) -> None:
    """Every figure and every sum of every table is that of the same shop with plain names."""
    assert summary(report) == summary(harmless_report)
    for name, table in harmless_report.tables.items():
        other = report.tables[name]
        assert len(other.rows) == len(table.rows), name
        for place, column in enumerate(table.columns):
            if column.kind in {"money", "integer", "quantity"}:
                sums = [sum(row[place] or 0 for row in one.rows) for one in (table, other)]
                assert sums[0] == sums[1], (name, column.name)


def test_no_format_carries_a_control_character(pack: dict[str, Path]) -> None:
    """Page, workbook and CSV files hold none of the characters that hide or reorder text."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in pack["detail"].glob("*.csv")}
    texts["page"] = pack["html"].read_text(encoding="utf-8")
    with zipfile.ZipFile(pack["workbook"]) as book:
        texts["workbook"] = "".join(
            book.read(name).decode("utf-8") for name in book.namelist() if name.endswith(".xml")
        )
    assert all("HYPERLINK" in texts[name] for name in ("page", "workbook", "profit_lines.csv"))
    found = {
        name
        for name, text in texts.items()
        if re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e]", text)
    }
    assert found == set()


@pytest.mark.skipif(
    shutil.which("soffice") is None or shutil.which("pdftotext") is None,
    reason="LibreOffice and pdftotext are absent: nobody recalculated the workbook",
)
def test_the_recalculated_workbook_the_pdf_and_the_json_agree(
    pack: dict[str, Path], report: Report, tmp_path: Path
) -> None:
    """LibreOffice trusts no stored value and arrives at the totals of the PDF and of the summary."""
    again = openpyxl.load_workbook(recalculated(pack["workbook"], tmp_path), data_only=True)
    rows = {
        row[0].value: [cell.value for cell in row[1:4]] for row in again["Cover"].iter_rows() if row[0].value
    }
    text = subprocess.run(
        ["pdftotext", "-layout", str(pack["pdf"]), "-"], capture_output=True, text=True, check=True
    ).stdout
    figures = json.loads(pack["summary"].read_text())
    assert figures["open_difference"] == {"EUR": "105.60", "USD": "0.00"}
    for currency, amount in figures["open_difference"].items():
        open_difference, held, unexplained = (
            Decimal(str(value)).quantize(Decimal("0.01")) for value in rows[currency]
        )
        assert str(open_difference) == amount
        assert str(held) == figures["open_held"][currency]
        assert str(unexplained) == figures["unclassified"][currency] == "0.00"
        assert re.search(rf"{currency}\s+\d+\s+{re.escape(amount)}\s", text), (currency, amount)
    ladder = report.tables["tie_out"].records()
    sheet = again["Tie-out"]
    heads = {cell.value: cell.column for cell in sheet[HEAD_ROW + 1]}
    for number, row in enumerate(ladder, FIRST_ROW + 1):
        for title, name in (("Shop less QuickBooks", "difference"), ("Explained", "explained")):
            assert Decimal(str(sheet.cell(number, heads[title]).value)).quantize(Decimal("0.01")) == row[name]
        assert f"{row['actual']:,.2f}" in text
