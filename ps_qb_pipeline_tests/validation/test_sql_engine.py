"""The SQL engine: each rule finds exactly the rows that break it."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pytest

from ps_qb_pipeline.validation import sql_engine
from ps_qb_pipeline_tests.validation.rows import CONTRACT, GOOD, fill


@pytest.fixture
def con():
    with duckdb.connect() as connection:
        yield connection


def verdicts(con, rules=CONTRACT.rules):
    return {outcome.rule.name: outcome for outcome in sql_engine.evaluate(con, rules)}


def test_good_rows_pass_every_rule(con):
    """Rows as they should be break nothing."""
    fill(con, [GOOD, GOOD | {"id": 2, "cart": 2, "email": "b@example.test"}])
    assert all(outcome.passed and not outcome.error for outcome in verdicts(con).values())


def test_an_empty_relation_passes(con):
    """Nothing is wrong with no rows."""
    fill(con, [])
    assert {(outcome.passed, outcome.evaluated) for outcome in verdicts(con).values()} == {(True, 0)}


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"reference": None}, {"not_null_reference"}),
        ({"email": None}, {"not_null_email"}),
        ({"state": "lost"}, {"accepted_values_state"}),
        ({"state": None}, set()),
        ({"round_type": 7}, {"accepted_values_round_type"}),
        ({"total": "-0.01", "refunded": -1}, {"range_total", "range_refunded"}),
        ({"rate": 0}, {"range_rate"}),
        ({"refunded": "10.01"}, {"range_refunded", "refunded_within_total"}),
        ({"refunded": "10.01", "state": "sent"}, {"refunded_within_total"}),
        ({"customer": 9}, {"relationships_customer"}),
        ({"customer": None}, set()),
        ({"email": " "}, {"has_a_name"}),
    ],
)
def test_a_broken_row_breaks_its_rules_and_no_other(con, change, broken):
    """Each kind of rule sees its own fault; a missing value breaks not_null only."""
    fill(con, [GOOD, GOOD | {"id": 5, "cart": 2, "email": "b@example.test"} | change])
    found = verdicts(con)
    assert {name for name, outcome in found.items() if not outcome.passed} == broken
    assert all(found[name].failing_ids == ("5",) and found[name].failing == 1 for name in broken)


def test_repeated_keys_name_every_row_that_shares_them(con):
    """Both holders of a key fail; keys with a missing part are no keys."""
    rows = [
        GOOD,
        GOOD | {"id": 2, "email": "b@example.test"},
        GOOD | {"id": 3, "reference": None, "email": None},
        GOOD | {"id": 4, "reference": None, "email": None},
    ]
    fill(con, rows)
    found = verdicts(con)
    assert found["unique_reference_cart"].failing_ids == ("1", "2")
    assert found["unique_id"].passed
    assert found["unique_email"].passed


def test_ids_are_counted_all_and_shown_in_part(con):
    """A broken feed does not flood the page: all are counted, the smallest ids are named."""
    fill(
        con,
        [
            GOOD | {"id": number, "cart": number, "email": str(number), "state": "lost"}
            for number in range(250)
        ],
    )
    outcome = verdicts(con)["accepted_values_state"]
    assert outcome.failing == 250
    assert outcome.failing_ids == tuple(str(number) for number in range(200))


def test_a_rule_that_cannot_run_is_an_error_and_leaves_the_others_alone(con):
    """A missing column is the engine's trouble, not a fault of the rows."""
    fill(con, [GOOD | {"state": "lost"}])
    broken = replace(CONTRACT.rules[0], name="about_nothing", kind="not_null", columns=("nothing",))
    found = verdicts(con, [*CONTRACT.rules, broken])
    assert found["about_nothing"].verdict == "error"
    assert "nothing" in found["about_nothing"].error
    assert found["accepted_values_state"].verdict == "failed"
    assert found["unique_id"].verdict == "passed"
    assert found["about_nothing"].blocks


def test_tables_looked_at_side_by_side_give_the_same_verdicts(con):
    """Two cursors see what one connection sees: every rule of every table, good, broken and impossible."""
    fill(con, [GOOD | {"state": "lost"}])
    rules = []
    for number in range(5):
        con.execute(f"create table copy_{number} as select * from {CONTRACT.table}")
        rules += [
            replace(rule, table=f"copy_{number}") for rule in CONTRACT.rules if rule.kind != "assertion"
        ]
    rules.append(replace(rules[0], name="about_nothing", kind="not_null", columns=("nothing",)))
    alone = [(o.rule, o.verdict, o.failing) for o in sql_engine.evaluate(con, rules)]
    beside = [(o.rule, o.verdict, o.failing) for o in sql_engine.evaluate(con, rules, side_by_side=True)]
    assert beside == alone
    assert {verdict for _, verdict, _ in beside} == {"passed", "failed", "error"}


def test_an_assertion_counts_its_rows(con):
    """What an assertion's SELECT returns are its failures."""
    fill(con, [GOOD])
    rule = replace(
        CONTRACT.rules[0], name="assert_x", kind="assertion", columns=(), check="select 7 as id -- seven"
    )
    (outcome,) = sql_engine.evaluate(con, [rule])
    assert (outcome.failing, outcome.failing_ids, outcome.evaluated) == (1, ("7",), 1)
