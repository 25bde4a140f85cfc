"""What an HTTP client of the books sees.

What lives here: authentication, headers, the order in which a request is judged, and carrying injected
faults out on the wire. What does not: the API itself (``api``), which faults there are (``control``).
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import httpx
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from ps_qb_pipeline.sandbox.books import api, faults, identity, xmlform
from ps_qb_pipeline.sandbox.books.codec import dumps, loads
from ps_qb_pipeline.sandbox.books.control import Control, Late, Trouble
from ps_qb_pipeline.sandbox.books.faults import Problem, Refusal
from ps_qb_pipeline.sandbox.books.limits import Limits
from ps_qb_pipeline.sandbox.books.oauth import Authority
from ps_qb_pipeline.sandbox.books.seed import open_company
from ps_qb_pipeline.sandbox.books.store import Store

MAINTENANCE = b"<!DOCTYPE html><html><head><title>QuickBooks</title></head><body><h1>We will be right back</h1></body></html>"
REVEAL = {
    "throttle": 429,
    "error_before": 500,
    "error_after": 500,
    "late_commit": 504,
    "html": 200,
    "forbidden": 403,
}


@dataclass(frozen=True, slots=True)
class BooksOptions:
    """How a company of the sandbox is opened. ``path`` None keeps it in memory."""

    company: str = "ie"
    realm: str = "9130000000000001"
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105 - opens nothing but the sandbox
    refresh_token: str = "sandbox-refresh-token"  # noqa: S105
    path: Path | None = None
    real_limits: bool = False


class Service:
    """One company behind its endpoints."""

    def __init__(self, options: BooksOptions) -> None:
        self.options = options
        self.company = open_company(Store(options.path), options.company, options.realm)
        self.authority = Authority(self.company, options.client_id, options.client_secret)
        self.authority.accept(options.refresh_token)
        self.control = Control(self.company, self.authority, Limits(on=options.real_limits))
        self.serial = 0

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Look for late commits while serving; close the file at the end."""
        del app
        ticker = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticker
            self.company.store.close()

    async def _tick(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                await asyncio.sleep(0.05)
                self.control.run_late()
                while await self.control.webhooks.deliver(client):
                    pass

    # OAuth -----------------------------------------------------------------------------------------

    async def discovery(self, request: HttpRequest) -> Response:
        """Answer either discovery document with this server's own addresses."""
        if request.path_params["name"] not in {"openid_sandbox_configuration", "openid_configuration"}:
            return Response(status_code=404)
        base = str(request.base_url).rstrip("/")
        return JSONResponse(
            {
                "issuer": identity.ISSUER,
                "authorization_endpoint": f"{base}/connect/oauth2",
                "token_endpoint": f"{base}/oauth2/v1/tokens/bearer",
                "userinfo_endpoint": f"{base}/v1/openid_connect/userinfo",
                "revocation_endpoint": f"{base}/v2/oauth2/tokens/revoke",
                "jwks_uri": f"{base}/oauth2/v1/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid", "email", "profile", "address", "phone"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "claims_supported": ["aud", "exp", "iat", "iss", "realmid", "sub"],
            }
        )

    async def token(self, request: HttpRequest) -> Response:
        """Answer the token endpoint; two refreshes of one grant at once fail the second."""
        form = (await request.body()).decode("utf-8", "replace")
        header = request.headers.get("authorization", "")
        hard = request.headers.get("x-include-refresh-token-hard-expires-in", "").lower() == "true"
        struck = self.control.strike("POST", "token")
        if struck is not None and struck.kind not in {
            "lost_reply",
            "error_after",
            "slow_drip",
            "truncate",
            "delay",
        }:
            return self._instead(struck)
        if struck is not None and struck.kind == "delay":
            await asyncio.sleep(struck.seconds)
        pair = self.authority.pair_of(form)
        if pair and not self.authority.begin(pair):
            body = {"error": "invalid_grant", "error_description": "Incorrect or invalid refresh token"}
            return self._stamp(JSONResponse(body, status_code=400))
        try:
            if pair and self.control.refresh_seconds:
                await asyncio.sleep(self.control.refresh_seconds)
            answer = self.authority.token(header, form, hard_expiry=hard)
        finally:
            self.authority.end(pair)
        self.control.counts[f"token:{answer.status}"] += 1
        reply = self._stamp(
            JSONResponse(answer.body, status_code=answer.status, headers={"cache-control": "no-store"})
        )
        return reply if struck is None else self._after(struck, reply)

    async def revoke(self, request: HttpRequest) -> Response:
        """Revoke a grant; the answer's body is empty."""
        raw = await request.body()
        try:
            token = str(loads(raw).get("token", ""))
        except (ValueError, AttributeError):
            token = parse_qs(raw.decode("utf-8", "replace")).get("token", [""])[0]
        return self._stamp(
            Response(status_code=self.authority.revoke(request.headers.get("authorization", ""), token))
        )

    async def consent(self, request: HttpRequest) -> Response:
        """Show the consent page, or redirect back with a code once a person (or a switch) agrees."""
        query = request.query_params
        if query.get("client_id") != self.options.client_id or not query.get("redirect_uri"):
            return HTMLResponse("<h1>Unknown app or no redirect address</h1>", status_code=400)
        decision = self.control.consent
        if request.method == "POST":
            form = parse_qs((await request.body()).decode("utf-8", "replace"))
            decision = "deny" if form.get("decision") == ["deny"] else "grant"
        if decision == "ask":
            return HTMLResponse(
                _consent_page(self.options.company, self.options.realm, html.escape(str(request.url)))
            )
        target = query["redirect_uri"]
        state = query.get("state", "")
        values = {"error": "access_denied", "state": state}
        if decision == "grant":
            values = {
                "code": self.authority.grant(query.get("scope", ""), target),
                "state": state,
                "realmId": self.options.realm,
            }
        return RedirectResponse(
            f"{target}{'&' if '?' in target else '?'}{urlencode(values)}", status_code=302
        )

    async def keys(self, request: HttpRequest) -> Response:
        """Answer the key set that identity tokens are signed with."""
        del request
        return JSONResponse(identity.key_set(self.company))

    async def userinfo(self, request: HttpRequest) -> Response:
        """Answer who has connected the app."""
        if not self.authority.allows(_bearer(request)):
            return self._unauthorized()
        return JSONResponse(
            {
                "sub": "sandbox-user",
                "givenName": "Sandbox",
                "familyName": "User",
                "email": "user@example.com",
                "emailVerified": True,
            }
        )

    # The API ---------------------------------------------------------------------------------------

    async def call(self, request: HttpRequest) -> Response:
        """Answer one call of the v3 API, in JSON unless the client asks for XML alone."""
        body = await request.body()
        reply = await self._called(request, body)
        if xmlform.wanted(request.headers.get("accept", "")) and reply.media_type == api.JSON:
            shown = self._stamp(Response(xmlform.write(loads(bytes(reply.body))), reply.status_code))
            shown.headers.update(
                {name: value for name, value in reply.headers.items() if name != "content-length"}
            )
            shown.headers["content-type"] = xmlform.MEDIA_TYPE
            return shown
        return reply

    async def _called(self, request: HttpRequest, body: bytes) -> Response:
        self.serial += 1
        self.control.run_late()
        wanted = api.Request(
            request.method,
            tuple(part for part in str(request.path_params["path"]).lower().split("/") if part),
            dict(request.query_params),
            body,
            request.headers.get("content-type", ""),
            str(request.base_url).rstrip("/"),
        )
        path = "/".join(wanted.path)
        if not self.authority.allows(_bearer(request)):
            self.control.counts["status:401"] += 1
            return self._unauthorized()
        if request.path_params["realm"] != self.options.realm:
            return self._reply(api.refused(self.company, faults.not_authorized()), body)
        if not self._admitted(wanted):
            self.control.counts["status:429"] += 1
            return self._throttled()
        struck = self.control.strike(wanted.method, path)
        if struck is not None:
            return await self._struck(struck, wanted)
        return self._carried_out(wanted)

    def _admitted(self, wanted: api.Request) -> bool:
        is_mail = wanted.path[2:] == ("send",)
        is_batch = wanted.path == ("batch",)
        return self.control.limits.admit(
            self.company.clock, is_read=not wanted.is_write, is_batch=is_batch, is_mail=is_mail
        )

    def _carried_out(self, wanted: api.Request) -> Response:
        try:
            reply = api.handle(self.company, wanted)
        except Exception:
            self.company.forget()
            self.company.events.clear()
            self.control.counts["status:500"] += 1
            raise
        self._count(wanted, reply)
        self._publish()
        return self._reply(reply, wanted.body)

    def _publish(self) -> None:
        events, self.company.events = self.company.events, []
        self.control.webhooks.accept(events)

    def _count(self, wanted: api.Request, reply: api.Reply) -> None:
        counts = self.control.counts
        counts["requests"] += 1
        counts["writes" if wanted.is_write else "reads"] += 1
        counts[f"status:{reply.status}"] += 1
        if wanted.is_write and reply.status == 200 and not reply.changed:
            counts["replays"] += 1
        counts[f"{wanted.method} {wanted.path[0] if wanted.path else ''}"] += 1

    # Faults on the wire ----------------------------------------------------------------------------

    async def _struck(self, struck: Trouble, wanted: api.Request) -> Response:
        if struck.kind == "delay":
            await asyncio.sleep(struck.seconds)
            return self._carried_out(wanted)
        if struck.kind in {"error_after", "lost_reply", "slow_drip", "truncate"}:
            return self._after(struck, self._carried_out(wanted))
        if struck.kind == "late_commit" and wanted.is_write:
            due = self.company.clock.now().timestamp() + struck.seconds
            self.control.late.append(Late(due, wanted))
        return self._instead(struck)

    def _instead(self, struck: Trouble) -> Response:
        """Return what is answered without carrying the request out."""
        if struck.kind == "drop_before" or (struck.kind == "late_commit" and struck.form == "empty"):
            return Cut()
        if struck.kind == "unauthorized":
            return self._unauthorized()
        status = struck.status or REVEAL.get(struck.kind, 400)
        if struck.kind == "html":
            return self._stamp(Response(MAINTENANCE, status_code=status, media_type="text/html"))
        refusals = {
            "throttle": faults.throttled(),
            "forbidden": faults.not_authorized(),
            "fault": Refusal(Problem(struck.code, "An injected fault", struck.detail)),
        }
        reply = self._formed(refusals.get(struck.kind, faults.broken(status)), struck, status)
        if struck.kind == "throttle" and self.company.switches.retry_after == "present":
            reply.headers["retry-after"] = "60"
        return reply

    def _after(self, struck: Trouble, reply: Response) -> Response:
        """Return what the client gets of a request that was carried out."""
        if struck.kind == "lost_reply":
            return Cut()
        if struck.kind == "slow_drip":
            return Cut(reply, seconds=struck.seconds, whole=True)
        if struck.kind == "truncate":
            return Cut(reply)
        status = struck.status or 500
        return self._formed(faults.broken(status), struck, status)

    def _formed(self, refusal: Refusal, struck: Trouble, status: int) -> Response:
        """Return a refusal in the form that the fault asks for."""
        if struck.form == "xml":
            return self._stamp(
                Response(refusal.xml(self.company.clock.envelope()), status, media_type="application/xml")
            )
        if struck.form == "html":
            return self._stamp(Response(MAINTENANCE, status, media_type="text/html"))
        if struck.form == "empty":
            return self._stamp(Response(b"", status))
        body = {"Fault": refusal.fault(), "time": self.company.clock.envelope()}
        if struck.form == "lower":
            errors = [
                {name.lower(): value for name, value in error.items()} for error in refusal.fault()["Error"]
            ]
            body = faults.gateway_401(self.company.clock.epoch_ms()) | {
                "fault": {"error": errors, "type": refusal.kind}
            }
        return self._stamp(Response(dumps(body), status, media_type=api.JSON))

    def _throttled(self) -> Response:
        reply = self._reply(api.refused(self.company, faults.throttled()), b"")
        if self.company.switches.retry_after == "present":
            reply.headers["retry-after"] = "60"
        return reply

    def _unauthorized(self) -> Response:
        body = dumps(faults.gateway_401(self.company.clock.epoch_ms()))
        reply = Response(body, 401, media_type=api.JSON)
        reply.headers["www-authenticate"] = 'Bearer realm="Intuit", error="invalid_token"'
        return self._stamp(reply)

    def _reply(self, reply: api.Reply, body: bytes) -> Response:
        return self._stamp(Response(reply.body, reply.status, media_type=reply.content_type), body)

    def _stamp(self, reply: Response, body: bytes = b"") -> Response:
        reply.headers["intuit_tid"] = api.intuit_tid(self.serial, body[:512])
        return reply

    # Control ---------------------------------------------------------------------------------------

    async def control_endpoint(self, request: HttpRequest) -> Response:
        """Show the state (GET) or change it (PUT)."""
        if request.method == "GET":
            return JSONResponse(self.control.state())
        try:
            document = json.loads(await request.body() or b"{}")
            return Response(dumps(self.control.apply(dict(document))), media_type="application/json")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    async def file(self, request: HttpRequest) -> Response:
        """Serve the content of an attachment, by its temporary address."""
        sql = "select name, type, content from files where id=?"
        found = self.company.store.connection.execute(sql, (request.path_params["number"],)).fetchone()
        if found is None or request.path_params["realm"] != self.options.realm:
            return Response(status_code=404)
        return Response(found[2], media_type=found[1], headers={"content-disposition": "attachment"})


class Cut(Response):
    """A reply of which the client gets nothing, half, or all of it slowly; then the connection goes.

    Without ``reply`` the connection is closed before a byte is sent.
    """

    def __init__(self, reply: Response | None = None, *, seconds: float = 0.0, whole: bool = False) -> None:
        super().__init__()
        self.reply = reply
        self.seconds = seconds
        self.whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is to be sent."""
        del receive
        if self.reply is None:
            await _abort(scope)
            return
        content = bytes(self.reply.body)
        shown = content if self.whole else content[: len(content) // 2]
        await send(
            {
                "type": "http.response.start",
                "status": self.reply.status_code,
                "headers": self.reply.raw_headers,
            }
        )
        pieces = [shown[at : at + 64] for at in range(0, len(shown), 64)] or [b""]
        for piece in pieces:
            await asyncio.sleep(self.seconds / len(pieces))
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if self.whole:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await _abort(scope)


async def _abort(scope: Scope) -> None:
    """Reset the connection; raises ConnectionResetError where there is no server with a connection."""
    transport = scope.get("transport")
    if transport is None:
        raise ConnectionResetError("an injected fault: the reply is lost")
    transport.abort()
    await asyncio.sleep(0.05)


def _bearer(request: HttpRequest) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _consent_page(company: str, realm: str, action: str) -> str:
    return (
        "<!DOCTYPE html><html><head><title>Connect to QuickBooks (sandbox)</title></head><body>"
        f"<h1>Connect the sandbox company {html.escape(company)}</h1><p>Company id {html.escape(realm)}</p>"
        f'<form method="post" action="{action}"><button name="decision" value="grant">Connect</button> '
        '<button name="decision" value="deny">No thanks</button></form></body></html>'
    )
