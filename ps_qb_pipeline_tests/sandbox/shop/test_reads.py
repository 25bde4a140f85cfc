"""Reads of the sandbox shop: each surprise of the web service, by name."""

from __future__ import annotations

import hashlib
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ps_qb_pipeline_tests.sandbox.shop.asking import KEY, Asked, codes


@pytest.fixture(scope="module")
def boutique() -> Asked:
    return Asked("boutique")


@pytest.fixture(scope="module")
def recorded() -> Asked:
    return Asked("recorded")


def test_the_boutique_holds_at_least_150_orders_with_everything_around_them(boutique):
    """Every order has its customer, addresses, lines, currency and states in the bundle."""
    orders = boutique.rows("/api/orders?display=full")
    assert len(orders) >= 150
    shop = boutique.shop
    for order in orders:
        for column, resource in (
            ("id_customer", "customers"),
            ("id_address_invoice", "addresses"),
            ("id_address_delivery", "addresses"),
            ("id_currency", "currencies"),
            ("current_state", "order_states"),
        ):
            assert order[column] in shop.tables[resource], (order["id"], column)
        assert shop.rows("order_details", id_order=order["id"])


def test_an_empty_json_list_is_an_array(boutique):
    """No key, no object: ``[]``, 200, with its checksum."""
    answer = boutique.get("/api/orders?filter[id]=[999999]&output_format=JSON")
    assert (answer.status_code, answer.text) == (200, "[]")
    assert answer.headers["content-sha1"] == hashlib.sha1(b"[]").hexdigest()


def test_greater_or_equal_is_no_operator_and_drops_the_filter(boutique):
    """``>=`` matches no operator, so all rows return."""
    everything = boutique.ids("/api/orders")
    assert boutique.ids("/api/orders?filter[date_upd]=>=[2026-10-01 00:00:00]&date=1") == everything


def test_a_json_single_drops_every_falsy_field_and_a_list_keeps_them(recorded):
    """The same row twice: quantity 0 vanishes from the single."""
    single = recorded.get("/api/stock_availables/11?output_format=JSON").json()["stock_available"]
    listed = recorded.rows("/api/stock_availables?filter[id]=[11]&display=full")[0]
    assert "quantity" not in single
    assert listed["quantity"] == 0
    assert recorded.get("/api/stock_availables/11?display=full&output_format=JSON").json()[
        "stock_availables"
    ] == [listed]


def test_an_unknown_id_is_404_with_no_body_and_no_content_type(boutique):
    """Both formats alike."""
    for target in ("/api/orders/999999", "/api/orders/999999?output_format=JSON"):
        answer = boutique.get(target)
        assert (answer.status_code, answer.content) == (404, b"")
        assert "content-type" not in answer.headers


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("schema=foo", 28),
        ("filter[order_rows][product_id]=1", 31),
        ("filter[foo]=1", 32),
        ("filter[date_upd]=[2026-01-01]", 32),
        ("filter[id]=", 33),
        ("filter[shipping_number]=1", 34),
        ("display=[id,foo]", 35),
        ("display=[id,order_rows]", 35),
        ("display=id,reference", 36),
        ("sort=[id]", 37),
        ("sort=[foo_ASC]", 38),
        ("sort=[date_upd_ASC]", 38),
        ("limit=1,2,3", 39),
    ],
)
def test_a_bad_question_is_500_with_its_true_code_first_and_400_without_php_warnings(boutique, query, code):
    """Decide by the first code: the status depends on PHP's error reporting."""
    answer = boutique.get(f"/api/orders?{query}&output_format=JSON")
    assert answer.status_code == 500
    assert codes(answer) == [code, 3, 3, 3, 3]
    quiet = Asked("empty")
    quiet.control(set={"php_warnings": False})
    answer = quiet.get(f"/api/orders?{query}")
    assert (answer.status_code, codes(answer)) == (400, [code])


def test_credentials_are_refused_in_the_core_s_ways(boutique):
    """None: plain text. Empty, short, unknown: codes 17, 18, 20 and 21. PSWS-Version is 0 then."""
    nobody = boutique.client.get("/api/orders")
    assert (nobody.status_code, nobody.text) == (401, "401 Unauthorized")
    assert "psws-version" not in nobody.headers
    for key, expected in (("", [17]), ("abc", [18]), ("X" * 32, [20, 21])):
        answer = boutique.client.get("/api/orders", auth=(key, ""))
        assert (answer.status_code, codes(answer)) == (401, expected)
        assert answer.headers["psws-version"] == "0"
    assert boutique.client.get(f"/api/orders?limit=1&ws_key={KEY}").status_code == 200


def test_a_missing_right_is_401_code_26_and_a_missing_method_405_code_25():
    """A key that may only read orders."""
    asked = Asked("empty")
    limited = "L" * 32
    asked.control(key={"key": limited, "rights": {"orders": ["GET"]}})
    answer = asked.client.get("/api/customers", auth=(limited, ""))
    assert (answer.status_code, codes(answer)) == (401, [26])
    answer = asked.client.post("/api/orders", auth=(limited, ""), content=b"<prestashop/>")
    assert (answer.status_code, codes(answer)) == (405, [25])
    root = ET.fromstring(asked.client.get("/api/", auth=(limited, "")).content)
    assert [node.tag for node in root[0]] == ["orders"]
    assert root[0][0].get("get") == "true"
    assert root[0][0].get("post") == "false"


def test_another_host_is_redirected_to_the_shop_s_home_page(boutique):
    """302, which no client should follow; so is an unknown shop."""
    for target, headers in (("/api/orders", {"host": "other.example.test"}), ("/api/orders?id_shop=9", {})):
        answer = boutique.client.get(target, auth=(KEY, ""), headers=headers)
        assert answer.status_code == 302
        assert answer.headers["location"].startswith("http://127.0.0.1:8781/?url=orders")
    assert boutique.client.get("/").headers["content-type"].startswith("text/html")


def test_json_is_asked_for_in_capitals_or_by_header_and_the_root_in_json_dies(boutique):
    """``json`` gives XML; ``/api/?output_format=JSON`` gives an empty 500."""
    assert (
        boutique.get("/api/orders?limit=1&output_format=json").headers["content-type"].startswith("text/xml")
    )
    assert boutique.get("/api/orders?limit=1", **{"Io-Format": "JSON"}).json() == {
        "orders": [{"id": boutique.ids("/api/orders")[0]}]
    }
    dead = boutique.get("/api/?output_format=JSON")
    assert (dead.status_code, dead.content) == (500, b"")
    assert "psws-version" not in dead.headers


def test_the_checksum_of_a_known_answer_saves_its_body(boutique):
    """304 with the header ``Local-Content-Sha1``."""
    first = boutique.get("/api/orders?limit=3")
    again = boutique.get("/api/orders?limit=3", **{"Local-Content-Sha1": first.headers["content-sha1"]})
    assert (again.status_code, again.content) == (304, b"")


def test_rows_come_out_of_order_without_sort(boutique):
    """Payments follow the index of their references."""
    payments = boutique.rows("/api/order_payments?display=[id,order_reference]")
    ids = [row["id"] for row in payments]
    assert ids != sorted(ids)
    assert [row["order_reference"] for row in payments] == sorted(row["order_reference"] for row in payments)
    assert boutique.ids("/api/order_payments?sort=[id_ASC]") == sorted(ids)


def test_a_date_filter_on_a_resource_without_that_date_finds_nothing(boutique):
    """The statement fails inside; the answer is 200 and empty."""
    assert boutique.rows("/api/order_payments?date=1&filter[date_upd]=>[2000-01-01]") == []
    assert boutique.rows("/api/order_payments?date=1&sort=[date_upd_ASC]") == []


def test_iso_dates_fail_silently_in_a_range_and_work_after_a_sign(boutique):
    """``[a,b]`` with letters is one literal."""
    assert (
        boutique.rows("/api/orders?date=1&filter[date_upd]=[2026-01-01T00:00:00,2026-12-31T00:00:00]") == []
    )
    assert boutique.rows("/api/orders?date=1&filter[date_upd]=>[2026-01-01T00:00:00Z]")


def test_texts_compare_without_case_and_accents(recorded):
    """``pen-001`` finds PEN-001; a French name is found under any language index."""
    assert recorded.ids("/api/products?filter[reference]=[pen-001]") == [1]
    assert recorded.ids("/api/products?filter[reference]=[INK-E01]") == [7]
    assert recorded.ids("/api/products?filter[name][1]=[Stylo%20bleu]") == [1]


def test_one_language_turns_lists_of_texts_into_plain_texts(recorded):
    """``language=1`` or a single active language."""
    assert isinstance(recorded.rows("/api/products?filter[id]=[1]&display=full")[0]["name"], list)
    assert recorded.rows("/api/products?filter[id]=[1]&display=full&language=1")[0]["name"] == "Blue pen"
    answer = recorded.get("/api/products/1?language=99")
    assert (answer.status_code, codes(answer)) == (400, [81])


def test_a_hidden_field_is_dropped_silently(boutique):
    """``order_details.tax_rate`` may be asked for and never comes."""
    assert set(boutique.rows("/api/order_details?display=[id,tax_rate]&limit=1")[0]) == {"id"}


def test_xml_is_not_sanitised_and_json_is():
    """One control character breaks the whole document."""
    asked = Asked("empty")
    asked.control(row={"resource": "customers", "id": 1, "id_shop": 1, "firstname": "A\x0bda"})
    with pytest.raises(ET.ParseError):
        ET.fromstring(asked.get("/api/customers?display=full").content)
    assert asked.rows("/api/customers?display=[id,firstname]") == [{"id": 1, "firstname": "A\x0bda"}]


def test_only_the_default_shop_is_listed_without_id_shop(boutique):
    """Rows of another shop come by id, or with ``id_shop=all``."""
    asked = Asked("boutique")
    asked.control(
        row={"resource": "shops", "id": 2, "id_shop_group": 1, "active": "1", "deleted": "0", "name": "Two"}
    )
    order = asked.ids("/api/orders")[0]
    asked.control(row={"resource": "orders", "id": order, "id_shop": 2})
    assert order not in asked.ids("/api/orders")
    assert order in asked.ids("/api/orders?id_shop=all")
    assert asked.ids("/api/orders?id_shop=2") == [order]
    assert asked.get(f"/api/orders/{order}").status_code == 200


def test_a_long_address_is_the_web_server_s_to_refuse(boutique):
    """The web server takes 8 KiB: 414 with an HTML page."""
    answer = boutique.get("/api/orders?filter[id]=[" + "|".join(str(i) for i in range(1, 2000)) + "]")
    assert answer.status_code == 414
    assert answer.headers["content-type"].startswith("text/html")


def test_unknown_parameters_are_ignored(boutique):
    """``?id=[1,2]`` on GET returns everything."""
    assert boutique.ids("/api/orders?id=[40,41]&foo=bar") == boutique.ids("/api/orders")


@settings(max_examples=20, deadline=None)
@given(
    size=st.integers(1, 90),
    resource=st.sampled_from(["orders", "order_details", "order_payments", "order_slip"]),
)
def test_keyset_pages_of_any_size_hold_each_row_once(boutique, size, resource):
    """``filter[id]=>[last]&sort=[id_ASC]&limit=N`` until a short page."""
    seen: list[int] = []
    while True:
        last = seen[-1] if seen else 0
        page = boutique.ids(f"/api/{resource}?filter[id]=>[{last}]&sort=[id_ASC]&limit={size}")
        seen += page
        if len(page) < size:
            break
    assert seen == sorted(boutique.ids(f"/api/{resource}"))


@settings(max_examples=30, deadline=None)
@given(
    low=st.integers(1, 1070),
    span=st.integers(0, 300),
    state=st.lists(st.integers(1, 13), min_size=1, max_size=3),
)
def test_filters_mean_what_a_plain_loop_over_the_rows_means(boutique, low, span, state):
    """Index or no index: the same rows."""
    rows = boutique.rows("/api/orders?display=[id,current_state,total_paid]")
    states = "|".join(map(str, state))
    expected = [r["id"] for r in rows if low <= r["id"] <= low + span and r["current_state"] in state]
    assert sorted(
        boutique.ids(f"/api/orders?filter[id]=[{low + span},{low}]&filter[current_state]=[{states}]")
    ) == sorted(expected)
    cheap = [r["id"] for r in rows if float(r["total_paid"]) < low]
    assert sorted(boutique.ids(f"/api/orders?filter[total_paid]=<[{low}]")) == sorted(cheap)
