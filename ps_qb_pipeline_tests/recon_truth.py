"""The truth test of the reconciliation: differences made in two sandboxes, and what is said of them.

``python -m ps_qb_pipeline_tests.recon_truth --orders 300 --seed 1``

A shop's history is booked by the pipeline's own steps. Then documents are edited, deleted, copied and
made by hand through the books' own API, and orders are made in the shop while posting is off. The
reconciliation gets no list of that. What it says is compared with what was done: the code that
``docs/exceptions.md`` promises for each kind, and the money to the cent. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import yaml

from ps_qb_pipeline.cli import sandboxes
from ps_qb_pipeline.orchestration import steps
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.quickbooks.client import Books
from ps_qb_pipeline.settings import PACKAGE_DIR, Settings, connection_named
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.validation.rules import load_contracts
from ps_qb_pipeline.warehouse.models import load_models
from ps_qb_pipeline_tests.journeys.conftest import free_port

CENT = Decimal("0.01")
Row = dict[str, Any]
Found = Counter[tuple[str, str, Decimal]]
"""Code, what it is about (document number or QuickBooks id or order), amount."""


@dataclass(slots=True)
class Truth:
    """What was done: kind, and the exceptions that must come of it as (code, about, amount)."""

    wanted: list[tuple[str, str, str, Decimal]] = field(default_factory=list)

    def add(self, kind: str, code: str, about: str, amount: Decimal) -> None:
        """One exception that must be found."""
        self.wanted.append((kind, code, about, amount.quantize(CENT)))


@dataclass(frozen=True, slots=True)
class Target:
    """A booked and matched document."""

    key: str
    entity: str
    books_id: str
    doc_number: str
    order_id: int
    txn_date: date
    currency: str
    total: Decimal
    tax: Decimal
    rate: Decimal | None


class Injector:
    """Differences, each on documents of its own, taken in the order of a seed."""

    def __init__(self, books: Books, targets: list[Target], rng: random.Random, truth: Truth) -> None:
        self.books = books
        self.targets = targets
        self.rng = rng
        self.truth = truth
        self.number = 0
        self.skipped: list[str] = []
        rng.shuffle(self.targets)

    def take(self, kind: str, wanted: Callable[[Target], bool]) -> Target | None:
        """The next document that fits, used for nothing else; None when there is none left."""
        for place, target in enumerate(self.targets):
            if wanted(target):
                return self.targets.pop(place)
        self.skipped.append(kind)
        return None

    def request(self) -> str:
        """A request id of a person's own."""
        self.number += 1
        return f"by-hand-{self.number}"

    def read(self, target: Target) -> Row:
        """The document as it is."""
        return self.books.read(target.entity, target.books_id)

    def update(self, entity: str, row: Row) -> Row:
        """Save the document as a person's program would."""
        return self.books.update(entity, _bytes(row), self.request()).body[entity]

    def create(self, entity: str, row: Row) -> Row:
        """A new document."""
        body = {name: value for name, value in row.items() if name not in _OWN}
        return self.books.create(entity, _bytes(body), self.request()).body[entity]

    def delete(self, target: Target) -> None:
        """Delete the document for good."""
        row = self.read(target)
        self.books.delete(target.entity, target.books_id, str(row["SyncToken"]), self.request())


_OWN = {
    "Id",
    "SyncToken",
    "MetaData",
    "domain",
    "sparse",
    "TotalAmt",
    "HomeTotalAmt",
    "Balance",
    "HomeBalance",
    "LinkedTxn",
}


def _bytes(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, default=float).encode()


def _sale(target: Target) -> bool:
    return target.entity == "SalesReceipt" and target.total > 5


def _lines(row: Row) -> list[Row]:
    return [line for line in row["Line"] if line.get("DetailType") == "SalesItemLineDetail"]


def _raise_line(row: Row, by: Decimal) -> None:
    line = max(_lines(row), key=lambda one: Decimal(str(one["Amount"])))
    line["Amount"] = Decimal(str(line["Amount"])) + by
    line["SalesItemLineDetail"].pop("UnitPrice", None)
    line["SalesItemLineDetail"].pop("Qty", None)
    row.pop("TxnTaxDetail", None)


def _total(row: Mapping[str, Any]) -> Decimal:
    return Decimal(str(row["TotalAmt"]))


# -- kinds -------------------------------------------------------------------------------------


def edited_amount(do: Injector, by: Decimal = Decimal(10), kind: str = "edited amount") -> None:
    """A person changes a line."""
    if target := do.take(kind, _sale):
        row = do.read(target)
        _raise_line(row, by)
        after = do.update(target.entity, row)
        do.truth.add(kind, "QBO_EDITED", target.doc_number, abs(_total(after) - target.total))


def rounding(do: Injector) -> None:
    """A person takes one cent off."""
    edited_amount(do, -CENT, "rounding")


def offsetting(do: Injector) -> None:
    """Two documents, one up and one down by the same."""
    edited_amount(do, Decimal(7), "offsetting up")
    edited_amount(do, Decimal(-4), "offsetting down")


def edited_tax(do: Injector) -> None:
    """A person overrides the tax of one rate."""
    if target := do.take("tax", lambda one: _sale(one) and one.tax > 1):
        row = do.read(target)
        detail = row["TxnTaxDetail"]
        detail["TotalTax"] = Decimal(str(detail["TotalTax"])) + Decimal("0.50")
        line = max(detail["TaxLine"], key=lambda one: Decimal(str(one["Amount"])))
        line["Amount"] = Decimal(str(line["Amount"])) + Decimal("0.50")
        after = do.update(target.entity, row)
        if _total(after) - target.total == Decimal("0.50"):
            do.truth.add("tax", "AMOUNT_TAX_DIFF", target.doc_number, Decimal("0.50"))
        else:
            do.skipped.append("tax (the company computes it anew)")


def other_date(do: Injector) -> None:
    """Another day of the same month."""
    if target := do.take("date", lambda one: _sale(one) and one.txn_date.day < 27):
        row = do.read(target) | {"TxnDate": str(target.txn_date + timedelta(days=1))}
        do.update(target.entity, row)
        do.truth.add("date", "DATE_DIFF", target.doc_number, target.total)


def other_month(do: Injector) -> None:
    """Another month."""
    if target := do.take("period", _sale):
        row = do.read(target) | {"TxnDate": str(target.txn_date + timedelta(days=33))}
        do.update(target.entity, row)
        do.truth.add("period", "CUTOFF_DIFF", target.doc_number, target.total)


def other_rate(do: Injector) -> None:
    """Another exchange rate."""
    if target := do.take("rate", lambda one: _sale(one) and one.rate is not None and one.total > 20):
        assert target.rate is not None
        rate = (target.rate * Decimal("1.1")).quantize(Decimal("0.000001"))
        do.update(target.entity, do.read(target) | {"ExchangeRate": rate})
        money = abs((target.total * rate).quantize(CENT) - (target.total * target.rate).quantize(CENT))
        do.truth.add("rate", "FX_RATE_DIFF", target.doc_number, money)


def other_customer(do: Injector) -> None:
    """Another customer of the same currency."""
    home = next((one.currency for one in do.targets if one.rate is None), "")
    target = do.take("customer", lambda one: _sale(one) and one.currency == home)
    other = do.take("customer", lambda one: _sale(one) and one.currency == home) if target else None
    if target and other:
        row, wrong = do.read(target), do.read(other)["CustomerRef"]
        if row["CustomerRef"]["value"] == wrong["value"]:
            do.skipped.append("customer (the same)")
            return
        do.update(target.entity, row | {"CustomerRef": wrong})
        do.truth.add("customer", "CUSTOMER_DIFF", target.doc_number, target.total)


def other_account(do: Injector) -> None:
    """Another deposit account."""
    if target := do.take("account", lambda one: _sale(one) and one.rate is None):
        accounts = do.books.query("select * from Account where AccountType = 'Bank'")
        row = do.read(target)
        wrong = next(
            account
            for account in accounts
            if account["Id"] != row["DepositToAccountRef"]["value"]
            and account.get("CurrencyRef", {}).get("value", target.currency) == target.currency
        )
        do.update(target.entity, row | {"DepositToAccountRef": {"value": wrong["Id"]}})
        do.truth.add("account", "ACCOUNT_DIFF", target.doc_number, target.total)


def other_item(do: Injector) -> None:
    """A line moved to an item of another income account, the amount untouched."""
    if target := do.take("item", lambda one: _sale(one) and one.total > 10):
        item = do.books.query("select * from Item where Name = 'PS Gift wrap'")[0]
        row = do.read(target)
        line = max(_lines(row), key=lambda one: Decimal(str(one["Amount"])))
        line["SalesItemLineDetail"]["ItemRef"] = {"value": item["Id"]}
        after = do.update(target.entity, row)
        if _total(after) != target.total:
            do.skipped.append("item (the total changed)")
            return
        do.truth.add("item", "ACCOUNT_DIFF", target.doc_number, Decimal(str(line["Amount"])))


def payment_extra(do: Injector) -> None:
    """A payment by hand on one of our invoices that is still open."""
    for target in [one for one in do.targets if one.entity == "Invoice" and one.rate is None]:
        row = do.read(target)
        balance = Decimal(str(row["Balance"]))
        if balance < 2:
            continue
        do.targets.remove(target)
        part = {"Amount": 1.25, "LinkedTxn": [{"TxnId": target.books_id, "TxnType": "Invoice"}]}
        payment = {
            "CustomerRef": row["CustomerRef"],
            "TotalAmt": 1.25,
            "TxnDate": str(target.txn_date),
            "Line": [part],
        }
        made = do.books.create("Payment", _bytes(payment), do.request()).body["Payment"]
        do.truth.add("payment extra", "PAYMENT_EXTRA", str(made["Id"]), Decimal("1.25"))
        return
    do.skipped.append("payment extra")


def deleted(do: Injector) -> None:
    """A sale deleted for good."""
    if target := do.take("deleted", _sale):
        do.delete(target)
        do.truth.add("deleted", "QBO_DELETED", target.doc_number, target.total)


def voided(do: Injector) -> None:
    """A sale voided: the number stays, the amounts are zero."""
    if target := do.take("voided", _sale):
        row = do.read(target)
        do.books.void(target.entity, target.books_id, str(row["SyncToken"]), do.request())
        do.truth.add("voided", "QBO_DELETED", target.doc_number, target.total)


def twin_deleted(do: Injector) -> None:
    """One of two documents over the same amount deleted: the other one must not be named."""
    amounts = Counter(one.total for one in do.targets if _sale(one))
    if target := do.take("twins", lambda one: _sale(one) and amounts[one.total] > 1):
        do.delete(target)
        do.truth.add("twins", "QBO_DELETED", target.doc_number, target.total)


def duplicate(do: Injector) -> None:
    """A copy with our note."""
    if target := do.take("duplicate", _sale):
        row = do.read(target)
        row.pop("DocNumber", None)
        made = do.create(target.entity, row)
        do.truth.add("duplicate", "DUPLICATE_IN_QBO", str(made["Id"]), _total(made))


def refunded_twice(do: Injector) -> None:
    """A refund entered a second time."""
    if target := do.take("refund twice", lambda one: one.entity == "RefundReceipt"):
        row = do.read(target)
        row.pop("DocNumber", None)
        made = do.create(target.entity, row)
        do.truth.add("refund twice", "DUPLICATE_IN_QBO", str(made["Id"]), _total(made))


def refund_missing(do: Injector) -> None:
    """A refund deleted."""
    if target := do.take("refund missing", lambda one: one.entity == "RefundReceipt"):
        do.delete(target)
        do.truth.add("refund missing", "QBO_DELETED", target.doc_number, target.total)


def payment_missing(do: Injector) -> None:
    """A payment deleted."""
    if target := do.take("payment missing", lambda one: one.entity == "Payment" and one.total > 0):
        do.delete(target)
        do.truth.add("payment missing", "PAYMENT_MISSING", target.doc_number, target.total)


def by_hand(do: Injector) -> None:
    """A sales receipt that a person made with our items on our clearing account."""
    if target := do.take("manual document", _sale):
        row = do.read(target)
        row |= {"PrivateNote": "sold at the fair", "DocNumber": "FAIR-1"}
        made = do.create(target.entity, row)
        do.truth.add("manual document", "QBO_FOREIGN_LINE", str(made["Id"]), _total(made))


def split(do: Injector) -> None:
    """Our receipt deleted, and entered again by hand in two parts."""
    if target := do.take("split", lambda one: _sale(one) and one.total > 20):
        row = do.read(target)
        do.delete(target)
        do.truth.add("split", "QBO_DELETED", target.doc_number, target.total)
        for part in (1, 2):
            piece = json.loads(_bytes(row))
            piece["Line"] = [max(_lines(piece), key=lambda one: one["Amount"])]
            piece["Line"][0]["Amount"] = 5 * part
            piece["Line"][0]["SalesItemLineDetail"].pop("UnitPrice", None)
            piece["Line"][0]["SalesItemLineDetail"].pop("Qty", None)
            piece.pop("TxnTaxDetail", None)
            piece |= {"PrivateNote": f"part {part}", "DocNumber": f"PART-{part}"}
            made = do.create(target.entity, piece)
            do.truth.add("split", "QBO_FOREIGN_LINE", str(made["Id"]), _total(made))


def orphan(do: Injector) -> None:
    """A receipt with our numbering for an order that the shop does not have."""
    if target := do.take("orphan", _sale):
        row = do.read(target)
        prefix = target.doc_number.rpartition("-")[0]
        row |= {"PrivateNote": "", "DocNumber": f"{prefix}-9999999"}
        made = do.create(target.entity, row)
        do.truth.add("orphan", "ORPHAN_IN_QBO", str(made["Id"]), _total(made))


def two_on_one(do: Injector) -> None:
    """An amount and the date of one document."""
    if target := do.take("two on one", lambda one: _sale(one) and one.txn_date.day < 27):
        row = do.read(target) | {"TxnDate": str(target.txn_date + timedelta(days=1))}
        _raise_line(row, Decimal(3))
        after = do.update(target.entity, row)
        do.truth.add("two on one", "QBO_EDITED", target.doc_number, abs(_total(after) - target.total))
        do.truth.add("two on one", "DATE_DIFF", target.doc_number, target.total)


def journal(do: Injector) -> None:
    """A journal entry by hand on our clearing account."""
    if target := do.take("journal", lambda one: _sale(one) and one.rate is None):
        clearing = do.read(target)["DepositToAccountRef"]
        expense = do.books.query("select * from Account where AccountType = 'Expense'")[0]
        sides = (("Debit", {"value": expense["Id"]}), ("Credit", clearing))
        row = {
            "TxnDate": str(target.txn_date),
            "Line": [
                {
                    "Amount": 12.5,
                    "DetailType": "JournalEntryLineDetail",
                    "JournalEntryLineDetail": {"PostingType": side, "AccountRef": account},
                }
                for side, account in sides
            ],
        }
        made = do.create("JournalEntry", row)
        do.truth.add("journal", "QBO_FOREIGN_LINE", str(made["Id"]), Decimal("12.50"))


def elsewhere(do: Injector) -> None:
    """A journal entry that touches nothing of ours: nothing may be said of it."""
    accounts = do.books.query("select * from Account where AccountType = 'Expense'")[:2]
    row = {
        "TxnDate": str(max(one.txn_date for one in do.targets)),
        "Line": [
            {
                "Amount": 99,
                "DetailType": "JournalEntryLineDetail",
                "JournalEntryLineDetail": {"PostingType": side, "AccountRef": {"value": account["Id"]}},
            }
            for side, account in zip(("Debit", "Credit"), accounts, strict=True)
        ],
    }
    do.create("JournalEntry", row)


KINDS: tuple[Callable[[Injector], None], ...] = (
    edited_amount, rounding, offsetting, edited_tax, other_date, other_month, other_rate, other_customer,
    other_account, other_item, payment_extra, twin_deleted, deleted, voided, duplicate, refunded_twice, refund_missing, payment_missing, by_hand,
    split, orphan, two_on_one, journal, elsewhere,
)  # fmt: skip


def in_the_shop(url: str, currency: str, truth: Truth) -> None:
    """Orders paid while posting is off: they are missing in the books."""
    for _ in range(2):
        answer = httpx.put(
            f"{url}/_control",
            json={"place_order": {"way": "card", "customer": "new", "currency": currency}},
            timeout=60,
        )
        answer.raise_for_status()
        body = answer.json()
        done = body[0] if isinstance(body, list) else body
        order = done.get("place_order", done)
        truth.add(
            "missing", "MISSING_IN_QBO", str(order["order"]), Decimal(str(order["total_paid_tax_incl"]))
        )


# -- the pipeline's own steps ------------------------------------------------------------------


def book(runtime: Runtime) -> None:
    """Everything from the shop to the books, and the mirror back."""
    contracts, models = load_contracts(), load_models()

    def make(*prefixes: str) -> None:
        chosen = [model for name, model in models.items() if name.startswith(prefixes)]
        steps.make_models(runtime, chosen, [])

    steps.pull_shop(runtime)
    make("staging.")
    steps.make_ledger(runtime, [], list(contracts.values()))
    steps.post_documents(runtime, run_id="truth")
    steps.pull_books(runtime)
    make("staging.quickbooks", "recon.", "marts.")


def exceptions(runtime: Runtime) -> Found:
    """What reconciliation says: code, what it is about, amount."""
    with runtime.warehouse("read exceptions", read_only=True) as con:
        rows = con.execute(
            """select code, if(side = 'books', books_id, coalesce(nullif(doc_number, ''), cast(order_id as varchar))),
                amount, order_id from recon.exceptions"""
        ).fetchall()
    found: Found = Counter()
    for code, about, amount, order in rows:
        found[code, str(order) if code == "MISSING_IN_QBO" else str(about), Decimal(amount)] += 1
    return found


def targets(runtime: Runtime) -> list[Target]:
    """Documents that are booked and equal, of orders without any exception."""
    with runtime.warehouse("choose documents", read_only=True) as con:
        rows = con.execute(
            """select pairs.key, pairs.books_entity, pairs.books_id, documents.doc_number, pairs.order_id,
                pairs.txn_date, pairs.currency, pairs.total, pairs.total_tax, documents.exchange_rate
            from recon.pairs as pairs inner join ledger.documents as documents using (key)
            where pairs.class = 'matched' and pairs.role in ('sale', 'payment', 'refund')
                and pairs.order_id not in (select order_id from recon.exceptions where order_id is not null)
            order by pairs.key"""
        ).fetchall()
    return [Target(*row) for row in rows]


def integrity(runtime: Runtime) -> str:
    """Money in no class, over all currencies."""
    with runtime.warehouse("read the proof", read_only=True) as con:
        row = con.execute("select coalesce(sum(unclassified), 0) from recon.tie_out").fetchone()
    return f"{row[0]:.2f}" if row else ""


@contextmanager
def place(shop: str, orders: int, data: Path | None) -> Iterator[tuple[Runtime, str]]:
    """A home of its own, a connection on free ports, both sandboxes running."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        body = yaml.safe_load((PACKAGE_DIR / "defs" / shop / "defs.yaml").read_text())
        shop_port, books_port = free_port(), free_port()
        body["shop"]["url"] = f"http://127.0.0.1:{shop_port}"
        body["books"]["base_url"] = f"http://127.0.0.1:{books_port}"
        body["books"]["discovery_url"] = (
            f"http://127.0.0.1:{books_port}/.well-known/openid_sandbox_configuration/"
        )
        target = root / "defs" / shop
        target.mkdir(parents=True)
        (target / "defs.yaml").write_text(yaml.safe_dump(body))
        settings = Settings(home=root / "home", defs_dir=root / "defs")
        (root / "home" / "keys").mkdir(parents=True)
        os.environ["PSQB_HOME"] = str(root / "home")
        sandboxes.put_credentials((shop,))
        extra = ("--orders", str(orders)) if shop == "retail" else ()
        extra += ("--retail-data", str(data)) if data and shop == "retail" else ()
        with sandboxes.running(settings, shop, extra=extra) as ready:
            yield Runtime(settings, connection_named(settings, shop)), ready["shop_url"]


def run(shop: str, orders: int, seed: int, data: Path | None) -> dict[str, Any]:
    """The whole test; gives the figures of the last line."""
    with place(shop, orders, data) as (runtime, shop_url):
        runtime.armed()
        steps.set_up(runtime, create=True)
        connections = Connections(runtime.engine)
        connections.arm(runtime.name, by="truth")
        book(runtime)
        before, chosen, truth = exceptions(runtime), targets(runtime), Truth()
        print(f"{len(chosen)} documents are booked and equal; {sum(before.values())} exceptions before")
        connections.disarm(runtime.name, by="truth", reason="the test")
        with runtime.books() as books:
            do = Injector(books, chosen, random.Random(seed), truth)
            for _ in range(max(1, orders // 500)):
                for kind in KINDS:
                    kind(do)
        in_the_shop(shop_url, runtime.connection.accounting.home_currency, truth)
        book(runtime)
        return compare(truth, exceptions(runtime) - before, integrity(runtime), do.skipped)


def compare(truth: Truth, said: Found, unclassified: str, skipped: list[str]) -> dict[str, Any]:
    """Injected against said, by code, and the figures of it."""
    left = Counter(said)
    found = right_code = right_amount = 0
    for kind, code, about, amount in truth.wanted:
        exact = (code, about, amount)
        same_code = next((key for key in left if key[:2] == exact[:2] and left[key]), None)
        same_thing = next((key for key in left if key[1] == about and left[key]), None)
        hit = exact if left[exact] else same_code or same_thing
        if hit is None:
            print(f"NOT FOUND  {kind}: {code} {about} {amount}")
            continue
        left[hit] -= 1
        found += 1
        right_code += hit[0] == code
        right_amount += hit[2] == amount
        if hit != exact:
            print(f"OTHERWISE  {kind}: wanted {code} {amount}, said {hit[0]} {hit[2]} of {about}")
    alarms = Counter({key: count for key, count in left.items() if count > 0})
    for key, count in alarms.items():
        print(f"FALSE ALARM {count} x {key[0]} {key[1]} {key[2]}")
    wanted = Counter(code for _, code, _, _ in truth.wanted)
    heard = Counter()
    for (code, _, _), count in said.items():
        heard[code] += count
    print(f"{'code':20} injected found")
    for code in sorted(wanted | heard):
        print(f"{code:20} {wanted[code]:8} {heard[code]:5}")
    if skipped:
        print("no document to try it on: " + ", ".join(dict.fromkeys(skipped)))
    return {
        "injected": len(truth.wanted),
        "found": found,
        "right_code": right_code,
        "right_amount": right_amount,
        "false_alarms": sum(alarms.values()),
        "unclassified": unclassified,
    }


def main() -> int:
    """Runs the test and prints its figures; 0 when everything was found as promised and nothing else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shop", choices=("retail", "boutique"), default="retail")
    parser.add_argument("--retail-data", type=Path)
    given = parser.parse_args()
    figures = run(given.shop, given.orders, given.seed, given.retail_data)
    print(json.dumps(figures))
    count = figures["injected"]
    good = figures["found"] == figures["right_code"] == figures["right_amount"] == count
    return 0 if good and not figures["false_alarms"] and figures["unclassified"] == "0.00" else 1


if __name__ == "__main__":
    sys.exit(main())
