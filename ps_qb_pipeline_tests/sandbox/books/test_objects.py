"""Creating, reading, updating, deleting and voiding, as every entity shares it."""

import pytest

from ps_qb_pipeline.sandbox.books.entities import ENTITIES
from ps_qb_pipeline_tests.sandbox.books.bench import DAY, Bench


@pytest.fixture
def books():
    return Bench("ie")


def test_a_created_object_carries_the_common_fields(books):
    """Id and SyncToken are strings, times have whole seconds and the company's offset."""
    made = books.create("Customer", {"DisplayName": "Ada"})
    assert made["SyncToken"] == "0"
    assert made["Id"].isdigit()
    assert made["domain"] == "QBO"
    assert made["sparse"] is False
    assert made["MetaData"]["CreateTime"][-6:] in {"+00:00", "+01:00"}
    assert "." not in made["MetaData"]["CreateTime"]
    assert made["FullyQualifiedName"] == "Ada"
    assert made["CurrencyRef"] == {"value": "EUR", "name": "Euro"}


def test_what_only_the_books_may_say_is_overwritten_without_a_word(books):
    """Read-only values of a request are ignored, not refused."""
    line = books.line(10, code="Zero 0%")
    body = books.receipt(
        line,
        TotalAmt=999,
        Balance=5,
        SyncToken="7",
        MetaData={"CreateTime": "2001-01-01T00:00:00Z"},
        domain="X",
    )
    made = books.create("SalesReceipt", body)
    assert (made["TotalAmt"], made["Balance"], made["SyncToken"], made["domain"]) == (10, 0, "0", "QBO")
    assert made["MetaData"]["CreateTime"] > "2025"


def test_empty_strings_and_nulls_count_as_absent(books):
    """Clients send every field that they know; an empty one changes nothing."""
    made = books.create(
        "Customer", {"DisplayName": "Bo", "GivenName": "", "Notes": None, "CurrencyRef": {"value": ""}}
    )
    assert "GivenName" not in made
    assert "Notes" not in made


def test_a_display_name_is_built_from_the_parts_of_a_name(books):
    """Without DisplayName the server joins title, given, middle and family name and suffix."""
    assert books.create("Customer", {"GivenName": "Ann", "FamilyName": "Lee"})["DisplayName"] == "Ann Lee"


def test_a_full_update_nulls_what_it_omits(books):
    """Only what is sent stays; computed fields stay too."""
    made = books.create("Customer", {"DisplayName": "Cy", "Notes": "old", "GivenName": "Cy"})
    body = {"Id": made["Id"], "SyncToken": "0", "DisplayName": "Cy", "GivenName": "New"}
    changed = books.update("Customer", body)
    assert changed["GivenName"] == "New"
    assert "Notes" not in changed
    assert changed["SyncToken"] == "1"
    assert changed["Active"] is True


def test_a_sparse_update_changes_what_it_names(books):
    """The rest of the object stays as it was."""
    made = books.create("Customer", {"DisplayName": "Di", "Notes": "kept"})
    changed = books.patch("Customer", made, GivenName="Di")
    assert (changed["Notes"], changed["GivenName"]) == ("kept", "Di")


def test_a_stale_sync_token_is_5010(books):
    """The second of two writers with the same version is refused."""
    made = books.create("Customer", {"DisplayName": "Ed"})
    books.patch("Customer", made, Notes="first")
    body = {"Id": made["Id"], "SyncToken": made["SyncToken"], "sparse": True, "Notes": "second"}
    assert books.code("POST", "customer", body) == "5010"
    assert books.read("Customer", made["Id"])["Notes"] == "first"


def test_the_currency_of_a_customer_never_changes(books):
    """CurrencyRef is fixed after creation, and a new currency joins the company's list."""
    made = books.create("Customer", {"DisplayName": "Flo", "CurrencyRef": {"value": "SEK"}})
    changed = books.patch("Customer", made, CurrencyRef={"value": "EUR"})
    assert changed["CurrencyRef"]["value"] == "SEK"
    assert [row["Code"] for row in books.rows("select * from CompanyCurrency where Code = 'SEK'")] == ["SEK"]


def test_an_inactive_row_is_hidden_but_can_be_read_and_used_for_nothing(books):
    """Name lists are not deleted: Active=false hides them from queries and from new documents."""
    made = books.create("Customer", {"DisplayName": "Gus"})
    books.patch("Customer", made, Active=False)
    assert books.rows("select * from Customer where DisplayName = 'Gus'") == []
    assert (
        len(books.rows("select * from Customer where DisplayName = 'Gus' and Active in (true, false)")) == 1
    )
    assert books.read("Customer", made["Id"])["Active"] is False
    body = books.receipt(books.line(1, code="Zero 0%"), CustomerRef={"value": made["Id"]})
    assert books.code("POST", "salesreceipt", body) == "610"
    assert books.code("POST", "customer", {"Id": made["Id"], "SyncToken": "1"}, operation="delete") == "500"


def test_a_document_of_a_row_made_inactive_can_still_be_edited(books):
    """What a stored document names already is no new reference; a new document cannot name it."""
    item = books.create("Item", {"Name": "Seasonal", "Type": "Service", "IncomeAccountRef": {"value": "79"}})
    body = books.receipt(books.line(5, item="Seasonal", code="Zero 0%"))
    made = books.create("SalesReceipt", body)
    books.patch("Item", item, Active=False)
    assert books.patch("SalesReceipt", made, PrivateNote="late")["PrivateNote"] == "late"
    whole = books.get(f"salesreceipt/{made['Id']}")["SalesReceipt"]
    assert books.update("SalesReceipt", whole)["TotalAmt"] == 5
    assert books.code("POST", "salesreceipt", body) == "610"


def test_the_uncertain_answers_about_inactive_rows_can_be_switched(books):
    """The reference may be a 2500, and the name may get a suffix."""
    books.company.switches.change({"inactive_reference": 2500, "deleted_suffix": "on"})
    made = books.create("Customer", {"DisplayName": "Hal"})
    gone = books.patch("Customer", made, Active=False)
    assert gone["DisplayName"] == "Hal (deleted)"
    body = books.receipt(books.line(1, code="Zero 0%"), CustomerRef={"value": made["Id"]})
    assert books.code("POST", "salesreceipt", body) == "2500"


def test_a_deleted_transaction_answers_610_and_stays_as_a_stone(books):
    """The answer of a delete is short; reading and querying find nothing any more."""
    made = books.create("SalesReceipt", books.receipt(books.line(3, code="Zero 0%")))
    assert books.delete("SalesReceipt", made) == {"status": "Deleted", "domain": "QBO", "Id": made["Id"]}
    assert books.refusal("GET", f"salesreceipt/{made['Id']}")["code"] == "610"
    assert books.rows(f"select * from SalesReceipt where Id = '{made['Id']}'") == []


@pytest.mark.parametrize("query", [{"operation": "void"}, {"operation": "update", "include": "void"}])
def test_a_void_keeps_the_row_with_zero_amounts(books, query):
    """Both forms of the call zero the amounts and mark the note."""
    made = books.create(
        "Invoice", books.receipt(books.line(10, code="Standard 23%"), PrivateNote="mine", DocNumber="V1")
    )
    gone = books.post("invoice", {"Id": made["Id"], "SyncToken": "0"}, **query)["Invoice"]
    assert (gone["TotalAmt"], gone["Balance"], gone["TxnTaxDetail"]["TotalTax"]) == (0, 0, 0)
    assert gone["Line"][0]["Amount"] == 0
    assert gone["PrivateNote"].startswith("Voided")
    assert "mine" in gone["PrivateNote"]
    assert gone["DocNumber"] == "V1"
    assert books.trial_balance()[0] == 0


def test_every_entity_of_the_schema_is_served(books):
    """Each entity can be queried under its name and none is unknown."""
    for name in ENTITIES:
        assert isinstance(books.query(f"select * from {name}"), dict), name


def test_the_company_is_read_and_changed_but_not_made(books):
    """CompanyInfo is found by realm or 1, its country stands in two letters and in its address in three."""
    for ident in ("1", books.company.realm):
        info = books.read("CompanyInfo", ident)
        assert (info["Id"], info["Country"], info["CompanyAddr"]["Country"]) == ("1", "IE", "IRL")
    body = {"SyncToken": info["SyncToken"], "sparse": True, "LegalName": "Books Ltd"}
    assert books.post("companyinfo", body)["CompanyInfo"]["LegalName"] == "Books Ltd"
    assert books.read("CompanyInfo", "1")["CompanyName"] == info["CompanyName"]
    assert books.rows("select * from CompanyInfo")[0]["LegalName"] == "Books Ltd"


def test_sub_accounts_have_levels_and_qualified_names(books):
    """Names join with colons, and nobody nests deeper than five levels."""
    parent, names = None, []
    for depth in range(1, 6):
        body = {"Name": f"Level {depth}", "AccountType": "Expense"}
        if parent:
            body |= {"SubAccount": True, "ParentRef": {"value": parent}}
        made = books.create("Account", body)
        parent = made["Id"]
        names.append(f"Level {depth}")
        assert made["FullyQualifiedName"] == ":".join(names)
    body = {"Name": "Level 6", "AccountType": "Expense", "SubAccount": True, "ParentRef": {"value": parent}}
    assert books.code("POST", "account", body) == "6180"


def test_addresses_are_filled_from_the_customer(books):
    """An invoice without addresses takes those of its customer."""
    made = books.create("Invoice", books.receipt(books.line(5, code="Zero 0%")))
    assert made["BillAddr"]["City"] == "Dublin"
    assert made["DueDate"] == DAY


def test_a_document_number_is_left_empty_or_given_by_the_preference():
    """With custom numbers an absent one stays absent; without, the server counts."""
    ie, us = Bench("ie"), Bench("us")
    assert "DocNumber" not in ie.create("SalesReceipt", ie.receipt(ie.line(1, code="Zero 0%")))
    first = us.create("SalesReceipt", us.receipt(us.line(1, code="NON")))["DocNumber"]
    second = us.create("Invoice", us.receipt(us.line(1, code="NON")))["DocNumber"]
    assert int(second) == int(first) + 1
    made = ie.create("Invoice", ie.receipt(ie.line(1, code="Zero 0%"), DocNumber="AUTO_GENERATE"))
    assert made["DocNumber"].isdigit()


def test_a_restarted_company_is_the_same_company(tmp_path):
    """All state is in one file."""
    path = tmp_path / "books.sqlite"
    first = Bench("ie", path)
    made = first.create(
        "SalesReceipt", first.receipt(first.line(12, code="Standard 23%"), DocNumber="R1"), requestid="r1"
    )
    first.company.switches.change({"tax_override": "recalculated"})
    first.control.apply({"switches": {"closed_code": 6200}, "clock": {"advance": 3600}})
    first.company.store.close()
    again = Bench("ie", path)
    assert again.rows("select * from SalesReceipt where DocNumber = 'R1'") == [made]
    assert again.create("SalesReceipt", {"ignored": True}, requestid="r1") == made
    assert again.company.switches.closed_code == 6200
    assert 3590 < again.company.clock.offset < 3610
    assert again.trial_balance()[0] == 0
    with pytest.raises(ValueError, match="holds a company of ie"):
        Bench("us", path)


def test_the_same_calls_make_the_same_books():
    """Two new companies answer alike: ids and numbers do not depend on chance."""
    answers = []
    for _ in range(2):
        books = Bench("ie")
        books.company.clock.set(books.company.clock.parse("2026-03-15T10:00:00Z"), freeze=True)
        answers.append(
            [
                books.create("Customer", {"DisplayName": "Z"}),
                books.create("SalesReceipt", books.receipt(books.line(9, code="Standard 23%"))),
            ]
        )
    assert answers[0] == answers[1]
