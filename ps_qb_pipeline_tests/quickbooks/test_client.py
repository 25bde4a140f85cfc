"""The client against a stub that answers as the contract says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import stamina
from quickbooks.objects.customer import Customer

from ps_qb_pipeline.errors import (
    BooksFault,
    BooksNotSent,
    BooksThrottled,
    BooksUnavailable,
    ReconnectNeeded,
)
from ps_qb_pipeline.quickbooks.batch import BatchItem
from ps_qb_pipeline.quickbooks.client import Books
from ps_qb_pipeline.quickbooks.limiter import MemoryStore, SharedBudget
from ps_qb_pipeline_tests.quickbooks.stub import (
    FAST,
    REALM,
    Answer,
    FixedTokens,
    books,
    envelope,
    fault,
    serving,
)

UNAUTHORIZED = {
    "warnings": None,
    "fault": {
        "error": [
            {
                "message": "message=AuthenticationFailed; errorCode=003200; statusCode=401",
                "detail": "Token expired: abc",
                "code": "3200",
                "element": None,
            }
        ],
        "type": "AUTHENTICATION",
    },
    "time": 1,
}


@pytest.fixture(autouse=True)
def _no_waiting():
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


def test_a_write_sends_exactly_the_given_bytes_with_requestid_and_minorversion():
    """Not one byte of a frozen body changes on its way, and the request carries its idempotency key."""
    body = b'{"TotalAmt":10.10,"Line":[]}'
    with serving(lambda _: Answer(envelope("SalesReceipt", {"Id": "7"}))) as stub:
        reply = books(stub).create("SalesReceipt", body, "req-1")
    (request,) = stub.requests
    assert request.body == body
    assert request.path == f"/v3/company/{REALM}/salesreceipt"
    assert request.query == {"requestid": "req-1", "minorversion": "75"}
    assert request.headers["authorization"] == "Bearer access-1"
    assert (reply.status, reply.intuit_tid, reply.body["SalesReceipt"]["Id"]) == (200, "1-tid", "7")


def test_numbers_are_read_as_decimals():
    """Money never becomes a float."""
    with serving(lambda _: Answer(b'{"QueryResponse":{"Invoice":[{"TotalAmt":0.10}]}}')) as stub:
        rows = books(stub).query("select * from Invoice")
    assert repr(rows[0]["TotalAmt"]) == "Decimal('0.10')"


def test_reads_go_through_python_quickbooks_objects_too():
    """An object class of python-quickbooks reads through the same door."""
    with serving(lambda _: Answer(envelope("Customer", {"Id": "5", "DisplayName": "Ann"}))) as stub:
        found = Customer.get(5, qb=books(stub).library)
    assert found.DisplayName == "Ann"
    assert stub.requests[0].query["minorversion"] == "75"


def test_a_refused_token_is_renewed_once_and_the_same_bytes_go_again():
    """After a 401 the same body and requestid are sent with a new token."""
    tokens = FixedTokens()

    def answer(request):
        if request.headers["authorization"] == "Bearer access-1":
            return Answer(UNAUTHORIZED, 401)
        return Answer(envelope("Invoice", {"Id": "1"}))

    with serving(answer) as stub:
        books(stub, tokens=tokens).create("Invoice", b'{"a":1}', "r")
    first, second = stub.requests
    assert (first.body, first.query) == (second.body, second.query)
    assert tokens.number == 2


def test_a_token_that_stays_refused_needs_a_person():
    """The renewed token is not renewed again and again."""
    with serving(lambda _: Answer(UNAUTHORIZED, 401)) as stub:
        with pytest.raises(ReconnectNeeded):
            books(stub).create("Invoice", b"{}", "r")
        assert len(stub.requests) == 2


def test_a_fault_keeps_all_its_errors():
    """Every error of a fault arrives, not only the first, and the message holds no detail of a customer."""
    said = fault("2050", "String length is either shorter or longer: Ann", element="GivenName")
    said["Fault"]["Error"].append({"Message": "m", "Detail": "d", "code": "2210", "element": "Email"})
    with serving(lambda _: Answer(said, 400)) as stub, pytest.raises(BooksFault) as caught:
        books(stub).create("Customer", b"{}", "r")
    assert [error.code for error in caught.value.fault.errors] == ["2050", "2210"]
    assert "Ann" not in str(caught.value)
    assert caught.value.fault.intuit_tid == "1-tid"


def test_a_fault_with_status_200_is_a_fault():
    """Status 200 does not make a refusal a success."""
    with serving(lambda _: Answer(fault("6000"), 200)) as stub, pytest.raises(BooksFault) as caught:
        books(stub).create("Invoice", b"{}", "r")
    assert caught.value.fault.code == "6000"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html>maintenance</html>", 200, {"Content-Type": "text/html"}),
        Answer(b"", 200),
        Answer(b'{"Invoice":', 200),
        Answer(b"<html>bad gateway</html>", 502),
        Answer(fault("10000", kind="SystemFault"), 500),
        Answer(b"", 302, {"Location": "https://example.org/login"}),
        Answer(b"forbidden", 403),
        Answer(drop=True),
    ],
)
def test_a_write_without_a_readable_answer_has_an_unknown_outcome_and_is_not_repeated(answer):
    """One request leaves, and the caller learns that its outcome is unknown."""
    with serving(lambda _: answer) as stub, pytest.raises(BooksUnavailable):
        books(stub).create("Invoice", b"{}", "r")
    assert len(stub.requests) == 1


def test_a_write_to_a_closed_port_was_never_sent():
    """Without a connection nothing can have been written, and the error says so."""
    with serving(lambda _: Answer()) as stub:
        pass
    with pytest.raises(BooksNotSent):
        books(stub).create("Invoice", b"{}", "r")


def test_an_answer_that_drips_ends_at_the_deadline():
    """A total time-out ends an exchange although every single byte arrives in time."""
    with serving(lambda _: Answer(b"{" + b" " * 10_000 + b"}", drip=0.02)) as stub:
        client = books(stub, total_seconds=0.3)
        with pytest.raises(BooksUnavailable, match="no complete answer within"):
            client.create("Invoice", b"{}", "r")


THROTTLES = [
    Answer(fault("3001", "message=ThrottleExceeded; errorCode=003001; statusCode=429", kind="SERVICE"), 429),
    Answer({"fault": {"error": [{"code": "003001", "message": "m"}], "type": "SERVICE"}}, 429),
    Answer(
        b'<?xml version="1.0"?><IntuitResponse xmlns="http://schema.intuit.com/finance/v3"><Fault type="SERVICE">'
        b'<Error code="3001"><Message>ThrottleExceeded</Message></Error></Fault></IntuitResponse>',
        429,
        {"Content-Type": "application/xml"},
    ),
    Answer(b"<html>too many</html>", 429),
    Answer(fault("3001", kind="SERVICE"), 403),
]


@pytest.mark.parametrize("answer", THROTTLES)
def test_a_throttle_in_any_form_slows_everyone_down(answer):
    """A 429 as JSON, lower-case JSON, XML or HTML, and even as 403, is one and the same thing."""
    budget = SharedBudget(MemoryStore(), FAST, now=lambda: 1000.0)
    with serving(lambda _: answer) as stub, pytest.raises(BooksThrottled) as caught:
        books(stub, budget=budget).create("Invoice", b"{}", "r")
    assert caught.value.retry_after == 60
    assert budget.admit(REALM, meter="write", batch=False, priority=1) > 59


def test_retry_after_is_honoured():
    """Where QuickBooks does say how long to wait, that is how long we wait."""
    answer = Answer(fault("3001"), 429, {"Retry-After": "7"})
    with serving(lambda _: answer) as stub, pytest.raises(BooksThrottled) as caught:
        books(stub).create("Invoice", b"{}", "r")
    assert caught.value.retry_after == 7


def test_a_read_is_tried_again_after_an_outage():
    """Reads may be repeated, so a passing 503 is not the caller's concern."""
    answers = iter([Answer(b"", 503), Answer({"QueryResponse": {"Item": [{"Id": "1"}]}})])
    with serving(lambda _: next(answers)) as stub:
        assert books(stub).query("select * from Item") == [{"Id": "1"}]


def test_a_refused_read_is_not_tried_again():
    """A fault does not get better by asking again."""
    with serving(lambda _: Answer(fault("4000"), 400)) as stub:
        with pytest.raises(BooksFault):
            books(stub).query("select nonsense")
        assert len(stub.requests) == 1


def test_all_pages_of_a_list_are_read_inactive_rows_too():
    """Pages are asked for until one is not full, ordered by Id, hidden rows included."""
    pages = {1: [{"Id": "1"}, {"Id": "2"}], 3: [{"Id": "3"}]}

    def answer(request):
        start = int(request.body.split(b"STARTPOSITION ")[1].split()[0])
        return Answer({"QueryResponse": {"Account": pages[start], "startPosition": start}})

    with serving(answer) as stub:
        assert [row["Id"] for row in books(stub).query_all("Account", page=2)] == ["1", "2", "3"]
    assert (
        stub.requests[0].body
        == b"SELECT * FROM Account WHERE Active IN (true, false) ORDERBY Id STARTPOSITION 1 MAXRESULTS 2"
    )
    assert stub.requests[0].headers["content-type"] == "application/text"


def test_an_empty_list_is_empty():
    """No match is an empty QueryResponse, without the entity's key."""
    with serving(lambda _: Answer({"QueryResponse": {}, "time": "t"})) as stub:
        assert list(books(stub).query_all("Invoice")) == []
        assert books(stub).count("Invoice") == 0


def test_void_uses_the_operation_that_the_entity_knows():
    """Invoices are voided by operation=void, the others by an update that includes void."""
    with serving(lambda _: Answer(envelope("Invoice", {"Id": "1"}))) as stub:
        books(stub).void("Invoice", "1", "2", "r1")
        books(stub).void("SalesReceipt", "1", "2", "r2")
    invoice, receipt = stub.requests
    assert invoice.query["operation"] == "void"
    assert (receipt.query["operation"], receipt.query["include"]) == ("update", "void")
    assert json.loads(receipt.body) == {"Id": "1", "SyncToken": "2", "sparse": True}


def test_what_is_called_before_sending_can_stop_it():
    """An error raised at the last moment passes through, and not one byte leaves."""

    def refuse():
        raise KeyboardInterrupt

    with serving(lambda _: Answer()) as stub:
        with pytest.raises(KeyboardInterrupt):
            books(stub).create("Invoice", b"{}", "r", before_send=refuse)
        assert stub.requests == []


def test_a_batch_has_one_outcome_an_item():
    """A created object, a refusal, a silence and an inner error are told apart by bId."""
    said = {
        "BatchItemResponse": [
            {"bId": "i1", "Fault": fault("6140")["Fault"]},
            {"bId": "i0", "Invoice": {"Id": "9"}},
            {"bId": "i3", "Fault": fault("10000")["Fault"]},
        ]
    }
    items = [BatchItem(f"i{number}", "create", "Invoice", b'{"n":%d.50}' % number) for number in range(4)]
    with serving(lambda _: Answer(said)) as stub:
        outcomes = books(stub).batch(items, "r" * 36)
    assert outcomes["i0"].body == {"Invoice": {"Id": "9"}}
    assert outcomes["i1"].code == "6140"
    assert set(outcomes) == {"i0", "i1"}
    assert b'"Invoice":{"n":2.50}' in stub.requests[0].body
    assert stub.requests[0].query["requestid"] == "r" * 36


@pytest.mark.parametrize(
    ("items", "requestid"),
    [
        ([BatchItem("i0", "create", "Invoice", b"{}")], "r" * 37),
        ([BatchItem("i" * 11, "create", "Invoice", b"{}")], "r"),
        ([BatchItem("i0", "create", "Invoice", b"{}")] * 2, "r"),
        ([BatchItem(f"i{number}", "create", "Invoice", b"{}") for number in range(31)], "r"),
        ([], "r"),
    ],
)
def test_a_batch_that_quickbooks_would_refuse_is_not_sent(items, requestid):
    """Too many items, long or doubled bIds, a long requestid."""
    with serving(lambda _: Answer()) as stub:
        with pytest.raises(ValueError, match=r"batch|bId"):
            books(stub).batch(items, requestid)
        assert stub.requests == []


def test_changes_are_split_until_no_answer_is_full():
    """A full answer (1,000 objects) is asked for again in halves; an entity full by itself is named."""
    many = [{"Id": str(number)} for number in range(1000)]

    def answer(request):
        asked = request.query["entities"].split(",")
        parts = [{name: many if name == "Invoice" else [{"Id": "1"}]} for name in asked]
        return Answer({"CDCResponse": [{"QueryResponse": parts}], "time": "2026-11-23T01:00:00.000-08:00"})

    with serving(answer) as stub:
        found = books(stub).changes(["Account", "Invoice", "Item"], datetime(2026, 11, 1, tzinfo=UTC))
    assert found.full == ("Invoice",)
    assert {change.entity for change in found.rows} == {"Account", "Item"}
    assert found.time == "2026-11-23T01:00:00.000-08:00"
    assert stub.requests[0].query["changedSince"] == "2026-11-01T00:00:00+00:00"


def test_deleted_rows_are_told_from_changed_ones():
    """A deletion arrives in change data capture as a row with a status."""
    said = {
        "CDCResponse": [
            {
                "QueryResponse": [
                    {"Invoice": [{"Id": "1"}, {"Id": "2", "status": "Deleted", "domain": "QBO"}]},
                    {},
                ]
            }
        ]
    }
    with serving(lambda _: Answer(said)) as stub:
        found = books(stub).changes(["Invoice"], datetime(2026, 11, 1, tzinfo=UTC))
    assert [(change.row["Id"], change.deleted) for change in found.rows] == [("1", False), ("2", True)]


def test_an_attachment_is_named_and_linked():
    """The upload carries what the file belongs to, and the file's bytes unchanged."""
    with serving(lambda _: Answer({"AttachableResponse": [{"Attachable": {"Id": "3"}}]})) as stub:
        content = bytes(range(256))
        books(stub).attach(
            "lines.csv", content, "text/csv", to={"type": "Invoice", "value": "12"}, requestid="r"
        )
    (request,) = stub.requests
    assert request.path.endswith("/upload")
    assert content in request.body
    assert b'"EntityRef": {"type": "Invoice", "value": "12"}' in request.body


def test_no_environment_variable_is_needed_for_plain_http(monkeypatch):
    """Loopback works although OAUTHLIB_INSECURE_TRANSPORT is not set."""
    monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT", raising=False)
    with serving(lambda _: Answer(envelope("CompanyInfo", {"Id": "1", "Country": "IE"}))) as stub:
        client = Books(base_url=stub.url, realm=REALM, tokens=FixedTokens())
        assert client.company_info()["Country"] == "IE"


def test_an_answer_without_what_was_asked_for_is_an_outage():
    """An object of another kind, or none, is never taken for an empty list."""
    with serving(lambda _: Answer({"time": "t"})) as stub:
        client = books(stub)
        for call in (
            client.company_info,
            lambda: client.query("select * from Item"),
            lambda: client.count("Item"),
            lambda: client.changes(["Item"], datetime(2026, 11, 1, tzinfo=UTC)),
        ):
            with pytest.raises(BooksUnavailable):
                call()


def test_reads_writes_and_changes_are_metered_apart():
    """Queries, posts included, count as metered reads; creates do not."""
    budget = SharedBudget(MemoryStore(), FAST)
    with serving(lambda _: Answer({"QueryResponse": {}, "CDCResponse": []})) as stub:
        client = books(stub, budget=budget)
        client.query("select * from Item")
        client.create("Item", b"{}", "r")
        client.changes(["Item"], datetime(2026, 11, 1, tzinfo=UTC))
    month = budget.month(REALM)
    assert (month.reads, month.cdc, month.writes, month.metered) == (1, 1, 1, 2)


def test_amounts_survive_the_reply():
    """What a create echoes is compared to the cent, so it is Decimal as well."""
    with serving(lambda _: Answer(b'{"Invoice":{"TotalAmt":19.99}}')) as stub:
        assert books(stub).create("Invoice", b"{}", "r").body["Invoice"]["TotalAmt"] == Decimal("19.99")
