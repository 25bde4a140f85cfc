"""Which months are read from QuickBooks' own reports, and which are shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ps_qb_pipeline.errors import BooksUnavailable
from ps_qb_pipeline.orchestration import reporting
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.orchestration.steps import prepare
from ps_qb_pipeline.reports.model import Report, read_report
from ps_qb_pipeline.settings import PACKAGE_DIR, Settings, load_connection
from ps_qb_pipeline_tests.recon.world import World
from ps_qb_pipeline_tests.reports.test_books_period import Books

NOW = datetime(2026, 2, 10, 8, 0, tzinfo=UTC)


class _Clock:
    boot = "test"

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nothing waits {seconds} s here")


class _AnyMonth(Books):
    """The three reports of January for January, and no report of any other month."""

    def report(self, name: str, **params: str) -> dict[str, Any]:
        if params["start_date"] != "2026-01-01":
            raise BooksUnavailable("QuickBooks answered 503")
        return super().report(name, **params)


@dataclass(frozen=True)
class _Runtime(Runtime):
    """Real files, and the books of the test."""

    asked: list[str] = field(default_factory=list)

    @contextmanager
    def books(self, *_: Any) -> Iterator[Any]:  # type: ignore[override]
        self.asked.append("books")
        yield _AnyMonth()


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[_Runtime]:
    """January's sale in a warehouse of its own."""
    connection = load_connection(PACKAGE_DIR / "defs" / "boutique" / "defs.yaml")
    runtime = _Runtime(Settings(home=tmp_path), connection, clock=_Clock())
    path = runtime.settings.warehouse_path(runtime.name)
    path.parent.mkdir(parents=True)
    world = World(con=duckdb.connect(str(path)))
    world.sale(1001)
    prepare(world.con)
    world.con.close()
    yield runtime
    runtime.engine.dispose()


def _book_in_january(runtime: Runtime) -> None:
    with runtime.warehouse("book") as con:
        con.execute(
            "insert into raw.quickbooks_sales_receipts (connection, id, txn_date, payload, hash, fetched_at, landing_id)"
            " values ('boutique', '900', date '2026-01-20', '{}', 'h', $at, 900)",
            {"at": datetime.now(UTC)},
        )


def _report(runtime: Runtime) -> Report:
    with runtime.warehouse("report") as con:
        World(con=con, filled=True).run()
        return reporting.without_stale(runtime, con, read_report(con, as_of=NOW, stories=0))


def test_a_month_is_read_again_only_when_something_was_booked_in_it(runtime: _Runtime) -> None:
    """The first look reads; the next asks nothing; a document of the month makes it read again."""
    first = reporting.land_periods(runtime)
    assert [one.period for one in first.landed] == ["2026-01"]
    assert first.failed == {"2026-02": "QuickBooks answered 503"}
    asked = len(runtime.asked)
    assert reporting.land_periods(runtime).unchanged == ["2026-01"]
    assert len(runtime.asked) == asked + 1, "only the month that could not be read is asked for again"
    _book_in_january(runtime)
    assert [one.period for one in reporting.land_periods(runtime).landed] == ["2026-01"]
    assert [one.period for one in reporting.land_periods(runtime, everything=True).landed] == ["2026-01"]


def test_a_month_that_has_moved_since_is_left_out_and_named(runtime: _Runtime) -> None:
    """What was booked after QuickBooks' reports were read is no difference."""
    reporting.land_periods(runtime)
    table = _report(runtime).tables["ledger_tie_out"]
    assert set(table.column("month")) == {date(2026, 1, 1)}
    _book_in_january(runtime)
    moved = _report(runtime)
    assert moved.tables["ledger_tie_out"].rows == ()
    assert "because documents were booked since: 2026-01" in moved.tables["ledger_tie_out"].intro
    assert {row["level"]: row["compared"] for row in moved.tables["levels"].records()}["L8"] == 0
