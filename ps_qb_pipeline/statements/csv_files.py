"""Reading CSV files by a map of columns: the format is found by the header, values become typed.

What lives here: encodings, delimiters, numbers, dates, and which column means what. What does not:
what a line of a payout or of a bank statement holds (``payout_files``, ``bank_files``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files

import yaml

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.settings import FileFormat

LARGEST = 200 * 1024 * 1024
"""Bytes of the largest file that is read."""
_DELIMITERS = ",;\t|"
_DATES: Mapping[str, tuple[str, ...]] = {
    "iso": ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d"),
    "day_first": ("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%d.%m.%y"),
    "month_first": ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y"),
}
_TIMES = ("", " %H:%M:%S", " %H:%M")


@cache
def packaged() -> Mapping[str, FileFormat]:
    """The formats that come with the package, by name."""
    folder = files(__package__) / "formats"
    found = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return {
        name.removesuffix(".yaml"): FileFormat.model_validate(
            yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        )
        for name in found
    }


def text_of(content: bytes, name: str) -> str:
    """The file as text: UTF-8 with or without mark, UTF-16 with one, else Windows' western letters."""
    if len(content) > LARGEST:
        raise SettingsError(f"{name} is larger than {LARGEST // 1024 // 1024} MB; split it")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def header_of(text: str, delimiter: str = "") -> tuple[list[str], str]:
    """The columns of the first line, and the delimiter between them."""
    first = text.lstrip("\r\n").split("\n", 1)[0]
    used = delimiter or max(_DELIMITERS, key=first.count)
    names = next(csv.reader([first.rstrip("\r")], delimiter=used), [])
    return [name.strip() for name in names], used


def recognised(text: str, formats: Mapping[str, FileFormat]) -> str:
    """The name of the format whose own columns the header holds; the one with most of them wins."""
    fitting = [
        (len(one.recognise), name)
        for name, one in formats.items()
        if one.recognise and set(one.recognise) <= set(header_of(text, one.delimiter)[0])
    ]
    return max(fitting)[1] if fitting else ""


class Line:
    """One line of a file, read by the names of our fields."""

    def __init__(self, form: FileFormat, cells: Mapping[str, str], place: str) -> None:
        self.form = form
        self.cells = cells
        self.place = place

    def text(self, field: str) -> str:
        """The first filled column of a field; empty when there is none."""
        return next((cell for cell in self.texts(field) if cell), "")

    def texts(self, field: str) -> list[str]:
        """All columns of a field."""
        named = self.form.columns.get(field, [])
        names = [named] if isinstance(named, str) else named
        return [" ".join(self.cells.get(name, "").split()) for name in names]

    def amount(self, field: str) -> Decimal | None:
        """The number in a field; None when it is empty."""
        written = self.text(field)
        if not written:
            return None
        plain = written.translate(_NO_SPACES)
        if plain.startswith("(") and plain.endswith(")"):
            plain = f"-{plain[1:-1]}"
        if self.form.decimal_comma:
            plain = plain.replace(".", "").replace(",", ".")
        else:
            plain = plain.replace(",", "")
        try:
            number = Decimal(plain)
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise SettingsError(f"{self.place}: {field} is {written!r:.40}, which is no amount")
        return number

    def moment(self, field: str) -> datetime | None:
        """The wall time in a field, with the time of its own column if there is one; None when empty."""
        written = " ".join(part for part in (self.text(field), self.text("time")) if part)
        if not written:
            return None
        plain = written.replace("T", " ", 1).rstrip("Z").split("+")[0].split(".000")[0].strip()
        for day in _DATES[self.form.dates]:
            for clock in _TIMES:
                found = _parsed(plain, day + clock)
                if found is not None:
                    return found
        raise SettingsError(
            f"{self.place}: {field} is {written!r:.40}, which is no date of the form {self.form.dates}"
        )

    def day(self, field: str) -> date | None:
        """The date in a field."""
        found = self.moment(field)
        return found.date() if found else None


_NO_SPACES = {ord(space): None for space in " \u00a0\u202f'"} | {ord("\u2212"): "-"}


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007 - the file keeps wall time
    except ValueError:
        return None


def lines(text: str, form: FileFormat, name: str, needed: Iterable[str]) -> Iterator[tuple[int, Line]]:
    """The lines that the format keeps, with their numbers; SettingsError names a column that is missing."""
    header, delimiter = header_of(text, form.delimiter)
    for field in needed:
        named = form.columns.get(field, [])
        if not {named} & set(header) if isinstance(named, str) else not set(named) & set(header):
            raise SettingsError(f"{name} has no column for {field}: expected {named}, found {header}")
    reader = csv.DictReader(io.StringIO(text.lstrip("\r\n")), fieldnames=header, delimiter=delimiter)
    for number, row in enumerate(reader, start=1):
        cells = {key: value for key, value in row.items() if isinstance(key, str) and isinstance(value, str)}
        if number == 1 or not any(cell.strip() for cell in cells.values()):
            continue
        if all(cells.get(column, "").strip() in values for column, values in form.only.items()):
            yield number, Line(form, cells, f"{name}:{number}")
