"""``psqb payout`` and ``psqb bank``: files that are delivered, and payouts that are approved.

What lives here: options and printing. What does not: work (``orchestration.deliveries``).
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from ps_qb_pipeline.cli.options import AS_JSON, CONNECTION, clear_errors, runtime_named
from ps_qb_pipeline.orchestration.runtime import Runtime

FILE = click.argument("file", required=False, type=click.Path(path_type=Path, exists=True))
FORMAT = click.option("--format", "form", default="", help="The format, where the header does not tell it.")


@click.command()
@CONNECTION
@FILE
@FORMAT
@click.option("--method", default="", help="The payment method whose provider made the file.")
@click.option("--show", default="", metavar="ID", help="Show the lines of one payout.")
@click.option("--approve", default="", metavar="ID", help="Post the fees and the transfer of one payout.")
@click.option("--by", default="", help="Who approves; it is kept in the audit chain.")
@click.option(
    "--received", type=Decimal, help="What the bank got, where it converted the payout to home currency."
)
@AS_JSON
@clear_errors
def payout(
    name: str,
    file: Path | None,
    form: str,
    method: str,
    show: str,
    approve: str,
    by: str,
    received: Decimal | None,
    as_json: bool,
) -> None:
    """Read a payout file (or a folder, or the data folder's payouts/), show payouts, approve one.

    Lines are matched by the transaction's id. A payout is posted only when somebody approves it, and can
    only be approved when every line is known and the lines make the deposit.
    """
    from ps_qb_pipeline.orchestration import deliveries

    runtime = runtime_named(name)
    if approve:
        if not by:
            raise click.UsageError("--approve needs --by NAME")
        run_id = f"payout-{uuid.uuid4()}"
        told = deliveries.approve(runtime, approve, by=by, run_id=run_id, received_home=received)
        click.echo(json.dumps(told, default=str, indent=None if as_json else 2))
        sys.exit(1 if told.get("waiting") else 0)
    source = file or deliveries.inbox(runtime, "payouts")
    landed = []
    if not show and source.exists():
        landed = deliveries.deliver_payouts(runtime, source, form=form, method=method)
        deliveries.refresh(runtime)
    if show:
        rows = _rows(runtime, "recon.payout_matches", "payout_id = $id", {"id": show}, "day, id")
    else:
        rows = _rows(runtime, "recon.payouts", "true", {}, "day desc, payout_id")
    _tell(landed, rows, _LINE if show else _PAYOUT, as_json=as_json)


@click.command()
@CONNECTION
@FILE
@FORMAT
@AS_JSON
@clear_errors
def bank(name: str, file: Path | None, form: str, as_json: bool) -> None:
    """Read a bank statement (CSV, OFX, CAMT.053) and show which open invoices and payouts it names."""
    from ps_qb_pipeline.orchestration import deliveries

    runtime = runtime_named(name)
    source = file or deliveries.inbox(runtime, "statements")
    landed = []
    if source.exists():
        landed = deliveries.deliver_statements(runtime, source, form=form)
        deliveries.refresh(runtime)
    rows = _rows(runtime, "recon.bank_matches", "true", {}, "booked_on desc, id")
    _tell(landed, rows, _BOOKING, as_json=as_json)


_PAYOUT = ("payout_id", "method", "day", "currency", "payments", "refunds", "chargebacks", "fees", "reserves",
           "exchange", "deposit", "difference", "unmatched_lines", "state", "approved_by")  # fmt: skip
_LINE = ("day", "kind", "transaction_id", "amount", "fee", "currency", "order_id", "matched_by", "shop_amount",
         "candidates")  # fmt: skip
_BOOKING = ("booked_on", "amount", "currency", "counterparty", "words", "rule", "sure", "doc_number", "payout_id",
            "candidates")  # fmt: skip


def _rows(
    runtime: Runtime, relation: str, where: str, values: dict[str, Any], order: str
) -> list[dict[str, Any]]:
    import duckdb

    from ps_qb_pipeline.errors import SettingsError

    try:
        with runtime.warehouse("show deliveries", read_only=True) as con:
            cursor = con.execute(f"select * from {relation} where {where} order by {order}", values)  # noqa: S608
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except duckdb.CatalogException as error:
        raise SettingsError(
            f"no run of {runtime.name} has come to its end yet; psqb run --connection {runtime.name} comes first"
        ) from error


def _tell(
    landed: Sequence[Any], rows: Sequence[dict[str, Any]], columns: Sequence[str], *, as_json: bool
) -> None:
    if as_json:
        files = [{"file": one.file, "lines": one.lines, "new": one.new} for one in landed]
        click.echo(json.dumps({"files": files, "rows": rows}, default=str))
        return
    for one in landed:
        click.echo(f"{one.file}: {one.lines} line(s), {one.new} new")
    shown = [
        [str(row[column]) if row[column] not in (None, "") else "-" for column in columns] for row in rows
    ]
    widths = [max(len(cell) for cell in (name, *cells)) for name, *cells in zip(columns, *shown, strict=True)]
    for cells in (list(columns), *shown):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


COMMANDS = (payout, bank)
