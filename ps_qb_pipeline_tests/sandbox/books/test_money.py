"""Payments, credits, deposits, currencies, stock: what links and what posts where."""

from decimal import Decimal

import pytest

from ps_qb_pipeline_tests.sandbox.books.bench import DAY, Bench


@pytest.fixture
def ie():
    return Bench("ie")


def invoice(books, amount=100, **more):
    return books.create("Invoice", books.receipt(books.line(amount, code="Zero 0%"), **more))


def pay(books, total, *parts, **more):
    lines = [
        {"Amount": amount, "LinkedTxn": [{"TxnId": ident, "TxnType": kind}]} for kind, ident, amount in parts
    ]
    return books.create(
        "Payment", {"CustomerRef": {"value": "1"}, "TxnDate": DAY, "TotalAmt": total, "Line": lines, **more}
    )


def test_a_payment_links_both_ways_and_lowers_the_balance(ie):
    """The invoice shows the payment, the payment what is left of it."""
    owed = invoice(ie)
    paid = pay(ie, 70, ("Invoice", owed["Id"], 60))
    assert paid["UnappliedAmt"] == 10
    seen = ie.read("Invoice", owed["Id"])
    assert seen["Balance"] == 40
    assert seen["LinkedTxn"] == [{"TxnId": paid["Id"], "TxnType": "Payment"}]
    assert seen["SyncToken"] == "0"
    assert ie.read("Customer", "1")["Balance"] == 30


def test_an_update_of_a_payment_moves_its_links(ie):
    """What was applied before is given back first."""
    first, second = invoice(ie), invoice(ie)
    paid = pay(ie, 50, ("Invoice", first["Id"], 50))
    lines = [{"Amount": 50, "LinkedTxn": [{"TxnId": second["Id"], "TxnType": "Invoice"}]}]
    ie.patch("Payment", paid, Line=lines, TotalAmt=50, CustomerRef={"value": "1"})
    assert ie.read("Invoice", first["Id"])["Balance"] == 100
    assert ie.read("Invoice", first["Id"])["LinkedTxn"] == []
    assert ie.read("Invoice", second["Id"])["Balance"] == 50


@pytest.mark.parametrize("how", ["delete", "void"])
def test_a_payment_that_goes_opens_its_invoice_again(ie, how):
    """Deleting or voiding a payment restores the balance."""
    owed = invoice(ie)
    paid = pay(ie, 100, ("Invoice", owed["Id"], 100))
    getattr(ie, how)("Payment", paid)
    assert ie.read("Invoice", owed["Id"])["Balance"] == 100
    assert ie.trial_balance()[0] == 0
    assert ie.read("Customer", "1")["Balance"] == 100


@pytest.mark.parametrize("how", ["delete", "void"])
def test_an_invoice_that_goes_frees_its_payment(ie, how):
    """The payment stays, with its money unapplied."""
    owed = invoice(ie)
    paid = pay(ie, 100, ("Invoice", owed["Id"], 100))
    getattr(ie, how)("Invoice", ie.read("Invoice", owed["Id"]))
    seen = ie.read("Payment", paid["Id"])
    assert (seen["UnappliedAmt"], seen["Line"]) == (100, [])
    assert ie.read("Customer", "1")["Balance"] == -100


def test_a_credit_memo_is_applied_by_a_payment_of_nothing(ie):
    """A payment of 0.00 with the invoice and the credit settles one with the other."""
    owed = invoice(ie)
    credit = ie.create("CreditMemo", ie.receipt(ie.line(30, code="Zero 0%")))
    assert (credit["Balance"], credit["RemainingCredit"]) == (30, 30)
    pay(ie, 0, ("Invoice", owed["Id"], 30), ("CreditMemo", credit["Id"], 30))
    assert ie.read("Invoice", owed["Id"])["Balance"] == 70
    assert ie.read("CreditMemo", credit["Id"])["RemainingCredit"] == 0
    assert ie.trial_balance()[0] == 0


def test_credits_apply_themselves_when_the_company_says_so(ie):
    """With AutoApplyCredit a credit memo settles the oldest open invoices through a payment of 0.00."""
    ie.control.apply({"preferences": {"SalesFormsPrefs": {"AutoApplyCredit": True}}})
    first, second = invoice(ie, 20), invoice(ie, 100)
    credit = ie.create("CreditMemo", ie.receipt(ie.line(30, code="Zero 0%")))
    assert credit["RemainingCredit"] == 0
    assert ie.read("Invoice", first["Id"])["Balance"] == 0
    assert ie.read("Invoice", second["Id"])["Balance"] == 90
    assert ie.trial_balance()[0] == 0


def test_an_invoice_cannot_shrink_below_what_was_paid(ie):
    """The total may change as long as payments fit in."""
    owed = invoice(ie)
    pay(ie, 80, ("Invoice", owed["Id"], 80))
    seen = ie.read("Invoice", owed["Id"])
    assert ie.patch("Invoice", seen, Line=[ie.line(90, code="Zero 0%")])["Balance"] == 10
    seen = ie.read("Invoice", owed["Id"])
    body = {
        "Id": seen["Id"],
        "SyncToken": seen["SyncToken"],
        "sparse": True,
        "Line": [ie.line(70, code="Zero 0%")],
    }
    assert ie.code("POST", "invoice", body) == "6000"


def test_a_deposit_banks_a_receipt_and_locks_it(ie):
    """The source shows the deposit, its money is fixed (6540), and a note may still change."""
    made = ie.create("SalesReceipt", ie.receipt(ie.line(40, code="Zero 0%")))
    line = {"LinkedTxn": [{"TxnId": made["Id"], "TxnType": "SalesReceipt", "TxnLineId": "0"}]}
    banked = ie.create(
        "Deposit", {"DepositToAccountRef": ie.ref("Account", "Checking"), "TxnDate": DAY, "Line": [line]}
    )
    assert banked["TotalAmt"] == 40
    seen = ie.read("SalesReceipt", made["Id"])
    assert seen["LinkedTxn"] == [{"TxnId": banked["Id"], "TxnType": "Deposit"}]
    body = {"Id": seen["Id"], "SyncToken": seen["SyncToken"], "sparse": True}
    assert ie.code("POST", "salesreceipt", body | {"Line": [ie.line(41, code="Zero 0%")]}) == "6540"
    assert ie.patch("SalesReceipt", seen, PrivateNote="fine")["PrivateNote"] == "fine"
    balance = ie.trial_balance()[1]
    assert balance["Checking"] == 40
    assert "Undeposited Funds" not in balance
    twice = {"DepositToAccountRef": ie.ref("Account", "Checking"), "Line": [line]}
    assert ie.code("POST", "deposit", twice) == "6540"
    del line["LinkedTxn"][0]["TxnLineId"]
    assert ie.code("POST", "deposit", twice) == "2020"


def test_foreign_documents_have_home_totals(ie):
    """HomeTotalAmt is the total at the document's rate; the receivable has an account of its currency."""
    customer = ie.create("Customer", {"DisplayName": "Dollar", "CurrencyRef": {"value": "USD"}})
    body = ie.receipt(
        ie.line("10.01", code="Zero 0%"),
        CustomerRef={"value": customer["Id"]},
        CurrencyRef={"value": "USD"},
        ExchangeRate="0.912345",
    )
    made = ie.create("Invoice", body)
    assert made["HomeTotalAmt"] == Decimal("9.13")
    assert made["HomeBalance"] == Decimal("9.13")
    assert ie.read("Customer", customer["Id"])["Balance"] == Decimal("10.01")
    assert ie.trial_balance()[1]["Accounts Receivable (A/R) - USD"] == Decimal("9.13")


def test_a_document_must_be_in_its_customers_currency(ie):
    """A euro customer has no dollar documents, and a dollar customer no euro ones."""
    customer = ie.create("Customer", {"DisplayName": "Dollar", "CurrencyRef": {"value": "USD"}})
    line = ie.line(10, code="Zero 0%")
    assert ie.code("POST", "invoice", ie.receipt(line, CustomerRef={"value": customer["Id"]})) == "6000"
    assert ie.code("POST", "invoice", ie.receipt(line, CurrencyRef={"value": "USD"})) == "6000"


def test_the_rate_of_the_day_is_used_when_none_is_sent(ie):
    """Exchange rates are kept by day; the newest one not after the document counts."""
    customer = ie.create("Customer", {"DisplayName": "Dollar", "CurrencyRef": {"value": "USD"}})
    ie.post("exchangerate", {"SourceCurrencyCode": "USD", "Rate": "0.95", "AsOfDate": "2026-03-01"})
    ie.post("exchangerate", {"SourceCurrencyCode": "USD", "Rate": "0.5", "AsOfDate": "2026-04-01"})
    made = ie.create(
        "Invoice",
        ie.receipt(
            ie.line(100, code="Zero 0%"), CustomerRef={"value": customer["Id"]}, CurrencyRef={"value": "USD"}
        ),
    )
    assert (made["ExchangeRate"], made["HomeTotalAmt"]) == (Decimal("0.95"), 95)
    asked = ie.get("exchangerate", sourcecurrencycode="USD", asofdate="2026-03-20")["ExchangeRate"]
    assert (asked["Rate"], asked["TargetCurrencyCode"]) == (Decimal("0.95"), "EUR")


def test_a_rate_that_moved_between_invoice_and_payment_is_exchange_gain(ie):
    """The receivable is relieved at the invoice's rate; the difference is gain or loss."""
    customer = ie.create("Customer", {"DisplayName": "Dollar", "CurrencyRef": {"value": "USD"}})
    common = {"CustomerRef": {"value": customer["Id"]}, "CurrencyRef": {"value": "USD"}}
    owed = ie.create("Invoice", ie.receipt(ie.line(100, code="Zero 0%"), **common, ExchangeRate="0.90"))
    pay(ie, 100, ("Invoice", owed["Id"], 100), **common, ExchangeRate="0.95")
    total, balance = ie.trial_balance()
    assert total == 0
    assert balance["Exchange Gain or Loss"] == -5
    assert "Accounts Receivable (A/R) - USD" not in balance


def test_multicurrency_is_needed_for_foreign_documents():
    """A company without it refuses other currencies."""
    gb = Bench("gb")
    assert gb.code("POST", "customer", {"DisplayName": "Euro", "CurrencyRef": {"value": "EUR"}}) == "6000"
    assert gb.code("POST", "companycurrency", {"Code": "EUR"}) == "6000"


def test_stock_and_its_cost_move_with_sales(ie):
    """Selling an inventory item lowers the quantity and posts cost against the asset; a refund brings it back."""
    pump = ie.named("Item", "Pump")
    before = ie.read("Item", pump)["QtyOnHand"]
    sold = ie.create(
        "SalesReceipt", ie.receipt(ie.line(30, item="Pump", code="Zero 0%", Qty=2, UnitPrice=15))
    )
    assert ie.read("Item", pump)["QtyOnHand"] == before - 2
    assert ie.trial_balance()[1]["Cost of Goods Sold"] == 20
    ie.delete("SalesReceipt", sold)
    assert ie.read("Item", pump)["QtyOnHand"] == before
    assert ie.trial_balance()[0] == 0


def test_the_ledger_holds_what_documents_say(ie):
    """Receipt, refund, fee, payout and journal post to the accounts that they name."""
    clearing = ie.create("Account", {"Name": "Stripe EUR", "AccountType": "Other Current Asset"})
    to = {"value": clearing["Id"]}
    ie.create("SalesReceipt", ie.receipt(ie.line(100, code="Standard 23%"), DepositToAccountRef=to))
    ie.create("RefundReceipt", ie.receipt(ie.line(10, code="Standard 23%"), DepositToAccountRef=to))
    detail = {"AccountRef": ie.ref("Account", "Bank Charges"), "TaxCodeRef": ie.ref("TaxCode", "Exempt")}
    fee = {
        "Amount": 3,
        "DetailType": "AccountBasedExpenseLineDetail",
        "AccountBasedExpenseLineDetail": detail,
    }
    ie.create("Purchase", {"PaymentType": "Cash", "AccountRef": to, "TxnDate": DAY, "Line": [fee]})
    ie.create(
        "Transfer",
        {"FromAccountRef": to, "ToAccountRef": ie.ref("Account", "Checking"), "Amount": 100, "TxnDate": DAY},
    )
    total, balance = ie.trial_balance()
    assert total == 0
    assert balance["Stripe EUR"] == Decimal("7.7")
    assert balance["Checking"] == 100
    assert balance["Bank Charges"] == 3
    assert balance["Revenue Commissioners Payable"] == Decimal("-20.7")
    assert ie.read("Account", clearing["Id"])["CurrentBalance"] == Decimal("7.7")


def test_a_name_merged_into_another_takes_everything_along(ie):
    """People merge customers by hand: documents, balances and tombstone follow."""
    old = ie.create("Customer", {"DisplayName": "Old"})
    new = ie.create("Customer", {"DisplayName": "New"})
    owed = invoice(ie, CustomerRef={"value": old["Id"]})
    ie.control.apply({"merge": {"entity": "Customer", "from": old["Id"], "into": new["Id"]}})
    assert ie.read("Invoice", owed["Id"])["CustomerRef"] == {"value": new["Id"], "name": "New"}
    assert ie.read("Customer", new["Id"])["Balance"] == 100
    assert ie.refusal("GET", f"customer/{old['Id']}")["code"] == "610"
    assert ie.trial_balance()[0] == 0
