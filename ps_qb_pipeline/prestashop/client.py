"""The shop over HTTP: one object that reads lists and writes single entities.

What lives here: addresses, the key, deadlines, retries of reads, the limits of a request. What does not:
the meaning of bytes (``wire``), of values (``rows``), and which rows to ask for (``pages``, ``extract``).

The key travels in the Authorization header and nowhere else. Redirects are never followed, links inside
answers are never used: every address is built from the shop's own. Reads are repeated, writes never.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Self
from urllib.parse import quote
from xml.etree.ElementTree import Element

import httpx
import stamina

from ps_qb_pipeline.errors import NotAShop, SettingsError, ShopError, ShopRefused, ShopUnavailable
from ps_qb_pipeline.prestashop import wire
from ps_qb_pipeline.prestashop.resources import Resource, display
from ps_qb_pipeline.prestashop.rows import Poisoned, Record, record
from ps_qb_pipeline.prestashop.wire import Answer, Call

ADDRESS_LIMIT = 6000
"""The longest address that is sent, in bytes; hosts refuse more than 8 KiB a request line."""
BODY_LIMIT = 64 * 1024 * 1024
"""The largest body that is read, in bytes."""
_UNKNOWN_FIELD = re.compile(r'Unable to display this field "([a-z0-9_]+)')


@dataclass(frozen=True, slots=True)
class Page:
    """The answer to one list request: what could be read, and what could not."""

    records: tuple[Record, ...]
    poisoned: tuple[Poisoned, ...] = ()

    @property
    def size(self) -> int:
        """Objects in the answer, readable or not."""
        return len(self.records) + len(self.poisoned)


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the client is; seconds and tries."""

    connect: float = 5.0
    read: float = 60.0
    total: float = 120.0
    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 20.0


class Shop:
    """The web service of one PrestaShop.

    Safe to use from several threads; at most ``connections`` requests are under way at once. Use it as a
    context manager, or call ``close``.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        page_size: int = 100,
        connections: int = 2,
        limits: Limits | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if not key or not key.isascii() or not key.isprintable() or ":" in key:
            raise SettingsError(
                "the web service key is empty or holds characters that no key has; copy it again"
            )
        self.url = url.rstrip("/").removesuffix("/api")
        self.page_size = page_size
        self.connections = connections
        self.limits = limits or Limits()
        self.language: int | None = None
        """The shop's default language once it is known; texts in languages are then asked for in it."""
        self.requests = 0
        """Requests sent so far, retries included."""
        self.requests_of: Counter[str] = Counter()
        """The same by resource."""
        self.version = ""
        """PrestaShop's version, once an answer told it."""
        self.server_time: int | None = None
        """The shop's clock (Unix seconds) in the last answer that told it."""
        self.clock_skew: float | None = None
        """Seconds by which the shop's clock is ahead of ours, in the last answer that told it."""
        self._left_out: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()
        self._http = httpx.Client(
            auth=httpx.BasicAuth(key, ""),
            headers={"User-Agent": "ps-qb-pipeline"},
            timeout=httpx.Timeout(self.limits.read, connect=self.limits.connect),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            transport=transport,
            mounts={"all://127.0.0.1": None, "all://localhost": None} if transport is None else None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connections back."""
        self._http.close()

    def __repr__(self) -> str:
        return f"Shop({self.url!r})"

    # Reading

    def rows(
        self,
        resource: Resource,
        filters: Mapping[str, str] | None = None,
        *,
        sort: str = "[id_ASC]",
        limit: int | None = None,
        attempts: int | None = None,
    ) -> Page:
        """The rows of ``resource`` that ``filters`` select, with exactly its columns, in the order ``sort``.

        Filter values are in the web service's own form (``[a|b]``, ``[a,b]``, ``>[a]``). Rows of all shops
        are read. Raises a ``ShopError``; a row that cannot be read does not raise, it is in ``poisoned``.
        """
        call = Call("GET", resource.name)
        while True:
            left_out = self._left_out.get(resource.name, frozenset())
            parameters = {"display": display(resource, without=left_out)}
            parameters |= self._selection(resource, filters or {}, sort, limit)
            if self.language is not None and "i18n" in resource.columns.values():
                parameters["language"] = str(self.language)
            try:
                found = self._read_list(call, resource.list_key, parameters, attempts)
            except ShopRefused as error:
                if not self._leave_out(resource, error) and not self._drop_language(error):
                    raise
                continue
            return self._page(resource, found)

    def ids(
        self,
        resource: Resource,
        filters: Mapping[str, str] | None = None,
        *,
        limit: int | None = None,
        attempts: int | None = None,
    ) -> list[int]:
        """The ids of the rows that ``filters`` select, ascending: cheap, no object is loaded for it."""
        call = Call("GET", resource.name)
        parameters = self._selection(resource, filters or {}, "[id_ASC]", limit)
        found = self._read_list(call, resource.list_key, parameters, attempts)
        ids: list[int] = []
        for fields, _ in found:
            number = fields.get("id") if isinstance(fields, dict) else None
            if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 19:
                number = int(number)
            if not isinstance(number, int) or isinstance(number, bool):
                raise wire.unusable(call, "an entry of the list of ids has no id")
            ids.append(number)
        return ids

    def exists(self, resource: Resource, number: int) -> bool:
        """Whether the object ``number`` is there, though lists may hide it."""
        call = Call("GET", resource.name)
        parameters = {"display": "[id]", "id_shop": "all", "output_format": "JSON"}
        address = self._address(f"{resource.name}/{number}", parameters)
        try:
            for attempt in self._attempts(None):
                with attempt:
                    wire.list_objects(self._send(call, address), call, resource.list_key)
        except ShopRefused as error:
            if error.facts.get("status") != 404:
                raise
            return 131 in error.facts["codes"]
        return True

    def rights(self) -> dict[str, frozenset[str]]:
        """The methods (``get``, ``put``, ``post``, ``patch``, ``delete``) that the key may use, by resource."""
        root = self._read_document(Call("GET", ""), "", {})
        api = root.find("api")
        if api is None:
            raise NotAShop("GET /api/: the answer lists no resources; check shop.url")
        methods = ("get", "put", "post", "patch", "delete")
        return {str(entry.tag): frozenset(m for m in methods if entry.get(m) == "true") for entry in api}

    def _selection(
        self, resource: Resource, filters: Mapping[str, str], sort: str, limit: int | None
    ) -> dict[str, str]:
        parameters: dict[str, str] = {}
        allowed = {column: f"[{'|'.join(values)}]" for column, values in resource.only.items()}
        for column, value in (allowed | dict(filters)).items():
            parameters[f"filter[{column}]"] = value
        parameters["sort"] = sort
        if limit is not None:
            parameters["limit"] = str(limit)
        if "date_upd" in resource.columns or "date_add" in resource.columns:
            used = f"{sort} {' '.join(filters)}"
            if "date_upd" in used or "date_add" in used:
                parameters["date"] = "1"
        parameters["id_shop"] = "all"
        return parameters

    def _page(self, resource: Resource, found: list[tuple[Any, str]]) -> Page:
        read = [record(resource, fields, text, language=self.language) for fields, text in found]
        return Page(
            tuple(one for one in read if isinstance(one, Record)),
            tuple(one for one in read if isinstance(one, Poisoned)),
        )

    def _leave_out(self, resource: Resource, error: ShopRefused) -> bool:
        """Whether the shop refused an optional column, which is left out from now on."""
        if 35 not in error.facts.get("codes", ()):
            return False
        named = _UNKNOWN_FIELD.search(str(error))
        already = self._left_out.get(resource.name, frozenset())
        if named is None or named.group(1) not in resource.optional - already:
            return False
        self._left_out[resource.name] = already | {named.group(1)}
        return True

    def _drop_language(self, error: ShopRefused) -> bool:
        """Whether the shop refused the language, which is no longer asked for then."""
        if 81 not in error.facts.get("codes", ()) or self.language is None:
            return False
        self.language = None
        return True

    def _read_list(
        self, call: Call, list_key: str, parameters: dict[str, str], attempts: int | None
    ) -> list[tuple[Any, str]]:
        parameters["output_format"] = "JSON"
        address = self._address(call.resource, parameters)
        for attempt in self._attempts(attempts):
            with attempt:
                return wire.list_objects(self._send(call, address), call, list_key)
        raise AssertionError("a retry loop ends with a result or an error")

    def _read_document(self, call: Call, path: str, parameters: dict[str, str]) -> Element:
        address = self._address(path, parameters)
        for attempt in self._attempts(None):
            with attempt:
                return wire.document(self._send(call, address), call)
        raise AssertionError("a retry loop ends with a result or an error")

    def _attempts(self, attempts: int | None) -> Iterator[stamina.Attempt]:
        limits = self.limits
        return iter(
            stamina.retry_context(
                on=_backoff,
                attempts=attempts or limits.attempts,
                timeout=None,
                wait_initial=limits.first_wait,
                wait_max=limits.longest_wait,
                wait_jitter=limits.first_wait,
            )
        )

    # Writing

    def write(
        self, method: str, resource: str, body: bytes, *, options: Mapping[str, str] | None = None
    ) -> Element:
        """Sends ``body`` once and returns the root of the XML answer.

        Never repeated: after a ``ShopUnavailable`` the outcome is unknown, so read before writing again.
        """
        call = Call(method, resource)
        address = self._address(resource, {**(options or {})})
        return wire.document(self._send(call, address, body), call)

    # Sending

    def _address(self, path: str, parameters: Mapping[str, str]) -> str:
        query = "&".join(
            f"{quote(name, safe='[]')}={quote(value, safe='[],:')}" for name, value in parameters.items()
        )
        address = f"{self.url}/api/{path}{'?' if query else ''}{query}"
        if len(address) > ADDRESS_LIMIT + len(self.url):
            raise ShopRefused(
                f"GET {path}: an address of {len(address)} bytes is too long to send", codes=[], status=414
            )
        return address

    def _send(self, call: Call, address: str, body: bytes | None = None) -> Answer:
        deadline = time.monotonic() + self.limits.total
        headers = {"Content-Type": "text/xml; charset=utf-8"} if body is not None else {}
        with self._lock:
            self.requests += 1
            self.requests_of[call.resource] += 1
        try:
            request = self._http.build_request(call.method, address, content=body, headers=headers)
            response = self._http.send(request, stream=True)
            try:
                answer = self._receive(call, response, deadline)
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._outage(call, error) from error
        self._note(answer)
        return answer

    def _receive(self, call: Call, response: httpx.Response, deadline: float) -> Answer:
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_bytes():
            chunks.append(chunk)
            size += len(chunk)
            if size > BODY_LIMIT:
                raise wire.unusable(call, f"the body is larger than {BODY_LIMIT} bytes")
            if time.monotonic() > deadline:
                raise wire.unusable(call, f"the answer took longer than {self.limits.total:g} s")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, b"".join(chunks))

    def _outage(self, call: Call, error: Exception) -> ShopError:
        kind = type(error).__name__
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
            return NotAShop(f"{call}: {self.url!r} is not an address that can be called; check shop.url")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return ShopUnavailable(
                f"{call}: no connection to {self.url} ({kind}); check shop.url and that the shop is up",
                connected=False,
            )
        return ShopUnavailable(
            f"{call}: the connection broke or timed out ({kind}); if it stays so, see that the shop is up, "
            "or lower shop.page_size",
            smaller=True,
        )

    def _note(self, answer: Answer) -> None:
        if answer.version:
            self.version = answer.version
        epoch = answer.header("access-time")
        if epoch.isascii() and epoch.isdigit() and len(epoch) <= 12:
            self.server_time = int(epoch)
            self.clock_skew = self.server_time - datetime.now(UTC).timestamp()


def _backoff(error: Exception) -> bool | float:
    """Whether a read is tried again, and after how many seconds if the shop said so."""
    if not isinstance(error, ShopUnavailable):
        return False
    wait = error.facts.get("retry_after", 0.0)
    return float(wait) if wait else True
