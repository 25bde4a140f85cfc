"""Writing back into the shop: what became of an order, and later stock.

What lives here: four small writes, each of which reads first and is safe to repeat. What does not: deciding
when to write (posting and orchestration).

The web service has no locks and no idempotency keys, and a repeated POST adds a second row. So every write
looks whether its effect is there already, sends once, and after an unknown outcome looks again before it
sends once more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ps_qb_pipeline.errors import ShopRefused, ShopUnavailable
from ps_qb_pipeline.prestashop import wire
from ps_qb_pipeline.prestashop.client import Shop
from ps_qb_pipeline.prestashop.resources import RESOURCES, Resource
from ps_qb_pipeline.prestashop.rows import Row

MARK = "QuickBooks"
"""The word that begins every line of ours in a note."""
_MESSAGES = Resource(
    name="messages",
    list_key="messages",
    changes="snapshot",
    columns={"id": "int", "id_order": "int", "message": "text", "private": "bool"},
)
_ORDER = RESOURCES["orders"].slim("note", "current_state", "total_paid_tax_incl", "total_paid_real")
_SENDS = 2


@dataclass(frozen=True, slots=True)
class Mark:
    """The QuickBooks document that an order became."""

    type: str
    number: str
    link: str = ""

    @property
    def line(self) -> str:
        """The line that stands in the order's note."""
        text = f"{MARK} {self.type} {self.number} {self.link}".rstrip()
        return wire.clean_text(re.sub(r"\s+", " ", text))


@dataclass(frozen=True, slots=True)
class Written:
    """``written``: now; ``already``: it was there; ``conflict``: not written, ``detail`` says why."""

    outcome: Literal["written", "already", "conflict"]
    detail: str = ""


def note(shop: Shop, order_id: int, mark: Mark) -> Written:
    """Adds the line of ``mark`` to the order's private note and keeps whatever stands there.

    A line of the same type and number is replaced, so that doing it twice changes nothing. A note with
    characters that XML cannot carry is left alone (``conflict``): use ``message`` for such an order.
    """
    wanted = ""

    def there() -> bool:
        nonlocal wanted
        before = _one(shop, _ORDER, order_id)["note"]
        wanted = _with_line(before, mark)
        return bool(wanted == before)

    if there():
        return Written("already")
    if wire.clean_text(wanted) != wanted:
        return Written("conflict", "the note holds characters that XML cannot carry; it was left as it is")
    return _once(
        there,
        lambda: shop.write(
            "PATCH", f"orders/{order_id}", wire.entity("order", [("id", order_id), ("note", wanted)])
        ),
    )


def message(shop: Shop, order_id: int, mark: Mark) -> Written:
    """Adds a private message with the line of ``mark`` to the order, unless one says it already."""

    def there() -> bool:
        found = shop.rows(_MESSAGES, {"id_order": f"[{order_id}]"})
        return any(one.values["message"].strip() == mark.line for one in found.records)

    if there():
        return Written("already")
    _one(shop, _ORDER, order_id)
    fields: list[tuple[str, str | int]] = [("id_order", order_id), ("message", mark.line), ("private", 1)]
    return _once(there, lambda: shop.write("POST", "messages", wire.entity("message", fields)))


def state(shop: Shop, order_id: int, state_id: int, *, may_create_payment: bool = False) -> Written:
    """Moves the order to the state ``state_id``, without an e-mail, unless it is there already.

    The first move of an unpaid order into a paid state makes PrestaShop invent a payment for what is left to
    pay; it is a ``conflict`` unless ``may_create_payment``.
    """
    target = _one(shop, RESOURCES["order_states"], state_id)
    order = _one(shop, _ORDER, order_id)
    if order["current_state"] == state_id:
        return Written("already")
    owed = (order["total_paid_tax_incl"] or 0) > (order["total_paid_real"] or 0)
    if target["paid"] and owed and not may_create_payment:
        return Written(
            "conflict", "money is owed and the state is a paid one: PrestaShop would add a payment"
        )
    histories = RESOURCES["order_histories"]
    before = {row.id for row in shop.rows(histories, {"id_order": f"[{order_id}]"}).records}

    def there() -> bool:
        entries = shop.rows(histories, {"id_order": f"[{order_id}]"}).records
        return any(row.values["id_order_state"] == state_id and row.id not in before for row in entries)

    fields: list[tuple[str, str | int]] = [("id_order", order_id), ("id_order_state", state_id)]
    return _once(there, lambda: shop.write("POST", "order_histories", wire.entity("order_history", fields)))


def stock(shop: Shop, stock_available_id: int, quantity: int, *, expected: int | None = None) -> Written:
    """Sets the quantity of a stock row. With ``expected``, only if that is what stands there now."""
    resource = RESOURCES["stock_availables"]

    def there() -> bool:
        return bool(_one(shop, resource, stock_available_id)["quantity"] == quantity)

    if there():
        return Written("already")
    if expected is not None and (now := _one(shop, resource, stock_available_id)["quantity"]) != expected:
        return Written(
            "conflict", f"the quantity is {now} by now, not {expected}: something was sold or counted"
        )
    fields: list[tuple[str, str | int]] = [("id", stock_available_id), ("quantity", quantity)]
    body = wire.entity("stock_available", fields)
    return _once(there, lambda: shop.write("PATCH", f"stock_availables/{stock_available_id}", body))


def _once(there: Callable[[], bool], send: Callable[[], object]) -> Written:
    """Sends until the effect can be read back; after an unknown outcome it is looked for before sending again."""
    for attempt in range(_SENDS):
        try:
            send()
        except ShopUnavailable:
            if there():
                return Written("written")
            if attempt == _SENDS - 1:
                raise
            continue
        break
    if not there():
        raise ShopRefused(
            "the shop accepted a change and does not show it: a module or an override drops it; look at the order in the "
            "back office before it is written again",
            codes=[],
        )
    return Written("written")


def _one(shop: Shop, resource: Resource, number: int) -> Row:
    page = shop.rows(resource, {"id": f"[{number}]"}, limit=1)
    for found in page.records:
        return found.values
    raise ShopRefused(
        f"{resource.name} {number}: not in the shop any more, or not readable; nothing was written",
        codes=[],
        resource=resource.name,
    )


def _own_line(mark: Mark) -> re.Pattern[str]:
    own = re.escape(f"{MARK} {mark.type} {mark.number}")
    return re.compile(rf"(?m)^[ \t]*{own}(?:[ \t][^\r\n]*)?(?=\r?$)")


def _with_line(before: str, mark: Mark) -> str:
    """The note ``before`` with the line of ``mark`` in place of one of the same type and number, or at its end."""
    own = _own_line(mark)
    if own.search(before):
        return own.sub(lambda _: mark.line, before, count=1)
    return f"{before}{'' if not before or before.endswith(chr(10)) else chr(10)}{mark.line}"
