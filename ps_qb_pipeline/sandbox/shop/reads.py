"""Reads: lists, singles, schemas, the root.

What lives here: the steps of a read in the order in which the core takes them. What does not: the
single steps (``query``, ``search``, ``render``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ps_qb_pipeline.sandbox.shop.answers import Answer, Fatal, Refusal, Wire, served
from ps_qb_pipeline.sandbox.shop.images import picture
from ps_qb_pipeline.sandbox.shop.prices import price_fields
from ps_qb_pipeline.sandbox.shop.query import Condition, displayed, languages_asked, php_int, understand
from ps_qb_pipeline.sandbox.shop.render import Page, entities, root, schema
from ps_qb_pipeline.sandbox.shop.resources import Resource
from ps_qb_pipeline.sandbox.shop.search import find
from ps_qb_pipeline.sandbox.shop.shop import Key, Shop
from ps_qb_pipeline.sandbox.shop.tables import Row


@dataclass(frozen=True, slots=True)
class Request:
    """What of an HTTP request matters to the web service."""

    method: str
    segments: tuple[str, ...]
    params: dict[str, Any]
    wire: Wire
    account: Key
    shops: list[int]
    languages: tuple[int | str, ...]
    base: str
    body: bytes = b""


def languages_of(shop: Shop, params: dict[str, Any]) -> tuple[int | str, ...]:
    """Ids of the languages that an answer shows."""
    known = shop.languages()
    return tuple(languages_asked(str(params["language"]), known)) if "language" in params else tuple(known)


def read(shop: Shop, request: Request, resource: Resource | None) -> Answer:
    """The answer to GET (and HEAD).

    Errors:
        Fatal: the root in JSON, on which the core dies.
    """
    if resource is None:
        if request.wire == "JSON":
            raise Fatal
        name = shop.configuration("PS_SHOP_NAME", "Sandbox Shop")
        return served(200, root(name, request.base, request.account.rights), "XML")
    if resource.name == "images":
        return picture(shop, request.segments[1:], request.wire, request.base)
    if len(request.segments) > 1 and request.segments[1] != "":
        return read_single(shop, request, resource)
    return read_list(shop, request, resource)


def page_of(shop: Shop, request: Request, resource: Resource, display: Any, *, single: bool) -> Page:
    """How the answer to this request is written."""
    asked = request.params.get("price")
    virtual: Callable[[Row], dict[str, Any]] | None = None
    if isinstance(asked, dict) and resource.name in {"products", "combinations"}:
        virtual = partial(price_fields, shop, asked)
    return Page(
        resource,
        request.wire,
        request.base,
        request.languages,
        display,
        single,
        "display" in request.params,
        virtual,
    )


def read_list(shop: Shop, request: Request, resource: Resource) -> Answer:
    """The answer to ``/resource``."""
    question = understand(resource, request.params, warnings=shop.settings.php_warnings)
    page = page_of(shop, request, resource, question.display, single=False)
    if question.schema:
        return served(200, schema(page, question.schema), request.wire)
    table = shop.tables[resource.name]
    ids = find(table, question, in_shops(resource, request.shops), [int(i) for i in request.languages])
    found = [row for i in ids if (row := table.get(i)) is not None]
    return served(200, entities(page, found, partial(shop.associations, resource.name)), request.wire)


def in_shops(resource: Resource, shops: list[int]) -> Condition | None:
    """The condition by which a list shows rows of the asked shops only."""
    if resource.shops != "column":
        return Condition("id", "equals", ()) if resource.shops == "table" and 1 not in shops else None
    return Condition("id_shop", "equals", tuple(str(i) for i in shops))


def read_single(shop: Shop, request: Request, resource: Resource) -> Answer:
    """The answer to ``/resource/id``; the id is whatever number the path begins with."""
    display = displayed(resource, request.params) if "display" in request.params else "full"
    row_id = php_int(request.segments[1])
    row = shop.get(resource.name, row_id)
    if row is None:
        return Answer(404)
    if resource.shops == "table" and 1 not in request.shops:
        raise Refusal(404, 131, f"This {resource.class_name} ({row_id}) does not exists on this shop")
    page = page_of(shop, request, resource, display, single=True)
    return served(200, entities(page, [row], partial(shop.associations, resource.name)), request.wire)
