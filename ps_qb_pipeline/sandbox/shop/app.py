"""The sandbox shop as an ASGI application.

What lives here: HTTP in, HTTP out: headers, the order of the web server's and the web service's checks,
faults on the way. What does not: what the web service says (``reads``, ``writes``).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.sandbox.shop import seeds
from ps_qb_pipeline.sandbox.shop.access import (
    REALM,
    authenticated,
    key_of,
    permitted,
    redirect_of,
    shop_context,
)
from ps_qb_pipeline.sandbox.shop.answers import CONTENT_TYPE, HTML, Answer, Fatal, Refusal, Wire
from ps_qb_pipeline.sandbox.shop.control import BadCommand, run, status
from ps_qb_pipeline.sandbox.shop.faults import KINDS
from ps_qb_pipeline.sandbox.shop.life import shift_rows
from ps_qb_pipeline.sandbox.shop.query import php_query
from ps_qb_pipeline.sandbox.shop.reads import Request, languages_of, read
from ps_qb_pipeline.sandbox.shop.render import errors
from ps_qb_pipeline.sandbox.shop.shop import Shop
from ps_qb_pipeline.sandbox.shop.writes import write

ShopName = Literal["boutique", "retail", "recorded", "empty"]
VERBS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "TRACE"]
PHP = {"X-Powered-By": "PHP/8.2.36"}
VERSION = "9.1.4"


def create_app(
    shop: ShopName = "boutique",
    *,
    key: str = "SANDBOXKEY0000000000000000000001",
    state_path: Path | str | None = None,
    shop_dir: Path | str | None = None,
    base_url: str = "http://127.0.0.1:8781/",
    retail_orders: int = 300,
    retail_data: Path | str | None = None,
) -> Starlette:
    """A PrestaShop web service over a bundled or given shop.

    Args:
        shop: which bundled shop, when no directory is given.
        key: a web service key of 32 characters with every right.
        state_path: the SQLite file that keeps what happens to the shop; none keeps it in memory.
        shop_dir: a directory of ``<resource>.json`` lists to serve instead of a bundled shop.
        base_url: the shop's address; a request for another host is redirected to it.
        retail_orders: how many invoices the shop ``retail`` is made of.
        retail_data: a directory with the parquet files of "Online Retail"; none takes the bundled 300 invoices.

    Errors:
        SettingsError: the key is not 32 characters long, or the directory cannot be used.
        StorageError: the state file cannot be used or belongs to another shop.
    """
    if len(key) != 32:
        raise SettingsError(f"a web service key has 32 characters, this one has {len(key)}")
    source = seeds.source(
        shop,
        shop_dir=None if shop_dir is None else Path(shop_dir),
        retail_orders=retail_orders,
        retail_data=None if retail_data is None else Path(retail_data),
    )
    opened = Shop.opened(
        source,
        state_path=None if state_path is None else Path(state_path),
        base_url=base_url.rstrip("/") + "/",
        key=key,
    )
    return application(opened)


def application(shop: Shop) -> Starlette:
    """The HTTP face of a shop."""

    async def service(http: HttpRequest) -> Response:
        body = await http.body()
        started = time.perf_counter()
        name = http.path_params.get("path", "").partition("/")[0]
        shop.requests[f"{http.method} {name}"] += 1
        faults = shop.faults.hitting(http.method, name)
        if waiting := sum(fault.milliseconds for fault in faults):
            await asyncio.sleep(waiting / 1000)
        answer = Answer(500) if any(fault.in_the_way for fault in faults) else serve(shop, http, body)
        for fault in faults:
            answer = KINDS[fault.kind](fault, answer)
            if fault.kind == "rows_change":
                shift_rows(shop, name, fault.how, fault.hits)
        return respond(shop, http, answer, time.perf_counter() - started)

    async def control(http: HttpRequest) -> Response:
        if http.method == "GET":
            return JSONResponse(status(shop))
        try:
            return JSONResponse(run(shop, await http.json()))
        except (BadCommand, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)

    async def elsewhere(_http: HttpRequest) -> Response:
        return Response("", 404, PHP, media_type="text/html")

    async def home(_http: HttpRequest) -> Response:
        return Response(HOME, 200, PHP, media_type="text/html")

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        telling = asyncio.create_task(shop.webhooks.run())
        yield
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling

    app = Starlette(
        routes=[
            Route("/_control", control, methods=["GET", "PUT"]),
            Route("/api", service, methods=VERBS),
            Route("/api/{path:path}", service, methods=VERBS),
            Route("/", home, methods=["GET"]),
            Route("/{path:path}", elsewhere, methods=VERBS),
        ],
        lifespan=lifespan,
    )
    app.state.shop = shop
    return app


def serve(shop: Shop, http: HttpRequest, body: bytes) -> Answer:
    """The answer to one request, from the web server's checks to the web service's."""
    raw_path = http.scope.get("raw_path") or http.url.path.encode()
    query = http.scope["query_string"].decode("latin-1")
    if len(raw_path) + len(query) + len(http.method) + 11 > shop.settings.url_limit:
        return Answer(414, TOO_LONG, "text/html", from_service=False)
    params = php_query(query)
    path = unquote(raw_path.decode("latin-1").partition("?")[0]).removeprefix("/api").removeprefix("/")
    redirect = redirect_of(shop, http.headers.get("host"), http.headers.get("x-forwarded-host"), params, path)
    if redirect is not None:
        return redirect
    wire = wire_of(http.headers, params)
    key = key_of(http.headers.get("authorization"), params)
    if key is None:
        return _anonymous(http.method)
    account = None
    try:
        account = authenticated(shop, key)
        shops = shop_context(shop, params, account)
        method = str(params.get("ps_method", http.method))
        segments = tuple(path.split("/"))
        languages = languages_of(shop, params)
        resource = permitted(account, segments[0], method)
        request = Request(
            method, segments, params, wire, account, shops, languages, shop.address(shops), body
        )
        if resource is None or method in {"GET", "HEAD"}:
            answer = read(shop, request, resource)
        else:
            answer = write(shop, request, resource)
    except Fatal:
        return Answer(500, b"", HTML, dict(PHP), from_service=False)
    except Refusal as refusal:
        answer = Answer(
            refusal.status,
            errors(refusal.entries, wire).encode("utf-8", "surrogateescape"),
            CONTENT_TYPE[wire],
            refusal.headers,
        )
    answer.headers["PSWS-Version"] = VERSION if account is not None else "0"
    return answer


def wire_of(headers: Any, params: dict[str, Any]) -> Wire:
    """The format of the answer: JSON only when asked for in capitals."""
    asked = headers.get("io-format") or headers.get("output-format") or params.get("output_format")
    return "JSON" if asked == "JSON" else "XML"


def _anonymous(method: str) -> Answer:
    if method == "OPTIONS":
        headers = PHP | {"Access-Control-Allow-Headers": "Authorization, Content-Type"}
        return Answer(200, b"200 OK", HTML, headers, from_service=False)
    return Answer(401, b"401 Unauthorized", HTML, PHP | {"WWW-Authenticate": REALM}, from_service=False)


TOO_LONG = (
    b"<html>\r\n<head><title>414 Request-URI Too Large</title></head>\r\n<body>\r\n<center><h1>414 Request-URI Too Large"
    b"</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
)


HOME = "<!doctype html>\n<html><head><title>Sandbox Shop</title></head><body><h1>Sandbox Shop</h1></body></html>\n"


def respond(shop: Shop, http: HttpRequest, answer: Answer, seconds: float) -> Response:
    """The answer with the headers that the web service adds to each of its own."""
    headers = dict(answer.headers)
    if answer.from_service:
        headers |= {
            "Access-Time": str(int(shop.clock.now())),
            "X-Powered-By": "PrestaShop Webservice",
            "Execution-Time": f"{seconds:.3f}".rstrip("0").rstrip("."),
        }
    local = http.headers.get("local-content-sha1")
    if answer.status == 200 and local and local == answer.headers.get("Content-Sha1"):
        return Response(None, 304, headers)
    if answer.content_type:
        headers["Content-Type"] = answer.content_type
    body = b"" if http.method == "HEAD" else answer.body
    response = Response(body, answer.status)
    response.raw_headers = [(k.lower().encode(), v.encode("utf-8")) for k, v in headers.items()]
    if "content-length" not in headers:
        response.raw_headers.append((b"content-length", str(len(body)).encode()))
    return response
