"""Every kind of document, as the companies of four countries store it: to the cent what was meant."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from ps_qb_pipeline.accounting.documents import (
    Applied,
    Customer,
    Document,
    Item,
    Line,
    PostalAddress,
    TaxLine,
)
from ps_qb_pipeline.accounting.policy import PaymentMethod, Policy, TaxCode, TaxRate
from ps_qb_pipeline.errors import BooksFault
from ps_qb_pipeline.quickbooks import provision
from ps_qb_pipeline.quickbooks.bodies import body, customer_body, item_body
from ps_qb_pipeline.quickbooks.references import References
from ps_qb_pipeline_tests.quickbooks.sandbox import running

D = Decimal
HOME = {"us": "USD", "gb": "GBP", "ca": "CAD", "ie": "EUR"}


def policy(country):
    return Policy(
        home_currency=HOME[country],
        tax_mode="US_AST" if country == "us" else "GLOBAL_EXCL",
        tax_codes={
            "T20": TaxCode((TaxRate("Twenty", D(20)),)),
            "T2": TaxCode((TaxRate("Federal", D(5)), TaxRate("Provincial", D("9.975")))),
            "OOS": TaxCode(()),
        },
        methods={"stripe": PaymentMethod(account="Clearing:Stripe {CUR}", books_name="Stripe")},
    )


class World:
    def __init__(self, sandbox, country):
        self.country = country
        self.currency = HOME[country]
        self.books = sandbox.books()
        self.names = References.read(self.books)
        self.plan = provision.plan(policy(country), self.names)
        provision.carry_out(self.plan, self.books, self.names)
        self.number = 0
        address = PostalAddress(
            "1 Main Street", city="Albany", postal_code="12207", subdivision="NY", country="US"
        )
        customer = Customer("c", "Ann Example", "Ann", "Example", email="ann@example.org", currency=self.currency,
                            billing=address, shipping=address)  # fmt: skip
        item = Item("sku:MUG", "MUG", "MUG", income_account="Sales of goods")
        for kind, key, name, content in (("Customer", "c", "Ann Example", customer_body(customer, self.names)),
                                         ("Item", "sku:MUG", "MUG", item_body(item, self.names))):  # fmt: skip
            row = self.books.create(kind, content, f"{kind}-1").body[kind]
            self.names.learn(kind, key, name, row["Id"])

    def document(self, kind="SalesReceipt", **values):
        self.number += 1
        code = "TAX" if self.country == "us" else "T20"
        made = Document(
            key=f"1|sale|{self.number}|0", type=kind, role="sale", source_id=str(self.number), revision=0,
            doc_number=f"PS1-{self.number}", order_id=self.number, id_shop=1, reference="R",
            txn_date=date(2026, 1, 15), currency=self.currency, total=D("36.00"), customer_key="c",
            customer_name="Ann Example", global_tax="" if self.country == "us" else "TaxExcluded",
            lines=(Line("product", "sku:MUG", D("30.00"), code, D(3), D("10.00")),
                   Line("shipping", "PS Shipping", D("5.00"), code),
                   Line("discount", "PS Discount", D("-5.00"), code)),
            taxes=(TaxLine(code, D(20), D("30.00"), D("6.00")),), total_tax=D("6.00"),
            deposit_to=f"Clearing:Stripe {self.currency}", payment_method="Stripe", private_note="ps:{v:1}",
        )  # fmt: skip
        return replace(made, **values)

    def post(self, document):
        reply = self.books.create(document.type, body(document, self.names), f"r{self.number}")
        row = reply.body[document.type]
        self.names.learn(document.type, document.key, document.doc_number, row["Id"])
        return row


@pytest.fixture(scope="module", params=["ie", "gb", "ca", "us"])
def world(request):
    with running(request.param) as sandbox:
        yield World(sandbox, request.param)


@pytest.mark.parametrize("kind", ["SalesReceipt", "Invoice", "RefundReceipt", "CreditMemo"])
def test_a_sales_document_is_stored_as_meant(world, kind):
    """Total, tax, number, date and note come back equal; the deposit account where money moves."""
    document = world.document(kind)
    row = world.post(document)
    assert D(row["TotalAmt"]) == document.total
    assert D(row["TxnTaxDetail"]["TotalTax"]) == document.total_tax
    assert (row["DocNumber"], row["TxnDate"], row["PrivateNote"]) == (
        document.doc_number,
        "2026-01-15",
        "ps:{v:1}",
    )
    if kind in {"SalesReceipt", "RefundReceipt"}:
        assert row["DepositToAccountRef"]["value"] == world.names.account(document.deposit_to)


def test_a_payment_settles_its_invoice(world):
    """The invoice's balance is zero afterwards, the surplus stays unapplied."""
    invoice = world.document("Invoice")
    stored = world.post(invoice)
    payment = world.document(
        "Payment", role="payment", doc_number="PS1-P1", total=D("40.00"), lines=(), taxes=(), total_tax=D(0),
        global_tax="", applied=(Applied(invoice.key, invoice.doc_number, D("36.00")),), unapplied=D("4.00"),
    )  # fmt: skip
    row = world.post(payment)
    assert (D(row["TotalAmt"]), D(row["UnappliedAmt"]), row["PaymentRefNum"]) == (
        D("40.00"),
        D("4.00"),
        "PS1-P1",
    )
    assert D(world.books.read("Invoice", stored["Id"])["Balance"]) == 0


def test_a_credit_memo_is_applied_by_a_payment_of_nothing(world):
    """Invoice and credit memo settle each other without money."""
    invoice, memo = world.document("Invoice"), None
    stored = world.post(invoice)
    memo = world.document("CreditMemo", role="refund")
    world.post(memo)
    link = (
        Applied(invoice.key, invoice.doc_number, D("36.00")),
        Applied(memo.key, memo.doc_number, D("36.00")),
    )
    world.post(world.document("Payment", role="payment", doc_number=f"PS1-X{world.number}", total=D(0), lines=(),
                              taxes=(), total_tax=D(0), global_tax="", applied=link))  # fmt: skip
    assert D(world.books.read("Invoice", stored["Id"])["Balance"]) == 0


def test_two_taxes_of_one_code_are_kept_apart(world):
    """Federal and provincial tax are two lines with their own amounts."""
    if world.country == "us":
        pytest.skip("automated sales tax knows its own rates")
    taxes = (TaxLine("T2", D(5), D("100.00"), D("5.00")), TaxLine("T2", D("9.975"), D("100.00"), D("9.98")))
    row = world.post(world.document(lines=(Line("product", "sku:MUG", D("100.00"), "T2", D(1), D("100.00")),),
                                    taxes=taxes, total_tax=D("14.98"), total=D("114.98")))  # fmt: skip
    assert D(row["TotalAmt"]) == D("114.98")
    assert sorted(D(line["Amount"]) for line in row["TxnTaxDetail"]["TaxLine"]) == [D("5.00"), D("9.98")]


def test_money_moves_between_accounts(world):
    """A fee, a payout and a journal are accepted, and the journal balances."""
    clearing = f"Clearing:Stripe {world.currency}"
    common = {
        "lines": (),
        "taxes": (),
        "total_tax": D(0),
        "global_tax": "",
        "deposit_to": "",
        "payment_method": "",
    }
    fee_line = Line("account", "", D("1.84"), account="Payment processing fees")
    fee = world.document(
        "Purchase", **{**common, "lines": (fee_line,)}, from_account=clearing, total=D("1.84")
    )
    try:
        row = world.post(fee)
    except BooksFault:
        # Outside the United States every line of a purchase needs a tax code.
        fee = replace(fee, global_tax="NotApplicable", doc_number=f"{fee.doc_number}b")
        world.number += 1
        row = world.post(fee)
    assert D(row["TotalAmt"]) == D("1.84")
    payout = world.document("Transfer", **common, from_account=clearing, to_account=f"Bank:Main {world.currency}",
                            total=D("102.26"))  # fmt: skip
    assert D(world.post(payout)["Amount"]) == D("102.26")
    lines = (Line("account", "", D("7.00"), account="Deferred income", posting="debit"),
             Line("account", "", D("7.00"), account="Sales of goods", posting="credit"))  # fmt: skip
    journal = world.post(world.document("JournalEntry", **{**common, "lines": lines}, total=D("7.00")))
    assert {line["JournalEntryLineDetail"]["PostingType"] for line in journal["Line"]} == {"Debit", "Credit"}


def test_a_zero_total_with_real_lines_is_accepted(world):
    """A gift order is booked with its lines."""
    code = "TAX" if world.country == "us" else "T20"
    lines = (
        Line("product", "sku:MUG", D("10.00"), code, D(1), D("10.00")),
        Line("discount", "PS Discount", D("-10.00"), code),
    )
    row = world.post(world.document(lines=lines, taxes=(), total_tax=D(0), total=D(0)))
    assert D(row["TotalAmt"]) == 0


def test_a_foreign_sale_carries_its_rate():
    """Home total is total times rate; the customer's currency is the document's."""
    with running("ie") as sandbox:
        world = World(sandbox, "ie")
        provision.carry_out(
            provision.plan(policy("ie"), world.names, currencies=["USD"]), world.books, world.names
        )
        customer = Customer("u", "Bob USD", currency="USD")
        row = world.books.create("Customer", customer_body(customer, world.names), "bob").body["Customer"]
        world.names.learn("Customer", "u", "Bob USD", row["Id"])
        sale = world.post(world.document(currency="USD", exchange_rate=D("0.912345"), customer_key="u",
                                         deposit_to="Clearing:Stripe USD"))  # fmt: skip
        assert sale["CurrencyRef"]["value"] == "USD"
        assert D(sale["HomeTotalAmt"]) == (D("36.00") * D("0.912345")).quantize(D("0.01"))
