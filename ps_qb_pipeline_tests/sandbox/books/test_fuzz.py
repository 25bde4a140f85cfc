"""Whatever is sent, the books answer; they do not break."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.sandbox.books import schema
from ps_qb_pipeline.sandbox.books.entities import ENTITIES
from ps_qb_pipeline_tests.sandbox.books.bench import Bench

BENCHES = {}
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 200), st.decimals("-99", "999", places=2), st.text(max_size=6),
    st.sampled_from(["1", "35", "2026-03-15", "EUR", "TaxInclusive", "Customer", "Invoice", "SHIPPING_ITEM_ID"]),
)  # fmt: skip
REFERENCES = st.fixed_dictionaries(
    {"value": st.one_of(SCALARS, st.sampled_from(["1", "2", "5", "10", "84"]))}
)


def value_of(name, depth):
    """Return values of a field's type, mostly right ones."""
    kind = schema.type_of(name)
    if kind is None:
        values = schema.enum(name)
        if values:
            return st.sampled_from(sorted(values))
        if name == "date":
            return st.sampled_from(["2026-01-31", "2025-06-01", "2024-01-01"])
        if name in schema.NUMBERS:
            return st.decimals("-20", "500", places=2)
        return SCALARS
    if kind.is_text:
        return REFERENCES
    return object_of(name, depth - 1) if depth else st.just({})


def object_of(name, depth=3):
    """Return objects of a type with some of its fields."""
    kind = schema.type_of(name)

    @st.composite
    def build(draw):
        fields = (
            draw(st.lists(st.sampled_from(sorted(kind.fields)), max_size=7, unique=True))
            if kind.fields
            else []
        )
        if "Line" in kind.fields and depth == 3:
            fields = [*fields, "Line", "CustomerRef", "VendorRef", "TotalAmt", "DepositToAccountRef"]
        if "DetailType" in kind.fields:
            fields = [*fields, "DetailType", "Amount", "SalesItemLineDetail", "LinkedTxn"]
        body = {}
        for field in fields:
            if field not in kind.fields:
                continue
            facts = kind.fields[field]
            values = value_of(facts.type, depth)
            body[field] = draw(st.lists(values, max_size=3) if facts.many else values)
        if draw(st.integers(0, 9)) == 0 and body:
            body[draw(st.sampled_from(sorted(body)))] = draw(
                st.one_of(SCALARS, st.lists(SCALARS, max_size=2))
            )
        return body

    return build()


def bench(country):
    if country not in BENCHES:
        BENCHES[country] = Bench(country)
    return BENCHES[country]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), country=st.sampled_from(["ie", "us"]), name=st.sampled_from(sorted(ENTITIES)))
def test_any_body_is_accepted_or_refused(data, country, name):
    """A body of an entity's own fields with any values is written or refused; the ledger balances after it."""
    books = bench(country)
    body = data.draw(object_of(name))
    operation = data.draw(
        st.sampled_from([{}, {}, {}, {"operation": "delete"}, {"operation": "void"}, {"operation": "update"}])
    )
    status, answer = books.call("POST", ENTITIES[name].url, body, **operation)
    assert status in {200, 400}, answer
    sums = books.company.store.connection.execute("select coalesce(sum(home), 0) from entries").fetchone()
    assert sums == (0,)


def valid_bodies(books):
    """Return one right body for each kind of document and list."""
    line = books.line(10, code="Standard 23%")
    spent = {
        "Amount": 7,
        "DetailType": "AccountBasedExpenseLineDetail",
        "AccountBasedExpenseLineDetail": {"AccountRef": {"value": "22"}, "TaxCodeRef": {"value": "1"}},
    }
    less = {
        "DetailType": "DiscountLineDetail",
        "DiscountLineDetail": {"PercentBased": True, "DiscountPercent": 10},
    }
    sides = [
        {
            "Amount": 5,
            "DetailType": "JournalEntryLineDetail",
            "JournalEntryLineDetail": {"PostingType": side, "AccountRef": {"value": account}},
        }
        for side, account in (("Debit", "22"), ("Credit", "35"))
    ]
    bank, check = {"value": "35"}, {"BankAccountRef": {"value": "35"}}
    tax = {
        "TotalTax": 2,
        "TaxLine": [
            {"Amount": 2, "DetailType": "TaxLineDetail", "TaxLineDetail": {"TaxRateRef": {"value": "1"}}}
        ],
    }
    address = {"Line1": "1 Main St", "City": "Dublin"}
    return {
        "SalesReceipt": books.receipt(line, less, DepositToAccountRef=bank, TxnTaxDetail=tax),
        "Invoice": books.receipt(line, line, GlobalTaxCalculation="TaxInclusive", BillAddr=address, DueDate="2026-04-01"),
        "CreditMemo": books.receipt(line),
        "RefundReceipt": books.receipt(line, DepositToAccountRef=bank),
        "Estimate": books.receipt(line, BillEmail={"Address": "a@example.com"}),
        "Payment": {"CustomerRef": {"value": "1"}, "TotalAmt": 5, "Line": [{"Amount": 5, "LinkedTxn": [{"TxnId": "101", "TxnType": "Invoice"}]}]},
        "Bill": {"VendorRef": {"value": "13"}, "Line": [spent]},
        "VendorCredit": {"VendorRef": {"value": "13"}, "Line": [spent]},
        "Purchase": {"PaymentType": "Cash", "AccountRef": bank, "Line": [spent]},
        "PurchaseOrder": {"VendorRef": {"value": "13"}, "Line": [spent]},
        "BillPayment": {"VendorRef": {"value": "13"}, "PayType": "Check", "CheckPayment": check, "TotalAmt": 4, "Line": []},
        "Deposit": {"DepositToAccountRef": bank, "Line": [{"Amount": 3, "DetailType": "DepositLineDetail", "DepositLineDetail": {"AccountRef": {"value": "36"}}}]},
        "Transfer": {"FromAccountRef": bank, "ToAccountRef": {"value": "36"}, "Amount": 3},
        "JournalEntry": {"Line": sides},
        "CreditCardPaymentTxn": {"BankAccountRef": bank, "CreditCardAccountRef": {"value": "42"}, "Amount": 3},
        "Item": {"Name": "Thing", "Type": "Inventory", "TrackQtyOnHand": True, "QtyOnHand": 2, "InvStartDate": "2025-01-01", "PurchaseCost": 3,
                 "IncomeAccountRef": {"value": "79"}, "ExpenseAccountRef": {"value": "80"}, "AssetAccountRef": {"value": "81"}},
        "Customer": {"DisplayName": "Somebody", "BillAddr": address, "Balance": 12, "CurrencyRef": {"value": "USD"}, "PrimaryEmailAddr": {"Address": "a@example.com"}},
        "Account": {"Name": "Some account", "AccountType": "Bank", "OpeningBalance": 5},
        "TimeActivity": {"NameOf": "Employee", "EmployeeRef": {"value": "28"}, "Hours": 1},
        "Attachable": {"Note": "n", "AttachableRef": [{"EntityRef": {"type": "Customer", "value": "1"}}]},
        "RecurringTransaction": {"Invoice": books.receipt(line, RecurringInfo={"Name": "R", "RecurType": "Automated"})},
        "ExchangeRate": {"SourceCurrencyCode": "USD", "Rate": 1, "AsOfDate": "2026-01-01"},
        "Preferences": {"Id": "1", "SyncToken": "0", "AccountingInfoPrefs": {"UseAccountNumbers": True}},
    }  # fmt: skip


def places(value, path=()):
    """Yield the path of everything inside a body."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*path, key)
        yield from places(inner, (*path, key))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_spoilt_body_is_accepted_or_refused(data):
    """Right bodies of every kind, with up to three places spoilt, leave books that balance."""
    books = bench("ie")
    bodies = valid_bodies(books)
    name = data.draw(st.sampled_from(sorted(bodies)))
    body = bodies[name]
    for _ in range(data.draw(st.integers(0, 3))):
        left = list(places(body))
        if not left:
            break
        *path, last = data.draw(st.sampled_from(left))
        target = body
        for key in path:
            target = target[key]
        if data.draw(st.booleans()):
            target[last] = data.draw(
                st.one_of(SCALARS, REFERENCES, st.lists(SCALARS, max_size=2), st.just({}))
            )
        else:
            del target[last]
    status, answer = books.call("POST", ENTITIES[name].url, body)
    assert status in {200, 400}, answer
    made = answer.get(name, {}) if status == 200 else {}
    if "SyncToken" in made and name not in {"Preferences", "Item", "Customer", "Account"}:
        seen = {"Id": made["Id"], "SyncToken": made["SyncToken"]}
        status, answer = books.call(
            "POST", ENTITIES[name].url, seen, operation=data.draw(st.sampled_from(["delete", "void"]))
        )
        assert status in {200, 400}, answer
    sums = books.company.store.connection.execute("select coalesce(sum(home), 0) from entries").fetchone()
    assert sums == (0,)


@settings(max_examples=60, deadline=None)
@given(
    raw=st.binary(max_size=60),
    path=st.sampled_from(
        [
            "customer",
            "batch",
            "invoice",
            "upload",
            "taxservice/taxcode",
            "query",
            "exchangerate",
            "recurringtransaction",
        ]
    ),
)
def test_any_bytes_are_refused_in_words(raw, path):
    """A body that is no JSON, or not the right JSON, is a Fault."""
    status, answer = bench("ie").call("POST", path, raw)
    assert status in {200, 400}
    assert "Fault" in answer or status == 200
