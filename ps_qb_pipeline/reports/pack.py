"""The report pack: every format of one report in one folder.

What lives here: which files a pack holds and what they are called. What does not: their content.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from ps_qb_pipeline.reports.detail import write_detail
from ps_qb_pipeline.reports.html import write_html
from ps_qb_pipeline.reports.model import Report, summary
from ps_qb_pipeline.reports.pdf import write_pdf
from ps_qb_pipeline.reports.workbook import write_workbook


def write_pack(report: Report, con: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, Path]:
    """Writes page, workbook, PDF, summary and detail files of ``report`` into ``folder``.

    ``con`` is the warehouse that the report was read from. Gives the files by what they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = folder / "summary.json"
    figures.write_text(json.dumps(summary(report), indent=2) + "\n", encoding="utf-8")
    written = {
        "html": write_html(report, folder / "report.html"),
        "workbook": write_workbook(report, folder / "report.xlsx"),
        "pdf": write_pdf(report, folder / "report.pdf"),
        "summary": figures,
        "detail": folder / "detail",
    }
    write_detail(con, folder / "detail")
    return written
