"""Statements of the query language: no text breaks out of its quotes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ps_qb_pipeline.quickbooks import query


def unquoted(text):
    """What QuickBooks understands of a literal: the value, and what follows the closing quote."""
    assert text[0] == "'"
    value, position = "", 1
    while text[position] != "'":
        if text[position] == "\\":
            position += 1
        value += text[position]
        position += 1
    return value, text[position + 1 :]


@given(st.text())
def test_every_text_comes_back_as_it_was(value):
    """Quotes and backslashes are escaped, control characters are spaces, nothing follows the literal."""
    expected = "".join(" " if ord(one) < 32 or ord(one) == 127 else one for one in value) or " "
    assert unquoted(query.literal(value)) == (expected, "")


def test_a_trailing_backslash_stays_inside():
    """The trap that python-quickbooks falls into."""
    assert query.equals("DisplayName", "O'Brien\\") == "DisplayName = 'O\\'Brien\\\\'"


@pytest.mark.parametrize("name", ["Doc Number", "a;b", "x'", "", "1"])
def test_only_names_are_names(name):
    """A property or entity is never taken from data."""
    with pytest.raises(ValueError, match="not a name"):
        query.equals(name, "x")


def test_long_lists_are_asked_in_parts():
    """A thousand numbers become ten conditions."""
    parts = list(query.among("DocNumber", [f"PS1-{number}" for number in range(1000)]))
    assert len(parts) == 10
    assert parts[0].startswith("DocNumber IN ('PS1-0', ")


def test_hidden_rows_are_asked_for_where_there_are_any():
    """Name lists hide inactive rows unless asked; transactions have none."""
    assert query.count_statement("Customer") == "SELECT COUNT(*) FROM Customer WHERE Active IN (true, false)"
    assert (
        query.count_statement("Customer", "Active = true")
        == "SELECT COUNT(*) FROM Customer WHERE Active = true"
    )
    assert query.count_statement("Invoice") == "SELECT COUNT(*) FROM Invoice"
    assert "WHERE Sku = 'a' AND Active IN (true, false)" in query.page_statement("Item", "Sku = 'a'")


def test_times_carry_their_offset():
    """A time without one would be read in the company's zone."""
    assert query.changed_since(datetime(2026, 1, 2, 3, tzinfo=UTC)).endswith(">= '2026-01-02T03:00:00+00:00'")
    with pytest.raises(ValueError, match="time zone"):
        query.changed_since(datetime(2026, 1, 2))  # noqa: DTZ001
