"""Mutated answers: named errors only, no row dropped, and whatever was read can land."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime

import duckdb

from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.prestashop.rows import Record
from ps_qb_pipeline.warehouse.raw import land
from ps_qb_pipeline_tests.prestashop.fuzz import fuzz


def test_two_thousand_mutated_answers_end_in_rows_or_named_errors_and_the_rows_land() -> None:
    """No mutation crashes the reading, drops a row, or makes a row that DuckDB refuses."""
    kept: list[tuple[str, Record]] = []
    ends = fuzz(2000, seed=7, keep=kept)
    assert sum(ends.values()) == 2000
    assert min(ends["read"], ends["read, with rows set aside"], ends["ShopUnavailable"]) > 50
    by_name: defaultdict[str, list[Record]] = defaultdict(list)
    for name, row in kept:
        by_name[name].append(row)
    con = duckdb.connect()
    for name, rows in by_name.items():
        resource = RESOURCES[name]
        result = land(
            con,
            f"raw.prestashop_{name}",
            resource.columns,
            rows,
            connection="x",
            fetched_at=datetime.now(UTC),
        )
        assert result.read == len(rows) == result.inserted + result.unchanged
