"""Writes to the sandbox shop, and what they set off."""

from __future__ import annotations

from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest

from ps_qb_pipeline_tests.sandbox.shop.asking import Asked, codes

MOMENT = "2026-11-02 10:00:00"


@pytest.fixture
def asked() -> Asked:
    shop = Asked("boutique")
    shop.control(clock={"freeze": MOMENT})
    return shop


def order_with(asked: Asked, **wanted) -> dict:
    """The first order whose columns have these values."""
    return next(o for o in asked.shop.rows("orders") if all(o[k] == v for k, v in wanted.items()))


def test_a_note_is_patched_and_moves_the_order_s_date(asked):
    """PATCH changes what is sent, the answer is the whole entity, ``date_upd`` in the body is ignored."""
    order = asked.shop.rows("orders")[0]
    body = f"<order><id>{order['id']}</id><note><![CDATA[QuickBooks <b>1</b>]]></note><date_upd>2020-01-01 00:00:00</date_upd></order>"
    answer = asked.send("PATCH", f"/api/orders/{order['id']}", body)
    assert answer.status_code == 200
    assert ET.fromstring(answer.content)[0].findtext("note") == "QuickBooks <b>1</b>"
    after = asked.shop.get("orders", order["id"])
    assert (after["note"], after["date_upd"]) == ("QuickBooks <b>1</b>", MOMENT)
    assert after["total_paid"] == order["total_paid"]


def test_the_id_in_the_body_decides(asked):
    """The id in the address is ignored."""
    first, second = asked.shop.rows("orders")[:2]
    asked.send("PATCH", f"/api/orders/{first['id']}", f"<order><id>{second['id']}</id><note>x</note></order>")
    assert asked.shop.get("orders", first["id"])["note"] == first["note"]
    assert asked.shop.get("orders", second["id"])["note"] == "x"


def test_the_first_paid_state_makes_invoice_and_payment(asked):
    """And the invoice is linked to lines, carriage and discounts."""
    order = order_with(asked, current_state=10, invoice_number=0)
    before = len(asked.shop.rows("order_payments", order_reference=order["reference"]))
    body = (
        f"<order_history><id_order>{order['id']}</id_order><id_order_state>2</id_order_state></order_history>"
    )
    assert asked.send("POST", "/api/order_histories", body).status_code == 201
    after = asked.shop.get("orders", order["id"])
    assert (after["current_state"], after["valid"], after["date_upd"]) == (2, "1", MOMENT)
    invoice = asked.shop.rows("order_invoices", id_order=order["id"])[0]
    assert invoice["number"] == after["invoice_number"]
    assert all(
        d["id_order_invoice"] == invoice["id"] for d in asked.shop.rows("order_details", id_order=order["id"])
    )
    payments = asked.shop.rows("order_payments", order_reference=order["reference"])
    assert len(payments) == before + 1
    assert payments[-1]["payment_method"] == "Wire payment"
    assert Decimal(after["total_paid_real"]) == Decimal(after["total_paid_tax_incl"])


def test_a_repeated_history_adds_a_row_and_no_second_payment(asked):
    """There is no idempotency: read before retry."""
    order = order_with(asked, current_state=10, invoice_number=0)
    body = (
        f"<order_history><id_order>{order['id']}</id_order><id_order_state>2</id_order_state></order_history>"
    )
    for _ in range(2):
        asked.send("POST", "/api/order_histories", body)
    paid = [h for h in asked.shop.rows("order_histories", id_order=order["id"]) if h["id_order_state"] == 2]
    assert len(paid) == 2
    assert len(asked.shop.rows("order_payments", order_reference=order["reference"])) == 1


def test_a_payment_posted_by_the_web_service_does_not_count_as_money(asked):
    """A paid state after it makes a second payment of the whole amount."""
    order = order_with(asked, current_state=10, invoice_number=0)
    amount = order["total_paid_tax_incl"]
    payment = (
        f"<order_payment><order_reference>{order['reference']}</order_reference><id_currency>{order['id_currency']}</id_currency>"
        f"<amount>{amount}</amount><payment_method>Bank</payment_method></order_payment>"
    )
    assert asked.send("POST", "/api/order_payments", payment).status_code == 201
    assert asked.shop.get("orders", order["id"]) == order | {"associations": order["associations"]}
    asked.send(
        "PATCH", "/api/orders", f"<order><id>{order['id']}</id><current_state>2</current_state></order>"
    )
    payments = asked.shop.rows("order_payments", order_reference=order["reference"])
    assert [Decimal(p["amount"]) for p in payments] == [Decimal(amount)] * 2
    assert [Decimal(p["conversion_rate"]) == 0 for p in payments] == [True, False]


def test_an_unknown_order_or_state_kills_the_request_and_nothing_is_written(asked):
    """500 without a body."""
    before = len(asked.shop.tables["order_histories"])
    for order, state in ((999999, 2), (asked.shop.rows("orders")[0]["id"], 99)):
        body = f"<order_history><id_order>{order}</id_order><id_order_state>{state}</id_order_state></order_history>"
        answer = asked.send("POST", "/api/order_histories", body)
        assert (answer.status_code, answer.content) == (500, b"")
    assert len(asked.shop.tables["order_histories"]) == before


def test_a_slip_by_the_web_service_leaves_order_and_lines_alone(asked):
    """Only the slip and its details appear; the details bear the slip's id."""
    order = order_with(asked, current_state=5)
    detail = asked.shop.rows("order_details", id_order=order["id"])[0]
    body = (
        f"<order_slip><id_customer>{order['id_customer']}</id_customer><id_order>{order['id']}</id_order><conversion_rate>1</conversion_rate>"
        "<total_products_tax_excl>10</total_products_tax_excl><total_products_tax_incl>12</total_products_tax_incl>"
        "<total_shipping_tax_excl>0</total_shipping_tax_excl><total_shipping_tax_incl>0</total_shipping_tax_incl>"
        "<associations><order_slip_details><order_slip_detail><id_order_detail>"
        f"{detail['id']}</id_order_detail><product_quantity>1</product_quantity><amount_tax_excl>10</amount_tax_excl>"
        "<amount_tax_incl>12</amount_tax_incl></order_slip_detail></order_slip_details></associations></order_slip>"
    )
    assert asked.send("POST", "/api/order_slip", body).status_code == 201
    slip = asked.rows("/api/order_slip?display=full&sort=[id_DESC]&limit=1")[0]
    assert slip["total_products_tax_incl"] == "12.000000"
    assert slip["associations"]["order_slip_details"][0] == {
        "id": slip["id"], "id_order_detail": detail["id"], "product_quantity": 1,
        "amount_tax_excl": "10.000000", "amount_tax_incl": "12.000000",
    }  # fmt: skip
    assert asked.shop.get("orders", order["id"])["date_upd"] == order["date_upd"]
    assert asked.shop.get("order_details", detail["id"]) == detail


def test_stock_is_set_and_a_product_s_row_is_the_sum_of_its_combinations(asked):
    """Two rows in one body are not atomic: the first stays when the second is unknown."""
    stock = next(r for r in asked.shop.rows("stock_availables") if r["id_product_attribute"])
    answer = asked.send(
        "PATCH",
        "/api/stock_availables",
        f"<stock_available><id>{stock['id']}</id><quantity>77</quantity></stock_available>",
    )
    assert answer.status_code == 200
    rows = asked.shop.rows("stock_availables", id_product=stock["id_product"])
    total = next(r for r in rows if not r["id_product_attribute"])
    assert total["quantity"] == sum(r["quantity"] for r in rows if r["id_product_attribute"])
    two = (
        "<stock_available><id>1</id><quantity>5</quantity></stock_available>"
        "<stock_available><id>99999</id><quantity>5</quantity></stock_available>"
    )
    answer = asked.send("PATCH", "/api/stock_availables", two)
    assert (answer.status_code, codes(answer)) == (404, [92])
    assert asked.shop.get("stock_availables", 1)["quantity"] == 5


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "expected"),
    [
        ("POST", "/api/customers", "<customer><firstname>A</firstname></customer>", 400, [41]),
        (
            "PATCH",
            "/api/stock_availables",
            "<stock_available><id>1</id><quantity>3.7</quantity></stock_available>",
            400,
            [85],
        ),
        (
            "POST",
            "/api/products",
            '<product><price>1</price><name><language id="1">a=b</language></name></product>',
            400,
            [84],
        ),
        ("POST", "/api/products", "<product><price>1</price><quantity>5</quantity></product>", 400, [93]),
        ("POST", "/api/customers", "<customer><id>5</id></customer>", 400, [91]),
        ("PATCH", "/api/orders/1", "<order><note>x</note></order>", 400, [90]),
        (
            "PUT",
            "/api/customers",
            "<customer><id>1</id></customer><customer><id>1</id></customer>",
            400,
            [89],
        ),
        ("PATCH", "/api/orders", "<order><id>999999</id></order>", 404, [92]),
        ("DELETE", "/api/orders/999999", "", 404, [87]),
        ("DELETE", "/api/stock_availables/1", "", 405, [101]),
        ("POST", "/api/stock_movements", "<stock_mvt/>", 405, [101]),
    ],
)
def test_a_refused_write_has_the_core_s_code(asked, method, target, body, status, expected):
    """And the same status."""
    answer = asked.send(method, target, body)
    assert (answer.status_code, codes(answer)) == (status, expected)


def test_input_is_xml_or_it_is_127(asked):
    """A JSON body, an empty one, a control character: 500 with code 127 last."""
    for body in (
        b'{"customer":{}}',
        b"",
        b"<prestashop><customer><lastname>A\x0bb</lastname></customer></prestashop>",
    ):
        answer = asked.client.post(
            "/api/customers", auth=("SANDBOXKEY0000000000000000000001", ""), content=body
        )
        assert answer.status_code == 500
        assert b"127" in answer.content


def test_an_unknown_association_is_refused_after_the_row_was_saved(asked):
    """Code 86, and the customer is there all the same."""
    body = (
        "<customer><passwd>Str0ng-pass</passwd><lastname>A</lastname><firstname>B</firstname><email>as@example.test</email>"
        "<associations><foos><foo><id>1</id></foo></foos></associations></customer>"
    )
    assert codes(asked.send("POST", "/api/customers", body)) == [86]
    assert asked.shop.rows("customers", email="as@example.test")


def test_a_registered_e_mail_is_unique_and_a_guest_s_is_not(asked):
    """140 with 46."""
    body = "<customer><passwd>Str0ng-pass</passwd><lastname>A</lastname><firstname>B</firstname><email>u@example.test</email>{}</customer>"
    assert asked.send("POST", "/api/customers", body.format("<active>1</active>")).status_code == 201
    answer = asked.send("POST", "/api/customers", body.format(""))
    assert (answer.status_code, codes(answer)) == (500, [140, 46])
    assert asked.send("POST", "/api/customers", body.format("<is_guest>1</is_guest>")).status_code == 201


def test_a_used_address_is_only_marked_and_an_unused_one_is_gone(asked):
    """Old orders keep their address."""
    used = asked.shop.rows("orders")[0]["id_address_invoice"]
    assert asked.send("DELETE", f"/api/addresses/{used}").status_code == 200
    assert asked.shop.get("addresses", used)["deleted"] == "1"
    unused = asked.shop.insert("addresses", {"id_customer": 1, "id_country": 8})["id"]
    asked.send("DELETE", f"/api/addresses/{unused}")
    assert asked.get(f"/api/addresses/{unused}").status_code == 404


def test_a_deleted_order_leaves_its_lines_and_history_behind(asked):
    """Nobody announces it."""
    order = asked.shop.rows("orders")[0]["id"]
    asked.send("DELETE", f"/api/orders/{order}")
    assert asked.get(f"/api/orders/{order}").status_code == 404
    assert asked.rows(f"/api/order_details?filter[id_order]=[{order}]")
    assert asked.rows(f"/api/order_histories?filter[id_order]=[{order}]")


def test_a_used_tax_rate_gets_a_successor(asked):
    """The old id stays with deleted=1, its rules move, old lines keep it."""
    rules = [r["id"] for r in asked.shop.rows("tax_rules", id_tax=1)]
    used = next(d for d in asked.shop.rows("order_details") if d["associations"] == {"taxes": [{"id": 1}]})
    answer = asked.send("PATCH", "/api/taxes/1", "<tax><id>1</id><rate>21</rate></tax>")
    new = int(ET.fromstring(answer.content)[0].findtext("id"))
    assert new != 1
    assert asked.shop.get("taxes", 1)["deleted"] == "1"
    assert asked.shop.get("taxes", 1)["rate"] == "20.000"
    assert [r["id"] for r in asked.shop.rows("tax_rules", id_tax=new)] == rules
    assert asked.shop.get("order_details", used["id"])["associations"] == {"taxes": [{"id": 1}]}


def test_a_cart_is_checked_out_once_and_a_wrong_amount_ends_in_payment_error(asked):
    """State 11 when the amount is right, 8 when not, 500 for the same cart again."""
    customer = asked.shop.rows("orders")[0]
    cart_body = (
        f"<cart><id_currency>1</id_currency><id_lang>1</id_lang><id_customer>{customer['id_customer']}</id_customer>"
        f"<id_address_delivery>{customer['id_address_delivery']}</id_address_delivery><associations><cart_rows><cart_row>"
        "<id_product>1</id_product><quantity>2</quantity></cart_row></cart_rows></associations></cart>"
    )
    states = []
    for factor in (Decimal(1), Decimal("1.5")):
        cart = ET.fromstring(asked.send("POST", "/api/carts", cart_body).content)[0].findtext("id")
        trial = asked.control(place_order={
            "customer": customer["id_customer"], "items": [{"product": 1, "quantity": 2}], "carrier": 1, "discounts": [],
            "wrapping": False, "currency": 1, "way": "wire", "address": customer["id_address_delivery"],
        })  # fmt: skip
        amount = Decimal(trial["total_paid_tax_incl"]) * factor
        order_body = (
            f"<order><id_address_delivery>{customer['id_address_delivery']}</id_address_delivery>"
            f"<id_address_invoice>{customer['id_address_invoice']}</id_address_invoice><id_cart>{cart}</id_cart>"
            f"<id_currency>1</id_currency><id_lang>1</id_lang><id_customer>{customer['id_customer']}</id_customer>"
            f"<id_carrier>2</id_carrier><module>ps_wirepayment</module><payment>Bank transfer</payment><total_paid>{amount}</total_paid>"
            f"<total_paid_real>{amount}</total_paid_real><total_products>1</total_products><total_products_wt>1</total_products_wt>"
            "<conversion_rate>1</conversion_rate></order>"
        )
        answer = asked.send("POST", "/api/orders", order_body)
        assert answer.status_code == 201
        entity = ET.fromstring(answer.content)[0]
        assert entity.findtext("current_state") == ""
        states.append(asked.shop.get("orders", int(entity.findtext("id")))["current_state"])
        again = asked.send("POST", "/api/orders", order_body)
        assert (again.status_code, again.content) == (500, b"")
    assert states == [11, 8]


def test_a_put_resets_what_it_does_not_name(asked):
    """A product put with price and name loses its reference."""
    body = '<product><id>9</id><price>12</price><name><language id="1">Put</language><language id="2">Put</language></name></product>'
    assert asked.send("PUT", "/api/products/9", body).status_code == 200
    row = asked.shop.get("products", 9)
    assert (row["reference"], row["active"], row["price"]) == ("", "0", "12.000000")
    assert row["name"] == [{"id": 1, "value": "Put"}, {"id": 2, "value": "Put"}]


def test_a_new_row_echoes_what_was_sent_and_reads_back_in_the_form_of_its_columns(asked):
    """After POST the id is a text and amounts are as sent; later they have six decimals."""
    body = "<order_payment><order_reference>ABC</order_reference><id_currency>1</id_currency><amount>27.06</amount></order_payment>"
    echo = asked.send("POST", "/api/order_payments?output_format=JSON", body).json()["order_payment"]
    assert (echo["amount"], type(echo["id"])) == ("27.06", str)
    row = asked.rows(f"/api/order_payments?filter[id]=[{echo['id']}]&display=full")[0]
    assert (row["amount"], row["date_add"], row["id"]) == ("27.060000", MOMENT, int(echo["id"]))
