"""Rows as the web service writes them: JSON and XML, lists, singles, schemas, errors, the root.

What lives here: the text of answers, quirks included (a JSON single drops every falsy field, XML is not
sanitised, an empty JSON list is ``[]``). What does not: which rows (``search``), HTTP (``app``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from ps_qb_pipeline.sandbox.shop.answers import Wire
from ps_qb_pipeline.sandbox.shop.resources import METHODS, Association, Field, Resource, resources
from ps_qb_pipeline.sandbox.shop.tables import Row

Display = str | Mapping[str, list[str] | None]
FALSY = ("", "0", 0, None, False)


@dataclass(frozen=True, slots=True)
class Page:
    """How an answer is to be written."""

    resource: Resource
    wire: Wire
    base: str
    """The shop's address, with the slash at its end."""
    languages: tuple[int | str, ...]
    """Ids of the languages to show, as texts where the request listed them."""
    display: Display = "full"
    single: bool = False
    listed: bool = True
    """The request names ``display``: even one entity then stands in a JSON list."""
    virtual: Callable[[Row], dict[str, Any]] | None = None
    """Fields computed for the request, such as prices with tax."""


def entities(page: Page, rows: Iterable[Row], associations: Callable[[Row], Mapping[str, Any]]) -> str:
    """The text of a list or of a single entity; ``associations`` finds a row's associated entries."""
    if page.wire == "JSON":
        return _json_entities(page, rows, associations)
    body = "".join(_xml_entity(page, row, associations) for row in rows)
    if not page.single:
        body = f"<{page.resource.list_node}>\n{body}</{page.resource.list_node}>\n"
    return document(body)


def document(body: str) -> str:
    """The XML frame that every answer has."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<prestashop xmlns:xlink="http://www.w3.org/1999/xlink">\n'
        f"{body}</prestashop>\n"
    )


def php_json(value: Any) -> str:
    """JSON as PHP writes it: no blanks, slashes escaped, letters of every language plain."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")


def errors(entries: Iterable[tuple[int, str]], wire: Wire) -> str:
    """The text of a refusal."""
    if wire == "JSON":
        return php_json({"errors": [{"code": code, "message": message} for code, message in entries]})
    inner = "".join(
        f"<error>\n<code><![CDATA[{code}]]></code>\n<message><![CDATA[{message}]]></message>\n</error>\n"
        for code, message in entries
    )
    return document(f"<errors>\n{inner}</errors>\n")


# ------------------------------------------------------------------------------------ JSON


def _json_entities(page: Page, rows: Iterable[Row], associations: Callable[[Row], Mapping[str, Any]]) -> str:
    if page.display == "minimum":
        found: list[dict[str, Any]] = [{"id": row["id"]} for row in rows]
    else:
        found = [_json_entity(page, row, associations) for row in rows]
    if page.single and not page.listed:
        kept = {k: v for k, v in found[0].items() if not _falsy(v)}
        return php_json({page.resource.node: kept})
    return php_json({page.resource.list_node: found} if found else [])


def _falsy(value: Any) -> bool:
    return not isinstance(value, (list, dict)) and value in FALSY


def _json_entity(page: Page, row: Row, associations: Callable[[Row], Mapping[str, Any]]) -> dict[str, Any]:
    entity: dict[str, Any] = {}
    for field in _shown(page):
        value = row[field.name]
        entity[field.name] = _json_texts(value, page.languages) if field.i18n else value
    if page.virtual:
        computed = page.virtual(row)
        entity |= {n: v for n, v in computed.items() if page.display == "full" or n in page.display}
    found = associations(row) if _wants_associations(page) else {}
    inside = {
        association.name: [{f.name: entry.get(f.name) for f in fields} for entry in entries]
        for association, fields in _shown_associations(page)
        if (entries := found.get(association.name))
    }
    if inside:
        entity["associations"] = inside
    return entity


def _json_texts(value: Any, languages: tuple[int | str, ...]) -> Any:
    if not isinstance(value, list):
        return value
    texts = i18n_texts(value)
    if len(languages) == 1:
        return texts.get(int(languages[0]), "")
    return [{"id": language, "value": texts.get(int(language), "")} for language in languages]


def i18n_texts(value: Any) -> dict[int, Any]:
    """Language id to text of a stored multi-language value."""
    if isinstance(value, list):
        return {int(entry["id"]): entry["value"] for entry in value}
    return {}


def _shown(page: Page) -> list[Field]:
    if page.display == "full":
        return list(page.resource.by_name.values())
    return [f for f in page.resource.by_name.values() if f.name in page.display]


def _wants_associations(page: Page) -> bool:
    return page.display == "full" or (
        not isinstance(page.display, str) and any(v is not None for v in page.display.values())
    )


def _shown_associations(page: Page) -> list[tuple[Association, tuple[Field, ...]]]:
    if page.display == "full":
        return [(a, a.fields) for a in page.resource.associations]
    assert not isinstance(page.display, str)
    shown = []
    for association in page.resource.associations:
        names = page.display.get(association.name)
        if names is not None:
            shown.append((association, tuple(f for f in association.fields if f.name in names)))
    return shown


# ------------------------------------------------------------------------------------ XML


def _xml_entity(page: Page, row: Row, associations: Callable[[Row], Mapping[str, Any]]) -> str:
    resource = page.resource
    if page.display == "minimum":
        return f'<{resource.node} id="{row["id"]}" xlink:href="{page.base}api/{resource.list_node}/{row["id"]}"/>\n'
    parts = [f"<{resource.node}>\n"]
    parts += [_xml_field(page, field, row[field.name], row["id"]) for field in _shown(page)]
    if page.virtual:
        for name, value in page.virtual(row).items():
            if page.display == "full" or name in page.display:
                parts.append(f"\t<{name}><![CDATA[{value}]]></{name}>\n")
    if _wants_associations(page) and resource.associations:
        parts.append(_xml_associations(page, row, associations(row)))
    parts.append(f"</{resource.node}>\n")
    return "".join(parts)


def _xml_field(page: Page, field: Field, value: Any, row_id: int) -> str:
    if field.i18n:
        return f"\t<{field.name}>{_xml_texts(page, value)}</{field.name}>\n"
    attributes = ""
    if field.link and not (field.name.startswith("id_") and _falsy(value)):
        inside = f"{page.resource.list_node}/{row_id}/" if field.link == "images" else ""
        attributes = f' xlink:href="{page.base}api/{field.link}/{inside}{_xml_text(value)}"'
    if field.dynamic:
        attributes += ' notFilterable="true"'
    return f"\t<{field.name}{attributes}><![CDATA[{_xml_text(value)}]]></{field.name}>\n"


def _xml_texts(page: Page, value: Any) -> str:
    texts = i18n_texts(value)
    parts = []
    for language in page.languages:
        link = f' xlink:href="{page.base}api/languages/{language}"' if isinstance(value, list) else ""
        text = _xml_text(texts.get(int(language), ""))
        parts.append(f'<language id="{language}"{link}><![CDATA[{text}]]></language>')
    return "".join(parts)


def _xml_text(value: Any) -> str:
    if value is None or value is False:
        return ""
    return "1" if value is True else str(value)


def _xml_associations(page: Page, row: Row, found: Mapping[str, Any]) -> str:
    parts = ["<associations>\n"]
    for association, fields in _shown_associations(page):
        head = f"<{association.name}{_association_attributes(association)}"
        entries = found.get(association.name) or []
        if not entries:
            parts.append(head + "/>\n")
            continue
        parts.append(head + ">\n")
        parts += [_xml_entry(page, row, association, fields, entry) for entry in entries]
        parts.append(f"</{association.name}>\n")
    parts.append("</associations>\n")
    return "".join(parts)


def _association_attributes(association: Association) -> str:
    text = f' nodeType="{association.node}"'
    if association.virtual:
        text += ' virtualEntity="true"'
    if association.api:
        text += f' api="{association.api}"'
    return text


def _xml_entry(
    page: Page, row: Row, association: Association, fields: Iterable[Field], entry: Mapping[str, Any]
) -> str:
    href = ""
    if association.name == "images":
        href = f' xlink:href="{page.base}api/images/products/{row.get("id_product", row["id"])}/{entry.get("id")}"'
    elif association.name in resources():
        href = f' xlink:href="{page.base}api/{association.name}/{entry.get("id")}"'
    parts = [f"\t<{association.node}{href}>\n"]
    for field in fields:
        value = entry.get(field.name)
        link = ""
        if field.link:
            link = f' xlink:href="{page.base}api/{field.link}/{_xml_text(value)}"'
        parts.append(f"\t<{field.name}{link}><![CDATA[{_xml_text(value)}]]></{field.name}>\n")
    parts.append(f"\t</{association.node}>\n")
    return "".join(parts)


# ------------------------------------------------------------------------------------ schemas


def schema(page: Page, which: str) -> str:
    """The ``blank`` or ``synopsis`` schema of a resource; in JSON little is left of it."""
    resource = page.resource
    if page.wire == "JSON":
        empty = {a.name: [{f.name: None for f in a.fields}] for a in resource.associations}
        entity = {"associations": empty} if empty else {}
        if not page.listed:
            return php_json({resource.node: entity or []})
        fields = {f.name: "" for f in _schema_fields(resource, which)}
        return php_json({resource.list_node: [fields | entity]})
    parts = [f"<{resource.node}>\n"]
    parts += [_schema_field(page, field, which) for field in _schema_fields(resource, which)]
    if resource.associations:
        parts.append("<associations>\n")
        parts += [_schema_association(page, association, which) for association in resource.associations]
        parts.append("</associations>\n")
    parts.append(f"</{resource.node}>\n")
    return document("".join(parts))


def _schema_fields(resource: Resource, which: str) -> list[Field]:
    if which == "synopsis":
        return list(resource.fields)
    return [f for f in resource.by_name.values() if not f.read_only]


def _schema_field(page: Page, field: Field, which: str) -> str:
    attributes = ""
    if which == "synopsis":
        if field.dynamic:
            attributes += ' notFilterable="true"'
        if field.read_only:
            attributes += ' read_only="true"'
        attributes += _synopsis(field)
    inner = "<![CDATA[]]>"
    if field.i18n:
        parts = []
        for language in page.languages:
            link = (
                f' xlink:href="{page.base}api/languages/{language}" format="isUnsignedId" '
                if which == "synopsis"
                else ""
            )
            parts.append(f'<language id="{language}"{link}><![CDATA[]]></language>')
        inner = "".join(parts)
    return f"\t<{field.name}{attributes}>{inner}</{field.name}>\n"


def _synopsis(field: Field) -> str:
    text = ' required="true"' if field.required else ""
    text += f' maxSize="{field.size}"' if field.size else ""
    text += f' format="{field.format}"' if field.format else ""
    return text + (' readOnly="true"' if field.read_only else "")


def _schema_association(page: Page, association: Association, which: str) -> str:
    attributes = _association_attributes(association) if which == "synopsis" else ""
    parts = [f"<{association.name}{attributes}>\n\t<{association.node}>\n"]
    for field in association.fields:
        inner = ""
        if which == "synopsis":
            if field.link:
                inner = f' xlink:href="{page.base}api/{field.link}/"'
            if field.read_only:
                inner += ' read_only="true"'
            inner += _synopsis(field)
        parts.append(f"\t<{field.name}{inner}><![CDATA[]]></{field.name}>\n")
    parts.append(f"\t</{association.node}>\n</{association.name}>\n")
    return "".join(parts)


def root(shop_name: str, base: str, rights: Mapping[str, frozenset[str]]) -> str:
    """The root document: the resources that a key may use, and how."""
    parts = [f'<api shopName="{escape(shop_name, {chr(34): "&quot;"})}">\n']
    for resource in resources().values():
        if resource.name not in rights:
            continue
        link = f"{base}api/{resource.name}"
        allowed = " ".join(f'{m.lower()}="{str(m in rights[resource.name]).lower()}"' for m in METHODS)
        head = f'xlink:href="{link}" {allowed}'
        parts.append(
            f"<{resource.name} {head}>\n<description {head}>\n{resource.description}</description>\n"
        )
        if not resource.special:
            parts += [
                f'<schema xlink:href="{link}?schema={kind}" type="{kind}"/>\n'
                for kind in ("blank", "synopsis")
            ]
        parts.append(f"</{resource.name}>\n")
    parts.append("</api>\n")
    return document("".join(parts))
