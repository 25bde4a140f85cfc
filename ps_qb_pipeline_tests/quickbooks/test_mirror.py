"""The mirror equals the books after every tick, whatever happened between two of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ps_qb_pipeline.errors import BooksFault, BooksUnavailable, Fault, FaultError
from ps_qb_pipeline.quickbooks.answers import read_json
from ps_qb_pipeline.quickbooks.cdc import Change, Changes
from ps_qb_pipeline.quickbooks.entities import CDC_ENTITIES, ENTITIES, TRANSACTIONS
from ps_qb_pipeline.quickbooks.mirror import MirrorRow, pull, read_lists_again
from ps_qb_pipeline.quickbooks.texts import canonical
from ps_qb_pipeline_tests.quickbooks.sandbox import running

COMPUTED = {"Balance", "BalanceWithJobs", "CurrentBalance", "CurrentBalanceWithSubAccounts", "QtyOnHand"}
"""What QuickBooks computes from other objects does not change the object that shows it."""


@dataclass
class Result:
    inserted: int


@dataclass
class Warehouse:
    """Landed rows, newest state by table and id."""

    tables: dict[str, dict[str, MirrorRow]] = field(default_factory=dict)
    calls: int = 0

    def land(self, table, columns, rows):
        self.calls += 1
        kept = self.tables.setdefault(table, {})
        inserted = 0
        for row in rows:
            assert set(row.values) <= set(columns)
            before = kept.get(row.id)
            inserted += before is None or before.payload != row.payload
            kept[row.id] = row
        return Result(inserted)

    def alive(self, table):
        return {one for one, row in self.tables.get(table, {}).items() if not row.deleted}


class Cursors(dict):
    def commit(self, resource, value):
        self[resource] = json.loads(json.dumps(value))


@pytest.fixture(scope="module")
def sandbox():
    with running() as company:
        yield company


def content(row):
    return {name: value for name, value in row.items() if name not in COMPUTED}


def differences(books, warehouse):
    """(entity, Id) whose mirrored state is not the books' state."""
    found = set()
    for name in CDC_ENTITIES:
        entity = ENTITIES[name]
        there = {row["Id"]: row for row in books.query_all(name)}
        here = warehouse.alive(entity.table)
        found |= {(name, one) for one in here ^ set(there)}
        for one in here & set(there):
            mirrored = read_json(warehouse.tables[entity.table][one].payload)
            if content(mirrored) != content(read_json(canonical(there[one]))):
                found.add((name, one))
    return found


SERIAL = itertools.count(1)
"""Of names and request ids: the company lives as long as the module."""


class Hand:
    """A person at work in the books."""

    def __init__(self, sandbox):
        self.books = books = sandbox.books()
        self.control = sandbox.control
        self.live: dict[str, list[str]] = {
            name: [] for name in ("Customer", "Item", "SalesReceipt", "Invoice", "Payment")
        }
        self.account = next(iter(books.query("select * from Account where AccountType = 'Income'")))["Id"]
        self.code = books.query("select * from TaxCode")[0]["Id"]

    def create(self, entity, body):
        stamp = f"n{next(SERIAL)}"
        body = body(stamp) if callable(body) else body
        row = self.books.create(entity, canonical(body), stamp).body[entity]
        self.live[entity].append(row["Id"])
        return row["Id"]

    def customer(self):
        return self.create("Customer", lambda stamp: {"DisplayName": f"C {stamp}"})

    def item(self):
        body = {"Type": "Service", "IncomeAccountRef": {"value": self.account}}
        return self.create("Item", lambda stamp: {"Name": f"I {stamp}", **body})

    def sale(self, entity):
        customer = self.live["Customer"][-1] if self.live["Customer"] else self.customer()
        item = self.live["Item"][-1] if self.live["Item"] else self.item()
        line = {
            "Amount": Decimal("10.00"),
            "DetailType": "SalesItemLineDetail",
            "SalesItemLineDetail": {"ItemRef": {"value": item}, "TaxCodeRef": {"value": self.code}},
        }
        body = {"CustomerRef": {"value": customer}, "CurrencyRef": {"value": "EUR"}, "Line": [line]}
        return self.create(entity, {**body, "GlobalTaxCalculation": "TaxExcluded"})

    def pay(self):
        invoice = self.live["Invoice"][-1] if self.live["Invoice"] else self.sale("Invoice")
        row = self.books.read("Invoice", invoice)
        if Decimal(row["Balance"]) <= 0:
            return
        self.create(
            "Payment",
            {
                "CustomerRef": row["CustomerRef"],
                "TotalAmt": row["Balance"],
                "CurrencyRef": {"value": "EUR"},
                "Line": [{"Amount": row["Balance"], "LinkedTxn": [{"TxnId": invoice, "TxnType": "Invoice"}]}],
            },
        )

    def touch(self, entity, change):
        if not self.live[entity]:
            return
        row = self.books.read(entity, self.live[entity][-1])
        stamp = f"u{next(SERIAL)}"
        body = {"Id": row["Id"], "SyncToken": row["SyncToken"], "sparse": True, **change}
        self.books.update(entity, canonical(body), stamp)

    def void(self, entity):
        if self.live[entity]:
            row = self.books.read(entity, self.live[entity][-1])
            self.books.void(entity, row["Id"], row["SyncToken"], f"v{next(SERIAL)}")

    def delete(self, entity):
        if self.live[entity]:
            row = self.books.read(entity, self.live[entity].pop())
            self.books.delete(entity, row["Id"], row["SyncToken"], f"d{next(SERIAL)}")

    def merge(self, entity):
        """Two names become one: possible in the user interface only, so the sandbox's lever does it."""
        if len(self.live[entity]) > 1:
            source, into = self.live[entity].pop(), self.live[entity][0]
            self.control(merge={"entity": entity, "from": source, "into": into})


ACTIONS = {
    "customer": Hand.customer,
    "item": Hand.item,
    "receipt": lambda hand: hand.sale("SalesReceipt"),
    "invoice": lambda hand: hand.sale("Invoice"),
    "pay": Hand.pay,
    "rename": lambda hand: hand.touch("Customer", {"Notes": "seen"}),
    "deactivate": lambda hand: hand.touch("Item", {"Active": False}) or hand.live["Item"].clear(),
    "note": lambda hand: hand.touch("SalesReceipt", {"PrivateNote": "by hand"}),
    "void receipt": lambda hand: hand.void("SalesReceipt"),
    "delete receipt": lambda hand: hand.delete("SalesReceipt"),
    "delete payment": lambda hand: hand.delete("Payment"),
    "merge customers": lambda hand: hand.merge("Customer"),
    "merge items": lambda hand: hand.merge("Item"),
}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*ACTIONS, "tick"]), min_size=3, max_size=14))
def test_after_any_history_one_tick_makes_the_mirror_equal(sandbox, history):
    """Creates, changes, voids, deletions, merges and payments by hand: after one tick nothing differs."""
    books = sandbox.books()
    warehouse, cursors = Warehouse(), Cursors()
    pull(books, warehouse.land, cursors, alive=warehouse.alive)
    hand = Hand(sandbox)
    for action in history:
        if action == "tick":
            pull(books, warehouse.land, cursors, alive=warehouse.alive)
        else:
            ACTIONS[action](hand)
    result = pull(books, warehouse.land, cursors, alive=warehouse.alive)
    assert differences(books, warehouse) == set()
    assert result.cdc_calls == 1
    assert result.loaded == []


def test_after_two_names_became_one_a_tick_makes_the_mirror_equal(sandbox):
    """The name merged away is gone, and every document of it stands under the name that stays."""
    books, hand = sandbox.books(), Hand(sandbox)
    warehouse, cursors = Warehouse(), Cursors()
    stays = hand.customer()
    pull(books, warehouse.land, cursors, alive=warehouse.alive)
    gone = hand.customer()
    sale, invoice = hand.sale("SalesReceipt"), hand.sale("Invoice")
    hand.merge("Customer")
    pull(books, warehouse.land, cursors, alive=warehouse.alive)
    assert differences(books, warehouse) == set()
    assert gone not in warehouse.alive("customers")
    assert warehouse.tables["sales_receipts"][sale].values["customer_id"] == stays
    assert warehouse.tables["invoices"][invoice].values["customer_id"] == stays


def test_a_tick_costs_one_call(sandbox):
    """Between two daily reads of the slow lists, a tick is one change data capture call and no metered read."""
    books = sandbox.books()
    warehouse, cursors = Warehouse(), Cursors()
    pull(books, warehouse.land, cursors, alive=warehouse.alive)
    before = books.budget.month(books.realm)
    pull(books, warehouse.land, cursors, alive=warehouse.alive)
    after = books.budget.month(books.realm)
    assert (after.reads - before.reads, after.cdc - before.cdc) == (0, 1)


def test_inactive_rows_are_mirrored(sandbox):
    """What was made inactive before the first load is there, and marked."""
    books = sandbox.books()
    hand = Hand(sandbox)
    item = hand.item()
    hand.touch("Item", {"Active": False})
    warehouse = Warehouse()
    pull(books, warehouse.land, Cursors(), alive=warehouse.alive)
    assert warehouse.tables["items"][item].values["active"] is False


def test_the_raw_json_is_kept(sandbox):
    """The payload holds the whole object, amounts unrounded; columns are typed."""
    books = sandbox.books()
    hand = Hand(sandbox)
    hand.customer()
    receipt = hand.sale("SalesReceipt")
    warehouse = Warehouse()
    pull(books, warehouse.land, Cursors(), alive=warehouse.alive)
    row = warehouse.tables["sales_receipts"][receipt]
    assert read_json(row.payload) == read_json(canonical(books.read("SalesReceipt", receipt)))
    assert row.values["currency"] == "EUR"
    assert isinstance(row.values["total"], Decimal)
    assert row.values["updated_at"].tzinfo is not None
    assert json.loads(row.values["lines"])[0]["DetailType"] == "SalesItemLineDetail"


# -- against scripted books ----------------------------------------------------------------------


class Scripted:
    """Books that hold rows by entity and answer changes as told."""

    realm = "1"

    def __init__(self):
        self.rows = {name: {} for name in ENTITIES}
        self.now = datetime(2026, 11, 23, 8, tzinfo=UTC)
        self.answers: list[Changes] = []
        self.asked = []
        self.counted = []
        self.queried = []
        self.fail_on = None
        self.not_in_plan = set()

    def put(self, entity, one, **values):
        self.rows[entity][one] = {"Id": one, "SyncToken": "0", **values}

    def query_all(self, entity, where="") -> Iterator[dict]:
        self.queried.append((entity, where))
        if entity == self.fail_on:
            raise BooksUnavailable("no")
        if entity in self.not_in_plan:
            raise BooksFault("no", fault=Fault((FaultError("5020", "no"),)))
        yield from list(self.rows[entity].values())

    def count(self, entity, where=""):
        self.counted.append(entity)
        return len(self.rows[entity])

    def changes(self, entities, since):
        self.asked.append((tuple(entities), since))
        if self.answers:
            return self.answers.pop(0)
        return Changes((), self.now.isoformat(), (), 1)

    def company_info(self):
        return {"Id": "1", "CompanyName": "X"}

    def preferences(self):
        return {"Id": "1", "CurrencyPrefs": {"MultiCurrencyEnabled": True, "HomeCurrency": {"value": "EUR"}}}

    def exchange_rate(self, currency, day):
        return {
            "SourceCurrencyCode": currency,
            "TargetCurrencyCode": "EUR",
            "Rate": Decimal("0.9"),
            "AsOfDate": day,
        }


def tick(books, warehouse, cursors, **options):
    return pull(books, warehouse.land, cursors, alive=warehouse.alive, now=books.now, **options)


def test_the_next_tick_begins_at_quickbooks_own_clock_less_an_overlap():
    """Our clock may be wrong by a day; the cursor is the time that QuickBooks answered with."""
    books, warehouse, cursors = Scripted(), Warehouse(), Cursors()
    theirs = books.now + timedelta(hours=20)
    books.answers = [Changes((), theirs.isoformat(), (), 1)]
    tick(books, warehouse, cursors)
    tick(books, warehouse, cursors)
    assert books.asked[-1][1] == theirs - timedelta(minutes=10)


def test_deletions_land_as_deletions():
    """A row that change data capture reports as deleted is kept, and no longer alive."""
    books, warehouse, cursors = Scripted(), Warehouse(), Cursors()
    books.put("Invoice", "1")
    tick(books, warehouse, cursors)
    gone = {"Id": "1", "status": "Deleted"}
    books.answers = [Changes((Change("Invoice", gone, deleted=True),), books.now.isoformat(), (), 1)]
    result = tick(books, warehouse, cursors)
    assert warehouse.alive("invoices") == set()
    assert warehouse.tables["invoices"]["1"].deleted
    assert result.deleted == {"Invoice": 1}


def test_an_entity_with_more_changes_than_an_answer_holds_is_read_by_query_and_counted():
    """A query shows no deletions, so the counts are compared and the entity re-read where they differ."""
    books, warehouse, cursors = Scripted(), Warehouse(), Cursors()
    for number in range(5):
        books.put("Invoice", str(number))
    tick(books, warehouse, cursors)
    del books.rows["Invoice"]["3"]
    books.put("Invoice", "9")
    books.put("Invoice", "10")
    books.answers = [Changes((), books.now.isoformat(), ("Invoice",), 3)]
    result = tick(books, warehouse, cursors)
    assert warehouse.alive("invoices") == set(books.rows["Invoice"])
    assert "MetaData.LastUpdatedTime" in str(books.queried)
    assert result.resynced == ["Invoice"]


def test_a_sweep_finds_what_no_change_told():
    """A row merged away without a word is found by counting, and only that entity is read again."""
    books, warehouse, cursors = Scripted(), Warehouse(), Cursors()
    books.put("Customer", "1")
    books.put("Customer", "2")
    tick(books, warehouse, cursors)
    del books.rows["Customer"]["2"]
    books.queried.clear()
    result = tick(books, warehouse, cursors, sweep=True)
    assert warehouse.alive("customers") == {"1"}
    assert result.resynced == ["Customer"]
    assert books.queried == [("Customer", "")]


def test_a_merge_that_a_webhook_told_needs_no_read():
    """The Id that a merge or deletion event names is landed as deleted."""
    books, warehouse, cursors = Scripted(), Warehouse(), Cursors()
    books.put("Customer", "27")
    tick(books, warehouse, cursors)
    tick(books, warehouse, cursors, gone=[("Customer", "27"), ("Estimation", "1")])
    assert warehouse.alive("customers") == set()


def test_after_a_month_of_silence_everything_is_read_again():
    """Change data capture remembers 30 days; what is older is read whole, deletions found."""
    books, warehouse, cursors = Scripted(), Warehouse(), Cursors()
    books.put("Invoice", "1")
    books.put("Invoice", "2")
    tick(books, warehouse, cursors)
    del books.rows["Invoice"]["1"]
    books.now += timedelta(days=40)
    result = tick(books, warehouse, cursors)
    assert "Invoice" in result.loaded
    assert warehouse.alive("invoices") == {"2"}


def test_a_first_load_that_failed_half_way_goes_on_where_it_stopped():
    """Entities that were landed are not read again; the cursor is not later than their reading."""
    books, warehouse, cursors = Scripted(), Warehouse(), Cursors()
    books.fail_on = "Invoice"
    with pytest.raises(BooksUnavailable):
        tick(books, warehouse, cursors)
    began = books.now
    books.fail_on = None
    books.queried.clear()
    books.now += timedelta(hours=1)
    tick(books, warehouse, cursors)
    assert "Account" not in [name for name, _ in books.queried]
    assert books.asked[-1] == (
        tuple(name for name in CDC_ENTITIES if name in {"Account", "Item", "Customer", "Vendor", "Term",
              "PaymentMethod", "Class", "Department", "CompanyCurrency", "SalesReceipt"}),
        began - timedelta(minutes=10),
    )  # fmt: skip
    assert {"Invoice", "Payment"} <= set(cursors["quickbooks"]["entities"])


def test_a_failed_landing_moves_no_cursor():
    """What could not be landed is asked for again."""
    books, warehouse, cursors = Scripted(), Warehouse(), Cursors()
    tick(books, warehouse, cursors)
    before = dict(cursors)
    books.answers = [
        Changes(
            (Change("Invoice", {"Id": "1"}, deleted=False),),
            (books.now + timedelta(hours=1)).isoformat(),
            (),
            1,
        )
    ]

    def broken(table, columns, rows):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        pull(books, broken, cursors, alive=warehouse.alive, now=books.now)
    assert cursors == before


def test_slow_lists_are_read_once_a_day_or_a_week():
    """Preferences and rates daily, the tax lists weekly: a tick in between reads nothing of them."""
    books, warehouse, cursors = Scripted(), Warehouse(), Cursors()
    books.put("CompanyCurrency", "1", Code="EUR")
    books.put("CompanyCurrency", "2", Code="USD")
    tick(books, warehouse, cursors)
    assert set(warehouse.tables["exchange_rates"]) == {"USD|EUR|2026-11-23"}
    books.queried.clear()
    books.now += timedelta(hours=23)
    tick(books, warehouse, cursors)
    assert books.queried == []
    books.now += timedelta(hours=2)
    tick(books, warehouse, cursors)
    assert books.queried == [("CompanyCurrency", "Active = true")]
    assert "USD|EUR|2026-11-24" in warehouse.tables["exchange_rates"]
    books.now += timedelta(days=6)
    tick(books, warehouse, cursors)
    assert {"TaxCode", "TaxRate", "TaxAgency"} <= {name for name, _ in books.queried}


def test_slow_lists_are_read_at_the_next_tick_when_somebody_asks_for_it():
    """A tax code that was created a minute ago is in the mirror after the next tick, not after a week."""
    books, warehouse, cursors = Scripted(), Warehouse(), Cursors()
    read_lists_again(cursors)
    tick(books, warehouse, cursors)
    books.put("TaxCode", "9", Name="FR20")
    tick(books, warehouse, cursors)
    assert "tax_codes" not in warehouse.tables or "9" not in warehouse.tables["tax_codes"]
    read_lists_again(cursors)
    tick(books, warehouse, cursors)
    assert "9" in warehouse.tables["tax_codes"]


def test_what_the_plan_lacks_is_left_out_and_asked_for_once_a_week():
    """A company without locations is mirrored all the same; after an upgrade they appear by themselves."""
    books, warehouse, cursors = Scripted(), Warehouse(), Cursors()
    books.not_in_plan = {"Department"}
    books.put("Department", "1")
    assert tick(books, warehouse, cursors).absent == ["Department"]
    books.queried.clear()
    assert tick(books, warehouse, cursors).absent == ["Department"]
    assert books.queried == []
    assert "Department" not in books.asked[-1][0]
    books.not_in_plan = set()
    books.now += timedelta(days=8)
    assert tick(books, warehouse, cursors).absent == []
    assert warehouse.alive("departments") == {"1"}


def test_a_sweep_costs_seven_reads():
    """Only what we write is counted."""
    books, warehouse, cursors = Scripted(), Warehouse(), Cursors()
    tick(books, warehouse, cursors)
    tick(books, warehouse, cursors, sweep=True)
    assert len(books.counted) == 7


def test_every_transaction_is_mirrored_with_its_lines():
    """No entity that carries money lacks lines, dates or a sync token among its columns."""
    for name in TRANSACTIONS:
        assert {"lines", "origin", "txn_date", "sync_token", "currency", "private_note"} <= set(
            ENTITIES[name].columns
        )


@pytest.mark.parametrize("country", ["us", "gb", "ca"])
def test_a_new_company_of_every_country_is_mirrored(country):
    """Pseudo codes, provincial taxes and companies without some features: all of them are read whole."""
    with running(country) as other:
        books = other.books()
        warehouse, cursors = Warehouse(), Cursors()
        result = pull(books, warehouse.land, cursors, alive=warehouse.alive)
        assert warehouse.alive("tax_codes")
        assert warehouse.alive("accounts")
        assert warehouse.tables["preferences"]
        assert differences(books, warehouse) <= {(name, "") for name in result.absent}
        assert pull(books, warehouse.land, cursors, alive=warehouse.alive, sweep=True).resynced == []
