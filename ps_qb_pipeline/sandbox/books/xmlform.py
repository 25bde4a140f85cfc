"""The XML form of the API, for clients that ask for ``application/xml`` or send it.

What lives here: JSON answers as XML and XML bodies as JSON, by the schema's one convention: element names
begin with a capital, attributes do not, and a reference is text with its name as an attribute. What does
not: deciding which form a client wants (``service``).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from ps_qb_pipeline.sandbox.books import schema
from ps_qb_pipeline.sandbox.books.codec import Json, decimal

MEDIA_TYPE = "application/xml;charset=UTF-8"
NAMESPACE = "http://schema.intuit.com/finance/v3"
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'


def wanted(accept: str) -> bool:
    """Whether an Accept header asks for XML and would not take JSON."""
    lower = accept.lower()
    return "xml" in lower and "json" not in lower and "*/*" not in lower


def write(body: Json) -> bytes:
    """Return an answer's XML; the gateway's lower-case fault gets the form of any other."""
    if body.get("fault"):
        body = {"Fault": _raised(body["fault"]), "time": body.get("time")}
    root = "Report" if {"Header", "Columns"} <= set(body) else "IntuitResponse"
    parts = [HEAD]
    _element(root, body | {"xmlns": NAMESPACE}, parts)
    return "".join(parts).encode()


def _raised(fault: Json) -> Json:
    capital = {"message": "Message", "detail": "Detail"}
    errors = [{capital.get(name, name): value for name, value in error.items()} for error in fault["error"]]
    return {"Error": errors, "type": fault["type"]}


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _element(name: str, value: Any, parts: list[str]) -> None:
    if isinstance(value, list):
        for inner in value:
            _element(name, inner, parts)
        return
    if not isinstance(value, dict):
        parts.append(f"<{name}>{escape(_scalar(value))}</{name}>")
        return
    text = ""
    attributes = ""
    inside: list[tuple[str, Any]] = []
    for key, inner in value.items():
        if key == "value" and name != "ColData":
            text = escape(_scalar(inner))
        elif key[:1].islower() and not isinstance(inner, dict | list):
            attributes += f" {key}={quoteattr(_scalar(inner))}" if inner is not None else ""
        else:
            inside.append((key, inner))
    parts.append(f"<{name}{attributes}>{text}")
    for key, inner in inside:
        _element(key, inner, parts)
    parts.append(f"</{name}>")


def read(raw: bytes) -> Json:
    """Return an XML body as the JSON that a client would have sent; raises ValueError for what is no XML."""
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise ValueError("a document type is not allowed")
    try:
        root = ET.fromstring(raw)  # noqa: S314 - without a document type there is nothing to expand
    except ET.ParseError as error:
        raise ValueError(str(error)) from None
    return _object(root, _local(root.tag))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _object(node: ET.Element, kind: str) -> Json:
    known = schema.type_of(kind)
    made: Json = {
        name: _typed(text, "boolean" if name == "sparse" else "string") for name, text in node.items()
    }
    if known is not None and known.is_text:
        return made | {"value": (node.text or "").strip()}
    for child in node:
        name = _local(child.tag)
        field = known.fields.get(name) if known else None
        target = field.type if field else name
        nested = schema.type_of(target) is not None
        value = _object(child, target) if nested else _typed((child.text or "").strip(), target)
        if field.many if field else name in {"BatchItemRequest", "TaxRateDetails"}:
            made.setdefault(name, []).append(value)
        else:
            made[name] = value
    return made


def _typed(text: str, kind: str) -> Any:
    if kind == "boolean" and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if kind in schema.NUMBERS:
        number = decimal(text)
        return text if number is None else number
    return text
