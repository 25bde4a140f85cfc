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


def test_macros_name_periods(us):
    """date_macro stands for dates, and is echoed."""
    header = us.get("reports/ProfitAndLoss", date_macro="Last Month")["Header"]
    assert header["DateMacro"] == "Last Month"
    assert header["StartPeriod"].endswith("-01")
    assert us.code("GET", "reports/Nothing") == "2000"
