"""Trouble on the way, and the file that a shop lives in."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from ps_qb_pipeline.errors import SettingsError, StorageError
from ps_qb_pipeline.sandbox.shop.app import create_app
from ps_qb_pipeline_tests.sandbox.shop.asking import KEY, Asked, codes


@pytest.fixture
def asked() -> Asked:
    return Asked("boutique")


def test_a_fault_hits_as_often_as_said_and_only_what_it_names(asked):
    """Skipped first, then hit, then gone."""
    asked.control(fault={"kind": "empty", "status": 503, "resource": "orders", "skip": 1, "times": 2})
    statuses = [asked.get("/api/orders?limit=1").status_code for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    asked.control(fault={"kind": "empty", "resource": "customers"})
    assert asked.get("/api/orders?limit=1").status_code == 200
    assert asked.get("/api/customers?limit=1").status_code == 500
    asked.control(faults="clear")
    assert asked.get("/api/customers?limit=1").status_code == 200


def test_a_maintenance_page_and_a_proxy_s_page_are_html(asked):
    """One with 200, one with 502; neither looks like the web service."""
    asked.control(fault={"kind": "maintenance", "times": 1})
    answer = asked.get("/api/orders?output_format=JSON")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "psws-version" not in answer.headers
    asked.control(fault={"kind": "proxy", "status": 502, "times": 1})
    answer = asked.get("/api/orders")
    assert answer.status_code == 502
    assert "Bad Gateway" in answer.text


def test_big_pages_use_up_memory_and_small_ones_do_not(asked):
    """Bare lists are cheap."""
    asked.control(fault={"kind": "memory_limit", "rows": 20})
    big = asked.get("/api/orders?display=full&limit=50&output_format=JSON")
    assert (big.status_code, big.content) == (500, b"")
    assert asked.get("/api/orders?display=full&limit=20&output_format=JSON").status_code == 200
    assert asked.get("/api/orders?output_format=JSON").status_code == 200


def test_a_truncated_body_no_longer_has_its_checksum(asked):
    """The header is that of the whole."""
    whole = asked.get("/api/orders?output_format=JSON")
    asked.control(fault={"kind": "truncated", "keep": 0.4, "times": 1})
    cut = asked.get("/api/orders?output_format=JSON")
    assert cut.headers["content-sha1"] == whole.headers["content-sha1"]
    assert cut.content == whole.content[: int(len(whole.content) * 0.4)]
    with pytest.raises(ValueError, match=r"."):
        json.loads(cut.content)


def test_a_php_warning_turns_a_good_answer_into_500(asked):
    """In JSON the good content stays beside the error, in XML it is gone."""
    asked.control(fault={"kind": "php_warning", "times": 2})
    answer = asked.get("/api/orders?limit=1&output_format=JSON")
    assert answer.status_code == 500
    assert set(answer.json()) == {"orders", "errors"}
    assert codes(asked.get("/api/orders?limit=1")) == [5]


def test_a_control_character_breaks_xml_only(asked):
    """JSON escapes it."""
    asked.control(fault={"kind": "control_characters", "times": 2})
    assert asked.get("/api/orders?limit=1&display=full&output_format=JSON").json()
    with pytest.raises(ET.ParseError):
        ET.fromstring(asked.get("/api/orders?limit=1&display=full").content)


def test_a_redirect_points_elsewhere(asked):
    """With the status asked for."""
    asked.control(
        fault={"kind": "redirect", "status": 301, "location": "https://new.example.test/", "times": 1}
    )
    answer = asked.get("/api/orders")
    assert (answer.status_code, answer.headers["location"]) == (301, "https://new.example.test/")


def test_a_write_behind_an_empty_answer_is_done_only_when_said(asked):
    """``served`` tells an outage before the shop from one after it."""
    order = asked.ids("/api/orders")[0]
    body = f"<order><id>{order}</id><note>done</note></order>"
    asked.control(fault={"kind": "empty", "times": 1})
    assert asked.send("PATCH", "/api/orders", body).status_code == 500
    assert asked.shop.get("orders", order)["note"] != "done"
    asked.control(fault={"kind": "empty", "status": 504, "times": 1, "served": True})
    assert asked.send("PATCH", "/api/orders", body).status_code == 504
    assert asked.shop.get("orders", order)["note"] == "done"


@pytest.mark.parametrize(("how", "growth"), [("touch", 0), ("insert", 3), ("delete", -3)])
def test_rows_change_while_somebody_pages(asked, how, growth):
    """After each page one row."""
    before = asked.ids("/api/orders?sort=[id_ASC]")
    dates = {r["id"]: r["date_upd"] for r in asked.shop.rows("orders")}
    asked.control(fault={"kind": "rows_change", "resource": "orders", "how": how, "times": 3})
    for page in range(3):
        asked.get(f"/api/orders?sort=[id_ASC]&limit={page * 10},10")
    assert len(asked.ids("/api/orders")) == len(before) + growth
    if how == "touch":
        assert {r["id"]: r["date_upd"] for r in asked.shop.rows("orders")} != dates


def test_requests_are_counted_by_resource(asked):
    """So that a test can say what a load costs."""
    asked.get("/api/orders?limit=1")
    asked.get("/api/orders/40")
    assert asked.control(requests="reset")["requests"] == {"GET orders": 2}
    assert asked.client.get("/_control").json()["requests"] == {}


# ------------------------------------------------------------------------------------ the file


def test_a_shop_comes_back_from_its_file_as_it_was_left(tmp_path):
    """Rows, clock, settings; the file holds only what happened."""
    state = tmp_path / "state" / "shop.sqlite"
    first = Asked("boutique", state_path=state)
    first.control(clock={"freeze": "2026-11-05 12:00:00"}, set={"php_warnings": False})
    told = first.control(place_order={"way": "wire", "seed": 4})
    first.send("DELETE", f"/api/orders/{first.ids('/api/orders')[0]}")
    second = Asked("boutique", state_path=state)
    for name, table in first.shop.tables.items():
        assert second.shop.rows(name) == first.shop.rows(name), name
        assert second.shop.tables[name].next_id() == table.next_id()
    assert second.shop.now() == "2026-11-05 12:00:00"
    assert second.get("/api/orders?sort=[id]").status_code == 400
    assert second.shop.get("orders", told["order"])["reference"] == told["reference"]
    assert state.stat().st_size < 200_000


def test_a_reset_brings_the_first_rows_back(tmp_path):
    """And empties the file."""
    asked = Asked("boutique", state_path=tmp_path / "shop.sqlite")
    before = asked.shop.rows("orders")
    asked.control(life={"seed": 1, "events": 10})
    asked.control(reset={})
    assert asked.shop.rows("orders") == before
    assert Asked("boutique", state_path=tmp_path / "shop.sqlite").shop.rows("orders") == before


def test_a_file_of_another_shop_is_refused(tmp_path):
    """Its changes would make no sense here."""
    Asked("boutique", state_path=tmp_path / "shop.sqlite")
    with pytest.raises(StorageError, match="not of empty"):
        create_app("empty", key=KEY, state_path=tmp_path / "shop.sqlite")


def test_any_directory_of_lists_is_a_shop(tmp_path):
    """As the web service shows them: types as received, absent columns unset."""
    rows = [
        {
            "id": 7,
            "id_shop": 1,
            "reference": "ABC",
            "total_paid": "1.500000",
            "date_upd": "2026-01-02 03:04:05",
        }
    ]
    (tmp_path / "orders.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "notes.json").write_text("no list", encoding="utf-8")
    asked = Asked("boutique", shop_dir=tmp_path)
    assert asked.rows("/api/orders?display=[id,reference,total_paid,note]") == [
        {"id": 7, "note": "", "total_paid": "1.500000", "reference": "ABC"}
    ]
    assert asked.rows("/api/customers") == []


def test_settings_that_make_no_shop_are_refused(tmp_path):
    """In words."""
    with pytest.raises(SettingsError, match="32"):
        create_app("boutique", key="short")
    with pytest.raises(SettingsError, match=r"orders\.json"):
        create_app("boutique", key=KEY, shop_dir=tmp_path)
    (tmp_path / "orders.json").write_text("{", encoding="utf-8")
    with pytest.raises(SettingsError, match="list of rows"):
        create_app("boutique", key=KEY, shop_dir=tmp_path)
    with pytest.raises(SettingsError, match="unknown"):
        create_app("nonsense", key=KEY)  # type: ignore[arg-type]
