"""The page stands alone, escapes everything, and says on its first screen what an owner asks."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ps_qb_pipeline.reports.html import report_html, write_html
from ps_qb_pipeline.reports.model import Report


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    """The page as text."""
    return report_html(report)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    """Every tag with its attributes."""
    parser = _Tags()
    parser.feed(page)
    return parser.seen


def test_no_script_and_no_other_file(page: str) -> None:
    """Nothing runs and nothing is fetched, whatever the shop's names try."""
    for tag, attributes in tags(page):
        assert tag not in {"script", "iframe", "link", "img", "object", "embed"}
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")


def test_no_character_can_hide_or_reorder_text(page: str) -> None:
    """Control and direction characters of the shop do not reach the page."""
    assert not re.search("[\x00-\x08\x0e-\x1f\u202a-\u202e]", page)


def test_hostile_names_are_shown_as_text(page: str) -> None:
    """The name is there, escaped and cut."""
    assert "&lt;script&gt;alert(1)" in page
    assert "S" * 250 not in page


def test_the_first_screen_answers_the_owner(page: str) -> None:
    """Sold, in the books, open, what to do: before the first section."""
    first = page[: page.index("<nav")]
    for words in (
        "Sold in the shop",
        "Of it in QuickBooks",
        "Open difference",
        "105.60 EUR",
        "What to do",
        "To do:",
    ):
        assert words in first
    assert "QBO_DELETED" in first


def test_every_link_leads_somewhere(page: str) -> None:
    """Orders with exceptions are linked to their story on the same page."""
    seen = tags(page)
    ids = {attributes["id"] for _, attributes in seen if attributes.get("id")}
    links = {str(attributes["href"])[1:] for tag, attributes in seen if tag == "a"}
    assert "order-1004" in links
    assert links <= ids


def test_charts_say_in_words_what_they_show(page: str) -> None:
    """Each picture has a label, and its figures stand in a table as well."""
    figures = [attributes for tag, attributes in tags(page) if tag == "figure"]
    assert len(figures) >= 4
    assert all(attributes.get("aria-label") for attributes in figures)


def test_the_file_is_written_where_asked(report: Report, tmp_path: Path) -> None:
    """Folders on the way are made."""
    path = write_html(report, tmp_path / "a" / "report.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
