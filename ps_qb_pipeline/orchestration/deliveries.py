"""Files of payment providers and banks that somebody delivers, and payouts that somebody approves.

What lives here: landing a file, making what follows from it, and bringing an approved payout into the
books through the same intents as everything else. What does not: reading files (``statements``) and
matching them (``dbt_style_sql/recon``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.orchestration import steps
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.posting.dead_letters import collect
from ps_qb_pipeline.posting.protocol import post
from ps_qb_pipeline.statements import approvals, bank_files, csv_files, payout_files
from ps_qb_pipeline.warehouse import models, raw

MODELS = ("staging.files_", "recon.", "marts.")
"""What is made anew when a file has landed: nothing is asked of shop or books for it."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of one file."""

    file: str
    lines: int
    new: int
    payouts: tuple[str, ...] = ()


def inbox(runtime: Runtime, kind: str) -> Path:
    """Where files are taken from when none is named: ``payouts`` or ``statements`` in the data folder."""
    return runtime.settings.data_dir(runtime.name) / kind


def deliver_payouts(runtime: Runtime, path: Path, *, form: str = "", method: str = "") -> list[Delivered]:
    """Land a payout file, or every file of a folder; what was landed before is not landed again."""
    connection = runtime.connection
    formats = {**csv_files.packaged(), **connection.file_formats}
    found = []
    for name, content in _contents(path):
        rows = payout_files.read(
            content,
            name,
            connection.accounting,
            formats,
            methods=connection.payouts,
            form=form,
            method=method,
        )
        new = _land(runtime, payout_files.TABLE, payout_files.COLUMNS, rows)
        found.append(Delivered(name, len(rows), new, tuple(payout_files.payouts_of(rows))))
    return found


def deliver_statements(runtime: Runtime, path: Path, *, form: str = "") -> list[Delivered]:
    """Land a bank statement, or every file of a folder; what was landed before is not landed again."""
    connection = runtime.connection
    formats = {**csv_files.packaged(), **connection.file_formats}
    home = connection.accounting.home_currency
    found = []
    for name, content in _contents(path):
        rows = bank_files.read(content, name, formats, currency=home, form=form)
        found.append(Delivered(name, len(rows), _land(runtime, bank_files.TABLE, bank_files.COLUMNS, rows)))
    return found


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    paths = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    for one in paths:
        try:
            yield one.name, one.read_bytes()
        except OSError as error:
            raise SettingsError(f"{one} cannot be read: {error.strerror}") from error


def _land(runtime: Runtime, table: str, columns: Any, rows: list[raw.Landing]) -> int:
    with runtime.warehouse(f"land {table}") as con:
        result = raw.land(
            con,
            table,
            columns,
            rows,
            connection=runtime.name,
            fetched_at=runtime.clock.now(),
        )
    return result.inserted


def refresh(runtime: Runtime) -> None:
    """Make the models that read delivered files; SettingsError when no run has read shop and books yet."""
    with runtime.warehouse("see what was read", read_only=True) as con:
        known = con.execute(
            "from information_schema.tables where table_schema = 'staging' and table_name = 'prestashop_orders'"
        ).fetchone()
    if known is None:
        raise SettingsError(
            "the file is kept, and there is nothing to compare it with yet; "
            f"psqb run --connection {runtime.name} reads shop and books"
        )
    chosen = [model for name, model in models.load_models().items() if name.startswith(MODELS)]
    steps.make_models(runtime, chosen, [])


def approve(
    runtime: Runtime, payout_id: str, *, by: str, run_id: str, received_home: Decimal | None = None
) -> dict[str, Any]:
    """Approve a payout and post its documents; what is approved already is only posted where it is not yet.

    Nothing is posted while posting is off: the approval stands, and the next run posts it.
    """
    with runtime.warehouse("approve a payout") as con:
        steps.prepare(con)
        done = approvals.approve(
            con,
            payout_id,
            runtime.connection.accounting,
            connection=runtime.name,
            by=by,
            now=runtime.clock.now(),
            received_home=received_home,
        )
        approvals.book(con)
    told: dict[str, Any] = {
        "payout": done.payout_id,
        "deposit": done.deposit,
        "currency": done.currency,
        "documents": {one.doc_number: f"{one.type} {one.total} {one.currency}" for one in done.documents},
        "posted": None,
    }
    if runtime.armed():
        names = steps.current_names(runtime)
        with runtime.books() as books:
            result = post(
                done.documents, (), (), books=books, names=names, store=runtime.engine, run_id=run_id,
                connection=runtime.name, actor=by,
            )  # fmt: skip
        told["posted"] = sorted(result.confirmed)
        told["waiting"] = result.waiting | {
            letter.doc_number: letter.said
            for cause in collect(runtime.engine, runtime.name)
            for letter in cause.letters
            if letter.doc_number in told["documents"]
        }
        steps.pull_books(runtime)
        refresh_books(runtime)
    return told


def refresh_books(runtime: Runtime) -> None:
    """Make everything that reads the mirror of the books."""
    chosen = [
        model
        for name, model in models.load_models().items()
        if name.startswith(("staging.quickbooks_", *MODELS))
    ]
    steps.make_models(runtime, chosen, [])
