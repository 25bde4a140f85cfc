"""Conditions mean the same in Python as in DuckDB, missing values included."""

from __future__ import annotations

from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.validation.expressions import UnknownExpression, columns_of, compiled

CHECKS = [
    "a = b",
    "a <> b",
    "a <= b",
    "a - b < 2",
    "a + b * 2 >= -1",
    "-a < b",
    "abs(a - b) <= 0.01",
    "a in (0, 1, 2)",
    "a not in (0, 1)",
    "a is null or b is not null",
    "not (a > 0 and b > 0)",
    "a between 0 and b",
    "coalesce(a, b, 0) >= 0",
    "s = 'x' or a > 0",
    "length(s) <= 1",
    "trim(s) <> ''",
    "concat(s, 'x') = 'xx'",
    "starts_with(s, 'x')",
    "flag is true",
    "flag and a > 0",
    "a = 1 or (b = 1 and s in ('x', '')) or flag",
]

amounts = st.none() | st.decimals(min_value=-3, max_value=3, places=2)
texts = st.none() | st.sampled_from(["", " ", "x", " x ", "xx", "é"])
rows = st.fixed_dictionaries({"a": amounts, "b": amounts, "s": texts, "flag": st.none() | st.booleans()})


@given(st.lists(rows, min_size=1, max_size=8), st.sampled_from(CHECKS))
@settings(deadline=None, max_examples=150)
def test_python_and_duckdb_agree(values, check):
    """Each row is true, false or undecided in both."""
    with duckdb.connect() as con:
        con.execute("create table t (n integer, a decimal(20,6), b decimal(20,6), s varchar, flag boolean)")
        for number, row in enumerate(values):
            con.execute(
                "insert into t values (?, ?, ?, ?, ?)", [number, row["a"], row["b"], row["s"], row["flag"]]
            )
        said = [row[0] for row in con.execute(f"select ({check}) from t order by n").fetchall()]
        kept = con.execute("select a, b, s, flag from t order by n").fetchall()
    holds = compiled(check)
    mine = [holds(dict(zip(["a", "b", "s", "flag"], row, strict=True))) for row in kept]
    assert mine == said


def test_columns_are_named_in_order_of_mention():
    """A rule knows which columns it reads."""
    assert columns_of("b <= a and abs(b - c) < 0.01") == ("b", "a", "c")


@pytest.mark.parametrize(
    "check", ["random() < 1", "(select 1) = 1", "a / b > 1", "a like 'x%'", "t.a = 1", "a in b"]
)
def test_what_the_language_lacks_is_refused(check):
    """Nothing is evaluated approximately: an unknown form is an error."""
    with pytest.raises(UnknownExpression):
        compiled(check)


def test_amounts_stay_exact():
    """0.1 + 0.2 is 0.3: no binary fractions."""
    assert compiled("a + b = 0.3")({"a": Decimal("0.1"), "b": Decimal("0.2")}) is True
