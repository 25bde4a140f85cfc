"""The wire forms of the web service: JSON lists in, XML out, and what an error answer means.

What lives here: pure functions from bytes to objects or to a named error, and from values to XML.
What does not: sockets (``client``) and the typing of values (``rows``).

The status of an answer is unreliable (a PHP warning turns a good answer into 500, a wrong filter is 400 on
one host and 500 on another), so the first error code decides wherever there is one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any, NoReturn
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from ps_qb_pipeline.errors import NotAShop, ShopError, ShopRefused, ShopUnauthorized, ShopUnavailable

_KEY_CODES = frozenset({16, 17, 18, 19, 20, 21})
_QUOTABLE = frozenset({*range(25, 42), *range(84, 94), 101, 131, 132, 999})
"""Codes whose message names fields and resources only; other messages may echo data and are not repeated."""
_PHP_PLACE = re.compile(r"\(([^()]{1,200}), line (\d{1,6})\)")
_SNIPPET = 160
_LONGEST_WAIT = 120.0
_MOST_CANDIDATES = 60
"""How many parts of a body are tried, when foreign text stands around it."""
_XML_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENTITIES = {"\r": "&#13;"}
_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: ``headers`` in lower case, the body whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """The value of the header ``name`` (lower case), or the empty string."""
        return self.headers.get(name, "")

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @property
    def version(self) -> str:
        """PrestaShop's version; empty when the answer is not its own or the key was refused."""
        version = self.header("psws-version").strip()
        return "" if version == "0" else version


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked, for messages: never more than a method and a resource."""

    method: str
    resource: str

    def __str__(self) -> str:
        return f"{self.method} {self.resource}" if self.resource else f"{self.method} /api/"


def list_objects(answer: Answer, call: Call, list_key: str) -> list[tuple[Any, str]]:
    """The objects of a JSON list answer, each with its own text as received. Raises a ``ShopError``."""
    _refuse_errors(answer, call)
    text = _sound_text(answer, call, media_type="application/json")
    try:
        return _split(text, list_key)
    except (ValueError, RecursionError) as error:
        raise unusable(call, "the answer is not the JSON that a list has", answer) from error


def document(answer: Answer, call: Call) -> Element:
    """The root element ``prestashop`` of an XML answer. Raises a ``ShopError``."""
    _refuse_errors(answer, call)
    text = _sound_text(answer, call, media_type="text/xml")
    root = parse_xml(text)
    if root is None or root.tag != "prestashop":
        raise unusable(call, "the answer is not the XML of the web service", answer)
    return root


def parse_xml(text: str) -> Element | None:
    """The root element of ``text``, or None if it is not well-formed or declares a document type.

    Whatever stands outside the root (a space, a script of a module) is passed over. The encoding that a
    declaration names is not believed: the text is decoded by then.
    """
    start, end = text.find("<"), text.rfind(">")
    if start < 0 or end < start:
        return None
    parser = DefusedXMLParser(encoding="utf-8", forbid_dtd=True)
    try:
        parser.feed(text[start : end + 1].encode())
        root: Element = parser.close()
    except (DefusedXmlException, SyntaxError, ValueError, LookupError, RecursionError):
        return None
    return root


def unusable(call: Call, what: str, answer: Answer | None = None) -> ShopUnavailable:
    """An answer that cannot be used now; a smaller page or another try may help."""
    size = f" (status {answer.status}, {len(answer.body)} bytes)" if answer else ""
    return ShopUnavailable(
        f"{call}: {what}{size}; nothing of it was taken; "
        "if it stays so, look at the shop's PHP error log of this moment",
        smaller=True,
        status=answer.status if answer else 0,
    )


def _split(text: str, list_key: str) -> list[tuple[Any, str]]:
    """The elements of ``{"<list_key>": [...]}``, with the text of each; ``[]`` is the empty list."""
    decode = json.JSONDecoder(parse_float=_exact, parse_constant=_no_constant).raw_decode
    position = _skip(text, 0)
    if text[position:].strip(_SPACE) == "[]":
        return []
    for expected in ("{", json.dumps(list_key), ":", "["):
        if not text.startswith(expected, position):
            raise ValueError("not the list that was asked for")
        position = _skip(text, position + len(expected))
    found: list[tuple[Any, str]] = []
    if not text.startswith("]", position):
        while True:
            value, end = decode(text, position)
            found.append((value, text[position:end]))
            position = _skip(text, end)
            if not text.startswith(",", position):
                break
            position = _skip(text, position + 1)
    if text[position:].translate(_NO_SPACE) != "]}":
        raise ValueError("the list does not end as a list ends")
    return found


_NO_SPACE = {ord(character): None for character in _SPACE}


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _exact(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation as error:
        raise ValueError("a number beyond all bounds") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _sound_text(answer: Answer, call: Call, *, media_type: str) -> str:
    """The body as text, after every check that it is whole and PrestaShop's own."""
    if answer.media_type != media_type:
        page = "an HTML page" if "html" in answer.media_type else f"{answer.media_type or 'an untyped body'}"
        raise ShopUnavailable(
            f"{call}: {page} came back with status {answer.status} instead of data: a maintenance page, a "
            "firewall or another program answers; open the address in a browser and take it out of the way of /api",
            status=answer.status,
            html=True,
        )
    if not answer.version:
        raise NotAShop(
            f"{call}: the answer has no PSWS-Version header, so no PrestaShop web service wrote it; check shop.url, "
            "and that no proxy removes headers"
        )
    body = _as_written(answer)
    if body is None:
        raise unusable(call, "the body was cut short or changed on its way (Content-Sha1 differs)", answer)
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unusable(call, "the body is not UTF-8", answer) from error


def _as_written(answer: Answer) -> bytes | None:
    """The body as PrestaShop wrote it, by its Content-Sha1; None if no part of what arrived is that.

    Modules and hosts are known that print spaces before or scripts after every answer. What stands outside is
    taken off only if the digest proves that the rest is whole.
    """
    digest = answer.header("content-sha1").strip().lower()
    if not digest or _sha1(answer.body) == digest:
        return answer.body
    candidates = islice(_inner_parts(answer.body), _MOST_CANDIDATES)
    return next((part for part in candidates if _sha1(part) == digest), None)


def _inner_parts(body: bytes) -> Iterator[bytes]:
    """What ``body`` may hold between foreign text, likely parts first."""
    for opening in (b"<?xml", b"{", b"["):
        start = body.find(opening)
        if start < 0:
            continue
        for closing in (b"</prestashop>\n", b"</prestashop>", b"]}", b"]", b"}"):
            stop = body.rfind(closing)
            while stop >= start:
                yield body[start : stop + len(closing)]
                stop = body.rfind(closing, start, stop)


def _sha1(body: bytes) -> str:
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()


def _refuse_errors(answer: Answer, call: Call) -> None:
    """Raises what the answer says if it says anything but success."""
    errors = error_list(answer)
    if errors:
        raise _coded(errors, answer, call)
    if answer.status not in {200, 201}:
        raise _uncoded(answer, call)


def error_list(answer: Answer) -> list[tuple[int, str]]:
    """Code and message of every error in the body, in order; empty if the body holds none."""
    if b"<errors" not in answer.body and b'"errors"' not in answer.body:
        return []
    found: list[tuple[int, str]] = []
    text = answer.body.decode("utf-8", errors="replace").lstrip("\ufeff" + _SPACE)
    if text.startswith("{"):
        try:
            errors = json.loads(text).get("errors")
        except (ValueError, RecursionError):
            return []
        entries = errors if isinstance(errors, list) else []
        found = [_entry(e.get("code"), e.get("message")) for e in entries if isinstance(e, dict)]
    elif text.startswith("<"):
        root = parse_xml(text)
        if root is not None and root.tag == "prestashop":
            found = [_entry(e.findtext("code"), e.findtext("message")) for e in root.iterfind("errors/error")]
    return found


def _entry(code: object, message: object) -> tuple[int, str]:
    digits = str(code).strip()
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else 0
    return number, message if isinstance(message, str) else ""


def _coded(errors: list[tuple[int, str]], answer: Answer, call: Call) -> ShopError:
    """The error that the first code stands for."""
    code, message = errors[0]
    facts = {"codes": [number for number, _ in errors], "status": answer.status, "resource": call.resource}
    said = f': "{_plain(message)}"' if code in _QUOTABLE and message else ""
    if code in _KEY_CODES:
        return ShopUnauthorized(
            f"{call}: the shop refuses the web service key (code {code}): it is unknown, switched off or not 32 "
            "characters; compare it with Advanced Parameters > Webservice in the back office",
            **facts,
        )
    if code in {25, 26, 132}:
        right = "this shop" if code == 132 else f"{call.method} on {call.resource or 'the web service'}"
        return ShopUnauthorized(
            f"{call}: the key is good but has no right to {right} (code {code}); grant it in Advanced Parameters > "
            "Webservice in the back office",
            **facts,
        )
    if code == 22:
        return ShopUnavailable(
            f"{call}: the web service is switched off (code 22); switch it on in Advanced Parameters > Webservice",
            **facts,
        )
    if 2 <= code <= 15:
        place = _PHP_PLACE.search(message)
        where = f" at {place.group(1)}, line {place.group(2)}" if place else ""
        return ShopUnavailable(
            f"{call}: PHP raised a warning while the shop answered (code {code}){where}, which makes the answer "
            "unusable; update or switch off the module that causes it",
            smaller=True,
            **facts,
        )
    if code == 0 and answer.status >= 500:
        return ShopUnavailable(f"{call}: the shop failed with status {answer.status}", smaller=True, **facts)
    return ShopRefused(f"{call}: the web service refuses the request (code {code}){said}", **facts)


_STATUS_MEANS: dict[int, tuple[type[ShopError], str]] = {
    401: (
        ShopUnauthorized,
        (
            "no key reached the shop (status 401): the host drops the Authorization header; let the web server pass it on "
            "to PHP (Apache with CGI: SetEnvIf Authorization in .htaccess)"
        ),
    ),
    403: (
        NotAShop,
        "something in front of the shop refuses the request (status 403); let this machine through its firewall for /api",
    ),
    414: (ShopRefused, "the address was too long for the host (status 414)"),
    **dict.fromkeys(
        (404, 405, 410),
        (
            NotAShop,
            "nothing answers at /api; check shop.url, and that friendly URLs and the web service are switched on",
        ),
    ),
}


def _uncoded(answer: Answer, call: Call) -> ShopError:
    """The error that a status without error codes stands for."""
    status = answer.status
    facts: dict[str, Any] = {"status": status, "resource": call.resource}
    if 300 <= status < 400:
        target = urlsplit(answer.header("location"))
        goal = f"{target.scheme}://{target.netloc}" if target.netloc else "another page"
        return NotAShop(
            f"{call}: redirected (status {status}) to {goal[:_SNIPPET]}; the address, its port or its http/https is "
            "not the shop's own, or the shop does not exist: set shop.url to the shop's domain as its back office shows it",
            **facts,
        )
    if status == 429 or status >= 500 or status == 408:
        way_out = (
            "wait a minute and try again, or lower shop.connections"
            if status == 429
            else ("if it stays so, look at the host's error log, or lower shop.page_size")
        )
        return ShopUnavailable(
            f"{call}: the host gave up (status {status}, {len(answer.body)} bytes); {way_out}",
            smaller=status != 429,
            retry_after=_retry_after(answer.header("retry-after")) or (60.0 if status == 429 else 0.0),
            **facts,
        )
    if status == 404 and answer.header("psws-version"):
        return ShopRefused(f"{call}: no such object (status 404)", codes=[], **facts)
    kind, meaning = _STATUS_MEANS.get(
        status, (NotAShop, f"status {status} is not an answer of the web service; check shop.url")
    )
    return kind(f"{call}: {meaning}", **facts)


def _retry_after(value: str) -> float:
    return min(float(value), _LONGEST_WAIT) if value.isascii() and value.isdigit() else 0.0


def _plain(message: str) -> str:
    return " ".join(message.split())[:_SNIPPET]


def clean_text(text: str) -> str:
    """``text`` with every character that XML cannot carry replaced by U+FFFD."""
    return _XML_ILLEGAL.sub("\ufffd", text)


def entity(name: str, fields: Iterable[tuple[str, str | int | Decimal]]) -> bytes:
    """The XML document that writes one entity: ``fields`` in their order, values escaped."""
    inner = "".join(
        f"<{field}>{escape(clean_text(_value(value)), _ENTITIES)}</{field}>" for field, value in fields
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<prestashop><{name}>{inner}</{name}></prestashop>'.encode()
    )


def _value(value: str | int | Decimal) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)
