"""The OAuth server, asked by intuit-oauth as it is."""

from urllib.parse import parse_qs, urlsplit

import pytest
from intuitlib.client import AuthClient
from intuitlib.enums import Scopes
from intuitlib.exceptions import AuthClientError

from ps_qb_pipeline_tests.sandbox.books.bench import serving

DAY_SECONDS = 86_400


@pytest.fixture(scope="module")
def wire():
    with serving(refresh_token="given-token") as running:
        yield running


@pytest.fixture
def auth(wire):
    wire.control(
        switches={"stale_refresh": "refused", "invalid_client_status": 401},
        tokens={"refresh_seconds": 0},
        consent="ask",
    )
    client = AuthClient(
        "sandbox-client",
        "sandbox-secret",
        "http://localhost/callback",
        f"{wire.url}/.well-known/openid_sandbox_configuration/",
    )
    wire.client.get(wire.url)
    return client


def fresh(wire):
    """Return a refresh token that nobody has used."""
    name = f"token-{wire.app.state.books.company.store.next('test', 1)}"
    wire.control(tokens={"accept": name})
    return name


def test_discovery_names_this_server_under_both_documents(wire):
    """Both documents, with and without the last slash, point to endpoints of the same port."""
    for name in ("openid_configuration", "openid_sandbox_configuration"):
        for slash in ("", "/"):
            document = wire.client.get(f"{wire.url}/.well-known/{name}{slash}").json()
            assert document["token_endpoint"] == f"{wire.url}/oauth2/v1/tokens/bearer"
            assert {
                "issuer",
                "authorization_endpoint",
                "userinfo_endpoint",
                "revocation_endpoint",
                "jwks_uri",
            } <= set(document)
    assert wire.client.get(f"{wire.url}/.well-known/other").status_code == 404


def test_a_given_refresh_token_works_and_keeps_its_value_for_a_day(wire, auth):
    """Refreshing within 24 hours returns the same value; afterwards a new one, and the old is stale."""
    token = fresh(wire)
    auth.refresh(token)
    assert auth.refresh_token == token
    assert auth.expires_in == 3600
    assert auth.x_refresh_token_expires_in == 8_726_400
    wire.control(clock={"advance": DAY_SECONDS - 60})
    auth.refresh()
    assert auth.refresh_token == token
    wire.control(clock={"advance": 120})
    auth.refresh()
    rotated = auth.refresh_token
    assert rotated != token
    with pytest.raises(AuthClientError) as refused:
        auth.refresh(token)
    assert (refused.value.status_code, b"Incorrect or invalid refresh token" in refused.value.content) == (
        400,
        True,
    )
    assert refused.value.intuit_tid
    auth.refresh(rotated)
    assert auth.refresh_token == rotated


def test_the_previous_value_may_have_a_day_of_grace(wire, auth):
    """Whether an old value still works is uncertain; with the switch it leads to the new one."""
    token = fresh(wire)
    auth.refresh(token)
    wire.control(clock={"advance": DAY_SECONDS + 60}, switches={"stale_refresh": "grace"})
    auth.refresh(token)
    rotated = auth.refresh_token
    auth.refresh(token)
    assert auth.refresh_token == rotated


def test_a_refresh_token_dies_after_a_hundred_days_without_use(wire, auth):
    """The expiry moves with every use."""
    token = fresh(wire)
    auth.refresh(token)
    wire.control(clock={"advance": 100 * DAY_SECONDS})
    auth.refresh(token)
    wire.control(clock={"advance": 102 * DAY_SECONDS})
    with pytest.raises(AuthClientError):
        auth.refresh(auth.refresh_token)


def test_no_refresh_prolongs_a_grant_beyond_five_years(wire, auth):
    """In its last days the expiry stands still, and after five years the token is dead however often it was used."""
    token = fresh(wire)
    auth.refresh(token)
    for _ in range(19):
        wire.control(clock={"advance": 95 * DAY_SECONDS})
        auth.refresh(auth.refresh_token)
    left = auth.x_refresh_token_expires_in
    assert 0 < left < 21 * DAY_SECONDS
    wire.control(clock={"advance": 10 * DAY_SECONDS})
    auth.refresh(auth.refresh_token)
    assert auth.x_refresh_token_expires_in == pytest.approx(left - 10 * DAY_SECONDS, abs=5)
    wire.control(clock={"advance": 12 * DAY_SECONDS})
    with pytest.raises(AuthClientError) as refused:
        auth.refresh(auth.refresh_token)
    assert b"invalid_grant" in refused.value.content


def test_wrong_secrets_and_wrong_tokens_are_told_apart(wire, auth):
    """invalid_client for the secret, invalid_grant for the token, with another text for an access token."""
    token = fresh(wire)
    url = f"{wire.url}/oauth2/v1/tokens/bearer"
    form = {"grant_type": "refresh_token", "refresh_token": token}
    answer = wire.client.post(url, data=form, auth=("sandbox-client", "wrong"))
    assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})
    wire.control(switches={"invalid_client_status": 400})
    assert wire.client.post(url, data=form, auth=("sandbox-client", "wrong")).status_code == 400
    auth.refresh(token)
    answer = wire.client.post(
        url, data=form | {"refresh_token": auth.access_token}, auth=("sandbox-client", "sandbox-secret")
    )
    assert answer.json() == {
        "error": "invalid_grant",
        "error_description": "Incorrect Token type or clientID",
    }
    assert (
        wire.client.post(
            url, data={"grant_type": "password"}, auth=("sandbox-client", "sandbox-secret")
        ).json()["error"]
        == "unsupported_grant_type"
    )


def test_an_access_token_lives_an_hour(wire):
    """After 3600 seconds of the company's clock the API answers 401 in the gateway's own form."""
    wire.connect(fresh(wire))
    assert wire.request("GET", "companyinfo/1").status_code == 200
    wire.control(clock={"advance": 3601})
    answer = wire.request("GET", "companyinfo/1")
    assert answer.status_code == 401
    body = answer.json()
    assert "Fault" not in body
    assert body["fault"]["error"][0]["code"] == "3200"
    assert body["fault"]["type"] == "AUTHENTICATION"
    assert isinstance(body["time"], int)
    assert answer.headers["www-authenticate"] == 'Bearer realm="Intuit", error="invalid_token"'
    assert answer.headers["intuit_tid"]
    wire.connect(fresh(wire))


def test_revoking_either_token_ends_the_grant(wire, auth):
    """Refresh and access token of a grant go together; the answer has no body."""
    for attribute in ("refresh_token", "access_token"):
        auth.refresh(fresh(wire))
        access = auth.access_token
        assert auth.revoke(getattr(auth, attribute)) is True
        headers = {"authorization": f"Bearer {access}"}
        assert wire.client.get(f"{wire.base}/companyinfo/1", headers=headers).status_code == 401
        with pytest.raises(AuthClientError):
            auth.refresh()


def test_another_realm_is_not_for_this_token(wire):
    """403 with code 3100."""
    wire.connect(fresh(wire))
    headers = {"authorization": f"Bearer {wire.token}"}
    answer = wire.client.get(f"{wire.url}/v3/company/123/companyinfo/1", headers=headers)
    error = answer.json()["Fault"]["Error"][0]
    assert (answer.status_code, error["code"]) == (403, "3100")


def test_two_refreshes_of_one_grant_at_once_fail_the_second(wire):
    """Overlapping refreshes are counted, and only one is answered with tokens."""
    import threading

    token = fresh(wire)
    wire.control(tokens={"refresh_seconds": 0.3}, counts="reset")
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(_refresh(wire, token))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 400]
    assert wire.state()["tokens"]["overlapping"] == 1


def _refresh(wire, token):
    import httpx

    form = {"grant_type": "refresh_token", "refresh_token": token}
    return httpx.post(
        f"{wire.url}/oauth2/v1/tokens/bearer", data=form, auth=("sandbox-client", "sandbox-secret")
    ).status_code


def test_consent_gives_a_code_for_a_realm(wire, auth):
    """The page redirects back with code, state and realmId; the code is good for one exchange."""
    wire.control(clock={"reset": True})
    url = auth.get_authorization_url([Scopes.ACCOUNTING, Scopes.OPENID], state_token="st/ate")
    page = wire.client.get(url)
    assert page.status_code == 200
    assert "Connect" in page.text
    back = wire.client.post(url, data={"decision": "grant"})
    assert back.status_code == 302
    query = parse_qs(urlsplit(back.headers["location"]).query)
    assert query["state"] == ["st/ate"]
    assert query["realmId"] == [wire.options.realm]
    auth.get_bearer_token(query["code"][0], realm_id=query["realmId"][0])
    assert auth.id_token
    assert auth.get_user_info().json()["sub"] == "sandbox-user"
    with pytest.raises(AuthClientError):
        auth.get_bearer_token(query["code"][0])
    denied = wire.client.post(url, data={"decision": "deny"})
    assert parse_qs(urlsplit(denied.headers["location"]).query)["error"] == ["access_denied"]
    wire.control(consent="grant")
    assert wire.client.get(url).status_code == 302


def test_the_apps_keys_may_come_in_the_form(wire):
    """Both ways that the discovery document names; a wrong secret is refused in either."""
    url = f"{wire.url}/oauth2/v1/tokens/bearer"
    form = {"grant_type": "refresh_token", "refresh_token": fresh(wire), "client_id": "sandbox-client"}
    good = wire.client.post(url, data=form | {"client_secret": "sandbox-secret"})
    assert (good.status_code, good.json()["token_type"]) == (200, "bearer")
    bad = wire.client.post(url, data=form | {"client_secret": "wrong"})
    assert bad.json() == {"error": "invalid_client"}


def test_a_code_belongs_to_the_address_that_it_was_sent_to(wire, auth):
    """A code exchanged with another redirect address is refused, and still good for the right one."""
    wire.control(consent="grant")
    sent = wire.client.get(auth.get_authorization_url([Scopes.ACCOUNTING], state_token="s"))
    code = parse_qs(urlsplit(sent.headers["location"]).query)["code"][0]
    url, form = f"{wire.url}/oauth2/v1/tokens/bearer", {"grant_type": "authorization_code", "code": code}
    keys = ("sandbox-client", "sandbox-secret")
    other = wire.client.post(url, data=form | {"redirect_uri": "http://elsewhere/callback"}, auth=keys)
    assert (other.status_code, other.json()["error"]) == (400, "invalid_grant")
    auth.get_bearer_token(code, realm_id=wire.options.realm)
    assert auth.access_token


def test_the_hard_expiry_is_told_when_asked_for(wire):
    """The opt-in header adds the seconds that are left of five years."""
    form = {"grant_type": "refresh_token", "refresh_token": fresh(wire)}
    headers = {"x-include-refresh-token-hard-expires-in": "true"}
    answer = wire.client.post(
        f"{wire.url}/oauth2/v1/tokens/bearer",
        data=form,
        headers=headers,
        auth=("sandbox-client", "sandbox-secret"),
    )
    assert 157_679_000 < answer.json()["x_refresh_token_hard_expires_in"] <= 157_680_000
