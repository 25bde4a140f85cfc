"""The sandbox shop tells of changed orders, as a module of a shop does."""

import asyncio
import hashlib
import hmac
import json

import httpx
import pytest

from ps_qb_pipeline.sandbox.shop import webhooks
from ps_qb_pipeline.sandbox.shop.app import create_app
from ps_qb_pipeline.sandbox.shop.control import BadCommand, run

SECRET = "a secret of the shop"
CLIENT = httpx.AsyncClient


@pytest.fixture
def shop():
    opened = create_app("boutique").state.shop
    run(opened, {"webhooks": {"url": "http://gateway.test/hook", "secret": SECRET}})
    return opened


def told(shop, monkeypatch, *answers: int) -> list[dict]:
    """What arrives at the address while it answers with these statuses, then with 200."""
    statuses, bodies = list(answers), []

    def answer(request: httpx.Request) -> httpx.Response:
        signed = "sha256=" + hmac.new(SECRET.encode(), request.content, hashlib.sha256).hexdigest()
        assert request.headers["x-webhook-signature"] == signed
        status = statuses.pop(0) if statuses else 200
        if status == 200:
            bodies.append(json.loads(request.content))
        return httpx.Response(status)

    monkeypatch.setattr(
        webhooks.httpx, "AsyncClient", lambda **_: CLIENT(transport=httpx.MockTransport(answer))
    )
    monkeypatch.setattr(webhooks, "PAUSES", (0.01,))

    async def until_quiet() -> None:
        task = asyncio.create_task(shop.webhooks.run())
        while shop.webhooks.waiting or statuses:  # noqa: ASYNC110 - the sandbox tells nobody
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()

    asyncio.run(until_quiet())
    return bodies


def test_a_paid_order_is_told_once_and_signed(shop, monkeypatch):
    """Payment, history and header change together; the body names the order and when it was sent."""
    order = run(shop, {"place_order": {"way": "wire", "seed": 3}})["order"]
    run(shop, {"pay": {"order": order}})
    bodies = told(shop, monkeypatch)
    assert [(body["resource"], body["id"]) for body in bodies] == [("orders", order)]
    assert set(bodies[0]) == {"resource", "id", "event", "timestamp", "delivery"}


def test_what_was_refused_is_sent_again(shop, monkeypatch):
    """Every order arrives although the address fails at first."""
    orders = [run(shop, {"place_order": {"seed": seed}})["order"] for seed in range(3)]
    bodies = told(shop, monkeypatch, 503, 500)
    assert sorted({body["id"] for body in bodies}) == sorted(orders)
    assert shop.webhooks.failures == 0


def test_a_refund_tells_its_order(shop, monkeypatch):
    """A slip leaves the order's own row alone, and the order is named all the same."""
    order = run(shop, {"place_order": {"way": "card", "seed": 5}})["order"]
    told(shop, monkeypatch)
    run(shop, {"refund": {"order": order}})
    assert order in {body["id"] for body in told(shop, monkeypatch)}


def test_without_an_address_nothing_is_kept(monkeypatch):
    """A shop whose webhooks are off gathers nothing, and unknown settings are refused."""
    shop = create_app("boutique").state.shop
    run(shop, {"place_order": {"seed": 1}})
    assert not shop.webhooks.waiting
    with pytest.raises(BadCommand, match="url, secret"):
        run(shop, {"webhooks": {"adress": "http://x"}})
