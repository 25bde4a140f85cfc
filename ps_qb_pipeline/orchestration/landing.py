"""Where rows land: the clients' ports onto the warehouse and the control plane.

What lives here: the small adapters that let a client land rows and move cursors without knowing
where either is kept. What does not: reading (``prestashop``, ``quickbooks``), storing
(``warehouse.raw``, ``state.cursors``). The warehouse is opened for each landing only, so that a long
extraction does not keep others out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.prestashop.rows import Poisoned, Record
from ps_qb_pipeline.quickbooks.entities import ENTITIES
from ps_qb_pipeline.quickbooks.mirror import MirrorRow
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.statements import approvals, bank_files, payout_files
from ps_qb_pipeline.warehouse import raw

SHOP = "prestashop"
BOOKS = "quickbooks"


def raw_tables() -> dict[str, Mapping[str, str]]:
    """Every raw table with its columns, so that what was never landed can be made, empty."""
    shop = {f"raw.{SHOP}_{name}": resource.columns for name, resource in RESOURCES.items()}
    books = {f"raw.{BOOKS}_{entity.table}": entity.types for entity in ENTITIES.values()}
    files = {
        payout_files.TABLE: payout_files.COLUMNS,
        bank_files.TABLE: bank_files.COLUMNS,
        approvals.TABLE: approvals.COLUMNS,
    }
    return {**shop, **books, **files}


@dataclass(frozen=True, slots=True)
class ConnectionCursors:
    """The cursors of one connection and one of its two sides."""

    cursors: Cursors
    connection: str
    side: str

    def get(self, resource: str) -> dict[str, Any] | None:
        """The cursor last committed for ``resource``."""
        return self.cursors.get(self.connection, f"{self.side}.{resource}")

    def commit(self, resource: str, value: dict[str, Any]) -> None:
        """Keep a cursor for good."""
        self.cursors.commit(self.connection, f"{self.side}.{resource}", value)


@dataclass(frozen=True, slots=True)
class ShopLanding:
    """What the shop said, into ``raw.prestashop_*``."""

    runtime: Runtime

    @contextmanager
    def _open(self, reason: str) -> Iterator[raw.RawWarehouse]:
        with self.runtime.warehouse(reason) as con:
            yield raw.RawWarehouse(con, connection=self.runtime.name, system=SHOP)

    def land(
        self, name: str, columns: Mapping[str, str], rows: Sequence[Record], fetched_at: datetime
    ) -> int:
        """Append the rows that are new or changed; one that could not be read before is resolved."""
        with self._open(f"land {name}") as warehouse:
            inserted = warehouse.land(name, columns, rows, fetched_at)
        self.runtime.progress(name, len(rows), None)
        return inserted

    def set_aside(self, rows: Sequence[Poisoned], fetched_at: datetime) -> None:
        """Keep what could not be read, for a person to see."""
        with self._open("set aside") as warehouse:
            warehouse.set_aside(rows, fetched_at)

    def known(self, name: str) -> dict[int, str]:
        """The hash of the newest state of every id that is not deleted."""
        with self._open(f"look up {name}") as warehouse:
            return warehouse.known(name)

    def known_of(self, name: str, column: str, values: Sequence[int | str]) -> dict[int, Any]:
        """The value of ``column`` of every id that is not deleted and has one of ``values``."""
        with self._open(f"look up {name}") as warehouse:
            return warehouse.known_of(name, column, values)

    def values(self, name: str, columns: Sequence[str], ids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
        """The newest values of ``columns`` of the rows ``ids`` that are not deleted."""
        with self._open(f"look up {name}") as warehouse:
            return warehouse.values(name, columns, ids)


@dataclass(frozen=True, slots=True)
class BooksLanding:
    """What QuickBooks holds, into ``raw.quickbooks_*``."""

    runtime: Runtime

    def land(self, table: str, columns: Mapping[str, str], rows: Sequence[MirrorRow]) -> raw.LandingResult:
        """Append the rows that are new or changed."""
        with self.runtime.warehouse(f"land {table}") as con:
            landed = raw.land(
                con,
                f"raw.{BOOKS}_{table}",
                columns,
                rows,
                connection=self.runtime.name,
                fetched_at=datetime.now(UTC),
                id_type="text",
            )
        self.runtime.progress(table, landed.read, None)
        return landed

    def alive(self, table: str) -> Collection[str]:
        """The ids that the mirror holds as not deleted."""
        with self.runtime.warehouse(f"look up {table}") as con:
            return {
                str(one) for one in raw.newest_ids(con, f"raw.{BOOKS}_{table}", connection=self.runtime.name)
            }
