"""From hints to orders, and from a shop that sends none to hints.

What lives here: which orders a hint concerns, and the poll that puts hints into the inbox for shops
without webhooks. What does not: reading the orders (``live``), the inbox itself (``state.inbox``).

A poll finds a change more often than once, because its windows overlap; the inbox takes each in once.
So there is one way for all changes, and a run that dies loses none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from ps_qb_pipeline.orchestration.landing import SHOP, ConnectionCursors
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.prestashop.client import Limits, Shop
from ps_qb_pipeline.prestashop.cursors import window_start, zone
from ps_qb_pipeline.prestashop.pages import Pager, records
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.prestashop.rows import Record
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.inbox import Arrival, Inbox

BY_ORDER = frozenset(
    {
        "order_details",
        "order_invoices",
        "order_carriers",
        "order_cart_rules",
        "order_histories",
        "order_slip",
        "order_payments",
    }
)
"""What belongs to an order and may be named in its place."""
OVERLAP = timedelta(minutes=2)
"""How much of its last window a poll reads again; the nightly search looks back further."""
IN_A_HURRY = Limits(connect=5.0, read=10.0, total=15.0, attempts=2, first_wait=0.5, longest_wait=2.0)
"""A sensor's evaluation ends after a minute; a shop that does not answer is asked again by the next."""
SAME_SECOND = 2.0
"""A row's stamp has whole seconds: so long after it nothing more can come under the same one."""
_AGAIN = {"order_histories": 20, "order_payments": 0}
"""How many of the last ids are read again: one can become visible after a higher one. Payments, each of
which costs a request, are not; their orders change with them."""
POLL = "live.poll"
_DATED = {
    "orders": RESOURCES["orders"].slim("date_upd"),
    "order_slip": RESOURCES["order_slip"].slim("id_order", "date_upd"),
}
_NUMBERED = {
    "order_histories": RESOURCES["order_histories"].slim("id_order"),
    "order_payments": RESOURCES["order_payments"].slim("order_reference"),
}


def loaded(runtime: Runtime) -> bool:
    """Whether the shop has been read whole once; before that there is nothing for a live run to add to."""
    return "since" in (_cursors(runtime).get("orders") or {})


def concerned(shop: Shop, hints: Iterable[Mapping[str, Any]]) -> set[int]:
    """The orders that hints of the shop concern; what belongs to an order is asked for its order.

    A hint about anything else (a product, a customer) concerns none: the nightly run reads those.
    """
    orders: set[int] = set()
    asked: dict[str, set[int]] = {}
    for hint in hints:
        if "id_order" in hint:
            orders.add(int(hint["id_order"]))
        elif hint["resource"] == "orders":
            orders.add(int(hint["id"]))
        elif hint["resource"] in BY_ORDER:
            asked.setdefault(hint["resource"], set()).add(int(hint["id"]))
    pager = Pager(shop)
    for name, ids in asked.items():
        column = "order_reference" if name == "order_payments" else "id_order"
        rows = records(pager.by_values(RESOURCES[name].slim(column), "id", ids))
        found = {row.values[column] for row in rows} - {None, 0, ""}
        if name == "order_payments":
            found = {order for several in _of_references(pager, found).values() for order in several}
        orders |= found
    return orders


def _of_references(pager: Pager, references: Iterable[str | None]) -> dict[str, list[int]]:
    """The orders of each reference; split orders share one."""
    found: dict[str, list[int]] = {}
    wanted = set(filter(None, references))
    if wanted:
        for row in records(pager.by_values(RESOURCES["orders"].slim("reference"), "reference", wanted)):
            found.setdefault(row.values["reference"], []).append(row.id)
    return found


def poll(runtime: Runtime) -> int:
    """Ask the shop what changed since the last poll and put it into the inbox; how many changes were new.

    Four small requests, side by side; a fifth for new payments, which name no order. Raises a
    ``ShopError`` when the shop cannot be asked.
    """
    cursors = _cursors(runtime)
    state = cursors.get(POLL) or _first_state(cursors)
    zones = [zone(name) for name in (cursors.get("shop") or {}).get("zones", [])] or [None]
    since = min(window_start(state["since"], one, overlap=OVERLAP) for one in zones)
    with runtime.shop(IN_A_HURRY) as shop, ThreadPoolExecutor(shop.connections) as pool:
        pager = Pager(shop)

        def ask(name: str) -> list[Record]:
            if name in _DATED:
                return records(pager.changed_since(_DATED[name], since))
            return records(pager.all_by_id(_NUMBERED[name], after=state[name]))

        names = (*_DATED, *_NUMBERED)
        changed = dict(zip(names, pool.map(ask, names), strict=True))
        here = datetime.now(UTC).timestamp()
        now = float(shop.server_time) if shop.server_time is not None else here
        orders = _of_references(pager, {row.values["order_reference"] for row in changed["order_payments"]})
    histories = changed["order_histories"]
    new = Inbox(runtime.engine).receive_all(
        [
            *(_dated(runtime.name, "orders", row, row.id, zones[0], now, here) for row in changed["orders"]),
            *(
                _dated(runtime.name, "order_slip", row, row.values["id_order"], zones[0], now, here)
                for row in changed["order_slip"]
            ),
            *(_arrival(runtime.name, "order_histories", row.id, row.values["id_order"]) for row in histories),
            *(
                _arrival(runtime.name, "order_payments", row.id, order)
                for row in changed["order_payments"]
                for order in orders.get(row.values["order_reference"], ())
            ),
        ]
    )
    moved = {name: _next(name, state[name], [row.id for row in changed[name]]) for name in _NUMBERED}
    cursors.commit(POLL, {"since": now, **moved})
    return new


def _arrival(
    connection: str, name: str, number: int, order: int, stamp: str = "", at: float = 0.0
) -> Arrival:
    """A polled change; ``row`` lets a round see that it has been read already (``LiveLanding.has_read``)."""
    hint = {"resource": "orders", "id": order, "event": "polled", "row": [name, number, stamp, at]}
    return Arrival(SHOP, f"{connection}/poll/{name}/{number}/{stamp}", connection, hint)


def _dated(
    connection: str, name: str, row: Record, order: int, shop_zone: tzinfo | None, now: float, here: float
) -> Arrival:
    stamp = row.values["date_upd"]
    if stamp is None or shop_zone is None:
        return _arrival(connection, name, row.id, order, str(stamp), float("inf"))
    at = stamp.replace(tzinfo=shop_zone).timestamp()
    # The second of the change is not over: what else happens in it has the same stamp, and is asked for again.
    early = "/early" if at >= now - SAME_SECOND else ""
    return _arrival(connection, name, row.id, order, f"{stamp}{early}", at - now + here)


def _next(name: str, before: int, ids: Sequence[int]) -> int:
    return max([before, *(number - _AGAIN[name] for number in ids)])


def _first_state(cursors: ConnectionCursors) -> dict[str, Any]:
    """Where the last whole reading ended."""
    after = {name: (cursors.get(name) or {}).get("after", 0) - _AGAIN[name] for name in _NUMBERED}
    since = (cursors.get("orders") or {}).get("since", datetime.now(UTC).timestamp())
    return {"since": since, **{name: max(0, number) for name, number in after.items()}}


def _cursors(runtime: Runtime) -> ConnectionCursors:
    return ConnectionCursors(Cursors(runtime.engine), runtime.name, SHOP)
