"""From names to QuickBooks ids.

What lives here: one look-up over the mirrored name lists, to which posting adds what it creates.
What does not: reading the lists (``mirror``, or ``read`` here for a first look) and creating what is
missing (``provision``). Only active rows are found: QuickBooks refuses references to inactive ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.quickbooks.entities import ENTITIES, typed

Row = Mapping[str, Any]

NEEDED: dict[str, tuple[str, ...]] = {
    "accounts": ("name", "fully_qualified_name", "active", "account_type"),
    "items": ("name", "fully_qualified_name", "active", "sku"),
    "customers": ("display_name", "fully_qualified_name", "active"),
    "tax_codes": ("name", "active", "sales_tax_rates", "purchase_tax_rates"),
    "tax_rates": ("rate_value", "effective_tax_rates"),
    "payment_methods": ("name", "active"),
    "terms": ("name", "active"),
    "departments": ("name", "fully_qualified_name", "active"),
    "classes": ("name", "fully_qualified_name", "active"),
    "company_currencies": ("code", "active"),
    "preferences": (
        "home_currency",
        "multi_currency",
        "class_tracking",
        "class_tracking_per_line",
        "track_departments",
        "custom_txn_numbers",
        "using_sales_tax",
    ),
}
"""The mirrored tables (without schema and prefix) that a look-up is made of, with the columns it reads.

Each row needs ``id`` besides. From the mirror this costs no metered call.
"""
_LISTS = tuple(table for table in NEEDED if table not in {"tax_rates", "company_currencies", "preferences"})
_PSEUDO_TAX_CODES = ("TAX", "NON")


class UnknownName(PipelineError):
    """A document names something that the company does not have, or not as an active row."""

    def __init__(self, kind: str, name: str, *, hint: str = "") -> None:
        super().__init__(
            f"{kind} {name!r} is not in the company{hint}; create it (psqb setup) or correct the mapping"
            if kind != "Customer"
            else f"a customer of the document is not in the company{hint}; it is created before the document",
            kind=kind,
        )
        self.kind = kind
        self.name = name


@dataclass(frozen=True, slots=True)
class Named:
    """One row of a name list."""

    id: str
    name: str
    active: bool
    row: Row


class Reader(Protocol):
    """What ``read`` needs of the books."""

    def query_all(self, entity: str, where: str = "") -> Iterator[dict[str, Any]]:
        """Every row of an entity."""
        ...

    def preferences(self) -> dict[str, Any]:
        """The Preferences object."""
        ...


class References:
    """The ids of one company's names. Names are compared as QuickBooks does: without regard to case."""

    def __init__(self, tables: Mapping[str, Iterable[Row]]) -> None:
        """``tables`` holds typed rows by table name: columns as in ``entities``, plus ``id``."""
        preferences = next(iter(tables.get("preferences", ())), {})
        self.home_currency: str = preferences.get("home_currency") or ""
        self.multi_currency = bool(preferences.get("multi_currency"))
        self.class_per_line = bool(preferences.get("class_tracking_per_line"))
        self.class_tracking = _either(preferences, "class_tracking", "class_tracking_per_line")
        self.track_departments: bool | None = preferences.get("track_departments")
        self.custom_txn_numbers: bool | None = preferences.get("custom_txn_numbers")
        self.using_sales_tax: bool | None = preferences.get("using_sales_tax")
        self._currencies = {
            str(row.get("code"))
            for row in tables.get("company_currencies", ())
            if row.get("active") is not False
        }
        self._lists = {table: _index(tables.get(table, ())) for table in _LISTS}
        self._rates = {str(row["id"]): row for row in tables.get("tax_rates", ())}
        self._skus = {
            _folded(row["sku"]): str(row["id"])
            for row in tables.get("items", ())
            if row.get("sku") and row.get("active") is not False
        }
        self._learnt: dict[tuple[str, str], str] = {}
        self._documents: dict[str, tuple[str, str]] = {}

    @classmethod
    def read(cls, books: Reader) -> References:
        """The names as the company has them now; a metered call for each list and thousand rows.

        For setting up; whoever posts every few minutes takes the rows from the mirror.
        """
        tables: dict[str, list[Row]] = {"preferences": [ENTITIES["Preferences"].values(books.preferences())]}
        for entity in ENTITIES.values():
            if entity.table in NEEDED and entity.table != "preferences":
                tables[entity.table] = [
                    {"id": entity.identity(row), **entity.values(row)} for row in books.query_all(entity.name)
                ]
        return cls(tables)

    # -- what documents name -------------------------------------------------------------------

    def account(self, name: str) -> str:
        """The id of an account by its full name (``Clearing:Stripe EUR``), or its plain name if unique."""
        return self._id("Account", "accounts", name)

    def account_type(self, name: str) -> str:
        """The account's AccountType."""
        found = self._lists["accounts"].get(_folded(name))
        return str(found.row.get("account_type") or "") if found else ""

    def item(self, key: str) -> str:
        """The id of an item by its key (``sku:...``), its name or, for a key of a SKU, its SKU."""
        learnt = self._learnt.get(("Item", _folded(key)))
        if learnt:
            return learnt
        if key.startswith("sku:") and (found := self._skus.get(_folded(key[4:]))):
            return found
        return self._id("Item", "items", key)

    def customer(self, key: str, name: str) -> str:
        """The id of a customer by the key that was learnt, else by display name."""
        learnt = self._learnt.get(("Customer", _folded(key))) if key else None
        return learnt or self._id("Customer", "customers", name)

    def tax_code(self, name: str) -> str:
        """The id of a tax code; the US pseudo codes TAX and NON are ids themselves."""
        if name in _PSEUDO_TAX_CODES and _folded(name) not in self._lists["tax_codes"]:
            return name
        return self._id("TaxCode", "tax_codes", name)

    def tax_rate(self, code: str, rate: Decimal, *, purchase: bool = False) -> str | None:
        """The id of the code's rate with this percentage; None for a code without rates (and 0 percent).

        Raises UnknownName when the code has rates but not this one: the accountant's table and the
        company disagree, and a guess would book tax to the wrong agency.
        """
        self.tax_code(code)
        found = self._lists["tax_codes"][_folded(code)]
        column = "purchase_tax_rates" if purchase else "sales_tax_rates"
        listed = typed(found.row.get(column), "json") or ()
        ids = [str((detail.get("TaxRateRef") or {}).get("value")) for detail in listed]
        fitting = [one for one in ids if rate in _percentages(self._rates.get(one, {}))]
        if fitting:
            return fitting[0]
        if not ids and rate == 0:
            return None
        raise UnknownName("TaxRate", f"{code} {rate.normalize():f} %", hint=f" among the rates of {code}")

    def payment_method(self, name: str) -> str | None:
        """The id of a payment method; None when the company has none of that name."""
        found = self._lists["payment_methods"].get(_folded(name))
        return found.id if found and found.active else None

    def department(self, name: str) -> str:
        """The id of a location."""
        return self._id("Department", "departments", name)

    def klass(self, name: str) -> str:
        """The id of a class."""
        return self._id("Class", "classes", name)

    def term(self, name: str) -> str:
        """The id of a payment term."""
        return self._id("Term", "terms", name)

    def document(self, key: str) -> tuple[str, str]:
        """Type and id of a document that is in the books already."""
        if key not in self._documents:
            raise UnknownName("Document", key, hint=" yet")
        return self._documents[key]

    # -- what posting finds out ----------------------------------------------------------------

    def learn(self, kind: str, key: str, name: str, qbo_id: str) -> None:
        """A name got its id: ``kind`` is Customer, Item or a document's type; ``key`` is ours."""
        if kind in {"Customer", "Item"}:
            for word in (key, name) if kind == "Item" else (key,):
                self._learnt[kind, _folded(word)] = qbo_id
        else:
            self._documents[key] = (kind, qbo_id)

    def add(self, table: str, row: Row) -> None:
        """A typed row was created in the company, or read again."""
        if table == "tax_rates":
            self._rates[str(row["id"])] = row
        elif table == "company_currencies":
            self._currencies.add(str(row.get("code")))
        elif table in self._lists:
            self._lists[table] |= _index([row])

    def has_currency(self, code: str) -> bool:
        """Whether the company keeps this currency."""
        return code in self._currencies

    def rates_of(self, code: str) -> set[Decimal]:
        """The percentages of a tax code's sales rates; empty for an unknown code."""
        found = self._lists["tax_codes"].get(_folded(code))
        listed = typed(found.row.get("sales_tax_rates"), "json") or () if found else ()
        ids = [str((detail.get("TaxRateRef") or {}).get("value")) for detail in listed]
        return {value for one in ids for value in _percentages(self._rates.get(one, {}))}

    def holds(self, table: str, name: str) -> Named | None:
        """The row of a name list, active or not."""
        return self._lists[table].get(_folded(name))

    def _id(self, kind: str, table: str, name: str) -> str:
        found = self._lists[table].get(_folded(name))
        if found is None:
            raise UnknownName(kind, name)
        if not found.active:
            raise UnknownName(kind, name, hint=" as an active row")
        return found.id


def _either(preferences: Row, *names: str) -> bool | None:
    """True where one of them is on, None where none of them is known."""
    known = [preferences[name] for name in names if preferences.get(name) is not None]
    return any(known) if known else None


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def _index(rows: Iterable[Row]) -> dict[str, Named]:
    """Rows by full name and, where only one row has it, by plain name; active rows win."""
    index: dict[str, Named] = {}
    plain: dict[str, list[Named]] = {}
    for row in rows:
        own = str(row.get("name") or row.get("display_name") or "")
        named = Named(str(row["id"]), own, row.get("active") is not False, row)
        full = _folded(str(row.get("fully_qualified_name") or own))
        if full not in index or not index[full].active:
            index[full] = named
        plain.setdefault(_folded(own), []).append(named)
    for name, found in plain.items():
        active = [one for one in found if one.active]
        if name not in index and len(active or found) == 1:
            index[name] = (active or found)[0]
    return index


def _percentages(rate: Row) -> set[Decimal]:
    values = {typed(rate.get("rate_value"), "decimal")}
    for effective in typed(rate.get("effective_tax_rates"), "json") or ():
        values.add(typed(effective.get("RateValue"), "decimal"))
    return {value for value in values if value is not None}
