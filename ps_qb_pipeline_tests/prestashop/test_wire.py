"""What bytes mean: lists, documents, errors."""

from __future__ import annotations

import hashlib
import json
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.errors import NotAShop, ShopError, ShopRefused, ShopUnauthorized, ShopUnavailable
from ps_qb_pipeline.prestashop import wire
from ps_qb_pipeline.prestashop.wire import Answer, Call

CALL = Call("GET", "orders")


def answer(body: bytes, status: int = 200, media_type: str = "application/json", **headers: str) -> Answer:
    sent = {
        "content-type": media_type,
        "psws-version": "9.1.4",
        "content-sha1": hashlib.sha1(body).hexdigest(),
    }
    return Answer(status, sent | {name.replace("_", "-"): value for name, value in headers.items()}, body)


def objects(body: bytes, **options: object) -> list[object]:
    return [fields for fields, _ in wire.list_objects(answer(body, **options), CALL, "orders")]


def test_each_object_keeps_its_own_text() -> None:
    """The text beside each object is what was received, escapes and spaces included."""
    body = b' {"orders" : [ {"id":1,"note":"\\u00e9\\/"} , {"id":2} ] } \n'
    found = wire.list_objects(answer(body), CALL, "orders")
    assert found == [({"id": 1, "note": "é/"}, '{"id":1,"note":"\\u00e9\\/"}'), ({"id": 2}, '{"id":2}')]


def test_byte_order_mark_is_passed_over() -> None:
    """Some hosts save PHP files with one, and then every answer begins with it."""
    assert objects(b'\xef\xbb\xbf{"orders":[{"id":1}]}') == [{"id": 1}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'{"orders":{}}',
        b'{"orders":[{"id":1}',
        b'{"orders":[{"id":1}]',
        b'{"orders":[{"id":1},]}',
        b'{"orders":[{"id":1}]} <script>x</script>',
        b'{"customers":[{"id":1}]}',
        b'{"orders":[{"id":NaN}]}',
        b'{"orders":[{"id":1}],"orders":[]}',
        b'{"orders":[' + b"[" * 5000,
        b'{"orders":[{"id":' + b"9" * 5000 + b"}]}",
        b'{"orders":[{"id":1e99999999999999999999}]}',
        b"[[]]",
        b"\xff",
    ],
)
def test_anything_but_the_list_asked_for_is_an_outage(body: bytes) -> None:
    """Nothing is taken from an answer that is not wholly the list; a smaller page may help."""
    with pytest.raises(ShopUnavailable) as caught:
        objects(body)
    assert caught.value.facts["smaller"]


@pytest.mark.parametrize(
    ("status", "codes", "kind"),
    [
        (401, [17], ShopUnauthorized),
        (401, [18], ShopUnauthorized),
        (401, [20, 21], ShopUnauthorized),
        (401, [26], ShopUnauthorized),
        (405, [25], ShopUnauthorized),
        (403, [132], ShopUnauthorized),
        (405, [101], ShopRefused),
        (400, [27], ShopRefused),
        (400, [32], ShopRefused),
        (500, [32, 3, 3, 3, 3], ShopRefused),
        (200, [35], ShopRefused),
        (400, [85], ShopRefused),
        (500, [46], ShopRefused),
        (500, [140, 46], ShopRefused),
        (500, [127], ShopRefused),
        (404, [92], ShopRefused),
        (500, [999], ShopRefused),
        (503, [22], ShopUnavailable),
        (500, [3], ShopUnavailable),
        (200, [2, 32], ShopUnavailable),
        (500, [15], ShopUnavailable),
    ],
)
@pytest.mark.parametrize("form", ["json", "xml"])
def test_first_error_code_decides_whatever_the_status(
    status: int, codes: list[int], kind: type[ShopError], form: str
) -> None:
    """In both forms, with the codes kept for machines."""
    if form == "json":
        body = json.dumps({"errors": [{"code": code, "message": "m"} for code in codes]}).encode()
        got = answer(body, status)
    else:
        inner = "".join(
            f"<error><code><![CDATA[{code}]]></code><message>m</message></error>" for code in codes
        )
        body = f'<?xml version="1.0"?>\n<prestashop><errors>{inner}</errors></prestashop>'.encode()
        got = answer(body, status, "text/xml;charset=utf-8")
    with pytest.raises(kind) as caught:
        wire.list_objects(got, CALL, "orders")
    assert type(caught.value) is kind
    assert caught.value.facts["codes"] == codes


@pytest.mark.parametrize(
    ("status", "kind", "way_out"),
    [
        (301, NotAShop, "shop.url"),
        (302, NotAShop, "shop.url"),
        (401, ShopUnauthorized, "Authorization"),
        (403, NotAShop, "firewall"),
        (404, NotAShop, "shop.url"),
        (408, ShopUnavailable, "page_size"),
        (414, ShopRefused, "too long"),
        (418, NotAShop, "shop.url"),
        (429, ShopUnavailable, "again"),
        (500, ShopUnavailable, "page_size"),
        (502, ShopUnavailable, "page_size"),
        (504, ShopUnavailable, "page_size"),
    ],
)
def test_status_without_error_codes_says_what_to_do(status: int, kind: type[ShopError], way_out: str) -> None:
    """Each message names the call, the status and a way out."""
    with pytest.raises(kind, match=way_out) as caught:
        wire.list_objects(Answer(status, {"content-type": "text/html"}, b"<html>?</html>"), CALL, "orders")
    assert str(caught.value).startswith("GET orders: ")
    assert caught.value.facts["status"] == status


def test_too_many_requests_waits_as_long_as_it_is_told() -> None:
    """Retry-After in seconds is kept, a minute is assumed otherwise, two are the most."""
    for header, wanted in (("7", 7.0), ("", 60.0), ("soon", 60.0), ("86400", 120.0)):
        with pytest.raises(ShopUnavailable) as caught:
            wire.list_objects(Answer(429, {"retry-after": header}, b""), CALL, "orders")
        assert caught.value.facts["retry_after"] == wanted


def test_messages_that_may_echo_data_are_not_repeated() -> None:
    """A refused body is echoed by the shop; it must not reach a log."""
    body = json.dumps({"errors": [{"code": 127, "message": "<email>a@b.test</email>"}]}).encode()
    with pytest.raises(ShopRefused) as caught:
        wire.list_objects(answer(body, 500), CALL, "orders")
    assert "a@b.test" not in str(caught.value)


def test_place_of_a_php_warning_is_told() -> None:
    """File and line are what the merchant's developer needs."""
    said = "[PHP Warning #2] Undefined array key (/modules/x/x.php, line 12)"
    body = json.dumps({"errors": [{"code": 3, "message": said}]}).encode()
    with pytest.raises(ShopUnavailable, match=r"/modules/x/x\.php, line 12"):
        wire.list_objects(answer(body, 500), CALL, "orders")


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE x [<!ENTITY a "b">]><prestashop>&a;</prestashop>',
        b'<!DOCTYPE x SYSTEM "http://example.test/x.dtd"><prestashop/>',
        b"<prestashop><x>\x01</x></prestashop>",
        b"<prestashop><![CDATA[a]]>]]></prestashop>",
        b"<html><body/></html>",
        b"<prestashop>",
        b"plain",
    ],
)
def test_hostile_or_broken_xml_is_an_outage(body: bytes) -> None:
    """No entity is expanded, no document type read, no broken document taken."""
    with pytest.raises(ShopUnavailable):
        wire.document(answer(body, media_type="text/xml;charset=utf-8"), CALL)


def test_what_stands_around_an_xml_document_is_passed_over() -> None:
    """Modules that print spaces before or scripts after it are known."""
    body = b' \n<?xml version="1.0"?><prestashop><a/></prestashop>\n'
    assert wire.document(answer(body, media_type="text/xml"), CALL).find("a") is not None


@settings(deadline=None)
@given(st.text())
def test_every_text_survives_the_way_into_xml(text: str) -> None:
    """Parsed again, the value is the text, with U+FFFD where XML has no such character."""
    text = "".join(character for character in text if not "\ud800" <= character <= "\udfff")
    root = ET.fromstring(wire.entity("order", [("id", 1), ("note", text)]))
    assert (root.findtext("order/note") or "") == wire.clean_text(text)


@pytest.mark.parametrize(
    "around", [(b"\n\n ", b""), (b"", b"<script>track({a:[1]});</script>"), (b"<!-- x -->", b"\n<p>}</p>")]
)
def test_text_that_modules_print_around_an_answer_is_taken_off_by_its_digest(
    around: tuple[bytes, bytes],
) -> None:
    """What is left has the Content-Sha1 that PrestaShop computed, so nothing of it is missing."""
    before, after = around
    for body, read in (
        (b'{"orders":[{"id":1}]}', lambda got: wire.list_objects(got, CALL, "orders")),
        (b"[]", lambda got: wire.list_objects(got, CALL, "orders")),
    ):
        whole = answer(body)
        got = Answer(200, whole.headers, before + body + after)
        assert read(got) == read(whole)
    body = b"<?xml version='1.0'?><prestashop><a/></prestashop>"
    got = Answer(200, answer(body, media_type="text/xml").headers, before + body + after)
    assert wire.document(got, CALL).find("a") is not None


def test_cut_body_is_not_saved_by_taking_something_off() -> None:
    """No part of it has the digest."""
    whole = answer(b'{"orders":[{"id":1},{"id":2}]}')
    with pytest.raises(ShopUnavailable):
        wire.list_objects(Answer(200, whole.headers, b'{"orders":[{"id":1}]}'), CALL, "orders")
