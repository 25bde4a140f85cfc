"""The shop itself: its tables, its settings, its clock, and the file that keeps what happens to it.

What lives here: one object that every room of the sandbox shop works on. What does not: where the
first rows come from (``seeds``), HTTP (``app``), the rules of writing (``writes``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ps_qb_pipeline.sandbox.shop.faults import Faults
from ps_qb_pipeline.sandbox.shop.journal import Journal
from ps_qb_pipeline.sandbox.shop.resources import METHODS, resources
from ps_qb_pipeline.sandbox.shop.seeds import Source
from ps_qb_pipeline.sandbox.shop.tables import Row, Table, comparable
from ps_qb_pipeline.sandbox.shop.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Key:
    """A web service key: what it may do, and in which shops."""

    rights: Mapping[str, frozenset[str]]
    active: bool = True
    shops: frozenset[int] = frozenset()
    """Empty means every shop."""


def full_rights() -> dict[str, frozenset[str]]:
    """Every method on every resource."""
    return dict.fromkeys(resources(), frozenset(METHODS))


@dataclass(slots=True)
class Settings:
    """Switches of the shop that are no rows."""

    webservice: bool = True
    php_warnings: bool = True
    """Production error reporting: warnings of PHP turn good and bad answers alike into 500."""
    ssl: bool = False
    active_languages: tuple[int, ...] = ()
    """Empty means the languages whose row says so."""
    url_limit: int = 8190
    """Longest request line that the web server takes."""


@dataclass(slots=True)
class Clock:
    """The shop's time: the system's, or a time that somebody set and that then runs on or stands still."""

    offset: float = 0.0
    frozen: float | None = None

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.frozen if self.frozen is not None else time.time() + self.offset


@dataclass
class Shop:
    """Tables by resource name and everything around them."""

    tables: dict[str, Table]
    journal: Journal
    base_url: str
    keys: dict[str, Key]
    settings: Settings = field(default_factory=Settings)
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    requests: Counter[str] = field(default_factory=Counter)
    """How often each resource was asked, by "METHOD resource"; not kept over a restart."""
    source: Source | None = None
    webhooks: Webhooks = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Nobody is told of anything until an address is set."""
        self.webhooks = Webhooks(self)

    @classmethod
    def opened(cls, source: Source, *, state_path: Path | None, base_url: str, key: str) -> Shop:
        """The shop with its first rows and whatever happened to it since."""
        shop = cls(
            tables={},
            journal=Journal(state_path, source.identity),
            base_url=base_url,
            keys={key: Key(full_rights())},
            source=source,
        )
        shop._fill()
        for name, row_id, row in shop.journal.changes():
            if row is None:
                shop.tables[name].remove(row_id)
            else:
                shop.tables[name].put(row)
        shop.clock = Clock(**(shop.journal.fact("clock") or {}))
        for name, value in (shop.journal.fact("settings") or {}).items():
            setattr(shop.settings, name, tuple(value) if isinstance(value, list) else value)
        shop.webhooks.change(shop.journal.fact("webhooks") or {})
        return shop

    def reset(self) -> None:
        """Back to the first rows; keys stay."""
        self.journal.clear()
        self.clock, self.settings, self.faults = Clock(), Settings(), Faults()
        self.requests.clear()
        self._fill()

    def _fill(self) -> None:
        self.tables = {name: Table(resource) for name, resource in resources().items()}
        for name, rows in self.source.chunks() if self.source else ():
            if name in self.tables:
                self.tables[name].load(rows)

    # -------------------------------------------------------------------------------- rows

    def get(self, resource: str, row_id: int) -> Row | None:
        """A row, or nothing."""
        return self.tables[resource].get(row_id)

    def rows(self, resource: str, **equal: Any) -> list[Row]:
        """Rows whose columns equal the given values, by id."""
        table = self.tables[resource]
        if not equal:
            return [row for i in table.ids if (row := table.get(i)) is not None]
        (column, wanted), *rest = equal.items()
        found = [table.get(i) for i in table.ids_equal(column, [_key(table, column, wanted)])]
        return [r for r in found if r is not None and all(str(r[c]) == str(v) for c, v in rest)]

    def insert(self, resource: str, row: Row) -> Row:
        """Add a row under the next id; columns that it does not name are unset."""
        table = self.tables[resource]
        new = {"id": table.next_id()} | row
        table.put(new)
        stored = table.get(new["id"])
        assert stored is not None
        self.journal.record(resource, new["id"], stored)
        self.webhooks.note(resource, stored)
        return stored

    def update(self, resource: str, row_id: int, **changes: Any) -> Row:
        """Change columns of a row."""
        row = self.tables[resource].get(row_id)
        assert row is not None
        row |= changes
        self.tables[resource].put(row)
        self.journal.record(resource, row_id, row)
        self.webhooks.note(resource, row)
        return row

    def delete(self, resource: str, row_id: int) -> None:
        """Take a row away."""
        self.tables[resource].remove(row_id)
        self.journal.record(resource, row_id, None)

    # -------------------------------------------------------------------------------- settings

    def configuration(self, name: str, default: str = "") -> str:
        """A value of the shop's configuration."""
        rows = self.rows("configurations", name=name)
        return str(rows[0]["value"]) if rows else default

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which the shop writes its times."""
        return ZoneInfo(self.configuration("PS_TIMEZONE", "Europe/Paris"))

    def now(self) -> str:
        """The shop's wall time as the database stores it."""
        return (
            datetime.fromtimestamp(self.clock.now(), UTC).astimezone(self.zone).strftime("%Y-%m-%d %H:%M:%S")
        )

    def set_clock(self, *, offset: float = 0.0, frozen: float | None = None) -> None:
        """Let the shop's time differ from the system's, or stand still."""
        self.clock = Clock(offset, frozen)
        self.journal.remember("clock", {"offset": offset, "frozen": frozen})
        self.journal.commit()

    def languages(self) -> list[int]:
        """Ids of the active languages."""
        if self.settings.active_languages:
            return list(self.settings.active_languages)
        active = [r["id"] for r in self.rows("languages") if str(r["active"]) == "1"]
        return active or [1]

    def shop_ids(self) -> list[int]:
        """Ids of the active shops; a directory that lists none has one shop."""
        return [r["id"] for r in self.rows("shops") if str(r["active"]) == "1"] or [1]

    # -------------------------------------------------------------------------------- associations

    def associations(self, resource: str, row: Row) -> Mapping[str, Any]:
        """What hangs on a row: stored entries, and those that are rows of another table."""
        stored: dict[str, Any] = dict(row.get("associations") or {})
        for name, source, column in DERIVED.get(resource, ()):
            table = self.tables[source]
            if len(table):
                found = table.ids_equal(column, [row["id"]])
                known = [int(entry["id"]) for entry in stored.get(name) or ()]
                kept = [i for i in known if i in found]
                stored[name] = [table.get(i) for i in [*kept, *(i for i in found if i not in known)]]
        return stored

    def address(self, shops: list[int]) -> str:
        """The address under which answers point to rows of these shops."""
        base = self.base_url.replace("http://", "https://", 1) if self.settings.ssl else self.base_url
        if len(shops) == 1:
            urls = self.rows("shop_urls", id_shop=shops[0])
            base += str(urls[0]["virtual_uri"] or "") if urls else ""
        return base


#: Associations that are rows of another table: (association, table, column that points back).
DERIVED: dict[str, tuple[tuple[str, str, str], ...]] = {
    "orders": (("order_rows", "order_details", "id_order"),),
    "products": (
        ("combinations", "combinations", "id_product"),
        ("stock_availables", "stock_availables", "id_product"),
    ),
    "customer_threads": (("customer_messages", "customer_messages", "id_customer_thread"),),
}


def _key(table: Table, column: str, wanted: Any) -> Any:
    return comparable(table.resource.by_name[column], wanted)
