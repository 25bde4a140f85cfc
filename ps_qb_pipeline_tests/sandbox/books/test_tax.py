"""Tax as every country but the US has it, and as the US has it."""

from decimal import Decimal

import pytest

from ps_qb_pipeline_tests.sandbox.books.bench import Bench


@pytest.fixture
def ie():
    return Bench("ie")


@pytest.fixture
def us():
    return Bench("us")


def taxes(document):
    return [
        (line["TaxLineDetail"]["TaxPercent"], line["TaxLineDetail"]["NetAmountTaxable"], line["Amount"])
        for line in document["TxnTaxDetail"]["TaxLine"]
    ]


def test_tax_is_computed_once_a_rate(ie):
    """Two lines of one rate are added before the tax is rounded: 2 x 0.05 at 13.5 % are 0.01, not 0.02."""
    made = ie.create(
        "SalesReceipt",
        ie.receipt(
            ie.line("0.05", code="Reduced 13.5%"),
            ie.line("0.05", code="Reduced 13.5%"),
            ie.line(10, code="Standard 23%"),
        ),
    )
    assert taxes(made) == [(Decimal("13.5"), Decimal("0.1"), Decimal("0.01")), (23, 10, Decimal("2.3"))]
    assert made["TxnTaxDetail"]["TotalTax"] == Decimal("2.31")
    assert made["TotalAmt"] == Decimal("12.41")
    assert made["GlobalTaxCalculation"] == "TaxExcluded"


def test_the_recorded_quebec_amount():
    """4495.16 at 9.975 % is 448.39, beside GST of 5 %."""
    ca = Bench("ca")
    made = ca.create("Invoice", ca.receipt(ca.line("4495.16", code="GST/QST QC")))
    assert taxes(made) == [
        (5, Decimal("4495.16"), Decimal("224.76")),
        (Decimal("9.975"), Decimal("4495.16"), Decimal("448.39")),
    ]


def test_an_override_is_kept_or_recalculated(ie):
    """A tax amount that the client sends stands by default, and is computed anew by the other switch."""
    line = ie.line(10, code="Standard 23%")
    rate = ie.rows("select * from TaxRate where Name = 'Standard 23% (Sales)'")[0]["Id"]
    tax = {
        "TaxLine": [
            {
                "Amount": "2.29",
                "DetailType": "TaxLineDetail",
                "TaxLineDetail": {"TaxRateRef": {"value": rate}},
            }
        ]
    }
    assert ie.create("SalesReceipt", ie.receipt(line, TxnTaxDetail=tax))["TotalAmt"] == Decimal("12.29")
    ie.company.switches.change({"tax_override": "recalculated"})
    assert ie.create("SalesReceipt", ie.receipt(line, TxnTaxDetail=tax))["TotalAmt"] == Decimal("12.3")


def test_a_new_amount_is_taxed_anew(ie):
    """A sparse update of lines without TxnTaxDetail recomputes; one without lines keeps what was overridden."""
    rate = ie.rows("select * from TaxRate where Name = 'Standard 23% (Sales)'")[0]["Id"]
    tax = {
        "TaxLine": [
            {
                "Amount": "2.29",
                "DetailType": "TaxLineDetail",
                "TaxLineDetail": {"TaxRateRef": {"value": rate}},
            }
        ]
    }
    made = ie.create("SalesReceipt", ie.receipt(ie.line(10, code="Standard 23%"), TxnTaxDetail=tax))
    noted = ie.patch("SalesReceipt", made, PrivateNote="n")
    assert noted["TotalAmt"] == Decimal("12.29")
    assert ie.patch("SalesReceipt", noted, Line=[ie.line(20, code="Standard 23%")])["TotalAmt"] == Decimal(
        "24.6"
    )


def test_inclusive_amounts_are_split_to_the_cent(ie):
    """TaxInclusiveAmt is the gross; net and tax add up to it."""
    line = ie.line(0, code="Standard 23%", TaxInclusiveAmt="9.99")
    made = ie.create(
        "SalesReceipt",
        ie.receipt(
            line, ie.line(0, code="Standard 23%", TaxInclusiveAmt="9.99"), GlobalTaxCalculation="TaxInclusive"
        ),
    )
    assert made["TotalAmt"] == Decimal("19.98")
    assert made["Line"][0]["Amount"] == Decimal("8.12")
    assert made["TxnTaxDetail"]["TotalTax"] == Decimal("3.74")
    assert ie.trial_balance()[0] == 0


def test_nothing_is_taxed_where_tax_does_not_apply(ie):
    """NotApplicable needs no codes and has no tax."""
    made = ie.create("SalesReceipt", ie.receipt(ie.line(10), GlobalTaxCalculation="NotApplicable"))
    assert made["TotalAmt"] == 10
    assert "TxnTaxDetail" not in made


def test_negative_lines_lower_the_base_of_their_own_rate(ie):
    """A discount as a negative line takes tax off its own code only."""
    made = ie.create(
        "SalesReceipt",
        ie.receipt(
            ie.line(100, code="Standard 23%"),
            ie.line(50, code="Reduced 13.5%"),
            ie.line(-10, code="Standard 23%"),
        ),
    )
    assert taxes(made) == [(23, 90, Decimal("20.7")), (Decimal("13.5"), 50, Decimal("6.75"))]


def test_a_discount_line_is_spread_over_the_rates(ie):
    """One discount on the whole lowers every rate's base in proportion, and posts to its account."""
    discount = {
        "DetailType": "DiscountLineDetail",
        "DiscountLineDetail": {"PercentBased": True, "DiscountPercent": 10},
    }
    made = ie.create(
        "Invoice", ie.receipt(ie.line(100, code="Standard 23%"), ie.line(50, code="Zero 0%"), discount)
    )
    assert taxes(made) == [(23, 90, Decimal("20.7")), (0, 45, 0)]
    assert made["TotalAmt"] == Decimal("155.7")
    assert [line["DetailType"] for line in made["Line"]][-2:] == ["SubTotalLineDetail", "DiscountLineDetail"]
    assert "Id" not in made["Line"][-2]
    assert ie.trial_balance()[1]["Discounts given"] == 15


def test_purchases_use_the_purchase_rates(ie):
    """A bill's tax comes from the purchase list of the code, and its total from lines and tax."""
    detail = {"AccountRef": ie.ref("Account", "Travel"), "TaxCodeRef": ie.ref("TaxCode", "Standard 23%")}
    line = {
        "Amount": 100,
        "DetailType": "AccountBasedExpenseLineDetail",
        "AccountBasedExpenseLineDetail": detail,
    }
    made = ie.create("Bill", {"VendorRef": {"value": "13"}, "Line": [line]})
    assert made["TotalAmt"] == 123
    rate = made["TxnTaxDetail"]["TaxLine"][0]["TaxLineDetail"]["TaxRateRef"]["value"]
    assert ie.read("TaxRate", rate)["Name"] == "Standard 23% (Purchases)"


def test_tax_codes_are_made_by_the_tax_service(ie):
    """The answer is flat, the code can be used at once, and a second use of the name is a 6240."""
    body = {
        "TaxCode": "FR 20",
        "TaxRateDetails": [
            {"TaxRateName": "FR 20 Sales", "RateValue": "20", "TaxAgencyId": "1", "TaxApplicableOn": "Sales"}
        ],
    }
    answer = ie.post("taxservice/taxcode", body)
    assert set(answer) == {"TaxCode", "TaxCodeId", "TaxRateDetails"}
    assert answer["TaxRateDetails"][0]["TaxRateId"].isdigit()
    assert ie.create("SalesReceipt", ie.receipt(ie.line(10, code="FR 20")))["TotalAmt"] == 12
    assert ie.code("POST", "taxservice/taxcode", body) == "6240"
    again = {
        "TaxCode": "FR 20 B",
        "TaxRateDetails": [
            {"TaxRateId": answer["TaxRateDetails"][0]["TaxRateId"], "TaxApplicableOn": "Sales"}
        ],
    }
    assert ie.post("taxservice/taxcode", again)["TaxRateDetails"][0]["RateValue"] == 20


# The US --------------------------------------------------------------------------------------------


def test_the_automated_engine_taxes_by_the_ship_to_state(us):
    """The rate follows the address, and a code that was sent is replaced."""
    taxed = us.receipt(
        us.line(100, code="TAX"), CustomerRef={"value": "2"}, ShipAddr={"CountrySubDivisionCode": "TX"}
    )
    made = us.create("SalesReceipt", taxed | {"TxnTaxDetail": {"TxnTaxCodeRef": {"value": "2"}}})
    assert made["TotalAmt"] == Decimal("106.25")
    code = made["TxnTaxDetail"]["TxnTaxCodeRef"]["value"]
    assert code != "2"
    assert us.read("TaxCode", code)["Name"] == "TX Automated"


def test_an_explicit_sum_of_tax_is_honoured_and_marked(us):
    """TotalTax overrides the engine; the difference is kept as OverrideDeltaAmount."""
    body = us.receipt(
        us.line(100, code="TAX"),
        CustomerRef={"value": "2"},
        ShipAddr={"CountrySubDivisionCode": "TX"},
        TxnTaxDetail={"TotalTax": 7},
    )
    made = us.create("SalesReceipt", body)
    assert (made["TotalAmt"], made["TxnTaxDetail"]["TaxReviewStatus"]) == (107, "AST_TAX_OVERRIDE")
    assert made["TxnTaxDetail"]["TaxLine"][0]["TaxLineDetail"]["OverrideDeltaAmount"] == Decimal("0.75")


def test_a_line_without_a_code_counts_as_taxable(us):
    """Since 2018 the engine takes an absent TaxCodeRef for TAX, unless the customer is exempt."""
    assert us.create("Invoice", us.receipt(us.line(100), CustomerRef={"value": "2"}))["TotalAmt"] == 108
    assert us.create("Invoice", us.receipt(us.line(100), CustomerRef={"value": "1"}))["TotalAmt"] == 100


def test_manual_sales_tax_follows_the_code_that_is_sent(us):
    """Without the engine the group code of the header gives one line a rate, and no code means no tax."""
    us.control.apply({"preferences": {"TaxPrefs": {"PartnerTaxEnabled": False}}})
    tucson = us.named("TaxCode", "Tucson")
    made = us.create(
        "Invoice",
        us.receipt(
            us.line(200, code="TAX"),
            us.line(50, code="NON"),
            TxnTaxDetail={"TxnTaxCodeRef": {"value": tucson}},
        ),
    )
    assert taxes(made) == [(Decimal("7.1"), 200, Decimal("14.2")), (2, 200, 4)]
    assert us.create("Invoice", us.receipt(us.line(200, code="TAX")))["TotalAmt"] == 200


def test_a_company_without_sales_tax_stores_none(us):
    """UsingSalesTax=false ignores TxnTaxDetail."""
    us.control.apply({"preferences": {"TaxPrefs": {"UsingSalesTax": False}}})
    made = us.create("SalesReceipt", us.receipt(us.line(10, code="TAX"), TxnTaxDetail={"TotalTax": 3}))
    assert made["TotalAmt"] == 10
    assert "TxnTaxDetail" not in made


def test_shipping_has_an_item_of_its_own_where_it_is_allowed(us):
    """The pseudo item is echoed and posts to shipping income; where shipping is off it is refused."""
    ship = {
        "Amount": 5,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": "SHIPPING_ITEM_ID"}, "TaxCodeRef": {"value": "NON"}},
    }
    made = us.create("SalesReceipt", us.receipt(us.line(10, code="NON"), ship))
    assert made["Line"][1]["SalesItemLineDetail"]["ItemRef"]["value"] == "SHIPPING_ITEM_ID"
    assert us.trial_balance()[1]["Shipping Income"] == -5
    us.control.apply({"preferences": {"SalesFormsPrefs": {"AllowShipping": False}}})
    assert us.code("POST", "salesreceipt", us.receipt(ship)) == "6000"


def test_a_us_company_may_be_strict_about_characters(us):
    """The switch refuses what ISO-8859-1 does not have."""
    us.create("Customer", {"DisplayName": "Łukasz"})
    us.company.switches.change({"us_charset": "latin1"})
    assert us.code("POST", "customer", {"DisplayName": "Łucja"}) == "2040"
    assert us.create("Customer", {"DisplayName": "Zoë"})["Id"]


def test_tax_is_rounded_to_the_minor_unit_of_the_currency(ie):
    """A yen has no cents: its tax is whole yen."""
    customer = ie.create("Customer", {"DisplayName": "Yen", "CurrencyRef": {"value": "JPY"}})
    body = ie.receipt(
        ie.line(105, code="Standard 23%"), CustomerRef={"value": customer["Id"]}, CurrencyRef={"value": "JPY"}
    )
    made = ie.create("Invoice", body)
    assert (made["TxnTaxDetail"]["TotalTax"], made["TotalAmt"]) == (24, 129)
