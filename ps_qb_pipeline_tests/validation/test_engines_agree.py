"""Great Expectations and the SQL scan say the same of the same rows."""

from __future__ import annotations

from dataclasses import replace

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.validation import gx_engine, sql_engine
from ps_qb_pipeline_tests.validation.rows import CONTRACT, GOOD, fill

PII = {CONTRACT.table: CONTRACT.pii}

amounts = st.none() | st.decimals(min_value=-2, max_value=7, places=2)
orders = st.fixed_dictionaries(
    {
        "id": st.integers(1, 6),
        "reference": st.none() | st.sampled_from("AB"),
        "cart": st.none() | st.integers(1, 2),
        "email": st.none() | st.sampled_from(["", " ", "a@example.test", "b@example.test"]),
        "state": st.none() | st.sampled_from(["paid", "sent", "lost"]),
        "round_type": st.none() | st.integers(0, 4),
        "total": amounts,
        "rate": amounts,
        "refunded": amounts,
        "customer": st.none() | st.integers(1, 4),
    }
)


def said(outcome):
    # Ids repeat in the SQL engine's list when rows share one, which only a broken key can bring about.
    return (
        outcome.rule.name,
        outcome.verdict,
        outcome.failing,
        tuple(dict.fromkeys(outcome.failing_ids)),
        outcome.evaluated,
    )


@given(st.lists(orders, max_size=7))
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
def test_both_engines_give_the_same_verdicts(rows):
    """Verdict, count, failing ids and rows looked at are equal, rule by rule, on any rows."""
    with duckdb.connect() as con:
        fill(con, rows)
        by_sql = sql_engine.evaluate(con, CONTRACT.rules)
        by_gx = gx_engine.evaluate(con, CONTRACT.rules, pii=PII)
    assert [said(outcome) for outcome in by_gx] == [said(outcome) for outcome in by_sql]


def test_a_crash_of_great_expectations_is_no_failed_rule():
    """Comparing texts with numbers makes it stumble; that says nothing about the rows."""
    rule = next(rule for rule in CONTRACT.rules if rule.name == "range_total")
    with duckdb.connect() as con:
        fill(con, [GOOD])
        (outcome,) = gx_engine.evaluate(con, [replace(rule, columns=("reference",))])
        (absent,) = gx_engine.evaluate(con, [replace(rule, columns=("nothing",))])
    assert outcome.verdict == "error"
    assert outcome.error
    assert absent.verdict == "error"


def test_of_many_rows_the_newest_are_looked_at():
    """Memory stays bounded: a relation beyond the limit is looked at from its newest row down."""
    rows = [GOOD | {"id": number, "cart": number, "email": str(number), "rate": 0} for number in range(1, 31)]
    rule = next(rule for rule in CONTRACT.rules if rule.name == "range_rate")
    with duckdb.connect() as con:
        fill(con, rows)
        (outcome,) = gx_engine.evaluate(con, [rule], limit=10)
    assert (outcome.evaluated, outcome.failing, outcome.failing_ids[0]) == (10, 10, "21")


def test_data_docs_are_written_without_personal_data(tmp_path):
    """The docs tell of the failure; the address that failed is nowhere in them."""
    with duckdb.connect() as con:
        twice = [GOOD | {"id": number, "cart": number, "email": "canary@example.test"} for number in (1, 2)]
        fill(con, twice)
        outcomes = gx_engine.evaluate(con, CONTRACT.rules, pii=PII, docs=tmp_path)
    assert [outcome.rule.name for outcome in outcomes if not outcome.passed] == ["unique_email"]
    index = gx_engine.docs_index(tmp_path)
    assert index.exists()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if b"canary" in path.read_bytes()]
    assert [path for path in written if b"unique_email" in path.read_bytes()]
