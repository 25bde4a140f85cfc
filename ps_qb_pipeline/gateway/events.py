"""What webhooks say, as hints for the inbox.

What lives here: the shop's form, Intuit's two forms, and the event id by which a repetition is known.
What does not: signatures (``doors``). A hint names what changed and holds nothing else of the body.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ps_qb_pipeline.state.inbox import Arrival

SHOP = "prestashop"
BOOKS = "quickbooks"
WINDOW_SECONDS = 300.0
"""How far the moment in a shop's body may lie from now."""
MOST_EVENTS = 1000
"""Events in one body of Intuit's; real ones have about a hundred."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,59}")
_NUMBER = re.compile(r"[0-9]{1,18}")
_DELIVERY = re.compile(r"[\x21-\x7e]{1,100}")


class Unreadable(ValueError):
    """The body is signed and says nothing that can be understood; the message says what is missing."""


class Stale(ValueError):
    """The body was made too long ago, or lies in the future: a replay, or a wrong clock."""


@dataclass(slots=True)
class Notification:
    """What one body of Intuit's holds: hints for companies of ours, and how much else."""

    arrivals: list[Arrival] = field(default_factory=list)
    unknown_realm: int = 0
    unreadable: int = 0


def shop_event(connection: str, body: bytes, now: float) -> Arrival:
    """The hint in the body of a shop's webhook.

    The form stands in docs/connections.md. Raises Unreadable, and Stale when its time is not about now.
    """
    said = _json(body)
    if not isinstance(said, dict):
        raise Unreadable("the body must be one JSON object")
    resource, event = _name(said, "resource"), _name(said, "event")
    if abs(now - _moment(said.get("timestamp"))) > WINDOW_SECONDS:
        raise Stale(f"the timestamp lies more than {WINDOW_SECONDS:.0f} s from now")
    hint: dict[str, Any] = {"resource": resource, "id": _positive(said, "id"), "event": event}
    if "id_order" in said:
        hint["id_order"] = _positive(said, "id_order")
    delivery = said.get("delivery", hashlib.sha256(body).hexdigest())
    if not isinstance(delivery, str) or not _DELIVERY.fullmatch(delivery):
        raise Unreadable("delivery must be a text of 1 to 100 characters without spaces")
    # The connection is part of the id: one shop must not use up the numbers of another.
    return Arrival(SHOP, f"{connection}/{delivery}", connection, hint)


def books_events(body: bytes, realms: dict[str, str]) -> Notification:
    """The hints in a notification of Intuit's, CloudEvents or the older form.

    ``realms`` maps the companies that the signature speaks for to their connections; events of others
    are counted and dropped. Raises Unreadable when the body has neither form.
    """
    said = _json(body)
    found: Iterable[_Found]
    if isinstance(said, list):
        found = (_cloud_event(entry) for entry in said[:MOST_EVENTS])
    elif isinstance(said, dict) and "specversion" in said:
        found = (_cloud_event(entry) for entry in [said])
    elif isinstance(said, dict) and isinstance(said.get("eventNotifications"), list):
        found = _classic_events(said["eventNotifications"])
    else:
        raise Unreadable("neither an array of CloudEvents nor eventNotifications")
    result = Notification()
    for number, one in enumerate(found):
        if one is None or number >= MOST_EVENTS:
            result.unreadable += 1
        elif (connection := realms.get(one[0])) is None:
            result.unknown_realm += 1
        else:
            realm, event_id, hint = one
            result.arrivals.append(Arrival(BOOKS, f"{realm}/{event_id}", connection, hint))
    if isinstance(said, list):
        result.unreadable += max(0, len(said) - MOST_EVENTS)
    return result


_Found = tuple[str, str, dict[str, Any]] | None
"""Realm, event id and hint; None for an entry that says nothing."""


def _cloud_event(entry: Any) -> _Found:
    if not isinstance(entry, dict):
        return None
    realm, number, event_id = (_text(entry.get(name)) for name in ("intuitaccountid", "intuitentityid", "id"))
    kind = _text(entry.get("type")).split(".")
    if kind[0] != "qbo" or len(kind) < 3 or not _DELIVERY.fullmatch(event_id):
        return None
    data = entry.get("data")
    deleted = _text(data.get("deletedid")) if isinstance(data, dict) else ""
    return _hint(realm, event_id, kind[1], number, kind[2], deleted)


def _classic_events(notifications: list[Any]) -> Iterator[_Found]:
    for one in notifications:
        change = one.get("dataChangeEvent") if isinstance(one, dict) else None
        entities = change.get("entities") if isinstance(change, dict) else None
        if not isinstance(entities, list):
            yield None
            continue
        yield from (_classic_event(_text(one.get("realmId")), entity) for entity in entities)


def _classic_event(realm: str, entity: Any) -> _Found:
    if not isinstance(entity, dict):
        return None
    name, number, operation, at, deleted = (
        _text(entity.get(key)) for key in ("name", "id", "operation", "lastUpdated", "deletedId")
    )
    # This form has no id of its own: the same change told twice says the same.
    event_id = hashlib.sha256(json.dumps([name, number, operation, at, deleted]).encode()).hexdigest()
    return _hint(realm, event_id, name, number, operation, deleted)


def _hint(realm: str, event_id: str, entity: str, number: str, operation: str, deleted: str) -> _Found:
    right = _NUMBER.fullmatch(realm) and _NUMBER.fullmatch(number)
    if not right or not _NAME.fullmatch(entity) or not _NAME.fullmatch(operation):
        return None
    hint = {"entity": entity.lower(), "id": number, "operation": operation.lower()}
    if deleted:
        if not _NUMBER.fullmatch(deleted):
            return None
        hint["deleted_id"] = deleted
    return realm, event_id, hint


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable("the body is not JSON in UTF-8") from error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _name(said: dict[str, Any], key: str) -> str:
    value = said.get(key)
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise Unreadable(f"{key} must be a name such as orders")
    return value


def _positive(said: dict[str, Any], key: str) -> int:
    value = said.get(key)
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    if not _NUMBER.fullmatch(text) or int(text) == 0:
        raise Unreadable(f"{key} must be a positive whole number")
    return int(text)


def _moment(value: Any) -> float:
    """Unix seconds of a number, or of a text such as 2026-03-15T10:00:00+01:00."""
    if type(value) in {int, float}:
        return float(value) if abs(value) < 1e11 else float("inf")
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is not None:
            return at.astimezone(UTC).timestamp()
    except (TypeError, ValueError, OverflowError) as error:
        raise Unreadable("timestamp must be Unix seconds, or ISO 8601 with its offset") from error
    raise Unreadable("timestamp must carry its offset from UTC")
