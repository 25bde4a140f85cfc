"""Carrying out one request on one object: create, update, delete, void, read.

What lives here: the steps that all entities share (fields, merge, required values, version, references,
storing). What does not: what a name list computes (``lists``), what a transaction computes (``documents``).
"""

from __future__ import annotations

from typing import Any

from ps_qb_pipeline.sandbox.books import documents, faults, links, lists, schema
from ps_qb_pipeline.sandbox.books.clock import key
from ps_qb_pipeline.sandbox.books.codec import Json
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import ENTITIES, Entity
from ps_qb_pipeline.sandbox.books.references import resolve
from ps_qb_pipeline.sandbox.books.store import Row

ENVELOPE = ("domain", "sparse", "Id", "SyncToken", "MetaData")
FIRST_IDS = {"txn": 101, "names": 1, "Account": 1, "Item": 1}


def ident(value: Any) -> int:
    """Return an id as a number; refuse 2030 for anything else."""
    try:
        number = int(str(value))
    except ValueError:
        raise faults.invalid_id(value) from None
    if number < 0:
        raise faults.invalid_id(value)
    return number


def has_id(body: Json) -> bool:
    """Whether a body names an object that exists: a POST with it is an update."""
    return str(body.get("Id") or "0") not in {"", "0"}


def read(company: Company, entity: Entity, number: int) -> Json:
    """Return one object as the API shows it; refuse 610 if there is none."""
    body = company.find(entity.name, number)
    if body is None:
        raise faults.not_found()
    return present(company, entity, body)


def present(company: Company, entity: Entity, body: Json) -> Json:
    """Return ``body`` with the balances of this moment, and without what is not shown."""
    if entity.name == "Preferences" and company.switches.close_date == "hidden":
        shown = dict(body.get("AccountingInfoPrefs", {}))
        shown.pop("BookCloseDate", None)
        return body | {"AccountingInfoPrefs": shown}
    if entity.name in lists.BALANCED:
        return lists.with_balance(company, entity.name, body)
    return body


def clean(company: Company, entity: Entity, body: Json) -> Json:
    """Return a request's body checked against the schema, without what only the books may say."""
    seen = schema.Checked()
    ours = entity.computed | {"MetaData"}
    checked = schema.check(
        entity.name, {name: value for name, value in body.items() if name not in ours}, seen
    )
    company.text_numbers += seen.text_numbers
    if seen.text_numbers and company.switches.string_numbers == "refused":
        raise faults.invalid_number(entity.name, "a string")
    if company.is_us and company.switches.us_charset == "latin1":
        _latin1(checked)
    return checked


def _latin1(value: Any, where: str = "") -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _latin1(inner, name)
    elif isinstance(value, list):
        for inner in value:
            _latin1(inner, where)
    elif isinstance(value, str):
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise faults.invalid_characters(where) from None


def create(
    company: Company,
    entity: Entity,
    body: Json,
    *,
    options: frozenset[str] = frozenset(),
    number: int | None = None,
) -> Json:
    """Create one object and return it as stored; ``number`` is its id, if it is to have a certain one."""
    if not entity.create:
        raise faults.unsupported(f"create {entity.name}")
    lists.refuse_feature(company, entity)
    fresh = clean(company, entity, body)
    for name in ENVELOPE:
        fresh.pop(name, None)
    _require(entity, fresh)
    sequence = entity.ids or entity.name
    if number is None:
        number = company.store.next(f"id:{sequence}", FIRST_IDS.get(sequence, 1))
    else:
        company.store.at_least(f"id:{sequence}", number)
    return _store(company, entity, number, fresh, None, options)


def update(company: Company, entity: Entity, body: Json, *, options: frozenset[str] = frozenset()) -> Json:
    """Update one object: the whole of it, or with ``sparse`` what is sent."""
    if not entity.update:
        raise faults.unsupported(f"update {entity.name}")
    row = current(company, entity, body)
    before = row.json()
    fresh = clean(company, entity, body)
    sparse = str(body.get("sparse")).lower() == "true"
    for name in ENVELOPE:
        fresh.pop(name, None)
    if sparse or entity.kind == "single":
        nulled = {name for name, value in body.items() if value is None or value == ""}
        kept = {name: value for name, value in before.items() if name not in nulled}
        merged = kept | _deepened(entity, before, fresh)
    else:
        kept_names = entity.computed | entity.fixed
        merged = {name: value for name, value in before.items() if name in kept_names} | fresh
        if entity.kind != "other" and "Active" in before:
            merged.setdefault("Active", before["Active"])
    for name in ENVELOPE:
        merged.pop(name, None)
    for name in entity.fixed:
        if name in before:
            merged[name] = before[name]
    _require(entity, merged)
    if sparse and "Line" in fresh and "TxnTaxDetail" not in fresh:
        merged.pop("TxnTaxDetail", None)  # new amounts are taxed anew
    return _store(company, entity, row.id, merged, row, options)


def _deepened(entity: Entity, before: Json, fresh: Json) -> Json:
    if entity.kind != "single":
        return fresh
    return {
        name: before.get(name, {}) | value
        if isinstance(value, dict) and isinstance(before.get(name), dict)
        else value
        for name, value in fresh.items()
    }


def current(company: Company, entity: Entity, body: Json) -> Row:
    """Return the stored row that a change names, if its SyncToken is the newest."""
    number = ident(body.get("Id"))
    row = company.store.get(entity.name, number)
    if row is None or row.deleted:
        raise faults.not_found()
    token = body.get("SyncToken")
    if token is None or str(token).strip() == "":
        raise faults.required("SyncToken")
    if str(token).strip() != str(row.sync):
        raise faults.stale()
    return row


def _require(entity: Entity, body: Json) -> None:
    for group in entity.required:
        if not any(_given(body.get(name)) for name in group):
            if entity.name == "Account" and "AccountType" in group:
                raise faults.account_type()
            raise faults.required(group[0])


def _given(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value)
    return value is not None and value not in ("", [])


def _store(
    company: Company, entity: Entity, number: int, body: Json, row: Row | None, options: frozenset[str]
) -> Json:
    before = None if row is None else row.json()
    resolve(company, entity.name, body, before)
    if entity.is_transaction:
        documents.prepare(company, entity, number, body, before, options)
    else:
        lists.prepare(company, entity, number, body, before)
    now = company.clock.now()
    created = key(now) if row is None else row.created
    meta = {"CreateTime": company.clock.company(now), "LastUpdatedTime": company.clock.company(now)}
    if before is not None:
        meta["CreateTime"] = before.get("MetaData", meta)["CreateTime"]
    sync = 0 if row is None else row.sync + 1
    whole = body | {
        "domain": "QBO",
        "sparse": False,
        "Id": str(number),
        "SyncToken": str(sync),
        "MetaData": meta,
    }
    active = body.get("Active") is not False
    company.write(entity, Row(entity.name, number, sync, active, False, created, key(now), b""), whole)
    if entity.is_transaction:
        documents.post(company, entity, number, whole, before)
        if before is None and entity.name in {"CreditMemo", "Invoice"}:
            _settle_by_itself(company, whole)
    else:
        lists.after(company, entity, number, whole, before)
    company.note(entity.name, number, "Create" if row is None else "Update")
    return present(company, entity, company.find(entity.name, number) or whole)


def _settle_by_itself(company: Company, body: Json) -> None:
    """Apply open credits to open invoices of a customer, oldest first, if the company's settings say so."""
    if not company.preference("SalesFormsPrefs", "AutoApplyCredit", False):
        return
    lines = links.matches(company, body)
    if lines:
        order: Json = {"TxnDate": body["TxnDate"], "TotalAmt": 0, "Line": lines}
        order |= {name: body[name] for name in ("CustomerRef", "CurrencyRef", "ExchangeRate") if name in body}
        create(company, ENTITIES["Payment"], order)


def delete(company: Company, entity: Entity, body: Json) -> Json:
    """Delete one object and return what the API answers with."""
    if not entity.delete:
        raise faults.unsupported(f"delete {entity.name}")
    if "Id" not in body:
        raise faults.required("Id")
    row = current(company, entity, body)
    before = row.json()
    if entity.is_transaction:
        documents.remove(company, entity, row.id, before)
    now = company.clock.now()
    stone = {
        "domain": "QBO",
        "status": "Deleted",
        "Id": str(row.id),
        "MetaData": {"LastUpdatedTime": company.clock.company(now)},
    }
    row.deleted = True
    row.sync += 1
    row.updated = key(now)
    company.write(entity, row, stone)
    company.note(entity.name, row.id, "Delete")
    return {"status": "Deleted", "domain": "QBO", "Id": str(row.id)}


def void(company: Company, entity: Entity, body: Json) -> Json:
    """Void one transaction: the row stays, its amounts become zero."""
    if not entity.void:
        raise faults.unsupported(f"void {entity.name}")
    row = current(company, entity, body)
    before = row.json()
    voided = documents.voided(company, entity, row.id, before)
    now = company.clock.now()
    voided["SyncToken"] = str(row.sync + 1)
    voided["MetaData"] = before["MetaData"] | {"LastUpdatedTime": company.clock.company(now)}
    row.sync += 1
    row.updated = key(now)
    company.write(entity, row, voided)
    company.note(entity.name, row.id, "Void")
    return company.find(entity.name, row.id) or voided
