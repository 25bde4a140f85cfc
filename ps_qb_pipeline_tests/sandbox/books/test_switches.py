"""Both answers to questions that nobody has settled, where no other module of tests asks them."""

import sqlite3
from decimal import Decimal

import pytest

from ps_qb_pipeline_tests.sandbox.books.bench import Bench


@pytest.fixture
def books():
    return Bench("ie")


def switch(books, **values):
    books.control.apply({"switches": values})


def test_tax_may_be_rounded_once_a_rate_or_line_by_line(books):
    """Three lines of 0.10 at 23 % owe 0.07 together, or 0.02 each."""
    lines = [books.line("0.10", code="Standard 23%") for _ in range(3)]
    made = books.create("SalesReceipt", books.receipt(*lines))
    assert made["TxnTaxDetail"]["TotalTax"] == Decimal("0.07")
    switch(books, tax_rounding="per_line")
    made = books.create("SalesReceipt", books.receipt(*lines))
    assert (made["TxnTaxDetail"]["TotalTax"], made["TotalAmt"]) == (Decimal("0.06"), Decimal("0.36"))
    assert books.control.state()["ledger"]["sum"] == 0


def test_the_closing_date_may_be_hidden_but_rules(books):
    """Hidden, neither reading nor a query shows it; documents before it are refused all the same."""
    books.control.apply({"preferences": {"AccountingInfoPrefs": {"BookCloseDate": "2026-01-31"}}})
    switch(books, close_date="hidden")
    shown = books.get("preferences")["Preferences"]
    assert "BookCloseDate" not in shown["AccountingInfoPrefs"]
    assert "BookCloseDate" not in books.rows("select * from Preferences")[0]["AccountingInfoPrefs"]
    books.update("Preferences", shown)
    early = books.receipt(books.line(1, code="Zero 0%")) | {"TxnDate": "2026-01-31"}
    assert books.code("POST", "salesreceipt", early) == "6210"
    switch(books, close_date="readable")
    assert books.get("preferences")["Preferences"]["AccountingInfoPrefs"]["BookCloseDate"] == "2026-01-31"


def test_a_requestid_with_another_body_may_be_refused(books):
    """The same body is replayed either way."""
    switch(books, requestid_other_body="refused")
    first = books.call("POST", "customer", {"DisplayName": "One"}, requestid="r")
    assert books.call("POST", "customer", {"DisplayName": "One"}, requestid="r") == first
    assert books.code("POST", "customer", {"DisplayName": "Two"}, requestid="r") == "600"
    switch(books, requestid_other_body="replayed")
    assert books.call("POST", "customer", {"DisplayName": "Two"}, requestid="r") == first


def test_a_file_of_an_earlier_version_is_completed(tmp_path):
    """Answers remembered before bodies were compared are still replayed."""
    path = tmp_path / "books.db"
    Bench("ie", path).create("Customer", {"DisplayName": "One"}, requestid="r")
    with sqlite3.connect(path) as file:
        file.execute("alter table replies drop column digest")
    books = Bench("ie", path)
    switch(books, requestid_other_body="refused")
    assert books.create("Customer", {"DisplayName": "One"}, requestid="r")["DisplayName"] == "One"


def test_the_servers_numbers_may_replace_yours():
    """A company without custom numbers keeps a number that is sent, or gives its own."""
    books = Bench("us")
    line = books.line(5, code="NON")
    assert books.create("SalesReceipt", books.receipt(line, DocNumber="MINE"))["DocNumber"] == "MINE"
    switch(books, number_given="replaced")
    assert books.create("SalesReceipt", books.receipt(line, DocNumber="MINE"))["DocNumber"].isdigit()


def test_an_update_may_melt_an_address(books):
    """City, postal code and country move into the lines and vanish as fields."""
    address = {"Line1": "1 Main St", "City": "Cork", "PostalCode": "T12", "Country": "Ireland"}
    made = books.create("SalesReceipt", books.receipt(books.line(1, code="Zero 0%"), BillAddr=address))
    assert made["BillAddr"]["City"] == "Cork"
    switch(books, address_reflow="on")
    changed = books.patch("SalesReceipt", made, PrivateNote="n")["BillAddr"]
    assert changed == {
        "Id": made["BillAddr"]["Id"], "Line1": "1 Main St", "Line2": "Cork T12", "Line3": "Ireland",
    }  # fmt: skip


def test_transactions_without_an_order_may_come_newest_first(books):
    """The order of a query without ORDERBY is no promise; with it, and for lists, nothing changes."""
    ids = [
        books.create("SalesReceipt", books.receipt(books.line(n, code="Zero 0%")))["Id"] for n in (1, 2, 3)
    ]
    found = [row["Id"] for row in books.rows("select * from SalesReceipt")]
    assert found == ids
    switch(books, unordered="newest_first")
    assert [row["Id"] for row in books.rows("select * from SalesReceipt maxresults 2")] == ids[:0:-1]
    late = books.rows("select * from SalesReceipt where TotalAmt < '3'")
    assert [row["Id"] for row in late] == ids[1::-1]
    assert [row["Id"] for row in books.rows("select * from SalesReceipt orderby Id")] == ids
    customers = [int(row["Id"]) for row in books.rows("select * from Customer")]
    assert customers == sorted(customers)


def test_a_us_line_code_that_is_a_number_is_a_6100():
    """Neither an id of a code that exists nor one of none is a code that a US line may carry."""
    books = Bench("us")
    for ident in ("1", "999"):
        line = books.line(5)
        line["SalesItemLineDetail"]["TaxCodeRef"] = {"value": ident}
        assert books.code("POST", "invoice", books.receipt(line)) == "6100"
