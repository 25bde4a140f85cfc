"""The query language and change data capture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ps_qb_pipeline.sandbox.books.entities import ENTITIES
from ps_qb_pipeline.sandbox.books.faults import Refusal
from ps_qb_pipeline.sandbox.books.query import parse
from ps_qb_pipeline_tests.sandbox.books.bench import Bench


@pytest.fixture(scope="module")
def books():
    bench = Bench("ie")
    bench.company.clock.set(bench.company.clock.parse("2026-03-15T10:00:00Z"), freeze=True)
    for number in range(1, 8):
        bench.control.apply({"clock": {"advance": 60}})
        bench.create(
            "SalesReceipt",
            bench.receipt(
                bench.line(number, code="Zero 0%"), DocNumber=f"Q{number}", TxnDate=f"2026-03-0{number}"
            ),
        )
    bench.create(
        "Customer", {"DisplayName": "O'Hara \\ Sons", "PrimaryEmailAddr": {"Address": "o@example.com"}}
    )
    bench.create("Item", {"Name": "Mug", "Sku": "MUG-1", "IncomeAccountRef": {"value": "79"}})
    return bench


def numbers(rows):
    return [row["DocNumber"] for row in rows]


@pytest.mark.parametrize(("where", "found"), [
    ("DocNumber = 'Q3'", ["Q3"]),
    ("docnumber = 'q3'", ["Q3"]),
    ("DocNumber in ('Q1', 'Q2')", ["Q1", "Q2"]),
    ("DocNumber like 'Q%' and TotalAmt > '5'", ["Q6", "Q7"]),
    ("DocNumber like '%3'", ["Q3"]),
    ("TotalAmt <= '2'", ["Q1", "Q2"]),
    ("TotalAmt = '3.00'", ["Q3"]),
    ("TxnDate >= '2026-03-03' and TxnDate < '2026-03-05'", ["Q3", "Q4"]),
    ("TxnDate > CURRENT_DATE", []),
    ("CustomerRef = '1' and DocNumber != 'Q1' and TotalAmt < '3'", ["Q2"]),
    ("MetaData.CreateTime >= '2026-03-15T10:06:00+00:00'", ["Q6", "Q7"]),
    ("MetaData.LastUpdatedTime < '2026-03-15T03:02:00-07:00'", ["Q1"]),
    ("MetaData.LastUpdatedTime >= '2026-03-15T10:07:00'", ["Q7"]),
])  # fmt: skip
def test_conditions_find_what_they_say(books, where, found):
    """Operators compare numbers as numbers, dates as dates, text without case."""
    assert numbers(books.rows(f"select * from SalesReceipt where {where}")) == found


@pytest.mark.parametrize(("tail", "found"), [
    ("orderby TotalAmt desc maxresults 2", ["Q7", "Q6"]),
    ("order by TotalAmt desc startposition 3 maxresults 2", ["Q5", "Q4"]),
    ("ORDERBY TxnDate ASC STARTPOSITION 6 MAXRESULTS 100", ["Q6", "Q7"]),
    ("startposition 7", ["Q7"]),
    ("startposition 99", []),
])  # fmt: skip
def test_order_and_pages(books, tail, found):
    """Positions count from one; order comes before the page."""
    assert numbers(books.rows(f"select * from SalesReceipt {tail}")) == found


def test_the_answer_says_where_it_starts_and_how_much_it_holds(books):
    """StartPosition and maxResults stand beside the rows; nothing found is an empty object."""
    found = books.query("select * from SalesReceipt startposition 2 maxresults 3")
    assert (found["startPosition"], found["maxResults"], len(found["SalesReceipt"])) == (2, 3, 3)
    assert books.query("select * from SalesReceipt where DocNumber = 'none'") == {}


def test_count_counts(books):
    """count(*) answers totalCount and nothing else."""
    assert books.query("select count(*) from SalesReceipt") == {"totalCount": 7}
    assert books.query("SELECT COUNT(*) FROM SalesReceipt WHERE TotalAmt > '5'") == {"totalCount": 2}


def test_the_usual_page_is_a_hundred_and_the_largest_a_thousand(books):
    """Without MAXRESULTS there are 100 rows at most; more than 1000 cannot be asked for."""
    for number in range(120):
        books.create("PaymentMethod", {"Name": f"Method {number}"})
    assert len(books.rows("select * from PaymentMethod")) == 100
    assert len(books.rows("select * from PaymentMethod maxresults 1000")) == 127
    assert books.code("GET", "query", query="select * from PaymentMethod maxresults 1001") == "4001"


def test_projections_are_taken_and_ignored(books):
    """Clients ask for columns, and still get whole objects."""
    assert books.rows("select *, Sku from Item where Name = 'Mug'")[0]["Sku"] == "MUG-1"
    assert books.rows("select Id, Name from Item where Sku = 'mug-1'")[0]["Type"] == "NonInventory"


def test_quotes_and_backslashes_are_escaped_by_a_backslash(books):
    """A name with an apostrophe and a backslash is found by its escaped form."""
    assert len(books.rows(r"select * from Customer where DisplayName = 'O\'Hara \\ Sons'")) == 1
    assert books.code("GET", "query", query=r"select * from Customer where DisplayName = 'O'Hara'") == "4000"


def test_contacts_compare_by_their_text(books):
    """An e-mail address is compared as the address itself."""
    assert len(books.rows("select * from Customer where PrimaryEmailAddr = 'o@example.com'")) == 1


def test_a_query_may_be_posted_as_text(books):
    """POST with the statement as body answers as GET does."""
    status, answer = books.call("POST", "query", b"select count(*) from SalesReceipt")
    assert (status, answer["QueryResponse"]) == (200, {"totalCount": 7})


@pytest.mark.parametrize("bad", [
    "select", "select * from", "select * from Customer where", "select * from Customer where Id > '1'", "update Customer",
    "select * from Customer where DisplayName = Ada", "select * from Customer orderby", "select * from Customer maxresults x",
    "select * from Customer where DisplayName = 'a' or DisplayName = 'b'", "select * from Customer maxresults 5 startposition 1",
])  # fmt: skip
def test_what_is_no_query_is_refused(books, bad):
    """Errors of form are 4000, errors of meaning 4001; none is an empty answer."""
    assert books.code("GET", "query", query=bad) in {"4000", "4001"}


@given(st.text(min_size=1, max_size=40))
def test_any_text_survives_the_way_through_a_query(text):
    """Escaped by backslashes, any value arrives as it was."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    query = parse(f"select * from Customer where DisplayName = '{escaped}'")
    assert query.conditions[0].values == (text,)


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text):
    """Whatever is sent is parsed or refused, and nothing else happens."""
    try:
        parse(text)
    except Refusal as refused:
        code = refused.code
    else:
        code = ""
    assert code in {"", "4000", "4001"}


def test_us_pseudo_codes_come_ahead_of_the_page():
    """The US service lists its three pseudo codes beyond the size of the page, and reads them by name."""
    us = Bench("us")
    assert [row["Id"] for row in us.rows("select * from TaxCode maxresults 1")][:3] == [
        "NON",
        "TAX",
        "CustomSalesTax",
    ]
    assert len(us.rows("select * from TaxCode maxresults 1")) == 4
    assert us.read("TaxCode", "TAX")["Name"] == "TAX"


# Change data capture -------------------------------------------------------------------------------


@pytest.fixture
def changing():
    bench = Bench("ie")
    bench.company.clock.set(bench.company.clock.parse("2026-03-15T10:00:00Z"), freeze=True)
    return bench


def changes(bench, entities, since):
    return bench.get("cdc", entities=entities, changedSince=since)["CDCResponse"][0]["QueryResponse"]


def test_changes_are_grouped_by_entity_with_the_deleted_last(changing):
    """Each entity has its own part in the order asked for; deleted rows are short and come after active ones."""
    gone = changing.create("SalesReceipt", changing.receipt(changing.line(1, code="Zero 0%")))
    changing.control.apply({"clock": {"advance": 10}})
    kept = changing.create("SalesReceipt", changing.receipt(changing.line(2, code="Zero 0%")))
    changing.control.apply({"clock": {"advance": 10}})
    changing.delete("SalesReceipt", gone)
    parts = changes(changing, "Customer,SalesReceipt", "2026-03-15T09:59:00Z")
    assert parts[0] == {}
    rows = parts[1]["SalesReceipt"]
    assert [row["Id"] for row in rows] == [kept["Id"], gone["Id"]]
    assert rows[1]["status"] == "Deleted"
    assert set(rows[1]) == {"domain", "status", "Id", "MetaData"}
    assert parts[1]["maxResults"] == 2


def test_a_time_without_an_offset_is_the_companys_or_utc():
    """The zone of a naive time is uncertain, so a switch decides."""
    us = Bench("us")
    us.company.clock.set(us.company.clock.parse("2026-03-15T10:00:00Z"), freeze=True)
    us.create("Customer", {"DisplayName": "Late"})
    assert changes(us, "Customer", "2026-03-15T09:30:00") == [{}]
    us.company.switches.change({"naive_times": "utc"})
    assert len(changes(us, "Customer", "2026-03-15T09:30:00")[0]["Customer"]) == 1


def test_at_most_a_thousand_objects_come_at_once(changing):
    """More than 1000 changes are cut; the oldest come first."""
    for number in range(1005):
        changing.create("Term", {"Name": f"T{number}", "DueDays": number})
    rows = changes(changing, "Term", "2026-03-15T09:59:00Z")[0]["Term"]
    assert len(rows) == 1000
    assert rows[0]["Name"] == "T0"


@pytest.mark.parametrize(("entities", "since"), [
    ("TaxCode", "2026-03-15T09:00:00Z"), ("TaxRate", "2026-03-15T09:00:00Z"), ("TaxAgency", "2026-03-15T09:00:00Z"),
    ("TimeActivity", "2026-03-15T09:00:00Z"), ("JournalCode", "2026-03-15T09:00:00Z"), ("Customer", "2026-02-01T00:00:00Z"),
    ("Customer", "yesterday"), ("", "2026-03-15T09:00:00Z"), ("Customer", ""),
])  # fmt: skip
def test_what_cdc_cannot_do_is_refused(changing, entities, since):
    """Five entities are unsupported, and nothing older than thirty days is answered."""
    assert changing.code("GET", "cdc", entities=entities, changedSince=since) in {"500", "4001", "2020"}


@pytest.mark.parametrize("name", sorted(ENTITIES))
def test_every_entity_can_be_ordered_by_every_property(books, name):
    """Upwards and downwards the same rows come, whatever the property and however the entity is wrapped."""
    for field in sorted(ENTITIES[name].filterable()):
        up, down = (
            books.rows(f"select * from {name} orderby {field} {way} maxresults 1000")
            for way in ("asc", "desc")
        )
        assert sorted(map(repr, up)) == sorted(map(repr, down))


def test_templates_are_ordered_by_what_they_hold(books):
    """A recurring transaction has its id and its name inside its document."""
    line = books.line(1, code="Zero 0%")
    for label in ("B", "A"):
        template = books.receipt(line, RecurringInfo={"Name": label, "RecurType": "Automated"})
        books.create("RecurringTransaction", {"Invoice": template})
    found = books.rows("select * from RecurringTransaction orderby Name")
    assert [row["Invoice"]["RecurringInfo"]["Name"] for row in found] == ["A", "B"]
    newest, oldest = books.rows("select * from RecurringTransaction orderby Id desc")
    assert int(newest["Invoice"]["Id"]) > int(oldest["Invoice"]["Id"])


HUGE = "9" * 22


def test_numbers_beyond_all_ids_find_nothing(books):
    """An id that no object can have is not found, wherever it stands; a position that far is refused."""
    assert books.rows(f"select * from Customer where Id = '{HUGE}'") == []
    assert books.rows(f"select * from Customer where Id in ('1', '{HUGE}')")[0]["Id"] == "1"
    assert books.code("GET", f"customer/{HUGE}") == "610"
    assert books.code("POST", "customer", {"Id": HUGE, "SyncToken": "0", "sparse": True}) == "610"
    line = {"Amount": 1, "LinkedTxn": [{"TxnId": HUGE, "TxnType": "Invoice"}]}
    payment = {"CustomerRef": {"value": "1"}, "TotalAmt": 1, "Line": [line]}
    assert books.code("POST", "payment", payment) == "610"
    assert books.code("POST", "payment", payment | {"CustomerRef": {"value": HUGE}}) == "2500"
    assert books.code("GET", "query", query=f"select * from Customer startposition {HUGE}") == "4001"
    assert books.code("GET", "query", query="select * from Customer where Id = '²'") == "4001"
    assert books.get("reports/ProfitAndLoss", customer=HUGE)["Rows"] == {}
