"""The control of a sandbox shop: what ``PUT /_control`` understands.

What lives here: one command a function, its checks and its answer. What does not: the deeds themselves
(``commerce``, ``aftersales``, ``life``, ``faults``). Nothing of this exists in a PrestaShop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

from ps_qb_pipeline.sandbox.shop.aftersales import Refunded, add_line, change_quantity, poison, refund
from ps_qb_pipeline.sandbox.shop.commerce import Discount, Impossible, Item, change_state, order_of
from ps_qb_pipeline.sandbox.shop.faults import made
from ps_qb_pipeline.sandbox.shop.life import CANCELED, PAYMENTS, Life, live, pay
from ps_qb_pipeline.sandbox.shop.resources import METHODS, resources
from ps_qb_pipeline.sandbox.shop.shop import Key, Settings, Shop, full_rights

Arguments = dict[str, Any]


class BadCommand(Exception):
    """The command is unknown, malformed or impossible; the message says what is understood."""


def run(shop: Shop, command: Any) -> dict[str, Any]:
    """Carry out one command, ``{"name": {arguments}}``, or several in a list; answers with what was done.

    Errors:
        BadCommand: nothing of the failing command was done; commands before it in a list were.
    """
    if isinstance(command, list):
        return {"done": [run(shop, single) for single in command]}
    if not isinstance(command, dict) or not command:
        raise BadCommand(f"a command is an object with one of {', '.join(sorted(COMMANDS))}")
    answer: dict[str, Any] = {}
    for name, arguments in command.items():
        deed = COMMANDS.get(name)
        if deed is None:
            raise BadCommand(f"{name}: unknown command; known are {', '.join(sorted(COMMANDS))}")
        try:
            answer |= deed(shop, arguments if isinstance(arguments, dict) else {"value": arguments})
        except (KeyError, TypeError, ValueError, ArithmeticError, Impossible) as error:
            raise BadCommand(f"{name}: {type(error).__name__}: {error}") from error
    shop.journal.commit()
    return answer


def status(shop: Shop) -> dict[str, Any]:
    """What the shop is like now."""
    return {
        "shop": shop.journal.fact("identity"),
        "now": shop.now(),
        "rows": {name: len(table) for name, table in shop.tables.items() if len(table)},
        "faults": [fault.told() for fault in shop.faults.active],
        "settings": asdict(shop.settings),
        "requests": dict(shop.requests),
        "webhooks": shop.webhooks.as_json(),
        "made_of": dict(shop.source.counts) if shop.source else {},
    }


# ------------------------------------------------------------------------------------ the shop


def _settings(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    known = {f.name for f in fields(Settings)}
    for name, value in arguments.items():
        if name not in known:
            raise BadCommand(f"set: {name} is unknown; known are {', '.join(sorted(known))}")
        setattr(shop.settings, name, tuple(value) if isinstance(value, list) else value)
    shop.journal.remember("settings", asdict(shop.settings))
    return {"set": asdict(shop.settings)}


def _key(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    key = arguments["key"]
    rights = arguments.get("rights", "all")
    if rights == "all":
        granted = full_rights()
    elif rights == "read":
        granted = dict.fromkeys(resources(), frozenset({"GET", "HEAD"}))
    else:
        granted = {name: frozenset(methods) & frozenset(METHODS) for name, methods in rights.items()}
    shop.keys[key] = Key(granted, bool(arguments.get("active", True)), frozenset(arguments.get("shops", ())))
    return {"keys": len(shop.keys)}


def _clock(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    if "freeze" in arguments:
        shop.set_clock(frozen=_epoch(shop, arguments["freeze"]))
    elif "set" in arguments:
        shop.set_clock(offset=_epoch(shop, arguments["set"]) - time.time())
    elif "advance" in arguments:
        clock, seconds = shop.clock, float(arguments["advance"])
        if clock.frozen is not None:
            shop.set_clock(frozen=clock.frozen + seconds)
        else:
            shop.set_clock(offset=clock.offset + seconds)
    elif arguments.get("value") == "real":
        shop.set_clock()
    else:
        raise BadCommand('clock: understands {"freeze"}, {"set"}, {"advance": seconds} and "real"')
    return {"now": shop.now()}


def _epoch(shop: Shop, when: str | int) -> float:
    """Seconds since the epoch, of such a number or of the shop's wall time."""
    if isinstance(when, int):
        return float(when)
    return datetime.fromisoformat(when).replace(tzinfo=shop.zone).timestamp()


def _webhooks(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    shop.webhooks.change(arguments)
    return {"webhooks": shop.webhooks.as_json()}


def _row(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    """Set columns of a row, or make it; ``date_upd`` moves only when it is named."""
    resource, row_id = arguments["resource"], int(arguments["id"])
    changes = {k: v for k, v in arguments.items() if k not in {"resource", "id"}}
    if shop.get(resource, row_id) is None:
        shop.insert(resource, {"id": row_id} | changes)
    else:
        shop.update(resource, row_id, **changes)
    return {"row": shop.get(resource, row_id)}


def _delete(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    resource, row_id = arguments["resource"], int(arguments["id"])
    if shop.get(resource, row_id) is None:
        raise BadCommand(f"delete: {resource} {row_id} is not there")
    shop.delete(resource, row_id)
    return {"deleted": row_id}


def _fault(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    shop.faults.active.append(made(arguments))
    return {"faults": [fault.told() for fault in shop.faults.active]}


def _faults(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    if arguments.get("value") != "clear":
        raise BadCommand('faults: understands "clear"; a new one is added by {"fault": {...}}')
    shop.faults.active.clear()
    return {"faults": []}


def _requests(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    counted = dict(shop.requests)
    if arguments.get("value") == "reset":
        shop.requests.clear()
    return {"requests": counted}


def _status(shop: Shop, _arguments: Arguments) -> dict[str, Any]:
    return status(shop)


def _reset(shop: Shop, _arguments: Arguments) -> dict[str, Any]:
    shop.reset()
    return {"reset": True}


# ------------------------------------------------------------------------------------ life


def _place_order(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    """An order; whatever is not said is left to chance by ``seed``."""
    given = dict(arguments)
    given.pop("value", None)
    life = Life(shop, Random(f"{given.pop('seed', 0)}|{shop.tables['orders'].next_id()}"))  # noqa: S311
    if "items" in given:
        given["items"] = tuple(_item(shop, entry) for entry in given["items"])
    if given.get("customer") in {"new", "guest"}:
        given["customer"] = life.new_customer(guest=given["customer"] == "guest")
    if "discounts" in given:
        given["discounts"] = tuple(_discount(entry) for entry in given["discounts"])
    if isinstance(given.get("currency"), str):
        given["currency"] = shop.rows("currencies", iso_code=given["currency"])[0]["id"]
    for name in ("shipping", "paid"):
        if name in given:
            given[name] = Decimal(str(given[name]))
    if given.get("way", "card") not in PAYMENTS:
        raise BadCommand(f"place_order: way {given['way']} is unknown; known are {', '.join(PAYMENTS)}")
    return _told(shop, life.order(**given))


def _item(shop: Shop, entry: Arguments) -> Item:
    product, attribute = int(entry.get("product", 0)), int(entry.get("attribute", 0))
    if "reference" in entry:
        variants = shop.rows("combinations", reference=entry["reference"])
        products = shop.rows("products", reference=entry["reference"])
        if variants:
            product, attribute = variants[0]["id_product"], variants[0]["id"]
        elif products:
            product = products[0]["id"]
        else:
            raise BadCommand(f"no product has the reference {entry['reference']}")
    return Item(
        int(product),
        int(entry.get("quantity", 1)),
        int(attribute),
        Decimal(str(entry.get("reduction_percent", 0))),
    )


def _discount(entry: Arguments) -> Discount:
    return Discount(
        str(entry.get("name", "Discount")), Decimal(str(entry.get("percent", 0))), Decimal(str(entry.get("amount", 0))),
        bool(entry.get("free_shipping", False)),
    )  # fmt: skip


def _told(shop: Shop, order_id: int) -> dict[str, Any]:
    order = order_of(shop, order_id)
    names = (
        "reference",
        "current_state",
        "total_paid_tax_incl",
        "total_paid_real",
        "invoice_number",
        "date_upd",
    )
    details = [int(r["id"]) for r in shop.rows("order_details", id_order=order_id)]
    return {"order": order_id, "details": details} | {name: order[name] for name in names}


def _pay(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    amount = arguments.get("amount")
    currency = arguments.get("currency", 0)
    if isinstance(currency, str):
        currency = shop.rows("currencies", iso_code=currency)[0]["id"]
    pay(
        shop, int(arguments["order"]), amount=None if amount is None else Decimal(str(amount)), currency=int(currency),
        method=str(arguments.get("method", "")),
    )  # fmt: skip
    return _told(shop, int(arguments["order"]))


def _set_state(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    change_state(shop, int(arguments["order"]), int(arguments["state"]), employee=1)
    return _told(shop, int(arguments["order"]))


def _cancel(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    return _set_state(shop, {"order": arguments["order"], "state": CANCELED})


def _refund(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    lines = None
    if "lines" in arguments:
        lines = {
            int(e["detail"]): Refunded(
                int(e.get("quantity", 1)), Decimal(str(e["amount"])) if "amount" in e else None
            )
            for e in arguments["lines"]
        }
    slip_id = refund(
        shop,
        int(arguments["order"]),
        lines,
        shipping=bool(arguments.get("shipping")),
        restock=bool(arguments.get("restock")),
    )
    slip = shop.get("order_slip", slip_id) or {}
    names = ("total_products_tax_incl", "total_shipping_tax_incl", "date_add")
    return {"slip": slip_id} | {name: slip[name] for name in names}


def _edit(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    order_id = int(arguments["order"])
    if "add" in arguments:
        add_line(shop, order_id, _item(shop, arguments["add"]))
    else:
        change_quantity(shop, order_id, int(arguments["detail"]), int(arguments["quantity"]))
    return _told(shop, order_id)


def _corrupt(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    order_id, how = int(arguments["order"]), str(arguments.get("how", "malformed_amount"))
    return {"order": order_id, "how": how, "columns": poison(shop, order_id, how)}


def _life(shop: Shop, arguments: Arguments) -> dict[str, Any]:
    known = {"seed", "events", "days", "per_day"}
    if unknown := set(arguments) - known:
        raise BadCommand(f"life: {', '.join(sorted(unknown))}: unknown; known are {', '.join(sorted(known))}")
    seed = int(arguments.get("seed", 0))
    return live(shop, seed, **{k: int(v) for k, v in arguments.items() if k != "seed"})


COMMANDS: dict[str, Callable[[Shop, Arguments], dict[str, Any]]] = {
    "set": _settings,
    "key": _key,
    "clock": _clock,
    "webhooks": _webhooks,
    "row": _row,
    "delete": _delete,
    "fault": _fault,
    "faults": _faults,
    "requests": _requests,
    "status": _status,
    "reset": _reset,
    "place_order": _place_order,
    "pay": _pay,
    "set_state": _set_state,
    "cancel": _cancel,
    "refund": _refund,
    "edit": _edit,
    "corrupt_order": _corrupt,
    "life": _life,
}
