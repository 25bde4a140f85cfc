"""The code table: a row for every code of the contract, and what the client makes of each."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.errors import (
    BooksError,
    BooksFault,
    BooksThrottled,
    BooksUnavailable,
    Fault,
    FaultError,
    ReconnectNeeded,
)
from ps_qb_pipeline.quickbooks.answers import failure, fault_error, find_fault
from ps_qb_pipeline.quickbooks.faults import RULES, describe, field_of, rule, worst
from ps_qb_pipeline_tests.quickbooks.stub import Answer, fault

# code, status of the contract, the exception, the action
CONTRACT = [
    ("3200", 401, ReconnectNeeded, "retry"),
    ("3100", 403, ReconnectNeeded, "stop"),
    ("100", 403, ReconnectNeeded, "stop"),
    ("110", 401, ReconnectNeeded, "stop"),
    ("120", 401, ReconnectNeeded, "stop"),
    ("120", 400, ReconnectNeeded, "stop"),
    ("130", 400, BooksUnavailable, "retry"),
    ("140", 400, BooksUnavailable, "retry"),
    ("150", 503, BooksUnavailable, "retry"),
    ("3001", 429, BooksThrottled, "retry"),
    ("3001", 403, BooksThrottled, "retry"),
    ("10000", 500, BooksUnavailable, "retry"),
    ("500", 400, BooksFault, "hold"),
    ("600", 400, BooksUnavailable, "retry"),
    ("610", 400, BooksFault, "hold"),
    ("620", 400, BooksFault, "hold"),
    ("1040", 400, BooksFault, "hold"),
    ("2010", 400, BooksFault, "hold"),
    ("2020", 400, BooksFault, "hold"),
    ("2030", 400, BooksFault, "hold"),
    ("2040", 400, BooksFault, "hold"),
    ("2050", 400, BooksFault, "hold"),
    ("2130", 400, BooksFault, "hold"),
    ("2170", 400, BooksFault, "hold"),
    ("2210", 400, BooksFault, "hold"),
    ("2290", 400, BooksFault, "hold"),
    ("2300", 400, BooksFault, "hold"),
    ("2500", 400, BooksFault, "hold"),
    ("4000", 400, BooksFault, "hold"),
    ("4001", 400, BooksFault, "hold"),
    ("5010", 400, BooksFault, "retry"),
    ("5020", 400, BooksFault, "hold"),
    ("5030", 400, BooksFault, "hold"),
    ("6000", 400, BooksFault, "hold"),
    ("6070", 400, BooksFault, "hold"),
    ("6100", 400, BooksFault, "hold"),
    ("6140", 400, BooksFault, "hold"),
    ("6160", 400, BooksFault, "hold"),
    ("6170", 400, BooksFault, "hold"),
    ("6190", 400, BooksFault, "stop"),
    ("6200", 400, BooksFault, "hold"),
    ("6210", 400, BooksFault, "hold"),
    ("6240", 400, BooksFault, "hold"),
    ("6270", 400, BooksFault, "hold"),
    ("6540", 400, BooksFault, "hold"),
]


RETRIED = {"1000", "1010", "1020", "4002"}
STOPPING = {"3202", "10200"}
FURTHER = sorted(set(RULES) - {code for code, *_ in CONTRACT}, key=int)
"""Codes of Intuit's reference that the contract does not name one by one."""


@pytest.mark.parametrize("code", FURTHER)
def test_each_further_code_is_held_unless_it_is_an_outage(code):
    """A validation is held, a failure inside has an unknown outcome, a reset stops the connection."""
    known = rule(code)
    error = failure(400, {}, Answer(fault(code), 400).content())
    if code in RETRIED:
        assert known.action == "retry"
        assert type(error) is (BooksUnavailable if known.outcome_unknown else BooksFault)
    elif code in STOPPING:
        assert known.action == "stop"
        assert type(error) is (ReconnectNeeded if known.reconnect else BooksFault)
    else:
        assert (known.action, type(error)) == ("hold", BooksFault)
    assert known.cause.endswith(".")
    assert known.fix.endswith(".")


def test_every_code_of_the_contract_is_in_the_table():
    """None of them falls back to its range."""
    assert {code for code, *_ in CONTRACT} <= set(RULES)
    assert len(RULES) > 100


@pytest.mark.parametrize(("code", "status", "kind", "action"), CONTRACT)
def test_each_code_becomes_its_exception_and_action(code, status, kind, action):
    """One recorded fault a row: the exception, the action, a cause and a way out in plain words."""
    answer = Answer(fault(code, "Ann Smith's secret detail"), status)
    error = failure(status, {"intuit_tid": "t"}, answer.content())
    assert type(error) is kind
    known = rule(code)
    assert known.action == action
    assert known.cause.endswith(".")
    assert known.fix.endswith(".")
    assert "Ann" not in str(error)
    assert "t" in {error.facts.get("intuit_tid"), "t"}


@pytest.mark.parametrize(
    ("status", "kind", "content", "code"),
    [
        (401, ReconnectNeeded, (b'{"fault":{"error":[{"message":"m","detail":"Token expired: x","code":"3200",'
         b'"element":null}],"type":"AUTHENTICATION"},"time":1}'), "3200"),
        (403, ReconnectNeeded, (b'{"fault":{"error":[{"message":"message=ApplicationAuthorizationFailed; '
         b'errorCode=003100; statusCode=403","code":"3100"}],"type":"SERVICE"}}'), "3100"),
        (400, BooksFault, b'{"Fault":{"Error":{"Message":"one, not a list","code":"2020"},"type":"v"}}', "2020"),
        (400, BooksFault, b'{"Fault":{"Error":[{"Message":"errorCode=002050; x","code":"x"}]}}', "2050"),
        (400, BooksFault, (b'<?xml version="1.0"?><IntuitResponse xmlns="http://schema.intuit.com/finance/v3">'
         b'<Fault type="ValidationFault"><Error code="6240" element="Name"><Message>Duplicate</Message>'
         b"<Detail>The name supplied already exists.</Detail></Error></Fault></IntuitResponse>"), "6240"),
    ],
)  # fmt: skip
def test_faults_are_read_in_all_their_forms(status, kind, content, code):
    """The gateway's lower-case JSON, a single error, a padded code in the message, XML."""
    error = failure(status, {}, content)
    assert type(error) is kind
    assert find_fault(status, "", content).code == code


def test_xml_with_entities_is_not_expanded():
    """An answer that tries to blow up in memory is an unreadable one."""
    bomb = (
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
        b"<IntuitResponse><Fault><Error code='1'><Message>&b;</Message></Error></Fault></IntuitResponse>"
    )
    assert type(failure(400, {}, bomb)) is BooksUnavailable


def test_several_errors_are_judged_by_the_worst():
    """A fault with a retryable and a final error is held, one with a stopping error stops."""
    held = Fault((FaultError("5010", ""), FaultError("2050", "", element="Name")))
    assert worst(held).code == "2050"
    assert worst(Fault((FaultError("2050", ""), FaultError("6190", "")))).action == "stop"
    assert "5010, 2050" in describe(held)
    assert "(Name, SyncToken)" in describe(held)


def test_an_unknown_code_is_held_and_says_so():
    """What we do not know is never retried blindly; ranges of Intuit's decide the rest."""
    assert rule("9999").action == "hold"
    assert rule("12345").action == "retry"
    assert rule("199").action == "stop"
    assert rule("").action == "hold"
    assert field_of(FaultError("6140", "")) == "DocNumber"
    assert field_of(FaultError("2050", "", element="GivenName")) == "GivenName"


def test_errors_survive_a_process_border():
    """Every exception of the client can be pickled with all it knows."""
    error = fault_error(Fault((FaultError("6240", "m", "Id=5", "Name"),), "ValidationFault", 400, "tid"))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.fault) == (BooksFault, str(error), error.fault)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60),
        ({"Retry-After": "5"}, 5),
        ({"retry-after": "nonsense"}, 60),
        (
            {"Retry-After": "Mon, 23 Nov 2026 08:01:30 GMT", "Date": "Mon, 23 Nov 2026 08:01:00 GMT"},
            30,
        ),
        ({"Retry-After": "Mon, 23 Nov 2026 08:01:30 GMT"}, 60),
        ({"Retry-After": "999999"}, 3600),
    ],
)
def test_the_pause_after_a_throttle(headers, seconds):
    """Retry-After in both its forms, bounded; without a readable one 60 seconds."""
    error = failure(429, headers, b"")
    assert error.retry_after == seconds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["Fault", "fault", "Error", "error", "code", "Message", "element", "x"]), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
STATUS = st.sampled_from([200, 201, 302, 400, 401, 403, 404, 413, 429, 500, 502, 503, 504])


@settings(max_examples=300)
@given(STATUS, st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=60)))
def test_no_answer_whatever_breaks_the_reading(status, content):
    """Any bytes with any status are a good answer or one of our errors, never a crash."""
    error = failure(status, {}, content)
    assert error is None or isinstance(error, BooksError)
    if error is None:
        assert 200 <= status < 300
        assert isinstance(json.loads(content), dict)


@settings(max_examples=200)
@given(st.text(max_size=30), STATUS)
def test_no_xml_whatever_breaks_the_reading(text, status):
    """Half a fault in XML is an outage, not a crash."""
    for content in (f"<Fault>{text}", f"<Fault><Error code='{text}'/></Fault>", f"<!DOCTYPE {text}><Fault/>"):
        assert isinstance(failure(status, {}, content.encode()), BooksError)
