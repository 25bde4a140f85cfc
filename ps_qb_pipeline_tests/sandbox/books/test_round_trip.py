"""What the books answer with, they take back: clients read an object, change one field and send it whole."""

import pytest

from ps_qb_pipeline.sandbox.books.entities import ENTITIES
from ps_qb_pipeline_tests.sandbox.books.bench import Bench
from ps_qb_pipeline_tests.sandbox.books.test_fuzz import valid_bodies

LISTS = {
    "Class": {"Name": "North"},
    "Department": {"Name": "Cork"},
    "PaymentMethod": {"Name": "Barter"},
    "Term": {"Name": "Net 7", "DueDays": 7},
    "Tag": {"Name": "Spring"},
    "CompanyCurrency": {"Code": "SEK"},
    "Vendor": {"DisplayName": "A vendor", "Balance": 3},
    "Employee": {"GivenName": "Ann", "FamilyName": "Other"},
    "Budget": {"Name": "Plan", "StartDate": "2026-01-01", "EndDate": "2026-12-31"},
}
UNTOUCHED = {"SyncToken", "MetaData"}
ODD = {"Payment", "RecurringTransaction", "ExchangeRate", "Preferences"}


def bodies(books):
    """Return a right body for every entity that can be created and updated by the general way."""
    made = {name: body for name, body in valid_bodies(books).items() if name not in ODD}
    return made | LISTS | {"Payment": {"CustomerRef": {"value": "1"}, "TotalAmt": 5}}


@pytest.fixture(scope="module")
def books():
    return Bench("ie")


def test_no_entity_is_forgotten(books):
    """Every entity that can be created and updated is among those below, but the odd ones with tests of their own."""
    able = {name for name, entity in ENTITIES.items() if entity.create and entity.update}
    us_only, french = {"InventoryAdjustment"}, {"JournalCode"}
    assert able - set(bodies(books)) - ODD == us_only | french


@pytest.mark.parametrize("name", sorted({*LISTS, *valid_bodies(Bench("ie"))} - ODD | {"Payment"}))
def test_a_whole_object_goes_back_unchanged(books, name):
    """A full update with exactly what was read is accepted and changes nothing but the version."""
    made = books.create(name, bodies(books)[name])
    seen = books.get(f"{ENTITIES[name].url}/{made['Id']}")[name]
    again = books.update(name, seen)
    assert int(again["SyncToken"]) == int(seen["SyncToken"]) + 1
    assert {k: v for k, v in again.items() if k not in UNTOUCHED} == {
        k: v for k, v in seen.items() if k not in UNTOUCHED
    }


@pytest.mark.parametrize("name", ["CompanyInfo", "Preferences"])
@pytest.mark.parametrize("country", ["us", "ie"])
def test_the_company_goes_back_unchanged(country, name):
    """The company and its settings survive being read and sent whole."""
    books = Bench(country)
    seen = books.get(f"{name}/1")[name]
    again = books.update(name, seen)
    assert {k: v for k, v in again.items() if k not in UNTOUCHED} == {
        k: v for k, v in seen.items() if k not in UNTOUCHED
    }


def test_everything_of_a_seeded_company_goes_back():
    """Every list object and document that a US company begins with can be read and sent whole."""
    books = Bench("us")
    sent = 0
    for name, entity in ENTITIES.items():
        if not (entity.update and (entity.is_transaction or entity.kind in {"names", "list"})):
            continue
        for row in books.rows(f"select * from {name} maxresults 1000"):
            seen = books.get(f"{entity.url}/{row['Id']}")[name]  # an earlier one may have touched it
            status, answer = books.call("POST", entity.url, seen)
            assert status == 200, (name, answer)
            sent += 1
    assert sent > 140
    assert books.control.state()["ledger"]["sum"] == 0
