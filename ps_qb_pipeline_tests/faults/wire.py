"""The company behind HTTP, as bytes, with everything that can go wrong on the way.

The real client (``quickbooks.client.Books``) talks to this through an adapter of ``requests``: no socket,
but real requests, real answers and real errors. It shares no code with the client.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError

from ps_qb_pipeline.errors import BooksFault
from ps_qb_pipeline.quickbooks.client import Books
from ps_qb_pipeline_tests.faults.books import Company, Row

WRITE_FAULTS = (
    "refused",
    "connect_timeout",
    "timeout_before",
    "timeout_after",
    "reset_after",
    "late_commit",
    "throttle_json",
    "throttle_xml",
    "throttle_403",
    "error_500",
    "error_502_html",
    "error_503_after",
    "error_504_after",
    "maintenance_200",
    "truncated_after",
    "garbled_after",
    "empty_after",
    "fault_in_200",
    "locked_140",
    "expired_401",
)
BATCH_FAULTS = ("partial_after", "partial_before", "oversized_1040")
READ_FAULTS = (
    "refused",
    "timeout_before",
    "throttle_json",
    "error_500",
    "error_502_html",
    "maintenance_200",
    "truncated_after",
    "expired_401",
)

Entity = {
    name.lower(): name
    for name in (
        "Customer",
        "Item",
        "SalesReceipt",
        "Invoice",
        "Payment",
        "RefundReceipt",
        "CreditMemo",
        "JournalEntry",
        "Account",
        "Deposit",
        "Purchase",
    )
}


class Server:
    """QuickBooks' side of the wire. ``weather`` names the fault of a request, ``hook`` marks its stages."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.valid_tokens: set[str] = {"access-0"}
        self.requests = 0

    def handle(self, method: str, url: str, token: str, body: bytes, fault: str) -> tuple[int, str, bytes]:
        """Status, content type and bytes of an answer; or a transport error."""
        self.requests += 1
        company = self.company
        company.world.pass_time(0.2)
        company.tick()
        if token not in self.valid_tokens or fault == "expired_401":
            return 401, "application/json", _gateway_401()
        if fault in _BEFORE:
            return _BEFORE[fault]()
        if fault == "late_commit":
            delay = 1.0 + (self.requests * 37) % 118
            company.late.append(
                (company.world.seconds + delay, lambda: self._answer(method, url, body, fault))
            )
            company.world.pass_time(1.0)
            raise requests.exceptions.ReadTimeout("read timed out")
        status, content = self._answer(method, url, body, fault)
        if fault in _AFTER:
            return _AFTER[fault](content)
        return status, "application/json", content

    def _answer(self, method: str, url: str, body: bytes, fault: str) -> tuple[int, bytes]:
        parts = urlsplit(url)
        params = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = [part for part in parts.path.split("/") if part][3:]
        try:
            answer = self._dispatch(method, path, params, body, fault)
        except BooksFault as refused:
            return 400, _dump({"Fault": _fault(refused)})
        return 200, _dump(answer)

    def _dispatch(self, method: str, path: list[str], params: Row, body: bytes, fault: str) -> Row:
        if path[0] == "query":
            return self._query(body.decode())
        if path[0] == "cdc":
            return self._cdc(params)
        if path[0] == "batch":
            return self._batch(json.loads(body, parse_float=Decimal), params["requestid"], fault)
        entity = Entity[path[0]]
        if method == "GET":
            row = self.company.table(entity).get(path[1])
            if row is None:
                raise self.company.refusal("610", "Object not found")
            return {entity: row}
        sent = json.loads(body, parse_float=Decimal)
        operation = "update" if sent.get("Id") else "create"
        if params.get("operation") == "void" or params.get("include") == "void":
            operation = "void"
        return {entity: self.company.perform(operation, entity, sent, params["requestid"])}

    def _query(self, statement: str) -> Row:
        found = re.fullmatch(
            r"SELECT \* FROM (\w+)(?: WHERE (.*?))? ORDERBY Id STARTPOSITION (\d+) MAXRESULTS (\d+)",
            statement,
            re.DOTALL,
        )
        assert found, statement
        entity, where, start, size = found[1], found[2] or "", int(found[3]), int(found[4])
        where = re.sub(r"( AND )?Active IN \(true, false\)", "", where)
        rows = self.company.select(entity, where)[start - 1 : start - 1 + size]
        return {"QueryResponse": {entity: rows} if rows else {}}

    def _cdc(self, params: Row) -> Row:
        from datetime import datetime

        since = datetime.fromisoformat(unquote_plus(params["changedSince"]).replace(" ", "+"))
        listed = [
            {entity: rows}
            for entity in params["entities"].split(",")
            if (rows := self.company.changes(entity, since))
        ]
        return {"CDCResponse": [{"QueryResponse": listed}], "time": self.company.world.now.isoformat()}

    def _batch(self, body: Row, requestid: str, fault: str) -> Row:
        company = self.company
        items = body["BatchItemRequest"]
        if fault == "oversized_1040":
            raise company.refusal("1040", "More than 30 items in batch request")
        assert len(requestid) <= 36
        if company.honour_requestid and requestid in company.replies:
            return company.replies[requestid]
        answers = []
        if fault == "partial_before":
            items = items[: max(1, len(items) // 2)]
        for item in items:
            entity = next(name for name in item if name in Entity.values())
            operation = item["operation"]
            if item.get("optionsData") == "void":
                operation = "void"
            try:
                row = company.perform(operation, entity, item[entity], f"{requestid}/{item['bId']}")
                answers.append({"bId": item["bId"], entity: row})
            except BooksFault as refused:
                answers.append({"bId": item["bId"], "Fault": _fault(refused)})
        if fault == "partial_after":
            answers = answers[: len(answers) // 2]
        answer = {"BatchItemResponse": answers}
        if not fault.startswith("partial"):
            company.replies[requestid] = answer
        return answer


def _fault(refused: BooksFault) -> Row:
    return {
        "Error": [
            {"Message": one.message, "Detail": one.detail, "code": one.code, "element": one.element}
            for one in refused.fault.errors
        ],
        "type": "ValidationFault",
    }


def _dump(value: Any) -> bytes:
    return json.dumps(value, default=float).encode()


def _gateway_401() -> bytes:
    error = {"message": "message=AuthenticationFailed; errorCode=003200; statusCode=401", "code": "3200"}
    return _dump({"fault": {"error": [error], "type": "AUTHENTICATION"}})


def _throttle() -> bytes:
    error = {"Message": "message=ThrottleExceeded; errorCode=003001; statusCode=429", "code": "3001"}
    return _dump({"Fault": {"Error": [error], "type": "SERVICE"}})


def _raise(error: Exception) -> Any:
    raise error


_HTML = b"<html><body>We will be right back</body></html>"
_XML = (
    b'<?xml version="1.0"?><IntuitResponse xmlns="http://schema.intuit.com/finance/v3"><Fault type="SERVICE">'
    b'<Error code="3001"><Message>ThrottleExceeded</Message></Error></Fault></IntuitResponse>'
)
_FAULT_IN_200 = {
    "Fault": {"Error": [{"Message": "An application error", "code": "10000"}], "type": "SystemFault"}
}
_LOCKED = {"Fault": {"Error": [{"Message": "Company locked", "code": "140"}], "type": "SystemFault"}}

Answer = tuple[int, str, bytes]
_BEFORE: dict[str, Callable[[], Answer]] = {
    "timeout_before": lambda: _raise(requests.exceptions.ReadTimeout("read timed out")),
    "throttle_json": lambda: (429, "application/json", _throttle()),
    "throttle_xml": lambda: (429, "application/xml", _XML),
    "throttle_403": lambda: (403, "application/json", _throttle()),
    "error_500": lambda: (500, "application/json", b"{}"),
    "error_502_html": lambda: (502, "text/html", _HTML),
    "maintenance_200": lambda: (200, "text/html", _HTML),
    "fault_in_200": lambda: (200, "application/json", _dump(_FAULT_IN_200)),
    "locked_140": lambda: (400, "application/json", _dump(_LOCKED)),
}
_AFTER: dict[str, Callable[[bytes], Answer]] = {
    "timeout_after": lambda _: _raise(requests.exceptions.ReadTimeout("read timed out")),
    "reset_after": lambda _: _raise(requests.exceptions.ConnectionError("connection reset by peer")),
    "error_503_after": lambda _: (503, "text/html", _HTML),
    "error_504_after": lambda _: (504, "text/html", _HTML),
    "truncated_after": lambda content: (200, "application/json", content[: len(content) // 2]),
    "garbled_after": lambda content: (200, "application/json", content[::-1]),
    "empty_after": lambda _: (200, "application/json", b""),
}


class Line(BaseAdapter):
    """One process's line to the server: asks for the weather, marks the stages, carries bytes."""

    def __init__(self, server: Server, weather: Callable[[str], str], hook: Callable[[str], None]) -> None:
        super().__init__()
        self.server = server
        self.weather = weather
        self.hook = hook

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        url = str(request.url)
        kind = _kind(url, str(request.method), request.body)
        fault = self.weather(kind)
        self.hook(f"http.{kind}.out")
        if fault in {"refused", "connect_timeout"}:
            if fault == "connect_timeout":
                raise requests.exceptions.ConnectTimeout("connect timed out")
            reason = NewConnectionError(None, "connection refused")  # type: ignore[arg-type]
            raise requests.exceptions.ConnectionError(MaxRetryError(None, url, reason))  # type: ignore[arg-type]
        body = request.body or b""
        token = str(request.headers.get("Authorization", "")).removeprefix("Bearer ")
        sent = body.encode() if isinstance(body, str) else bytes(body)
        status, content_type, content = self.server.handle(str(request.method), url, token, sent, fault)
        self.hook(f"http.{kind}.back")
        response = requests.Response()
        response.status_code = status
        response.headers["Content-Type"] = content_type
        response.headers["intuit_tid"] = f"tid-{self.server.requests}"
        response.raw = io.BytesIO(content)
        response._content = content
        response.request = request
        response.url = url
        return response

    def close(self) -> None:
        pass


def _kind(url: str, method: str, body: Any) -> str:
    path = urlsplit(url).path
    if path.endswith("/query"):
        return "query"
    if path.endswith("/cdc"):
        return "cdc"
    if path.endswith("/batch"):
        return "batch"
    if method == "GET":
        return "read"
    if "include=void" in url or "operation=void" in url:
        return "void"
    sent = body if isinstance(body, bytes) else str(body).encode()
    return "update" if b'"SyncToken"' in sent else "create"


class WiredBooks(Books):
    """The real client with the line in place of sockets."""

    line: BaseAdapter

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self, "_one", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False
            session.mount("https://", self.line)
            self._one = session
        return session
