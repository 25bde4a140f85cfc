"""The company's books over HTTP: every call to QuickBooks goes through here.

What lives here: ``Books``, which reads through python-quickbooks and writes exact bytes, and the one
override of its ``process_request`` that adds token, limits, time-outs, ``minorversion`` and the
status, ``intuit_tid`` and full fault of every answer. What does not: document bodies (``bodies``),
what to mirror (``mirror``), and any retry of a write: that is posting's, which knows what was sent.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import requests
import stamina
from quickbooks.client import QuickBooks

from ps_qb_pipeline.errors import (
    BooksNotSent,
    BooksThrottled,
    BooksUnavailable,
    Fault,
    PipelineError,
    ReconnectNeeded,
)
from ps_qb_pipeline.quickbooks import batch as batches
from ps_qb_pipeline.quickbooks import cdc as capture
from ps_qb_pipeline.quickbooks import query as queries
from ps_qb_pipeline.quickbooks.answers import Reply, failure, inside, read_json
from ps_qb_pipeline.quickbooks.limiter import (
    UNLIMITED,
    Budget,
    MemoryStore,
    Meter,
    Priority,
    SharedBudget,
    wait_for,
)
from ps_qb_pipeline.quickbooks.transport import CONNECT_SECONDS, TOTAL_SECONDS, Bearer, exchange, prepare

logger = logging.getLogger(__name__)

MINOR_VERSION = 75
REQUESTID_LENGTH = 50
BATCH_REQUESTID_LENGTH = 36
READ_ATTEMPTS = 5

BeforeSend = Callable[[], None]
"""Called after every wait, right before bytes leave; what it raises passes through and nothing is sent."""


class AccessTokens(Protocol):
    """Where the client gets its tokens."""

    def access_token(self) -> str:
        """A token that will be good for some minutes."""
        ...

    def renewed(self, stale: str) -> str:
        """Another token than ``stale``, which was refused."""
        ...


@dataclass(frozen=True, slots=True)
class _Call:
    """What the override must know of the call that python-quickbooks is making for us."""

    meter: Meter
    priority: Priority
    batch: bool = False
    before_send: BeforeSend | None = None


class _Library(QuickBooks):  # type: ignore[misc]
    """python-quickbooks with its only door replaced by ours."""

    exchange_for: Callable[..., requests.Response]

    def process_request(
        self, request_type: str, url: str, headers: Any = "", params: Any = "", data: Any = ""
    ) -> requests.Response:
        """Every call of the library, one HTTP exchange each; raises our errors, returns good answers."""
        return self.exchange_for(request_type, url, dict(headers or {}), dict(params or {}), data)


class Books:
    """One company.

    ``base_url`` is the service without ``/v3``. Reads are tried again after outages and throttles;
    writes never are: BooksUnavailable from a write means that its outcome is unknown.
    """

    def __init__(
        self,
        *,
        base_url: str,
        realm: str,
        tokens: AccessTokens,
        budget: Budget | None = None,
        priority: Priority = Priority.NORMAL,
        connect_seconds: float = CONNECT_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.realm = realm
        self.priority = priority
        self.budget: Budget = budget or SharedBudget(MemoryStore(), UNLIMITED)
        self._tokens = tokens
        self._connect = connect_seconds
        self._total = total_seconds
        self._sleep = sleep
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._library = _Library(company_id=realm, minorversion=MINOR_VERSION, use_decimal=True)
        self._library.api_url_v3 = f"{base_url.rstrip('/')}/v3"
        self._library.exchange_for = self._exchange
        self._company = f"{self._library.api_url}/company/{realm}"

    def close(self) -> None:
        """Close every connection of every thread; a later call opens new ones."""
        self._local = threading.local()
        while self._sessions:
            self._sessions.pop().close()

    @property
    def library(self) -> QuickBooks:
        """The python-quickbooks client, for its object classes: ``Invoice.get(5, qb=books.library)``."""
        return self._library

    # -- reads ---------------------------------------------------------------------------------

    def query(self, statement: str) -> list[dict[str, Any]]:
        """The rows of one query; one page, as the statement says."""
        return queries.rows(self._query(statement))

    def count(self, entity: str, where: str = "") -> int:
        """How many rows there are, inactive ones too where the entity has them."""
        return queries.total(self._query(queries.count_statement(entity, where)))

    def query_all(
        self, entity: str, where: str = "", *, page: int = queries.PAGE
    ) -> Iterator[dict[str, Any]]:
        """Every row of an entity, inactive ones too, in pages of 1,000 ordered by Id."""
        start = 1
        while True:
            rows = self.query(queries.page_statement(entity, where, start=start, size=page))
            yield from rows
            if len(rows) < page:
                return
            start += page

    def read(self, entity: str, id: str) -> dict[str, Any]:  # noqa: A002
        """One object by its Id. Raises BooksFault with code 610 when there is none."""
        return inside(self._read(lambda: self._library.get_single_object(entity, pk=id), "read"), entity)

    def company_info(self) -> dict[str, Any]:
        """The company's CompanyInfo object."""
        return self.read("CompanyInfo", self.realm)

    def preferences(self) -> dict[str, Any]:
        """The company's Preferences object."""
        body = self._read(lambda: self._library.get(f"{self._company}/preferences", params={}), "read")
        return inside(body, "Preferences")

    def exchange_rate(self, currency: str, day: str) -> dict[str, Any]:
        """QuickBooks' own rate of ``currency`` at ``day`` (YYYY-MM-DD)."""
        params = {"sourcecurrencycode": currency, "asofdate": day}
        body = self._read(
            lambda: self._library.get(f"{self._company}/exchangerate", params=dict(params)), "read"
        )
        return inside(body, "ExchangeRate")

    def report(self, name: str, **params: str) -> dict[str, Any]:
        """One report as QuickBooks lays it out; ``reports`` turns it into rows."""
        return self._read(lambda: self._library.get_report(name, dict(params)), "read")

    def changes(self, entities: Sequence[str], since: datetime) -> capture.Changes:
        """What changed since an aware moment; split until no answer is full (see ``cdc``)."""
        return capture.collect(self._cdc_page, entities, since)

    def cdc(self, entities: Sequence[str], since: datetime) -> dict[str, list[dict[str, Any]]]:
        """Changed rows by entity, deleted ones with ``status`` "Deleted"; complete even where CDC is full."""
        found = self.changes(entities, since)
        rows: dict[str, list[dict[str, Any]]] = {entity: [] for entity in entities}
        for change in found.rows:
            rows.setdefault(change.entity, []).append(change.row)
        for entity in found.full:
            rows[entity].extend(self.query_all(entity, queries.changed_since(since)))
        return rows

    def _cdc_page(self, entities: Sequence[str], since: str) -> dict[str, Any]:
        return self._read(lambda: self._library.change_data_capture(",".join(entities), since), "cdc")

    # -- writes --------------------------------------------------------------------------------

    def create(
        self, entity: str, body: bytes, requestid: str, *, before_send: BeforeSend | None = None
    ) -> Reply:
        """Post exactly these bytes as a new object."""
        return self._write(entity.lower(), body, requestid, before_send)

    def update(
        self, entity: str, body: bytes, requestid: str, *, before_send: BeforeSend | None = None
    ) -> Reply:
        """Post exactly these bytes, which hold Id and SyncToken; without ``sparse`` what is left out is emptied."""
        return self._write(entity.lower(), body, requestid, before_send)

    def void(
        self,
        entity: str,
        id: str,  # noqa: A002  the API's own word
        sync_token: str,
        requestid: str,
        *,
        before_send: BeforeSend | None = None,
    ) -> Reply:
        """Void a transaction: it keeps its number, its amounts become zero."""
        body = json.dumps({"Id": id, "SyncToken": sync_token, "sparse": True}).encode()
        if entity == "Invoice":
            return self._write("invoice", body, requestid, before_send, operation="void")
        return self._write(entity.lower(), body, requestid, before_send, operation="update", include="void")

    def delete(self, entity: str, id: str, sync_token: str, requestid: str) -> Reply:  # noqa: A002
        """Delete a transaction for good."""
        body = json.dumps({"Id": id, "SyncToken": sync_token}).encode()
        return self._write(entity.lower(), body, requestid, operation="delete")

    def batch(
        self,
        items: Iterable[batches.BatchItem],
        requestid: str,
        *,
        before_send: BeforeSend | None = None,
    ) -> dict[str, Reply | Fault]:
        """Post several independent objects at once; see ``batch.read`` for what comes back."""
        listed = tuple(items)
        body = batches.body(listed, limit=self.budget.limits.batch_items)
        if len(requestid) > BATCH_REQUESTID_LENGTH:
            raise ValueError(
                f"{requestid!r} is longer than the {BATCH_REQUESTID_LENGTH} characters a batch may have"
            )
        return batches.read(self._write("batch", body, requestid, before_send, batch=True), listed)

    def create_tax_code(self, body: bytes, requestid: str) -> Reply:
        """Create a tax code with its rates through the TaxService; the answer has no envelope."""
        return self._write("taxservice/taxcode", body, requestid)

    def attach(
        self, file_name: str, content: bytes, content_type: str, *, to: Mapping[str, str], requestid: str
    ) -> Reply:
        """Upload a file and attach it to the object that ``to`` names: its ``type`` and its Id as ``value``."""
        headers, body = batches.upload(file_name, content, content_type, to)
        return self._write("upload", body, requestid, headers=headers)

    # -- the door ------------------------------------------------------------------------------

    def _query(self, statement: str) -> dict[str, Any]:
        return self._read(lambda: self._library.query(statement.encode()), "read")

    def _read(self, call: Callable[[], Any], meter: Meter) -> dict[str, Any]:
        for attempt in stamina.retry_context(
            on=_read_again, attempts=READ_ATTEMPTS, timeout=None, wait_initial=0.5, wait_max=20.0
        ):
            with attempt, self._calling(_Call(meter, self.priority)):
                body: dict[str, Any] = call()
        return body

    def _write(
        self,
        path: str,
        body: bytes,
        requestid: str,
        before_send: BeforeSend | None = None,
        *,
        batch: bool = False,
        headers: Mapping[str, str] | None = None,
        **params: str,
    ) -> Reply:
        if not 0 < len(requestid) <= REQUESTID_LENGTH:
            raise ValueError(f"{requestid!r} must have 1 to {REQUESTID_LENGTH} characters")
        call = _Call("write", self.priority, batch=batch, before_send=before_send)
        with self._calling(call):
            response = self._library.process_request(
                "POST",
                f"{self._company}/{path}",
                headers={"Content-Type": "application/json", "Accept": "application/json", **(headers or {})},
                params={**params, "minorversion": str(MINOR_VERSION), "requestid": requestid},
                data=body,
            )
        return Reply(
            response.status_code,
            response.headers.get("intuit_tid", ""),
            read_json(response.content),
            dict(response.headers),
        )

    def _calling(self, call: _Call) -> _Calling:
        return _Calling(self._local, call)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = prepare(requests.Session())
            self._local.session = session
            self._sessions.append(session)
        return session

    def _exchange(
        self, method: str, url: str, headers: dict[str, str], params: dict[str, Any], data: Any
    ) -> requests.Response:
        call: _Call | None = getattr(self._local, "call", None)
        if call is None:
            # An object class of python-quickbooks was used directly.
            reads = method == "GET" or url.endswith("/query")
            call = _Call("read" if reads else "write", self.priority)
        params.setdefault("minorversion", MINOR_VERSION)
        token = self._tokens.access_token()
        response = self._send(call, token, method, url, headers, params, data)
        if response.status_code == 401:
            # Once, with the same bytes and the same requestid.
            token = self._tokens.renewed(token)
            response = self._send(call, token, method, url, headers, params, data)
        error = failure(response.status_code, response.headers, response.content)
        if response.status_code == 401:
            raise ReconnectNeeded(
                "QuickBooks refuses a token that was just renewed; run psqb connect", status=401
            )
        if isinstance(error, BooksThrottled):
            self.budget.throttled(self.realm, error.retry_after)
        if error is not None:
            raise error
        return response

    def _send(
        self,
        call: _Call,
        token: str,
        method: str,
        url: str,
        headers: dict[str, str],
        params: dict[str, Any],
        data: Any,
    ) -> requests.Response:
        wait_for(
            self.budget,
            self.realm,
            meter=call.meter,
            batch=call.batch,
            priority=call.priority,
            sleep=self._sleep,
        )
        if call.before_send is not None:
            call.before_send()
        response = exchange(
            self._session().request,
            method,
            url,
            connect=self._connect,
            total=self._total,
            headers=headers,
            auth=Bearer(token),
            params=params,
            data=data or None,
        )
        response.encoding = "utf-8"
        logger.debug(
            "%s %s: %s, intuit_tid %s, %d ms",
            method,
            url.removeprefix(self._company),
            response.status_code,
            response.headers.get("intuit_tid", ""),
            response.elapsed.total_seconds() * 1000,
        )
        return response


class _Calling:
    """Tells the override what kind of call this thread is making."""

    def __init__(self, local: threading.local, call: _Call) -> None:
        self._local = local
        self._call = call

    def __enter__(self) -> None:
        self._local.call = self._call

    def __exit__(self, *_: object) -> None:
        self._local.call = None


def _read_again(error: Exception) -> bool:
    if isinstance(error, (BooksUnavailable, BooksNotSent, BooksThrottled)):
        return isinstance(error, PipelineError) and error.retryable
    return False
