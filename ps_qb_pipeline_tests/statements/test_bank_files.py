"""Bank statements in CSV, OFX 1 and 2 and CAMT.053 become the same bookings; hostile files are refused."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.statements import bank_files, csv_files
from ps_qb_pipeline.warehouse.raw import Landing

CSV = (
    "account,booking_date,amount,currency,counterparty,reference,description\n"
    "FR76,2026-03-02,120.00,EUR,Jo Doe,PS1-1001,thank you\n"
)
OFX_1 = """OFXHEADER:100
DATA:OFXSGML

<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>EUR
<BANKACCTFROM><ACCTID>FR76</BANKACCTFROM>
<BANKTRANLIST>
<STMTTRN><TRNTYPE>CREDIT<DTPOSTED>20260302120000[+1:CET]<TRNAMT>120.00
<FITID>F1
<NAME>Jo Doe
<MEMO>PS1-1001 thank you
</STMTTRN>
<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>20260303<TRNAMT>-7,50<FITID>F2<NAME>Caf&amp;e
</BANKTRANLIST></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>"""
OFX_2 = """<?xml version="1.0"?><?OFX OFXHEADER="200"?>
<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>EUR</CURDEF><BANKACCTFROM><ACCTID>FR76</ACCTID></BANKACCTFROM>
<BANKTRANLIST><STMTTRN><DTPOSTED>20260302</DTPOSTED><TRNAMT>120.00</TRNAMT><FITID>F1</FITID><NAME>Jo Doe</NAME>
<MEMO>PS1-1001 thank you</MEMO></STMTTRN></BANKTRANLIST></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>"""
CAMT = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt>
<Acct><Id><IBAN>FR76</IBAN></Id></Acct>
<Ntry><Amt Ccy="EUR">120.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
<BookgDt><Dt>2026-03-02</Dt></BookgDt><AcctSvcrRef>B1</AcctSvcrRef>
<NtryDtls><TxDtls><RltdPties><Dbtr><Pty><Nm>Jo Doe</Nm></Pty></Dbtr></RltdPties>
<RmtInf><Ustrd>PS1-1001</Ustrd><Ustrd>thank you</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="EUR">30.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
<BookgDt><Dt>2026-03-03</Dt></BookgDt><AcctSvcrRef>B2</AcctSvcrRef><NtryDtls>
<TxDtls><Amt Ccy="EUR">10.00</Amt></TxDtls><TxDtls><Amt Ccy="EUR">20.00</Amt></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="EUR">9.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts>
<BookgDt><Dt>2026-03-03</Dt></BookgDt></Ntry>
</Stmt></BkToCstmrStmt></Document>"""


def read(text: str) -> list[Landing]:
    """The bookings of a file of an account in euros."""
    return bank_files.read(text.encode(), "file", csv_files.packaged(), currency="EUR")


@pytest.mark.parametrize("text", [CSV, OFX_1, OFX_2, CAMT], ids=["csv", "ofx1", "ofx2", "camt"])
def test_a_booking_is_the_same_in_every_form(text: str) -> None:
    """Day, amount, payer, and the words in which the invoice is named."""
    values = read(text)[0].values
    assert (values["account"], values["booked_on"]) == ("FR76", date(2026, 3, 2))
    assert (values["amount"], values["currency"]) == (Decimal("120.00"), "EUR")
    assert values["counterparty"] == "Jo Doe"
    assert "PS1-1001" in f"{values['reference']} {values['description']}"


def test_money_that_went_out_is_negative_and_entities_are_read() -> None:
    """A decimal comma in OFX is no thousands mark."""
    assert read(OFX_1)[1].values["amount"] == Decimal("-7.50")
    assert read(OFX_1)[1].values["counterparty"] == "Caf&e"


def test_payments_that_a_bank_booked_together_are_told_apart() -> None:
    """Each keeps its own amount and an identity of its own; what is only pending is left out."""
    rows = read(CAMT)
    assert [row.values["amount"] for row in rows] == [Decimal(120), Decimal(10), Decimal(20)]
    assert len({row.id for row in rows}) == 3


def test_the_same_booking_in_two_statements_is_one() -> None:
    """Its identity is the bank's, not its place in a file."""
    assert read(OFX_1)[0].id == read(OFX_2)[0].id


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    "<Document><BkToCstmrStmt><Stmt><x>&b;</x></Stmt></BkToCstmrStmt></Document>"
)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<Document><BkToCstmrStmt><Stmt><x>&x;</x></Stmt></BkToCstmrStmt></Document>"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "cannot be read as XML"),
        (OUTSIDE, "cannot be read as XML"),
        ("<Document>", "cannot be read as XML"),
        ("<Document/>", "no CAMT.053"),
        ("a;b\n1;2\n", "neither OFX nor CAMT.053"),
        (OFX_2.replace("120.00", "much"), "no amount"),
        (OFX_2.replace("20260302", "soon"), "no date"),
    ],
)
def test_a_file_that_is_hostile_or_broken_is_refused(text: str, said: str) -> None:
    """No entity is expanded, nothing outside is read, and the message says what is wrong."""
    with pytest.raises(SettingsError, match=said):
        read(text)
