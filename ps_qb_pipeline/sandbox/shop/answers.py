"""What a request may end in: a body with headers, or a refusal with the core's error codes.

What lives here: the values that the rooms of the shop hand to each other and to HTTP. What does not:
how rows become text (``render``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1
from typing import Literal

Wire = Literal["XML", "JSON"]
CONTENT_TYPE = {"XML": "text/xml;charset=utf-8", "JSON": "application/json"}
HTML = "text/html; charset=utf-8"


@dataclass(slots=True)
class Answer:
    """One HTTP answer; ``content_type`` empty means that the header is missing."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    from_service: bool = True
    """False for an answer of PHP or of the web server, which lacks the web service's headers."""


class Refusal(Exception):
    """The web service says no: HTTP status and its error codes with their messages."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.entries: list[tuple[int, str]] = [(code, message)]
        self.headers: dict[str, str] = {}

    def and_also(self, code: int, message: str) -> Refusal:
        """The same refusal with one more entry."""
        self.entries.append((code, message))
        return self

    def warned(self, lines: tuple[int, ...], text: str) -> Refusal:
        """The same refusal with PHP warnings behind it, each of which makes the status 500."""
        for line in lines:
            self.and_also(3, php_warning(text, line))
        self.status = 500
        return self


class Fatal(Exception):
    """PHP died: 500, no body, no header of the web service."""


def php_warning(text: str, line: int, source: str = "WebserviceRequest.php") -> str:
    """The message under which the web service passes on a warning of PHP."""
    return f"[PHP Warning #2] {text} (/srv/shop/classes/webservice/{source}, line {line})"


def served(status: int, body: str, wire: Wire) -> Answer:
    """A successful answer with the checksum that only success carries."""
    raw = body.encode("utf-8", "surrogateescape")
    digest = sha1(raw).hexdigest()  # noqa: S324 - the protocol's checksum, not a signature
    return Answer(status, raw, CONTENT_TYPE[wire] if raw else "", {"Content-Sha1": digest})
