"""The XML form of the API, for clients that speak nothing else."""

from xml.etree import ElementTree as ET

import pytest

from ps_qb_pipeline.sandbox.books import xmlform
from ps_qb_pipeline_tests.sandbox.books.bench import serving

SPACE = {"q": xmlform.NAMESPACE}
ASKED = {"Accept": "application/xml"}
RECEIPT = b"""<?xml version="1.0"?>
<SalesReceipt xmlns="http://schema.intuit.com/finance/v3" sparse="false">
  <DocNumber>X-1</DocNumber><TxnDate>2026-03-15</TxnDate><GlobalTaxCalculation>NotApplicable</GlobalTaxCalculation>
  <Line><Amount>12.50</Amount><DetailType>SalesItemLineDetail</DetailType>
    <SalesItemLineDetail><ItemRef name="Hours">2</ItemRef><Qty>1</Qty><UnitPrice>12.50</UnitPrice></SalesItemLineDetail></Line>
  <PrivateNote>Tea &amp; scones</PrivateNote>
</SalesReceipt>"""


@pytest.fixture(scope="module")
def wire():
    with serving() as running:
        running.connect()
        yield running


def asked(wire, method, path, **more):
    """Return (status, root element) of a call that asks for XML."""
    answer = wire.request(method, path, headers=ASKED | more.pop("headers", {}), **more)
    assert answer.headers["content-type"].startswith("application/xml")
    assert answer.headers["intuit_tid"]
    return answer.status_code, ET.fromstring(answer.content)


def test_a_document_is_written_and_read_in_xml(wire):
    """References are text with a name, lists are repeated elements, envelope values are attributes."""
    status, root = asked(
        wire, "POST", "salesreceipt", content=RECEIPT, headers={"Content-Type": "application/xml"}
    )
    assert (status, root.tag) == (200, f"{{{xmlform.NAMESPACE}}}IntuitResponse")
    made = root.find("q:SalesReceipt", SPACE)
    assert made.get("domain") == "QBO"
    assert made.findtext("q:TotalAmt", namespaces=SPACE) == "12.5"
    assert made.findtext("q:PrivateNote", namespaces=SPACE) == "Tea & scones"
    lines = made.findall("q:Line", SPACE)
    assert [line.findtext("q:DetailType", namespaces=SPACE) for line in lines] == [
        "SalesItemLineDetail",
        "SubTotalLineDetail",
    ]
    item = lines[0].find("q:SalesItemLineDetail/q:ItemRef", SPACE)
    assert (item.text, item.get("name")) == ("2", "Hours")
    ident = made.findtext("q:Id", namespaces=SPACE)
    shown = wire.request("GET", f"salesreceipt/{ident}").json()["SalesReceipt"]
    assert (shown["TotalAmt"], shown["DocNumber"]) == (12.5, "X-1")


def test_queries_and_reports_have_an_xml_form(wire):
    """Counts and positions are attributes of QueryResponse; a report's cells are attributes of ColData."""
    _, root = asked(wire, "GET", "query", params={"query": "select * from Term maxresults 2"})
    found = root.find("q:QueryResponse", SPACE)
    assert (found.get("maxResults"), len(found.findall("q:Term", SPACE))) == ("2", 2)
    _, report = asked(wire, "GET", "reports/TrialBalance")
    assert report.find("q:Columns/q:Column/q:ColType", SPACE).text == "Account"


def test_refusals_have_an_xml_form(wire):
    """A Fault and the gateway's 401 alike; codes are attributes."""
    status, root = asked(wire, "GET", "invoice/99999")
    fault = root.find("q:Fault", SPACE)
    assert (status, fault.get("type"), fault.find("q:Error", SPACE).get("code")) == (
        400, "ValidationFault", "610",
    )  # fmt: skip
    status, root = asked(wire, "GET", "invoice/1", headers={"authorization": "Bearer wrong"})
    fault = root.find("q:Fault", SPACE)
    assert (status, fault.get("type"), fault.find("q:Error", SPACE).get("code")) == (
        401, "AUTHENTICATION", "3200",
    )  # fmt: skip


@pytest.mark.parametrize("body", [b"<Customer>", b"no xml", b'<!DOCTYPE x [<!ENTITY a "b">]><Customer/>'])
def test_what_is_no_xml_is_refused_in_xml(wire, body):
    """A broken body, or one with a document type, is a Fault."""
    status, root = asked(wire, "POST", "customer", content=body, headers={"Content-Type": "text/xml"})
    assert (status, root.find("q:Fault/q:Error", SPACE).get("code")) == (400, "2010")


@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/json, application/xml", ""])
def test_json_is_the_rule(wire, accept):
    """Whoever would take JSON gets JSON."""
    answer = wire.request("GET", "companyinfo/1", headers={"Accept": accept})
    assert answer.json()["CompanyInfo"]["Id"] == "1"
