"""Closing a period: frozen figures, two names, and what withdraws them.

What lives here: the folder of a period's versions, closing, checking, re-opening and making a signed
pack again. What does not: the figures (``model``) and the files of a pack (``pack``).

    <folder>/decisions.json                 why an exception is accepted, and by whom
    <folder>/2026-10/v1/manifest.json       names, figures, hashes
    <folder>/2026-10/v1/snapshot.duckdb     the frozen rows
    <folder>/2026-10/v1/pack/               the signed files
    <folder>/2026-10/v1/withdrawn.json      the change that withdrew it
    <folder>/2026-10/v1/reopened.json       who opened it again, and why
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import duckdb

from ps_qb_pipeline.errors import IntegrityError, SettingsError
from ps_qb_pipeline.reports import snapshot
from ps_qb_pipeline.reports.model import Cover, Report, read_report, read_tables, summary
from ps_qb_pipeline.reports.pack import write_pack
from ps_qb_pipeline.reports.scope import Scope, first_day
from ps_qb_pipeline.reports.table import Column, Table

Status = Literal["open", "approved", "withdrawn", "reopened"]

STATUS_WORDS: dict[Status, str] = {
    "open": "Draft",
    "approved": "Approved",
    "withdrawn": "Withdrawn",
    "reopened": "Re-opened",
}


@dataclass(frozen=True, slots=True)
class Closed:
    """One version of a closed period. ``changes`` is filled by ``check`` when something moved since."""

    period: str
    version: int
    status: Status
    folder: Path
    manifest: dict[str, Any]
    changes: Table | None = None


def accept(folder: Path, exception_id: str, *, reason: str, approver: str, now: datetime) -> None:
    """Records that an exception may stay open: its reason and who answers for it."""
    if not reason.strip() or not approver.strip():
        raise SettingsError("an exception is accepted with a reason and an approver; one of them is empty")
    decisions = decided(folder)
    decisions[exception_id] = {"reason": reason.strip(), "approver": approver.strip(), "at": now.isoformat()}
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "decisions.json", decisions)


def decided(folder: Path) -> dict[str, dict[str, str]]:
    """The accepted exceptions by id."""
    path = folder / "decisions.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def close(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    *,
    period: str,
    preparer: str,
    approver: str,
    now: datetime,
    connection: str = "",
    run_id: str = "",
    same_person: bool = False,
) -> Closed:
    """Freezes the period, signs it with two names and writes its pack.

    ``con`` is the warehouse, opened for writing. Raises SettingsError when the period is not over, is
    closed already, when the names are missing or the same, or when an exception of the period is
    neither gone nor accepted; IntegrityError when our own proof does not hold.
    """
    _check_names(preparer, approver, same_person=same_person)
    if now.date() <= first_day(period) or now.strftime("%Y-%m") == period:
        raise SettingsError(f"{period} is not over yet; a period is closed after its last day")
    present = current(folder, period)
    if present is not None and present.status != "reopened":
        said = "" if present.status == "approved" else ", withdrawn since"
        raise SettingsError(
            f"{period} is closed already (version {present.version}{said}); re-open it first, with a reason: "
            f'psqb close --period {period} --reopen --reason "..." --approver "..."'
        )
    report = read_report(con, connection=connection, run_id=run_id, as_of=now, period=period, stories=0)
    if not report.whole:
        raise IntegrityError(f"{period} cannot be closed: money or rows are in no class", period=period)
    accepted = _accepted(report, decided(folder))
    version = present.version + 1 if present else 1
    target = folder / period / f"v{version}"
    target.mkdir(parents=True, exist_ok=True)
    changed = _changed(con, present) if present else None
    hashes = snapshot.freeze(con, target / "snapshot.duckdb", Scope(period), changed=changed)
    cover = replace(
        report.cover,
        status=STATUS_WORDS["approved"],
        preparer=preparer.strip(),
        approver=approver.strip(),
        snapshot=snapshot.combined(hashes)[:32],
    )
    manifest: dict[str, Any] = {
        "period": period,
        "version": version,
        "cover": _plain(cover),
        "figures": summary(report),
        "accepted": accepted,
        "tables": hashes,
        "snapshot": snapshot.combined(hashes),
    }
    manifest["pack"] = _make_pack(target / "snapshot.duckdb", cover, target / "pack")
    _write(target / "manifest.json", manifest)
    return Closed(period, version, "approved", target, manifest)


def _changed(con: duckdb.DuckDBPyConnection, version: Closed) -> Table:
    return snapshot.changes(con, version.folder / "snapshot.duckdb", Scope(version.period))


def _check_names(preparer: str, approver: str, *, same_person: bool) -> None:
    if not preparer.strip() or not approver.strip():
        raise SettingsError("a period is signed by a preparer and an approver; one of the names is empty")
    if preparer.strip().casefold() == approver.strip().casefold() and not same_person:
        raise SettingsError("preparer and approver are the same person; a second person must approve")


def _accepted(report: Report, decisions: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    table = report.tables["exceptions"]
    if table.left_out:
        raise SettingsError(f"{table.left_out + len(table.rows):,} exceptions are open; settle them first")
    undecided = [row for row in table.records() if row["id"] not in decisions]
    if undecided:
        amounts: dict[str, Decimal] = {}
        for row in undecided:
            amounts[row["currency"]] = amounts.get(row["currency"], Decimal(0)) + row["amount"]
        money = ", ".join(f"{amount:,.2f} {currency}" for currency, amount in sorted(amounts.items()))
        what = "exceptions over {} are" if len(undecided) > 1 else "exception over {} is"
        raise SettingsError(
            f"{len(undecided)} {what.format(money)} open; settle or accept each with a reason and an approver"
            f" (first: {undecided[0]['code']} {undecided[0]['id']})"
        )
    return {row["id"]: decisions[row["id"]] for row in table.records()}


def versions(folder: Path, period: str) -> list[Closed]:
    """All versions of a period, oldest first."""
    first_day(period)
    found = []
    for path in (folder / period).glob("v*/manifest.json"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        status: Status = "approved"
        if (path.parent / "withdrawn.json").exists():
            status = "withdrawn"
        if (path.parent / "reopened.json").exists():
            status = "reopened"
        found.append(Closed(period, int(manifest["version"]), status, path.parent, manifest))
    return sorted(found, key=lambda one: one.version)


def current(folder: Path, period: str) -> Closed | None:
    """The newest version of a period, or None when it was never closed."""
    found = versions(folder, period)
    return found[-1] if found else None


def closed_periods(folder: Path) -> list[str]:
    """The periods that were ever closed, oldest first."""
    return sorted(path.name for path in folder.glob("????-??") if path.is_dir())


def check(con: duckdb.DuckDBPyConnection, folder: Path, period: str, *, now: datetime) -> Closed | None:
    """The newest version, withdrawn when either side changed since it was signed.

    The changes are named in ``changes`` and kept beside the version; None when it was never closed.
    """
    present = current(folder, period)
    if present is None or present.status == "reopened":
        return present
    changes = _changed(con, present)
    if changes.rows and present.status == "approved":
        first = changes.records()[0]
        _write(
            present.folder / "withdrawn.json",
            {"at": now.isoformat(), "changes": len(changes.rows) + changes.left_out, "first": _plain(first)},
        )
        return replace(present, status="withdrawn", changes=changes)
    return replace(present, changes=changes)


def with_signed(report: Report, checked: Sequence[Closed]) -> Report:
    """The report with the signed periods and what changed in them since, as ``check`` found it."""
    if not checked:
        return report
    signed = Table(
        "closed_periods",
        "Signed periods",
        "The newest version of every period that was closed. A later change of either side withdraws it.",
        (
            Column("period", "Period"),
            Column("version", "Version", "integer"),
            Column("status", "Status"),
            Column("preparer", "Prepared by"),
            Column("approver", "Approved by"),
            Column("as_of", "Signed"),
            Column("changes", "Changes since", "integer"),
            Column("snapshot", "Snapshot"),
        ),
        tuple(_signed_row(one) for one in checked),
    )
    moved = [
        row
        for one in checked
        if one.changes is not None and one.status != "reopened"
        for row in one.changes.rows
    ]
    return replace(
        report,
        tables={**report.tables, "closed_periods": signed, "changes": snapshot.changes_table(moved)},
    )


def _signed_row(one: Closed) -> tuple[Any, ...]:
    cover = one.manifest["cover"]
    count = len(one.changes.rows) + one.changes.left_out if one.changes is not None else None
    return (
        one.period,
        one.version,
        STATUS_WORDS[one.status],
        cover["preparer"],
        cover["approver"],
        f"{datetime.fromisoformat(cover['as_of']):%Y-%m-%d %H:%M %Z}",
        count,
        cover["snapshot"],
    )


def reopen(folder: Path, period: str, *, reason: str, by: str, now: datetime) -> Closed:
    """Opens a closed period again; the next closing makes a new version. A reason and a name are needed."""
    present = current(folder, period)
    if present is None or present.status == "reopened":
        raise SettingsError(f"{period} is not closed")
    if not reason.strip() or not by.strip():
        raise SettingsError(
            "a period is re-opened with a reason and a name (--reason, --approver); one of them is empty"
        )
    _write(
        present.folder / "reopened.json", {"at": now.isoformat(), "by": by.strip(), "reason": reason.strip()}
    )
    return replace(present, status="reopened")


def regenerate(version: Closed, folder: Path) -> list[str]:
    """Makes the pack of a signed version again in ``folder``; names the files whose hash is another one.

    Raises IntegrityError when the frozen rows themselves are no longer those that were signed.
    """
    frozen = version.folder / "snapshot.duckdb"
    if snapshot.hashes_of(frozen) != version.manifest["tables"]:
        raise IntegrityError(f"the frozen rows of {version.period} version {version.version} were changed")
    made = _make_pack(frozen, _cover(version.manifest["cover"]), folder)
    signed: dict[str, str] = version.manifest["pack"]
    return sorted(name for name in made.keys() | signed.keys() if made.get(name) != signed.get(name))


def _make_pack(frozen: Path, cover: Cover, folder: Path) -> dict[str, str]:
    with duckdb.connect(str(frozen), read_only=True) as con:
        con.execute("set variable home_currency = $home", {"home": cover.home_currency})
        report = read_tables(con, cover, Scope(cover.period, frozen=True), stories=0)
        changed = snapshot.changes_kept(con)
        if changed is not None:
            report = replace(report, tables={**report.tables, "changes": changed})
        write_pack(report, con, folder)
    return {
        str(path.relative_to(folder)): snapshot.file_hash(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _cover(plain: dict[str, Any]) -> Cover:
    return Cover(**{**plain, "as_of": datetime.fromisoformat(plain["as_of"])})


def _plain(value: Any) -> dict[str, Any]:
    fields = value if isinstance(value, dict) else {name: getattr(value, name) for name in value.__slots__}
    return {
        name: content.isoformat() if hasattr(content, "isoformat") else _text(content)
        for name, content in fields.items()
    }


def _text(content: Any) -> Any:
    return str(content) if isinstance(content, Decimal) else content


def _write(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(
        json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    partial.replace(path)
