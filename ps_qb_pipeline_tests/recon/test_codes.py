"""The SQL copy of the code table and the page of exceptions say what the table in Python says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ps_qb_pipeline.accounting.findings import CODES
from ps_qb_pipeline.reports.exception_docs import AMOUNTS, codes_sql, exceptions_page
from ps_qb_pipeline.warehouse.models import models_dir


def test_the_sql_model_is_the_table_of_codes() -> None:
    """Whoever adds a code writes the model anew; nobody edits it."""
    assert (models_dir() / "recon" / "codes.sql").read_text() == codes_sql()


def test_the_page_of_exceptions_is_generated() -> None:
    """The page in docs/ is what the table gives."""
    page = Path(__file__).parents[2] / "docs" / "exceptions.md"
    if not page.exists():
        pytest.skip("the documentation is not beside the tests")
    assert page.read_text() == exceptions_page()


def test_amounts_are_described_for_known_codes_only() -> None:
    """A renamed code cannot leave its description behind."""
    assert AMOUNTS.keys() <= CODES.keys()
