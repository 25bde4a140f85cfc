"""The mirror: what QuickBooks holds, landed as rows.

What lives here: the first load by query pages, the ticks by change data capture with an overlap,
deletions, and the sweep by count that proves the mirror complete. What does not: tables
(``entities`` names their columns, the caller lands them) and what the rows mean (staging).

A cursor moves only after its rows have been landed. A tick costs one change data capture call; what
change data capture does not report is read besides, preferences and exchange rates once a day, tax
codes, rates and agencies once a week. Queries are metered one by one, in batches too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from ps_qb_pipeline.errors import BooksFault
from ps_qb_pipeline.quickbooks.cdc import REACH_DAYS, Changes
from ps_qb_pipeline.quickbooks.entities import ENTITIES, Entity, typed
from ps_qb_pipeline.quickbooks.query import changed_since
from ps_qb_pipeline.quickbooks.texts import canonical

logger = logging.getLogger(__name__)

RESOURCE = "quickbooks"
OVERLAP = timedelta(minutes=10)
"""A tick looks back this far behind the last one: what was committed late is seen, the rest lands once."""
_DAILY = frozenset({"Preferences", "ExchangeRate"})
"""A closing date or a rate may matter tomorrow; the other lists that are read slowly wait for a week."""
SWEPT = ("Item", "Customer", "SalesReceipt", "Invoice", "Payment", "RefundReceipt", "CreditMemo")
"""What a sweep counts: what we write ourselves. Every count is a metered read."""
LAND_ROWS = 5000
"""How many rows are landed at once."""
_NOT_IN_PLAN = frozenset({"500", "5020", "5030"})
_REPORTED_SLOWLY = tuple(name for name, entity in ENTITIES.items() if not entity.cdc)


@dataclass(frozen=True, slots=True)
class MirrorRow:
    """One object to be landed: typed columns and the object as it came. A deleted one has no columns."""

    id: str
    values: Mapping[str, Any] = field(default_factory=dict)
    payload: str = '{"status":"Deleted"}'
    deleted: bool = False
    hash: str = ""


class Landed(Protocol):
    """What landing says of its rows."""

    @property
    def inserted(self) -> int:
        """How many were new or differed from what was there."""
        ...


class Land(Protocol):
    """Lands rows of one table durably."""

    def __call__(self, table: str, columns: Mapping[str, str], rows: Sequence[MirrorRow]) -> Landed:
        """``table`` is without schema and prefix: ``sales_receipts``."""
        ...


class CursorStore(Protocol):
    """The positions of this connection."""

    def get(self, resource: str) -> dict[str, Any] | None:
        """The last committed value."""
        ...

    def commit(self, resource: str, value: dict[str, Any]) -> None:
        """Keep a value for good."""
        ...


class MirrorBooks(Protocol):
    """What the mirror needs of the client."""

    realm: str

    def query_all(self, entity: str, where: str = "") -> Iterator[dict[str, Any]]:
        """Every row, inactive ones too."""
        ...

    def count(self, entity: str, where: str = "") -> int:
        """How many rows there are."""
        ...

    def changes(self, entities: Sequence[str], since: datetime) -> Changes:
        """What changed since then."""
        ...

    def company_info(self) -> dict[str, Any]:
        """The CompanyInfo object."""
        ...

    def preferences(self) -> dict[str, Any]:
        """The Preferences object."""
        ...

    def exchange_rate(self, currency: str, day: str) -> dict[str, Any]:
        """The rate of a currency at a day."""
        ...


@dataclass(slots=True)
class MirrorResult:
    """What one pull did, counted by entity.

    ``loaded`` names the entities that were read whole, ``resynced`` those whose count had been wrong,
    ``absent`` those that the company's plan does not include; ``time`` is QuickBooks' own clock, up to
    which the mirror is complete.
    """

    read: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    loaded: list[str] = field(default_factory=list)
    resynced: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    cdc_calls: int = 0
    time: str = ""


Alive = Callable[[str], Collection[str]]
"""The ids that the mirror holds as not deleted, by table."""


def pull(
    books: MirrorBooks,
    land: Land,
    cursors: CursorStore,
    *,
    full: bool = False,
    sweep: bool = False,
    alive: Alive | None = None,
    gone: Iterable[tuple[str, str]] = (),
    entities: Collection[str] = tuple(ENTITIES),
    now: datetime | None = None,
) -> MirrorResult:
    """Bring the mirror up to date: everything the first time or with ``full``, else what changed.

    With ``sweep`` the entities that we write are counted on both sides and read again whole where the
    counts differ (seven metered reads: nightly). ``gone`` holds (entity, Id) that a webhook reported as
    deleted or merged away. ``alive`` lets a whole read find deletions; without it none are found there.
    Raises the client's errors; what was landed before stays, and the next pull goes on from there.
    """
    pulling = _Pull(books, land, cursors, alive, now or datetime.now(UTC))
    pulling.run([name for name in ENTITIES if name in entities], full=full)
    pulling.bury(gone)
    if sweep:
        pulling.sweep([name for name in SWEPT if name in entities])
    return pulling.result


def read_lists_again(cursors: CursorStore) -> None:
    """Have the next pull read what change data capture does not report, such as tax codes, however fresh it is.

    For whoever has just created such rows, or heard that a person did.
    """
    if position := cursors.get(RESOURCE):
        cursors.commit(RESOURCE, {**position, "slow": {}})


class _Pull:
    def __init__(
        self, books: MirrorBooks, land: Land, cursors: CursorStore, alive: Alive | None, now: datetime
    ) -> None:
        self.books = books
        self.land = land
        self.cursors = cursors
        self.alive = alive
        self.now = now
        self.result = MirrorResult()
        self.position = cursors.get(RESOURCE) or {}

    def run(self, entities: Sequence[str], *, full: bool) -> None:
        since = _moment(self.position.get("since"))
        known = set(self.position.get("entities", ()))
        if since is None or full or self.now - since > timedelta(days=REACH_DAYS - 1):
            known = set()
        captured = [name for name in entities if ENTITIES[name].cdc]
        ticking = [name for name in captured if name in known]
        missing = [name for name in captured if name not in known]
        tick = (ticking, since) if ticking and since is not None else None
        until = self._tick(*tick) if tick else self._server_time(captured)
        for name in missing:
            if not self._load_if_there(name):
                continue
            known.add(name)
            if not ticking:
                # Nothing ticks yet: what has been loaded need not be loaded again after a crash.
                self._commit(until, known)
        self._slow_lists(entities, full=full)
        self._commit(until, known)
        self.result.time = until.isoformat()

    def _commit(self, since: datetime, known: Collection[str]) -> None:
        self.position = {**self.position, "since": since.isoformat(), "entities": sorted(known)}
        self.cursors.commit(RESOURCE, self.position)

    # -- ticks ---------------------------------------------------------------------------------

    def _tick(self, names: Sequence[str], since: datetime) -> datetime:
        changes = self.books.changes(names, since - OVERLAP)
        self.result.cdc_calls += changes.calls
        for name in names:
            found = [change for change in changes.rows if change.entity == name]
            self._put(name, [_row(ENTITIES[name], change.row, deleted=change.deleted) for change in found])
        for name in changes.full:
            # More changed than one answer holds. A query has no deletions, the count will tell.
            self._put(
                name,
                [
                    _row(ENTITIES[name], row)
                    for row in self.books.query_all(name, changed_since(since - OVERLAP))
                ],
            )
            self.sweep([name])
        return _moment(changes.time) or since

    def _server_time(self, names: Sequence[str]) -> datetime:
        """QuickBooks' own clock, so that a wrong one here loses no change."""
        changes = self.books.changes(names[:1], self.now - timedelta(hours=1))
        self.result.cdc_calls += changes.calls
        return _moment(changes.time) or self.now - timedelta(days=1)

    # -- whole reads ---------------------------------------------------------------------------

    def _load(self, name: str) -> None:
        entity = ENTITIES[name]
        before = set(self.alive(entity.table)) if self.alive is not None else set()
        found: set[str] = set()
        waiting: list[MirrorRow] = []
        for row in self.books.query_all(name):
            found.add(entity.identity(row))
            waiting.append(_row(entity, row))
            if len(waiting) >= LAND_ROWS:
                self._put(name, waiting)
                waiting = []
        gone = before - found
        self._put(name, waiting + [MirrorRow(one, deleted=True) for one in sorted(gone)])
        self.result.loaded.append(name)

    def _load_if_there(self, name: str) -> bool:
        """Read an entity whole unless the company's plan lacks it; whether it has it is asked once a week."""
        absent: dict[str, str] = dict(self.position.get("absent") or {})
        asked = _moment(absent.get(name))
        if asked is None or self.now - asked >= timedelta(days=7):
            try:
                self._load(name)
            except BooksFault as error:
                if error.fault.code not in _NOT_IN_PLAN:
                    raise
                logger.info("%s is not part of the company's plan (%s)", name, error.fault.code)
                absent[name] = self.now.isoformat()
            else:
                absent.pop(name, None)
            self.position = {**self.position, "absent": absent}
        if name in absent:
            self.result.absent.append(name)
        return name not in absent

    def sweep(self, names: Sequence[str]) -> None:
        """Read again whole every entity of which QuickBooks has another number of rows than the mirror."""
        if self.alive is None:
            return
        for name in names:
            if self.books.count(name) != len(self.alive(ENTITIES[name].table)):
                self._load(name)
                self.result.resynced.append(name)

    def bury(self, gone: Iterable[tuple[str, str]]) -> None:
        """Land deletions that were reported from elsewhere."""
        for name, one in gone:
            if name in ENTITIES:
                self._put(name, [MirrorRow(one, deleted=True)])

    # -- what change data capture does not report ----------------------------------------------

    def _slow_lists(self, entities: Sequence[str], *, full: bool) -> None:
        slow = [name for name in entities if name in _REPORTED_SLOWLY]
        read = {name: _moment(at) for name, at in (self.position.get("slow") or {}).items()}
        due = [name for name in slow if full or self._is_due(name, read.get(name))]
        preferences = self.books.preferences() if _DAILY & set(due) else {}
        for name in due:
            if name == "CompanyInfo":
                self._put(name, [_row(ENTITIES[name], self.books.company_info())])
            elif name == "Preferences":
                self._put(name, [_row(ENTITIES[name], preferences)])
            elif name == "ExchangeRate":
                self._rates(ENTITIES["Preferences"].values(preferences))
            else:
                self._load_if_there(name)
        stamps = {name: at.isoformat() for name, at in read.items() if at} | dict.fromkeys(
            due, self.now.isoformat()
        )
        self.position = {**self.position, "slow": stamps}

    def _is_due(self, name: str, last: datetime | None) -> bool:
        period = timedelta(days=1) if name in _DAILY else timedelta(days=7)
        return last is None or self.now - last >= period

    def _rates(self, preferences: Mapping[str, Any]) -> None:
        if not preferences["multi_currency"]:
            return
        day = self.now.date().isoformat()
        codes = sorted(str(row["Code"]) for row in self.books.query_all("CompanyCurrency", "Active = true"))
        for code in codes:
            if code == preferences["home_currency"]:
                continue
            try:
                rate = self.books.exchange_rate(code, day)
            except BooksFault as error:
                logger.warning("QuickBooks has no rate of %s for %s (%s)", code, day, error.fault.code)
                continue
            self._put("ExchangeRate", [_row(ENTITIES["ExchangeRate"], rate)])

    # -- landing -------------------------------------------------------------------------------

    def _put(self, name: str, rows: Sequence[MirrorRow]) -> None:
        entity = ENTITIES[name]
        landed = self.land(entity.table, entity.types, rows)
        _add(self.result.read, name, len(rows))
        _add(self.result.changed, name, landed.inserted)
        _add(self.result.deleted, name, sum(row.deleted for row in rows))


def _row(entity: Entity, row: Mapping[str, Any], *, deleted: bool = False) -> MirrorRow:
    identity = entity.identity(row)
    if deleted:
        return MirrorRow(identity, payload=canonical(row).decode(), deleted=True)
    values = {
        name: canonical(value).decode() if isinstance(value, (dict, list)) else value
        for name, value in entity.values(row).items()
    }
    return MirrorRow(identity, values, canonical(row).decode())


def _add(counts: dict[str, int], name: str, number: int) -> None:
    if number:
        counts[name] = counts.get(name, 0) + number


def _moment(text: Any) -> datetime | None:
    moment: datetime | None = typed(text, "timestamptz")
    return moment
