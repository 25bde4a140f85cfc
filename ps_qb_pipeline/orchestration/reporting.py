"""The steps around reports: QuickBooks' own reports of a month, the pack, and what was signed.

What lives here: the order in which rooms are used for a report, and which months are looked at. What
does not: Dagster objects (``report_assets``), figures and signing (``reports``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from ps_qb_pipeline.errors import BooksError, SettingsError
from ps_qb_pipeline.orchestration.landing import BOOKS, SHOP, ConnectionCursors
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.quickbooks import mirror
from ps_qb_pipeline.quickbooks.entities import ENTITIES
from ps_qb_pipeline.reports import signoff
from ps_qb_pipeline.reports.books_period import Landed, fetch_period, land_period
from ps_qb_pipeline.reports.levels import levels_table
from ps_qb_pipeline.reports.model import Report, read_report, summary
from ps_qb_pipeline.reports.scope import first_day, last_day
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.warehouse.publish import publish

logger = logging.getLogger(__name__)


def signoff_folder(runtime: Runtime) -> Path:
    """Where the signed versions of a connection's periods are kept."""
    return runtime.settings.data_dir(runtime.name) / "signoff"


def today(runtime: Runtime) -> date:
    """The day in the shop's own time zone."""
    return runtime.clock.now().astimezone(ZoneInfo(runtime.connection.accounting.timezone)).date()


def last_read(runtime: Runtime) -> dict[str, datetime]:
    """When the shop and the books were last read to the end; a side that never was is missing."""
    moved = Cursors(runtime.engine).moved_at(runtime.name)
    marks = {SHOP: f"{SHOP}.orders", BOOKS: f"{BOOKS}.{mirror.RESOURCE}"}
    return {side: moved[mark] for side, mark in marks.items() if mark in moved}


def require_read_after(runtime: Runtime, period: str) -> None:
    """Raises SettingsError when a side was last read before the month ended: its last days may be missing."""
    zone = ZoneInfo(runtime.connection.accounting.timezone)
    read = last_read(runtime)
    for side, name in ((SHOP, "the shop"), (BOOKS, "QuickBooks")):
        at = read.get(side)
        if at is None or at.astimezone(zone).date() <= last_day(period):
            seen = f"last read on {at.astimezone(zone):%Y-%m-%d at %H:%M}" if at else "never read"
            raise SettingsError(
                f"{name} was {seen}, before {period} was over; psqb run --connection {runtime.name} reads both sides"
            )


def month_before(day: date) -> str:
    """The month before that of ``day``, as ``2026-10``."""
    return f"{day.replace(day=1) - timedelta(days=1):%Y-%m}"


@dataclass(slots=True)
class PeriodsLanded:
    """Which months were read from QuickBooks' own reports; ``failed`` says why one was not."""

    landed: list[Landed] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def land_periods(runtime: Runtime, *, everything: bool = False) -> PeriodsLanded:
    """Land the reports of this month, of the last and of every signed one, where documents moved since.

    ``everything`` reads all of them: a document that was moved out of a month is seen only then. A month
    whose reports QuickBooks does not give keeps what was landed before, and is named.
    """
    now = today(runtime)
    wanted = {f"{now:%Y-%m}", month_before(now), *signoff.closed_periods(signoff_folder(runtime))}
    cursors = ConnectionCursors(Cursors(runtime.engine), runtime.name, BOOKS)
    result = PeriodsLanded()
    for period in sorted(wanted):
        before = cursors.get(f"period.{period}")
        at = datetime.now(UTC)
        if before is not None and not everything:
            with runtime.warehouse("see what moved", read_only=True) as con:
                moved = _moved(con, period, before["at"])
            if not moved:
                result.unchanged.append(period)
                continue
        try:
            with runtime.books() as books:
                reports = fetch_period(books, period)
        except BooksError as error:
            logger.warning("%s: QuickBooks' reports of %s could not be read: %s", runtime.name, period, error)
            result.failed[period] = str(error)
            continue
        with runtime.warehouse(f"land the reports of {period}") as con:
            result.landed.append(land_period(con, reports))
        cursors.commit(f"period.{period}", {"at": at.isoformat()})
    return result


def _moved(con: duckdb.DuckDBPyConnection, period: str, since: str) -> bool:
    """Whether a document of the month was landed since."""
    dated = [entity.table for entity in ENTITIES.values() if "txn_date" in entity.types]
    parts = [
        f"select 1 from raw.{BOOKS}_{table} where txn_date between $first and $last and fetched_at >= $since"  # noqa: S608 - our own names
        for table in dated
    ]
    span = {"first": first_day(period), "last": last_day(period), "since": datetime.fromisoformat(since)}
    return con.execute(f"{' union all '.join(parts)} limit 1", span).fetchone() is not None


@dataclass(slots=True)
class Pack:
    """A written report: its files by what they are, and the signed periods as they stand now."""

    report: Report
    files: dict[str, Path]
    signed: list[signoff.Closed]
    posted: int = 0

    @property
    def figures(self) -> dict[str, Any]:
        """The key figures, the number of documents that this run created, and the files."""
        return {**summary(self.report), "posted": self.posted, **self.files}

    @property
    def withdrawn(self) -> list[signoff.Closed]:
        """The signed periods that either side has changed since."""
        return [one for one in self.signed if one.status == "withdrawn"]


def check_signed(runtime: Runtime, con: duckdb.DuckDBPyConnection) -> list[signoff.Closed]:
    """Compare every signed period with what both sides say now; what changed withdraws the approval."""
    folder, now = signoff_folder(runtime), runtime.clock.now()
    checked = [signoff.check(con, folder, period, now=now) for period in signoff.closed_periods(folder)]
    found = [one for one in checked if one is not None]
    for one in found:
        if one.status == "withdrawn":
            logger.warning(
                "%s: the approval of %s (version %d) is withdrawn: %s",
                runtime.name, one.period, one.version, withdrawal(one),
            )  # fmt: skip
    return found


def withdrawal(one: signoff.Closed) -> str:
    """The change that withdrew an approval, in words."""
    if one.changes is None or not one.changes.rows:
        return "either side changed after it was signed, and changed back since"
    first = one.changes.records()[0]
    more = len(one.changes.rows) + one.changes.left_out - 1
    what = f"{first['object_type']} {first['object_id']}: {first['what']}"
    moved = f" from {first['before']}" if first["before"] else ""
    moved += f" to {first['after']}" if first["after"] else ""
    return f"{what}{moved} ({first['effect']} {first['currency']})" + (f" and {more} more" if more else "")


def write_reports(runtime: Runtime, *, run_id: str, period: str = "", folder: Path | None = None) -> Pack:
    """Write the report pack, of everything until now or of one month, and check what was signed."""
    from ps_qb_pipeline.reports.pack import write_pack

    folder = folder or runtime.settings.data_dir(runtime.name) / "reports" / period
    with runtime.warehouse("write the reports", read_only=True) as con:
        row = con.execute(
            "select count(*) from control.intents where run_id = $run and state = 'CONFIRMED'"
            " and operation = 'create' and entity not in ('Customer', 'Item')",
            {"run": run_id},
        ).fetchone()
        report = read_report(
            con, connection=runtime.name, run_id=run_id, as_of=runtime.clock.now(), period=period
        )
        report = without_stale(runtime, con, report)
        signed = check_signed(runtime, con)
        report = signoff.with_signed(report, _about(signed, period))
        files = write_pack(report, con, folder)
    return Pack(report, files, signed, int(row[0]) if row else 0)


def publish_copy(runtime: Runtime) -> Path:
    """Put the readers' copy of ledger, reconciliation and marts in place; returns its file."""
    target = runtime.settings.data_dir(runtime.name) / "published" / f"{runtime.name}.duckdb"
    with runtime.warehouse("publish the readers' copy") as con:
        publish(con, target)
    return target


def without_stale(runtime: Runtime, con: duckdb.DuckDBPyConnection, report: Report) -> Report:
    """The report without the months in which a document was booked after QuickBooks' reports of it were read.

    They would show a difference that is none; the next morning's reading shows them again.
    """
    cursors = ConnectionCursors(Cursors(runtime.engine), runtime.name, BOOKS)
    table = report.tables["ledger_tie_out"]
    stale = {
        month
        for month in set(table.column("month"))
        if (read := cursors.get(f"period.{month:%Y-%m}")) is not None
        and _moved(con, f"{month:%Y-%m}", read["at"])
    }
    if not stale:
        return report
    rows = tuple(
        row for row, month in zip(table.rows, table.column("month"), strict=True) if month not in stale
    )
    left = ", ".join(f"{month:%Y-%m}" for month in sorted(stale))
    said = f"{table.intro} Left out until they are read again, because documents were booked since: {left}."
    tables = {**report.tables, "ledger_tie_out": replace(table, rows=rows, intro=said)}
    return replace(report, tables={**tables, "levels": levels_table(tables)})


def _about(signed: Sequence[signoff.Closed], period: str) -> list[signoff.Closed]:
    return [one for one in signed if period in {"", one.period}]
