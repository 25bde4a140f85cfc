"""The one model of the report: what every rendering shows, read from the warehouse once.

What lives here: cover, figures and tables as plain values, the reading of them by the queries of
``sections``, and the summary for machines. What does not: any drawing (``html``, ``workbook``). A
rendering computes no figure of its own, so that all of them say the same. Money stays Decimal from
the database to the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import duckdb

from ps_qb_pipeline.reports.levels import levels_table
from ps_qb_pipeline.reports.scope import Scope, last_day
from ps_qb_pipeline.reports.section import Section
from ps_qb_pipeline.reports.sections import SECTIONS
from ps_qb_pipeline.reports.story import OrderStory, explain
from ps_qb_pipeline.reports.table import Table

DETAIL_ROWS = 200_000
"""How many rows of a table a report carries; what is beyond is counted, never silently dropped."""

STORIES = 100
"""How many orders a report tells one by one, those with exceptions first."""


@dataclass(frozen=True, slots=True)
class Cover:
    """What the report is about. ``as_of`` is when its data were read, with time zone."""

    connection: str
    shop: str
    company: str
    home_currency: str
    as_of: datetime
    run_id: str
    version: str
    status: str = "Draft"
    period: str = ""
    """The month that the report closes, ``2026-10``; empty for everything until now."""
    preparer: str = ""
    approver: str = ""
    snapshot: str = ""
    """Hash of the frozen tables, once the period is closed."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The counts of the first screen. Every order is postable, held or not postable."""

    orders: int
    postable: int
    not_postable: dict[str, int]
    held_orders: int
    held: dict[str, int]
    documents_expected: int
    documents_confirmed: int
    orders_confirmed: int
    exceptions: dict[str, int]
    unclassified: dict[str, Decimal]
    unclassified_objects: int
    open_difference: dict[str, Decimal]
    open_held: dict[str, Decimal]
    overdue: tuple[Overdue, ...] = ()


@dataclass(frozen=True, slots=True)
class Overdue:
    """What of one code should have been settled by now: whose it is, how much, since when."""

    code: str
    owner: str
    count: int
    amounts: dict[str, Decimal]
    oldest: date


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a rendering may show."""

    cover: Cover
    figures: Figures
    tables: dict[str, Table]
    stories: tuple[OrderStory, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether our own proof holds: every object is in one class and every cent is explained."""
        proof = all(self.tables["conservation"].column("holds"))
        return proof and not self.figures.unclassified_objects and not any(self.figures.unclassified.values())


def summary(report: Report) -> dict[str, Any]:
    """The key figures for machines; amounts are strings with two places, by currency."""
    figures = report.figures
    return {
        "orders": figures.orders,
        "postable": figures.postable,
        "not_postable": dict(figures.not_postable),
        "documents_expected": figures.documents_expected,
        "documents_confirmed": figures.documents_confirmed,
        "orders_confirmed": figures.orders_confirmed,
        "held": dict(figures.held),
        "held_orders": figures.held_orders,
        "exceptions": dict(figures.exceptions),
        "unclassified": _texts(figures.unclassified),
        "unclassified_objects": figures.unclassified_objects,
        "open_difference": _texts(figures.open_difference),
        "open_held": _texts(figures.open_held),
        "overdue": [
            {
                "code": one.code,
                "owner": one.owner,
                "count": one.count,
                "amounts": _texts(one.amounts),
                "oldest": one.oldest.isoformat(),
            }
            for one in figures.overdue
        ],
        "levels": {row["level"]: row["verdict"] for row in report.tables["levels"].records()},
    }


def _texts(amounts: dict[str, Decimal]) -> dict[str, str]:
    return {currency: f"{amount:.2f}" for currency, amount in sorted(amounts.items())}


def read_report(
    con: duckdb.DuckDBPyConnection,
    *,
    connection: str = "",
    run_id: str = "",
    as_of: datetime | None = None,
    period: str = "",
    detail_rows: int = DETAIL_ROWS,
    stories: int = STORIES,
) -> Report:
    """The report of everything that the reconciliation and mart models of ``con`` hold.

    ``period`` (``2026-10``) narrows it to what belongs to that month; the proof that nothing is lost
    always covers everything. ``home_currency`` is read from the books' preferences when the models'
    variable of that name is not set.
    """
    home = _home_currency(con)
    con.execute("set variable home_currency = $home", {"home": home})
    if period:
        con.execute("set variable period_end = $day", {"day": last_day(period)})
    cover = Cover(
        connection=connection,
        shop=_text(con, "select min(name) from staging.prestashop_shops") or connection,
        company=_text(con, "select min(company_name) from staging.quickbooks_company_info"),
        home_currency=home,
        as_of=as_of or datetime.now(UTC),
        run_id=run_id,
        version=_version(),
        period=period,
    )
    return read_tables(con, cover, Scope(period), detail_rows=detail_rows, stories=stories)


def read_tables(
    con: duckdb.DuckDBPyConnection,
    cover: Cover,
    scope: Scope,
    *,
    detail_rows: int = DETAIL_ROWS,
    stories: int = STORIES,
) -> Report:
    """The report with this cover over this scope's rows."""
    read = {section.name: _table(con, section, scope, detail_rows) for section in SECTIONS}
    tables = {"levels": levels_table(read), **read}
    return Report(cover, _figures(con, scope, cover.as_of.date()), tables, _stories(con, scope, stories))


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


def _table(con: duckdb.DuckDBPyConnection, section: Section, scope: Scope, limit: int) -> Table:
    sql = scope.sql(section.sql)
    cursor = con.execute(sql)
    found = [column[0] for column in cursor.description or ()]
    wanted = [column.name for column in section.columns]
    if found != wanted:
        raise ValueError(f"{section.name}: the query gives {found}, its columns are {wanted}")
    rows = tuple(cursor.fetchmany(limit))
    left_out = 0
    if len(rows) == limit:
        left_out = _count(con, f"select count(*) from ({sql})") - limit  # noqa: S608 - our own words
    return Table(section.name, section.title, section.intro, section.columns, rows, left_out)


def _figures(con: duckdb.DuckDBPyConnection, scope: Scope, day: date) -> Figures:
    orders = "from recon.classes where side = 'shop' and object_type = 'order' and class_group <> 'gone'"
    not_held = "from recon.pairs where not held"
    queries: Mapping[str, str] = {
        "orders": f"select sum(objects) {orders}",
        "postable": f"select sum(objects) {orders} and class_group = 'expected'",
        "held_orders": f"select sum(objects) {orders} and class_group = 'held'",
        "documents_expected": f"select count(*) {not_held}",
        "documents_confirmed": f"select count(*) {not_held} and live",
        "orders_confirmed": """select count(*) from recon.objects as objects
            semi join (select key from recon.pairs where live) as live on objects.document_key = live.key
            where objects.side = 'shop' and objects.object_type = 'order' and objects.class_group = 'expected'""",
        "unclassified_objects": "select coalesce(sum(unclassified_objects), 0) from recon.conservation",
    }
    numbers: dict[str, Any] = {name: _count(con, scope.sql(sql)) for name, sql in queries.items()}

    def counts(sql: str) -> dict[str, int]:
        return {str(name): int(number) for name, number in con.execute(scope.sql(sql)).fetchall()}

    def amounts(sql: str) -> dict[str, Decimal]:
        return {str(currency): Decimal(amount) for currency, amount in con.execute(scope.sql(sql)).fetchall()}

    return Figures(
        **numbers,
        not_postable=counts(
            f"""select if(class_group = 'before_go_live', class, split_part(class, ':', 2)) as reason, sum(objects)
            {orders} and class_group in ('not_postable', 'before_go_live') group by reason order by reason"""
        ),
        held=counts(
            "select code, count(*) from recon.exceptions where origin = 'hold' group by code order by code"
        ),
        exceptions=counts(
            "select code, count(*) from recon.exceptions where origin <> 'hold' group by code order by code"
        ),
        unclassified=amounts(
            "select currency, sum(unclassified) from recon.tie_out group by currency order by currency"
        ),
        open_difference=amounts(
            "select currency, open_difference from recon.open_difference order by currency"
        ),
        open_held=amounts("select currency, held from recon.open_difference order by currency"),
        overdue=_overdue(con, scope, day),
    )


WIRE_DAYS = 14
"""How long a payment that nobody has proved may wait for the bank."""


def _overdue(con: duckdb.DuckDBPyConnection, scope: Scope, day: date) -> tuple[Overdue, ...]:
    """Exceptions past their day, and wires and cheques that no bank line has proved in two weeks."""
    rows = con.execute(
        scope.sql(
            """with awaited as (
                select code, owner, currency, amount, due_on from recon.exceptions
                union all
                select code, owner, currency, amount, event_date + $wire from recon.notes
                where code = 'PAY_SYNTHETIC'
            ),
            late as (
                select code, min(owner) as owner, currency, count(*) as count, sum(amount) as amount,
                    min(due_on) as oldest
                from awaited where due_on < $day group by code, currency
            )
            select code, min(owner), sum(count), map_from_entries(list((currency, amount) order by currency)),
                min(oldest)
            from late group by code order by min(oldest), code"""
        ),
        {"day": day, "wire": WIRE_DAYS},
    ).fetchall()
    return tuple(
        Overdue(str(code), str(owner), int(count), {str(k): Decimal(v) for k, v in amounts.items()}, oldest)
        for code, owner, count, amounts, oldest in rows
    )


def _stories(con: duckdb.DuckDBPyConnection, scope: Scope, limit: int) -> tuple[OrderStory, ...]:
    if not limit:
        return ()
    chosen = con.execute(
        scope.sql(
            """with troubled as (
                select order_id, max(amount) as amount from recon.exceptions
                where order_id is not null group by order_id
            ),
            orders as (
                select distinct order_id from recon.objects
                where side = 'shop' and object_type = 'order' and class_group <> 'gone'
            )
            select orders.order_id from orders left join troubled using (order_id)
            order by troubled.amount desc nulls last, orders.order_id desc limit $limit"""
        ),
        {"limit": limit},
    ).fetchall()
    return tuple(explain(con, [row[0] for row in chosen]))
