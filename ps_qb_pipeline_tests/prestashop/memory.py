"""A warehouse that forgets: what landed, by resource and id, in a dictionary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ps_qb_pipeline.prestashop.rows import Poisoned, Record


class MemoryWarehouse:
    """Keeps the newest state of every row; ``log`` lists every append."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, Record]] = defaultdict(dict)
        self.aside: list[Poisoned] = []
        self.log: list[tuple[str, int]] = []

    def land(
        self, name: str, columns: Mapping[str, str], rows: Sequence[Record], fetched_at: datetime
    ) -> int:
        inserted = 0
        for row in rows:
            before = self.rows[name].get(row.id)
            if (before and before.hash == row.hash) or (row.deleted and not before):
                continue
            self.rows[name][row.id] = row
            self.log.append((name, row.id))
            inserted += 1
        return inserted

    def set_aside(self, rows: Sequence[Poisoned], fetched_at: datetime) -> None:
        self.aside.extend(rows)

    def live(self, name: str) -> dict[int, dict[str, Any]]:
        return {number: row.values for number, row in self.rows[name].items() if not row.deleted}

    def known(self, name: str) -> dict[int, str]:
        return {number: self.rows[name][number].hash for number in self.live(name)}

    def known_of(self, name: str, column: str, values: Sequence[int | str]) -> dict[int, Any]:
        wanted = set(values)
        return {number: row[column] for number, row in self.live(name).items() if row[column] in wanted}

    def values(self, name: str, columns: Sequence[str], ids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
        live = self.live(name)
        return {number: tuple(live[number][c] for c in columns) for number in ids if number in live}
