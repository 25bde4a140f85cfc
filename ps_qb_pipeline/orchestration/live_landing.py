"""Landing for the live path: what is known is looked up once, what was read lands at once.

What lives here: a port onto the warehouse for reading a few orders, that opens the file twice instead
of once a resource. What does not: reading (``prestashop``), the live path itself (``live``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb

from ps_qb_pipeline.orchestration.hints import SAME_SECOND
from ps_qb_pipeline.orchestration.landing import SHOP
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.prestashop.extract import CHILDREN
from ps_qb_pipeline.prestashop.rows import Poisoned, Record
from ps_qb_pipeline.warehouse import raw

_Landed = tuple[str, Mapping[str, str], Sequence[Record], datetime]


@dataclass(slots=True)
class LiveLanding:
    """Keeps what was read until ``flush`` lands it, in the order in which it was read."""

    runtime: Runtime
    _known: dict[tuple[str, str], dict[int, Any]] = field(default_factory=dict)
    _landed: list[_Landed] = field(default_factory=list)
    _aside: list[tuple[Sequence[Poisoned], datetime]] = field(default_factory=list)

    def look_up(self, orders: Iterable[int]) -> None:
        """Learn what has landed of these orders before they are read."""
        wanted = sorted(orders)
        with self.runtime.warehouse("look up live orders", read_only=True) as con:
            warehouse = raw.RawWarehouse(con, connection=self.runtime.name, system=SHOP)
            for name in CHILDREN:
                self._known[name, "id_order"] = warehouse.known_of(name, "id_order", wanted)
            self._known["orders", "id"] = warehouse.known_of("orders", "id", wanted)
            references = [row[0] for row in warehouse.values("orders", ["reference"], wanted).values()]
            self._known["order_payments", "order_reference"] = warehouse.known_of(
                "order_payments", "order_reference", [one for one in references if one]
            )

    def has_read(self, rows: Iterable[tuple[str, int, str, float]]) -> set[tuple[str, int]]:
        """Those of these polled rows that landed since they changed, because a webhook told of them.

        A row is resource, id, its stamp (none where it never changes) and the moment of the stamp by our clock.
        """
        listed = list(rows)
        dated = {name for name, _, stamp, _ in listed if stamp}
        found: set[tuple[str, int]] = set()
        with self.runtime.warehouse("look up polled rows", read_only=True) as con:
            warehouse = raw.RawWarehouse(con, connection=self.runtime.name, system=SHOP)
            for resource in sorted({name for name, _, _, _ in listed}):
                columns = ["fetched_at", *(["date_upd"] if resource in dated else [])]
                ids = [number for name, number, _, _ in listed if name == resource]
                landed = warehouse.values(resource, columns, ids)
                found |= {
                    (name, number)
                    for name, number, stamp, at in listed
                    if name == resource
                    and number in landed
                    and (not stamp or str(landed[number][1]) == stamp)
                    and landed[number][0].timestamp() > at + SAME_SECOND
                }
        return found

    def known_of(self, name: str, column: str, values: Sequence[int | str]) -> dict[int, Any]:
        """What ``look_up`` found; rows of other orders are looked up now."""
        found = self._known.get((name, column))
        if found is None:
            with self.runtime.warehouse(f"look up {name}", read_only=True) as con:
                warehouse = raw.RawWarehouse(con, connection=self.runtime.name, system=SHOP)
                return warehouse.known_of(name, column, values)
        wanted = set(values)
        return {number: value for number, value in found.items() if value in wanted}

    def known(self, name: str) -> dict[int, str]:
        """The hash of the newest state of every id that is not deleted."""
        with self.runtime.warehouse(f"look up {name}", read_only=True) as con:
            return raw.RawWarehouse(con, connection=self.runtime.name, system=SHOP).known(name)

    def land(
        self, name: str, columns: Mapping[str, str], rows: Sequence[Record], fetched_at: datetime
    ) -> int:
        """Keep the rows for ``flush``; how many of them are new is not known yet, so all are counted."""
        self._landed.append((name, columns, rows, fetched_at))
        return len(rows)

    def set_aside(self, rows: Sequence[Poisoned], fetched_at: datetime) -> None:
        """Keep what could not be read for ``flush``."""
        self._aside.append((rows, fetched_at))

    def flush(self, con: duckdb.DuckDBPyConnection) -> int:
        """Land everything that was kept; how many rows were new or changed."""
        warehouse = raw.RawWarehouse(con, connection=self.runtime.name, system=SHOP)
        merged: dict[str, tuple[Mapping[str, str], list[Record], datetime]] = {}
        for name, columns, rows, fetched_at in self._landed:
            merged.setdefault(name, (columns, [], fetched_at))[1].extend(rows)
        inserted = sum(
            warehouse.land(name, columns, rows, fetched_at)
            for name, (columns, rows, fetched_at) in merged.items()
            if rows
        )
        for poisoned, fetched_at in self._aside:
            warehouse.set_aside(poisoned, fetched_at)
        self._landed.clear()
        self._aside.clear()
        return inserted
