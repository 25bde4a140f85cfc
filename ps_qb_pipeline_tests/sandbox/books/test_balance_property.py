"""The ledger balances after any history."""

from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ps_qb_pipeline.sandbox.books import reports
from ps_qb_pipeline_tests.sandbox.books.bench import DAY, Bench

CODES = ("Standard 23%", "Reduced 13.5%", "Zero 0%", "Exempt")
ITEMS = ("Soil", "Pump", "Services", "Rock Fountain")
SALES = ("SalesReceipt", "Invoice", "CreditMemo", "RefundReceipt")
MONEY = st.decimals("0.01", "900", places=2)
RATES = {"EUR": None, "USD": "0.912345", "JPY": "0.0061"}


class Histories(RuleBasedStateMachine):
    """Creates, updates, voids, deletes and batches in any order, in three currencies."""

    @initialize()
    def open(self):
        self.books = Bench("ie")
        self.customers = {"EUR": "1"}
        for code in ("USD", "JPY"):
            made = self.books.create("Customer", {"DisplayName": code, "CurrencyRef": {"value": code}})
            self.customers[code] = made["Id"]
        self.bank = self.books.ref("Account", "Checking")
        self.items = {name: self.books.ref("Item", name) for name in ITEMS}
        self.codes = {name: self.books.ref("TaxCode", name) for name in CODES}
        self.known = []

    def _line(self, amount, item, code, quantity):
        detail = {"ItemRef": self.items[item], "TaxCodeRef": self.codes[code]}
        if quantity:
            detail |= {"Qty": quantity, "UnitPrice": amount}
            amount = amount * quantity
        return {"Amount": amount, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": detail}

    def _try(self, path, body, **query):
        """Send a request; remember what was made, and take refusals as they come."""
        status, answer = self.books.call("POST", path, body, **query)
        if status == 200:
            for entity, value in answer.items():
                if isinstance(value, dict) and "Id" in value and (entity, value["Id"]) not in self.known:
                    self.known.append((entity, value["Id"]))
        return status

    @rule(
        kind=st.sampled_from(SALES),
        currency=st.sampled_from(tuple(RATES)),
        parts=st.lists(
            st.tuples(MONEY, st.sampled_from(ITEMS), st.sampled_from(CODES), st.integers(0, 3)),
            min_size=1,
            max_size=4,
        ),
        discount=st.one_of(st.none(), st.integers(1, 30)),
        less=st.one_of(st.none(), MONEY),
    )
    def sell(self, kind, currency, parts, discount, less):
        lines = [self._line(*part) for part in parts]
        if less is not None:
            lines.append(self._line(-less, "Services", "Standard 23%", 0))
        if discount:
            lines.append(
                {
                    "DetailType": "DiscountLineDetail",
                    "DiscountLineDetail": {"PercentBased": True, "DiscountPercent": discount},
                }
            )
        body = {
            "TxnDate": DAY,
            "CustomerRef": {"value": self.customers[currency]},
            "CurrencyRef": {"value": currency},
            "Line": lines,
            "DepositToAccountRef": self.bank,
        }
        if RATES[currency]:
            body["ExchangeRate"] = RATES[currency]
        self._try(kind, body)

    @rule(total=MONEY, part=st.integers(1, 100), rate=st.sampled_from(["0.9", "0.95", "1.1"]), data=st.data())
    def pay(self, total, part, rate, data):
        owed = [ident for entity, ident in self.known if entity == "Invoice"]
        body = {"CustomerRef": {"value": "1"}, "TxnDate": DAY, "TotalAmt": total}
        if owed:
            status, seen = self.books.call("GET", f"invoice/{data.draw(st.sampled_from(owed))}")
            if status == 200:
                seen = seen["Invoice"]
                share = (Decimal(seen["Balance"]) * part / 100).quantize(Decimal("0.01"))
                link = [{"TxnId": seen["Id"], "TxnType": "Invoice"}]
                body |= {
                    "CustomerRef": seen["CustomerRef"],
                    "CurrencyRef": seen["CurrencyRef"],
                    "TotalAmt": max(total, share),
                }
                body |= {
                    "Line": [{"Amount": share, "LinkedTxn": link}],
                    "ExchangeRate": rate if seen["CurrencyRef"]["value"] != "EUR" else 1,
                }
        self._try("payment", body)

    @rule(amount=MONEY)
    def spend(self, amount):
        detail = {
            "AccountRef": self.books.ref("Account", "Bank Charges"),
            "TaxCodeRef": self.codes["Standard 23%"],
        }
        line = {
            "Amount": amount,
            "DetailType": "AccountBasedExpenseLineDetail",
            "AccountBasedExpenseLineDetail": detail,
        }
        self._try(
            "purchase", {"PaymentType": "Cash", "AccountRef": self.bank, "TxnDate": DAY, "Line": [line]}
        )
        self._try(
            "transfer",
            {
                "FromAccountRef": self.bank,
                "ToAccountRef": self.books.ref("Account", "Savings"),
                "Amount": amount,
                "TxnDate": DAY,
            },
        )
        self._try("bill", {"VendorRef": {"value": "13"}, "TxnDate": DAY, "Line": [line]})

    @rule(data=st.data(), how=st.sampled_from(["delete", "void", "note", "reprice"]), amount=MONEY)
    def touch(self, data, how, amount):
        if not self.known:
            return
        entity, ident = data.draw(st.sampled_from(self.known))
        status, seen = self.books.call("GET", f"{entity}/{ident}")
        if status != 200:
            return
        body = {"Id": ident, "SyncToken": seen[entity]["SyncToken"], "sparse": True}
        if how == "delete":
            self._try(entity, body, operation="delete")
        elif how == "void":
            self._try(entity, body, operation="update", include="void")
        elif how == "note":
            self._try(entity, body | {"PrivateNote": "seen"}, operation="update")
        elif entity in SALES:
            self._try(
                entity, body | {"Line": [self._line(amount, "Pump", "Reduced 13.5%", 2)]}, operation="update"
            )

    @rule(amounts=st.lists(MONEY, min_size=1, max_size=5))
    def batch(self, amounts):
        items = []
        for number, amount in enumerate(amounts):
            line = self._line(amount, "Soil", CODES[number % 4] if number != 2 else "Exempt", 0)
            body = {"TxnDate": DAY, "Line": [line] if number != 3 else [], "DepositToAccountRef": self.bank}
            items.append({"bId": str(number), "operation": "create", "SalesReceipt": body})
        self._try("batch", {"BatchItemRequest": items})

    @invariant()
    def balances(self):
        """Every document balances, so does the whole, and shown balances are the ledger's."""
        if not hasattr(self, "books"):
            return
        store = self.books.company.store.connection
        assert (
            store.execute(
                "select entity, id from entries group by entity, id having sum(home) <> 0"
            ).fetchall()
            == []
        )
        assert self.books.trial_balance()[0] == 0
        drift = "select scope, key, home from balances where scope='A' and home <> (select coalesce(sum(home),0) from entries where account=key)"
        assert store.execute(drift).fetchall() == []
        open_sums = sum(
            Decimal(str(row["Balance"]))
            for row in self.books.rows("select * from Invoice maxresults 1000")
            if row["CurrencyRef"]["value"] == "USD"
        )
        assert open_sums >= 0

    def teardown(self):
        """At the end the balance sheet balances too."""
        if not hasattr(self, "books"):
            return
        sheet = reports.run(
            self.books.company, "BalanceSheet", {"start_date": "2026-01-01", "end_date": "2026-12-31"}
        )
        rows = sheet["Rows"]["Row"]
        assert rows[0]["Summary"]["ColData"][1] == rows[1]["Summary"]["ColData"][1]
        self.books.company.store.close()


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
