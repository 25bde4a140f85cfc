"""Texts as QuickBooks accepts them: characters, lengths, and JSON bytes that never change.

What lives here: cleaning that keeps what it can and always gives the same result, and the canonical
JSON of a request. What does not: which field gets which text (``bodies``).
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

NAME_LENGTH = 100
DISPLAY_NAME_LENGTH = 500
DOC_NUMBER_LENGTH = 21
REFERENCE_LENGTH = 21
DESCRIPTION_LENGTH = 4000
PRIVATE_NOTE_LENGTH = 4000
MEMO_LENGTH = 1000
NOTES_LENGTH = 1024
EMAIL_LENGTH = 100
PHONE_LENGTH = 30
ADDRESS_LINE_LENGTH = 500
ADDRESS_PART_LENGTH = 255
POSTAL_CODE_LENGTH = 30

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 does not know, QuickBooks refuses."""
_INVISIBLE = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")
_SPACES = re.compile(r"\s+")
_HASH_LENGTH = 6


def free_text(value: str, limit: int) -> str:
    """A text of several lines: composed (NFC), without illegal characters, cut to ``limit``."""
    text = _legal(value).replace("\r\n", "\n").replace("\r", "\n").strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def line_text(value: str, limit: int) -> str:
    """A text of one line: as ``free_text``, with every run of white space as one space."""
    return free_text(_SPACES.sub(" ", _legal(value)), limit)


def name_text(value: str, limit: int, *, forbidden: str = ":") -> str:
    """A name: one line without the forbidden characters, at most ``limit`` long.

    Two different names stay different: one that had to be changed ends with a short hash of what it
    was, so that ``A:B`` cannot become the name of another thing called ``A-B``.
    """
    line = _SPACES.sub(" ", _legal(value)).strip()
    kept = "".join("-" if character in forbidden else character for character in line)
    if kept == line and len(line) <= limit:
        return line
    tail = f" ~{hashlib.sha256(line.encode()).hexdigest()[:_HASH_LENGTH]}"
    return kept[: limit - len(tail)].rstrip() + tail


def email_text(value: str) -> str:
    """An address that QuickBooks accepts (an @ and a point after it, at most 100), else empty."""
    address = _SPACES.sub("", _legal(value))
    name, at, host = address.rpartition("@")
    good = name and at and "." in host.strip(".") and len(address) <= EMAIL_LENGTH and address.isascii()
    return address if good else ""


def _legal(value: str) -> str:
    return _INVISIBLE.sub("", _ILLEGAL.sub("", unicodedata.normalize("NFC", value)))


def canonical(value: Any) -> bytes:
    """JSON bytes that are the same for the same value: keys sorted, decimals as plain JSON numbers.

    Raises TypeError for what has no single spelling, floats above all.
    """
    return _written(value).encode()


def _written(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if value is None or isinstance(value, (bool, int, str)):
        return json.dumps(value, ensure_ascii=False)
    if kind is Decimal:
        if not value.is_finite():
            raise TypeError(f"{value} is not an amount")
        return f"{value:f}"
    if isinstance(value, Mapping):
        inside = [f"{encode_basestring_ascii(str(key))}:{_written(value[key])}" for key in sorted(value)]
        return f"{{{','.join(inside)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join([_written(entry) for entry in value])}]"
    raise TypeError(f"{type(value).__name__} has no canonical JSON")
