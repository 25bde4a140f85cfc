"""A shop whose names attack: each of the five formats holds the same money as for plain names, and nothing that acts."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from decimal import Decimal
from html import unescape
from pathlib import Path

import duckdb
import openpyxl
import pytest

from ps_qb_pipeline.reports.model import Report
from ps_qb_pipeline.reports.pack import write_pack
from ps_qb_pipeline_tests.recon.world import World

Packs = tuple[dict[str, Path], dict[str, Path]]
MONEY = re.compile(r"-?\d[\d,]*\.\d\d\b")
ACTS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def packs(
    world: World, report: Report, harmless: World, harmless_report: Report, tmp_path_factory: pytest.TempPathFactory
) -> Packs:  # fmt: skip
    """The files of the hostile shop, and those of the same shop with plain names."""
    return (
        write_pack(report, world.con, tmp_path_factory.mktemp("hostile")),
        write_pack(harmless_report, harmless.con, tmp_path_factory.mktemp("plain")),
    )


def in_workbook(pack: dict[str, Path]) -> Counter[tuple[str, str]]:
    """Every number of every sheet."""
    book = openpyxl.load_workbook(pack["workbook"], data_only=True)
    return Counter(
        (sheet.title, str(cell))
        for sheet in book.worksheets
        for row in sheet.iter_rows(values_only=True)
        for cell in row
        if isinstance(cell, (int, float))
    )


def in_page(pack: dict[str, Path]) -> Counter[str]:
    """Every amount of the page, as a reader sees it."""
    text = re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]*>", " ", pack["html"].read_text(), flags=re.DOTALL)
    return Counter(MONEY.findall(unescape(text)))


def in_pdf(pack: dict[str, Path]) -> Counter[str]:
    """Every amount of the printed pages."""
    command = ["pdftotext", "-layout", str(pack["pdf"]), "-"]
    return Counter(MONEY.findall(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def in_detail(pack: dict[str, Path], kind: str) -> dict[tuple[str, str], Decimal]:
    """The sum of every column of numbers, by file."""
    found = {}
    for path in sorted(pack["detail"].glob(f"*.{kind}")):
        columns = duckdb.sql(f"describe select * from '{path}'").fetchall()
        for name, of, *_ in columns:
            if of.startswith(("DECIMAL", "DOUBLE", "BIGINT", "INTEGER")):
                total = duckdb.sql(f"select cast(sum(\"{name}\") as decimal(38, 2)) from '{path}'").fetchall()
                found[path.stem, name] = total[0][0]
    return found


def test_no_sum_of_workbook_page_or_detail_is_another(packs: Packs) -> None:
    """Number by number."""
    hostile, plain = packs
    assert in_workbook(hostile) == in_workbook(plain)
    assert in_page(hostile) == in_page(plain)
    for kind in ("csv", "parquet"):
        assert in_detail(hostile, kind) == in_detail(plain, kind)
        assert ("exceptions", "amount") in in_detail(plain, kind)


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext")
def test_no_sum_of_the_printed_pages_is_another(packs: Packs) -> None:
    """However the long names wrap."""
    hostile, plain = packs
    assert in_pdf(hostile) == in_pdf(plain)
    assert in_pdf(plain)["105.60"]


def test_parquet_holds_text_as_text_without_what_hides_it(packs: Packs) -> None:
    """The names are there, and no character of theirs hides or reorders others."""
    seen = 0
    for path in packs[0]["detail"].glob("*.parquet"):
        names = [
            row[0] for row in duckdb.sql(f"describe select * from '{path}'").fetchall() if row[1] == "VARCHAR"
        ]
        for name in names:
            texts = [row[0] for row in duckdb.sql(f"select \"{name}\" from '{path}'").fetchall() if row[0]]
            seen += sum("HYPERLINK" in text for text in texts)
            assert not [text for text in texts if ACTS.search(text)], (path.name, name)
    assert seen


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext")
def test_the_printed_pages_hold_nothing_that_acts(packs: Packs) -> None:
    """No script, no action on opening, no link that a name of the shop made."""
    raw = packs[0]["pdf"].read_bytes()
    for word in (b"/JavaScript", b"/JS", b"/OpenAction", b"/Launch", b"/EmbeddedFile", b"/URI"):
        assert word not in raw
    command = ["pdftotext", str(packs[0]["pdf"]), "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert not ACTS.search(text.replace("\x0c", ""))
