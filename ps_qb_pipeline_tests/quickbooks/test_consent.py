"""The consent of a person: state, company and redirect."""

from __future__ import annotations

import socket
import urllib.request
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import pytest

from ps_qb_pipeline.errors import ReconnectNeeded, SettingsError
from ps_qb_pipeline.quickbooks import consent
from ps_qb_pipeline.quickbooks.oauth import App
from ps_qb_pipeline.state.database import open_control_plane
from ps_qb_pipeline.state.tokens import TokenStore
from ps_qb_pipeline_tests.quickbooks.stub import REALM, serving
from ps_qb_pipeline_tests.quickbooks.test_renewal import Intuit


@pytest.fixture
def intuit():
    service = Intuit()
    with serving(service) as stub:
        service.url = stub.url
        yield service


def app(intuit, redirect):
    return App("the-id", "the-secret", redirect, intuit.url + "/.well-known/openid_configuration/")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_redirect_is_caught_and_the_tokens_are_kept(intuit):
    """The person only clicks: the listener catches the code, the tokens land in the store."""
    port = free_port()
    store = TokenStore(open_control_plane("sqlite://"), bytes(32))

    def click(link):
        state = parse_qs(urlsplit(link).query)["state"][0]
        # A stray request of the browser does not count as the answer.
        with pytest.raises(HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/favicon.ico")
        urllib.request.urlopen(
            f"http://127.0.0.1:{port}/callback?code=c&state={state}&realmId={REALM}"
        ).read()

    tokens = consent.connect(
        store,
        app(intuit, f"http://localhost:{port}/callback"),
        connection="b",
        realm=REALM,
        show=click,
        paste=lambda: pytest.fail("asked"),
    )
    assert store.load("b")["refresh_token"] == tokens.refresh_token == "RT-1"
    assert intuit.forms[-1]["redirect_uri"] == f"http://localhost:{port}/callback"


def test_an_https_address_is_pasted_back(intuit):
    """Production keys redirect elsewhere; the whole address is what the person pastes."""
    shown = []

    def paste():
        state = parse_qs(urlsplit(shown[0]).query)["state"][0]
        return f"  https://shop.example/callback?state={state}&code=c&realmId={REALM}\n"

    store = TokenStore(open_control_plane("sqlite://"), bytes(32))
    consent.connect(
        store,
        app(intuit, "https://shop.example/callback"),
        connection="b",
        realm=REALM,
        show=shown.append,
        paste=paste,
    )
    assert store.load("b")["access_token"] == "AT-1"


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("state=another&code=c&realmId={realm}", ReconnectNeeded),
        ("code=c&realmId={realm}", ReconnectNeeded),
        ("state={state}&error=access_denied", ReconnectNeeded),
        ("state={state}&realmId={realm}", ReconnectNeeded),
        ("state={state}&code=c", ReconnectNeeded),
        ("state={state}&code=c&realmId=999", SettingsError),
    ],
)
def test_an_answer_that_does_not_fit_exchanges_nothing(intuit, query, kind):
    """A foreign state, a refusal, a missing part and another company all end before the code is used."""
    application = app(intuit, "http://localhost/callback")
    begun = consent.begin(application)
    address = "http://localhost/callback?" + query.format(state=begun.state, realm=REALM)
    with pytest.raises(kind):
        consent.finish(application, begun, address, realm=REALM)
    assert intuit.forms == []


def test_disconnecting_tells_intuit_and_forgets(intuit):
    """The refresh token is revoked, then dropped; a second time there is nothing to do."""
    store = TokenStore(open_control_plane("sqlite://"), bytes(32))
    store.save("b", {"realm": REALM, "refresh_token": "RT-0", "access_token": ""})
    application = app(intuit, "http://localhost/")
    assert consent.disconnect(store, application, connection="b")
    assert intuit.forms == [{"token": "RT-0"}]
    assert store.load("b") is None
    assert not consent.disconnect(store, application, connection="b")


def test_every_consent_has_a_state_of_its_own(intuit):
    """States are long and never the same."""
    states = {consent.begin(app(intuit, "http://localhost/")).state for _ in range(5)}
    assert len(states) == 5
    assert min(map(len, states)) >= 40


def test_a_taken_port_is_said(intuit):
    """The message names the port and the other way."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"http://localhost:{taken.getsockname()[1]}/callback"
        with pytest.raises(SettingsError, match="paste the address"), consent.listening(address):
            pytest.fail("listening")


def test_only_loopback_addresses_are_listened_on():
    """An address of another machine is not opened here."""
    assert consent.is_loopback("http://localhost:8765/callback")
    assert not consent.is_loopback("https://localhost/callback")
    assert not consent.is_loopback("http://shop.example/callback")
    with pytest.raises(SettingsError), consent.listening("http://shop.example/callback"):
        pytest.fail("listening")
