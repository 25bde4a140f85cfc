"""The numbers behind QuickBooks' limits, shared by all processes of a company.

What lives here: two rows a realm, changed in one transaction by a function that the caller brings.
What does not: what the numbers mean (``quickbooks.limiter``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from sqlalchemy import Connection, Engine, Table, insert, select, update

from ps_qb_pipeline.state.database import reading, writing
from ps_qb_pipeline.state.tables import books_meter, books_pace

Result = TypeVar("Result")
Numbers = Mapping[str, float]
Decide = Callable[[Numbers, Numbers], tuple[Result, Numbers, Numbers]]
"""From pace and meter to a result, the new pace and the new meter; empty mappings before the first."""


class BudgetStore:
    """The shared numbers of all realms of one control plane."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def change(self, realm: str, month: str, decide: Decide[Result]) -> Result:
        """Let ``decide`` see both rows and replace them, alone among all processes.

        What it raises passes through, and nothing is changed then.
        """
        pace_key = {"realm": realm}
        meter_key = {"realm": realm, "month": month}
        with writing(self._engine) as tx:
            pace = _row(tx, books_pace, pace_key)
            meter = _row(tx, books_meter, meter_key)
            result, new_pace, new_meter = decide(pace, meter)
            _put(tx, books_pace, pace_key, pace, new_pace)
            _put(tx, books_meter, meter_key, meter, new_meter)
        return result

    def meter(self, realm: str, month: str) -> dict[str, int]:
        """The counts of one month; empty before the first call."""
        with reading(self._engine) as tx:
            row = _row(tx, books_meter, {"realm": realm, "month": month})
        return {name: int(count) for name, count in row.items()}

    def months(self, realm: str) -> dict[str, dict[str, int]]:
        """All months, oldest first."""
        query = select(books_meter).where(books_meter.c.realm == realm).order_by(books_meter.c.month)
        with reading(self._engine) as tx:
            rows = tx.execute(query).mappings().all()
        return {row["month"]: {name: row[name] for name in ("reads", "cdc", "writes")} for row in rows}


def _row(tx: Connection, table: Table, key: Mapping[str, str]) -> dict[str, float]:
    query = select(table)
    for name, value in key.items():
        query = query.where(table.c[name] == value)
    found = tx.execute(query).mappings().first()
    return {name: value for name, value in found.items() if name not in key} if found else {}


def _put(tx: Connection, table: Table, key: Mapping[str, str], old: Numbers, new: Numbers) -> None:
    if not new or new == old:
        return
    if not old:
        tx.execute(insert(table).values(**key, **new))
        return
    change = update(table)
    for name, value in key.items():
        change = change.where(table.c[name] == value)
    tx.execute(change.values(**new))
