"""Tokens: renewed in time, by one process at a time, kept before they are used."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest

from ps_qb_pipeline.errors import (
    BooksNotSent,
    BooksThrottled,
    BooksUnavailable,
    Busy,
    ReconnectNeeded,
    SettingsError,
    StorageError,
)
from ps_qb_pipeline.quickbooks import renewal
from ps_qb_pipeline.quickbooks.oauth import App, Tokens, consent_url, exchange_code, expiries, renew, revoke
from ps_qb_pipeline.quickbooks.renewal import REFUSAL_PAUSE, Renewal, TokenSource
from ps_qb_pipeline.state.database import open_control_plane
from ps_qb_pipeline.state.tokens import TokenStore
from ps_qb_pipeline_tests.quickbooks.stub import REALM, Answer, serving

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


class Intuit:
    """A token service that rotates at every refresh and knows no mercy for old tokens."""

    def __init__(self):
        self.live = "RT-0"
        self.count = 0
        self.forms = []
        self.headers = []
        self.next: Answer | None = None
        self.busy = threading.Lock()
        self.overlaps = 0

    def __call__(self, request):
        base = "http://" + request.headers["host"]
        if request.path.startswith("/.well-known"):
            return Answer(
                {
                    "issuer": "https://oauth.platform.intuit.com/op/v1",
                    "authorization_endpoint": f"{base}/connect/oauth2",
                    "token_endpoint": f"{base}/oauth2/v1/tokens/bearer",
                    "userinfo_endpoint": f"{base}/userinfo",
                    "revocation_endpoint": f"{base}/v2/oauth2/tokens/revoke",
                    "jwks_uri": f"{base}/jwks",
                }
            )
        if request.path.endswith("revoke"):
            self.forms.append(json.loads(request.body))
            return Answer(b"")
        self.headers.append(request.headers)
        if not self.busy.acquire(blocking=False):
            self.overlaps += 1
            return Answer({"error": "invalid_grant"}, 400)
        try:
            return self._token({name: values[0] for name, values in parse_qs(request.body.decode()).items()})
        finally:
            self.busy.release()

    def _token(self, form):
        self.forms.append(form)
        if self.next is not None:
            answer, self.next = self.next, None
            return answer
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.live:
            return Answer(
                {"error": "invalid_grant", "error_description": "Incorrect or invalid refresh token"}, 400
            )
        self.count += 1
        self.live = f"RT-{self.count}"
        return Answer(
            {
                "token_type": "bearer",
                "access_token": f"AT-{self.count}",
                "expires_in": 3600,
                "refresh_token": self.live,
                "x_refresh_token_expires_in": 8726400,
                "x_refresh_token_hard_expires_in": 157680000,
            }
        )


@pytest.fixture
def intuit():
    service = Intuit()
    with serving(service) as stub:
        service.app = App(
            "the-id",
            "the-secret",
            "http://localhost:8765/callback",
            stub.url + "/.well-known/openid_configuration/",
        )
        yield service


@pytest.fixture
def store():
    return TokenStore(open_control_plane("sqlite://"), bytes(32))


def source(store, intuit, **options):
    options.setdefault("first_refresh_token", "RT-0")
    return TokenSource(store, intuit.app, connection="b", realm=REALM, sleep=lambda _: None, **options)


def test_the_new_token_is_stored_before_it_is_handed_out(store, intuit):
    """After the first refresh the store holds the rotated token, with its three expiry dates."""
    assert source(store, intuit).access_token() == "AT-1"
    kept = Tokens(**store.load("b"))
    assert kept.refresh_token == "RT-1"
    assert kept.hard_expires_at - kept.access_expires_at == timedelta(seconds=157680000 - 3600)
    assert intuit.headers[0]["x-include-refresh-token-hard-expires-in"] == "true"


def test_a_good_token_is_used_until_shortly_before_its_end(store, intuit):
    """One refresh serves many calls and a second process; five minutes before the end comes the next."""
    clock = {"now": datetime.now(UTC)}
    tokens = source(store, intuit, now=lambda: clock["now"])
    assert [tokens.access_token() for _ in range(3)] == ["AT-1"] * 3
    assert source(store, intuit, first_refresh_token=None).access_token() == "AT-1"
    clock["now"] += timedelta(seconds=3600 - 299)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Renewal, "once", lambda self, stale, **_: once(self, stale, now=lambda: clock["now"]))
        assert tokens.access_token() == "AT-2"


once = Renewal.once


def test_a_refused_token_is_renewed_although_it_looks_good(store, intuit):
    """QuickBooks' word counts more than the expiry date; whoever comes second gets the new token."""
    first, second = source(store, intuit), source(store, intuit)
    assert first.access_token() == second.access_token() == "AT-1"
    assert first.renewed("AT-1") == "AT-2"
    assert second.renewed("AT-1") == "AT-2"
    assert intuit.count == 2


def test_eight_threads_refresh_once(tmp_path, intuit, monkeypatch):
    """Only one of many asks Intuit, the others use what it got."""
    monkeypatch.setattr(TokenStore, "address", None)
    store = TokenStore(open_control_plane(f"sqlite:///{tmp_path / 'control.sqlite'}"), bytes(32))
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(source(store, intuit).access_token())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (set(got), intuit.count, intuit.overlaps) == ({"AT-1"}, 1, 0)


def test_a_refusal_pauses_the_connection_and_is_not_repeated(store, intuit):
    """The second call does not reach Intuit: repeated attempts could kill a token that an outage refused."""
    intuit.live = "somebody else's"
    clock = {"now": datetime.now(UTC)}
    tokens = source(store, intuit, now=lambda: clock["now"])
    for _ in range(3):
        with pytest.raises(ReconnectNeeded, match="psqb connect"):
            tokens.access_token()
    assert len(intuit.forms) == 1
    assert Tokens(**store.load("b")).refusals == 1


def test_a_refusal_that_was_an_outage_heals(store, intuit):
    """A quarter of an hour later one more attempt is made, and when it succeeds all is well."""
    intuit.next = Answer({"error": "invalid_grant"}, 400)
    tokens = source(store, intuit)
    with pytest.raises(ReconnectNeeded):
        tokens.access_token()
    kept = store.load("b")
    store.save("b", {**kept, "refused_at": kept["refused_at"] - REFUSAL_PAUSE})
    assert tokens.access_token() == "AT-1"
    assert Tokens(**store.load("b")).refusals == 0


def test_after_three_refusals_only_a_person_helps(store, intuit):
    """No further attempt is made, however much later."""
    old = datetime.now(UTC) - timedelta(days=1)
    store.save("b", asdict(Tokens(realm=REALM, refresh_token="RT-0", refusals=3, refused_at=old)))
    with pytest.raises(ReconnectNeeded, match="nothing is lost"):
        source(store, intuit).access_token()
    assert intuit.forms == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(b"", 503), BooksUnavailable),
        (Answer(b"<html>down</html>", 500), BooksUnavailable),
        (Answer(b"<html>fine</html>", 200), BooksUnavailable),
        (Answer({"token_type": "bearer"}, 200), BooksUnavailable),
        (Answer(drop=True), BooksUnavailable),
        (Answer({}, 429, {"Retry-After": "9"}), BooksThrottled),
        (Answer({"error": "invalid_client"}, 401), SettingsError),
        (Answer({"error": "invalid_client"}, 400), SettingsError),
        (Answer({"error": "invalid_grant"}, 400), ReconnectNeeded),
    ],
)
def test_an_outage_is_told_from_a_refusal_and_keeps_the_old_token(store, intuit, answer, kind):
    """Only invalid_grant counts against the token; no message holds a secret."""
    intuit.next = answer
    with pytest.raises(kind) as caught:
        source(store, intuit).access_token()
    assert "RT-0" not in str(caught.value)
    assert "the-secret" not in str(caught.value)
    refusals = Tokens(**store.load("b")).refusals if store.load("b") else 0
    assert refusals == (1 if kind is ReconnectNeeded else 0)


def test_without_a_consent_the_way_is_said(store, intuit):
    """Neither a stored token nor one in the environment."""
    with pytest.raises(ReconnectNeeded, match="never connected"):
        source(store, intuit, first_refresh_token=None).access_token()


def test_a_token_of_another_company_is_not_used(store, intuit):
    """A changed realm in the settings does not send one company's orders to another."""
    store.save("b", asdict(Tokens(realm="999", refresh_token="RT-0")))
    with pytest.raises(ReconnectNeeded, match="company 999"):
        source(store, intuit).access_token()
    assert intuit.forms == []


def test_nothing_is_renewed_when_the_store_cannot_be_written(store, intuit):
    """A refresh token is not used up when its successor could not be kept."""

    class FullDisk(TokenStore):
        def lease(self, connection, seconds):
            raise StorageError("no space")

    with pytest.raises(StorageError):
        source(FullDisk(store._engine, bytes(32)), intuit).access_token()
    assert intuit.forms == []


def test_a_new_token_is_stored_as_soon_as_the_database_is_free(store, intuit, monkeypatch):
    """Intuit has made the old token worthless: a database that is held for a moment must not lose the new one."""
    monkeypatch.setattr(renewal, "KEEPING_PAUSES", (0.0, 0.0, 0.0))

    class Held(TokenStore):
        held = 2

        def save(self, connection, values, *, instead_of=None):
            if self.held:
                self.held -= 1
                raise Busy("the control plane is held by another process")
            return super().save(connection, values, instead_of=instead_of)

    held = Held(store._engine, bytes(32))
    assert source(held, intuit).access_token() == "AT-1"
    assert Tokens(**store.load("b")).refresh_token == intuit.live
    held.held = 99
    with pytest.raises(Busy):
        source(held, intuit).renewed("AT-1")


def test_a_process_of_its_own_renews_a_store_on_disk(tmp_path, intuit):
    """The worker's own process never holds the refresh: a child with the store's address does."""
    url = f"sqlite:///{tmp_path / 'control.sqlite'}"
    store = TokenStore(open_control_plane(url), bytes(32))
    called = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Renewal, "once", lambda *_a, **_k: called.append(1))
        assert source(store, intuit).access_token() == "AT-1"
    assert called == []
    assert Tokens(**store.load("b")).refresh_token == "RT-1"


def test_errors_of_that_process_arrive_as_they_were(tmp_path, intuit):
    """A refusal in the child is a ReconnectNeeded here, a throttle keeps its pause."""
    store = TokenStore(open_control_plane(f"sqlite:///{tmp_path / 'c.sqlite'}"), bytes(32))
    intuit.next = Answer({}, 429, {"Retry-After": "9"})
    with pytest.raises(BooksThrottled) as caught:
        source(store, intuit).access_token()
    assert caught.value.retry_after == 9
    intuit.next = Answer({"error": "invalid_grant"}, 400)
    with pytest.raises(ReconnectNeeded):
        source(store, intuit).access_token()


def test_expiry_dates_warn_thirty_seven_and_one_day_before():
    """The access token's hourly end warns of nothing; the others do, and say what to do once over."""

    def level(days):
        tokens = Tokens(realm="1", refresh_token="x", refresh_expires_at=NOW + timedelta(days=days, hours=1))
        (found,) = expiries(tokens, NOW)
        return found.warning

    assert [level(days) for days in (60, 30, 29, 7, 6, 1, 0, -2)] == [None, None, 30, 30, 7, 7, 1, 0]
    tokens = Tokens(
        realm="1",
        refresh_token="x",
        access_expires_at=NOW + timedelta(minutes=5),
        hard_expires_at=NOW - timedelta(days=1),
    )
    access, hard = expiries(tokens, NOW)
    assert access.warning is None
    assert "run psqb connect" in hard.sentence()


def test_secrets_do_not_show_in_a_repr(intuit):
    """Neither the app nor tokens print what they hold."""
    tokens = Tokens(realm="1", refresh_token="canary-r", access_token="canary-a")
    renewal = Renewal(None, intuit.app, "b", REALM, "canary-f")
    assert "canary" not in repr(tokens) + repr(renewal)
    assert "the-secret" not in repr(intuit.app) + repr(renewal)


def test_the_other_calls_of_intuit_oauth(intuit):
    """Link, code exchange and revocation are carried by intuit-oauth as the contract says."""
    assert "scope=com.intuit.quickbooks.accounting" in consent_url(intuit.app, "the-state")
    tokens = exchange_code(intuit.app, "the-code", REALM, now=lambda: NOW)
    assert intuit.forms[-1]["code"] == "the-code"
    assert tokens.access_expires_at == NOW + timedelta(hours=1)
    revoke(intuit.app, tokens)
    assert intuit.forms[-1] == {"token": "RT-1"}


def test_no_netrc_password_replaces_the_apps_secret(intuit, tmp_path, monkeypatch):
    """A line for the host in ~/.netrc does not override the Basic header."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password stolen\n")
    monkeypatch.setenv("NETRC", str(netrc))
    renew(intuit.app, Tokens(realm=REALM, refresh_token="RT-0"), now=lambda: NOW)
    sent = base64.b64decode(intuit.headers[-1]["authorization"].split()[1]).decode()
    assert sent == "the-id:the-secret"


def test_a_discovery_document_that_cannot_be_reached(intuit):
    """Nothing was sent, and the message names the setting to compare."""
    gone = App("i", "s", "http://localhost/", "http://127.0.0.1:9/.well-known/openid_configuration/")
    with pytest.raises(BooksNotSent):
        renew(gone, Tokens(realm="1", refresh_token="x"), now=lambda: NOW)
