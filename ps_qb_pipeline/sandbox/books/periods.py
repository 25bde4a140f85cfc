"""Which days a report is about.

What lives here: dates and date macros of a request, and the periods that columns stand for. What does
not: figures.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from ps_qb_pipeline.sandbox.books import faults, ledger
from ps_qb_pipeline.sandbox.books.company import Company

USUAL = "this calendar year-to-date"
Span = tuple[date, date]


def period(company: Company, query: dict[str, str]) -> tuple[str, str, str]:
    """Return first day, last day and macro of a report; without dates it is the calendar year to date."""
    first, last = query.get("start_date", ""), query.get("end_date") or query.get("report_date", "")
    for name, value in (("start_date", first), ("end_date", last)):
        try:
            if value:
                date.fromisoformat(value)
        except ValueError:
            raise faults.invalid_date(name, value) from None
    if first and last and first > last:
        problem = faults.Problem("2190", "Invalid Date Range", "start_date is after end_date")
        raise faults.Refusal(problem)
    if first or last:
        last = last or company.clock.today()
        return first or ledger.year_start(company, last), last, ""
    macro = query.get("date_macro", "") or USUAL
    begin, end = _macro(company, macro.lower())
    return begin.isoformat(), end.isoformat(), macro


def _macro(company: Company, macro: str) -> Span:
    today = date.fromisoformat(company.clock.today())
    fixed = {
        "today": (today, today),
        "yesterday": (today - timedelta(days=1), today - timedelta(days=1)),
        "next 4 weeks": (today, today + timedelta(days=27)),
        "all": (date(1970, 1, 1), today),
    }
    if macro in fixed:
        return fixed[macro]
    to_date = macro.endswith("-to-date")
    which, _, unit = macro.removesuffix("-to-date").partition(" ")
    find = _UNITS.get(unit)
    if find is None or which not in {"this", "last", "next"} or (to_date and which == "next"):
        raise faults.invalid_enum("date_macro", macro)
    present = find(company, today)
    if which == "next":
        return find(company, present[1] + timedelta(days=1))
    if which == "this":
        return (present[0], today) if to_date else present
    before = find(company, present[0] - timedelta(days=1))
    if not to_date:
        return before
    return before[0], min(before[0] + (today - present[0]), before[1])


def _week(company: Company, day: date) -> Span:
    del company
    sunday = day - timedelta(days=(day.weekday() + 1) % 7)
    return sunday, sunday + timedelta(days=6)


def _month(company: Company, day: date) -> Span:
    del company
    return day.replace(day=1), month_end(day)


def _quarter(company: Company, day: date, first_month: int = 1) -> Span:
    del company
    begin = day.replace(day=1)
    for _ in range((day.month - first_month) % 3):
        begin = (begin - timedelta(days=1)).replace(day=1)
    end = begin
    for _ in range(3):
        end = month_end(end) + timedelta(days=1)
    return begin, end - timedelta(days=1)


def _fiscal_quarter(company: Company, day: date) -> Span:
    start = date.fromisoformat(ledger.year_start(company, day.isoformat()))
    return _quarter(company, day, start.month)


def _year(company: Company, day: date) -> Span:
    del company
    return date(day.year, 1, 1), date(day.year, 12, 31)


def _fiscal_year(company: Company, day: date) -> Span:
    start = date.fromisoformat(ledger.year_start(company, day.isoformat()))
    return start, start.replace(year=start.year + 1) - timedelta(days=1)


_UNITS: dict[str, Callable[[Company, date], Span]] = {
    "week": _week,
    "month": _month,
    "calendar quarter": _quarter,
    "fiscal quarter": _fiscal_quarter,
    "calendar year": _year,
    "fiscal year": _fiscal_year,
}


def month_end(day: date) -> date:
    """Return the last day of the month in which ``day`` lies."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def split(company: Company, first: str, last: str, by: str) -> list[tuple[str, str, str]] | None:
    """Return (title, first day, last day) of every part of a period, or None if ``by`` is no length of time."""
    find = _LENGTHS.get(by.lower().removesuffix("s"))
    if find is None:
        return None
    parts = []
    at, end = date.fromisoformat(first), date.fromisoformat(last)
    while at <= end:
        until = min(find(company, at)[1], end)
        parts.append((_title(by.lower().removesuffix("s"), at, until), at.isoformat(), until.isoformat()))
        at = until + timedelta(days=1)
    return parts


_LENGTHS: dict[str, Callable[[Company, date], Span]] = {
    "day": lambda _, day: (day, day),
    "week": _week,
    "month": _month,
    "quarter": _quarter,
    "year": _year,
}


def _title(unit: str, first: date, last: date) -> str:
    titles = {
        "day": f"{first:%b} {first.day}, {first:%Y}",
        "week": f"{first:%b} {first.day} - {last:%b} {last.day}, {last:%Y}",
        "month": f"{first:%b %Y}",
        "quarter": f"{first:%b} - {last:%b %Y}",
        "year": f"{first:%Y}",
    }
    return titles[unit]
