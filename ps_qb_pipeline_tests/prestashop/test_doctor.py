"""The examination of a shop."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from ps_qb_pipeline.prestashop.doctor import Check, examine, worst
from ps_qb_pipeline_tests.prestashop.shop_double import KEY, ShopDouble, blank
from ps_qb_pipeline_tests.prestashop.world import add_row, shop_with


def found(double: ShopDouble, name: str) -> list[Check]:
    return [check for check in examine(double.shop()) if check.name == name]


def test_good_shop_has_nothing_blocked() -> None:
    """Every check is there, none of them blocked."""
    checks = examine(shop_with(3).shop())
    assert {check.name for check in checks} >= {
        "version",
        "rights",
        "clock",
        "time zone",
        "default currency",
        "rounding",
        "languages",
        "shops",
        "order states",
        "taxes",
        "SKUs",
        "order references",
        "page size",
    }
    assert not [check for check in checks if check.level == "blocked"]


Broken = Callable[[ShopDouble], httpx.Response]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("key", lambda d: d.errors(401, 20, 21)),
        ("key", lambda d: httpx.Response(401, content=b"401 Unauthorized")),
        ("address", lambda d: httpx.Response(302, headers={"Location": "http://x.test/"})),
        ("address", lambda d: httpx.Response(404, content=b"nginx")),
        ("reachable", lambda d: d.answer(200, b"<html>maintenance</html>", "text/html")),
        ("reachable", lambda d: d.errors(503, 22)),
    ],
)
def test_shop_that_cannot_be_examined_is_one_blocked_finding_with_a_way_out(
    name: str, answer: Broken
) -> None:
    """Nothing else is asked then, and no message holds the key."""
    double = shop_with(1)
    double.before = lambda d, m, p, q: answer(d)
    checks = examine(double.shop())
    assert [(check.name, check.level) for check in checks] == [(name, "blocked")]
    assert checks[0].way_out
    assert KEY not in str(checks)
    assert worst(checks) == 2


def test_missing_rights_are_named() -> None:
    """A key that may not read slips would book no refund."""
    double = shop_with(1)
    double.before = lambda d, m, p, q: (
        d.root(order_slip="get", taxes="get", orders="patch") if p == "" else None
    )
    checks = {check.name: check for check in examine(double.shop())}
    assert checks["rights"].level == "blocked"
    assert "order_slip, taxes" in checks["rights"].message
    assert "patch orders" in checks["write rights"].message
    assert checks["excess rights"].level == "warning"


def test_empty_and_duplicate_skus_are_named_across_combinations() -> None:
    """A product with combinations is sold as those."""
    double = shop_with(1)
    add_row(double, "products", reference="", state=1)
    add_row(double, "products", reference="SHIRT", state=1)
    add_row(double, "combinations", id_product=3, reference="pen")
    add_row(double, "products", reference="", state=0)
    assert "product 2" in found(double, "empty SKUs")[0].message
    assert "1 of 3" in found(double, "empty SKUs")[0].message
    assert found(double, "duplicate SKUs")[0].message.startswith("2 SKUs")


def test_tax_rule_without_a_rate_is_a_warning() -> None:
    """So is a group without rules."""
    double = shop_with(1)
    add_row(double, "tax_rules", id_tax_rules_group=1, id_tax=77)
    add_row(double, "tax_rule_groups", name="Empty one", active="1")
    messages = " ".join(check.message for check in found(double, "taxes"))
    assert "1 tax rules without a rate: 2" in messages
    assert "Empty one" in messages


def test_states_without_a_paid_flag_block() -> None:
    """Then no order would ever count as paid."""
    double = shop_with(1)
    for row in double.tables["order_states"]:
        row["paid"] = "0"
    assert found(double, "order states")[0].level == "blocked"


def test_orders_that_share_a_reference_are_counted() -> None:
    """Split orders are normal; the reader should know of them."""
    double = shop_with(3)
    double.row("orders", 2)["reference"] = double.row("orders", 1)["reference"]
    assert "REF000001" in found(double, "order references")[0].message


def test_page_size_that_the_host_survives_is_told() -> None:
    """With the setting that follows from it."""
    double = shop_with(30)
    double.before = lambda d, m, p, q: (
        d.answer(500, b"", "text/html") if p == "orders" and int(q.get("limit", 0)) == 100 else None
    )
    check = found(double, "page size")[0]
    assert check.level == "warning"
    assert "shop.page_size to 50" in check.way_out


def test_time_zones_that_are_unknown_missing_or_several_are_warnings() -> None:
    """The zone decides the day of a document."""
    for value, level in (("Europe/Paris", "ok"), ("Mars/Base", "warning"), ("", "warning")):
        double = shop_with(1)
        double.row("configurations", 1)["value"] = value
        assert [check.level for check in found(double, "time zone")] == [level]
    double = shop_with(1)
    double.tables["configurations"].append(
        blank("configurations", id=9, name="PS_TIMEZONE", value="America/New_York", id_shop=2)
    )
    assert "the shops differ" in found(double, "time zone")[0].message


def test_old_versions_are_warned_of() -> None:
    """Only 9.1 was tested."""
    double = shop_with(1)
    double.before = lambda d, m, p, q: None
    answer = double.answer
    double.answer = lambda *a, **k: answer(*a, **{"PSWS-Version": "8.1.2"} | k)
    assert found(double, "version")[0].level == "warning"


def test_plain_http_to_another_host_is_a_warning() -> None:
    """The key would cross the network readable; loopback is no network."""
    from ps_qb_pipeline.prestashop.client import Shop
    from ps_qb_pipeline_tests.prestashop.shop_double import QUICK

    double = shop_with(1)
    checks = examine(Shop("http://shop.example.com", KEY, transport=double, limits=QUICK))
    assert [check.level for check in checks if check.name == "encryption"] == ["warning"]
    assert not found(shop_with(1), "encryption")


def test_check_that_fails_becomes_a_finding() -> None:
    """No examination ends in an exception."""
    double = shop_with(1)
    double.before = lambda d, m, p, q: (
        d.errors(401, 26) if p == "taxes" else (d.errors(500, 3) if p == "languages" else None)
    )
    checks = {check.name: check for check in examine(double.shop())}
    assert checks["taxes"].level == "warning"
    assert checks["languages"].level == "blocked"
    assert checks["page size"].level == "ok"
