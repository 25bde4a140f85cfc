"""python-quickbooks as it is installed, against the US company on a real port.

Every object class that it models is made, read, changed and queried with its own defaults: empty strings,
zeros, read-only fields, SyncToken 0.
"""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from intuitlib.client import AuthClient
from quickbooks import QuickBooks, exceptions, objects
from quickbooks.batch import batch_create, batch_delete, batch_update
from quickbooks.cdc import change_data_capture
from quickbooks.objects import (
    base,
    billpayment,
    deposit,
    detailline,
    journalentry,
    recurringtransaction,
    refundreceipt,
    tax,
)
from quickbooks.objects.companycurrency import CompanyCurrency
from quickbooks.objects.creditcardpayment_entity import CreditCardPayment
from quickbooks.objects.exchangerate import ExchangeRate
from quickbooks.objects.preferences import Preferences
from quickbooks.objects.taxservice import TaxRateDetails, TaxService
from quickbooks.objects.trackingclass import Class

from ps_qb_pipeline_tests.sandbox.books.bench import serving


class LocalBooks(QuickBooks):
    """The client with another address; nothing else is changed."""


@pytest.fixture(scope="module")
def qb():
    patch = pytest.MonkeyPatch()
    patch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    with serving(company="us") as wire:
        auth = AuthClient(
            "sandbox-client",
            "sandbox-secret",
            "http://localhost",
            f"{wire.url}/.well-known/openid_configuration/",
        )
        LocalBooks.api_url_v3 = f"{wire.url}/v3"
        yield LocalBooks(
            auth_client=auth,
            refresh_token="sandbox-refresh-token",
            company_id=wire.options.realm,
            minorversion=75,
        )
    patch.undo()


def first(kind, qb, **filters):
    return (kind.filter(max_results=1, qb=qb, **filters) if filters else kind.all(max_results=1, qb=qb))[0]


def reference(value, name=""):
    ref = base.Ref()
    ref.value, ref.name = value, name
    return ref


def sold(qb, amount=100, **detail):
    line = detailline.SalesItemLine()
    line.LineNum, line.Description, line.Amount = 1, "sold", amount
    line.SalesItemLineDetail = detailline.SalesItemLineDetail()
    line.SalesItemLineDetail.ItemRef = first(objects.Item, qb).to_ref()
    for name, value in detail.items():
        setattr(line.SalesItemLineDetail, name, value)
    return line


def spent(amount=200, account="1"):
    line = detailline.AccountBasedExpenseLine()
    line.Amount = amount
    line.AccountBasedExpenseLineDetail = detailline.AccountBasedExpenseLineDetail()
    line.AccountBasedExpenseLineDetail.AccountRef = reference(account)
    return line


def bought(qb):
    line = detailline.ItemBasedExpenseLine()
    line.Amount = 100
    inside = line.ItemBasedExpenseLineDetail = detailline.ItemBasedExpenseLineDetail()
    inside.BillableStatus, inside.UnitPrice, inside.Qty = "NotBillable", 100, 1
    inside.CustomerRef = first(objects.Customer, qb).to_ref()
    inside.TaxCodeRef = first(objects.TaxCode, qb).to_ref()
    inside.ItemRef = first(objects.Item, qb, Type="Inventory").to_ref()
    return line


def made(document, qb, **options):
    document.save(qb=qb, **options)
    return type(document).get(document.Id, qb=qb)


def sale(kind, qb):
    document = kind()
    document.CustomerRef = first(objects.Customer, qb).to_ref()
    document.Line.append(sold(qb))
    return document


def bill(qb):
    document = objects.Bill()
    document.VendorRef = first(objects.Vendor, qb).to_ref()
    document.Line.append(spent())
    document.save(qb=qb)
    return document


# Lists ---------------------------------------------------------------------------------------------


def test_accounts(qb):
    """An account is found by its name and renamed."""
    account = objects.Account()
    account.AcctNum, account.Name, account.AccountSubType = "1042", "Petty cash", "CashOnHand"
    seen = made(account, qb)
    assert (seen.AcctNum, seen.AccountType) == ("1042", "Bank")
    again = objects.Account.filter(Name="Petty cash", qb=qb)[0]
    again.Name = "Till"
    assert again.save(qb=qb).Name == "Till"


def test_customers(qb):
    """All parts of a name, an address, a phone and an e-mail survive, and a read object can be saved again."""
    customer = objects.Customer()
    customer.Title, customer.GivenName, customer.MiddleName, customer.FamilyName, customer.Suffix = (
        "Mr",
        "Jim",
        "B",
        "King",
        "Jr",
    )
    customer.DisplayName = customer.CompanyName = customer.FullyQualifiedName = "King & Co"
    customer.BillAddr = base.Address()
    customer.BillAddr.Line1, customer.BillAddr.CountrySubDivisionCode = "1 Main St", "CA"
    customer.PrimaryPhone = base.PhoneNumber()
    customer.PrimaryPhone.FreeFormNumber = "555-5555"
    customer.PrimaryEmailAddr = base.EmailAddress()
    customer.PrimaryEmailAddr.Address = "jim@example.com"
    seen = made(customer, qb)
    assert (seen.FullyQualifiedName, seen.BillAddr.Line1, seen.PrimaryPhone.FreeFormNumber) == (
        "King & Co",
        "1 Main St",
        "555-5555",
    )
    other = first(objects.Customer, qb)
    other.GivenName = "Changed"
    assert made(other, qb).GivenName == "Changed"


def test_vendors_and_employees(qb):
    """Both kinds of names; a social security number comes back masked."""
    vendor = objects.Vendor()
    vendor.DisplayName = vendor.CompanyName = vendor.PrintOnCheckName = "Nuts & Bolts"
    vendor.TaxIdentifier, vendor.AcctNum, vendor.Title = "99-9999999", "7", "Ms."
    vendor.WebAddr = base.WebAddress()
    vendor.WebAddr.URI = "http://example.com"
    assert made(vendor, qb).WebAddr.URI == "http://example.com"
    employee = objects.Employee()
    employee.SSN, employee.GivenName, employee.FamilyName, employee.HiredDate = (
        "444-55-6666",
        "Jo",
        "Smith",
        "2020-07-22",
    )
    employee.PrimaryAddr = base.Address()
    employee.PrimaryAddr.Line1 = "45 Elm"
    assert made(employee, qb).SSN == "XXX-XX-XXXX"
    other = first(objects.Employee, qb)
    other.FamilyName = "Renamed"
    assert made(other, qb).FamilyName == "Renamed"


def test_items(qb):
    """An inventory item with its three accounts, stock and SKU."""
    accounts = {
        "IncomeAccountRef": "AccountType = 'Income' and AccountSubType = 'SalesOfProductIncome'",
        "ExpenseAccountRef": "AccountSubType = 'SuppliesMaterialsCogs'",
        "AssetAccountRef": "AccountSubType = 'Inventory'",
    }
    item = objects.Item()
    item.Name, item.Type, item.Sku = "Mug", "Inventory", "MUG-1"
    item.TrackQtyOnHand, item.QtyOnHand, item.InvStartDate = True, 10, "2015-01-01"
    for name, where in accounts.items():
        setattr(item, name, objects.Account.where(where, max_results=1, qb=qb)[0].to_ref())
    seen = made(item, qb)
    assert (seen.QtyOnHand, seen.Sku, seen.Type) == (10, "MUG-1", "Inventory")


@pytest.mark.parametrize(
    ("kind", "values"),
    [(objects.Department, {}), (Class, {}), (objects.Term, {"DueDays": 10}), (objects.PaymentMethod, {})],
)
def test_small_lists(qb, kind, values):
    """Create, read, rename."""
    row = kind()
    row.Name = f"{kind.__name__} one"
    for name, value in values.items():
        setattr(row, name, value)
    assert made(row, qb).Name == row.Name
    other = kind.filter(Name=row.Name, qb=qb)[0]
    other.Name = f"{kind.__name__} two"
    assert made(other, qb).Name == other.Name


def test_taxes(qb):
    """Agencies and codes are made; a query for one tax code brings the three pseudo codes along."""
    agency = objects.TaxAgency()
    agency.DisplayName = "County"
    assert made(agency, qb).DisplayName == "County"
    assert len(objects.TaxCode.all(max_results=1, qb=qb)) == 4
    assert len(objects.TaxRate.all(max_results=1, qb=qb)) == 1
    service, detail = TaxService(), TaxRateDetails()
    service.TaxCode = detail.TaxRateName = "TaxCode 01"
    detail.RateValue, detail.TaxAgencyId, detail.TaxApplicableOn = 10, 1, "Sales"
    service.TaxRateDetails.append(detail)
    answer = service.save(qb=qb)
    assert (answer.TaxCode, answer.TaxRateDetails[0].TaxAgencyId, answer.TaxRateDetails[0].RateValue) == (
        "TaxCode 01",
        "1",
        10,
    )


def test_currencies(qb):
    """The company's currencies, and a rate that is read and raised."""
    assert CompanyCurrency.get(id=1, qb=qb).Name == "Canadian Dollar"
    rate = ExchangeRate.where("SourceCurrencyCode = 'EUR'", qb=qb)[0]
    assert rate.TargetCurrencyCode == "USD"
    rate.Rate = rate.Rate + 1
    rate.save(qb=qb)
    assert ExchangeRate.where("SourceCurrencyCode = 'EUR'", qb=qb)[0].Rate == rate.Rate


def test_preferences_and_company(qb):
    """Settings are read and one is changed; the company has a name."""
    preferences = Preferences.get(qb=qb)
    assert preferences.Id == "1"
    assert preferences.AccountingInfoPrefs.TaxYearMonth == "January"
    preferences.EmailMessagesPrefs.EstimateMessage.Subject = "Changed"
    preferences.save(qb=qb)
    assert Preferences.get(qb=qb).EmailMessagesPrefs.EstimateMessage.Subject == "Changed"
    assert objects.CompanyInfo.get(qb.company_id, qb=qb).Country == "US"


# Sales ---------------------------------------------------------------------------------------------


def test_invoices(qb):
    """Create, replay, save again, send, print, void, delete."""
    seen = made(sale(objects.Invoice, qb), qb)
    assert (seen.TotalAmt, seen.Line[0].Amount, seen.CustomerRef.name) == (
        100,
        100,
        first(objects.Customer, qb).DisplayName,
    )
    ident = str(uuid.uuid4())
    one, two = sale(objects.Invoice, qb), sale(objects.Invoice, qb)
    one.save(qb=qb, request_id=ident)
    two.save(qb=qb, request_id=ident)
    assert one.Id == two.Id
    seen.PrivateNote = "seen"
    again = seen.save(qb=qb)
    assert (again.PrivateNote, again.TotalAmt, again.SyncToken) == ("seen", 100, "1")
    again.send(qb=qb, send_to="a+b@example.com")
    assert again.download_pdf(qb=qb).startswith(b"%PDF")
    one = objects.Invoice.get(one.Id, qb=qb)
    one.void(qb=qb)
    gone = objects.Invoice.get(one.Id, qb=qb)
    assert gone.TotalAmt == 0
    assert "Voided" in gone.PrivateNote
    gone.delete(qb=qb)
    assert objects.Invoice.filter(Id=gone.Id, qb=qb) == []


def test_sales_receipts(qb):
    """Quantity and price come back, and a void leaves zero."""
    receipt = sale(objects.SalesReceipt, qb)
    receipt.Line = [sold(qb, 100.0, Qty=1, UnitPrice=100.0, ServiceDate="2026-01-01")]
    seen = made(receipt, qb)
    assert (seen.TotalAmt, seen.Line[0].SalesItemLineDetail["Qty"]) == (100.0, 1)
    receipt.void(qb=qb)
    assert objects.SalesReceipt.get(receipt.Id, qb=qb).TotalAmt == 0


def test_credit_memos_and_refunds(qb):
    """A credit memo is annotated; a refund leaves the bank by check."""
    memo = made(sale(objects.CreditMemo, qb), qb)
    memo.PrivateNote = "noted"
    assert made(memo, qb).PrivateNote == "noted"
    refund = objects.RefundReceipt()
    refund.DocNumber, refund.PaymentType, refund.TotalAmt, refund.Balance = "R-1", "Check", 1, 1
    refund.CheckPayment = refundreceipt.RefundReceiptCheckPayment()
    refund.CheckPayment.CheckNum = "1001"
    refund.Line.append(sold(qb, 200))
    refund.DepositToAccountRef = objects.Account.where("Name = 'checking'", qb=qb)[0].to_ref()
    seen = made(refund, qb)
    assert (seen.Line[0].Amount, seen.DocNumber) == (200, "R-1")


def test_estimates(qb):
    """Tax of nothing, a discount in percent on the account that it names, and addresses."""
    estimate = sale(objects.Estimate, qb)
    estimate.Line = [
        sold(
            qb,
            35.0,
            UnitPrice=35,
            Qty=1,
            ItemRef=reference("10", "Pest Control"),
            TaxCodeRef=reference("NON"),
        )
    ]
    less = detailline.DetailLine()
    less.Amount, less.DetailType = 3.5, "DiscountLineDetail"
    less.DiscountLineDetail = detailline.DiscountLineDetail()
    less.DiscountLineDetail.PercentBased, less.DiscountLineDetail.DiscountPercent = True, 10
    less.DiscountLineDetail.DiscountAccountRef = reference("86", "Discounts given")
    estimate.Line.append(less)
    estimate.TxnTaxDetail = tax.TxnTaxDetail()
    estimate.BillEmail = base.EmailAddress()
    estimate.BillEmail.Address = "a@example.com"
    estimate.ShipAddr = base.Address()
    estimate.ShipAddr.Id, estimate.ShipAddr.Line1 = "2123", "65 Ocean Dr."
    seen = made(estimate, qb)
    assert (seen.TotalAmt, seen.TxnTaxDetail.TotalTax) == (31.5, 0)
    assert seen.Line[2].DiscountLineDetail.DiscountAccountRef.name == "Discounts given"
    assert seen.ShipAddr.Line1 == "65 Ocean Dr."


def test_payments(qb):
    """There are payments to list; one is made, applied and voided."""
    assert len(objects.Payment.all(max_results=5, qb=qb)) == 5
    invoice = made(sale(objects.Invoice, qb), qb)
    payment = objects.Payment()
    payment.TotalAmt, payment.CustomerRef = 60.0, invoice.CustomerRef
    payment.PaymentMethodRef = first(objects.PaymentMethod, qb).to_ref()
    line = objects.payment.PaymentLine()
    line.Amount = 60.0
    line.LinkedTxn.append(invoice.to_linked_txn())
    payment.Line.append(line)
    assert made(payment, qb).UnappliedAmt == 0
    assert objects.Invoice.get(invoice.Id, qb=qb).Balance == 40
    payment.void(qb=qb)
    gone = objects.Payment.get(payment.Id, qb=qb)
    assert gone.TotalAmt == 0
    assert "Voided" in gone.PrivateNote
    assert objects.Invoice.get(invoice.Id, qb=qb).Balance == 100


# Purchases and money -------------------------------------------------------------------------------


def test_bills_and_their_payments(qb):
    """A bill is paid by check; voiding the payment opens the bill."""
    owed = bill(qb)
    payment = objects.BillPayment()
    payment.PayType, payment.TotalAmt, payment.PrivateNote = "Check", 200, "by check"
    payment.VendorRef = first(objects.Vendor, qb).to_ref()
    payment.CheckPayment = billpayment.CheckPayment()
    payment.CheckPayment.BankAccountRef = first(objects.Account, qb, AccountSubType="Checking").to_ref()
    payment.APAccountRef = first(objects.Account, qb, AccountSubType="AccountsPayable").to_ref()
    line = billpayment.BillPaymentLine()
    line.Amount = 200
    line.LinkedTxn.append(owed.to_linked_txn())
    payment.Line.append(line)
    assert len(made(payment, qb).Line) == 1
    assert objects.Bill.get(owed.Id, qb=qb).Balance == 0
    payment.void(qb=qb)
    assert objects.BillPayment.get(payment.Id, qb=qb).TotalAmt == 0
    assert objects.Bill.get(owed.Id, qb=qb).Balance == 200


@pytest.mark.parametrize("kind", [objects.Purchase, objects.PurchaseOrder])
def test_purchases_and_orders(qb, kind):
    """Lines by item with a customer and a tax code; duplicate numbers are allowed by option."""
    document = kind()
    if kind is objects.Purchase:
        document.PaymentType, document.DocNumber, document.AccountRef = (
            "CreditCard",
            "Doc123",
            reference("42", "Visa"),
        )
    else:
        document.VendorRef = first(objects.Vendor, qb).to_ref()
        document.APAccountRef = first(objects.Account, qb).to_ref()
    document.Line.append(bought(qb))
    seen = made(document, qb, params={"include": "allowduplicatedocnum"})
    assert seen.TotalAmt == 100
    assert seen.Line[0].ItemBasedExpenseLineDetail.TaxCodeRef.value == first(objects.TaxCode, qb).Name


def test_vendor_credits(qb):
    """What a vendor owes back."""
    credit = objects.VendorCredit()
    credit.VendorRef = first(objects.Vendor, qb).to_ref()
    credit.Line.append(spent(50))
    assert made(credit, qb).TotalAmt == 50


def test_transfers_deposits_and_card_payments(qb):
    """Money between accounts, into the bank, and to a credit card."""
    where = "Classification = 'Asset' AND FullyQualifiedName != 'Accounts Receivable (A/R)'"
    source, target = objects.Account.where(where, max_results=2, qb=qb)
    transfer = objects.Transfer()
    transfer.Amount, transfer.FromAccountRef, transfer.ToAccountRef = 100, source.to_ref(), target.to_ref()
    seen = made(transfer, qb)
    seen.Amount += 1
    assert made(seen, qb).Amount == 101
    one, two = objects.Account.filter(AccountType="Bank", max_results=2, qb=qb)
    banked, line = objects.Deposit(), deposit.DepositLine()
    line.Amount, line.DetailType = 20.0, "DepositLineDetail"
    line.DepositLineDetail = deposit.DepositLineDetail()
    line.DepositLineDetail.AccountRef = one.to_ref()
    banked.DepositToAccountRef = two.to_ref()
    banked.Line.append(line)
    assert made(banked, qb).TotalAmt == 20
    card = CreditCardPayment()
    card.Amount, card.BankAccountRef, card.CreditCardAccountRef = 100, one.to_ref(), reference("42")
    card.save(qb=qb)
    again = CreditCardPayment.all(max_results=1, qb=qb)[0]
    again.Amount += 1
    again.save(qb=qb)
    assert CreditCardPayment.get(again.Id, qb=qb).Amount == 101


def test_journal_entries(qb):
    """Two sides that balance."""
    entry = objects.JournalEntry()
    for side, account in (("Debit", "40"), ("Credit", "39")):
        line = journalentry.JournalEntryLine()
        line.Amount, line.DetailType = 10, "JournalEntryLineDetail"
        line.JournalEntryLineDetail = journalentry.JournalEntryLineDetail()
        line.JournalEntryLineDetail.PostingType = side
        line.JournalEntryLineDetail.AccountRef = reference(account)
        entry.Line.append(line)
    assert len(made(entry, qb).Line) == 2


# The rest ------------------------------------------------------------------------------------------


def test_time_activities(qb):
    """Hours of an employee, with a cost."""
    activity = objects.TimeActivity()
    activity.NameOf, activity.EmployeeRef = "Employee", first(objects.Employee, qb).to_ref()
    activity.StartTime, activity.EndTime, activity.CostRate = (
        "2016-07-22T10:00:00-07:00",
        "2016-07-22T11:00:00-07:00",
        50.0,
    )
    assert made(activity, qb).CostRate == 50
    seen = first(objects.TimeActivity, qb)
    seen.Description, seen.CostRate = "changed", 75.0
    assert made(seen, qb).CostRate == 75


def test_attachables(qb, tmp_path):
    """A note, a file from disk and one from memory, all linked to a vendor."""
    vendor = first(objects.Vendor, qb)

    def attachable():
        made_one, link = objects.Attachable(), base.AttachableRef()
        link.EntityRef = vendor.to_ref()
        made_one.AttachableRef.append(link)
        return made_one

    note = attachable()
    note.Note = "a note"
    note.save(qb=qb)
    assert objects.Attachable.get(note.Id, qb=qb).Note == "a note"
    path = tmp_path / "a.txt"
    path.write_bytes(b"")
    for field, value in (("_FilePath", str(path)), ("_FileBytes", b"one\r\ntwo")):
        file = attachable()
        file.FileName, file.ContentType = "a.txt", "text/plain"
        setattr(file, field, value)
        file.save(qb=qb)
        seen = objects.Attachable.get(file.Id, qb=qb)
        assert seen.AttachableRef[0].EntityRef.value == vendor.Id
        assert seen.Size == len(b"" if field == "_FilePath" else value)
    seen.Note = "later"
    assert made(seen, qb).Note == "later"


def test_recurring_transactions(qb):
    """Templates of invoices and bills are made, changed, listed by type and deleted."""

    def template(kind, name, document):
        info = recurringtransaction.RecurringInfo()
        info.Name, info.Active = name, True
        info.ScheduleInfo = recurringtransaction.ScheduleInfo()
        info.ScheduleInfo.StartDate, info.ScheduleInfo.IntervalType = "2026-01-01", "Monthly"
        info.ScheduleInfo.DayOfMonth, info.ScheduleInfo.NumInterval, info.ScheduleInfo.MaxOccurrences = (
            1,
            1,
            6,
        )
        document.RecurringInfo = info
        whole = recurringtransaction.RecurringTransaction()
        setattr(whole, kind, document)
        return whole.save(qb=qb)

    invoice = template("Invoice", "Rent out", sale(recurringtransaction.RecurringInvoice, qb)).Invoice
    owed = recurringtransaction.RecurringBill()
    owed.VendorRef = first(objects.Vendor, qb).to_ref()
    owed.Line.append(spent())
    template("Bill", "Rent in", owed)
    seen = recurringtransaction.RecurringTransaction.get(invoice.Id, qb=qb)
    seen.Invoice.RecurringInfo.ScheduleInfo.DayOfMonth = 15
    seen.Invoice.Line[0].Amount = 250
    seen.save(qb=qb)
    seen = recurringtransaction.RecurringTransaction.get(invoice.Id, qb=qb)
    assert (seen.Invoice.RecurringInfo.ScheduleInfo.DayOfMonth, seen.Invoice.TotalAmt) == (15, 250)
    assert len(recurringtransaction.RecurringTransaction.where("Type = 'Bill'", qb=qb)) == 1
    assert len(recurringtransaction.RecurringTransaction.all(qb=qb)) == 2
    seen.delete(qb=qb)
    assert len(recurringtransaction.RecurringTransaction.all(qb=qb)) == 1


def test_batches(qb):
    """More than a batch holds is sent in several; faults and successes are told apart."""
    rows = []
    for number in range(35):
        row = objects.Customer()
        row.DisplayName = f"Batch {number}"
        rows.append(row)
    created = batch_create(rows, qb=qb)
    assert (len(created.successes), len(created.faults)) == (35, 0)
    assert batch_create(rows[:2], qb=qb).faults[0].Error[0].code == "6240"
    for row in created.successes:
        row.Notes = "changed"
    assert len(batch_update(created.successes[:3], qb=qb).successes) == 3
    bills = [bill(qb), bill(qb)]
    for owed in bills:
        owed.SyncToken = 0
    assert len(batch_delete(bills, qb=qb).successes) == 2


def test_changes_reports_and_counts(qb):
    """CDC with an offset, reports, counts, and choosing by a list of ids."""
    made(sale(objects.Invoice, qb), qb)
    since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat(timespec="seconds")
    found = change_data_capture([objects.Invoice, objects.Customer], since, qb=qb)
    assert len(found.Invoice) > 0
    assert (
        qb.get_report("TrialBalance", {"start_date": "2025-01-01"})["Header"]["ReportName"] == "TrialBalance"
    )
    assert objects.Customer.count(qb=qb) >= 12
    assert {row.Id for row in objects.Customer.choose(["1", "2"], field="Id", qb=qb)} == {"1", "2"}


@pytest.mark.parametrize(("error", "code", "call"), [
    (exceptions.ObjectNotFoundException, 610, lambda qb: objects.Customer.get("98765", qb=qb)),
    (exceptions.ValidationException, 4000, lambda qb: objects.Customer.query("selekt", qb=qb)),
    (exceptions.QuickbooksException, 5010, lambda qb: _stale(qb)),
    (exceptions.UnsupportedException, 500, lambda qb: qb.delete_object("Term", '{"Id": "1", "SyncToken": "0"}')),
])  # fmt: skip
def test_faults_become_its_exceptions(qb, error, code, call):
    """The codes arrive in the classes that the library has for them."""
    with pytest.raises(error) as caught:
        call(qb)
    assert caught.value.error_code == code


def _stale(qb):
    row = first(objects.Term, qb)
    row.SyncToken = "99"
    row.save(qb=qb)
