"""Shop and books as one process on two ports."""

import json
import signal
import subprocess
import sys

import httpx
import pytest

from ps_qb_pipeline.sandbox.serve import SandboxOptions, make_certificate, serve

CALL = "from pathlib import Path; from ps_qb_pipeline.sandbox.serve import SandboxOptions, serve; serve(SandboxOptions({}))"


def start(options=""):
    process = subprocess.Popen(
        [sys.executable, "-c", CALL.format(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return process, json.loads(process.stdout.readline())


def stop(process, number=signal.SIGTERM):
    process.send_signal(number)
    out, errors = process.communicate(timeout=20)
    return process.returncode, out, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_line_says_where_both_are_and_a_signal_ends_them(number):
    """The line comes when both answer; a signal ends the process with status 0 and no more output."""
    process, line = start("company='us', realm='42'")
    assert set(line) == {"shop_url", "books_url", "discovery_url", "token_url", "realm"}
    assert line["realm"] == "42"
    assert httpx.get(line["discovery_url"]).json()["token_endpoint"] == line["token_url"]
    assert httpx.get(f"{line['books_url']}/_control").json()["company"] == "us"
    assert (
        httpx.get(f"{line['shop_url']}/api/", auth=("SANDBOXKEY0000000000000000000001", "")).status_code
        == 200
    )
    assert stop(process, number) == (0, "", "")


def test_the_state_survives_a_kill(tmp_path):
    """A killed process leaves everything that it answered."""
    process, line = start(f"state_dir=Path({str(tmp_path)!r}), refresh_token='mine'")
    access = token(line)
    url = f"{line['books_url']}/v3/company/{line['realm']}"
    made = httpx.post(
        f"{url}/customer", json={"DisplayName": "Kept"}, headers={"authorization": f"Bearer {access}"}
    ).json()
    process.kill()
    process.communicate(timeout=20)
    process, line = start(f"state_dir=Path({str(tmp_path)!r}), refresh_token='mine'")
    url = f"{line['books_url']}/v3/company/{line['realm']}/customer/{made['Customer']['Id']}"
    seen = httpx.get(url, headers={"authorization": f"Bearer {access}"}).json()
    assert seen["Customer"] == made["Customer"]
    assert stop(process)[0] == 0


def token(line):
    form = {"grant_type": "refresh_token", "refresh_token": "mine"}
    return httpx.post(line["token_url"], data=form, auth=("sandbox-client", "sandbox-secret")).json()[
        "access_token"
    ]


def test_tls_comes_with_a_certificate_of_its_own():
    """Both ports speak TLS, with a certificate that clients may be told to trust."""
    process, line = start("plain_http=False")
    assert line["books_url"].startswith("https://")
    context = httpx.create_ssl_context(verify=line["certificate"])
    assert httpx.get(line["discovery_url"], verify=context).status_code == 200
    assert stop(process)[0] == 0


def test_a_certificate_is_made_once(tmp_path):
    """The key is for its owner alone, and a second start uses the same pair."""
    first = make_certificate(tmp_path)
    content = first[0].read_bytes()
    assert first[1].stat().st_mode & 0o777 == 0o600
    assert make_certificate(tmp_path)[0].read_bytes() == content


def test_a_port_that_is_taken_is_an_error():
    """Nobody is told a line that is not true."""
    process, line = start()
    port = int(line["books_url"].rpartition(":")[2])
    with pytest.raises(OSError, match=r"in use"):
        serve(SandboxOptions(books_port=port))
    assert stop(process)[0] == 0
