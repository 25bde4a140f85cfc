"""Answering queries and change data capture.

What lives here: turning a parsed query into rows, with as much done by the store's indexes as the
conditions allow; paging; the answer's bytes. What does not: the grammar (``query``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

from ps_qb_pipeline.sandbox.books import faults, lists, objects, recurring, taxservice
from ps_qb_pipeline.sandbox.books.clock import key
from ps_qb_pipeline.sandbox.books.codec import Json, dumps, loads
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import BY_URL, Entity
from ps_qb_pipeline.sandbox.books.query import Condition, Query, matcher, parse, sort_key
from ps_qb_pipeline.sandbox.books.store import LARGEST_ID, Row, by_id

CDC_DAYS = 30
CDC_OBJECTS = 1000
TIMES = {"MetaData.LastUpdatedTime": "updated", "MetaData.CreateTime": "created"}
SQL_OPERATORS = {"=", "<", ">", "<=", ">="}


def answer(company: Company, statement: str) -> bytes:
    """Return the JSON of ``QueryResponse`` for one statement."""
    query = parse(statement)
    if query.count:
        return dumps({"totalCount": _count(company, query)})
    bodies = _page(company, query)
    if not bodies:
        return b"{}"
    name = query.entity.name.encode()
    tail = f'],"startPosition":{query.start},"maxResults":{len(bodies)}}}'.encode()
    return b'{"' + name + b'":[' + b",".join(bodies) + tail


def _active_only(query: Query) -> bool:
    return query.entity.kind in {"names", "list"} and not query.names_active()


def _count(company: Company, query: Query) -> int:
    where, values, rest = _sql(company, query)
    if not rest and not _hidden(company, query.entity):
        return company.store.count(query.entity.name, where, values)
    return sum(1 for _ in _matching(company, query))


def _page(company: Company, query: Query) -> list[bytes]:
    found = _found(company, query)
    if query.entity.name == "TaxCode" and company.is_us and query.start == 1:
        # The US service lists its pseudo codes ahead of the page and beyond its size.
        tests = [
            matcher(condition, _instant(company), company.clock.today()) for condition in query.conditions
        ]
        pseudo = [body for body in taxservice.pseudo_codes(company) if all(test(body) for test in tests)]
        return [dumps(body) for body in pseudo] + found
    return found


def _found(company: Company, query: Query) -> list[bytes]:
    where, values, rest = _sql(company, query)
    plain = not query.order or query.order == (("Id", False),)
    first, last = query.start - 1, query.start - 1 + query.limit
    newest_first = (
        not query.order and query.entity.is_transaction and company.switches.unordered == "newest_first"
    )
    if plain and not rest and not _hidden(company, query.entity):
        tail = f"{by_id(where)}{' desc' if newest_first else ''} limit {query.limit} offset {first}"
        rows = company.store.select(query.entity.name, where, values, tail)
        shown = _shown(company, query.entity)
        return [shown(row.body, row.id) for row in rows]
    if plain and not newest_first:
        return [dumps(body) for body in islice(_matching(company, query), first, last)]
    found = list(_matching(company, query))
    if newest_first:
        found.reverse()
    for field, descending in reversed(query.order):
        found.sort(key=_sorter(query.entity, field), reverse=descending)
    return [dumps(body) for body in found[first:last]]


def _sorter(entity: Entity, field: str) -> Callable[[Json], tuple[int, Any]]:
    by = sort_key(field)
    return (lambda body: by(recurring.as_queried(body))) if entity.name == recurring.NAME else by


def _shown(company: Company, entity: Entity) -> Callable[[bytes, int], bytes]:
    """Return what puts present balances into a stored body; bodies without a balance pass as they are."""
    if entity.name == "Preferences":
        return lambda body, _: dumps(objects.present(company, entity, loads(body)))
    if entity.name not in lists.BALANCED:
        return lambda body, _: body
    scope = {"Account": "A", "Customer": "C", "Vendor": "V"}[entity.name]
    moved = {
        found[0]
        for found in company.store.connection.execute("select key from balances where scope=?", (scope,))
    }
    opened = entity.name != "Account"

    def shown(body: bytes, ident: int) -> bytes:
        if ident not in moved and not opened:
            return body
        return dumps(lists.with_balance(company, entity.name, loads(body)))

    return shown


def _hidden(company: Company, entity: Entity) -> dict[int, bytes | None]:
    return company.store.hidden(entity.name, key(company.clock.now())) if company.lag else {}


def _matching(company: Company, query: Query) -> Iterator[Json]:
    """Yield the objects that meet every condition, as the index shows them, by id."""
    hidden = _hidden(company, query.entity)
    where, values, rest = _sql(company, query)
    conditions = query.conditions if hidden else rest
    tests = [matcher(condition, _instant(company), company.clock.today()) for condition in conditions]
    rows = company.store.select(query.entity.name, "deleted=0" if hidden else where, () if hidden else values)
    for row in rows:
        body: Json = loads(row.body)
        if row.id in hidden:
            earlier = hidden[row.id]
            if earlier is None:
                continue
            body = loads(earlier)
        if hidden and _active_only(query) and body.get("Active") is False:
            continue
        if query.entity.name in lists.BALANCED:
            body = lists.with_balance(company, query.entity.name, body)
        seen = recurring.as_queried(body) if query.entity.name == recurring.NAME else body
        if all(test(seen) for test in tests):
            yield body


def _instant(company: Company) -> Callable[[str], Any]:
    def instant(text: str) -> Any:
        if text == company.clock.today():
            text += "T00:00:00"
        if company.switches.naive_times == "utc" and len(text) <= 19:
            text = f"{text}T00:00:00+00:00" if len(text) == 10 else f"{text}+00:00"
        return company.clock.parse(text)

    return instant


def _sql(company: Company, query: Query) -> tuple[str, list[Any], list[Condition]]:
    """Return what the store can decide by its columns, and the conditions left over."""
    parts, values = ["deleted=0"], []
    rest = []
    if _active_only(query):
        parts.append("active=1")
    for condition in query.conditions:
        translated = _column(company, query.entity, condition)
        if translated is None:
            rest.append(condition)
        else:
            parts.append(translated[0])
            values.extend(translated[1])
    return " and ".join(parts), values, rest


def _column(company: Company, entity: Entity, condition: Condition) -> tuple[str, list[Any]] | None:
    field, operator, wanted = condition.field, condition.operator, list(condition.values)
    marks = ",".join("?" * len(wanted))
    if field == "Id":
        return _ids(company, entity, wanted)
    if field in TIMES and operator in SQL_OPERATORS:
        try:
            instant = _instant(company)(company.clock.today() if wanted[0] == "current_date" else wanted[0])
        except ValueError:
            raise faults.query_invalid(f"Invalid date-time for property {field}") from None
        return f"{TIMES[field]}{operator}?", [key(instant)]
    if operator not in {"=", "in"}:
        return None
    if field == "Active":
        return f"active in ({marks})", [int(value.lower() == "true") for value in wanted]
    is_number = field == "DocNumber" or (field == "Sku" and entity.name == "Item")
    column = "name" if field == entity.name_field else "number" if is_number else ""
    if not column or not all(value.strip() for value in wanted):
        return None
    return f"{column} in ({marks})", [value.lower() for value in wanted]


def _ids(company: Company, entity: Entity, wanted: list[str]) -> tuple[str, list[Any]]:
    numbers = [
        min(int(value), LARGEST_ID) for value in wanted if value.strip().isascii() and value.strip().isdigit()
    ]
    if len(numbers) < len(wanted) and not (entity.name == "TaxCode" and company.is_us):
        raise faults.query_invalid("Id should be a valid number")
    return f"id in ({','.join('?' * len(numbers))})", numbers


# Change data capture -------------------------------------------------------------------------------


def changes(company: Company, names: str, since: str) -> Json:
    """Return ``CDCResponse`` for a comma-separated list of entities and a time."""
    if not names.strip():
        raise faults.required("entities")
    try:
        instant = _instant(company)(since.replace(" ", "+"))
    except ValueError:
        raise faults.query_invalid("changedSince is not a valid date-time") from None
    if instant < company.clock.now() - timedelta(days=CDC_DAYS):
        raise faults.query_invalid(f"changedSince should be within the last {CDC_DAYS} days")
    parts: list[Json] = []
    left = CDC_OBJECTS
    for name in names.split(","):
        entity = BY_URL.get(name.strip().lower())
        if entity is None:
            raise faults.unknown_object(name.strip())
        if not entity.cdc:
            raise faults.unsupported(f"CDC of {entity.name}")
        part = _changed(company, entity, key(instant), left)
        left -= len(part.get(entity.name, []))
        parts.append(part)
    return {"CDCResponse": [{"QueryResponse": parts}]}


def _changed(company: Company, entity: Entity, since: str, limit: int) -> Json:
    if limit <= 0:
        return {}
    hidden = _hidden(company, entity)
    tail = f"order by deleted, updated, id limit {limit}"
    rows = company.store.select(entity.name, "updated>=?", (since,), tail)
    bodies = [_as_changed(company, entity, row) for row in rows if row.id not in hidden]
    if not bodies:
        return {}
    if any(body.get("status") == "Deleted" for body in bodies):
        return {entity.name: bodies, "startPosition": 1, "maxResults": len(bodies), "totalCount": len(bodies)}
    return {entity.name: bodies, "startPosition": 1, "maxResults": len(bodies)}


def _as_changed(company: Company, entity: Entity, row: Row) -> Json:
    body = row.json()
    if row.deleted or entity.name not in lists.BALANCED:
        return body
    return lists.with_balance(company, entity.name, body)
