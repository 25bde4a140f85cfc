"""Drafting a connection of a shop and a company that nobody has described yet."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from ps_qb_pipeline.settings import load_connection
from ps_qb_pipeline_tests.journeys.conftest import Place

pytestmark = pytest.mark.xdist_group("setup")


@pytest.fixture(scope="module")
def books(place: Place) -> Iterator[str]:
    """The boutique with an empty accounting section, shop and books running."""
    place.connect("boutique", accounting={})
    with place.sandbox("boutique") as ready:
        yield ready["books_url"]


@pytest.fixture(scope="module")
def drafted(place: Place, books: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One draft, written to a file in a folder named like the connection."""
    assert books
    out = place.root / "drafts" / "boutique" / "defs.yaml"
    run = place.psqb("setup", "--connection", "boutique", "--draft", "--out", str(out))
    return run, out


def test_a_draft_is_complete_and_reads_back(drafted: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """The file is a whole connection: same shop and books, a code for every rate, a method for every label."""
    run, out = drafted
    assert run.returncode == 1, run.stderr[-3000:]  # something is left to decide
    made = load_connection(out)
    assert (made.shop.key_env, made.accounting.home_currency, made.accounting.seller_country) == (
        "BOUTIQUE_SHOP_KEY",
        "EUR",
        "FR",
    )
    assert made.accounting.tax_rules
    assert "Bank transfer" in made.accounting.methods
    text = out.read_text()
    assert "DECIDE" in text
    assert "SANDBOX" not in text  # names of secrets, never a secret


def test_the_coverage_is_told_in_orders_and_money(
    drafted: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    """Of the last month and of all: share, sales, money by currency, rates without a code, what waits."""
    said = drafted[0].stdout
    assert re.search(
        r"^\d+\.\d % of 2026-\d\d would post: \d+ of \d+ sales, .*\d\.\d\d EUR.*; no rate\(s\) need a code\.$",
        said,
        re.MULTILINE,
    )
    assert re.search(r"^  held: \d+ STORE_CREDIT_UNDECIDED$", said, re.MULTILINE)
    assert re.search(r"^to decide: accounting.store_credit_policy: \d+ order", said, re.MULTILINE)
    assert re.search(r"^psqb setup --create would make \d+ TaxCode: .*FR20", said, re.MULTILINE)


def test_a_file_is_never_overwritten_unasked(
    place: Place, drafted: tuple[subprocess.CompletedProcess[str], Path]
) -> None:
    """What a person has edited stays, and the refusal says the way out."""
    out = drafted[1]
    before = out.read_text() + "# edited\n"
    out.write_text(before)
    run = place.psqb("setup", "--connection", "boutique", "--draft", "--out", str(out))
    assert (run.returncode, out.read_text()) == (2, before)
    assert "--force" in run.stderr


def test_a_draft_writes_nothing_to_the_books_and_goes_to_standard_output(
    place: Place, books: str, drafted: tuple[subprocess.CompletedProcess[str], Path]
) -> None:
    """Both sides are read once and then left alone; the draft alone is what a pipe gets."""
    before = _counts(books)
    assert not [
        one for one in before if one.startswith("POST") and one.partition(" ")[2] not in {"", "query"}
    ]
    run = place.psqb("setup", "--connection", "boutique", "--draft")
    assert drafted[0].returncode == run.returncode == 1
    assert yaml.safe_load(run.stdout)["accounting"]["home_currency"] == "EUR"
    assert "would post" in run.stderr
    assert _counts(books) == before


def _counts(books: str) -> dict[str, int]:
    """Requests of the API by method and first part of the path, and by status."""
    return dict(httpx.get(f"{books}/_control", timeout=60).json()["counts"])
