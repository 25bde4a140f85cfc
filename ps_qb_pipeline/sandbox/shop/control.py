"""The control of a sandbox shop: what ``PUT /_control`` understands.

What lives here: one command a function, its checks and its answer. What does not: the deeds themselves
(``commerce``, ``life``, ``faults``). Nothing of this exists in a PrestaShop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from typing import Any

from ps_qb_pipeline.sandbox.shop.resources import METHODS, resources
from ps_qb_pipeline.sandbox.shop.shop import Key, Settings, Shop, full_rights


class BadCommand(Exception):
    """The command is unknown or malformed; the message says what is understood."""


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
        except (KeyError, TypeError, ValueError) as error:
            raise BadCommand(f"{name}: {type(error).__name__} {error}") from error
    shop.journal.commit()
    return answer


def _settings(shop: Shop, arguments: dict[str, Any]) -> dict[str, Any]:
    known = {f.name for f in fields(Settings)}
    for name, value in arguments.items():
        if name not in known:
            raise BadCommand(f"set: {name} is unknown; known are {', '.join(sorted(known))}")
        setattr(shop.settings, name, tuple(value) if isinstance(value, list) else value)
    return {"set": {name: getattr(shop.settings, name) for name in known}}


def _key(shop: Shop, arguments: dict[str, Any]) -> dict[str, Any]:
    key = arguments["key"]
    rights = arguments.get("rights", "all")
    if rights == "all":
        granted = full_rights()
    elif rights == "read":
        granted = dict.fromkeys(resources(), frozenset({"GET", "HEAD"}))
    else:
        granted = {name: frozenset(methods) & frozenset(METHODS) for name, methods in rights.items()}
    shop.keys[key] = Key(granted, bool(arguments.get("active", True)), frozenset(arguments.get("shops", ())))
    return {"key": len(shop.keys)}


def _row(shop: Shop, arguments: dict[str, Any]) -> dict[str, Any]:
    resource, row_id = arguments["resource"], int(arguments["id"])
    changes = {k: v for k, v in arguments.items() if k not in {"resource", "id"}}
    if shop.get(resource, row_id) is None:
        shop.insert(resource, {"id": row_id} | changes)
    else:
        shop.update(resource, row_id, **changes)
    return {"row": {"resource": resource, "id": row_id}}


def _clock(shop: Shop, arguments: dict[str, Any]) -> dict[str, Any]:
    if "freeze" in arguments:
        shop.set_clock(frozen=_epoch(shop, arguments["freeze"]))
    elif "set" in arguments:
        shop.set_clock(offset=_epoch(shop, arguments["set"]) - time.time())
    elif "advance" in arguments:
        seconds = float(arguments["advance"])
        clock = shop.clock
        if clock.frozen is not None:
            shop.set_clock(frozen=clock.frozen + seconds)
        else:
            shop.set_clock(offset=clock.offset + seconds)
    elif arguments.get("value") == "real":
        shop.set_clock()
    return {"clock": shop.now()}


def _epoch(shop: Shop, when: str | int) -> float:
    """Seconds since the epoch, of such a number or of the shop's wall time."""
    if isinstance(when, int):
        return float(when)
    return datetime.fromisoformat(when).replace(tzinfo=shop.zone).timestamp()


COMMANDS: dict[str, Callable[[Shop, dict[str, Any]], dict[str, Any]]] = {
    "set": _settings,
    "key": _key,
    "row": _row,
    "clock": _clock,
}
