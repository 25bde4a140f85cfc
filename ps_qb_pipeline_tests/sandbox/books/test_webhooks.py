"""Notifications out: forms, signature, retries."""

import asyncio
import base64
import hashlib
import hmac
import json

import httpx
import pytest

from ps_qb_pipeline_tests.sandbox.books.bench import Bench


class Listener:
    """Whoever the notifications are for; answers with the statuses it is given."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.got = []

    def client(self):
        def handler(request):
            self.got.append(request)
            return httpx.Response(self.statuses.pop(0) if self.statuses else 200)

        return httpx.AsyncClient(transport=httpx.MockTransport(handler))

    def bodies(self):
        return [json.loads(request.content) for request in self.got]


@pytest.fixture
def books():
    bench = Bench("ie")
    bench.company.clock.set(bench.company.clock.parse("2026-03-15T10:00:00Z"), freeze=True)
    bench.control.apply({"webhooks": {"url": "http://listener/hook", "verifier": "secret"}})
    return bench


def changed(books):
    """Hand the changes made so far to the notifications, as the service does after each request."""
    events, books.company.events = books.company.events, []
    books.control.webhooks.accept(events)


def deliver(books, listener, times=1):
    async def run():
        async with listener.client() as client:
            return [await books.control.webhooks.deliver(client) for _ in range(times)]

    return asyncio.run(run())


def test_cloud_events_are_an_array_with_a_signature(books):
    """Each event names entity and verb in its type; the signature is over the raw body."""
    made = books.create("SalesReceipt", books.receipt(books.line(1, code="Zero 0%")))
    changed(books)
    listener = Listener()
    assert deliver(books, listener) == [True]
    request = listener.got[0]
    (event,) = listener.bodies()[0]
    assert event["type"] == "qbo.salesreceipt.created.v1"
    assert (event["intuitentityid"], event["intuitaccountid"]) == (made["Id"], books.company.realm)
    assert event["specversion"] == "1.0"
    assert event["time"].endswith("Z")
    assert request.headers["content-type"] == "application/cloudevents+json"
    wanted = base64.b64encode(hmac.new(b"secret", request.content, hashlib.sha256).digest()).decode()
    assert request.headers["intuit-signature"] == wanted
    assert {"intuit-created-time", "intuit-t-id", "intuit-notification-schema-version"} <= set(
        request.headers
    )


def test_the_old_form_names_operations(books):
    """EventNotifications with realm, entity, operation and a time without a colon in its offset."""
    books.control.apply({"webhooks": {"form": "classic"}})
    made = books.create("Invoice", books.receipt(books.line(1, code="Zero 0%")))
    books.void("Invoice", made)
    books.delete("Invoice", books.read("Invoice", made["Id"]))
    changed(books)
    listener = Listener()
    deliver(books, listener)
    notification = listener.bodies()[0]["eventNotifications"][0]
    entities = notification["dataChangeEvent"]["entities"]
    assert notification["realmId"] == books.company.realm
    assert [entity["operation"] for entity in entities] == ["Create", "Void", "Delete"]
    assert entities[0]["lastUpdated"] == "2026-03-15T10:00:00+0000"


def test_a_merge_names_what_is_gone(books):
    """The event is about the object that stays, and tells the other's id."""
    one, two = (
        books.create("Customer", {"DisplayName": "1st"}),
        books.create("Customer", {"DisplayName": "2nd"}),
    )
    changed(books)
    books.control.webhooks.waiting.clear()
    books.control.apply({"merge": {"entity": "Customer", "from": one["Id"], "into": two["Id"]}})
    listener = Listener()
    deliver(books, listener)
    event = listener.bodies()[0][-1]
    assert (event["type"], event["intuitentityid"], event["data"]) == (
        "qbo.customer.merged.v1",
        two["Id"],
        {"deletedid": one["Id"]},
    )


def test_a_refused_request_notifies_nobody(books):
    """Events of a request that failed are dropped with it."""
    books.code("POST", "customer", {"DisplayName": "Orchard Lane Cafe"})
    changed(books)
    assert books.control.webhooks.waiting == []


def test_failures_climb_the_ladder_and_hold_back_what_follows(books):
    """10, 20, 30 seconds, 5 and 20 minutes, 2, 4, 6 hours, then every 6; the same bytes each time."""
    books.create("Customer", {"DisplayName": "A"})
    changed(books)
    listener = Listener(*[500] * 10)
    deliver(books, listener)
    books.create("Customer", {"DisplayName": "B"})
    changed(books)
    for pause in (10, 20, 30, 300, 1200, 7200, 14_400, 21_600, 21_600):
        tried = len(listener.got)
        books.company.clock.advance(pause - 1)
        assert deliver(books, listener) == [False]
        assert len(listener.got) == tried
        books.company.clock.advance(1)
        deliver(books, listener)
        assert len(listener.got) == tried + 1
    books.company.clock.advance(21_600)
    assert deliver(books, listener, 2) == [True, True]
    assert len({request.content for request in listener.got}) == 2
    assert listener.bodies()[-1][0]["intuitentityid"] != listener.bodies()[0][0]["intuitentityid"]


def test_notifications_may_come_twice_and_out_of_order(books):
    """At least once, in no order, at most a hundred a time."""
    books.control.apply({"webhooks": {"twice": True, "shuffled": True}})
    for number in range(130):
        books.create("Term", {"Name": f"T{number}", "DueDays": 1})
    changed(books)
    listener = Listener()
    deliver(books, listener, 2)
    assert [len(body) for body in listener.bodies()] == [100, 100, 30, 30]
    ids = [int(event["intuitentityid"]) for event in listener.bodies()[0]]
    assert ids != sorted(ids)
    assert len({event["id"] for body in listener.bodies() for event in body}) == 130
