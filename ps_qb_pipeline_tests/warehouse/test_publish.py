"""The readers' copy: whole at every moment, and without personal payloads."""

from __future__ import annotations

import duckdb
import pytest

from ps_qb_pipeline.errors import StorageError
from ps_qb_pipeline.warehouse.publish import publish


@pytest.fixture
def con(tmp_path):
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute(
            "create schema raw; create schema recon; create schema marts; create schema ledger"
        )
        connection.execute("create table raw.prestashop_customers as select 'Ada' as firstname")
        connection.execute("create table recon.classes as select range as id from range(3)")
        connection.execute("create view marts.profit as select id * 2 as amount from recon.classes")
        connection.execute("create table ledger.pending_lines as select 1 as id")
        connection.execute("create table ledger.customers as select 'Ada' as display_name")
        connection.execute(
            "create table ledger.documents as select 'key' as key, '{\"name\": \"Ada\"}' as body"
        )
        yield connection


def test_the_copy_holds_figures_and_neither_raw_rows_nor_half_made_tables(con, tmp_path):
    """Ledger, recon and marts are published, views as tables; raw rows, half-made tables and cards are not."""
    rows = publish(con, tmp_path / "published" / "shop.duckdb")
    assert rows == {"recon.classes": 3, "marts.profit": 3, "ledger.documents": 1}
    with duckdb.connect(str(tmp_path / "published" / "shop.duckdb"), read_only=True) as copy:
        assert copy.execute("select sum(amount) from marts.profit").fetchone() == (6,)
        assert copy.execute("select * from ledger.documents").fetchall() == [("key",)]
        schemas = {
            row[0] for row in copy.execute("select table_schema from information_schema.tables").fetchall()
        }
    assert schemas == {"recon", "marts", "ledger"}


def test_a_reader_keeps_the_old_copy_until_it_opens_the_new_one(con, tmp_path):
    """Publishing never disturbs who is reading."""
    target = tmp_path / "shop.duckdb"
    publish(con, target)
    reader = duckdb.connect(str(target), read_only=True)
    con.execute("insert into recon.classes values (99)")
    publish(con, target)
    assert reader.execute("select count(*) from recon.classes").fetchone() == (3,)
    reader.close()
    with duckdb.connect(str(target), read_only=True) as again:
        assert again.execute("select count(*) from recon.classes").fetchone() == (4,)


def test_a_failed_publication_leaves_the_old_copy_and_no_rubbish(con, tmp_path):
    """When the copy cannot be made, readers keep what they have."""
    target = tmp_path / "out" / "shop.duckdb"
    publish(con, target)
    con.execute("create view recon.broken as select * from recon.classes")
    con.execute("alter table recon.classes rename to renamed")
    with pytest.raises(duckdb.Error):
        publish(con, target)
    assert [path.name for path in target.parent.iterdir()] == ["shop.duckdb"]
    assert publish_works_again(con, target)


def publish_works_again(con, target):
    con.execute("drop view recon.broken; drop view marts.profit")
    return publish(con, target) == {"recon.renamed": 3, "ledger.documents": 1}


def test_a_folder_that_cannot_be_written_is_named(con, tmp_path):
    """The message names the file and the way out."""
    (tmp_path / "blocker").write_text("")
    with pytest.raises(StorageError, match=r"shop\.duckdb cannot be written"):
        publish(con, tmp_path / "blocker" / "shop.duckdb")
