"""Recurring transactions: templates of other transactions, under the type they will become.

What lives here: storing ``{"Invoice": {... "RecurringInfo": ...}}`` without posting anything. What does
not: making the transactions when they fall due, which the sandbox leaves to nobody.
"""

from __future__ import annotations

from ps_qb_pipeline.sandbox.books import documents, faults, schema
from ps_qb_pipeline.sandbox.books.clock import key
from ps_qb_pipeline.sandbox.books.codec import Json, dumps
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import ENTITIES, Entity
from ps_qb_pipeline.sandbox.books.references import resolve
from ps_qb_pipeline.sandbox.books.store import Row

NAME = "RecurringTransaction"
TYPES = (
    "Bill Purchase CreditMemo Deposit Estimate Invoice JournalEntry RefundReceipt SalesReceipt Transfer VendorCredit "
    "PurchaseOrder"
)


def template(body: Json) -> tuple[Entity, Json]:
    """Return the type of a recurring transaction and what is under it; refuse 2020 if there is none."""
    for name in TYPES.split():
        if isinstance(body.get(name), dict):
            return ENTITIES[name], body[name]
    raise faults.required("RecurringTransaction")


def save(company: Company, body: Json) -> Json:
    """Create or update one recurring transaction and return it."""
    entity, inner = template(body)
    row = _current(company, inner) if str(inner.get("Id") or "0") != "0" else None
    fresh = schema.check(entity.name, inner, schema.Checked())
    fresh = {
        name: value
        for name, value in fresh.items()
        if name not in entity.computed | {"MetaData", "SyncToken"}
    }
    info = fresh.get("RecurringInfo") or {}
    if not info.get("Name"):
        raise faults.required("RecurringInfo.Name")
    if not info.get("RecurType"):
        raise faults.required("RecurringInfo.RecurType")
    for group in entity.required:
        if not any(fresh.get(name) for name in group):
            raise faults.required(group[0])
    _unique(company, info["Name"], row)
    resolve(company, entity.name, fresh)
    before = None if row is None else template(row.json())[1]
    documents.complete(company, entity, fresh, before)
    number = row.id if row else company.store.next("id:txn", 101)
    now = company.clock.now()
    made = company.clock.company(now)
    meta = {"CreateTime": (before or {}).get("MetaData", {}).get("CreateTime", made), "LastUpdatedTime": made}
    sync = 0 if row is None else row.sync + 1
    fresh |= {"domain": "QBO", "sparse": False, "Id": str(number), "SyncToken": str(sync), "MetaData": meta}
    fresh["RecurDataRef"] = {"value": str(number), "name": info["Name"]}
    whole = {entity.name: fresh}
    created = row.created if row else key(now)
    company.write(
        ENTITIES[NAME], Row(NAME, number, sync, True, False, created, key(now), dumps(whole)), whole
    )
    company.store.connection.execute(
        "update rows set name=? where entity=? and id=?", (info["Name"].lower(), NAME, number)
    )
    return whole


def _current(company: Company, inner: Json) -> Row:
    try:
        number = int(str(inner["Id"]))
    except ValueError:
        raise faults.invalid_id(inner["Id"]) from None
    row = company.store.get(NAME, number)
    if row is None or row.deleted:
        raise faults.not_found()
    if str(inner.get("SyncToken", "")) != str(row.sync):
        raise faults.stale()
    return row


def _unique(company: Company, name: str, row: Row | None) -> None:
    other = company.store.by_name(NAME, name)
    if other is not None and (row is None or other.id != row.id):
        raise faults.duplicate_name(other.id)


def delete(company: Company, body: Json) -> Json:
    """Delete one recurring transaction."""
    entity, inner = template(body)
    row = _current(company, inner)
    row.deleted = True
    row.sync += 1
    stone: Json = {"status": "Deleted", "domain": "QBO", "Id": str(row.id)}
    company.write(ENTITIES[NAME], row, stone)
    return {entity.name: stone}


def as_queried(body: Json) -> Json:
    """Return a recurring transaction as conditions see it: its type, its name, its own fields."""
    for name, inner in body.items():
        if isinstance(inner, dict):
            return inner | {"Type": name, "Name": inner.get("RecurringInfo", {}).get("Name")}
    return body
