"""What a report is about: everything until now, one month, or a frozen month.

What lives here: narrowing the queries of ``sections`` to a period by replacing the relations that
they read. What does not: the queries themselves. A frozen period is narrow already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.warehouse.models import models_dir

_RELATION = re.compile(r"\b(?:recon|marts)\.[a-z_]+\b")
_PERIOD = re.compile(r"\d{4}-(0[1-9]|1[0-2])")

_BY_DAY = {"recon.exceptions": "event_date", "recon.notes": "event_date", "recon.pairs": "txn_date"}
_BY_DAY |= {"recon.payouts": "day", "recon.payout_matches": "day", "recon.bank_matches": "booked_on"}
_BY_MONTH = (
    "recon.objects",
    "recon.classes",
    "recon.accounts_rolled",
    "recon.tax_tie_out",
    "recon.ledger_tie_out",
    "marts.income_bridge",
    "marts.profit_lines",
)
_MADE_ANEW = (
    "recon.open_difference",
    "recon.cutoff",
    "recon.adjustments",
    "marts.profit_by_month",
    "marts.profit_by_product",
    "marts.profit_by_customer",
    "marts.profit_by_country",
    "marts.profit_by_category",
    "marts.profit_by_payment_method",
    "marts.profit_by_carrier",
    "marts.profit_by_shop",
    "marts.profit_by_cohort",
)
"""Relations whose SQL runs again over the rows of the period."""


def first_day(period: str) -> date:
    """The first day of a month given as ``2026-10``; SettingsError for any other text."""
    if not _PERIOD.fullmatch(period):
        raise SettingsError(f"{period!r} is no period; write year and month, such as 2026-10")
    return date(int(period[:4]), int(period[5:]), 1)


def last_day(period: str) -> date:
    """The last day of a month given as ``2026-10``."""
    return (first_day(period) + timedelta(days=31)).replace(day=1) - timedelta(days=1)


@dataclass(frozen=True)
class Scope:
    """A period, ``2026-10`` or empty for everything. ``frozen`` data hold nothing else and are read as they are."""

    period: str = ""
    frozen: bool = False

    def sql(self, text: str) -> str:
        """The query over this scope's rows only."""
        if not self.period or self.frozen:
            return text
        return _RELATION.sub(lambda found: self._relations.get(found[0], _unchanged(found[0]))(), text)

    @cached_property
    def _relations(self) -> Mapping[str, Callable[[], str]]:
        first, last = first_day(self.period), last_day(self.period)
        month = f"month = date '{first}'"
        made: dict[str, Callable[[], str]] = {}
        for name in _BY_MONTH:
            made[name] = _rows(name, month)
        for name, column in _BY_DAY.items():
            made[name] = _rows(name, f"{column} between date '{first}' and date '{last}'")
        made["recon.twins"] = _rows(
            "recon.twins", f"cast(date_add as date) between date '{first}' and date '{last}'"
        )
        made["recon.tie_out"] = _rows("recon.tie_out_by_month", month, columns="* exclude (month)")
        for name in _MADE_ANEW:
            made[name] = self._again(name)
        return made

    def _again(self, name: str) -> Callable[[], str]:
        def again() -> str:
            schema, table = name.split(".")
            text = (models_dir() / schema / f"{table}.sql").read_text()
            plain = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
            return f"({self.sql(plain)})"

        return again


def _rows(name: str, condition: str, *, columns: str = "*") -> Callable[[], str]:
    return lambda: f"(select {columns} from {name} where {condition})"  # noqa: S608 - our own words


def _unchanged(name: str) -> Callable[[], str]:
    return lambda: name
