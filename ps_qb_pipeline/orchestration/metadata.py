"""The metadata vocabulary: what every asset page shows, in one form.

What lives here: turning tables, totals and models into Dagster metadata. What does not: deciding what
is shown where (``assets``). Personal columns are masked here, so no asset can forget it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import dagster as dg
import duckdb

from ps_qb_pipeline.warehouse.models import Model, ModelRun

PREVIEW_ROWS = 5
PREVIEW_COLUMNS = 14
"""More would be stored with every run and read by every page."""
MASK = "•••"
PERSONAL = frozenset(
    {
        "address1", "address2", "alias", "body", "city", "company", "customer_name", "display_name", "dni", "email",
        "family_name", "firstname", "given_name", "lastname", "message", "name_on_card", "note", "payload", "phone",
        "phone_mobile", "postcode", "primary_email", "siret", "vat_number", "billing", "shipping", "memo",
    }
)  # fmt: skip
"""Columns masked in every preview, whatever a contract says."""

Metadata = dict[str, dg.MetadataValue[Any] | dg.TableSchema | int | float | str]


def table(
    con: duckdb.DuckDBPyConnection, name: str, *, personal: Collection[str] = (), preview: bool = True
) -> Metadata:
    """Row count, columns, money by currency and a masked preview of the table called ``name``."""
    columns = [(row[0], row[1]) for row in con.execute(f"describe {name}").fetchall()]
    counted = con.execute(f"select count(*) from {name}").fetchone()
    return {
        "dagster/row_count": int(counted[0]) if counted else 0,
        "dagster/table_name": name,
        "dagster/column_schema": dg.TableSchema([dg.TableColumn(column, kind) for column, kind in columns]),
        **_totals(con, name, {column for column, _ in columns}),
        **(
            {"preview": _preview(con, name, [column for column, _ in columns], PERSONAL | set(personal))}
            if preview
            else {}
        ),
    }


def model_metadata(con: duckdb.DuckDBPyConnection, model: Model, run: ModelRun) -> Metadata:
    """What a run says of a SQL model: its rows, a preview and how long it took."""
    shown = table(con, model.name, personal={column.name for column in model.columns if column.pii})
    # What is the same in every run stands in the definition; Dagster would store it with each of them, twice.
    del shown["dagster/column_schema"]
    return {**shown, "seconds": round(run.seconds, 3)}


def model_definition(model: Model) -> Metadata:
    """What is true of a SQL model in every run: its columns and its SQL."""
    return {
        "dagster/column_schema": dg.TableSchema(
            [
                dg.TableColumn(column.name, column.type or "varchar", description=column.description or None)
                for column in model.columns
            ]
        ),
        "sql": dg.MetadataValue.md(f"```sql\n{model.sql.strip()}\n```"),
    }


def facts(values: Mapping[str, Any]) -> Metadata:
    """Counts and sums as metadata: numbers are plotted over time, mappings shown as JSON."""
    return {name: fact(value) for name, value in values.items() if value is not None}


def fact(value: Any) -> dg.MetadataValue[Any] | int | float | str:
    """One value in the form that Dagster shows best."""
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Decimal):
        return float(value)  # a chart's axis; the exact amount stands in the table
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return dg.MetadataValue.json(json.loads(json.dumps(value, default=str)))


def _totals(con: duckdb.DuckDBPyConnection, name: str, columns: set[str]) -> Metadata:
    """The sum of the table's money column, by currency where it has one."""
    money = next((column for column in ("total", "amount", "total_paid_tax_incl") if column in columns), None)
    if money is None:
        return {}
    grain = "currency" if "currency" in columns else "''"
    rows = con.execute(
        f"select coalesce({grain}, ''), sum({money}) from {name} group by all order by all"
    ).fetchall()
    return {
        "money_total": dg.MetadataValue.json(
            {row[0] or "all": str(row[1]) for row in rows if row[1] is not None}
        )
    }


def _preview(
    con: duckdb.DuckDBPyConnection, name: str, columns: list[str], personal: Collection[str]
) -> dg.MetadataValue[Any]:
    columns = columns[:PREVIEW_COLUMNS]
    selected = ", ".join(f'"{column}"' for column in columns)
    rows = con.execute(f"select {selected} from {name} limit {PREVIEW_ROWS}").fetchall()
    records = [
        dg.TableRecord(
            {
                column: MASK if column in personal and value not in {None, ""} else _cell(value)
                for column, value in zip(columns, row, strict=True)
            }
        )
        for row in rows
    ]
    if not records:
        return dg.MetadataValue.text("no rows")
    return dg.MetadataValue.table(
        records, schema=dg.TableSchema([dg.TableColumn(column) for column in columns])
    )


def _cell(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, (bool, int)):
        return value
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
