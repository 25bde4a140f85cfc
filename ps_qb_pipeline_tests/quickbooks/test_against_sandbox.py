"""The client against a whole company that misbehaves on purpose."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import requests
import stamina
from quickbooks.objects.customer import Customer

from ps_qb_pipeline.errors import (
    BooksFault,
    BooksThrottled,
    BooksUnavailable,
    Fault,
    ReconnectNeeded,
)
from ps_qb_pipeline.quickbooks import consent
from ps_qb_pipeline.quickbooks.batch import BatchItem
from ps_qb_pipeline.quickbooks.limiter import UNLIMITED, MemoryStore, SharedBudget
from ps_qb_pipeline.quickbooks.oauth import Tokens, expiries
from ps_qb_pipeline.quickbooks.reports import profit_and_loss, read_general_ledger, trial_balance
from ps_qb_pipeline.quickbooks.texts import canonical
from ps_qb_pipeline.state.database import open_control_plane
from ps_qb_pipeline.state.tokens import TokenStore
from ps_qb_pipeline_tests.quickbooks.sandbox import running


@pytest.fixture(scope="module")
def company():
    with running() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(company):
    stamina.set_testing(True, attempts=3)
    company.control(faults=[])
    yield company
    company.control(faults=[])
    stamina.set_testing(False)


counter = iter(range(1_000_000))


def fresh():
    return f"n{next(counter)}"


def create(books, name, requestid=None):
    return books.create("Customer", canonical({"DisplayName": name}), requestid or fresh())


def named(books, name):
    return books.query(f"select * from Customer where DisplayName = '{name}'")


@pytest.mark.parametrize("form", ["json", "xml", "lower", "html", "empty"])
def test_a_throttle_in_any_form_pauses_everyone_and_nothing_was_written(sandbox, form):
    """A 429 says that nothing happened, whatever it looks like."""
    budget = SharedBudget(MemoryStore(), UNLIMITED)
    books = sandbox.books(budget=budget)
    books.company_info()
    sandbox.control(add_fault={"kind": "throttle", "form": form})
    name = fresh()
    with pytest.raises(BooksThrottled):
        create(books, name)
    assert budget.admit(books.realm, meter="write", batch=False, priority=0) > 50
    assert named(sandbox.books(), name) == []


@pytest.mark.parametrize(
    "kind", ["error_before", "error_after", "lost_reply", "truncate", "html", "drop_before"]
)
@pytest.mark.parametrize("form", ["json", "xml"])
def test_an_unknown_outcome_is_resolved_by_the_same_requestid(sandbox, kind, form):
    """Whether the write happened or not: the same bytes with the same requestid make exactly one object."""
    books = sandbox.books()
    name, requestid = fresh(), fresh()
    create(books, fresh())
    sandbox.control(add_fault={"kind": kind, "method": "POST", "path": "customer", "form": form})
    with pytest.raises(BooksUnavailable):
        create(books, name, requestid)
    create(books, name, requestid)
    assert len(named(books, name)) == 1


def test_a_drip_ends_at_the_deadline(sandbox):
    """A complete answer that would take a minute is given up long before."""
    sandbox.books().company_info()
    sandbox.control(add_fault={"kind": "slow_drip", "seconds": 60.0})
    began = datetime.now(UTC)
    with pytest.raises(BooksUnavailable, match="no complete answer"):
        create(sandbox.books(total_seconds=1.5), fresh())
    assert datetime.now(UTC) - began < timedelta(seconds=40)


def test_an_expired_token_is_renewed_in_passing(sandbox):
    """The caller notices nothing of a 401."""
    books = sandbox.books()
    create(books, fresh())
    sandbox.control(tokens={"expire_access": True})
    assert create(books, fresh()).status == 200
    before = sandbox.control().get("oauth", {})
    assert before is not None


@pytest.mark.parametrize("form", ["json", "lower", "xml"])
def test_a_realm_that_is_not_granted_stops_the_connection(sandbox, form):
    """3100 in any form needs a person."""
    books = sandbox.books()
    books.company_info()
    sandbox.control(add_fault={"kind": "forbidden", "form": form})
    with pytest.raises(ReconnectNeeded):
        create(books, fresh())


def test_a_read_survives_what_passes(sandbox):
    """Outages, HTML and lost answers in between do not reach whoever only wants to read."""
    books = sandbox.books()
    books.company_info()
    sandbox.control(
        faults=[
            {"kind": "html", "method": "GET"},
            {"kind": "lost_reply", "method": "GET", "skip": 0, "times": 1},
        ]
    )
    assert books.company_info()["Country"] == "IE"


@pytest.mark.parametrize(
    ("entity", "body", "code"),
    [
        ("Customer", {}, {"2020", "6080"}),
        ("Customer", {"DisplayName": "x", "PrimaryEmailAddr": {"Address": "nonsense"}}, {"2210"}),
        ("Customer", {"DisplayName": "x", "GivenName": "a:b"}, {"2040"}),
        ("Invoice", {"CustomerRef": {"value": "99999"}, "Line": [{"Amount": 1, "DetailType": "SalesItemLineDetail"}]}, {"2500", "610"}),
        ("Customer", {"DisplayName": "x" * 600}, {"2050"}),
        ("JournalEntry", {"Line": []}, {"2020", "6000", "2300"}),
        ("Nonsense", {}, {"500", "2000", "HTTP 404"}),
    ],
)  # fmt: skip
def test_real_refusals_are_faults_with_their_codes(sandbox, entity, body, code):
    """What QuickBooks' rules refuse arrives as a fault that says what to do."""
    with pytest.raises(BooksFault) as caught:
        sandbox.books().create(entity, canonical(body), fresh())
    assert caught.value.fault.code in code


def test_a_stale_token_of_an_object_is_5010(sandbox):
    """Somebody else's change is seen before it is overwritten."""
    books = sandbox.books()
    row = create(books, fresh()).body["Customer"]
    change = {"Id": row["Id"], "SyncToken": row["SyncToken"], "sparse": True}
    books.update("Customer", canonical({**change, "Notes": "first"}), fresh())
    with pytest.raises(BooksFault) as caught:
        books.update("Customer", canonical({**change, "Notes": "second"}), fresh())
    assert caught.value.fault.code == "5010"


def test_a_batch_of_thirty_with_two_refusals(sandbox):
    """Each item has its own outcome, and a replay of the batch changes nothing."""
    books = sandbox.books()
    taken = fresh()
    create(books, taken)
    items = [
        BatchItem(f"i{number}", "create", "Customer", canonical({"DisplayName": taken if number in {3, 9} else f"{taken}-{number}"}))
        for number in range(30)
    ]  # fmt: skip
    requestid = fresh()
    first = books.batch(items, requestid)
    assert {bid for bid, outcome in first.items() if isinstance(outcome, Fault)} == {"i3", "i9"}
    assert first["i3"].code == "6240"
    second = books.batch(items, requestid)
    ids = [outcome.body["Customer"]["Id"] for outcome in first.values() if not isinstance(outcome, Fault)]
    assert ids == [
        outcome.body["Customer"]["Id"] for outcome in second.values() if not isinstance(outcome, Fault)
    ]
    assert len(ids) == 28


def test_a_batch_may_void(sandbox):
    """In a batch a void is an update with an option."""
    books = sandbox.books()
    row = sale(books)
    body = canonical({"Id": row["Id"], "SyncToken": row["SyncToken"], "sparse": True})
    outcome = books.batch([BatchItem("i0", "update", "SalesReceipt", body, options="void")], fresh())
    assert isinstance(outcome["i0"], Fault) or outcome["i0"].body["SalesReceipt"]["TotalAmt"] == 0


def sale(books):
    item = books.query("select * from Item where Type = 'Service'")[0]
    code = books.query("select * from TaxCode")[0]
    line = {
        "Amount": Decimal("25.00"),
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": item["Id"]}, "TaxCodeRef": {"value": code["Id"]}},
    }
    body = {
        "CurrencyRef": {"value": "EUR"},
        "GlobalTaxCalculation": "TaxExcluded",
        "Line": [line],
        "TxnDate": "2026-03-04",
    }
    return books.create("SalesReceipt", canonical(body), fresh()).body["SalesReceipt"]


def test_a_void_keeps_the_document(sandbox):
    """The row stays with zero amounts."""
    books = sandbox.books()
    row = sale(books)
    voided = books.void("SalesReceipt", row["Id"], row["SyncToken"], fresh()).body["SalesReceipt"]
    assert voided["TotalAmt"] == 0
    assert books.read("SalesReceipt", row["Id"])["TotalAmt"] == 0
    with pytest.raises(BooksFault) as caught:
        books.read("SalesReceipt", "999999")
    assert caught.value.fault.code == "610"


def test_reports_are_read_to_rows_and_balance(sandbox):
    """Trial balance: both sides equal. Profit and loss and the ledger hold the same sale."""
    books = sandbox.books()
    row = sale(books)
    period = {"start_date": "2026-01-01", "end_date": "2026-12-31"}
    balances = trial_balance(books.report("TrialBalance", **period))
    assert sum(one.debit for one in balances) == sum(one.credit for one in balances) > 0
    assert profit_and_loss(books.report("ProfitAndLoss", **period))
    lines = [
        line
        for line in read_general_ledger(books, date(2026, 3, 4), date(2026, 3, 4))
        if line.txn_id == row["Id"]
    ]
    assert any(abs(line.amount) == Decimal(25) for line in lines)


def test_an_attachment_arrives(sandbox):
    """The file is linked to the document it belongs to."""
    books = sandbox.books()
    row = sale(books)
    reply = books.attach(
        "lines.csv",
        b"a;b\r\n1;2\r\n",
        "text/csv",
        to={"type": "SalesReceipt", "value": row["Id"]},
        requestid=fresh(),
    )
    attached = reply.body["AttachableResponse"][0]["Attachable"]
    assert attached["FileName"] == "lines.csv"
    assert attached["AttachableRef"][0]["EntityRef"]["value"] == row["Id"]


def test_object_classes_of_the_library_work_through_our_door(sandbox):
    """Reading and filtering with python-quickbooks' own classes, over plain http, without its traps."""
    books = sandbox.books()
    name = fresh()
    create(books, name)
    assert Customer.filter(DisplayName=name, qb=books.library)[0].DisplayName == name
    assert Customer.count(qb=books.library) > 1


def test_a_person_connects_with_the_sandbox_consent_page(sandbox):
    """The whole flow: link, consent page, redirect, exchange, tokens in the store, expiry dates known."""
    sandbox.control(consent="grant")
    store = TokenStore(open_control_plane("sqlite://"), bytes(32))
    shown = []

    def paste():
        return requests.get(shown[0], allow_redirects=False, timeout=10).headers["location"]

    app = sandbox.app
    production = type(app)(
        app.client_id, app.client_secret, "https://shop.example/callback", app.discovery_url
    )
    consent.connect(
        store, production, connection="b", realm=sandbox.options.realm, show=shown.append, paste=paste
    )
    tokens = Tokens(**store.load("b"))
    assert asdict(tokens)["realm"] == sandbox.options.realm
    assert len(expiries(tokens, datetime.now(UTC))) == 3
    sandbox.control(consent="deny")
    with pytest.raises(ReconnectNeeded, match="access_denied"):
        consent.connect(
            store,
            production,
            connection="b",
            realm=sandbox.options.realm,
            show=lambda link: shown.insert(0, link),
            paste=paste,
        )
    sandbox.control(consent="ask")


def test_a_revoked_token_pauses_the_connection():
    """When the consent is taken back, the client says so instead of trying on."""
    with running() as other:
        books = other.books()
        create(books, fresh())
        other.control(tokens={"revoke": True})
        with pytest.raises(ReconnectNeeded):
            create(books, fresh())
