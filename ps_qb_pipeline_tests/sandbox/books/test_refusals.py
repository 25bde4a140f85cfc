"""Every code with which the books refuse, one row a reason."""

import pytest

from ps_qb_pipeline_tests.sandbox.books.bench import DAY, Bench


def line(books, amount=10, **more):
    return books.line(amount, code="Standard 23%", **more)


def closed(books):
    books.control.apply({"preferences": {"AccountingInfoPrefs": {"BookCloseDate": "2026-12-31"}}})
    return "POST", "salesreceipt", books.receipt(line(books))


def stale(books):
    made = books.create("Customer", {"DisplayName": "S"})
    return "POST", "customer", {"Id": made["Id"], "SyncToken": "9", "sparse": True}


def deposited(books):
    made = books.create("SalesReceipt", books.receipt(line(books)))
    banked = [
        {
            "Amount": made["TotalAmt"],
            "LinkedTxn": [{"TxnId": made["Id"], "TxnType": "SalesReceipt", "TxnLineId": "0"}],
        }
    ]
    books.create("Deposit", {"DepositToAccountRef": books.ref("Account", "Checking"), "Line": banked})
    seen = books.read("SalesReceipt", made["Id"])
    return "POST", "salesreceipt?delete", {"Id": seen["Id"], "SyncToken": seen["SyncToken"]}


def duplicate_number(books):
    books.create("SalesReceipt", books.receipt(line(books), DocNumber="D1"))
    return "POST", "salesreceipt", books.receipt(line(books), DocNumber="D1")


def early_stock(books):
    return "POST", "invoice", books.receipt(line(books, item="Pump"), TxnDate="2024-06-01")


def journal(books, debit=10, credit=9):
    sides = [("Debit", debit, "Travel"), ("Credit", credit, "Checking")]
    lines = [
        {
            "Amount": value,
            "DetailType": "JournalEntryLineDetail",
            "JournalEntryLineDetail": {"PostingType": side, "AccountRef": books.ref("Account", name)},
        }
        for side, value, name in sides
    ]
    return "POST", "journalentry", {"TxnDate": DAY, "Line": lines}


def overpaid(books):
    made = books.create("Invoice", books.receipt(line(books)))
    link = [{"TxnId": made["Id"], "TxnType": "Invoice"}]
    return (
        "POST",
        "payment",
        {"CustomerRef": {"value": "1"}, "TotalAmt": 100, "Line": [{"Amount": 50, "LinkedTxn": link}]},
    )


CASES = [
    ("2010 unknown property", "2010", lambda b: ("POST", "customer", {"DisplayName": "A", "Nonsense": 1})),
    ("2010 inside a line", "2010", lambda b: ("POST", "salesreceipt", b.receipt({**line(b), "Nope": 1}))),
    ("2010 a list where one is wanted", "2010", lambda b: ("POST", "customer", {"DisplayName": ["A"]})),
    ("2020 no line", "2020", lambda b: ("POST", "salesreceipt", {"CustomerRef": {"value": "1"}})),
    ("2020 no customer", "2020", lambda b: ("POST", "invoice", {"Line": [line(b)]})),
    ("2020 no name", "2020", lambda b: ("POST", "customer", {})),
    ("2020 no detail type", "2020", lambda b: ("POST", "salesreceipt", b.receipt({"Amount": 1}))),
    ("2020 no account of a refund", "2020", lambda b: ("POST", "refundreceipt", b.receipt(line(b)))),
    ("2020 no sync token", "2020", lambda b: ("POST", "customer", {"Id": "1", "sparse": True})),
    ("2020 a pair without a side", "2020", lambda b: ("POST", "journalentry", {"Line": [{"Amount": 1, "DetailType": "JournalEntryLineDetail", "JournalEntryLineDetail": {"AccountRef": {"value": "1"}}}]})),
    ("4000 a query without text", "4000", lambda b: ("GET", "query", None)),
    ("2030 an id that is none", "2030", lambda b: ("GET", "customer/abc", None)),
    ("2040 a colon in a given name", "2040", lambda b: ("POST", "customer", {"DisplayName": "A", "GivenName": "a:b"})),
    ("2040 a quote in an account", "2040", lambda b: ("POST", "account", {"Name": 'a"b', "AccountType": "Bank"})),
    ("2050 a document number", "2050", lambda b: ("POST", "salesreceipt", b.receipt(line(b), DocNumber="X" * 22))),
    ("2050 a payment reference", "2050", lambda b: ("POST", "salesreceipt", b.receipt(line(b), PaymentRefNum="X" * 22))),
    ("2050 a display name", "2050", lambda b: ("POST", "customer", {"DisplayName": "X" * 501})),
    ("2050 a private note", "2050", lambda b: ("POST", "salesreceipt", b.receipt(line(b), PrivateNote="X" * 4001))),
    ("2050 an item name", "2050", lambda b: ("POST", "item", {"Name": "X" * 101, "IncomeAccountRef": {"value": "1"}})),
    ("2070 a date", "2070", lambda b: ("POST", "salesreceipt", b.receipt(line(b), TxnDate="2026-02-31"))),
    ("2090 a number", "2090", lambda b: ("POST", "salesreceipt", b.receipt(line(b, "ten")))),
    ("2130 a request id", "2130", lambda b: ("POST", "customer?" + "x" * 51, {"DisplayName": "A"})),
    ("2170 an enumeration", "2170", lambda b: ("POST", "salesreceipt", b.receipt(line(b), EmailStatus="Perhaps"))),
    ("2210 an e-mail address", "2210", lambda b: ("POST", "customer", {"DisplayName": "A", "PrimaryEmailAddr": {"Address": "nobody"}})),
    ("2300 a journal that does not balance", "2300", journal),
    ("2500 a reference", "2500", lambda b: ("POST", "salesreceipt", b.receipt(line(b), CustomerRef={"value": "98765"}))),
    ("4000 a query that is none", "4000", lambda b: ("GET", "query", "selekt * from Customer")),
    ("4001 a property", "4001", lambda b: ("GET", "query", "select * from Customer where Shoe = '1'")),
    ("4001 a note is not queryable", "4001", lambda b: ("GET", "query", "select * from SalesReceipt where PrivateNote = 'x'")),
    ("4001 a payment's number is not queryable", "4001", lambda b: ("GET", "query", "select * from Payment where DocNumber = 'x'")),
    ("4001 a position of zero", "4001", lambda b: ("GET", "query", "select * from Customer startposition 0")),
    ("4001 an entity", "4001", lambda b: ("GET", "query", "select * from Sheep")),
    ("5010 a stale version", "5010", stale),
    ("6000 a line without a tax code", "6000", lambda b: ("POST", "salesreceipt", b.receipt(b.line(10)))),
    ("6000 a negative total", "6000", lambda b: ("POST", "salesreceipt", b.receipt(line(b, -10)))),
    ("6000 more applied than is open", "6000", overpaid),
    ("6000 a transfer to where it comes from", "6000", lambda b: ("POST", "transfer", {"FromAccountRef": {"value": "35"}, "ToAccountRef": {"value": "35"}, "Amount": 1})),
    ("6010 an account of no type", "6010", lambda b: ("POST", "account", {"Name": "A"})),
    ("6070 quantity times price", "6070", lambda b: ("POST", "salesreceipt", b.receipt(line(b, 10, Qty=3, UnitPrice=3.3)))),
    ("6090 a discount of nothing", "6090", lambda b: ("POST", "salesreceipt", b.receipt(line(b), {"DetailType": "DiscountLineDetail", "DiscountLineDetail": {}}))),
    ("6140 a number used twice", "6140", duplicate_number),
    ("6150 a sub-account of nothing", "6150", lambda b: ("POST", "account", {"Name": "A", "AccountType": "Bank", "SubAccount": True})),
    ("6160 a foreign tax rate", "6160", lambda b: ("POST", "salesreceipt", b.receipt(line(b), TxnTaxDetail={"TaxLine": [{"Amount": 1, "DetailType": "TaxLineDetail", "TaxLineDetail": {"TaxRateRef": {"value": "5"}}}]}))),
    ("6170 tax where none applies", "6170", lambda b: ("POST", "salesreceipt", b.receipt(b.line(10), GlobalTaxCalculation="NotApplicable", TxnTaxDetail={"TotalTax": 1}))),
    ("6210 closed books", "6210", closed),
    ("6240 a name used twice", "6240", lambda b: ("POST", "vendor", {"DisplayName": "orchard lane cafe"})),
    ("6270 before stock was counted", "6270", early_stock),
    ("6540 already deposited", "6540", deposited),
    ("610 nothing there", "610", lambda b: ("GET", "customer/98765", None)),
    ("620 a link to nothing", "620", lambda b: ("POST", "payment", {"CustomerRef": {"value": "1"}, "TotalAmt": 1, "Line": [{"Amount": 1, "LinkedTxn": [{"TxnId": "1", "TxnType": "Shoe"}]}]})),
    ("500 no such operation", "500", lambda b: ("POST", "paymentmethod?delete", {"Id": "1", "SyncToken": "0"})),
    ("2000 no such object", "2000", lambda b: ("POST", "sheep", {})),
    ("1040 a batch too long", "1040", lambda b: ("POST", "batch", {"BatchItemRequest": [{"bId": str(n), "Query": "select * from Term"} for n in range(31)]})),
    ("5030 a feature of another country", "5030", lambda b: ("POST", "inventoryadjustment", {"AdjustAccountRef": {"value": "80"}, "Line": []})),
]  # fmt: skip


@pytest.mark.parametrize(("code", "make"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_refusal_has_its_code(code, make):
    """What breaks a rule is refused with that rule's code, as a ValidationFault of status 400, and writes nothing."""
    books = Bench("ie")
    method, path, body = make(books)
    query = {}
    if path == "query":
        query, body = {"query": body or ""}, None
    path, _, more = path.partition("?")
    if more:
        query = {"operation": "delete"} if more == "delete" else {"requestid": more}
    before = books.company.store.connection.execute("select count(*), sum(sync) from rows").fetchone()
    refusal = books.refusal(method, path, body, **query)
    after = books.company.store.connection.execute("select count(*), sum(sync) from rows").fetchone()
    assert refusal["code"] == code
    assert refusal["status"] == (404 if code == "2000" else 400)
    assert refusal["type"] == "ValidationFault"
    assert refusal["Message"]
    assert refusal["Detail"]
    assert before == after


def test_us_lines_know_two_codes_only():
    """6100: a US line carries TAX or NON."""
    books = Bench("us")
    bad = {
        "Amount": 1,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"TaxCodeRef": {"value": "2"}},
    }
    assert books.code("POST", "salesreceipt", books.receipt(bad)) == "6100"


def test_a_closed_period_without_a_password_is_6200():
    """The switch gives the other code of a closed period."""
    books = Bench("ie")
    method, path, body = closed(books)
    books.company.switches.change({"closed_code": 6200})
    assert books.code(method, path, body) == "6200"


def test_a_closed_period_forbids_changes_and_deletions_too():
    """What lies in the closed period can neither be edited, voided, deleted, nor moved out."""
    books = Bench("ie")
    made = books.create("SalesReceipt", books.receipt(line(books)))
    closed(books)
    base = {"Id": made["Id"], "SyncToken": made["SyncToken"], "sparse": True}
    assert books.code("POST", "salesreceipt", base | {"TxnDate": "2027-01-05"}) == "6210"
    assert books.code("POST", "salesreceipt", base, operation="delete") == "6210"
    assert books.code("POST", "salesreceipt", base, include="void", operation="update") == "6210"
    assert books.create("SalesReceipt", books.receipt(line(books), TxnDate="2027-01-05"))["TotalAmt"]


def test_the_number_guard_has_its_three_ways_out():
    """The option in the request, the setting of the user interface, and server numbers let a number twice."""
    books = Bench("ie")
    _, _, body = duplicate_number(books)
    assert books.create("SalesReceipt", body, include="allowduplicatedocnum")["DocNumber"] == "D1"
    books.company.switches.change({"warn_duplicate_number": "off"})
    assert books.create("SalesReceipt", body)["DocNumber"] == "D1"
    books.company.switches.change({"warn_duplicate_number": "on"})
    books.control.apply({"preferences": {"SalesFormsPrefs": {"CustomTxnNumbers": False}}})
    assert books.create("SalesReceipt", body)["DocNumber"] == "D1"
    assert len(books.rows("select * from SalesReceipt where DocNumber = 'D1'")) == 4


@pytest.mark.parametrize(("switch", "value", "body"), [
    ("zero_totals", "refused", lambda b: b.receipt(line(b, 0))),
    ("negative_lines", "refused", lambda b: b.receipt(line(b, 10), line(b, -3))),
    ("string_numbers", "refused", lambda b: b.receipt(line(b, "10.00"))),
    ("customer_on_receipt", "required", lambda b: b.receipt(line(b), CustomerRef=None)),
    ("currency_ref", "required", lambda b: b.receipt(line(b))),
])  # fmt: skip
def test_what_is_uncertain_can_be_accepted_or_refused(switch, value, body):
    """Where the contract is silent the default accepts, and a switch refuses."""
    books = Bench("ie")
    assert books.create("SalesReceipt", body(books))["Id"]
    books.company.switches.change({switch: value})
    assert books.code("POST", "salesreceipt", body(books)) in {"6000", "2290", "2090", "2020"}


@pytest.mark.parametrize(("quantity", "price", "amount"), [
    ("128.350", "14.5", "1861.08"), ("3", "3.33", "9.99"), ("3", "3.3333333", "10"), ("7", "1.42857", "10"), ("0.5", "0.01", "0.01"),
])  # fmt: skip
def test_the_product_is_rounded_half_up_to_the_cent(quantity, price, amount):
    """Amount must be Qty times UnitPrice, rounded half up, with prices of 2, 5 and 7 decimals."""
    books = Bench("ie")
    made = books.create("SalesReceipt", books.receipt(line(books, amount, Qty=quantity, UnitPrice=price)))
    assert str(made["Line"][0]["Amount"]) == amount


def test_a_fault_stands_in_the_documented_envelope():
    """Fault, Error with Message, Detail and code, type, and the time beside it."""
    books = Bench("ie")
    status, answer = books.call("GET", "customer/98765")
    assert status == 400
    assert set(answer) == {"Fault", "time"}
    assert set(answer["Fault"]) == {"Error", "type"}
    assert isinstance(answer["Fault"]["Error"][0]["code"], str)


@pytest.mark.parametrize("items", ["x", {"bId": "1"}, [1], ["x"], [None]])
def test_a_batch_of_no_items_is_refused(items):
    """What is no list of objects is a 2010, not an error of the books."""
    assert Bench("ie").code("POST", "batch", {"BatchItemRequest": items}) == "2010"


@pytest.mark.parametrize("item", [{"Customer": "x"}, {"CDCQuery": [1]}, {"Customer": None}, {}])
def test_a_strange_item_of_a_batch_is_refused_alone(item):
    """Its neighbour is carried out."""
    good = {"bId": "2", "operation": "create", "Class": {"Name": "North"}}
    answer = Bench("ie").post("batch", {"BatchItemRequest": [{"bId": "1", **item}, good]})
    assert [("Fault" in one, one["bId"]) for one in answer["BatchItemResponse"]] == [
        (True, "1"),
        (False, "2"),
    ]


@pytest.mark.parametrize("account", [{"name": "Checking"}, {"value": ""}, {}])
def test_a_reference_without_value_names_nothing(account):
    """Only the value of a reference counts; a name alone is a missing parameter."""
    body = {"FromAccountRef": account, "ToAccountRef": {"value": "35"}, "Amount": 3}
    refusal = Bench("ie").refusal("POST", "transfer", body)
    assert (refusal["code"], refusal["element"]) == ("2020", "FromAccountRef")


def test_cash_back_needs_an_account():
    """The part of a deposit that somebody keeps is posted somewhere."""
    line = {
        "Amount": 9,
        "DetailType": "DepositLineDetail",
        "DepositLineDetail": {"AccountRef": {"value": "36"}},
    }
    body = {"DepositToAccountRef": {"value": "35"}, "Line": [line], "CashBack": {"Amount": 4}}
    assert Bench("ie").refusal("POST", "deposit", body)["element"] == "CashBack.AccountRef"


@pytest.mark.parametrize(
    ("code", "count", "status"), [("TAX", 750, 200), ("TAX", 751, 400), ("NON", 751, 200)]
)
def test_a_taxable_us_invoice_has_at_most_750_lines(code, count, status):
    """Lines without tax do not count."""
    books = Bench("us")
    line = books.line(1, code=code)
    assert books.call("POST", "invoice", books.receipt(*[dict(line) for _ in range(count)]))[0] == status


def test_categories_nest_in_categories_only():
    """A category under a service is refused; a service under a category has both names."""
    books = Bench("ie")
    income = {"IncomeAccountRef": {"value": "79"}}
    service = books.create("Item", {"Name": "Advice", "Type": "Service", **income})
    inside = {"Type": "Category", "SubItem": True, "ParentRef": {"value": service["Id"]}}
    assert books.code("POST", "item", {"Name": "Sort", **inside}) == "6000"
    category = books.create("Item", {"Name": "Sort", "Type": "Category"})
    under = {"SubItem": True, "ParentRef": {"value": category["Id"]}}
    made = books.create("Item", {"Name": "Help", "Type": "Service", **income, **under})
    assert made["FullyQualifiedName"] == "Sort:Help"


def test_discounts_go_to_the_account_of_the_settings():
    """DefaultDiscountAccount is where a discount line without an account is posted."""
    books = Bench("ie")
    other = books.create("Account", {"Name": "Rebates", "AccountType": "Income"})
    books.control.apply({"preferences": {"SalesFormsPrefs": {"DefaultDiscountAccount": other["Id"]}}})
    less = {"DetailType": "DiscountLineDetail", "Amount": 1, "DiscountLineDetail": {"PercentBased": False}}
    books.create("SalesReceipt", books.receipt(books.line(10, code="Zero 0%"), less))
    assert books.read("Account", other["Id"])["CurrentBalance"] == -1


def test_retained_earnings_stay_what_they_are():
    """Reports carry last year's profit to this account: its type cannot be changed, its number can."""
    books = Bench("ie")
    where = "select * from Account where AccountSubType = 'RetainedEarnings'"
    seen = books.rows(where)[0]
    key = {"Id": seen["Id"], "SyncToken": seen["SyncToken"]}
    other = key | {"Name": "Kept", "AccountType": "Expense"}
    assert books.code("POST", "account", other) == "6000"
    whole = key | {"Name": "Kept", "AccountType": "Equity", "AcctNum": "300"}
    assert books.update("Account", whole)["AccountSubType"] == "RetainedEarnings"


@pytest.mark.parametrize("sparse", [[], {}, [1], "yes", None])
def test_a_strange_sparse_is_a_full_update(sparse):
    """Only true, as a boolean or a word, makes an update sparse."""
    books = Bench("ie")
    made = books.create("Customer", {"DisplayName": "Cy", "Notes": "old"})
    body = {"Id": made["Id"], "SyncToken": "0", "DisplayName": "Cy", "sparse": sparse}
    assert "Notes" not in books.update("Customer", body)
