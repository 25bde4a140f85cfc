"""Documents as QuickBooks receives them: exact, named by id, the same bytes every time."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ps_qb_pipeline.accounting.documents import (
    Applied,
    Customer,
    Document,
    Item,
    Line,
    PostalAddress,
    TaxLine,
)
from ps_qb_pipeline.quickbooks import texts
from ps_qb_pipeline.quickbooks.answers import read_json
from ps_qb_pipeline.quickbooks.bodies import body, customer_body, item_body, item_name, layout
from ps_qb_pipeline.quickbooks.references import References, UnknownName

D = Decimal


def account(number, name, kind="Bank", **values):
    return {
        "id": str(number),
        "name": name.split(":")[-1],
        "fully_qualified_name": name,
        "account_type": kind,
        **values,
    }


TABLES = {
    "preferences": [{"home_currency": "EUR", "multi_currency": True}],
    "accounts": [
        account(1, "Sales of goods", "Income"),
        account(2, "Clearing:Stripe EUR"),
        account(3, "Bank:Main EUR"),
        account(4, "Payment processing fees", "Expense"),
        account(5, "Accounts Receivable (A/R)", "Accounts Receivable"),
        account(6, "Visa", "Credit Card"),
        account(7, "Old till", active=False),
    ],
    "items": [
        {"id": "10", "name": "PS Shipping", "active": True},
        {"id": "11", "name": "A1", "sku": "SKU-1", "active": True},
    ],
    "customers": [
        {"id": "20", "display_name": "Ann", "email": "Ann@Example.org", "currency": "EUR", "active": True},
        {"id": "21", "display_name": "Ann USD", "email": "ann@example.org", "currency": "USD", "active": True},
    ],
    "tax_codes": [
        {"id": "30", "name": "FR20", "sales_tax_rates": [{"TaxRateRef": {"value": "40"}}],
         "purchase_tax_rates": [{"TaxRateRef": {"value": "42"}}]},
        {"id": "31", "name": "OOS", "sales_tax_rates": []},
        {"id": "32", "name": "QC", "sales_tax_rates": '[{"TaxRateRef":{"value":"43"}},{"TaxRateRef":{"value":"44"}}]'},
    ],
    "tax_rates": [
        {"id": "40", "rate_value": D("20")},
        {"id": "42", "rate_value": D("20")},
        {"id": "43", "rate_value": D("5")},
        {"id": "44", "rate_value": D("9.975"), "effective_tax_rates": [{"RateValue": 9.5}]},
    ],
    "payment_methods": [{"id": "50", "name": "Stripe"}],
    "departments": [{"id": "60", "name": "Boutique"}],
    "classes": [{"id": "70", "name": "Web"}],
}  # fmt: skip


@pytest.fixture
def names():
    made = References(TABLES)
    made.learn("Customer", "c:1", "Ann", "20")
    made.learn("Item", "sku:SKU-9", "SKU-9", "19")
    made.learn("Invoice", "1|sale|9|0", "PS1-9", "900")
    return made


SALE = Document(
    key="1|sale|1|0",
    type="SalesReceipt",
    role="sale",
    source_id="1",
    revision=0,
    doc_number="PS1-1",
    order_id=1,
    id_shop=1,
    reference="REF",
    txn_date=date(2026, 1, 15),
    currency="EUR",
    total=D("30.00"),
    customer_key="c:1",
    customer_name="Ann",
    location="Boutique",
    klass="Web",
    global_tax="TaxExcluded",
    lines=(
        Line("product", "sku:SKU-9", D("20.00"), "FR20", D(2), D("10.00"), product_name="Mug"),
        Line("shipping", "PS Shipping", D("5.00"), "FR20"),
    ),
    taxes=(TaxLine("FR20", D("20"), D("25.00"), D("5.00")),),
    total_tax=D("5.00"),
    deposit_to="Clearing:Stripe EUR",
    payment_method="Stripe",
    private_note="ps:{v:1,i:1,o:1}",
    memo="Thank you",
)


def test_a_sales_receipt_says_exactly_what_the_document_says(names):
    """Every amount as a JSON number, every name as an id, our tax per rate."""
    assert json.loads(body(SALE, names), parse_float=D) == {
        "DocNumber": "PS1-1",
        "TxnDate": "2026-01-15",
        "CurrencyRef": {"value": "EUR"},
        "CustomerRef": {"value": "20"},
        "CustomerMemo": {"value": "Thank you"},
        "PrivateNote": "ps:{v:1,i:1,o:1}",
        "DepartmentRef": {"value": "60"},
        "ClassRef": {"value": "70"},
        "GlobalTaxCalculation": "TaxExcluded",
        "DepositToAccountRef": {"value": "2"},
        "PaymentMethodRef": {"value": "50"},
        "Line": [
            {
                "Amount": D("20.00"),
                "Description": "Mug",
                "DetailType": "SalesItemLineDetail",
                "SalesItemLineDetail": {
                    "ItemRef": {"value": "19"},
                    "TaxCodeRef": {"value": "30"},
                    "Qty": 2,
                    "UnitPrice": D("10.00"),
                },
            },
            {
                "Amount": D("5.00"),
                "DetailType": "SalesItemLineDetail",
                "SalesItemLineDetail": {"ItemRef": {"value": "10"}, "TaxCodeRef": {"value": "30"}},
            },
        ],
        "TxnTaxDetail": {
            "TotalTax": D("5.00"),
            "TaxLine": [
                {
                    "Amount": D("5.00"),
                    "DetailType": "TaxLineDetail",
                    "TaxLineDetail": {
                        "TaxRateRef": {"value": "40"},
                        "PercentBased": True,
                        "TaxPercent": 20,
                        "NetAmountTaxable": D("25.00"),
                    },
                }
            ],
        },
    }


def test_amounts_are_json_numbers_with_their_cents(names):
    """``10.10`` is sent as ``10.10``: neither a string nor a float's idea of it."""
    text = body(SALE, names).decode()
    assert '"UnitPrice":10.00' in text
    assert '"Amount":20.00' in text


def test_the_same_document_gives_the_same_bytes(names):
    """Rendering twice, also with names read again in another order, changes nothing."""
    other = References({table: list(reversed(list(rows))) for table, rows in TABLES.items()})
    for kind, key, name, one in (("Customer", "c:1", "Ann", "20"), ("Item", "sku:SKU-9", "SKU-9", "19")):
        other.learn(kind, key, name, one)
    assert body(SALE, names) == body(SALE, other)


def test_an_invoice_has_a_due_date_and_no_deposit_account(names):
    """Money comes with the payment."""
    made = layout(replace(SALE, type="Invoice", due_date=date(2026, 2, 14)), names)
    assert made["DueDate"] == "2026-02-14"
    assert {"DepositToAccountRef", "PaymentMethodRef"} & set(made) == set()


def test_a_payment_settles_the_invoice_it_names(names):
    """The applied amount links the invoice by its Id; the number is the payment's reference."""
    payment = replace(
        SALE,
        type="Payment",
        role="payment",
        doc_number="PS1-P8",
        total=D("55.00"),
        lines=(),
        taxes=(),
        total_tax=D(0),
        applied=(Applied("1|sale|9|0", "PS1-9", D("50.00")),),
        unapplied=D("5.00"),
        global_tax="",
    )
    assert layout(payment, names) == {
        "TxnDate": "2026-01-15",
        "CurrencyRef": {"value": "EUR"},
        "DepartmentRef": {"value": "60"},
        "PrivateNote": "ps:{v:1,i:1,o:1}",
        "PaymentRefNum": "PS1-P8",
        "CustomerRef": {"value": "20"},
        "TotalAmt": D("55.00"),
        "PaymentMethodRef": {"value": "50"},
        "DepositToAccountRef": {"value": "2"},
        "Line": [{"Amount": D("50.00"), "LinkedTxn": [{"TxnId": "900", "TxnType": "Invoice"}]}],
    }


def test_a_payment_waits_for_its_invoice(names):
    """An invoice that is not in the books yet cannot be linked, and the error says so."""
    payment = replace(SALE, type="Payment", applied=(Applied("1|sale|77|0", "PS1-77", D("1")),))
    with pytest.raises(UnknownName, match="yet") as caught:
        body(payment, names)
    assert (caught.value.kind, caught.value.name) == ("Document", "1|sale|77|0")


def test_foreign_currency_carries_its_rate_and_home_currency_does_not(names):
    """ExchangeRate is home per foreign unit."""
    foreign = replace(SALE, currency="USD", exchange_rate=D("0.912345"))
    assert layout(foreign, names)["ExchangeRate"] == D("0.912345")
    assert "ExchangeRate" not in layout(SALE, names)


def test_a_company_with_one_currency_is_sent_none(names):
    """CurrencyRef is left out there, and a foreign document is an error that names the currency."""
    single = References({**TABLES, "preferences": [{"home_currency": "EUR", "multi_currency": False}]})
    single.learn("Item", "sku:SKU-9", "SKU-9", "19")
    assert "CurrencyRef" not in layout(replace(SALE, customer_key=""), single)
    with pytest.raises(UnknownName, match="CompanyCurrency 'USD'"):
        layout(replace(SALE, customer_key="", currency="USD"), single)


def test_us_documents_state_the_total_tax_alone(names):
    """Automated sales tax knows its own rates: lines say TAX or NON, our total stands above them."""
    lines = (Line("product", "sku:SKU-1", D("10.00"), "TAX"), Line("shipping", "PS Shipping", D("5"), "NON"))
    made = layout(replace(SALE, global_tax="", lines=lines, taxes=(TaxLine("AST", D("8.875"), D("10"), D("0.89")),),
                          total_tax=D("0.89")), names)  # fmt: skip
    assert made["TxnTaxDetail"] == {"TotalTax": D("0.89")}
    assert "GlobalTaxCalculation" not in made
    assert [line["SalesItemLineDetail"]["TaxCodeRef"] for line in made["Line"]] == [
        {"value": "TAX"},
        {"value": "NON"},
    ]


def test_a_rate_that_two_codes_share_is_one_tax_line():
    """QuickBooks keeps one amount a rate: what two codes charge at it is summed, not sent twice."""
    tables = {**TABLES, "tax_codes": [
        *TABLES["tax_codes"],
        {"id": "33", "name": "QC5", "sales_tax_rates": [{"TaxRateRef": {"value": "43"}}]},
    ]}  # fmt: skip
    made = References(tables)
    made.learn("Customer", "c:1", "Ann", "20")
    taxes = (TaxLine("QC", D("5"), D("100"), D("5.00")), TaxLine("QC5", D("5"), D("20"), D("1.00")))
    lines = (
        Line("shipping", "PS Shipping", D("100.00"), "QC"),
        Line("shipping", "PS Shipping", D("20.00"), "QC5"),
    )
    detail = layout(replace(SALE, lines=lines, taxes=taxes, total_tax=D("6.00"), total=D("126.00")), made)[
        "TxnTaxDetail"
    ]
    assert [(line["Amount"], line["TaxLineDetail"]["NetAmountTaxable"]) for line in detail["TaxLine"]] == [
        (D("6.00"), D("120"))
    ]


def test_tax_not_applicable_has_no_tax_detail(names):
    """QuickBooks refuses tax details there (6170)."""
    assert "TxnTaxDetail" not in layout(replace(SALE, global_tax="NotApplicable", taxes=()), names)


def test_a_code_of_two_rates_names_each_of_them(names):
    """A line for each rate of the code, found by its percentage, former percentages included."""
    taxes = (TaxLine("QC", D("5"), D("100"), D("5")), TaxLine("QC", D("9.5"), D("100"), D("9.5")))
    made = layout(replace(SALE, taxes=taxes, total_tax=D("14.5")), names)
    refs = [line["TaxLineDetail"]["TaxRateRef"]["value"] for line in made["TxnTaxDetail"]["TaxLine"]]
    assert refs == ["43", "44"]


def test_a_rate_that_the_code_does_not_have_is_never_guessed(names):
    """The accountant's table and the company disagree: the document is not rendered."""
    with pytest.raises(UnknownName, match=r"FR20 19 %"):
        layout(replace(SALE, taxes=(TaxLine("FR20", D("19"), D("25"), D("4.75")),)), names)


def test_out_of_scope_without_rates_has_no_tax_line(names):
    """A code without rates is legal with zero tax."""
    made = layout(replace(SALE, taxes=(TaxLine("OOS", D(0), D("25"), D(0)),), total_tax=D(0)), names)
    assert made["TxnTaxDetail"] == {"TotalTax": D(0), "TaxLine": []}


def test_names_are_compared_as_quickbooks_does_and_inactive_rows_are_refused(names):
    """Case and doubled spaces do not matter; an inactive account does."""
    assert names.account("clearing:stripe  eur") == "2"
    assert names.account("Stripe EUR") == "2"
    with pytest.raises(UnknownName, match="active row"):
        names.account("Old till")
    with pytest.raises(UnknownName, match="psqb setup"):
        names.account("Nowhere")


def test_items_are_found_by_sku(names):
    """A SKU finds its item whatever the item is called."""
    assert names.item("sku:sku-1") == "11"
    with pytest.raises(UnknownName):
        names.item("sku:sku-7")


def test_fees_and_payouts(names):
    """A Purchase from the clearing account, a Transfer to the bank, a journal with both sides."""
    fee = replace(SALE, type="Purchase", role="fee", from_account="Clearing:Stripe EUR", deposit_to="", klass="",
                  lines=(Line("account", "", D("1.84"), account="Payment processing fees"),), taxes=(), global_tax="",
                  total=D("1.84"), total_tax=D(0))  # fmt: skip
    made = layout(fee, names)
    assert (made["AccountRef"], made["PaymentType"]) == ({"value": "2"}, "Cash")
    assert made["Line"][0]["AccountBasedExpenseLineDetail"] == {"AccountRef": {"value": "4"}}
    assert layout(replace(fee, from_account="Visa"), names)["PaymentType"] == "CreditCard"
    payout = layout(replace(fee, type="Transfer", to_account="Bank:Main EUR", lines=()), names)
    assert (payout["FromAccountRef"], payout["ToAccountRef"], payout["Amount"]) == (
        {"value": "2"},
        {"value": "3"},
        D("1.84"),
    )
    lines = (Line("account", "", D("5"), account="Accounts Receivable (A/R)", posting="debit"),
             Line("account", "", D("5"), account="Sales of goods", posting="credit"))  # fmt: skip
    journal = layout(replace(fee, type="JournalEntry", lines=lines), names)
    debit, credit = (line["JournalEntryLineDetail"] for line in journal["Line"])
    assert debit["Entity"] == {"Type": "Customer", "EntityRef": {"value": "20"}}
    assert (debit["PostingType"], credit["PostingType"]) == ("Debit", "Credit")
    assert "Entity" not in credit


HOSTILE = Customer(
    key="c:2",
    display_name='=HYPERLINK("x"):O\'Brien\t\\ <script>\x00\u202e',
    given_name="A:B",
    family_name="x" * 200,
    email="not an address",
    phone="+33 1 23 45 67 89 " * 3,
    vat_number="FR12345678901",
    currency="EUR",
    billing=PostalAddress("1 rue\nde la Paix", city="Paris", postal_code="75002", country="FR"),
)


def test_a_hostile_customer_becomes_a_card_that_quickbooks_accepts(names):
    """Forbidden characters go, lengths hold, and what does not fit stands in the notes."""
    made = json.loads(customer_body(HOSTILE, names))
    assert not set(":\t\n") & set(made["DisplayName"] + made["GivenName"] + made["FamilyName"])
    assert len(made["FamilyName"]) <= 100
    assert "PrimaryEmailAddr" not in made
    assert "PrimaryPhone" not in made
    assert "not an address" in made["Notes"]
    assert "A:B" in made["Notes"]
    assert made["BillAddr"]["Line1"] == "1 rue de la Paix"
    assert made["PrimaryTaxIdentifier"] == "FR12345678901"
    assert customer_body(HOSTILE, names) == customer_body(HOSTILE, names)


def test_an_item_with_a_long_sku_keeps_it_in_the_description(names):
    """A SKU of 300 characters is cut with a hash, so that two long ones stay two items."""
    first = Item("sku:a", "S" * 299 + "1", "S" * 299 + "1", income_account="Sales of goods")
    second = replace(first, sku="S" * 299 + "2", name="S" * 299 + "2")
    made = json.loads(item_body(first, names))
    assert len(made["Name"]) <= 100
    assert len(made["Sku"]) <= 100
    assert "S" * 299 + "1" in made["Description"]
    assert item_name(first) != item_name(second)


@given(st.text(max_size=300), st.integers(10, 120))
def test_any_name_is_made_acceptable_and_stays_itself(value, limit):
    """Cleaning is idempotent in length and characters, and deterministic."""
    cleaned = texts.name_text(value, limit)
    assert len(cleaned) <= limit
    assert not set(":\t\n\r") & set(cleaned)
    assert cleaned == texts.name_text(value, limit)


@given(st.text(alphabet="ab:-", min_size=1, max_size=8), st.text(alphabet="ab:-", min_size=1, max_size=8))
def test_different_names_stay_different(one, other):
    """No two names become one by being cleaned."""
    if one != other:
        assert texts.name_text(one, 100) != texts.name_text(other, 100)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.decimals(allow_nan=False, allow_infinity=False, places=4),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_canonical_json_says_what_it_was_given(value):
    """Reading the bytes again gives the same value, numbers as numbers."""

    def plain(entry):
        if isinstance(entry, dict):
            return {key: plain(inner) for key, inner in entry.items()}
        if isinstance(entry, list):
            return [plain(inner) for inner in entry]
        return entry

    assert plain(read_json(texts.canonical(value))) == plain(value)


@pytest.mark.parametrize("value", [1.5, D("NaN"), D("Infinity"), object(), {1, 2}])
def test_what_has_no_single_spelling_is_refused(value):
    """A float never reaches QuickBooks."""
    with pytest.raises(TypeError):
        texts.canonical({"Amount": value})


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("ann@example.org", "ann@example.org"),
        (" ann@example.org ", "ann@example.org"),
        ("ann@localhost", ""),
        ("ann", ""),
        ("@example.org", ""),
        ("a" * 95 + "@x.org", ""),
        ("änn@example.org", ""),
    ],
)
def test_only_addresses_that_quickbooks_accepts_are_sent(address, kept):
    """An @ with something before it and a point after it, at most 100 characters."""
    assert texts.email_text(address) == kept
