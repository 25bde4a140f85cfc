"""What was backed up comes back as it was, with posting off; nothing else is overwritten or believed."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from ps_qb_pipeline.errors import IntegrityError, StorageError
from ps_qb_pipeline.orchestration.backup import backup, restore
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.settings import PACKAGE_DIR, Settings, connection_named
from ps_qb_pipeline.state.audit import verify
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import reading

TOKENS = {"realm": "4620816365000000001", "refresh_token": "kept", "access_token": "a"}


def _runtime(home: Path) -> Runtime:
    settings = Settings(home=home, defs_dir=PACKAGE_DIR / "defs")
    return Runtime(settings, connection_named(settings, "boutique"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The backup of an installation that posts, made while its control plane is open."""
    runtime = _runtime(tmp_path / "home")
    runtime.armed()
    Connections(runtime.engine).arm("boutique", by="Ann")
    runtime.tokens.save("boutique", TOKENS)
    with runtime.warehouse("fill") as con:
        con.execute("create table kept as select 42 as answer")
    signed = runtime.settings.data_dir("boutique") / "signoff" / "2026-10" / "v1"
    signed.mkdir(parents=True)
    (signed / "manifest.json").write_text("{}")
    backup(runtime.settings, tmp_path / "copy")
    runtime.engine.dispose()
    return tmp_path / "copy"


def test_everything_that_cannot_be_made_again_comes_back(copy: Path, tmp_path: Path) -> None:
    """Tokens that open, an audit chain that holds, the warehouse, the signed periods; and posting is off."""
    runtime = _runtime(tmp_path / "again")
    done = restore(runtime.settings, copy, by="Bob")
    assert done.disarmed == ["boutique"]
    stored = runtime.tokens.load("boutique")
    assert stored is not None
    assert stored["refresh_token"] == "kept"
    with reading(runtime.engine) as tx:
        verdict = verify(tx)
    assert verdict.good
    assert verdict.entries == 3, "registered, switched on by Ann, switched off by the restoring"
    assert not runtime.armed()
    with duckdb.connect(str(runtime.settings.warehouse_path("boutique")), read_only=True) as con:
        assert con.execute("select answer from kept").fetchall() == [(42,)]
    assert (runtime.settings.data_dir("boutique") / "signoff" / "2026-10" / "v1" / "manifest.json").exists()
    runtime.engine.dispose()


def test_a_backup_is_for_its_owner_only(copy: Path) -> None:
    """It holds the key that opens the tokens."""
    assert copy.stat().st_mode & 0o077 == 0
    assert (copy / "keys" / "tokens.key").stat().st_mode & 0o077 == 0
    assert "audit_head" in json.loads((copy / "manifest.json").read_text())


@pytest.mark.parametrize("harm", ["changed", "missing", "added"])
def test_a_backup_that_was_touched_is_refused(copy: Path, tmp_path: Path, harm: str) -> None:
    """Nothing is put back then."""
    path = copy / "data" / "boutique" / "signoff" / "2026-10" / "v1" / "manifest.json"
    if harm == "changed":
        path.write_text('{"approver": "somebody else"}')
    elif harm == "missing":
        path.unlink()
    else:
        path.with_name("more.json").write_text("{}")
    with pytest.raises(IntegrityError, match="is not the file that was backed up"):
        restore(Settings(home=tmp_path / "again"), copy, by="Bob")
    assert not (tmp_path / "again").exists()


def test_neither_a_home_nor_a_backup_is_overwritten(copy: Path, tmp_path: Path) -> None:
    """Both refuse a place that is in use."""
    with pytest.raises(StorageError, match="holds an installation"):
        restore(Settings(home=tmp_path / "home"), copy, by="Bob")
    with pytest.raises(StorageError, match="is not empty"):
        backup(Settings(home=tmp_path / "home"), copy)
