"""Replay by requestid, and batches."""

import pytest

from ps_qb_pipeline_tests.sandbox.books.bench import Bench


@pytest.fixture
def books():
    return Bench("ie")


def body(books, number="N1", amount=5):
    return books.receipt(books.line(amount, code="Zero 0%"), DocNumber=number)


def count(books):
    return books.query("select count(*) from SalesReceipt")["totalCount"]


def test_a_repeated_requestid_gets_the_first_answer_and_writes_nothing(books):
    """Not even a different body makes a second document."""
    first = books.call("POST", "salesreceipt", body(books), requestid="r1")
    assert books.call("POST", "salesreceipt", body(books), requestid="r1") == first
    assert books.call("POST", "salesreceipt", body(books, "N2", 99), requestid="r1") == first
    assert count(books) == 1


def test_updates_deletes_and_voids_replay_too(books):
    """A replayed update is no 5010, a replayed delete no 610."""
    made = books.create("SalesReceipt", body(books))
    change = {"Id": made["Id"], "SyncToken": "0", "sparse": True, "PrivateNote": "n"}
    first = books.call("POST", "salesreceipt", change, requestid="u1")
    assert books.call("POST", "salesreceipt", change, requestid="u1") == first
    gone = {"Id": made["Id"], "SyncToken": "1"}
    answers = [books.call("POST", "salesreceipt", gone, requestid="d1", operation="delete") for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0][0] == 200


def test_a_refused_request_is_forgotten_unless_the_switch_remembers(books):
    """Whether a 4xx is replayed is uncertain: both are there."""
    bad = body(books, "X" * 22)
    assert books.code("POST", "salesreceipt", bad, requestid="b1") == "2050"
    assert books.call("POST", "salesreceipt", body(books), requestid="b1")[0] == 200
    books.company.switches.change({"requestid_failures": "replayed"})
    assert books.code("POST", "salesreceipt", bad, requestid="b2") == "2050"
    assert books.code("POST", "salesreceipt", body(books, "N3"), requestid="b2") == "2050"


def test_a_requestid_may_be_ignored_refused_or_forgotten(books):
    """The worlds in which idempotency keys do not help."""
    books.company.switches.change({"warn_duplicate_number": "off"})
    books.create("SalesReceipt", body(books), requestid="r1")
    books.company.switches.change({"requestid": "refused"})
    assert books.code("POST", "salesreceipt", body(books), requestid="r1") == "600"
    books.company.switches.change({"requestid": "ignored"})
    books.create("SalesReceipt", body(books), requestid="r1")
    books.company.switches.change({"requestid": "replayed", "requestid_hours": 1})
    books.control.apply({"clock": {"advance": 7200}})
    books.create("SalesReceipt", body(books), requestid="r1")
    assert count(books) == 3


def test_a_batch_answers_item_by_item(books):
    """Items have their own faults; queries and changes may be among them; the answers keep the order."""
    items = [
        {"bId": "a", "operation": "create", "SalesReceipt": body(books)},
        {"bId": "b", "operation": "create", "Customer": {"Nonsense": 1}},
        {"bId": "c", "Query": "select count(*) from Customer"},
        {"bId": "d", "operation": "create", "Customer": {"DisplayName": "In a batch"}},
        {"bId": "e", "operation": "create", "Sheep": {}},
    ]
    answers = books.post("batch", {"BatchItemRequest": items})["BatchItemResponse"]
    assert [answer["bId"] for answer in answers] == ["a", "b", "c", "d", "e"]
    assert answers[0]["SalesReceipt"]["Id"]
    assert answers[1]["Fault"]["Error"][0]["code"] == "2010"
    assert answers[2]["QueryResponse"]["totalCount"] == 12
    assert answers[3]["Customer"]["DisplayName"] == "In a batch"
    assert answers[4]["Fault"]["Error"][0]["code"] == "2000"


def test_a_failed_item_leaves_nothing_behind(books):
    """What an item had begun is undone, and the others stand."""
    foreign = {"DisplayName": "Yen", "CurrencyRef": {"value": "JPY"}, "PrimaryEmailAddr": {"Address": "bad"}}
    items = [
        {"bId": "1", "operation": "create", "Customer": foreign},
        {"bId": "2", "operation": "create", "Term": {"Name": "T", "DueDays": 3}},
    ]
    answers = books.post("batch", {"BatchItemRequest": items})["BatchItemResponse"]
    assert "Fault" in answers[0]
    assert answers[1]["Term"]["Id"]
    assert books.rows("select * from CompanyCurrency where Code = 'JPY'") == []


def test_a_batch_updates_deletes_and_voids(books):
    """Operations besides creation go by their names; a void is an update with an option."""
    one, two = books.create("SalesReceipt", body(books)), books.create("SalesReceipt", body(books, "N2"))
    items = [
        {
            "bId": "1",
            "operation": "update",
            "optionsData": "void",
            "SalesReceipt": {"Id": one["Id"], "SyncToken": "0", "sparse": True},
        },
        {"bId": "2", "operation": "delete", "SalesReceipt": {"Id": two["Id"], "SyncToken": "0"}},
    ]
    answers = books.post("batch", {"BatchItemRequest": items})["BatchItemResponse"]
    assert answers[0]["SalesReceipt"]["TotalAmt"] == 0
    assert answers[1]["SalesReceipt"]["status"] == "Deleted"


def test_a_batch_replays_as_a_whole(books):
    """The same requestid gets the same answers; ids have their lengths."""
    items = {"BatchItemRequest": [{"bId": "1", "operation": "create", "SalesReceipt": body(books)}]}
    first = books.call("POST", "batch", items, requestid="k" * 36)
    assert books.call("POST", "batch", items, requestid="k" * 36) == first
    assert count(books) == 1
    assert books.code("POST", "batch", items, requestid="k" * 37) == "2130"
    items["BatchItemRequest"][0]["bId"] = "x" * 11
    assert books.code("POST", "batch", items, requestid="other") == "2130"
    assert books.call("POST", "batch", items)[0] == 200


def test_the_order_of_a_batch_cannot_be_relied_on(books):
    """The switch carries items out backwards."""
    books.company.switches.change({"batch_order": "reversed"})
    items = [
        {"bId": str(n), "operation": "create", "Term": {"Name": f"T{n}", "DueDays": n}} for n in range(3)
    ]
    answers = books.post("batch", {"BatchItemRequest": items})["BatchItemResponse"]
    ids = [int(answer["Term"]["Id"]) for answer in answers]
    assert ids == sorted(ids, reverse=True)
