"""The invoice lines of a real wholesaler, read and sorted into what they are.

What lives here: reading the bundled selection or the parquet files, the meaning of special stock codes,
the choice of invoices. What does not: what a shop makes of them (``retail``).

The lines are "Online Retail" and "Online Retail II", UCI Machine Learning Repository, Daqing Chen,
CC BY 4.0.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from ps_qb_pipeline.errors import SettingsError

Kind = Literal["product", "shipping", "discount", "manual", "fee"]
COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
BUNDLED = "data/retail_lines.csv.gz"
#: Where the two files of the whole overlap, the newer one is taken.
SECOND_YEAR = datetime(2010, 12, 1)  # noqa: DTZ001 - the shop's wall time

#: Stock codes that are no goods. Whatever is not here and not a plain code is goods all the same.
SPECIAL: dict[str, Kind] = {
    "POST": "shipping",
    "DOT": "shipping",
    "C2": "shipping",
    "C3": "shipping",
    "D": "discount",
    "M": "manual",
    "S": "manual",
    "BANK CHARGES": "fee",
    "AMAZONFEE": "fee",
    "CRUK": "fee",
    "B": "fee",
    "ADJUST": "fee",
    "ADJUST2": "fee",
    "TEST001": "fee",
    "TEST002": "fee",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice, with its own price without tax."""

    code: str
    name: str
    quantity: int
    price: Decimal
    kind: Kind

    @property
    def amount(self) -> Decimal:
        """Quantity times price, unrounded."""
        return self.quantity * self.price


@dataclass(slots=True)
class Invoice:
    """One invoice, or with a number that begins with C a credit."""

    number: str
    when: datetime
    customer: int
    """0 where the data name none."""
    country: str
    lines: list[Line] = field(default_factory=list)

    @property
    def credit(self) -> bool:
        """Whether it takes back instead of selling."""
        return self.number.startswith("C")


def kind_of(code: str) -> Kind:
    """What a stock code stands for."""
    return SPECIAL.get(code.upper(), "product")


def voucher(code: str) -> bool:
    """Whether a code is a gift voucher, on which no tax is due when it is sold."""
    return re.fullmatch(r"(?i)gift_0001_\d+", code) is not None


@dataclass(frozen=True, slots=True)
class Summary:
    """What the choice of invoices looks at."""

    number: str
    customer: int
    country: str
    lines: int
    sells: bool
    """Whether anything in it was sold or taken back for money."""
    signs: frozenset[str]
    """Special codes in it that become something in a shop."""


def read(directory: Path | None, count: int) -> list[Invoice]:
    """So many invoices by time: of the parquet files in a directory, or of the bundled selection.

    Errors:
        SettingsError: the directory holds no such file.
    """
    if directory is None:
        invoices = gathered(_bundled())
        numbers = chosen([_summary(i) for i in invoices], count)
        return [i for i in invoices if i.number in numbers]
    import duckdb

    with duckdb.connect() as connection:
        source, values = _source(directory)
        numbers = chosen(_summaries(connection, source, values), count)
        wanted = f"select * from ({source}) where InvoiceNo in (select unnest(?))"  # noqa: S608 - constants
        return gathered(_fetched(connection, wanted, [*values, sorted(numbers)]))


def _bundled() -> Iterator[tuple[Any, ...]]:
    raw = gzip.decompress(files(__package__).joinpath(BUNDLED).read_bytes()).decode("utf-8")
    for row in csv.reader(io.StringIO(raw)):
        yield (*row[:3], int(row[3]), datetime.fromisoformat(row[4]), row[5], int(row[6] or 0), row[7])


def _source(directory: Path) -> tuple[str, list[Any]]:
    """SQL for all lines of both files, without those that both hold, and its parameters."""
    second, first = directory / "online_retail.parquet", directory / "online_retail_2009_2010.parquet"
    columns = ", ".join(COLUMNS)
    parts, values = [], list[Any]()
    if first.exists():
        cut = " where InvoiceDate < ?" if second.exists() else ""
        parts.append(f"select {columns} from read_parquet(?){cut}")  # noqa: S608 - constants
        values += [str(first), SECOND_YEAR] if second.exists() else [str(first)]
    if second.exists():
        parts.append(f"select {columns} from read_parquet(?)")  # noqa: S608 - constants
        values.append(str(second))
    if not parts:
        raise SettingsError(
            "holds neither online_retail.parquet nor online_retail_2009_2010.parquet", where=str(directory)
        )
    return " union all ".join(parts), values


def _fetched(connection: Any, statement: str, values: list[Any]) -> Iterator[tuple[Any, ...]]:
    cursor = connection.execute(statement, values)
    while rows := cursor.fetchmany(20_000):
        for row in rows:
            yield (*row[:5], repr(row[5]), row[6] or 0, row[7])


def _summaries(connection: Any, source: str, values: list[Any]) -> list[Summary]:
    special = ", ".join(f"'{code}'" for code, kind in SPECIAL.items() if kind != "fee")
    fees = ", ".join(f"'{code}'" for code, kind in SPECIAL.items() if kind == "fee")
    statement = f"""
        select InvoiceNo, coalesce(any_value(CustomerID), 0), any_value(Country), count(*),
               max(case when UnitPrice > 0 and (Quantity > 0 or InvoiceNo like 'C%')
                        and upper(StockCode) not in ({fees}) then 1 else 0 end),
               list(distinct upper(StockCode)) filter (
                   upper(StockCode) in ({special}) or StockCode ilike 'gift\\_0001\\_%' escape '\\'
               )
        from ({source}) group by InvoiceNo order by min(InvoiceDate), InvoiceNo"""  # noqa: S608 - constants
    return [
        Summary(number, customer, country, lines, bool(sells), frozenset(signs or ()))
        for number, customer, country, lines, sells, signs in connection.execute(statement, values).fetchall()
    ]


def _summary(invoice: Invoice) -> Summary:
    odd = (i for i in invoice.lines if i.kind not in {"product", "fee"} or voucher(i.code))
    signs = {line.code.upper() for line in odd}
    sells = any(i.price > 0 and i.kind != "fee" and (i.quantity > 0 or invoice.credit) for i in invoice.lines)
    return Summary(
        invoice.number, invoice.customer, invoice.country, len(invoice.lines), sells, frozenset(signs)
    )


@lru_cache(maxsize=65536)
def _price(text: str) -> Decimal:
    return Decimal(text)


def gathered(rows: Iterable[tuple[Any, ...]]) -> list[Invoice]:
    """Rows as invoices by time; a stock code is kept in its first spelling, a missing name is filled in."""
    invoices: dict[str, Invoice] = {}
    spelling: dict[str, str] = {}
    names: dict[str, Counter[str]] = defaultdict(Counter)
    raw: dict[str, list[tuple[str, str, int, Decimal]]] = defaultdict(list)
    for number, code, name, quantity, when, price, customer, country in rows:
        if number not in invoices:
            invoices[number] = Invoice(number, when, customer, country)
        spelt = spelling.setdefault(code.strip().upper(), code.strip())
        clean = re.sub(r"[<>={}]", "", (name or "").strip())
        if clean:
            names[spelt][clean] += 1
        raw[number].append((spelt, clean, quantity, _price(price)))
    common = {code: counts.most_common(1)[0][0] for code, counts in names.items()}
    for number, invoice in invoices.items():
        invoice.lines = [
            Line(code, name or common.get(code, code), quantity, price, kind_of(code))
            for code, name, quantity, price in raw.pop(number)
        ]
    return sorted(invoices.values(), key=lambda i: (i.when, i.number))


#: Up to so many invoices the choice leaves very long ones out, so that a small shop stays small.
SMALL = 1000
LONG = 120
#: Share of invoices on which nothing is sold: write-offs and other moves of stock.
MOVES = 0.02


def chosen(invoices: list[Summary], count: int) -> set[str]:
    """The numbers of so many invoices: whole customers, so that a refund finds its sale, and guests in proportion.

    Customers whose invoices hold special codes, or who live abroad, come first, up to a third of the whole.
    """
    if count >= len(invoices):
        return {i.number for i in invoices}
    fitting = [i for i in invoices if count > SMALL or i.lines <= LONG]
    by_customer: dict[int, list[Summary]] = defaultdict(list)
    for invoice in fitting:
        if invoice.customer:
            by_customer[invoice.customer].append(invoice)
    guests = [i for i in fitting if not i.customer and i.sells]
    moves = [i for i in fitting if not i.customer and not i.sells]
    share = len(guests) / len(invoices)
    taken = [*_drawn(guests, int(count * share)), *_drawn(moves, max(1, int(count * MOVES)))]
    odd = _odd_customers(by_customer, count // 3)
    for customer in [*odd, *sorted(by_customer, key=_draw)]:
        if len(taken) >= count:
            break
        taken += by_customer.pop(customer, [])
    return {i.number for i in taken[:count]}


def _draw(label: object) -> str:
    return sha256(str(label).encode()).hexdigest()


def _drawn(invoices: list[Summary], count: int) -> list[Summary]:
    return sorted(invoices, key=lambda i: _draw(i.number))[:count]


def _odd_customers(by_customer: dict[int, list[Summary]], budget: int) -> list[int]:
    """For each special code and each country the customer with the fewest invoices who has it."""
    wanted: dict[str, int] = {}
    for customer, own in sorted(by_customer.items(), key=lambda item: (len(item[1]), _draw(item[0]))):
        for sign in sorted({own[0].country}.union(*(i.signs for i in own))):
            wanted.setdefault(sign, customer)
    found: list[int] = []
    spent = 0
    for customer in dict.fromkeys(wanted[s] for s in sorted(wanted)):
        if spent + len(by_customer[customer]) <= budget:
            found.append(customer)
            spent += len(by_customer[customer])
    return found
