"""A period is closed by two people over frozen figures, and any later change withdraws it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ps_qb_pipeline.errors import IntegrityError, SettingsError
from ps_qb_pipeline.reports import signoff, snapshot
from ps_qb_pipeline.reports.scope import last_day
from ps_qb_pipeline_tests.recon.world import World

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SIGNED = {"period": "2026-01", "preparer": "Ann", "approver": "Bob", "now": NOW}


@pytest.fixture
def world() -> World:
    """January with a sale and a refund, February with a sale; both sides agree."""
    world = World()
    world.sale(1001)
    world.sale(1002, day=date(2026, 2, 3))
    world.refund(1, 1001)
    world.run()
    return world


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where sign-offs are kept."""
    return tmp_path / "signoff"


def test_closing_freezes_figures_names_and_hashes(world: World, folder: Path) -> None:
    """The manifest holds who signed what, and the pack lies beside it."""
    closed = signoff.close(world.con, folder, **SIGNED)
    manifest = json.loads((closed.folder / "manifest.json").read_text())
    assert (closed.version, closed.status) == (1, "approved")
    assert (manifest["cover"]["preparer"], manifest["cover"]["approver"]) == ("Ann", "Bob")
    assert manifest["figures"]["orders"] == 1
    assert manifest["figures"]["open_difference"] == {"EUR": "0.00"}
    assert len(manifest["snapshot"]) == 64
    assert (closed.folder / "pack" / "report.pdf").exists()


def test_a_signed_pack_is_made_again_byte_by_byte(world: World, folder: Path, tmp_path: Path) -> None:
    """Months later and after the warehouse has moved on, the frozen rows give the same files."""
    closed = signoff.close(world.con, folder, **SIGNED)
    world.sale(1003)
    world.run()
    assert signoff.regenerate(closed, tmp_path / "again") == []


def test_changed_frozen_rows_are_noticed(world: World, folder: Path, tmp_path: Path) -> None:
    """Whoever alters the snapshot cannot make a pack from it."""
    closed = signoff.close(world.con, folder, **SIGNED)
    with duckdb.connect(str(closed.folder / "snapshot.duckdb")) as con:
        con.execute("update recon.objects set amount = amount + 1 where side = 'shop'")
    with pytest.raises(IntegrityError, match="were changed"):
        signoff.regenerate(closed, tmp_path / "again")


def test_open_exceptions_refuse_the_close_until_each_is_accepted(world: World, folder: Path) -> None:
    """The refusal counts the money; an accepted exception needs a reason and an approver."""
    world.delete_in_books("PS1-1001")
    world.run()
    with pytest.raises(SettingsError, match=r"1 exception over 30\.00 EUR is open"):
        signoff.close(world.con, folder, **SIGNED)
    ((exception,),) = world.all("select id from recon.exceptions")
    with pytest.raises(SettingsError, match="one of them is empty"):
        signoff.accept(folder, exception, reason=" ", approver="Bob", now=NOW)
    signoff.accept(folder, exception, reason="refunded in cash", approver="Bob", now=NOW)
    closed = signoff.close(world.con, folder, **SIGNED)
    assert closed.manifest["accepted"][exception]["reason"] == "refunded in cash"
    assert closed.manifest["figures"]["open_difference"] == {"EUR": "30.00"}


def test_an_exception_of_another_month_does_not_stand_in_the_way(world: World, folder: Path) -> None:
    """January closes while February has an open exception."""
    world.delete_in_books("PS1-1002")
    world.run()
    assert signoff.close(world.con, folder, **SIGNED).status == "approved"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"approver": "ann "}, "same person"),
        ({"approver": ""}, "one of the names is empty"),
        ({"period": "2026-03"}, "is not over yet"),
        ({"period": "2026-13"}, "is no period"),
        ({"period": "../../x"}, "is no period"),
    ],
)
def test_what_cannot_be_signed_is_refused(
    world: World, folder: Path, changed: dict[str, str], message: str
) -> None:
    """One person alone, no name, an unfinished or impossible month."""
    with pytest.raises(SettingsError, match=message):
        signoff.close(world.con, folder, **{**SIGNED, **changed})
    assert not folder.exists()


def test_a_broken_proof_cannot_be_signed(world: World, folder: Path) -> None:
    """Our own mistake is never signed away."""
    world.con.execute("delete from ledger.sources where source_type = 'order' and source_id = 1001")
    world.run()
    with pytest.raises(IntegrityError, match="cannot be closed"):
        signoff.close(world.con, folder, **SIGNED)


def test_nothing_changed_keeps_the_approval(world: World, folder: Path) -> None:
    """A run without changes, and changes of other months, leave it."""
    signoff.close(world.con, folder, **SIGNED)
    world.edit("PS1-1002", total=Decimal(31))
    world.run()
    checked = signoff.check(world.con, folder, "2026-01", now=NOW)
    assert checked is not None
    assert checked.status == "approved"


@pytest.mark.parametrize("side", ["shop", "books"])
def test_a_later_change_of_either_side_withdraws_it_by_name(world: World, folder: Path, side: str) -> None:
    """The change is named with what it was and is, and the withdrawal stays on record."""
    signoff.close(world.con, folder, **SIGNED)
    if side == "books":
        world.edit("PS1-1001", total=Decimal("33.60"), total_tax=Decimal("5.60"))
    else:
        world.refund(2, 1001, net="1.00", tax="0.20")
    world.run()
    checked = signoff.check(world.con, folder, "2026-01", now=NOW)
    assert checked is not None
    assert checked.changes is not None
    assert checked.status == "withdrawn"
    named = {(row["object_type"], row["what"]) for row in checked.changes.records()}
    assert (("SalesReceipt", "amount") if side == "books" else ("slip", "new")) in named
    again = signoff.current(folder, "2026-01")
    assert again is not None
    assert again.status == "withdrawn"
    with pytest.raises(SettingsError, match="withdrawn since"):
        signoff.close(world.con, folder, **SIGNED)


def test_reopening_needs_a_reason_and_makes_a_new_version(world: World, folder: Path, tmp_path: Path) -> None:
    """Version 1 stays as it was; version 2 names in its pack what changed, and is made again the same."""
    first = signoff.close(world.con, folder, **SIGNED)
    with pytest.raises(SettingsError, match="is closed already"):
        signoff.close(world.con, folder, **SIGNED)
    with pytest.raises(SettingsError, match="one of them is empty"):
        signoff.reopen(folder, "2026-01", reason="", by="Ann", now=NOW)
    signoff.reopen(folder, "2026-01", reason="a late credit slip", by="Ann", now=NOW)
    world.refund(2, 1001, net="1.00", tax="0.20")
    world.run()
    second = signoff.close(world.con, folder, **SIGNED)
    assert [(one.version, one.status) for one in signoff.versions(folder, "2026-01")] == [
        (1, "reopened"),
        (2, "approved"),
    ]
    assert second.folder != first.folder
    with duckdb.connect(str(second.folder / "snapshot.duckdb"), read_only=True) as con:
        kept = snapshot.changes_kept(con)
    assert kept is not None
    assert ("slip", "2", "new") in {
        (row["object_type"], row["object_id"], row["what"]) for row in kept.records()
    }
    assert "Changes since the last approval" in (second.folder / "pack" / "report.html").read_text()
    assert signoff.regenerate(second, tmp_path / "again") == []
    assert signoff.closed_periods(folder) == ["2026-01"]


def test_a_period_ends_on_its_last_day() -> None:
    """Leap years and December included."""
    assert [last_day(period) for period in ("2026-02", "2028-02", "2026-12")] == [
        date(2026, 2, 28),
        date(2028, 2, 29),
        date(2026, 12, 31),
    ]
