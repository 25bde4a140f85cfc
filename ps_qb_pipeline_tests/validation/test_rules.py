"""Contracts become rules, and a contract that cannot be understood is named by file and field."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.validation.rules import load_contracts, read_assertion, read_contract

ORIGIN = {"type": "order", "id": "id", "order": "id"}


def contract(**body):
    return read_contract("staging.orders", Path("orders.yml"), body)


def test_short_and_long_forms_say_the_same():
    """An entry is a name, or a mapping when it has more to say."""
    short = contract(source=ORIGIN, not_null=["id"], accepted_values={"state": [1, 2]}).rules
    long = contract(
        source=ORIGIN, not_null=[{"column": "id"}], accepted_values={"state": {"values": [1, 2]}}
    ).rules
    assert short == long
    assert [(rule.name, rule.severity, rule.on_fail) for rule in short] == [
        ("not_null_id", "error", "hold"),
        ("accepted_values_state", "error", "hold"),
    ]


def test_every_kind_of_rule_is_read():
    """A contract may demand keys, presence, values, bounds, relations and conditions."""
    rules = contract(
        source=ORIGIN,
        unique=["id", ["reference", "cart"]],
        not_null=["id"],
        accepted_values={"state": [1]},
        range={"total": {"min": 0, "max": "9.5", "exclusive": True, "where": "state = 1"}},
        relationships={"id_customer": "staging.customers.id"},
        expressions={"total_is_paid": {"check": "total = paid", "message": "paid is not total"}},
    ).rules
    by_name = {rule.name: rule for rule in rules}
    assert set(by_name) == {
        "unique_id",
        "unique_reference_cart",
        "not_null_id",
        "accepted_values_state",
        "range_total",
        "relationships_id_customer",
        "total_is_paid",
    }
    bounds = by_name["range_total"]
    assert (bounds.low, bounds.high, bounds.exclusive, bounds.where) == (0, Decimal("9.5"), True, "state = 1")
    assert bounds.message == "total must be above 0 and below 9.5"
    assert by_name["total_is_paid"].columns == ("total", "paid")
    assert by_name["total_is_paid"].message == "paid is not total"


def test_a_warning_is_shown_and_holds_nothing():
    """Severity warning means warn unless the contract says otherwise."""
    (rule,) = contract(source=ORIGIN, not_null=[{"column": "email", "severity": "warning"}]).rules
    assert (rule.severity, rule.on_fail) == ("warning", "warn")


def test_what_cannot_be_held_blocks():
    """A relation whose rows name no order cannot hold one, so that an error there stops everything."""
    (rule,) = contract(not_null=["id"]).rules
    assert rule.on_fail == "block"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"unique": "id"}, "unique: must be a list of columns"),
        ({"unique": [{"on_fail": "warn"}]}, "unique: names no column"),
        ({"not_null": [["a", "b"]]}, "not_null: takes one column an entry"),
        ({"accepted_values": ["a"]}, "accepted_values: must be a mapping"),
        ({"accepted_values": {"a": "b"}}, "accepted_values.a: must be a list of values"),
        ({"range": {"a": {"least": 0}}}, "range.a: must hold min, max or both"),
        ({"relationships": {"a": "customers.id"}}, "relationships.a: must be schema.table.column"),
        ({"expressions": {"a": {"message": "b"}}}, "expressions.a: must be a condition"),
        ({"expressions": {"a": "total >"}}, "expressions.a: cannot be read as a condition"),
        ({"expressions": {"a": "random() > 1"}}, "expressions.a: .*not among what a condition may use"),
        (
            {"not_null": [{"column": "a", "on_fial": "warn"}]},
            "not_null_a: on_fial is unknown; allowed: severity",
        ),
        (
            {"not_null": [{"column": "a", "on_fail": "hide"}]},
            "not_null_a: on_fail: 'hide' is unknown; allowed: hold",
        ),
        ({"not_null": ["a", "a"]}, "not_null_a: two rules of this name"),
        ({"source": {"type": "order"}, "not_null": ["a"]}, "source: must hold type, id and order"),
        (
            {"id_column": "a", "columns": {"a": {"pii": True}}, "accepted_values": {"a": ["x"]}},
            "accepted_values_a: a column of personal data shows no values",
        ),
        (
            {"columns": {"a": {}}, "not_null": ["a"]},
            "id_column: rules name their failing rows by 'id', which is not",
        ),
        ({"not_null": [{"column": "a", "on_fail": "hold"}]}, "not_null_a: on_fail: hold needs source"),
    ],
)
def test_a_broken_contract_names_file_and_field(body, what):
    """The message says where and what is allowed."""
    with pytest.raises(SettingsError, match=what) as caught:
        contract(**body)
    assert caught.value.where == "orders.yml"


def test_an_assertion_takes_its_meaning_from_its_first_line(tmp_path):
    """The first comment says what a row means; the .yml says what it is about."""
    path = tmp_path / "assert_sums.sql"
    path.write_text("-- The sums differ.\nselect id from ledger.documents where total < 0;\n")
    path.with_suffix(".yml").write_text("table: ledger.documents\non_fail: block\n")
    rule = read_assertion(path)
    assert (rule.name, rule.table, rule.on_fail, rule.message) == (
        "assert_sums",
        "ledger.documents",
        "block",
        "The sums differ.",
    )
    path.with_suffix(".yml").unlink()
    with pytest.raises(SettingsError, match="table: must name the relation"):
        read_assertion(path)


def test_our_own_contracts_are_sound_and_guard_both_ends():
    """Every contract in the package can be read; shop rows and ledger rows are both guarded."""
    contracts = load_contracts()
    assert {"staging.prestashop_orders", "staging.quickbooks_documents", "ledger.documents"} <= set(contracts)
    holding = {name for name, body in contracts.items() if any(rule.on_fail == "hold" for rule in body.rules)}
    assert {"staging.prestashop_orders", "staging.prestashop_order_details", "ledger.documents"} <= holding
    assert "email" in load_contracts()["staging.prestashop_customers"].pii
