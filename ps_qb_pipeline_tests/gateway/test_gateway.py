"""What the gateway takes in, and that nothing else comes in."""

import json
import logging
import threading

import pytest

from ps_qb_pipeline.errors import SettingsError, StorageError
from ps_qb_pipeline.gateway import app as gateway_app
from ps_qb_pipeline.gateway.doors import Doors
from ps_qb_pipeline.state.inbox import Inbox
from ps_qb_pipeline_tests.gateway.world import (
    NOW,
    SECRETS,
    VERIFIERS,
    books_signature,
    classic_events,
    cloud_events,
    serving,
    shop_body,
    shop_signature,
)


@pytest.fixture
def gate(tmp_path):
    with serving(f"sqlite:///{tmp_path / 'control.sqlite'}") as served:
        yield served


def test_a_signed_webhook_of_the_shop_becomes_one_hint(gate):
    """Names and numbers reach the inbox, and nothing else of the body."""
    body = shop_body(id="12", id_order=9, note="call me on 0612345678")
    assert gate.shop(body) == "accepted"
    (event,) = gate.taken("boutique")
    assert event.hint == {"resource": "orders", "id": 12, "event": "updated", "id_order": 9}
    assert (event.source, event.event_id) == ("prestashop", "boutique/d-1")


def test_a_repetition_is_acknowledged_and_not_taken_in_again(gate):
    """A sender that lost our answer gets one; a replay makes no work."""
    assert [gate.shop(shop_body()) for _ in range(3)] == ["accepted"] * 3
    assert len(gate.taken("boutique")) == 1
    assert gate.count("psqb_gateway_inbox_repeated") == 2


def test_a_body_without_a_delivery_number_is_known_by_its_bytes(gate):
    """The same bytes are the same event; another second is another one."""
    for moment in (NOW, NOW, NOW + 1):
        assert gate.shop(shop_body(delivery=None, timestamp=int(moment))) == "accepted"
    assert len(gate.taken("boutique")) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Webhook-Signature": ""},
        {"X-Webhook-Signature": "sha256="},
        {"X-Webhook-Signature": "sha256=" + "0" * 64},
        {"X-Webhook-Signature": "ümlaut".encode("latin-1")},
        shop_signature(shop_body(), SECRETS["atelier"]),
        shop_signature(shop_body() + b" "),
        {"X-Webhook-Signature": shop_signature(shop_body())["X-Webhook-Signature"].removeprefix("sha256=")},
    ],
)
def test_what_is_not_signed_by_this_shop_is_refused(gate, headers):
    """No signature, another shop's, that of other bytes, one that is cut: nothing is taken in."""
    assert gate.shop(shop_body(), headers) == "bad_signature"
    assert gate.taken("boutique") == []


def test_an_unknown_connection_is_refused_as_a_wrong_signature_is(gate):
    """Nobody learns which connections there are."""
    body = shop_body()
    answers = {
        (name, gate.client.post(f"/webhooks/prestashop/{name}", content=body, headers=headers).status_code)
        for name, headers in [("nobody", shop_signature(body, b"nobody")), ("boutique", {})]
    }
    assert answers == {("nobody", 401), ("boutique", 401)}


@pytest.mark.parametrize("off", [-301, 301, -86_400, 1e12])
def test_a_moment_too_far_from_now_is_a_replay(gate, off):
    """Five minutes either way, whatever the signature says."""
    assert gate.shop(shop_body(timestamp=NOW + off)) == "stale"
    assert gate.taken("boutique") == []


@pytest.mark.parametrize(
    "moment", [NOW - 299, NOW + 299, "2026-09-21T16:13:20+02:00", "2026-09-21T14:13:20Z"]
)
def test_seconds_and_iso_moments_are_understood(gate, moment):
    """Unix seconds or ISO 8601 with its offset."""
    assert gate.shop(shop_body(timestamp=moment)) == "accepted"


@pytest.mark.parametrize(
    "said",
    [
        {"resource": None}, {"resource": "orders;drop"}, {"resource": 3}, {"id": 0}, {"id": -4}, {"id": 1.5},
        {"id": True}, {"id": "1" * 19}, {"event": ""}, {"timestamp": "2026-09-21T14:13:20"}, {"timestamp": None},
        {"timestamp": "soon"}, {"timestamp": []}, {"delivery": ""}, {"delivery": "a b"}, {"delivery": "x" * 101},
        {"delivery": 5}, {"id_order": "x"},
    ],
)  # fmt: skip
def test_a_signed_body_of_another_form_is_unreadable(gate, said):
    """The sender is told, and nothing is taken in."""
    assert gate.shop(shop_body(**said)) == "unreadable"
    assert gate.taken("boutique") == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"1" * 5000])
def test_signed_nonsense_does_no_harm(gate, body):
    """Neither depth nor length nor encoding crashes anything."""
    assert gate.shop(body) == "unreadable"
    assert gate.books(body) == "unreadable" or body == b"[]"
    assert gate.client.get("/healthz").status_code == 200


def test_cloud_events_of_several_companies_go_to_their_connections(gate):
    """One body, two companies of ours and one of nobody's; the last is counted and dropped."""
    body = cloud_events(
        ("e1", "100", "qbo.salesreceipt.created.v1"),
        ("e2", "200", "qbo.customer.merged.v1"),
        ("e3", "999", "qbo.customer.updated.v1"),
    )
    assert gate.books(body) == "accepted"
    assert [event.hint for event in gate.taken("boutique")] == [
        {"entity": "salesreceipt", "id": "42", "operation": "created"}
    ]
    assert [event.event_id for event in gate.taken("atelier")] == ["200/e2"]
    assert gate.count('psqb_gateway_webhooks_total{door="quickbooks",outcome="dropped_unknown_realm"}') == 1


def test_an_app_speaks_only_for_the_companies_that_are_connected_with_it(gate):
    """The second app's signature does not open the first app's companies, nor the other way round."""
    body = cloud_events(("e1", "100", "qbo.item.updated.v1"), ("e2", "300", "qbo.item.updated.v1"))
    assert gate.books(body, books_signature(body, VERIFIERS["app two"])) == "accepted"
    assert gate.taken("boutique") == []
    assert [event.event_id for event in gate.taken("depot")] == ["300/e2"]


def test_the_older_form_is_understood_and_known_again(gate):
    """Operations and merges; the same change told twice is one hint."""
    change = {
        "name": "Customer",
        "id": "1",
        "operation": "Merge",
        "lastUpdated": "2015-10-05T14:42:19-0700",
        "deletedId": "8",
    }
    body = classic_events({"100": [change, change], "300": [{**change, "id": "2"}]})
    assert gate.books(body) == "accepted"
    (event,) = gate.taken("boutique")
    assert event.hint == {"entity": "customer", "id": "1", "operation": "merge", "deleted_id": "8"}
    assert gate.taken("depot") == []


def test_an_entry_that_cannot_be_read_does_not_hold_back_the_others(gate):
    """Refusing a notification would make Intuit keep everything after it."""
    good = json.loads(cloud_events(("e1", "100", "qbo.item.updated.v1")))
    bad = [None, 5, {}, {**good[0], "type": "qbo"}, {**good[0], "intuitentityid": "x"}, {**good[0], "id": ""}]
    body = json.dumps([*bad, *good]).encode()
    assert gate.books(body) == "accepted"
    assert len(gate.taken("boutique")) == 1
    assert gate.count('psqb_gateway_webhooks_total{door="quickbooks",outcome="dropped_unreadable"}') == len(
        bad
    )


@pytest.mark.parametrize("signature", ["", "AAAA", "=" * 44, "é" * 10])
def test_a_notification_that_intuit_did_not_sign_is_refused(gate, signature):
    """Whatever stands in the header."""
    body = cloud_events(("e1", "100", "qbo.item.updated.v1"))
    assert gate.books(body, {"intuit-signature": signature.encode("latin-1")}) == "bad_signature"
    assert gate.taken("boutique") == []


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(gate):
    """By its announced length; and where no length is announced, as soon as the limit is passed."""
    sent = 0

    def endless():
        nonlocal sent
        while sent < 64:
            sent += 1
            yield b"x" * 65_536

    body = b"x" * (gateway_app.LARGEST_BODY + 1)
    assert gate.shop(body) == "oversized"
    answer = gate.client.post("/webhooks/prestashop/boutique", content=endless(), headers=shop_signature(b""))
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert gate.shop(shop_body(note="x" * (gateway_app.LARGEST_BODY - 200))) == "accepted"


def test_a_flood_from_one_address_is_held_back(tmp_path):
    """Twice the rate at once, then 429 with a time to come back; the count says how many."""
    with serving(f"sqlite:///{tmp_path / 'control.sqlite'}", rate=1) as gate:
        outcomes = [gate.shop(shop_body(delivery=f"d{number}")) for number in range(30)]
        assert outcomes[:2] == ["accepted"] * 2
        assert "rate_limited" in outcomes
        refused = gate.client.post("/webhooks/quickbooks", content=b"")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")


def test_nothing_is_acknowledged_that_is_not_on_disk(gate, monkeypatch):
    """While the disk is full senders are told to come back, and health says why; afterwards all is well."""
    kept = Inbox.receive_all

    def full(*_):
        raise StorageError("the control plane cannot be written (disk full)")

    monkeypatch.setattr(Inbox, "receive_all", full)
    assert gate.shop(shop_body()) == "unavailable"
    assert gate.client.get("/healthz").status_code == 503
    monkeypatch.setattr(Inbox, "receive_all", kept)
    assert gate.shop(shop_body()) == "accepted"
    assert gate.client.get("/healthz").status_code == 200
    assert len(gate.taken("boutique")) == 1


def test_senders_that_wait_together_share_a_commit(gate, monkeypatch):
    """While one commit is under way, what arrives is gathered for the next."""
    kept, release = Inbox.receive_all, threading.Event()

    def slow(self, arrivals):
        release.wait(5)
        return kept(self, arrivals)

    monkeypatch.setattr(Inbox, "receive_all", slow)
    senders = [
        threading.Thread(target=gate.shop, args=(shop_body(delivery=f"d{number}"),)) for number in range(20)
    ]
    for sender in senders:
        sender.start()
    threading.Timer(0.5, release.set).start()
    for sender in senders:
        sender.join()
    assert len(gate.taken("boutique")) == 20
    assert gate.count("psqb_gateway_inbox_commits") <= 10


def test_the_figures_name_what_waits(gate):
    """Depth and age of each inbox, answers by door and outcome, in Prometheus' form."""
    gate.shop(shop_body())
    gate.shop(shop_body(), {})
    text = gate.client.get("/metrics").text
    assert 'psqb_gateway_webhooks_total{door="prestashop",outcome="accepted"} 1' in text
    assert 'psqb_gateway_webhooks_total{door="prestashop",outcome="bad_signature"} 1' in text
    assert 'psqb_gateway_inbox_open{connection="boutique"} 1' in text
    assert "psqb_gateway_answer_seconds_count 2" in text


def test_no_secret_and_no_body_is_ever_logged(gate, caplog):
    """Refusals and unreadable bodies leave names only."""
    caplog.set_level(logging.DEBUG)
    gate.shop(shop_body(event="4111 1111 1111 1111"))
    gate.shop(shop_body(note="canary"), {})
    for word in ("4111", "canary", *(secret.decode() for secret in (*SECRETS.values(), *VERIFIERS.values()))):
        assert word not in caplog.text


def test_a_secret_that_could_be_guessed_is_refused():
    """The message names the variable and not its value."""

    class Shop:
        webhook_secret, webhook_secret_env = "short", "MY_SECRET"

    class Connection:
        name, shop = "boutique", Shop

    with pytest.raises(SettingsError, match="MY_SECRET has fewer than 16") as raised:
        Doors.of([Connection])
    assert "short" not in str(raised.value).replace("fewer", "")
