"""A PrestaShop small enough to be turned inside out by a test: tables in memory behind a transport.

It answers what the client asks, in the forms that a real shop was seen to answer with, and lets a test
change rows before any request, break any answer, and count. The faithful double is the sandbox shop.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree as ET

import httpx

from ps_qb_pipeline.prestashop.client import Limits, Shop
from ps_qb_pipeline.prestashop.resources import RESOURCES

KEY = "K" * 32
EPOCH = 1_795_394_555
START = datetime.fromisoformat("2026-11-23 01:42:35")
QUICK = Limits(first_wait=0.0, longest_wait=0.0)
LIST_KEYS = {resource.name: resource.list_key for resource in RESOURCES.values()} | {"messages": "messages"}
DATED = ("date_add", "date_upd")


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def blank(name: str, /, **values: Any) -> dict[str, Any]:
    """An object of ``name`` with every column that is read, as the web service types it."""
    row: dict[str, Any] = {}
    associations: dict[str, Any] = {}
    for column, kind in RESOURCES[name].columns.items():
        if kind == "json":
            associations[column] = []
        else:
            row[column] = {
                "int": 0,
                "decimal": "0.000000",
                "bool": "0",
                "datetime": stamp(START - timedelta(days=30)),
                "date": "2026-10-01",
            }.get(kind, "")
    row |= {key: value for key, value in values.items() if key not in associations}
    associations |= {key: value for key, value in values.items() if key in associations}
    filled = {key: value for key, value in associations.items() if value}
    return row | ({"associations": filled} if filled else {})


class ShopDouble(httpx.BaseTransport):
    """The transport of a shop whose ``tables`` are lists of objects by resource name."""

    def __init__(self, tables: dict[str, list[dict[str, Any]]] | None = None) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {name: [] for name in LIST_KEYS}
        self.tables |= tables or {}
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.requests: list[httpx.Request] = []
        self.before: Callable[[ShopDouble, str, str, dict[str, str]], httpx.Response | None] | None = None
        self.after: Callable[[ShopDouble, str, str], httpx.Response | None] | None = None
        self.highest: dict[str, int] = {}
        self.epoch = EPOCH
        self.now = START

    def shop(self, **options: Any) -> Shop:
        return Shop("http://127.0.0.1:9", KEY, transport=self, limits=QUICK, **options)

    def next_id(self, name: str) -> int:
        """An id that no row of ``name`` ever had."""
        highest = max((int(row["id"]) for row in self.tables[name]), default=0)
        self.highest[name] = max(self.highest.get(name, 0), highest) + 1
        return self.highest[name]

    def row(self, name: str, number: int) -> dict[str, Any]:
        return next(row for row in self.tables[name] if int(row["id"]) == number)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        path = unquote(request.url.path).removeprefix("/api/").strip("/")
        query = {name: values[-1] for name, values in parse_qs(request.url.query.decode()).items()}
        self.calls.append((request.method, path, query))
        self.bodies.append(request.content)
        self.requests.append(request)
        if self.before and (broken := self.before(self, request.method, path, query)):
            return broken
        answer = self._answer(request.method, path, query, request.content)
        if self.after and (broken := self.after(self, request.method, path)):
            return broken
        return answer

    def _answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> httpx.Response:
        if method in {"PATCH", "POST"}:
            return self._write(method, path, body)
        if not path:
            return self.root()
        name, _, number = path.partition("/")
        if number:
            found = [row for row in self.tables[name] if str(row["id"]) == number]
            return (
                self.listing(name, [{"id": row["id"]} for row in found])
                if found
                else self.answer(404, b"", "")
            )
        return self.listing(name, self._selected(name, query))

    def _selected(self, name: str, query: dict[str, str]) -> list[dict[str, Any]]:
        rows = list(self.tables[name])
        for parameter, value in query.items():
            if parameter.startswith("filter["):
                column = parameter[7:-1]
                assert column not in DATED or query.get("date") == "1", "code 32"
                rows = [row for row in rows if matches(row.get(column, ""), value)]
        sort = [part.rpartition("_") for part in query["sort"].strip("[]").split(",")]
        for column, _, direction in reversed(sort):
            rows.sort(key=lambda row: row[column], reverse=direction == "DESC")
        if "limit" in query:
            rows = rows[: int(query["limit"])]
        if "display" not in query:
            return [{"id": row["id"]} for row in rows]
        wanted = set(re.findall(r"[a-z_0-9]+", re.sub(r"\[[^\[\]]*\]", "", query["display"][1:-1])))
        inner = set(re.findall(r"([a-z_0-9]+)\[", query["display"][1:-1]))
        return [self._shown(row, wanted, inner) for row in rows]

    def _shown(self, row: dict[str, Any], wanted: set[str], inner: set[str]) -> dict[str, Any]:
        shown = {key: value for key, value in row.items() if key in wanted}
        linked = {key: value for key, value in row.get("associations", {}).items() if key in inner}
        return shown | ({"associations": linked} if linked else {})

    def _write(self, method: str, path: str, body: bytes) -> httpx.Response:
        element = ET.fromstring(body)[0]
        fields = {child.tag: child.text or "" for child in element}
        name = path.partition("/")[0]
        if method == "PATCH":
            self.row(name, int(fields["id"])).update({k: v for k, v in fields.items() if k != "id"})
            if name == "orders":
                self.touch(int(fields["id"]))
        else:
            new = {"id": max([int(row["id"]) for row in self.tables[name]], default=0) + 1, **fields}
            if name == "order_histories":
                new |= {"id_employee": 0, "date_add": stamp(self.now)}
                self.row("orders", int(fields["id_order"]))["current_state"] = int(fields["id_order_state"])
                self.touch(int(fields["id_order"]))
            self.tables[name].append(new)
        xml = b'<?xml version="1.0" encoding="UTF-8"?>\n<prestashop><x/></prestashop>'
        return self.answer(201 if method == "POST" else 200, xml, "text/xml;charset=utf-8")

    def touch(self, order: int) -> None:
        """What PrestaShop does to the header of an order that it changes."""
        self.row("orders", order)["date_upd"] = stamp(self.now)

    def pass_time(self, seconds: float) -> None:
        self.epoch += int(seconds)
        self.now += timedelta(seconds=seconds)

    def listing(self, name: str, rows: list[dict[str, Any]]) -> httpx.Response:
        body = json.dumps({LIST_KEYS[name]: rows} if rows else [], separators=(",", ":"))
        return self.answer(200, body.encode())

    def root(self, **missing: str) -> httpx.Response:
        lines = []
        for name in LIST_KEYS:
            rights = [
                m for m in ("get", "put", "post", "patch", "delete", "head") if m not in missing.get(name, "")
            ]
            shown = " ".join(
                f'{m}="{str(m in rights).lower()}"' for m in ("get", "put", "post", "patch", "delete")
            )
            if "get" in rights:
                lines.append(f"<{name} {shown}/>")
        text = f'<?xml version="1.0"?><prestashop><api shopName="x">{"".join(lines)}</api></prestashop>'
        return self.answer(200, text.encode(), "text/xml;charset=utf-8")

    def answer(
        self, status: int, body: bytes, media_type: str = "application/json", **headers: str
    ) -> httpx.Response:
        sent = {"PSWS-Version": "9.1.4", "Access-Time": str(self.epoch)}
        if media_type:
            sent["Content-Type"] = media_type
        if status < 300:
            sent["Content-Sha1"] = hashlib.sha1(body).hexdigest()
        return httpx.Response(status, headers=sent | headers, content=body)

    def errors(self, status: int, *codes: int, message: str = "no") -> httpx.Response:
        body = {"errors": [{"code": code, "message": message} for code in codes]}
        return self.answer(status, json.dumps(body).encode())


def matches(value: Any, condition: str) -> bool:
    """Whether ``value`` meets a filter, in the forms that the client uses; anything else is an error here."""
    form = re.fullmatch(r"([<>]?)\[(.*)\]", condition)
    assert form, f"{condition!r} is not a filter that the web service reads"
    operator, inner = form.groups()
    if operator:
        left, right = comparable(value, inner)
        return left > right if operator == ">" else left < right
    if "," in inner and re.fullmatch(r"[\d.: ,-]+", inner):
        low, _, high = inner.partition(",")
        return comparable(value, low)[0] >= comparable(value, low)[1] and (
            comparable(value, high)[0] <= comparable(value, high)[1]
        )
    return str(value).casefold() in {part.casefold() for part in inner.split("|")}


def comparable(left: Any, right: str) -> tuple[Any, Any]:
    return (int(left), int(right)) if str(left).isdigit() and right.isdigit() else (str(left), right)
