"""The commands of whoever signs: ``report``, ``preview``, ``close``.

What lives here: options and printing. What does not: figures and signing (``reports``), and which months
are looked at (``orchestration.reporting``).
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ps_qb_pipeline.cli.options import AS_JSON, clear_errors, runtime_named
from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.orchestration import reporting
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.reports import signoff
from ps_qb_pipeline.reports.grid import grid
from ps_qb_pipeline.reports.model import read_report
from ps_qb_pipeline.reports.table import Table
from ps_qb_pipeline.settings import Settings

CONNECTION = click.option(
    "--connection", "name", default="", help="A folder in defs/; not needed when there is only one."
)
PERIOD = click.option("--period", default="", help="A month, such as 2026-10.")
_LISTED = ("id", "code", "severity", "owner", "order_id", "currency", "amount", "age_days", "message")


def _runtime(name: str) -> Runtime:
    if name:
        return runtime_named(name)
    names = sorted(path.parent.name for path in Settings().defs_dir.glob("*/defs.yaml"))
    if len(names) != 1:
        raise SettingsError(
            f"say which connection, with --connection; there are: {', '.join(names) or 'none'}"
        )
    return runtime_named(names[0])


@click.command()
@CONNECTION
@PERIOD
@click.option(
    "--open",
    "list_open",
    is_flag=True,
    help="List the open exceptions with the ids that close --accept takes.",
)
@click.option(
    "--signed",
    is_flag=True,
    help="Make the signed pack of the period again and compare it with what was signed.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The folder to write to.")
@AS_JSON
@clear_errors
def report(name: str, period: str, list_open: bool, signed: bool, out: Path | None, as_json: bool) -> None:
    """Write the report pack, of everything until now or of one month, from what was read last.

    Exit code 1 when a signed pack does not come out as it was signed.
    """
    if signed and not period:
        raise click.UsageError("--signed needs --period")
    runtime = _runtime(name)
    if signed:
        sys.exit(_signed_again(runtime, period, out))
    if list_open:
        _list_open(runtime, period, as_json=as_json)
        return
    pack = reporting.write_reports(runtime, run_id="", period=period, folder=out)
    if as_json:
        click.echo(json.dumps(pack.figures, default=str))
        return
    from ps_qb_pipeline.reports.front import front

    first = front(pack.report)
    click.echo(f"{first.headline}\n{first.proof}\n")
    click.echo("\n".join(grid(_without(pack.report.tables["levels"], "compares"))))
    for closed in pack.signed:
        if period in {"", closed.period}:
            click.echo(f"\n{_said(closed)}")
    click.echo("")
    for what, path in pack.files.items():
        click.echo(f"{what + ':':<10} {path}")


def _without(table: Table, column: str) -> Table:
    place = [one.name for one in table.columns].index(column)
    rows = tuple((*row[:place], *row[place + 1 :]) for row in table.rows)
    columns = (*table.columns[:place], *table.columns[place + 1 :])
    return Table(table.name, table.title, table.intro, columns, rows)


def _said(closed: signoff.Closed) -> str:
    cover = closed.manifest["cover"]
    line = (
        f"{closed.period} version {closed.version}: {signoff.STATUS_WORDS[closed.status].lower()}, prepared by "
        f"{cover['preparer']}, approved by {cover['approver']}, snapshot {cover['snapshot']}."
    )
    if closed.status == "withdrawn":
        line += f"\n  Because of: {reporting.withdrawal(closed)}"
    return line


def _open_exceptions(runtime: Runtime, period: str) -> list[dict[str, Any]]:
    with runtime.warehouse("list what is open", read_only=True) as con:
        found = read_report(con, connection=runtime.name, period=period, as_of=runtime.clock.now(), stories=0)
    return found.tables["exceptions"].records()


def _list_open(runtime: Runtime, period: str, *, as_json: bool) -> None:
    rows = _open_exceptions(runtime, period)
    decided = signoff.decided(reporting.signoff_folder(runtime))
    told = [
        {
            **{column: row[column] for column in _LISTED},
            "accepted": decided.get(row["id"], {}).get("reason", ""),
        }
        for row in rows
    ]
    if as_json:
        click.echo(json.dumps(told, default=str))
        return
    for row in told:
        accepted = f"  (accepted: {row['accepted']})" if row["accepted"] else ""
        click.echo(
            f"{row['id']}  {row['code']:<24} {row['amount']:>12,.2f} {row['currency']}  order {row['order_id']}, "
            f"{row['age_days']} days{accepted}\n    {row['message']}"
        )
    click.echo(f"{len(told)} open" + (f" in {period}" if period else "") + ".")


def _signed_again(runtime: Runtime, period: str, out: Path | None) -> int:
    closed = signoff.current(reporting.signoff_folder(runtime), period)
    if closed is None:
        raise SettingsError(f"{period} was never closed; psqb close --period {period} closes it")
    with tempfile.TemporaryDirectory() as scratch:
        target = out or Path(scratch)
        different = signoff.regenerate(closed, target)
    count = len(closed.manifest["pack"])
    if different:
        click.echo(f"{len(different)} of {count} files differ from what was signed: {', '.join(different)}")
        return 1
    where = f" in {out}" if out else ""
    click.echo(
        f"{period} version {closed.version}: {count} files made again{where} from the frozen rows; all have the hashes that "
        f"were signed. Snapshot {closed.manifest['snapshot'][:32]}."
    )
    return 0


@click.command()
@CONNECTION
@PERIOD
@click.option(
    "--from-books/--from-mirror",
    default=True,
    help="Ask QuickBooks for today's trial balance, or take the balances read last.",
)
@AS_JSON
@clear_errors
def preview(name: str, period: str, from_books: bool, as_json: bool) -> None:
    """Trial balance, profit and tax as they would be after posting what waits; writes nothing."""
    from ps_qb_pipeline.quickbooks.reports import AccountBalance, trial_balance
    from ps_qb_pipeline.reports.preview import preview as look_ahead
    from ps_qb_pipeline.reports.preview import preview_text

    runtime = _runtime(name)
    balances: tuple[AccountBalance, ...] = ()
    if from_books:
        with runtime.books() as books:
            balances = tuple(
                trial_balance(books.report("TrialBalance", date_macro="This Fiscal Year-to-date"))
            )
    with runtime.warehouse("look ahead", read_only=True) as con:
        shown = look_ahead(con, runtime.connection.accounting, period=period, today=balances)
    if as_json:
        click.echo(json.dumps({table.name: table.records() for table in shown.tables}, default=str))
    else:
        click.echo(preview_text(shown), nl=False)


@click.command()
@CONNECTION
@click.option("--period", required=True, help="A month that is over, such as 2026-10.")
@click.option("--preparer", default="", help="Who prepared the figures.")
@click.option("--approver", default="", help="Who answers for them; another person.")
@click.option(
    "--accept",
    "accepted",
    multiple=True,
    metavar="EXCEPTION",
    help="Let an exception stay open: its id, or a code for all of the period's.",
)
@click.option("--reopen", is_flag=True, help="Open a closed period again.")
@click.option("--reason", default="", help="Why it is accepted or re-opened.")
@AS_JSON
@clear_errors
def close(
    name: str,
    period: str,
    preparer: str,
    approver: str,
    accepted: tuple[str, ...],
    reopen: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Sign a month: freeze its figures under two names, and write the pack that carries them.

    Refused while an exception of the month is open that nobody accepted. --accept records a reason and an
    approver; --reopen makes room for a new version. What was signed stays as it was.
    """
    runtime = _runtime(name)
    folder, now = reporting.signoff_folder(runtime), runtime.clock.now()
    if reopen:
        opened = signoff.reopen(folder, period, reason=reason, by=approver, now=now)
        _audit(runtime, approver, "re-open", period, opened, reason)
        click.echo(
            f"{period} version {opened.version} is re-opened; the next close makes version {opened.version + 1}."
        )
        return
    if accepted:
        ids = _ids(runtime, period, accepted)
        for exception in ids:
            signoff.accept(folder, exception, reason=reason, approver=approver, now=now)
        _audit(runtime, approver, "accept exceptions", period, None, f"{reason}: {', '.join(ids)}")
        click.echo(f"{len(ids)} exception(s) of {period} accepted by {approver}; they stay listed.")
        return
    reporting.require_read_after(runtime, period)
    with runtime.warehouse(f"close {period}") as con:
        closed = signoff.close(
            con, folder, period=period, preparer=preparer, approver=approver, now=now, connection=runtime.name
        )
    _audit(runtime, approver, "close", period, closed, f"prepared by {preparer}")
    if as_json:
        told = {"version": closed.version, "folder": str(closed.folder), **closed.manifest}
        click.echo(json.dumps(told, default=str))
        return
    click.echo(f"{_said(closed)}\nThe signed pack: {closed.folder / 'pack'}")


def _ids(runtime: Runtime, period: str, wanted: Sequence[str]) -> list[str]:
    """The ids that ``wanted`` names; a code stands for every open exception of the period that has it."""
    rows = _open_exceptions(runtime, period)
    found: list[str] = []
    for entry in wanted:
        matching = [row["id"] for row in rows if entry in {row["id"], row["code"]}]
        if not matching:
            raise SettingsError(
                f"no open exception of {period} has the id or code {entry!r}; psqb report --period {period} --open lists them"
            )
        found += [one for one in matching if one not in found]
    return found


def _audit(
    runtime: Runtime, by: str, action: str, period: str, closed: signoff.Closed | None, reason: str
) -> None:
    """Keep who did it in the audit chain, with the hash of what was signed."""
    from ps_qb_pipeline.state.audit import AuditEntry, append
    from ps_qb_pipeline.state.database import writing

    after = f"version {closed.version}, snapshot {closed.manifest['snapshot']}" if closed else ""
    entry = AuditEntry(
        runtime.clock.now(), runtime.name, by, action, f"period {period}", after=after, reason=reason
    )
    with writing(runtime.engine) as tx:
        append(tx, entry)


COMMANDS = (report, preview, close)
