"""The typing of values: tolerant of form, never of meaning."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.prestashop.rows import Poisoned, Record, record, row_hash, typed
from ps_qb_pipeline_tests.prestashop.shop_double import blank

ORDERS = RESOURCES["orders"]


def order(**values: Any) -> Record | Poisoned:
    fields = blank("orders", id=1, **values)
    return record(ORDERS, fields, json.dumps(fields))


def value_of(name: str, column: str, value: Any, **options: Any) -> Any:
    return typed(RESOURCES[name], blank(name, id=1, **{column: value}), **options)[column]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (7, 7),
        ("7", 7),
        ("7.0", 7),
        (" 7 ", 7),
        ("-2", -2),
        (None, None),
        ("", None),
        (False, None),
        (0, 0),
        ("0", 0),
    ],
)
def test_whole_numbers_come_as_numbers_or_strings(value: object, wanted: int | None) -> None:
    """A whole number may be a number, a string or a float without fraction; nothing is None."""
    assert value_of("orders", "id_carrier", value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("17.070000", "17.07"),
        ("20.000", "20"),
        ("27.06", "27.06"),
        (Decimal("1.5"), "1.5"),
        (3, "3"),
        ("-0.000000", "0"),
        ("69.768400", "69.7684"),
        ("1.23456789", "1.234568"),
        ("1E+2", "100"),
    ],
)
def test_amounts_are_decimals_with_six_places(value: object, wanted: str) -> None:
    """Amounts keep their value to six decimals, whatever their form."""
    found = value_of("orders", "total_paid", value)
    assert found == Decimal(wanted)
    assert found.as_tuple().exponent == -6


@pytest.mark.parametrize(
    "value", ["12,00", "abc", True, [], {}, "NaN", "Infinity", "1e300", "9" * 40, "1_000", "\u0661"]
)
def test_amount_that_is_none_poisons_its_row(value: object) -> None:
    """A value that is no number is never read as one; the row is set aside and the value not repeated."""
    found = order(total_paid=value)
    assert isinstance(found, Poisoned)
    assert found.reason.startswith("total_paid is")
    assert found.id == 1
    assert found.parent == "1"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("0", False),
        ("1", True),
        (0, False),
        (1, True),
        ("", False),
        (None, False),
        (False, False),
        (True, True),
    ],
)
def test_booleans_come_as_strings_numbers_or_nothing(value: object, wanted: bool) -> None:
    """The string "0" is false."""
    assert value_of("orders", "valid", value) is wanted


@pytest.mark.parametrize("value", ["yes", 2, "2", [], {}])
def test_boolean_that_is_none_poisons_its_row(value: object) -> None:
    """Anything but 0 and 1 is not guessed at."""
    assert isinstance(order(valid=value), Poisoned)


def test_texts_of_nothing_are_empty_and_false_is_nothing() -> None:
    """null, false and "" are the same text: the empty one."""
    assert [value_of("addresses", "company", value) for value in (None, False, "", "ACME")] == [
        "",
        "",
        "",
        "ACME",
    ]


def test_text_in_languages_is_taken_in_the_default_one() -> None:
    """A list of languages, one plain text, or the first language where the wanted one is missing."""
    names = [{"id": 1, "value": "Blue pen"}, {"id": "2", "value": "Stylo bleu"}]
    assert value_of("products", "name", names, language=2) == "Stylo bleu"
    assert value_of("products", "name", names, language=9) == "Blue pen"
    assert value_of("products", "name", "Blue pen", language=2) == "Blue pen"
    assert value_of("products", "name", [], language=2) == ""


@pytest.mark.parametrize("value", ["0000-00-00 00:00:00", "0000-00-00", "", None, False])
def test_unset_dates_are_none(value: object) -> None:
    """PrestaShop's way of saying never."""
    assert value_of("orders", "invoice_date", value) is None


def test_dates_stay_the_wall_time_of_the_shop() -> None:
    """Dates carry no offset, and are given none here."""
    assert value_of("orders", "date_add", "2026-10-25 02:30:00") == datetime.fromisoformat(
        "2026-10-25 02:30:00"
    )


@pytest.mark.parametrize("value", ["2026-02-30 00:00:00", "2026-11-01T00:00:00Z", "20261101", 5, "yesterday"])
def test_date_that_is_none_poisons_its_row(value: object) -> None:
    """Neither impossible days nor other forms are read as dates."""
    assert isinstance(order(date_add=value), Poisoned)


def test_absent_associations_are_empty_lists() -> None:
    """JSON leaves empty associations out altogether; what is there is typed field by field."""
    details = RESOURCES["order_details"]
    assert typed(details, blank("order_details", id=1))["taxes"] == []
    assert typed(details, blank("order_details", id=1, taxes=[{"id": "7", "x": 1}]))["taxes"] == [{"id": 7}]


def test_absent_column_poisons_unless_older_shops_lack_it() -> None:
    """A column that every shop has must be there; one that older shops lack is empty."""
    fields = blank("orders", id=1)
    del fields["note"]
    assert typed(ORDERS, fields)["note"] == ""
    del fields["total_paid"]
    assert isinstance(record(ORDERS, fields, "{}"), Poisoned)


def test_hash_is_the_same_for_the_same_values_in_other_forms() -> None:
    """A field that is a number in one answer and a string in the next does not make a new state."""
    shops = RESOURCES["shops"]
    one = typed(shops, {"id": 1, "id_shop_group": 1, "name": "One", "active": 1, "deleted": 0})
    two = typed(shops, {"id": "1", "id_shop_group": "1", "name": "One", "active": "1", "deleted": "0"})
    assert row_hash(one) == row_hash(two)
    assert row_hash(one) != row_hash(one | {"name": "Two"})


def test_half_a_surrogate_pair_is_replaced_in_value_and_payload() -> None:
    """No database takes half a pair; it becomes U+FFFD and everything else stays."""
    fields = blank("orders", id=1, note="a\ud800b")
    found = record(ORDERS, fields, json.dumps(fields))
    assert isinstance(found, Record)
    assert found.values["note"] == "a\ufffdb"
    assert json.loads(found.payload)["note"] == "a\ufffdb"
    found.payload.encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(values=st.dictionaries(st.sampled_from(sorted(ORDERS.columns)), JSON, max_size=6))
def test_any_object_becomes_a_record_or_is_set_aside(values: dict[str, Any]) -> None:
    """No value at all makes the typing fail."""
    found = record(ORDERS, blank("orders", id=1) | values, "{}")
    assert isinstance(found, Poisoned) or found.values.keys() == ORDERS.columns.keys()
