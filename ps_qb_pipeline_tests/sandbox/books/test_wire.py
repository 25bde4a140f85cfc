"""Faults as a client meets them on the wire."""

import time

import httpx
import pytest

from ps_qb_pipeline_tests.sandbox.books.bench import serving


@pytest.fixture(scope="module")
def wire():
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def clean(wire):
    wire.control(faults=[], index_lag_seconds=0, clock={"freeze": False})
    wire.connect()


def name():
    name.count += 1
    return f"Customer {name.count}"


name.count = 0


def create(wire, label, **query):
    return wire.request("POST", "customer", json={"DisplayName": label}, params=query)


def exists(wire, label):
    answer = wire.request(
        "GET", "query", params={"query": f"select count(*) from Customer where DisplayName = '{label}'"}
    )
    return answer.json()["QueryResponse"]["totalCount"]


def test_replies_carry_a_trace_id_and_the_servers_time(wire):
    """intuit_tid is on every reply; time has milliseconds and the Pacific offset."""
    answer = wire.request("GET", "companyinfo/1")
    assert answer.headers["intuit_tid"].startswith("1-")
    assert answer.json()["time"][-6:] in {"-08:00", "-07:00"}
    assert answer.json()["time"][19] == "."
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(("form", "kind", "text"), [
    ("json", "application/json", '"code":"3001"'), ("lower", "application/json", '"fault":{"error"'),
    ("xml", "application/xml", '<Error code="3001"'), ("html", "text/html", "<html>"), ("empty", "text/plain", ""),
])  # fmt: skip
def test_a_throttle_comes_in_every_form(wire, form, kind, text):
    """429 in JSON, in lower case, in XML, as a page, or without a body; nothing is written."""
    wire.control(faults=[{"kind": "throttle", "form": form}])
    label = name()
    answer = create(wire, label)
    assert answer.status_code == 429
    assert text in answer.text
    if text:
        assert answer.headers["content-type"].startswith(kind)
    assert "retry-after" not in answer.headers
    assert exists(wire, label) == 0


def test_retry_after_is_sent_only_by_the_switch(wire):
    """Nobody knows whether Intuit sends it."""
    wire.control(faults=[{"kind": "throttle"}], switches={"retry_after": "present"})
    assert create(wire, name()).headers["retry-after"] == "60"
    wire.control(switches={"retry_after": "absent"})


@pytest.mark.parametrize(("kind", "status", "written"), [
    ("error_before", 500, 0), ("error_after", 500, 1), ("unauthorized", 401, 0), ("forbidden", 403, 0), ("html", 200, 0), ("fault", 400, 0),
])  # fmt: skip
def test_an_error_is_before_or_after_the_commit(wire, kind, status, written):
    """The status alone does not tell what was written."""
    wire.control(faults=[{"kind": kind}])
    label = name()
    assert create(wire, label).status_code == status
    assert exists(wire, label) == written


@pytest.mark.parametrize(("kind", "written"), [("drop_before", 0), ("lost_reply", 1), ("truncate", 1)])
def test_a_connection_may_break_before_or_after_the_commit(wire, kind, written):
    """The client sees a broken connection; replay by requestid finds what was written."""
    wire.control(faults=[{"kind": kind}])
    label, requestid = name(), f"q-{kind}"
    with pytest.raises(httpx.TransportError):
        create(wire, label, requestid=requestid)
    assert exists(wire, label) == written
    assert create(wire, label, requestid=requestid).status_code == 200
    assert exists(wire, label) == 1


def test_a_late_commit_lands_after_its_answer(wire):
    """The gateway gives up with 504, and the write happens all the same, later by the company's clock."""
    wire.control(faults=[{"kind": "late_commit", "seconds": 100}], clock={"freeze": True})
    label = name()
    assert create(wire, label).status_code == 504
    assert exists(wire, label) == 0
    assert wire.state()["late"] == 1
    wire.control(clock={"advance": 101})
    wire.connect()
    assert exists(wire, label) == 1


def test_a_slow_drip_takes_its_time(wire):
    """All bytes come, slowly."""
    wire.control(faults=[{"kind": "slow_drip", "seconds": 0.3}])
    start = time.monotonic()
    assert create(wire, name()).json()["Customer"]["Id"]
    assert time.monotonic() - start >= 0.25


def test_the_index_may_lag_behind(wire):
    """Queries show the state of some seconds ago; reading by id shows the present."""
    made = create(wire, name()).json()["Customer"]
    wire.control(index_lag_seconds=60, clock={"freeze": True})
    label = name()
    fresh = create(wire, label).json()["Customer"]
    body = {"Id": made["Id"], "SyncToken": made["SyncToken"], "sparse": True, "Notes": "new"}
    wire.request("POST", "customer", json=body)
    assert exists(wire, label) == 0
    assert wire.request("GET", f"customer/{fresh['Id']}").status_code == 200
    query = {"query": f"select * from Customer where Id = '{made['Id']}'"}
    assert "Notes" not in wire.request("GET", "query", params=query).json()["QueryResponse"]["Customer"][0]
    wire.control(clock={"advance": 61})
    assert exists(wire, label) == 1
    assert wire.request("GET", "query", params=query).json()["QueryResponse"]["Customer"][0]["Notes"] == "new"


def test_faults_choose_their_requests(wire):
    """Method, path, how many to skip, how often."""
    wire.control(
        faults=[
            {
                "kind": "error_before",
                "method": "POST",
                "path": "^customer$",
                "skip": 1,
                "times": 2,
                "status": 503,
            }
        ]
    )
    assert wire.request("GET", "companyinfo/1").status_code == 200
    assert [create(wire, name()).status_code for _ in range(4)] == [200, 503, 503, 200]
    wire.control(faults=[{"kind": "error_before", "times": -1, "percent": 50}], seed=7)
    codes = [wire.request("GET", "companyinfo/1").status_code for _ in range(30)]
    wire.control(faults=[{"kind": "error_before", "times": -1, "percent": 50}], seed=7)
    assert codes == [wire.request("GET", "companyinfo/1").status_code for _ in range(30)]
    assert 5 < codes.count(500) < 25


def test_the_token_endpoint_has_faults_too(wire):
    """An outage of the token endpoint, and an answer that gets lost after the rotation."""
    wire.control(faults=[{"kind": "error_before", "path": "^token$", "status": 503}])
    assert wire.connect().status_code == 503
    wire.control(faults=[{"kind": "lost_reply", "path": "^token$"}])
    with pytest.raises(httpx.TransportError):
        wire.connect()
    assert wire.connect().status_code == 200


@pytest.mark.parametrize("document", [
    {"nonsense": 1}, {"faults": [{"kind": "flood"}]}, {"switches": {"tax_override": "maybe"}}, {"switches": {"no": 1}}, {"faults": [{"kind": "html", "more": 1}]},
    {"limits": {"per_minute": "many"}}, {"webhooks": {"form": "fax"}}, {"clock": {"set": "soon"}}, {"merge": {"entity": "Term", "from": 1, "into": 2}}, {"consent": "perhaps"}, [1],
])  # fmt: skip
def test_a_lever_that_is_not_there_is_a_400_that_says_so(wire, document):
    """Mistakes in a control document are answered in words."""
    answer = wire.client.put(f"{wire.url}/_control", json=document)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_the_state_counts_what_happened(wire):
    """Requests, statuses, replays and faults are counted; the ledger's sum is shown."""
    wire.control(counts="reset")
    label = name()
    for _ in range(2):
        create(wire, label, requestid="count-1")
    state = wire.state()
    assert state["counts"]["writes"] == 2
    assert state["counts"]["replays"] == 1
    assert state["counts"]["status:200"] == 2
    assert state["ledger"]["sum"] == 0


def test_other_methods_and_urls_are_refused(wire):
    """DELETE is no operation of the API; an unknown URL is a 404."""
    assert wire.request("DELETE", "customer/1").json()["Fault"]["Error"][0]["code"] == "500"
    assert wire.request("GET", "customer/1/nothing").status_code == 404
    assert wire.request("POST", "customer", content=b"{").json()["Fault"]["Error"][0]["code"] == "2010"
    assert (
        wire.request("POST", "customer", content=b'{"DisplayName":"\xff"}').json()["Fault"]["Error"][0][
            "code"
        ]
        == "500"
    )


def test_pdf_send_and_attachments(wire):
    """A document can be printed, sent by mail, and have a file attached and fetched."""
    line = {
        "Amount": 5,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": "1"}, "TaxCodeRef": {"value": "5"}},
    }
    made = wire.request("POST", "invoice", json={"CustomerRef": {"value": "1"}, "Line": [line]}).json()[
        "Invoice"
    ]
    assert wire.request("GET", f"invoice/{made['Id']}/pdf").content.startswith(b"%PDF-")
    sent = wire.request("POST", f"invoice/{made['Id']}/send", params={"sendTo": "a@example.com"}).json()[
        "Invoice"
    ]
    assert (sent["EmailStatus"], sent["BillEmail"]["Address"]) == ("EmailSent", "a@example.com")
    files = {
        "file_metadata_01": (
            "meta.json",
            b'{"AttachableRef":[{"EntityRef":{"type":"Invoice","value":"%s"}}],"FileName":"a.txt"}'
            % made["Id"].encode(),
            "application/json",
        ),
        "file_content_01": ("a.txt", b"line one\r\nline two", "text/plain"),
    }
    stored = wire.request("POST", "upload", files=files).json()["AttachableResponse"][0]["Attachable"]
    assert (stored["FileName"], stored["Size"], stored["SyncToken"]) == ("a.txt", 18, "0")
    assert wire.client.get(stored["TempDownloadUri"]).content == b"line one\r\nline two"
    assert wire.request("GET", f"download/{stored['Id']}").text == stored["TempDownloadUri"]


def test_a_file_may_come_with_bare_line_feeds_in_base64(wire):
    """python-quickbooks ends lines with LF, begins with one, and encodes the content."""
    body = (
        '\n---B\nContent-Disposition: form-data; name="file_metadata_01"\nContent-Type: application/json\n\n'
        '{"FileName": "b.txt", "Note": ""}\n\n---B\nContent-Disposition: form-data; name="file_content_01"\n'
        "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n\n---B--\n"
    )
    answer = wire.request(
        "POST", "upload", content=body, headers={"content-type": "multipart/form-data; boundary=-B"}
    )
    stored = answer.json()["AttachableResponse"][0]["Attachable"]
    assert stored["FileName"] == "b.txt"
    assert wire.client.get(stored["TempDownloadUri"]).content == b"hello"
