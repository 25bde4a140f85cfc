"""The v3 API of a company, without HTTP: one request in, one reply out.

What lives here: routing by path and method, replay by requestid, batches, the envelope of answers. What
does not: authentication, limits, injected faults (``app``, ``control``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from ps_qb_pipeline.sandbox.books import extras, faults, objects, reports, search, taxservice, xmlform
from ps_qb_pipeline.sandbox.books.clock import key
from ps_qb_pipeline.sandbox.books.codec import Json, dumps, loads
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import BY_URL, ENTITIES, Entity
from ps_qb_pipeline.sandbox.books.faults import Refusal

LONGEST_REQUEST_ID = 50
LONGEST_BATCH_REQUEST_ID = 36
LONGEST_BATCH_ID = 10
LARGEST_BATCH = 30
JSON = "application/json;charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Request:
    """One call below ``/v3/company/{realm}/``; ``path`` holds its lower-case parts."""

    method: str
    path: tuple[str, ...]
    query: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = "application/json"
    base_url: str = ""

    @property
    def is_write(self) -> bool:
        """Whether the request can change anything."""
        return self.method == "POST" and self.path[:1] not in {("query",), ("cdc",)}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the company answers."""

    status: int
    body: bytes
    content_type: str = JSON
    changed: bool = False


def handle(company: Company, request: Request) -> Reply:
    """Carry out one request from beginning to end; a refusal becomes its Fault."""
    try:
        return _once(company, request)
    except Refusal as refusal:
        return refused(company, refusal)


def refused(company: Company, refusal: Refusal) -> Reply:
    """Return the JSON reply of a refusal."""
    company.events.clear()
    return Reply(refusal.status, dumps({"Fault": refusal.fault(), "time": company.clock.envelope()}))


def _once(company: Company, request: Request) -> Reply:
    requestid = next((value for name, value in request.query.items() if name.lower() == "requestid"), "")
    if not request.is_write:
        return _route(company, request)
    if not requestid:
        return _written(company, request)
    _check_request_id(request, requestid)
    earlier = _replay(company, requestid, request.body)
    if earlier is not None:
        return earlier
    try:
        return _written(company, request, requestid)
    except Refusal as refusal:
        if company.switches.requestid_failures == "replayed":
            reply = refused(company, refusal)
            _remember(company, requestid, reply, request.body)
            return reply
        raise


def _written(company: Company, request: Request, requestid: str = "") -> Reply:
    try:
        with company.store.transaction():
            reply = _route(company, request)
            if requestid:
                _remember(company, requestid, reply, request.body)
    except BaseException:
        company.forget()
        raise
    return Reply(reply.status, reply.body, reply.content_type, changed=True)


def _check_request_id(request: Request, requestid: str) -> None:
    longest = LONGEST_BATCH_REQUEST_ID if request.path == ("batch",) else LONGEST_REQUEST_ID
    if len(requestid) > longest:
        raise faults.invalid_request_id(requestid)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _replay(company: Company, requestid: str, sent: bytes) -> Reply | None:
    mode = company.switches.requestid
    if mode == "ignored":
        return None
    sql = "select status, body, at, digest from replies where requestid=?"
    found = company.store.connection.execute(sql, (requestid,)).fetchone()
    if found is None:
        return None
    hours = company.switches.requestid_hours
    if hours and found[2] < key(company.clock.now() - timedelta(hours=hours)):
        return None
    other = bool(found[3]) and found[3] != _digest(sent)
    if mode == "refused" or (other and company.switches.requestid_other_body == "refused"):
        problem = faults.Problem("600", "Duplicate Request ID", "RequestId already exists in the system")
        raise Refusal(problem)
    return Reply(found[0], found[1])


def _remember(company: Company, requestid: str, reply: Reply, sent: bytes) -> None:
    company.store.connection.execute(
        "insert or replace into replies (requestid, at, status, body, digest) values (?,?,?,?,?)",
        (requestid, key(company.clock.now()), reply.status, reply.body, _digest(sent)),
    )


def wrap(company: Company, value: Json) -> Reply:
    """Return a 200 with ``value`` and the time beside it."""
    return Reply(200, dumps(value | {"time": company.clock.envelope()}))


def _route(company: Company, request: Request) -> Reply:
    head = request.path[0] if request.path else ""
    special = _SPECIAL.get(head)
    if special is not None:
        return special(company, request)
    entity = BY_URL.get(head)
    if entity is None:
        raise Refusal(faults.unknown_object(head).problems[0], status=404)
    if request.method == "GET":
        return _read(company, entity, request)
    if request.method == "POST":
        return _post(company, entity, request)
    raise faults.unsupported(f"{request.method} {entity.name}")


def parsed(request: Request) -> Json:
    """Return the JSON object in a request's body."""
    if "xml" in request.content_type.lower():
        try:
            return xmlform.read(request.body)
        except ValueError as error:
            raise faults.unknown_property(f"request body is not XML: {error}") from None
    try:
        body = loads(request.body or b"{}")
    except UnicodeDecodeError:
        raise faults.unsupported("Invalid byte 1 of 1-byte UTF-8 sequence") from None
    except ValueError:
        raise faults.unknown_property("request body is not JSON") from None
    if not isinstance(body, dict):
        raise faults.unknown_property("request body")
    return body


def _read(company: Company, entity: Entity, request: Request) -> Reply:
    rest = request.path[1:]
    if entity.kind == "single":
        return wrap(company, {entity.name: objects.read(company, entity, 1)})
    if entity.name == "ExchangeRate":
        return wrap(company, extras.exchange_rate(company, request.query))
    if not rest:
        raise faults.required("Id")
    if entity.name == "TaxCode" and company.is_us and not rest[0].isdigit():
        return wrap(company, {entity.name: _pseudo_code(company, rest[0])})
    number = objects.ident(rest[0])
    if rest[1:] == ("pdf",):
        if not entity.pdf:
            raise faults.unsupported(f"pdf of {entity.name}")
        return Reply(200, extras.pdf(entity, objects.read(company, entity, number)), "application/pdf")
    if rest[1:]:
        raise Refusal(faults.unknown_object("/".join(rest)).problems[0], status=404)
    return wrap(company, {entity.name: objects.read(company, entity, number)})


def _pseudo_code(company: Company, ident: str) -> Json:
    for body in taxservice.pseudo_codes(company):
        if body["Id"].lower() == ident:
            return body
    raise faults.invalid_id(ident)


def _post(company: Company, entity: Entity, request: Request) -> Reply:
    if request.path[2:] == ("send",):
        number = objects.ident(request.path[1])
        sent = extras.send(company, entity, number, request.query.get("sendTo", ""))
        return wrap(company, {entity.name: sent})
    body = parsed(request)
    if entity.name in body and isinstance(body[entity.name], dict) and entity.name != "RecurringTransaction":
        body = body[entity.name]
    operation = request.query.get("operation", "").lower()
    include = request.query.get("include", "").lower()
    options = frozenset(part.strip() for part in include.split(","))
    return wrap(company, operate(company, entity, operation, body, options))


def operate(company: Company, entity: Entity, operation: str, body: Json, options: frozenset[str]) -> Json:
    """Create, update, delete or void one object and return it under its name."""
    if operation == "delete":
        return {entity.name: extras.delete(company, entity, body)}
    if operation == "void" or "void" in options:
        return {entity.name: objects.void(company, entity, body)}
    if operation not in {"", "update", "create"}:
        raise faults.unsupported(operation)
    special = extras.SAVE.get(entity.name)
    if special is not None:
        return {entity.name: special(company, body)}
    if entity.kind == "single":
        body = {"Id": "1"} | body | {"Id": "1"}
    if operation == "update" or (operation == "" and objects.has_id(body)):
        return {entity.name: objects.update(company, entity, body, options=options)}
    return {entity.name: objects.create(company, entity, body, options=options)}


# Endpoints that are no entity ----------------------------------------------------------------------


def _query(company: Company, request: Request) -> Reply:
    statement = request.query.get("query", "")
    if request.method == "POST":
        try:
            statement = request.body.decode() or statement
        except UnicodeDecodeError:
            raise faults.unsupported("Invalid byte 1 of 1-byte UTF-8 sequence") from None
    if not statement.strip():
        raise faults.query_syntax("The query is empty.")
    found = search.answer(company, statement)
    return Reply(200, b'{"QueryResponse":' + found + b',"time":"' + company.clock.envelope().encode() + b'"}')


def _cdc(company: Company, request: Request) -> Reply:
    since = request.query.get("changedSince", "")
    if not since:
        raise faults.required("changedSince")
    return wrap(company, search.changes(company, request.query.get("entities", ""), since))


def _tax_service(company: Company, request: Request) -> Reply:
    if request.path != ("taxservice", "taxcode") or request.method != "POST":
        raise faults.unsupported("/".join(request.path))
    return Reply(200, dumps(taxservice.create(company, parsed(request))))


def _batch(company: Company, request: Request) -> Reply:
    items = parsed(request).get("BatchItemRequest") or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise faults.unknown_property("BatchItemRequest")
    if len(items) > LARGEST_BATCH:
        problem = faults.Problem(
            "1040", "Batch size exceeds allowed limit", f"The batch limit size is {LARGEST_BATCH}"
        )
        raise Refusal(problem)
    if any(name.lower() == "requestid" for name in request.query):
        for item in items:
            if len(str(item.get("bId", ""))) > LONGEST_BATCH_ID:
                raise faults.invalid_request_id(str(item.get("bId", "")))
    order = list(items) if company.switches.batch_order == "given" else list(reversed(items))
    answers = {id(item): _batch_item(company, item) for item in order}
    return wrap(company, {"BatchItemResponse": [answers[id(item)] for item in items]})


def _batch_item(company: Company, item: Json) -> Json:
    ident = {"bId": item.get("bId", "")}
    noted = len(company.events)
    try:
        with company.store.transaction():
            return _batch_call(company, item) | ident
    except Refusal as refusal:
        company.forget()
        del company.events[noted:]
        return {"Fault": refusal.fault()} | ident


def _batch_call(company: Company, item: Json) -> Json:
    if "Query" in item:
        return {"QueryResponse": loads(search.answer(company, str(item["Query"])))}
    if "CDCQuery" in item:
        wanted = _inside(item, "CDCQuery")
        return search.changes(company, str(wanted.get("Entities", "")), str(wanted.get("ChangedSince", "")))
    names = [name for name in item if name in ENTITIES or name == "CreditCardPayment"]
    if not names:
        other = next((name for name in item if name not in {"bId", "operation", "optionsData"}), "")
        raise faults.unknown_object(other)
    entity = BY_URL[names[0].lower()]
    options = frozenset(str(item.get("optionsData", "")).lower().split(","))
    operation = str(item.get("operation", "create")).lower()
    return operate(company, entity, operation, _inside(item, names[0]), options)


def _inside(item: Json, name: str) -> Json:
    value = item[name]
    if not isinstance(value, dict):
        raise faults.unknown_property(name)
    return value


def _upload(company: Company, request: Request) -> Reply:
    return wrap(company, extras.upload(company, request.body, request.content_type, request.base_url))


def _download(company: Company, request: Request) -> Reply:
    url = extras.download_url(company, objects.ident(request.path[1]), request.base_url)
    return Reply(200, url.encode(), "text/plain")


def _report(company: Company, request: Request) -> Reply:
    if len(request.path) != 2 or request.method != "GET":
        raise faults.unsupported("/".join(request.path))
    return Reply(200, dumps(reports.run(company, request.path[1], request.query)))


_SPECIAL: dict[str, Callable[[Company, Request], Reply]] = {
    "query": _query,
    "cdc": _cdc,
    "batch": _batch,
    "taxservice": _tax_service,
    "upload": _upload,
    "download": _download,
    "reports": _report,
}


def intuit_tid(number: int, body: bytes) -> str:
    """Return a trace id of Intuit's form, the same for the same request at the same place."""
    digest = hashlib.sha256(f"{number}|".encode() + body).hexdigest()
    return f"1-{number:08x}-{digest[:24]}"
