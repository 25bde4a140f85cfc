"""Reading QuickBooks' answers, in all the forms that have been seen.

What lives here: telling a good answer, a fault, a throttle and an outage apart: JSON, the gateway's
lower-case JSON, XML sent in spite of ``Accept: json``, HTML pages, cut or empty bodies; a fault with
status 200 too. What does not: what a code means (``faults``) and what is done next (``client``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ps_qb_pipeline.errors import (
    BooksError,
    BooksFault,
    BooksThrottled,
    BooksUnavailable,
    Fault,
    FaultError,
    ReconnectNeeded,
)
from ps_qb_pipeline.quickbooks.faults import describe, worst

PAUSE_SECONDS = 60.0
"""How long to wait after a 429 that does not say it: Intuit's own advice."""

_ERROR_CODE = re.compile(r"errorCode=(\d+)")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that could be read. Numbers with a point are Decimal, whole numbers int."""

    status: int
    intuit_tid: str
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def read_json(text: str | bytes) -> Any:
    """A JSON text with Decimals in place of floats; ``NaN`` and its like are refused."""
    return json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that money can have")


def failure(status: int, headers: Mapping[str, str], content: bytes) -> BooksError | None:
    """The error that an answer amounts to, or None for a good answer.

    401 is an error like the others here; the client refreshes once before it counts.
    """
    tid = _header(headers, "intuit_tid")
    fault = find_fault(status, tid, content)
    if status == 429 or (fault is not None and "3001" in {error.code for error in fault.errors}):
        return BooksThrottled(
            "QuickBooks answered that the request limit was reached; it is tried again after a pause",
            retry_after=retry_after(headers),
            status=status,
            intuit_tid=tid,
        )
    if fault is not None:
        return fault_error(fault)
    if 200 <= status < 300:
        return None if _is_object(content) else _unreadable(status, tid, content)
    if status in {404, 405, 410, 413, 414, 415, 431}:
        known = Fault((FaultError(f"HTTP {status}", "no fault in the answer"),), "HTTP", status, tid)
        return BooksFault(
            f"the address or the size of the request is wrong: status {status} without a fault; "
            "compare base_url and realm in the settings",
            fault=known,
        )
    return _unreadable(status, tid, content)


def fault_error(fault: Fault) -> BooksError:
    """The exception that a fault amounts to."""
    decisive = worst(fault)
    facts = {"code": fault.code, "status": fault.status, "intuit_tid": fault.intuit_tid}
    if decisive.reconnect or (fault.status in {401, 403} and decisive.code == "3200"):
        return ReconnectNeeded(describe(fault), **facts)
    unknown = decisive.outcome_unknown and decisive.action == "retry"
    if unknown or fault.status >= 500 or fault.status == 403:
        return BooksUnavailable(f"outcome unknown: {describe(fault)}", **facts)
    return BooksFault(describe(fault), fault=fault, **facts)


def find_fault(status: int, intuit_tid: str, content: bytes) -> Fault | None:
    """The fault in a body, whatever its form; None when there is none."""
    start = content.lstrip()[:1]
    if start == b"{":
        return _json_fault(status, intuit_tid, content)
    if start == b"<" and b"Fault" in content:
        return _xml_fault(status, intuit_tid, content)
    return None


def fault_of(said: Mapping[str, Any], *, status: int = 400, intuit_tid: str = "") -> Fault:
    """A Fault object of the API (of a whole answer or of one batch item) as our value."""
    small = {str(key).lower(): value for key, value in said.items()}
    errors = small.get("error") or []
    listed = errors if isinstance(errors, list) else [errors]
    read = tuple(
        _error({str(key).lower(): value for key, value in error.items()})
        for error in listed
        if isinstance(error, Mapping)
    )
    return Fault(read, str(small.get("type") or ""), status, intuit_tid)


def retry_after(headers: Mapping[str, str]) -> float:
    """The seconds that Retry-After asks for, or 60: Intuit promises no such header."""
    said = _header(headers, "retry-after").strip()
    if said.isdecimal():
        return float(min(int(said), 3600))
    try:
        at = parsedate_to_datetime(said)
        date = parsedate_to_datetime(_header(headers, "date"))
    except (TypeError, ValueError):
        return PAUSE_SECONDS
    # Both moments are the server's, so a wrong clock here does no harm.
    return max(1.0, min((at - date).total_seconds(), 3600.0))


def inside(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object of an answer. Raises BooksUnavailable when the answer does not hold it."""
    found = body.get(name)
    if not isinstance(found, dict):
        raise BooksUnavailable(f"the answer holds no {name}; it is asked for again")
    return found


def _header(headers: Mapping[str, str], name: str) -> str:
    for key, value in headers.items():
        if key.lower() == name:
            return value
    return ""


def _is_object(content: bytes) -> bool:
    try:
        return isinstance(read_json(content), dict)
    except ValueError:
        return False


def _unreadable(status: int, tid: str, content: bytes) -> BooksUnavailable:
    start = content.lstrip()[:1]
    form = {b"": "an empty body", b"<": "HTML or XML without a fault"}.get(start, "no readable JSON")
    return BooksUnavailable(
        f"outcome unknown: status {status} with {form}; it is looked up before anything is sent again",
        status=status,
        intuit_tid=tid,
    )


def _json_fault(status: int, tid: str, content: bytes) -> Fault | None:
    try:
        body = read_json(content)
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    said = body.get("Fault") or body.get("fault")
    if not said:
        return None
    # Whatever stands there: an answer that speaks of a fault is none to rely on.
    return fault_of(said if isinstance(said, dict) else {}, status=status, intuit_tid=tid)


def _xml_fault(status: int, tid: str, content: bytes) -> Fault | None:
    try:
        root = fromstring(content)
    except (ParseError, DefusedXmlException, ValueError):
        return None
    found = next((node for node in root.iter() if _local(node) == "Fault"), None)
    if found is None:
        return None
    errors = tuple(
        _error(
            {
                "code": node.get("code", ""),
                "element": node.get("element", ""),
                "message": _child(node, "Message"),
                "detail": _child(node, "Detail"),
            }
        )
        for node in found.iter()
        if _local(node) == "Error"
    )
    return Fault(errors, found.get("type", ""), status, tid)


def _local(node: Element) -> str:
    return str(node.tag).rpartition("}")[2]


def _child(node: Element, name: str) -> str:
    return next((child.text or "" for child in node if _local(child) == name), "")


def _error(said: Mapping[str, Any]) -> FaultError:
    message = str(said.get("message") or "")
    code = str(said.get("code") or "").strip()
    if not code.isdecimal() and (found := _ERROR_CODE.search(message)):
        code = found[1]
    # The gateway pads its codes: 003001 is 3001.
    code = code.lstrip("0") or code
    return FaultError(code, message, str(said.get("detail") or ""), str(said.get("element") or ""))
