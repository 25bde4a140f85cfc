"""The client: where the key goes, what is repeated, how long it waits."""

from __future__ import annotations

import contextlib
import logging
import pickle
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator

import httpx
import pytest

from ps_qb_pipeline.errors import NotAShop, SettingsError, ShopRefused, ShopUnavailable
from ps_qb_pipeline.prestashop import client
from ps_qb_pipeline.prestashop.client import Limits, Shop
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline_tests.prestashop.shop_double import EPOCH, KEY, ShopDouble
from ps_qb_pipeline_tests.prestashop.world import shop_with

ORDERS = RESOURCES["orders"]


def test_key_travels_in_the_authorization_header_only(caplog: pytest.LogCaptureFixture) -> None:
    """Neither address, log, error, representation nor fact holds it."""
    caplog.set_level(logging.DEBUG)
    double = shop_with(1)
    shop = double.shop()
    shop.rows(ORDERS)
    double.before = lambda d, m, p, q: httpx.Response(
        302, headers={"Location": f"http://x.test/?ws_key={KEY}"}
    )
    with pytest.raises(NotAShop) as caught:
        shop.rows(ORDERS)
    for request in double.requests:
        assert request.headers["Authorization"] == f"Basic {b64encode(f'{KEY}:'.encode()).decode()}"
        assert KEY not in str(request.url)
        assert "ws_key" not in str(request.url)
    shown = [caplog.text, str(caught.value), repr(caught.value), repr(caught.value.facts), repr(shop)]
    assert not any(KEY in text or b64encode(KEY.encode()).decode()[:20] in text for text in shown)


@pytest.mark.parametrize("key", ["", "a b\n", "ключ" * 8, "a:b"])
def test_key_that_cannot_be_one_is_refused_before_anything_is_sent(key: str) -> None:
    """The message does not repeat it."""
    with pytest.raises(SettingsError) as caught:
        Shop("http://x.test", key)
    assert not key.strip() or key not in str(caught.value)


def test_address_may_end_in_api_or_a_slash() -> None:
    """People paste either."""
    assert {Shop(url, KEY).url for url in ("https://x.test", "https://x.test/", "https://x.test/api/")} == {
        "https://x.test"
    }


def test_redirects_are_not_followed() -> None:
    """A redirect is a wrong address, and the second host never sees the key."""
    double = shop_with(1)
    double.before = lambda d, m, p, q: httpx.Response(
        301, headers={"Location": "https://evil.test/api/orders"}
    )
    with pytest.raises(NotAShop, match=r"evil\.test"):
        double.shop().rows(ORDERS)
    assert [request.url.host for request in double.requests] == ["127.0.0.1"]


def test_reads_are_repeated_after_an_outage() -> None:
    """A read that fails twice and then answers is a read that answers."""
    double = shop_with(2)
    failures = iter([500, 503])

    def fail(double: ShopDouble, *_: object) -> httpx.Response | None:
        status = next(failures, None)
        return double.answer(status, b"", "text/html") if status else None

    double.before = fail
    shop = double.shop()
    assert shop.rows(ORDERS).size == 2
    assert shop.requests == 3


def test_refusals_are_not_repeated() -> None:
    """A permanent error code costs one request."""
    double = shop_with(1)
    double.before = lambda d, m, p, q: d.errors(500, 32, 3, 3, 3, 3)
    shop = double.shop()
    with pytest.raises(ShopRefused):
        shop.rows(ORDERS)
    assert shop.requests == 1


def test_writes_are_never_repeated() -> None:
    """After a write whose outcome is unknown somebody has to look first."""
    double = shop_with(1)
    double.before = lambda d, m, p, q: d.answer(500, b"", "text/html")
    shop = double.shop()
    with pytest.raises(ShopUnavailable):
        shop.write("POST", "messages", b"<prestashop/>")
    assert shop.requests == 1


def test_cookies_are_not_sent_back() -> None:
    """Answers without a body may set one; each request stands for itself."""
    double = shop_with(1)
    cookie = {"Set-Cookie": "PrestaShop-x=1; path=/"}
    once = iter([1])
    double.before = lambda d, m, p, q: d.answer(500, b"", "text/html", **cookie) if next(once, None) else None
    double.shop().rows(ORDERS)
    assert len(double.requests) == 2
    assert not any("cookie" in request.headers for request in double.requests)


def test_clock_and_version_of_the_shop_are_noted() -> None:
    """From the headers of any answer."""
    shop = shop_with(1).shop()
    shop.rows(ORDERS)
    assert (shop.version, shop.server_time) == ("9.1.4", EPOCH)
    assert shop.clock_skew is not None


def test_column_that_an_older_shop_lacks_is_left_out_from_then_on() -> None:
    """The refusal names the field; the row has it empty; the next read does not ask again."""
    double = shop_with(1)
    del double.row("orders", 1)["note"]
    refusal = 'Unable to display this field "note". However, these are available: id, id_address_delivery'

    def old(double: ShopDouble, method: str, path: str, query: dict[str, str]) -> httpx.Response | None:
        return double.errors(400, 35, message=refusal) if ",note," in query.get("display", "") else None

    double.before = old
    shop = double.shop()
    assert shop.rows(ORDERS).records[0].values["note"] == ""
    shop.rows(ORDERS)
    assert shop.requests == 3


def test_column_that_every_shop_has_is_not_left_out() -> None:
    """Then something is wrong with the shop, and the message names the field."""
    double = shop_with(1)
    double.before = lambda d, m, p, q: d.errors(
        400, 35, message='Unable to display this field "total_paid". x'
    )
    with pytest.raises(ShopRefused, match="total_paid"):
        double.shop().rows(ORDERS)


def test_language_that_is_not_active_is_no_longer_asked_for() -> None:
    """Code 81; texts then come in the first language."""
    double = shop_with(1)
    double.before = lambda d, m, p, q: d.errors(400, 81) if "language" in q else None
    shop = double.shop()
    shop.language = 7
    assert shop.rows(RESOURCES["products"]).records[0].values["name"] == "Pen"
    assert shop.language is None


def test_address_longer_than_hosts_take_is_not_sent() -> None:
    """It is refused here, so that the caller divides it."""
    double = shop_with(1)
    with pytest.raises(ShopRefused, match="too long"):
        double.shop().rows(ORDERS, {"id": f"[{'|'.join('1234567' for _ in range(900))}]"})
    assert double.calls == []


def test_errors_can_cross_process_borders() -> None:
    """Dagster pickles them."""
    double = shop_with(1)
    double.before = lambda d, m, p, q: d.errors(500, 32)
    with pytest.raises(ShopRefused) as caught:
        double.shop().rows(ORDERS)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.facts) == (str(caught.value), caught.value.facts)


@pytest.fixture
def host() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """A real socket whose one answer is written by a function; yields the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(reply: Callable[[socket.socket], None]) -> str:
        def accept() -> None:
            while True:
                try:
                    conversation, _ = listener.accept()
                except OSError:
                    return
                with conversation:
                    conversation.recv(65536)
                    with contextlib.suppress(OSError):
                        reply(conversation)

        threads.append(threading.Thread(target=accept, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nPSWS-Version: 9.1.4\r\n"


def test_body_cut_short_is_an_outage(host: Callable[[Callable[[socket.socket], None]], str]) -> None:
    """A connection that breaks in the middle of a body yields nothing."""
    url = host(lambda to: to.sendall(HEAD + b'Content-Length: 500\r\n\r\n{"orders":[{"id":1}'))
    with pytest.raises(ShopUnavailable, match="broke"):
        Shop(url, KEY, limits=Limits(attempts=1)).rows(ORDERS)


def test_body_that_drips_is_given_up_at_the_deadline(
    host: Callable[[Callable[[socket.socket], None]], str],
) -> None:
    """Each byte comes in time; the whole does not."""

    def drip(to: socket.socket) -> None:
        to.sendall(HEAD + b"Content-Length: 500\r\n\r\n")
        for _ in range(100):
            to.sendall(b" ")
            time.sleep(0.02)

    url = host(drip)
    with pytest.raises(ShopUnavailable, match="took longer"):
        Shop(url, KEY, limits=Limits(attempts=1, total=0.1)).rows(ORDERS)


def test_body_without_end_is_given_up_at_its_limit(
    host: Callable[[Callable[[socket.socket], None]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded whatever is sent."""
    monkeypatch.setattr(client, "BODY_LIMIT", 1000)
    url = host(lambda to: to.sendall(HEAD + b"Content-Length: 900000\r\n\r\n" + b" " * 900000))
    with pytest.raises(ShopUnavailable, match="larger than"):
        Shop(url, KEY, limits=Limits(attempts=1)).rows(ORDERS)


def test_no_connection_says_so() -> None:
    """The address is named, the key is not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ShopUnavailable, match=f"no connection to http://127.0.0.1:{port}"):
        Shop(f"http://127.0.0.1:{port}", KEY, limits=Limits(attempts=1)).rows(ORDERS)
