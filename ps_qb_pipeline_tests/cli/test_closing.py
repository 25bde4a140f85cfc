"""Signing a month from the command line: refused, accepted, closed, made again, withdrawn, re-opened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
import time_machine
import yaml
from click.testing import CliRunner, Result

from ps_qb_pipeline.cli.main import main
from ps_qb_pipeline.orchestration.landing import BOOKS, SHOP, ConnectionCursors
from ps_qb_pipeline.quickbooks import mirror
from ps_qb_pipeline.settings import PACKAGE_DIR, Settings
from ps_qb_pipeline.state.audit import verify
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.database import open_control_plane, reading
from ps_qb_pipeline_tests.recon.world import World

Psqb = Callable[..., Result]
PERIOD = ("--period", "2026-01")
NAMES = ("--preparer", "Ann", "--approver", "Bob")


@pytest.fixture(scope="module")
def january(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse that holds January: two sales, one of them deleted in the books."""
    path = tmp_path_factory.mktemp("january") / "warehouse.duckdb"
    world = World(con=duckdb.connect(str(path)))
    world.sale(1001)
    world.sale(1002)
    world.delete_in_books("PS1-1001")
    world.run()
    world.con.close()
    return path


@pytest.fixture
def settings(january: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """One connection with January's warehouse."""
    defs = tmp_path / "defs" / "boutique"
    defs.mkdir(parents=True)
    body = yaml.safe_load((PACKAGE_DIR / "defs" / "boutique" / "defs.yaml").read_text())
    (defs / "defs.yaml").write_text(yaml.safe_dump(body))
    monkeypatch.setenv("PSQB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PSQB_DEFS_DIR", str(tmp_path / "defs"))
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    path = settings.warehouse_path("boutique")
    path.parent.mkdir(parents=True)
    shutil.copyfile(january, path)
    return settings


@pytest.fixture
def psqb(settings: Settings) -> Iterator[Psqb]:
    """The command line on a day in March."""
    with time_machine.travel(datetime(2026, 3, 2, 9, 0, tzinfo=UTC), tick=False):
        yield lambda *arguments: CliRunner().invoke(main, list(arguments))


def _was_read(settings: Settings) -> None:
    engine = open_control_plane(settings.control_plane_url)
    cursors = Cursors(engine)
    ConnectionCursors(cursors, "boutique", SHOP).commit("orders", {"since": 1})
    ConnectionCursors(cursors, "boutique", BOOKS).commit(mirror.RESOURCE, {"since": 1})
    engine.dispose()


def _change_in_books(settings: Settings) -> None:
    with duckdb.connect(str(settings.warehouse_path("boutique"))) as con:
        world = World(con=con, filled=True)
        world.edit("PS1-1002", total=Decimal(31))
        world.run()


def test_a_month_that_was_not_read_to_its_end_is_not_closed(psqb: Psqb) -> None:
    """Nobody signs figures whose last days may be missing."""
    refused = psqb("close", *PERIOD, *NAMES)
    assert refused.exit_code == 2
    assert "the shop was never read, before 2026-01 was over" in refused.stderr


def test_the_way_of_a_signed_month(psqb: Psqb, settings: Settings) -> None:
    """Refused, accepted by code, closed, made again, withdrawn by a change, re-opened; all in the audit chain."""
    _was_read(settings)
    assert "1 exception over 30.00 EUR is open" in psqb("close", *PERIOD, *NAMES).stderr
    listed = json.loads(psqb("report", *PERIOD, "--open", "--json").stdout)
    assert [(row["code"], row["amount"], row["accepted"]) for row in listed] == [("QBO_DELETED", "30.00", "")]

    assert psqb("close", *PERIOD, "--accept", "QBO_DELETED", "--approver", "Bob").exit_code == 2
    given = psqb("close", *PERIOD, "--accept", "QBO_DELETED", "--approver", "Bob", "--reason", "a gift")
    assert "1 exception(s) of 2026-01 accepted by Bob" in given.stdout
    closed = json.loads(psqb("close", *PERIOD, *NAMES, "--json").stdout)
    assert closed["version"] == 1
    assert closed["accepted"][listed[0]["id"]]["reason"] == "a gift"
    assert (Path(closed["folder"]) / "pack" / "report.xlsx").exists()

    again = psqb("report", *PERIOD, "--signed")
    assert again.exit_code == 0, again.output
    assert "all have the hashes that were signed" in again.stdout

    _change_in_books(settings)
    told = psqb("report", *PERIOD)
    assert "2026-01 version 1: withdrawn" in told.stdout
    assert "SalesReceipt" in told.stdout
    page = (settings.data_dir("boutique") / "reports" / "2026-01" / "report.html").read_text()
    assert "Signed periods" in page
    assert "Withdrawn" in page

    assert "with a reason and a name" in psqb("close", *PERIOD, "--reopen", "--approver", "Bob").stderr
    opened = psqb("close", *PERIOD, "--reopen", "--approver", "Bob", "--reason", "an edited receipt")
    assert "the next close makes version 2" in opened.stdout
    with reading(open_control_plane(settings.control_plane_url)) as tx:
        verdict = verify(tx)
    assert (verdict.good, verdict.entries) == (True, 3)


def test_an_exception_that_is_not_there_cannot_be_accepted(psqb: Psqb) -> None:
    """The refusal says where the ids are listed."""
    refused = psqb("close", *PERIOD, "--accept", "NO_SUCH", "--approver", "Bob", "--reason", "why not")
    assert refused.exit_code == 2
    assert "psqb report --period 2026-01 --open lists them" in refused.stderr


def test_the_preview_writes_nothing(psqb: Psqb, settings: Settings) -> None:
    """What waits is shown beside today's balances, from the mirror."""
    before = settings.warehouse_path("boutique").stat().st_mtime_ns
    shown = psqb("preview", "--from-mirror")
    assert shown.exit_code == 0, shown.output
    assert "nothing was written" in shown.stdout
    assert settings.warehouse_path("boutique").stat().st_mtime_ns == before
