"""The surprises of the web service, one test each, named as they were observed.

Sections refer to the observed contract of PrestaShop 9.1.4.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx
import pytest

from ps_qb_pipeline.errors import NotAShop, ShopRefused, ShopUnauthorized, ShopUnavailable
from ps_qb_pipeline.prestashop.cursors import MemoryCursors
from ps_qb_pipeline.prestashop.extract import extract
from ps_qb_pipeline.prestashop.pages import Pager, records
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline_tests.prestashop.memory import MemoryWarehouse
from ps_qb_pipeline_tests.prestashop.shop_double import KEY, ShopDouble, blank
from ps_qb_pipeline_tests.prestashop.world import shop_with

ORDERS = RESOURCES["orders"]


def ran(double: ShopDouble) -> tuple[MemoryWarehouse, list[tuple[str, str, dict[str, str]]]]:
    warehouse = MemoryWarehouse()
    extract(double.shop(), MemoryCursors(), warehouse)
    return warehouse, double.calls


def refused_by(answer: Any, kind: type[Exception]) -> Exception:
    double = shop_with(1)
    double.before = lambda d, m, p, q: answer(d)
    with pytest.raises(kind) as caught:
        double.shop().rows(ORDERS)
    return caught.value


# 1. Transport


def test_output_format_is_case_sensitive_so_it_is_sent_in_capitals() -> None:
    """``output_format=json`` would answer in XML, and Accept is ignored."""
    _, calls = ran(shop_with(1))
    assert {query["output_format"] for _, path, query in calls if path} == {"JSON"}


def test_resource_list_is_asked_for_in_xml_because_its_json_crashes() -> None:
    """The root in JSON is a 500 with an empty body."""
    double = shop_with(1)
    assert "get" in double.shop().rights()["orders"]
    assert double.calls == [("GET", "", {})]


def test_foreign_host_or_unknown_shop_redirects_to_the_home_page() -> None:
    """A 302 is never followed and never data."""
    error = refused_by(
        lambda d: httpx.Response(302, headers={"Location": "http://x.test/?url=orders"}), NotAShop
    )
    assert "x.test" in str(error)


def test_version_zero_means_the_key_was_not_accepted() -> None:
    """PSWS-Version is 0 then; without a version nothing is believed, not even an empty list."""
    answers = {"PSWS-Version": "0", "Content-Type": "application/json"}
    error = refused_by(lambda d: httpx.Response(200, headers=answers, content=b"[]"), NotAShop)
    assert "PSWS-Version" in str(error)


def test_empty_list_of_another_program_is_not_zero_orders() -> None:
    """Many programs answer ``[]``; only PrestaShop names its version."""
    answers = {"Content-Type": "application/json"}
    error = refused_by(lambda d: httpx.Response(200, headers=answers, content=b"[]"), NotAShop)
    assert "PSWS-Version" in str(error)


def test_maintenance_page_with_status_200_is_an_outage() -> None:
    """HTML is never data."""
    error = refused_by(lambda d: d.answer(200, b"<html>back soon</html>", "text/html"), ShopUnavailable)
    assert "maintenance" in str(error)


def test_body_that_differs_from_its_sha1_is_an_outage() -> None:
    """Truncated or changed on its way."""
    body = b'{"orders":[]}'
    error = refused_by(lambda d: d.answer(200, body, **{"Content-Sha1": "0" * 40}), ShopUnavailable)
    assert "Content-Sha1 differs" in str(error)


def test_host_that_drops_the_authorization_header_is_named() -> None:
    """401 as plain text, without any code, means that no key arrived; the key still goes into no address."""
    answer = httpx.Response(401, headers={"Content-Type": "text/html"}, content=b"401 Unauthorized")
    error = refused_by(lambda d: answer, ShopUnauthorized)
    assert "SetEnvIf Authorization" in str(error)


# 2.1 Shapes


def test_empty_list_is_an_array_without_its_key() -> None:
    """``[]`` with status 200, where a full list is an object."""
    assert shop_with(0).shop().rows(ORDERS).size == 0


def test_list_key_of_slips_is_not_their_resource_name() -> None:
    """``order_slip`` answers ``order_slips``."""
    double = shop_with(1)
    double.tables["order_slip"].append(blank("order_slip", id=1, id_order=1))
    assert double.shop().rows(RESOURCES["order_slip"]).size == 1


def test_single_objects_in_json_lose_falsy_fields_so_lists_are_read() -> None:
    """No request reads ``/resource/id`` for its data."""
    double = shop_with(2)
    shop, warehouse, cursors = double.shop(), MemoryWarehouse(), MemoryCursors()
    extract(shop, cursors, warehouse)
    extract(shop, cursors, warehouse, ids=[1])
    assert not any("/" in path for _, path, _ in double.calls)


def test_unknown_id_is_404_with_an_empty_body() -> None:
    """In both formats, without a content type."""
    double = shop_with(1)
    shop = double.shop()
    assert shop.exists(ORDERS, 1)
    assert not shop.exists(ORDERS, 99)


def test_object_of_another_shop_exists() -> None:
    """404 with code 131: it is there, only not in the shop that was asked."""
    double = shop_with(1)
    double.before = lambda d, m, p, q: d.errors(404, 131)
    assert double.shop().exists(ORDERS, 1)


def test_same_field_is_a_number_in_one_row_and_a_string_in_another() -> None:
    """``shops.active`` was seen as 1 and as "1" within one list."""
    double = shop_with(1)
    double.tables["shops"] = [blank("shops", id=1, active=1), blank("shops", id=2, active="1")]
    assert [row.values["active"] for row in double.shop().rows(RESOURCES["shops"]).records] == [True, True]


def test_string_zero_is_false() -> None:
    """``valid`` is "0" or "1"."""
    double = shop_with(1)
    double.row("orders", 1)["valid"] = "0"
    assert double.shop().rows(ORDERS).records[0].values["valid"] is False


def test_texts_are_plain_when_one_language_is_active() -> None:
    """And a list of languages otherwise."""
    double = shop_with(0)
    double.row("products", 1)["name"] = [{"id": 1, "value": "Pen"}, {"id": 2, "value": "Stylo"}]
    assert double.shop().rows(RESOURCES["products"]).records[0].values["name"] == "Pen"


def test_language_is_passed_once_it_is_known() -> None:
    """It fixes the shape of texts."""
    _, calls = ran(shop_with(1))
    asked = [query.get("language") for _, path, query in calls if path == "products" and "display" in query]
    assert asked == ["1"] * len(asked)
    assert asked


def test_empty_associations_are_left_out() -> None:
    """An untaxed line has no ``associations`` at all."""
    warehouse, _ = ran(shop_with(1, lines=1))
    assert warehouse.live("order_details")[1]["taxes"] == [{"id": 1}]
    double = shop_with(1, lines=1)
    del double.row("order_details", 1)["associations"]
    warehouse, _ = ran(double)
    assert warehouse.live("order_details")[1]["taxes"] == []


def test_unset_date_is_a_date_of_zeros() -> None:
    """``0000-00-00 00:00:00`` is never."""
    double = shop_with(1)
    double.row("orders", 1)["invoice_date"] = "0000-00-00 00:00:00"
    assert double.shop().rows(ORDERS).records[0].values["invoice_date"] is None


def test_control_character_breaks_a_whole_xml_page_so_json_is_read() -> None:
    """JSON escapes it, and the value keeps it."""
    double = shop_with(1)
    double.row("orders", 1)["note"] = "a\x08b]]>c"
    assert double.shop().rows(ORDERS).records[0].values["note"] == "a\x08b]]>c"


# 2.2 Parameters


def test_associations_are_named_with_their_fields() -> None:
    """``display=[id,taxes]`` is refused with code 35, ``taxes[id]`` is not."""
    assert ",taxes[id]]" in RESOURCES["order_details"].display
    assert all(
        f"{name}[" in resource.display for resource in RESOURCES.values() for name in resource.associations
    )


def test_no_filter_uses_greater_or_equal() -> None:
    """``>=`` matches no operator and would return every row; so does a date in ISO form."""
    double = shop_with(3)
    shop, cursors, warehouse = double.shop(), MemoryCursors(), MemoryWarehouse()
    for _ in range(2):
        extract(shop, cursors, warehouse)
    filters = [
        value for _, _, query in double.calls for name, value in query.items() if name.startswith("filter")
    ]
    assert any(value.startswith(">[") for value in filters)
    assert not any(">=" in value or "T" in value.split("|")[0] for value in filters if value[1:2].isdigit())


def test_dates_in_filters_and_sorts_need_date_1() -> None:
    """Otherwise code 32 or 38."""
    double = shop_with(1)
    shop, cursors, warehouse = double.shop(), MemoryCursors(), MemoryWarehouse()
    extract(shop, cursors, warehouse)
    extract(shop, cursors, warehouse)
    for _, _, query in double.calls:
        dated = any("date_" in name for name in query) or "date_" in query.get("sort", "")
        assert ("date" in query) is dated


def test_date_1_is_not_sent_for_a_column_that_is_not_there() -> None:
    """The SQL would fail inside, and the answer be 200 with an empty list."""
    double = shop_with(1)
    shop, cursors, warehouse = double.shop(), MemoryCursors(), MemoryWarehouse()
    for _ in range(2):
        extract(shop, cursors, warehouse)
    for _, path, query in double.calls:
        for parameter in query:
            if parameter.startswith("filter[date_"):
                assert parameter[7:-1] in RESOURCES[path].columns


def test_lists_are_always_sorted_because_their_own_order_is_not_by_id() -> None:
    """With a limit and without a sort, pages repeat and miss rows."""
    _, calls = ran(shop_with(1))
    assert all(query["sort"].endswith("id_ASC]") for _, path, query in calls if path)


def test_addresses_stay_below_what_hosts_take() -> None:
    """2,000 ids in one filter were a 414 page; whatever is asked for is divided before."""
    double = shop_with(0)
    list(Pager(double.shop(page_size=1000)).by_values(ORDERS, "id", range(1_000_000, 1_002_500)))
    assert len(double.requests) > 4
    assert max(len(str(request.url)) for request in double.requests) < 6_500
    list(Pager(double.shop()).by_values(ORDERS, "reference", (f"ABCDEFG{n:03}" for n in range(700))))
    assert max(len(str(request.url)) for request in double.requests) < 6_500


def test_host_with_a_shorter_limit_has_its_addresses_divided() -> None:
    """A 414 is answered with half as many ids."""
    double = shop_with(20)
    double.before = lambda d, m, p, q: httpx.Response(414) if len(q.get("filter[id]", "")) > 20 else None
    found = records(Pager(double.shop()).by_values(ORDERS, "id", range(1, 21)))
    assert {row.id for row in found} == set(range(1, 21))


# 2.3 and 2.4 Errors


def test_unknown_and_deactivated_keys_are_one_error() -> None:
    """Codes 20 and 21 cannot be told apart; the message says where to look."""
    error = refused_by(lambda d: d.errors(401, 20, 21), ShopUnauthorized)
    assert "Webservice" in str(error)
    assert KEY not in str(error)


def test_missing_right_is_a_401_that_is_not_about_the_key() -> None:
    """Code 26 names the resource."""
    error = refused_by(lambda d: d.errors(401, 26), ShopUnauthorized)
    assert "the key is good" in str(error)
    assert "GET on orders" in str(error)


def test_wrong_filter_is_a_500_with_php_warnings_behind_it() -> None:
    """The first code decides: it is permanent although the status is 500."""
    error = refused_by(lambda d: d.errors(500, 32, 3, 3, 3, 3), ShopRefused)
    assert "code 32" in str(error)


def test_notice_of_a_module_turns_a_good_answer_into_500() -> None:
    """Codes 2 to 15 are passing outages; the page is tried again."""
    double = shop_with(2)
    once = iter([1])
    double.before = lambda d, m, p, q: d.errors(500, 2) if next(once, None) else None
    assert double.shop().rows(ORDERS).size == 2


def test_web_service_switched_off_is_an_outage() -> None:
    """Code 22: it may come back."""
    error = refused_by(lambda d: d.errors(503, 22), ShopUnavailable)
    assert "switched off" in str(error)


def test_sql_error_looks_like_no_rows_and_deletes_nothing() -> None:
    """An order whose lines seem to be gone altogether keeps them."""
    double = shop_with(2)
    shop, cursors, warehouse = double.shop(), MemoryCursors(), MemoryWarehouse()
    extract(shop, cursors, warehouse)
    double.before = lambda d, m, p, q: d.listing(p, []) if p == "order_details" else None
    extract(shop, cursors, warehouse, ids=[1])
    assert len(warehouse.live("order_details")) == 4


# 3 and 4. Resources and money


def test_payments_are_found_by_reference_not_by_order() -> None:
    """``order_payments`` knows no ``id_order``."""
    _, calls = ran(shop_with(1))
    assert not any("filter[id_order]" in query for _, path, query in calls if path == "order_payments")


def test_deleted_taxes_carriers_and_addresses_are_read_too() -> None:
    """Old orders keep the old ids; nothing is filtered by ``deleted``."""
    _, calls = ran(shop_with(1))
    assert not any("deleted" in name or "active" in name for _, _, query in calls for name in query)


def test_slip_totals_keep_four_decimals() -> None:
    """69.7684 is what the shop stores."""
    double = shop_with(1)
    double.tables["order_slip"].append(
        blank("order_slip", id=1, id_order=1, total_products_tax_incl="69.768400")
    )
    warehouse, _ = ran(double)
    assert warehouse.live("order_slip")[1]["total_products_tax_incl"] == Decimal("69.7684")


def test_missing_amounts_are_none_not_zero() -> None:
    """A payment made by the web service may have no rate."""
    double = shop_with(1)
    double.row("order_payments", 1)["conversion_rate"] = ""
    warehouse, _ = ran(double)
    assert warehouse.live("order_payments")[1]["conversion_rate"] is None


def test_settings_are_read_by_name() -> None:
    """That table also holds the passwords of mail servers and modules."""
    _, calls = ran(shop_with(1))
    asked = [query["filter[name]"] for _, path, query in calls if path == "configurations"]
    assert asked
    assert all(name.startswith("PS_") for value in asked for name in value.strip("[]").split("|"))
    assert not any("PASSW" in value or "MAIL" in value or "KEY" in value for value in asked)


# 8. Several shops


def test_orders_of_other_shops_are_listed_only_with_id_shop_all() -> None:
    """Otherwise they are silently missing."""
    _, calls = ran(shop_with(1))
    assert all(query["id_shop"] == "all" for _, path, query in calls if path)


def test_links_inside_answers_are_never_used() -> None:
    """They carry another shop's path; every address is built from the shop's own."""
    double = shop_with(2)
    for row in double.tables["orders"]:
        row["xlink:href"] = "http://evil.test/api/orders/1"
    ran(double)
    assert {request.url.host for request in double.requests} == {"127.0.0.1"}


def test_payload_is_kept_as_received() -> None:
    """Beside the typed row stands what the shop said, to the letter."""
    double = shop_with(1)
    page = double.shop().rows(ORDERS)
    assert json.loads(page.records[0].payload)["total_paid_tax_incl"] == "24.000000"
