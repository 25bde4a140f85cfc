"""Every exception stands on one level of the proof, and a level says whether it agrees."""

from __future__ import annotations

from collections import Counter

from ps_qb_pipeline.accounting.findings import CODES
from ps_qb_pipeline.reports.levels import LEVEL_OF, LEVELS
from ps_qb_pipeline.reports.model import Report


def test_every_code_that_may_be_open_has_one_level() -> None:
    """A new code cannot be forgotten, and none is counted twice."""
    counted = Counter(code for level in LEVELS for code in level.codes)
    assert {code for code, count in counted.items() if count > 1} == set()
    assert {code for code, entry in CODES.items() if entry.severity != "I"} - counted.keys() == set()
    assert counted.keys() - CODES.keys() == set()


def test_the_levels_count_what_the_exceptions_count(report: Report) -> None:
    """The deleted, the edited and the held stand on their own levels; what has no data says so."""
    rows = {row["level"]: row for row in report.tables["levels"].records()}
    counted: Counter[str] = Counter()
    for row in report.tables["exceptions_by_code"].records():
        counted[LEVEL_OF[row["code"]]] += row["count"]
    assert {level: row["open"] for level, row in rows.items() if row["open"]} == dict(counted)
    for row in rows.values():
        silent = not (row["compared"] or row["open"] or row["breaks"])
        assert (row["verdict"] == "nothing to compare") == silent, row
    assert rows["L8"]["verdict"] == "open", "the entry made by hand"
    assert rows["L2"]["verdict"] == "open"
    assert sum(row["open"] for row in rows.values()) == len(report.tables["exceptions"].rows)
