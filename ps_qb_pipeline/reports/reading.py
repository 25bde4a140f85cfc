"""Reading a report from the warehouse.

What lives here: running the queries of ``sections`` and counting the figures of the first screen.
What does not: any rendering. Money stays Decimal from the database to the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import duckdb

from ps_qb_pipeline.reports.model import Cover, Figures, Report
from ps_qb_pipeline.reports.sections import SECTIONS, Section
from ps_qb_pipeline.reports.story import OrderStory, explain
from ps_qb_pipeline.reports.table import Table

DETAIL_ROWS = 200_000
"""How many rows of a table a report carries; what is beyond is counted, never silently dropped."""

STORIES = 100
"""How many orders a report tells one by one, those with exceptions first."""


def read_report(
    con: duckdb.DuckDBPyConnection,
    *,
    connection: str = "",
    run_id: str = "",
    as_of: datetime | None = None,
    detail_rows: int = DETAIL_ROWS,
    stories: int = STORIES,
) -> Report:
    """The report of everything that the reconciliation and mart models of ``con`` hold.

    ``con`` needs the models' own variables only for their order: ``home_currency`` is read from the
    books' preferences when it is not set.
    """
    home = _home_currency(con)
    con.execute("set variable home_currency = $home", {"home": home})
    cover = Cover(
        connection=connection,
        shop=_text(con, "select min(name) from staging.prestashop_shops") or connection,
        company=_text(con, "select min(company_name) from staging.quickbooks_company_info"),
        home_currency=home,
        as_of=as_of or datetime.now(UTC),
        run_id=run_id,
        version=_version(),
    )
    tables = {section.name: _table(con, section, detail_rows) for section in SECTIONS}
    return Report(cover, _figures(con), tables, _stories(con, stories))


def _version() -> str:
    try:
        return version("ps-qb-pipeline")
    except PackageNotFoundError:
        return "source"


def _home_currency(con: duckdb.DuckDBPyConnection) -> str:
    set_already = con.execute("select getvariable('home_currency')").fetchone()
    if set_already and set_already[0]:
        return str(set_already[0])
    return _text(con, "select max(home_currency) from staging.quickbooks_preferences")


def _text(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    row = con.execute(sql).fetchone()
    return str(row[0]) if row and row[0] is not None else ""


def _count(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = con.execute(sql).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _counts(con: duckdb.DuckDBPyConnection, sql: str) -> dict[str, int]:
    return {str(name): int(number) for name, number in con.execute(sql).fetchall()}


def _amounts(con: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Decimal]:
    return {str(currency): Decimal(amount) for currency, amount in con.execute(sql).fetchall()}


def _table(con: duckdb.DuckDBPyConnection, section: Section, limit: int) -> Table:
    cursor = con.execute(section.sql)
    found = [column[0] for column in cursor.description or ()]
    wanted = [column.name for column in section.columns]
    if found != wanted:
        raise ValueError(f"{section.name}: the query gives {found}, its columns are {wanted}")
    rows = tuple(cursor.fetchmany(limit))
    left_out = 0
    if len(rows) == limit:
        left_out = _count(con, f"select count(*) from ({section.sql})") - limit  # noqa: S608 - our own words
    return Table(section.name, section.title, section.intro, section.columns, rows, left_out)


def _figures(con: duckdb.DuckDBPyConnection) -> Figures:
    orders = "from recon.objects where side = 'shop' and object_type = 'order' and class_group <> 'gone'"
    not_held = "from recon.pairs where not coalesce(class = hold_code, false)"
    queries: Mapping[str, str] = {
        "orders": f"select count(*) {orders}",
        "postable": f"select count(*) {orders} and class_group = 'expected'",
        "held_orders": f"select count(*) {orders} and class_group = 'held'",
        "documents_expected": f"select count(*) {not_held}",
        "documents_confirmed": f"select count(*) {not_held} and live",
        "orders_confirmed": f"""select count(*) {orders} and class_group = 'expected'
            and document_key in (select key from recon.pairs where live)""",  # noqa: S608 - our own words
        "unclassified_objects": "select coalesce(sum(unclassified_objects), 0) from recon.conservation",
    }
    numbers: dict[str, Any] = {name: _count(con, sql) for name, sql in queries.items()}
    return Figures(
        **numbers,
        not_postable=_counts(
            con,
            f"""select if(class_group = 'before_go_live', class, split_part(class, ':', 2)) as reason, count(*)
            {orders} and class_group in ('not_postable', 'before_go_live') group by reason order by reason""",
        ),
        held=_counts(
            con,
            "select code, count(*) from recon.exceptions where origin = 'hold' group by code order by code",
        ),
        exceptions=_counts(
            con,
            "select code, count(*) from recon.exceptions where origin <> 'hold' group by code order by code",
        ),
        unclassified=_amounts(
            con, "select currency, sum(unclassified) from recon.tie_out group by currency order by currency"
        ),
        open_difference=_amounts(
            con, "select currency, open_difference from recon.open_difference order by currency"
        ),
        open_held=_amounts(con, "select currency, held from recon.open_difference order by currency"),
    )


def _stories(con: duckdb.DuckDBPyConnection, limit: int) -> tuple[OrderStory, ...]:
    chosen = con.execute(
        """with troubled as (
            select order_id, max(amount) as amount from recon.exceptions where order_id is not null group by order_id
        )
        select orders.id
        from staging.prestashop_orders as orders left join troubled on orders.id = troubled.order_id
        order by troubled.amount desc nulls last, orders.id desc limit $limit""",
        {"limit": limit},
    ).fetchall()
    return tuple(explain(con, [row[0] for row in chosen]))
