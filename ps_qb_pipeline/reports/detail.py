"""The detail behind the report as CSV and Parquet files.

What lives here: which tables are written and how. What does not: any figure. Parquet keeps every
value as it is; in CSV a text that a spreadsheet would take for a formula gets an apostrophe, and
control characters are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

DETAILS: dict[str, str] = {
    "exceptions": "select * from recon.exceptions order by id, amount",
    "objects": "select * from recon.objects order by side, object_type, object_id",
    "documents": """select pairs.* exclude (differences), documents.reference, documents.doc_number, documents.customer_key, documents.deposit_to,
        documents.exchange_rate, documents.home_total
        from recon.pairs as pairs inner join ledger.documents as documents using (key) order by pairs.key""",
    "notes": "select * from recon.notes order by code, order_id, source_type, source_id, document_key",
    "tie_out": "select * from recon.tie_out order by currency, measure",
    "tax": "select * from recon.tax_tie_out order by currency, month, country, rate, code",
    "ledger_tie_out": "select * from recon.ledger_tie_out order by month, account",
    "accounts": "select * from recon.accounts_rolled order by account, currency, month",
    "profit_lines": "select * from marts.profit_lines order by document_key, line_no",
    "income_bridge": "select * from marts.income_bridge order by month",
}
"""File name to query; the order of the rows is fixed, so that the same data give the same files."""


def write_detail(con: duckdb.DuckDBPyConnection, folder: Path) -> list[Path]:
    """Writes every detail table as ``<name>.csv`` and ``<name>.parquet`` into ``folder`` and names the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, query in DETAILS.items():
        parquet, csv = folder / f"{name}.parquet", folder / f"{name}.csv"
        for path, column, form in (
            (parquet, _clean, "format parquet, compression zstd"),
            (csv, _harmless, "header, delimiter ','"),
        ):
            columns = _columns(con, query, column)
            con.execute(f"copy (select {columns} from ({query})) to {_literal(path)} ({form})")  # noqa: S608 - our own words
        written += [csv, parquet]
    return written


_NO_PAGE = r"[\x00-\x1f\x7f-\x9f\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}\x{feff}]"
"""Control and direction characters, as the regular expressions of DuckDB write them."""


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _columns(con: duckdb.DuckDBPyConnection, query: str, column: Callable[[str], str]) -> str:
    described = con.execute(f"describe {query}").fetchall()
    return ", ".join(
        f'{column(str(name))} as "{name}"' if kind == "VARCHAR" else f'"{name}"'
        for name, kind, *_ in described
    )


def _clean(name: str) -> str:
    """A text without the characters that hide or reorder what stands beside it."""
    return f"""regexp_replace("{name}", '{_NO_PAGE}', ' ', 'g')"""


def _harmless(name: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    clean = _clean(name)
    return f"""if(regexp_matches({clean}, '^\\s*[=+\\-@]'), '''' || {clean}, {clean})"""
