"""Every format says the same, and none of them can be turned against its reader."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ps_qb_pipeline.reports.model import Report, summary
from ps_qb_pipeline.reports.pack import write_pack
from ps_qb_pipeline.reports.pdf import write_pdf
from ps_qb_pipeline_tests.recon.world import World


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
