"""Reading a shop: everything once, and after that whatever changed.

What lives here: which resources are read in which order, which orders a change concerns, and when cursors
move. What does not: single requests and pages (``client``, ``pages``), where rows land (a ``Warehouse`` is
handed in), and what no cursor can see (``sweep``).

A cursor moves only after every row before it has landed. A run that dies is repeated from there, and landing
a row twice changes nothing, so no row is lost and none is doubled.

Why so many cursors: a refund, a payment, a history entry, an address do not touch ``orders.date_upd``. Each
has a cursor of its own, and a change of any of them has its order read again, whole.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Protocol

from ps_qb_pipeline.prestashop.client import Page, Shop
from ps_qb_pipeline.prestashop.cursors import ID_OVERLAP, CursorStore, window_start, zone
from ps_qb_pipeline.prestashop.pages import Pager, records
from ps_qb_pipeline.prestashop.resources import RESOURCES, Resource
from ps_qb_pipeline.prestashop.rows import Poisoned, Record

_LOG = logging.getLogger(__name__)

REFERENCE = (
    "configurations",
    "languages",
    "shops",
    "order_states",
    "currencies",
    "countries",
    "states",
    "taxes",
    "tax_rules",
    "tax_rule_groups",
    "carriers",
)
"""Small and seldom changed: read whole once a day, and when an unknown id turns up."""
CATALOGUE = ("combinations", "stock_availables", "cart_rules")
"""Changes here show nowhere: read whole once a day."""
CHILDREN = (
    "order_details",
    "order_invoices",
    "order_carriers",
    "order_cart_rules",
    "order_histories",
    "order_slip",
)
"""Read by ``id_order`` for every order that changed."""
POLLED_BY_DATE = ("orders", "order_slip", "customers", "addresses", "products")
POLLED_BY_ID = ("order_payments", "order_histories")
POLLED = (*POLLED_BY_DATE, *POLLED_BY_ID)
POLLED_AFTER_LOAD = ("orders", "order_slip", *POLLED_BY_ID)
"""What may have changed an order while the first load was reading it; the rest waits for the next tick."""
LOADED = (
    "products",
    "order_slip",
    "order_payments",
    "order_histories",
    "orders",
    "order_details",
    "order_invoices",
    "order_carriers",
    "order_cart_rules",
    "customers",
    "addresses",
)
"""The order of the first load: what points at an order before it, its lines after it. Whatever changes while
it is being read is then seen by the first poll as a change, never as known already."""

_DAY = 86_400
_BATCH_ROWS = 2_000
_BATCH_ORDERS = 100
_ROUNDS = 3
_MOST_CONFIRMED = 200
_PATIENCE = 5
"""So many extractions read an unsettled order again; whatever becomes of it later shows in its header."""
_NO_STATE = (None, 0)


class Warehouse(Protocol):
    """Where rows land. Every method is durable when it returns."""

    def land(
        self, name: str, columns: Mapping[str, str], rows: Sequence[Record], fetched_at: datetime
    ) -> int:
        """Appends the rows of the resource ``name`` that are new or changed; returns how many those were."""

    def set_aside(self, rows: Sequence[Poisoned], fetched_at: datetime) -> None:
        """Keeps the objects that could not be read, for a person to see."""

    def known(self, name: str) -> dict[int, str]:
        """The hash of the newest state of every id of ``name`` that is not deleted."""

    def known_of(self, name: str, column: str, values: Sequence[int | str]) -> dict[int, Any]:
        """The value of ``column`` of every id of ``name`` that is not deleted and whose value is in ``values``."""


@dataclass(slots=True)
class ExtractResult:
    """What one extraction did: rows by resource, orders read whole, objects set aside."""

    read: Counter[str] = field(default_factory=Counter)
    inserted: Counter[str] = field(default_factory=Counter)
    orders: set[int] = field(default_factory=set)
    """Orders that were read whole because they are new, or they or something of theirs changed."""
    poisoned: list[Poisoned] = field(default_factory=list)
    deleted: Counter[str] = field(default_factory=Counter)
    unsettled: set[int] = field(default_factory=set)
    """Orders that were still changing; the next extraction reads them again."""
    requests: int = 0
    seconds: float = 0.0
    version: str = ""
    server_time: int | None = None


def extract(
    shop: Shop,
    cursors: CursorStore,
    warehouse: Warehouse,
    *,
    full: bool = False,
    ids: Iterable[int] | None = None,
) -> ExtractResult:
    """Reads what is new in ``shop`` into ``warehouse`` and moves ``cursors``.

    The first extraction reads everything (and goes on where it stopped if it was interrupted); so does every
    one with ``full``. With ``ids`` only those orders are read, whole, and no cursor moves. Raises a
    ``ShopError`` when the shop cannot be read; whatever landed until then stays, and counts.
    """
    run = Extraction(shop, cursors, warehouse)
    began, sent = time.monotonic(), shop.requests
    try:
        if ids is not None:
            run.prepare(max_age=_DAY)
            run.read_orders(set(ids), {})
            run.read_unknown_products()
        else:
            run.prepare(max_age=0 if full else _DAY)
            loaded = run.load(again=full)
            run.poll(POLLED_AFTER_LOAD if loaded else POLLED)
    finally:
        run.result.requests = shop.requests - sent
        run.result.seconds = time.monotonic() - began
        run.result.version = shop.version
        run.result.server_time = shop.server_time
    return run.result


class Extraction:
    """One run over one shop. ``sweep`` uses its parts too."""

    def __init__(self, shop: Shop, cursors: CursorStore, warehouse: Warehouse) -> None:
        self.shop = shop
        self.pager = Pager(shop)
        self.cursors = cursors
        self.warehouse = warehouse
        self.result = ExtractResult()
        self._about: dict[str, Any] = {}
        self._refreshed: set[str] = set()
        self._sold: set[int] = set()

    # What is known about the shop

    @property
    def now(self) -> float:
        """The shop's clock in Unix seconds; ours where the shop does not tell."""
        if self.shop.server_time is None:
            self.shop.ids(RESOURCES["shops"], limit=1)
        told = self.shop.server_time
        return float(told) if told is not None else _here()

    @property
    def zones(self) -> list[tzinfo | None]:
        """The time zones of the shop; several where its shops differ."""
        return [zone(name) for name in self._about.get("zones", [])] or [None]

    def window(self, epoch: float) -> datetime:
        """The earliest wall time that a change since ``epoch`` can carry in any of the shop's zones."""
        return min(window_start(epoch, one) for one in self.zones)

    def prepare(self, *, max_age: float) -> None:
        """Learns zone and language, and reads the reference data that is older than ``max_age`` seconds."""
        self._about = dict(self.cursors.get("shop") or {})
        self.shop.language = self._about.get("language")
        if self._about and abs(_here() - self._about.get("read_at", 0.0)) < max_age:
            return
        known: dict[str, list[int]] = {}
        for name in REFERENCE:
            known[name] = self._read_reference(name)
        for name in CATALOGUE:
            self.land_pages(RESOURCES[name], self.pager.all_by_id(RESOURCES[name]))
        self._about |= {"read_at": _here(), "known": known}
        self.cursors.commit("shop", self._about)

    def _read_reference(self, name: str) -> list[int]:
        resource = RESOURCES[name]
        rows = self.land_pages(resource, self.pager.all_by_id(resource), keep=True)
        self._refreshed.add(name)
        if name == "configurations":
            self._learn(rows)
        return sorted({row.id for row in rows})

    def _learn(self, settings: Sequence[Record]) -> None:
        zones = sorted(
            {r.values["value"] for r in settings if r.values["name"] == "PS_TIMEZONE" and r.values["value"]}
        )
        shared = {r.values["name"]: r.values["value"] for r in settings if r.values["id_shop"] is None}
        self._about["zones"] = zones
        language = shared.get("PS_LANG_DEFAULT", "")
        if language.isascii() and language.isdigit():
            self._about["language"] = self.shop.language = int(language)

    # The first load

    def load(self, *, again: bool) -> bool:
        """Reads every row of the resources that were never read whole; of all of them with ``again``.

        Returns whether there was anything to load.
        """
        pending = [name for name in LOADED if again or "since" not in (self.cursors.get(name) or {})]
        began = self.now if pending else 0.0
        for name in pending:
            cursor = self.cursors.get(name) or {}
            fresh = {"loading": {"began": began, "after": 0, "seen": {}}}
            self._load(RESOURCES[name], cursor if "loading" in cursor else fresh)
        return bool(pending)

    def _load(self, resource: Resource, cursor: dict[str, Any]) -> None:
        state = cursor["loading"]
        start = self.window(state["began"])
        for pages in _batches(self.pager.all_by_id(resource, after=state["after"])):
            rows = self.land_pages(resource, pages, keep=True)
            state["after"] = max([state["after"], *_ids(pages)])
            state["seen"] |= _recent(resource, rows, start)
            if resource.name == "orders":
                self.result.orders |= {row.id for row in rows}
                self.result.unsettled |= {row.id for row in rows if row.values["current_state"] in _NO_STATE}
            if resource.changes == "id":
                state["seen"] = _last_ids(state["seen"] | {str(row.id): row.hash for row in rows})
            self.cursors.commit(resource.name, {"loading": state})
        done = {"since": state["began"], "here": _here(), "after": state["after"], "seen": state["seen"]}
        if resource.name == "orders":
            done["again"] = self._again({})
        self.cursors.commit(resource.name, done)

    # After that

    def poll(self, names: Sequence[str]) -> None:
        """Asks the resources ``names``, which have cursors of their own, for changes; reads the orders concerned whole."""
        polled = {name: self.cursors.get(name) or {} for name in names}
        answers = self._answers(polled)
        began = self.now
        changed: dict[str, list[Record]] = {}
        moved: dict[str, dict[str, Any]] = {}
        for name, pages in answers.items():
            resource = RESOURCES[name]
            rows = records(pages)
            changed[name] = [row for row in rows if polled[name].get("seen", {}).get(str(row.id)) != row.hash]
            self._count(resource, pages)
            if name != "orders":
                self._land(resource, changed[name])
            moved[name] = self._moved(resource, polled[name], rows, pages, began)
        tried = {int(number): tries for number, tries in polled["orders"].get("again", {}).items()}
        headers = {row.id: row for row in changed["orders"]}
        owners = {
            row.values["id_order"] for name in ("order_slip", "order_histories") for row in changed[name]
        }
        references = {row.values["order_reference"] for row in changed["order_payments"]}
        references -= {row.values["reference"] for row in headers.values()}
        self.read_orders(owners | tried.keys(), headers, references=references)
        moved["orders"]["again"] = self._again(tried)
        for name, cursor in moved.items():
            self.cursors.commit(name, cursor)

    def _again(self, tried: Mapping[int, int]) -> dict[str, int]:
        """The orders to read again next time, with how often that was done already."""
        tries = {number: tried.get(number, 0) + 1 for number in sorted(self.result.unsettled)}
        return {str(number): times for number, times in tries.items() if times <= _PATIENCE}

    def _answers(self, polled: Mapping[str, dict[str, Any]]) -> dict[str, list[Page]]:
        """What every polled resource says. The first answer tells the shop's clock; the others go side by side.

        A clock that stands before the last poll was set back in between: as much is read again as has passed
        since by our own clock.
        """
        since = polled["orders"].get("since", 0.0)
        first = self._ask("orders", polled["orders"], since)
        if self.now < since:
            passed = max(0.0, _here() - polled["orders"].get("here", 0.0))
            since = self.now - passed
            _LOG.warning("the shop's clock went back; reading everything since %s again", self.window(since))
            first = self._ask("orders", polled["orders"], since)
        others = [name for name in polled if name != "orders"]
        with ThreadPoolExecutor(self.shop.connections) as pool:
            asked = pool.map(lambda name: self._ask(name, polled[name], since), others)
            return {"orders": first} | dict(zip(others, asked, strict=True))

    def _ask(self, name: str, cursor: Mapping[str, Any], since: float) -> list[Page]:
        resource = RESOURCES[name]
        if name in POLLED_BY_ID:
            return list(self.pager.all_by_id(resource, after=max(0, cursor.get("after", 0) - ID_OVERLAP)))
        return list(self.pager.changed_since(resource, self.window(min(cursor.get("since", 0.0), since))))

    def _moved(
        self,
        resource: Resource,
        cursor: Mapping[str, Any],
        rows: list[Record],
        pages: list[Page],
        began: float,
    ) -> dict[str, Any]:
        if resource.changes == "id":
            seen = _last_ids({**cursor.get("seen", {}), **{str(row.id): row.hash for row in rows}})
            return {"since": began, "after": max([cursor.get("after", 0), *_ids(pages)]), "seen": seen}
        return {"since": began, "here": _here(), "seen": _recent(resource, rows, self.window(began))}

    # Whole orders

    def read_orders(
        self, ids: set[int], headers: Mapping[int, Record], *, references: Iterable[str] = ()
    ) -> None:
        """Reads orders with everything that belongs to them, until header and lines fit together.

        ``headers`` are orders whose header was read just now; of ``ids`` and ``references`` it is read here.
        """
        found = dict(headers)
        orders = RESOURCES["orders"]
        pages = [
            *self.pager.by_values(orders, "id", ids - found.keys()),
            *self.pager.by_values(orders, "reference", filter(None, references)),
        ]
        self._count(orders, pages)
        found |= {row.id: row for row in records(pages)}
        gone = ids - found.keys() - {one.id for page in pages for one in page.poisoned}
        if gone:
            known = self.warehouse.known_of("orders", "id", sorted(gone)).keys()
            self.land_deleted(orders, self.confirmed_gone(orders, gone & known))
        numbers = sorted(found)
        for start in range(0, len(numbers), _BATCH_ORDERS):
            self._read_batch({number: found[number] for number in numbers[start : start + _BATCH_ORDERS]})

    def _read_batch(self, headers: dict[int, Record]) -> None:
        orders = RESOURCES["orders"]
        self.result.orders |= headers.keys()
        pending = dict(headers)
        for _ in range(_ROUNDS):
            self._read_children(pending)
            self._land(orders, list(pending.values()))
            pages = list(self.pager.by_values(orders, "id", pending))
            self._count(orders, pages)
            now = {row.id: row for row in records(pages)}
            pending = {number: row for number, row in now.items() if row.hash != pending[number].hash}
            if not pending:
                break
        self._land(orders, list(pending.values()))
        unfinished = {number for number, row in headers.items() if row.values["current_state"] in _NO_STATE}
        self.result.unsettled |= pending.keys() | unfinished

    def _read_children(self, headers: Mapping[int, Record]) -> None:
        """Everything that belongs to the orders ``headers``: lines, money, people; lines that vanished too."""
        values = [row.values for row in headers.values()]
        numbers = sorted(headers)
        wanted: list[tuple[str, str, list[Any]]] = [(name, "id_order", numbers) for name in CHILDREN]
        wanted += [
            ("order_payments", "order_reference", sorted({v["reference"] for v in values} - {""})),
            ("customers", "id", sorted({v["id_customer"] for v in values} - {None, 0})),
            ("addresses", "id", sorted(_addresses(values))),
        ]
        found = self._read_each(wanted)
        self._sold |= {row.values["product_id"] for row in found["order_details"]} - {None, 0}
        rules = {row.values["id_cart_rule"] for row in found["order_cart_rules"]} - {None, 0}
        if rules:
            self._read_each([("cart_rules", "id", sorted(rules))])
        self._refresh_unknown(values, found)

    def _read_each(self, wanted: Sequence[tuple[str, str, list[Any]]]) -> dict[str, list[Record]]:
        with ThreadPoolExecutor(self.shop.connections) as pool:
            answers = list(pool.map(self._read_by, wanted))
        found: dict[str, list[Record]] = {}
        for (name, column, asked), pages in zip(wanted, answers, strict=True):
            resource = RESOURCES[name]
            self._count(resource, pages)
            found[name] = records(pages)
            self._land(resource, found[name])
            if column == resource.parent:
                self._note_vanished(resource, asked, pages)
        return found

    def _read_by(self, wanted: tuple[str, str, list[Any]]) -> list[Page]:
        name, column, values = wanted
        return list(self.pager.by_values(RESOURCES[name], column, values))

    def _note_vanished(self, resource: Resource, parents: list[Any], pages: list[Page]) -> None:
        """Rows that were there and are gone from orders that are there: a line that was taken out again.

        A database error looks like an empty list, so each row is asked for by itself before it is believed; the
        orders of those that are there after all are read again.
        """
        known = self.warehouse.known_of(resource.name, resource.parent, parents)
        gone = known.keys() - set(_ids(pages))
        if gone:
            confirmed = self.confirmed_gone(resource, gone)
            self.land_deleted(resource, confirmed)
            hidden = {known[number] for number in gone - confirmed}
            self.result.unsettled |= {parent for parent in hidden if isinstance(parent, int)}

    def confirmed_gone(self, resource: Resource, ids: Iterable[int]) -> set[int]:
        """Those of ``ids`` that the shop says it has no more; none when there are too many to ask for."""
        numbers = set(ids)
        if len(numbers) > _MOST_CONFIRMED:
            _LOG.warning(
                "%s: %d rows seem to be gone at once, which is not believed", resource.name, len(numbers)
            )
            return set()
        return {number for number in numbers if not self.shop.exists(resource, number)}

    def _refresh_unknown(self, headers: list[dict[str, Any]], found: Mapping[str, list[Record]]) -> None:
        used: dict[str, set[Any]] = {
            "order_states": {v["current_state"] for v in headers}
            | {row.values["id_order_state"] for row in found["order_histories"]},
            "currencies": {v["id_currency"] for v in headers},
            "carriers": {v["id_carrier"] for v in headers},
            "countries": {row.values["id_country"] for row in found["addresses"]},
            "states": {row.values["id_state"] for row in found["addresses"]},
            "taxes": {tax.get("id") for row in found["order_details"] for tax in row.values["taxes"]},
        }
        known = self._about.get("known", {})
        unknown = [
            name
            for name, numbers in used.items()
            if name not in self._refreshed and {int(n) for n in numbers if n} - set(known.get(name, ()))
        ]
        for name in unknown:
            known[name] = self._read_reference(name)
        if unknown:
            self._about["known"] = known
            self.cursors.commit("shop", self._about)

    def read_unknown_products(self) -> None:
        """Reads the products of the orders read so far that have never been seen: made since the last poll."""
        known = self.warehouse.known_of("products", "id", sorted(self._sold)).keys() if self._sold else set()
        new = self._sold - known
        if new:
            self._read_each([("products", "id", sorted(new)), ("combinations", "id_product", sorted(new))])

    # Landing

    def land_pages(self, resource: Resource, pages: Iterable[Page], *, keep: bool = False) -> list[Record]:
        """Counts and lands ``pages``; returns their rows if they are to be kept."""
        kept: list[Record] = []
        for page in pages:
            self._count(resource, [page])
            self._land(resource, page.records)
            if keep:
                kept.extend(page.records)
        return kept

    def _count(self, resource: Resource, pages: Iterable[Page]) -> None:
        for page in pages:
            self.result.read[resource.name] += page.size
            if page.poisoned:
                self.result.poisoned.extend(page.poisoned)
                self.warehouse.set_aside(page.poisoned, datetime.now(UTC))
                _LOG.warning(
                    "%s: %d objects could not be read and are set aside: %s", resource.name, len(page.poisoned),
                    ", ".join(str(one.id) for one in page.poisoned[:10]),
                )  # fmt: skip

    def _land(self, resource: Resource, rows: Sequence[Record]) -> None:
        if rows:
            self.result.inserted[resource.name] += self.warehouse.land(
                resource.name, resource.columns, rows, datetime.now(UTC)
            )

    def land_deleted(self, resource: Resource, ids: Iterable[int]) -> None:
        """Lands that the rows ``ids`` are gone from the shop."""
        rows = [Record(number, {"id": number}, "null", "deleted", deleted=True) for number in sorted(ids)]
        if rows:
            landed = self.warehouse.land(resource.name, resource.columns, rows, datetime.now(UTC))
            self.result.deleted[resource.name] += landed


def _here() -> float:
    """Our own clock, in Unix seconds."""
    return datetime.now(UTC).timestamp()


def _batches(pages: Iterator[Page]) -> Iterator[list[Page]]:
    """``pages`` gathered until they hold enough rows for one landing."""
    batch: list[Page] = []
    for page in pages:
        batch.append(page)
        if sum(one.size for one in batch) >= _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _ids(pages: Iterable[Page]) -> list[int]:
    found = [row.id for page in pages for row in page.records]
    return found + [one.id for page in pages for one in page.poisoned if one.id is not None]


def _addresses(orders: Iterable[Mapping[str, Any]]) -> set[int]:
    found = {order[column] for order in orders for column in ("id_address_invoice", "id_address_delivery")}
    return found - {None, 0}


def _recent(resource: Resource, rows: Iterable[Record], start: datetime) -> dict[str, str]:
    if "date_upd" not in resource.columns:
        return {}
    return {str(row.id): row.hash for row in rows if (row.values["date_upd"] or start) >= start}


def _last_ids(seen: Mapping[str, str]) -> dict[str, str]:
    """The newest ids only, as many as the next poll reads again."""
    numbers = sorted(map(int, seen))[-ID_OVERLAP:]
    return {str(number): seen[str(number)] for number in numbers}
