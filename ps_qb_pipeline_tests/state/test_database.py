"""The control plane opens, migrates, and fails in words that a person can act on."""

from __future__ import annotations

import os
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, inspect, select, text

from ps_qb_pipeline.errors import Busy, StorageError
from ps_qb_pipeline.state.audit import GENESIS, AuditEntry, append, seal, verify
from ps_qb_pipeline.state.cursors import Cursors
from ps_qb_pipeline.state.database import connect, open_control_plane, reading, writing
from ps_qb_pipeline.state.migrations import upgrade
from ps_qb_pipeline.state.tables import audit, cursors, metadata


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_the_migrations_build_exactly_the_tables_that_the_code_uses() -> None:
    """Autogenerate finds nothing to do on a freshly migrated database."""
    engine = open_control_plane("sqlite://")
    with reading(engine) as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    assert differences == []


def test_indexes_that_guard_uniqueness_are_in_the_migration_word_for_word() -> None:
    """Partial indexes, which autogenerate does not compare, are the same in metadata and migration."""
    migrated, made = open_control_plane("sqlite://"), connect("sqlite://")
    with writing(made) as tx:
        metadata.create_all(tx)
    query = text("select name, sql from sqlite_master where type = 'index' and sql is not null order by name")
    with reading(migrated) as one, reading(made) as two:
        assert one.execute(query).all() == two.execute(query).all()


def test_opening_twice_changes_nothing(tmp_path: Path) -> None:
    """A control plane that is up to date is left alone, with what it holds."""
    path = tmp_path / "deep" / "control.sqlite"
    Cursors(open_control_plane(url(path))).commit("boutique", "orders", {"id": 7})
    assert Cursors(open_control_plane(url(path))).get("boutique", "orders") == {"id": 7}
    assert path.stat().st_mode & 0o077 == 0


def test_a_chain_that_an_older_release_began_goes_on(tmp_path: Path) -> None:
    """The upgrade notes where the audit chain ends, so that it verifies, is continued, and is missed when cut."""
    engine = connect(url(tmp_path / "c.sqlite"))
    first = AuditEntry(datetime(2026, 3, 2, tzinfo=UTC), "boutique", "pipeline", "create", "sale 1")
    with writing(engine) as tx:
        command.upgrade(upgrade.config(tx), "0006")
        values = {name: getattr(first, name) for name in AuditEntry.__dataclass_fields__}
        tx.execute(insert(audit).values(**values, seq=1, previous=GENESIS, hash=seal(1, first, GENESIS)))
        tx.execute(text("insert into alerts values ('boutique', 'QBO-2210', '2026-03-02', null)"))
    engine = open_control_plane(url(tmp_path / "c.sqlite"))
    with writing(engine) as tx:
        assert verify(tx).good
        append(tx, first)
        assert verify(tx).entries == 2
        tx.execute(text("delete from audit"))
        assert verify(tx).broken_at == 2
    assert not inspect(engine).has_table("alerts")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """An older release does not touch what a newer one wrote."""
    engine = open_control_plane(url(tmp_path / "c.sqlite"))
    with writing(engine) as tx:
        tx.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(StorageError, match="newer release"):
        open_control_plane(url(tmp_path / "c.sqlite"))


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    """A file where a folder should be gives a StorageError that names the way out."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="PSQB_HOME"):
        open_control_plane(url(tmp_path / "file" / "control.sqlite"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_file_is_said_at_once(tmp_path: Path) -> None:
    """Nothing may be sent that cannot be recorded, so a read-only control plane is no control plane."""
    path = tmp_path / "c.sqlite"
    open_control_plane(url(path)).dispose()
    path.chmod(0o400)
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="read-only"), writing(connect(url(path))) as tx:
        tx.execute(text("delete from cursors"))


def test_a_database_held_by_another_process_is_busy_after_the_timeout(tmp_path: Path) -> None:
    """A lock that outlasts the busy timeout is Busy, which may be tried again."""
    path = tmp_path / "c.sqlite"
    open_control_plane(url(path)).dispose()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy), writing(connect(url(path), busy_timeout=0.05)):
        pass
    holder.close()


def test_writers_wait_for_each_other_and_lose_nothing(tmp_path: Path) -> None:
    """Read-then-write transactions of many threads all count: none fails, none overwrites another."""
    engine = open_control_plane(url(tmp_path / "c.sqlite"))
    with writing(engine) as tx:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        tx.execute(insert(cursors).values(connection="c", resource="r", value="0", updated_at=now))

    def count() -> None:
        for _ in range(20):
            with writing(engine) as tx:
                value = int(tx.execute(select(cursors.c.value)).scalar_one())
                tx.execute(cursors.update().values(value=str(value + 1)))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as tx:
        assert tx.execute(select(cursors.c.value)).scalar_one() == "80"


def test_a_failed_block_leaves_nothing_behind() -> None:
    """An exception inside a write transaction undoes all of it."""
    engine = open_control_plane("sqlite://")
    with pytest.raises(ZeroDivisionError), writing(engine) as tx:  # noqa: PT012
        now = datetime(2026, 1, 1, tzinfo=UTC)
        tx.execute(insert(cursors).values(connection="c", resource="r", value="{}", updated_at=now))
        raise ZeroDivisionError
    assert Cursors(engine).get("c", "r") is None


def test_naive_times_are_refused() -> None:
    """The control plane keeps moments; a wall time without a zone is an error."""
    engine = open_control_plane("sqlite://")
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(StorageError, match="no time zone"), writing(engine) as tx:
        tx.execute(insert(cursors).values(connection="c", resource="r", value="{}", updated_at=naive))


def test_every_version_file_is_numbered() -> None:
    """The versions have no gap, so that the newest is known without importing them."""
    versions = upgrade.revisions()
    assert versions == [f"{number:04d}" for number in range(1, len(versions) + 1)]
