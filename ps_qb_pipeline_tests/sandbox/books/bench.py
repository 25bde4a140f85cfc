"""A company to test against: in this process without HTTP, or on a port of its own.

What lives here: calling the API shortly, and serving it. What does not: assertions.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from decimal import Decimal

import httpx
import uvicorn

from ps_qb_pipeline.sandbox.books import api, ledger
from ps_qb_pipeline.sandbox.books.app import BooksOptions, create_app
from ps_qb_pipeline.sandbox.books.codec import dumps, loads

DAY = "2026-03-15"


class Bench:
    """One company without HTTP; every method returns parsed JSON with exact decimals."""

    def __init__(self, country="ie", path=None):
        self.service = create_app(BooksOptions(company=country, path=path)).state.books
        self.company = self.service.company
        self.control = self.service.control
        self.items = {}

    def call(self, method, path, body=None, **query):
        """Return (status, JSON) of one call below the company's URL."""
        raw = body if isinstance(body, bytes) else dumps(body) if body is not None else b""
        reply = api.handle(
            self.company,
            api.Request(method, tuple(path.lower().split("/")), query, raw, base_url="http://books"),
        )
        return reply.status, loads(reply.body) if reply.content_type.startswith(
            "application/json"
        ) else reply.body

    def post(self, path, body=None, **query):
        """Return the JSON of a POST that must succeed."""
        status, answer = self.call("POST", path, body, **query)
        assert status == 200, answer
        return answer

    def get(self, path, **query):
        """Return the JSON of a GET that must succeed."""
        status, answer = self.call("GET", path, None, **query)
        assert status == 200, answer
        return answer

    def create(self, entity, body, **query):
        """Create one object and return it."""
        return self.post(entity, body, **query)[entity]

    def read(self, entity, ident):
        """Return one object."""
        return self.get(f"{entity}/{ident}")[entity]

    def update(self, entity, body, **query):
        """Update one object and return it."""
        return self.post(entity, body, operation="update", **query)[entity]

    def patch(self, entity, seen, **values):
        """Update some fields of an object as it was seen."""
        return self.update(
            entity, {"Id": seen["Id"], "SyncToken": seen["SyncToken"], "sparse": True, **values}
        )

    def delete(self, entity, seen):
        """Delete an object as it was seen."""
        body = {"Id": seen["Id"], "SyncToken": seen["SyncToken"]}
        return self.post(entity, body, operation="delete")[entity]

    def void(self, entity, seen):
        """Void a transaction as it was seen."""
        body = {"Id": seen["Id"], "SyncToken": seen["SyncToken"], "sparse": True}
        return self.post(entity, body, operation="update", include="void")[entity]

    def query(self, statement):
        """Return the QueryResponse of a statement."""
        return self.get("query", query=statement)["QueryResponse"]

    def rows(self, statement):
        """Return the objects that a statement finds."""
        found = self.query(statement)
        return next((value for value in found.values() if isinstance(value, list)), [])

    def refusal(self, method, path, body=None, **query):
        """Return the first error of a call that must be refused, with its HTTP status."""
        status, answer = self.call(method, path, body, **query)
        assert status != 200, answer
        return answer["Fault"]["Error"][0] | {"status": status, "type": answer["Fault"]["type"]}

    def code(self, method, path, body=None, **query):
        """Return the code with which a call is refused."""
        return self.refusal(method, path, body, **query)["code"]

    # Things that most tests need ---------------------------------------------------------------------

    def named(self, entity, name):
        """Return the id of a list object by its name."""
        field = "DisplayName" if entity in {"Customer", "Vendor", "Employee", "TaxAgency"} else "Name"
        escaped = name.replace("'", "\\'")
        return self.rows(f"select * from {entity} where {field} = '{escaped}'")[0]["Id"]

    def ref(self, entity, name):
        """Return a reference to a list object."""
        return {"value": self.named(entity, name)}

    def line(self, amount, item="Soil", code=None, **detail):
        """Return a sales line; ``code`` is the name of a tax code, or TAX or NON."""
        inside = {"ItemRef": self.ref("Item", item), **detail}
        if code in {"TAX", "NON"}:
            inside["TaxCodeRef"] = {"value": code}
        elif code:
            inside["TaxCodeRef"] = self.ref("TaxCode", code)
        return {"Amount": amount, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": inside}

    def receipt(self, *lines, **fields):
        """Return the body of a sales receipt."""
        return {"TxnDate": DAY, "CustomerRef": {"value": "1"}, "Line": list(lines), **fields}

    def trial_balance(self):
        """Return the sum of all balances, which is zero, and the balances by account name."""
        balance = ledger.trial_balance(self.company, "2026-12-31")
        names = {
            row["Id"]: row["FullyQualifiedName"]
            for row in self.rows("select * from Account where Active in (true,false) maxresults 1000")
        }
        return sum(balance.values()), {
            names[str(key)]: Decimal(value).scaleb(-2) for key, value in balance.items()
        }


@contextlib.contextmanager
def serving(**options):
    """Serve a company on a free port for the length of a ``with``; yields its ``Wire``."""
    app = create_app(BooksOptions(**options))
    config = uvicorn.Config(app, port=0, log_level="critical", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(timeout=10) as client:
        yield Wire(f"http://127.0.0.1:{port}", app, client)
    server.should_exit = True
    thread.join(10)


class Wire:
    """A company behind HTTP."""

    def __init__(self, url, app, client):
        self.url = url
        self.app = app
        self.client = client
        self.options = app.state.books.options
        self.base = f"{url}/v3/company/{self.options.realm}"
        self.token = ""

    def connect(self, refresh_token=None):
        """Return the token endpoint's answer to a refresh; keeps the access token."""
        answer = self.client.post(
            f"{self.url}/oauth2/v1/tokens/bearer",
            data={
                "grant_type": "refresh_token",
                "refresh_token": refresh_token or self.options.refresh_token,
            },
            auth=(self.options.client_id, self.options.client_secret),
        )
        self.token = answer.json().get("access_token", self.token)
        return answer

    def request(self, method, path, **more):
        """Return the response of one authorised call below the company's URL."""
        if not self.token:
            self.connect()
        headers = {"authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return self.client.request(method, f"{self.base}/{path}", headers=headers, **more)

    def control(self, **document):
        """Pull levers and return the state."""
        answer = self.client.put(f"{self.url}/_control", content=json.dumps(document))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self):
        """Return what the company shows of itself."""
        return self.client.get(f"{self.url}/_control").json()
