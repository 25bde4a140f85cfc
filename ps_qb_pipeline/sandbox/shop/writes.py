"""Writes: POST, PUT, PATCH and DELETE.

What lives here: reading the XML of a request, the rules of which fields it may or must bring, and the
answer. What does not: what a saved row sets off (``effects``), checks of values (``validate``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as ET

from ps_qb_pipeline.sandbox.shop.answers import Answer, Refusal, php_warning, served
from ps_qb_pipeline.sandbox.shop.effects import ADD, DELETE, PRESET, UPDATE, Saving
from ps_qb_pipeline.sandbox.shop.query import php_int
from ps_qb_pipeline.sandbox.shop.reads import Request, page_of
from ps_qb_pipeline.sandbox.shop.render import entities
from ps_qb_pipeline.sandbox.shop.resources import Field, Resource
from ps_qb_pipeline.sandbox.shop.shop import Shop
from ps_qb_pipeline.sandbox.shop.tables import Row, folded, leading_number
from ps_qb_pipeline.sandbox.shop.validate import check_plain, check_texts

AUTO_DATES = ("date_add", "date_upd")


@dataclass(slots=True)
class Entity:
    """One entity of a request body."""

    fields: dict[str, ET.Element]
    associations: list[ET.Element] = field(default_factory=list)

    def text(self, name: str) -> str:
        """The text of a field."""
        return "".join(self.fields[name].itertext())


def write(shop: Shop, request: Request, resource: Resource) -> Answer:
    """The answer to POST, PUT, PATCH or DELETE.

    Errors:
        Refusal: the core's code; entities before the refused one stay saved.
    """
    try:
        if request.method == "DELETE":
            return delete(shop, request, resource)
        return save(shop, request, resource)
    finally:
        shop.journal.commit()


# ------------------------------------------------------------------------------------ deleting


def delete(shop: Shop, request: Request, resource: Resource) -> Answer:
    """Take rows away; in the core some are only marked as deleted.

    Errors:
        Refusal: 87, an id does not exist; then nothing was deleted.
    """
    asked = request.params.get("id")
    if isinstance(asked, str):
        ids = asked[1:-1].split(",") if asked.startswith("[") and asked.endswith("]") else []
    else:
        ids = [str(php_int(request.segments[1] if len(request.segments) > 1 else ""))]
    unknown = [i for i in ids if php_int(i) not in shop.tables[resource.name]]
    if unknown or not ids:
        raise Refusal(404, 87, f"Id(s) not exists: {', '.join(unknown)}")
    for row_id in ids:
        DELETE.get(resource.name, _delete_row)(shop, resource.name, php_int(row_id))
    return Answer(200)


def _delete_row(shop: Shop, resource: str, row_id: int) -> None:
    shop.delete(resource, row_id)


# ------------------------------------------------------------------------------------ saving


def save(shop: Shop, request: Request, resource: Resource) -> Answer:
    """Save the entities of a body, one after the other, and show them as the core's objects are then.

    Errors:
        Refusal: what the core says; entities before the refused one stay saved.
    """
    saved = [_save_one(shop, request, resource, entity) for entity in entities_of(shop, request)]
    page = page_of(shop, request, resource, "full", single=True)
    shown = saved[-1:] if request.wire == "JSON" else saved
    body = entities(page, shown, partial(_associations, shop, resource.name))
    return served(201 if request.method == "POST" else 200, body, request.wire)


def _associations(shop: Shop, resource: str, row: Row) -> Any:
    return shop.associations(resource, row | {"id": int(row["id"])})


def entities_of(shop: Shop, request: Request) -> list[Entity]:
    """The entities of a request's XML.

    Errors:
        Refusal: 127 for anything but XML, 89, 90 or 91 for ids that are doubled, missing or too much.
    """
    raw = _xml_of(request.body)
    try:
        root = ET.fromstring(raw)  # noqa: S314 - a sandbox on loopback reads what its own user sends
    except (ET.ParseError, ValueError) as error:
        raise _unreadable(raw, error, warnings=shop.settings.php_warnings) from error
    found = []
    for node in root:
        fields: dict[str, ET.Element] = {}
        for child in node:
            fields.setdefault(_local(child.tag), child)
        hanging = fields.pop("associations", None)
        found.append(Entity(fields, [] if hanging is None else list(hanging)))
    ids = [php_int(e.text("id")) for e in found if "id" in e.fields and e.text("id") != ""]
    if request.method == "POST":
        if ids:
            raise Refusal(400, 91, "id is forbidden when adding a new resource")
    elif len(set(ids)) != len(ids):
        raise Refusal(400, 89, "id is duplicate in request")
    elif len(found) != len(ids):
        raise Refusal(400, 90, "id is required when modifying a resource")
    return found


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _xml_of(body: bytes) -> bytes:
    """The XML of a body, which a form may carry in its field ``xml``."""
    if body.startswith(b"xml="):
        return (
            unquote_to_bytes(body[4:].split(b"&")[0].replace(b"+", b" "))
            if b"%3C" in body[:8].upper()
            else body[4:]
        )
    return body


def _unreadable(raw: bytes, error: Exception, *, warnings: bool) -> Refusal:
    text = raw.decode("utf-8", "surrogateescape")
    message = f"XML error : String could not be parsed as XML\nXML length : {len(raw)}\nOriginal XML : {text}"
    if not raw or not warnings:
        return Refusal(500, 127, message)
    parts = (f"Entity: line 1: parser error : {error}", text[:80], "^")
    warned = [php_warning(f"SimpleXMLElement::__construct(): {part}", 1510) for part in parts]
    refusal = Refusal(500, 3, warned[0])
    for warning in warned[1:]:
        refusal.and_also(3, warning)
    return refusal.and_also(127, message)


def _save_one(shop: Shop, request: Request, resource: Resource, entity: Entity) -> Row:
    method = request.method
    present: Row | None = None
    if method != "POST":
        present = shop.get(resource.name, php_int(entity.text("id")))
        if present is None:
            raise Refusal(404, 92, "Invalid ID")
    shown: Row = dict(present) if present is not None else _blank(resource)
    given = _take_fields(shop, resource, entity, shown, method)
    if resource.name == "products" and method != "PATCH":
        _friendly_urls(shown)
        given.add("link_rewrite")
    check_texts(resource, shown)
    _check_country(shop, resource, shown)
    check_plain(resource, shown)
    saving = Saving(shop, resource, present, shown, given, request.shops)
    _auto_dates(saving, shop.now())
    stored = _stored(shop, resource, shown)
    if present is None:
        ADD.get(resource.name, Saving.insert)(saving, stored)
    else:
        UPDATE.get(resource.name, Saving.update)(saving, stored)
    _take_associations(saving, entity.associations)
    shown["id"] = str(saving.row_id)
    final = shop.get(resource.name, saving.row_id) or {}
    shown["associations"] = final.get("associations")
    return shown


def _blank(resource: Resource) -> Row:
    row: Row = dict.fromkeys(resource.by_name)
    row["associations"] = None
    return row | PRESET.get(resource.name, {})


def _take_fields(shop: Shop, resource: Resource, entity: Entity, shown: Row, method: str) -> set[str]:
    """Put a request's fields into the row as texts; returns their names.

    A PUT empties what it does not name.
    """
    given: set[str] = set()
    for name, column in resource.by_name.items():
        present = name in entity.fields
        if column.i18n:
            if present:
                shown[name] = _texts(shop, entity.fields[name], shown[name])
                given.add(name)
            elif method == "PUT":
                shown[name] = ""
                given.add(name)
            continue
        if present:
            if column.read_only:
                message = f'parameter "{name}" not writable. Please remove this attribute of this XML'
                raise Refusal(400, 93, message)
            shown[name] = entity.text(name)
            given.add(name)
        elif method != "PATCH" and name != "id":
            if column.required:
                raise Refusal(400, 41, f'parameter "{name}" required')
            if method == "PUT" and column.read_only:
                shown[name] = None
            elif method == "PUT" and not column.dynamic:
                shown[name] = PRESET.get(resource.name, {}).get(name)
                given.add(name)
    return given


def _texts(shop: Shop, node: ET.Element, old: Any) -> Any:
    """A multi-language value out of a request: languages that it does not name keep their text."""
    languages = [child for child in node if _local(child.tag) == "language"]
    if not languages:
        text = "".join(node.itertext())
        return [{"id": i, "value": text} for i in shop.languages()] if text else old or ""
    texts = {int(e["id"]): e["value"] for e in old} if isinstance(old, list) else {}
    for child in languages:
        texts[php_int(child.get("id", "0"))] = "".join(child.itertext())
    return [{"id": i, "value": texts[i]} for i in sorted(texts)]


def _friendly_urls(row: Row) -> None:
    """A product without a friendly URL gets one from its name, in each language."""
    names, links = row["name"], row["link_rewrite"]
    if not isinstance(names, list):
        return
    known = {e["id"]: e["value"] for e in links} if isinstance(links, list) else {}
    row["link_rewrite"] = [
        {"id": e["id"], "value": known.get(e["id"]) or _slug(str(e["value"]))} for e in names
    ]


def _slug(text: str) -> str:
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", folded(text))).strip("-")


def _check_country(shop: Shop, resource: Resource, row: Row) -> None:
    """Countries with an identity number want it on every address."""
    if resource.name == "addresses":
        country = shop.get("countries", php_int(str(row["id_country"] or "")))
        if country is not None and str(country["need_identification_number"]) == "1" and not row["dni"]:
            raise Refusal(400, 85, 'Validation error: "Property Address->dni is empty."')


def _auto_dates(saving: Saving, now: str) -> None:
    """Both dates of a new row are now, whatever was sent; so is ``date_upd`` of a changed one."""
    row, names = saving.shown, saving.resource.by_name
    if saving.present is None:
        for name in AUTO_DATES:
            if name in names:
                row[name] = now
        return
    if "date_upd" in names:
        row["date_upd"] = now
    if "date_add" in names and not row["date_add"]:
        row["date_add"] = now


def _stored(shop: Shop, resource: Resource, shown: Row) -> Row:
    """The row as the database keeps what was sent: every value in the form of its column."""
    return {
        name: stored_value(shop, column, shown[name])
        for name, column in resource.by_name.items()
        if name != "id"
    }


def stored_value(shop: Shop, column: Field, value: Any) -> Any:
    """One value in the form of its column."""
    if column.i18n:
        texts = {int(e["id"]): e["value"] for e in value} if isinstance(value, list) else {}
        return [{"id": i, "value": texts.get(i, "")} for i in (r["id"] for r in shop.rows("languages"))]
    if value is None or value == "":
        return column.unset
    return in_form(column.kind, value) if isinstance(value, str) else value


def in_form(kind: str, text: str) -> Any:
    """A text as a column of a kind holds it."""
    if kind == "int":
        return int(leading_number(text))
    if kind == "bool":
        return "1" if leading_number(text) else "0"
    if kind.startswith("decimal"):
        places = Decimal(1).scaleb(-int(kind.partition(":")[2]))
        return str(leading_number(text).quantize(places, ROUND_HALF_UP))
    return text


def _take_associations(saving: Saving, nodes: Iterable[ET.Element]) -> None:
    """Replace the associations that a request names; the row is saved by then.

    Errors:
        Refusal: 86, an unknown association; those before it are set.
    """
    shop, resource = saving.shop, saving.resource
    for node in nodes:
        name = _local(node.tag)
        association = resource.associated.get(name)
        if association is None:
            if name == "i18n":
                continue
            raise Refusal(400, 86, f'The association "{name}" does not exists')
        known = {f.name for f in association.fields}
        entries = []
        for item in node:
            entry: dict[str, Any] = {
                _local(c.tag): "".join(c.itertext()) for c in item if _local(c.tag) in known
            }
            entries.append({k: _entry_value(v) for k, v in entry.items()})
        row = shop.get(resource.name, saving.row_id)
        if row is not None and name not in saving.ignored_associations:
            hanging = dict(row.get("associations") or {})
            hanging[name] = saving.completed(name, entries)
            shop.update(resource.name, saving.row_id, associations=hanging)


def _entry_value(text: str) -> Any:
    stripped = text.strip()
    return int(stripped) if stripped.isdigit() else text
