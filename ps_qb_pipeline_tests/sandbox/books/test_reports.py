"""Reports in Intuit's shape, from the ledger."""

from decimal import Decimal

import pytest

from ps_qb_pipeline.sandbox.books import layout, listings, reports
from ps_qb_pipeline_tests.sandbox.books.bench import Bench

YEAR = {"start_date": "2025-01-01", "end_date": "2025-12-31"}


@pytest.fixture(scope="module")
def us():
    return Bench("us")


def groups(rows, found=None):
    """Return the summary values of every group of a report."""
    found = {} if found is None else found
    for row in rows:
        if "group" in row and "Summary" in row:
            found[row["group"]] = [cell["value"] for cell in row["Summary"]["ColData"]][1:]
        groups(row.get("Rows", {}).get("Row", []), found)
    return found


def leaves(rows):
    """Return the values of every row of data."""
    for row in rows:
        if "ColData" in row:
            yield [cell["value"] for cell in row["ColData"]]
        yield from leaves(row.get("Rows", {}).get("Row", []))


@pytest.mark.parametrize("name", sorted(reports._MAKERS | listings.MAKERS))
def test_every_report_has_header_columns_and_rows(us, name):
    """The envelope is the same for all, and every row of data is as wide as the columns."""
    report = us.get(f"reports/{name}", **YEAR)
    assert report["Header"]["ReportName"] == name
    assert (report["Header"]["StartPeriod"], report["Header"]["EndPeriod"], report["Header"]["Currency"]) == (
        "2025-01-01",
        "2025-12-31",
        "USD",
    )
    assert {"Name": "NoReportData", "Value": "true" if not report["Rows"] else "false"} in report["Header"][
        "Option"
    ]
    width = len(report["Columns"]["Column"])
    assert all({"ColTitle", "ColType", "MetaData"} == set(column) for column in report["Columns"]["Column"])
    assert all(len(row) == width for row in leaves(report["Rows"].get("Row", [])))


def test_profit_and_loss_adds_up(us):
    """Income less cost less expenses, and the rest, is the net income."""
    found = groups(us.get("reports/ProfitAndLoss", **YEAR)["Rows"]["Row"])
    values = {name: Decimal(cells[0]) for name, cells in found.items()}
    assert values["GrossProfit"] == values["Income"]
    assert values["NetOperatingIncome"] == values["GrossProfit"] - values["Expenses"]
    assert values["NetIncome"] == values["NetOperatingIncome"] + values["NetOtherIncome"]


def test_the_balance_sheet_balances_and_holds_the_net_income(us):
    """Assets equal liabilities and equity; the year's profit is a row of equity."""
    rows = us.get("reports/BalanceSheet", **YEAR)["Rows"]["Row"]
    found = groups(rows)
    assert found["TotalAssets"] == found["TotalLiabilitiesAndEquity"]
    net = groups(us.get("reports/ProfitAndLoss", **YEAR)["Rows"]["Row"])["NetIncome"][0]
    assert ["Net Income", net] in list(leaves(rows))


def test_last_years_profit_is_retained_this_year(us):
    """After the year's end the balance sheet has it under retained earnings."""
    rows = us.get("reports/BalanceSheet", start_date="2026-01-01", end_date="2026-06-30")["Rows"]["Row"]
    net = groups(us.get("reports/ProfitAndLoss", **YEAR)["Rows"]["Row"])["NetIncome"][0]
    assert ["Retained Earnings", net] in list(leaves(rows))
    assert groups(rows)["TotalAssets"] == groups(rows)["TotalLiabilitiesAndEquity"]


def test_the_trial_balance_has_equal_sides(us):
    """Debits equal credits, in the last row."""
    rows = us.get("reports/TrialBalance", **YEAR)["Rows"]["Row"]
    debit, credit = groups(rows)["GrandTotal"]
    assert debit == credit
    assert sum(Decimal(row[1] or 0) for row in leaves(rows)) == Decimal(debit)


def test_columns_by_month_add_up_to_the_total(us):
    """summarize_column_by splits the period at the ends of months."""
    report = us.get(
        "reports/ProfitAndLoss", start_date="2025-01-15", end_date="2025-04-10", summarize_column_by="Month"
    )
    titles = [column["ColTitle"] for column in report["Columns"]["Column"]]
    assert titles == ["", "Jan 2025", "Feb 2025", "Mar 2025", "Apr 2025", "Total"]
    for values in groups(report["Rows"]["Row"]).values():
        *months, whole = [Decimal(value) for value in values]
        assert sum(months) == whole


def test_the_general_ledger_runs_from_its_opening_balance(us):
    """Each account opens with its balance, and each row carries the running one."""
    report = us.get(
        "reports/GeneralLedger",
        start_date="2025-02-01",
        end_date="2025-12-31",
        account="84",
        columns="tx_date,txn_type,name,subt_nat_amount,rbal_nat_amount",
    )
    (section,) = report["Rows"]["Row"]
    rows = [[cell["value"] for cell in row["ColData"]] for row in section["Rows"]["Row"]]
    assert rows[0] == ["Beginning Balance", "", "", "", "70.00"]
    balance = Decimal("70.00")
    for row in rows[1:]:
        balance += Decimal(row[3])
        assert Decimal(row[4]) == balance
    assert section["Header"]["ColData"][0] == {"value": "Accounts Receivable (A/R)", "id": "84"}
    assert Decimal(us.read("Account", "84")["CurrentBalance"]) == balance


def test_receivables_agree_in_every_report(us):
    """Ageing, balances and the account itself say the same sum."""
    account = Decimal(us.read("Account", "84")["CurrentBalance"])
    aged = groups(us.get("reports/AgedReceivables", **YEAR)["Rows"]["Row"])["GrandTotal"][-1]
    balances = groups(us.get("reports/CustomerBalance", **YEAR)["Rows"]["Row"])["GrandTotal"][0]
    assert Decimal(aged) == Decimal(balances) == account


def test_a_company_without_postings_has_reports_without_rows():
    """NoReportData says so."""
    ie = Bench("ie")
    report = ie.get("reports/ProfitAndLoss", start_date="2020-01-01", end_date="2020-12-31")
    assert report["Rows"] == {}
    assert {"Name": "NoReportData", "Value": "true"} in report["Header"]["Option"]


def test_a_report_too_long_is_cut(us, monkeypatch):
    """Where QuickBooks would stop, the report stops and says so."""
    monkeypatch.setattr(layout, "MOST_CELLS", 80)
    report = us.get("reports/GeneralLedger", **YEAR)
    assert report["Rows"]["Row"][-1]["ColData"][0]["value"] == layout.TRUNCATED


@pytest.mark.parametrize(
    "query",
    [
        {"start_date": "2025-13-01"},
        {"start_date": "2025-05-01", "end_date": "2025-04-01"},
        {"date_macro": "soon"},
    ],
)
def test_a_period_that_is_none_is_refused(us, query):
    """Dates and macros are checked."""
    assert us.code("GET", "reports/ProfitAndLoss", **query) in {"2070", "2190", "2170"}


@pytest.mark.parametrize(("macro", "first", "last"), [
    ("Today", "2026-08-19", "2026-08-19"), ("Yesterday", "2026-08-18", "2026-08-18"),
    ("This Week", "2026-08-16", "2026-08-22"), ("This Week-to-date", "2026-08-16", "2026-08-19"),
    ("Last Week", "2026-08-09", "2026-08-15"), ("Last Week-to-date", "2026-08-09", "2026-08-12"),
    ("Next Week", "2026-08-23", "2026-08-29"), ("Next 4 Weeks", "2026-08-19", "2026-09-15"),
    ("This Month", "2026-08-01", "2026-08-31"), ("Last Month-to-date", "2026-07-01", "2026-07-19"),
    ("Next Month", "2026-09-01", "2026-09-30"), ("This Calendar Quarter", "2026-07-01", "2026-09-30"),
    ("Last Calendar Quarter", "2026-04-01", "2026-06-30"), ("This Fiscal Quarter", "2026-07-01", "2026-09-30"),
    ("Last Fiscal Quarter-to-date", "2026-04-01", "2026-05-20"), ("Next Fiscal Quarter", "2026-10-01", "2026-12-31"),
    ("This Calendar Year-to-date", "2026-01-01", "2026-08-19"), ("Last Calendar Year", "2025-01-01", "2025-12-31"),
    ("This Fiscal Year", "2026-01-01", "2026-12-31"), ("Next Fiscal Year", "2027-01-01", "2027-12-31"),
])  # fmt: skip
def test_a_macro_stands_for_its_days(macro, first, last):
    """Weeks begin on Sunday; "to-date" of an earlier period ends as many days after its beginning as today."""
    books = Bench("us")
    books.company.clock.set(books.company.clock.parse("2026-08-19T20:00:00Z"), freeze=True)
    header = books.get("reports/ProfitAndLoss", date_macro=macro)["Header"]
    assert (header["StartPeriod"], header["EndPeriod"]) == (first, last)


def test_a_fiscal_year_may_begin_in_any_month():
    """Fiscal periods follow the company's first month."""
    books = Bench("us")
    books.company.clock.set(books.company.clock.parse("2026-08-19T20:00:00Z"), freeze=True)
    books.control.apply({"preferences": {"AccountingInfoPrefs": {"FirstMonthOfFiscalYear": "May"}}})
    spans = []
    for macro in ("This Fiscal Year", "This Fiscal Quarter", "Last Fiscal Quarter"):
        header = books.get("reports/ProfitAndLoss", date_macro=macro)["Header"]
        spans.append((header["StartPeriod"], header["EndPeriod"]))
    assert spans == [("2026-05-01", "2027-04-30"), ("2026-08-01", "2026-10-31"), ("2026-05-01", "2026-07-31")]


@pytest.mark.parametrize("by", ["Days", "Week", "Month", "Quarter", "Year", "Customers", "Vendors", "Departments",
                                "Classes", "Employees", "ProductsAndServices"])  # fmt: skip
def test_columns_of_every_kind_add_up_to_the_same_total(us, by):
    """However profit and loss is spread, its last column is the whole."""
    whole = groups(us.get("reports/ProfitAndLoss", **YEAR)["Rows"]["Row"])
    spread = groups(us.get("reports/ProfitAndLoss", summarize_column_by=by, **YEAR)["Rows"]["Row"])
    assert {name: values[-1] for name, values in spread.items()} == {
        name: values[0] for name, values in whole.items()
    }
    for values in spread.values():
        *parts, last = [Decimal(value) for value in values]
        assert sum(parts) == last


def sale(books, amount, **fields):
    line = books.line(amount, code="NON", ClassRef=fields.pop("ClassRef", None))
    return books.receipt(line, TxnDate="2027-02-01", **fields)


def test_sales_are_told_apart_by_location_and_class():
    """A location belongs to the document, a class to its lines; what has none comes last."""
    books = Bench("us")
    place = {"value": books.create("Department", {"Name": "Cork"})["Id"]}
    kind = {"value": books.create("Class", {"Name": "Gifts"})["Id"]}
    books.create("SalesReceipt", sale(books, 10, DepartmentRef=place))
    books.create("SalesReceipt", sale(books, 7, ClassRef=kind))
    span = {"start_date": "2027-02-01", "end_date": "2027-02-28"}
    assert list(leaves(books.get("reports/DepartmentSales", **span)["Rows"]["Row"])) == [
        ["Cork", "10.00"], ["Not Specified", "7.00"],
    ]  # fmt: skip
    assert list(leaves(books.get("reports/ClassSales", **span)["Rows"]["Row"])) == [
        ["Gifts", "7.00"], ["Not Specified", "10.00"],
    ]  # fmt: skip
    listed = books.get("reports/TransactionList", department=place["value"], **span)["Rows"]["Row"]
    assert len(list(leaves(listed))) == 1
    report = books.get("reports/ProfitAndLoss", summarize_column_by="Departments", **span)
    assert [column["ColTitle"] for column in report["Columns"]["Column"]] == [
        "", "Cork", "Not Specified", "TOTAL",
    ]  # fmt: skip


def test_on_cash_basis_income_counts_when_it_is_paid():
    """An open invoice is no income; a part paid later is income of that day, a sales receipt of its own."""
    books = Bench("us")
    books.create("SalesReceipt", sale(books, 10))
    made = books.create("Invoice", sale(books, 90))

    def income(month, **more):
        span = {"start_date": f"2027-{month}-01", "end_date": f"2027-{month}-28"}
        rows = books.get("reports/ProfitAndLoss", **span, **more)["Rows"].get("Row", [])
        return groups(rows).get("Income", ["0.00"])[0]

    assert income("02") == "100.00"
    assert income("02", accounting_method="Cash") == "10.00"
    line = {"Amount": 30, "LinkedTxn": [{"TxnId": made["Id"], "TxnType": "Invoice"}]}
    payment = {"CustomerRef": {"value": "1"}, "TotalAmt": 30, "TxnDate": "2027-03-05", "Line": [line]}
    books.create("Payment", payment)
    assert income("03") == "0.00"
    assert income("03", accounting_method="Cash") == "30.00"
    assert books.code("GET", "reports/ProfitAndLoss", accounting_method="Barter") == "2170"


def test_transactions_are_listed_by_name(us):
    """The sections of customers and of vendors hold what the whole list holds of them."""
    whole = list(leaves(us.get("reports/TransactionList", **YEAR)["Rows"]["Row"]))
    for name in ("Customer", "Vendor"):
        sections = us.get(f"reports/TransactionListBy{name}", **YEAR)["Rows"]["Row"]
        assert len(sections) > 1
        assert all(row in whole for row in leaves(sections))


def test_macros_name_periods(us):
    """date_macro stands for dates, and is echoed."""
    header = us.get("reports/ProfitAndLoss", date_macro="Last Month")["Header"]
    assert header["DateMacro"] == "Last Month"
    assert header["StartPeriod"].endswith("-01")
    assert us.code("GET", "reports/Nothing") == "2000"
