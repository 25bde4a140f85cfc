"""One company: its store, its clock, its country, and look-ups by id, name or role.

What lives here: what every other room of the books asks for. What does not: carrying out requests
(``objects``), HTTP.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from ps_qb_pipeline.sandbox.books import faults
from ps_qb_pipeline.sandbox.books.clock import Clock, key
from ps_qb_pipeline.sandbox.books.codec import Json, dumps, loads, ref
from ps_qb_pipeline.sandbox.books.entities import ENTITIES, Entity
from ps_qb_pipeline.sandbox.books.store import Row, Store
from ps_qb_pipeline.sandbox.books.switches import Switches

CACHED = 20_000

ROLES: dict[str, tuple[str, str, str]] = {
    # role: AccountType, AccountSubType, name
    "receivable": ("Accounts Receivable", "AccountsReceivable", "Accounts Receivable (A/R)"),
    "payable": ("Accounts Payable", "AccountsPayable", "Accounts Payable (A/P)"),
    "undeposited": ("Other Current Asset", "UndepositedFunds", "Undeposited Funds"),
    "discount": ("Income", "DiscountsRefundsGiven", "Discounts given"),
    "shipping": ("Income", "ServiceFeeIncome", "Shipping Income"),
    "gratuity": ("Other Current Liability", "OtherCurrentLiabilities", "Gratuities"),
    "exchange": ("Other Expense", "ExchangeGainOrLoss", "Exchange Gain or Loss"),
    "inventory": ("Other Current Asset", "Inventory", "Inventory Asset"),
    "cogs": ("Cost of Goods Sold", "SuppliesMaterialsCogs", "Cost of Goods Sold"),
    "sales": ("Income", "SalesOfProductIncome", "Sales of Product Income"),
    "opening": ("Equity", "OpeningBalanceEquity", "Opening Balance Equity"),
    "uncategorised": ("Income", "SalesOfProductIncome", "Uncategorised Income"),
    "expense": ("Expense", "OtherMiscellaneousServiceCost", "Uncategorised Expense"),
}


@dataclass(slots=True)
class Event:
    """One change, for webhooks: what was done to which object when."""

    entity: str
    id: int
    operation: str
    at: str
    deleted_id: int = 0


@dataclass(slots=True)
class Company:
    """Everything that belongs to one realm."""

    store: Store
    clock: Clock
    realm: str
    country: str
    home: str
    switches: Switches = field(default_factory=Switches)
    events: list[Event] = field(default_factory=list)
    lag: float = 0.0
    text_numbers: int = 0
    _cache: OrderedDict[tuple[str, int], Json] = field(default_factory=OrderedDict)

    @property
    def is_us(self) -> bool:
        """Whether US sales tax applies; every other country has codes on lines."""
        return self.country == "us"

    # Objects ---------------------------------------------------------------------------------------

    def find(self, entity: str, ident: int | str) -> Json | None:
        """Return an object that is not deleted, or None. The result is shared: do not change it."""
        try:
            number = int(ident)
        except ValueError:
            return None
        cached = self._cache.get((entity, number))
        if cached is not None:
            return cached
        row = self.store.get(entity, number)
        if row is None or row.deleted:
            return None
        body = row.json()
        self._cache[entity, number] = body
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return body

    def named(self, entity: str, name: str) -> Json | None:
        """Return an object by its name, case ignored, or None."""
        row = self.store.by_name(entity, name)
        return None if row is None else row.json()

    def write(self, entity: Entity, row: Row, body: Json) -> None:
        """Store an object under its look-up keys."""
        row.body = dumps(body)
        visible = None
        if self.lag:
            visible = key(self.clock.now() + timedelta(seconds=self.lag))
        number = body.get("DocNumber") or body.get("Sku")
        name = body.get(entity.name_field) if entity.name_field else None
        self.store.put(row, name=name, number=number, txn_date=body.get("TxnDate"), visible=visible)
        self._cache.pop((entity.name, row.id), None)

    def patch(self, entity: str, ident: int, body: Json, *, touched: bool) -> None:
        """Store what the books computed in an object; ``touched`` moves its LastUpdatedTime."""
        updated = None
        if touched:
            now = self.clock.now()
            updated = key(now)
            body["MetaData"] = body.get("MetaData", {}) | {"LastUpdatedTime": self.clock.company(now)}
            if self.switches.links_touch_version == "yes":
                body["SyncToken"] = str(int(body["SyncToken"]) + 1)
                self.store.connection.execute(
                    "update rows set sync=sync+1 where entity=? and id=?", (entity, ident)
                )
        self.store.put_body(entity, ident, body, updated=updated)
        self._cache.pop((entity, ident), None)

    def forget(self) -> None:
        """Drop cached objects, after a transaction was rolled back."""
        self._cache.clear()

    def require(self, entity: str, ident: str, element: str) -> Json:
        """Return an active object that a reference names; refuse otherwise."""
        body = self.find(entity, ident)
        if body is None:
            raise faults.invalid_reference(entity, ident, element)
        if body.get("Active") is False:
            if self.switches.inactive_reference == 610:
                raise faults.not_found()
            raise faults.invalid_reference(entity, ident, element)
        return body

    # The company's settings ------------------------------------------------------------------------

    def preferences(self) -> Json:
        """Return the Preferences object."""
        return self.find("Preferences", 1) or {}

    def preference(self, group: str, name: str, default: Any = None) -> Any:
        """Return one preference."""
        return self.preferences().get(group, {}).get(name, default)

    @property
    def multicurrency(self) -> bool:
        """Whether transactions may be in other currencies than the home currency."""
        return bool(self.preference("CurrencyPrefs", "MultiCurrencyEnabled", False))

    @property
    def uses_tax(self) -> bool:
        """Whether sales tax (VAT, GST) is set up."""
        return bool(self.preference("TaxPrefs", "UsingSalesTax", False))

    # Accounts by role ------------------------------------------------------------------------------

    def account(self, role: str, currency: str = "") -> Json:
        """Return the account of a role, in ``currency`` for receivables and payables; it is made if missing."""
        kind, sub, name = ROLES[role]
        foreign = bool(currency) and currency != self.home and role in {"receivable", "payable"}
        if foreign:
            name = f"{name} - {currency}"
        setting = f"account:{role}:{currency if foreign else ''}"
        known = self.store.setting(setting)
        if known is not None:
            found = self.find("Account", known)
            if found is not None:
                return found
        body = self.named("Account", name) or (None if foreign else self._by_subtype(kind, sub))
        if body is None:
            from ps_qb_pipeline.sandbox.books.objects import create

            order: Json = {"Name": name, "AccountType": kind, "AccountSubType": sub}
            if foreign:
                order["CurrencyRef"] = {"value": currency}
            body = create(self, ENTITIES["Account"], order)
        self.store.set(setting, int(body["Id"]))
        return body

    def _by_subtype(self, kind: str, sub: str) -> Json | None:
        for row in self.store.select("Account", "deleted=0 and active=1"):
            body: Json = loads(row.body)
            if body.get("AccountType") == kind and body.get("AccountSubType") == sub:
                return body
        return None

    def account_currency(self, ident: str) -> str:
        """Return the currency of an account."""
        return ref((self.find("Account", ident) or {}).get("CurrencyRef")) or self.home

    def rate(self, currency: str, day: str) -> Decimal:
        """Return home units for one unit of ``currency`` on a day: the newest rate not after it, else 1."""
        if currency == self.home:
            return Decimal(1)
        sql = (
            "select body from rows where entity='ExchangeRate' and name=? and txn_date<=? and deleted=0"
            " order by txn_date desc limit 1"
        )
        found = self.store.connection.execute(sql, (currency.lower(), day)).fetchone()
        return Decimal(1) if found is None else Decimal(str(loads(found[0])["Rate"]))

    def closed_until(self) -> str:
        """Return the closing date of the books, or the empty string."""
        return str(self.preference("AccountingInfoPrefs", "BookCloseDate", "") or "")[:10]

    def refuse_closed(self, *days: str) -> None:
        """Refuse a change dated in the closed period."""
        until = self.closed_until()
        if until and any(day and day <= until for day in days):
            raise faults.closed(password=self.switches.closed_code == 6210)

    def note(self, entity: str, ident: int, operation: str, deleted_id: int = 0) -> None:
        """Remember a change for webhooks."""
        self.events.append(Event(entity, ident, operation, self.clock.company(), deleted_id))
