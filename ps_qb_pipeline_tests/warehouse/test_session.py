"""The session: one opener at a time, closed whatever happens, and a name for whoever is in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import duckdb
import pytest

from ps_qb_pipeline.errors import Busy, StorageError
from ps_qb_pipeline.warehouse.session import holder, session

HOLD = textwrap.dedent("""
    import sys
    from pathlib import Path
    from ps_qb_pipeline.warehouse.session import session
    with session(Path(sys.argv[1]), owner="order_to_cash", reason="staging", read_only=sys.argv[2] == "read"):
        print("open", flush=True)
        sys.stdin.read()
""")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shop" / "warehouse.duckdb"


def other_process(path, mode="write"):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "open\n"
    return process


def test_a_session_creates_the_file_and_keeps_what_was_written(path):
    """What one session writes, the next one reads; the folder is made on the way."""
    with session(path, owner="test", reason="writing") as con:
        con.execute("create table kept as select 1 as id")
    with session(path, owner="test", reason="reading", read_only=True) as con:
        assert con.execute("select id from kept").fetchall() == [(1,)]


def test_the_lock_file_names_owner_and_reason_while_the_session_lasts(path):
    """Whoever looks at the lock file learns who is inside and why; afterwards it is empty."""
    with session(path, owner="nightly", reason="publishing"):
        found = holder(path)
        assert (found["owner"], found["reason"], found["pid"]) == ("nightly", "publishing", str(os.getpid()))
    assert holder(path) is None


def test_a_second_process_waits_and_then_learns_who_is_in_the_way(path):
    """A lease that does not come free in time is Busy, retryable, and names the holder."""
    process = other_process(path)
    try:
        with (
            pytest.raises(Busy, match=r"in use by order_to_cash \(staging\)") as caught,
            session(path, owner="test", reason="late", timeout=0.2),
        ):
            pass
    finally:
        process.communicate("")
    assert caught.value.retryable
    assert caught.value.facts["holder"]["reason"] == "staging"


def test_a_waiting_session_goes_on_when_the_holder_dies(path):
    """The lease of a process that was killed is free at once: nobody has to clear it."""
    process = other_process(path)
    process.kill()
    process.wait()
    with session(path, owner="test", reason="after the crash", timeout=5) as con:
        assert con.execute("select 1").fetchone() == (1,)
    process.stdin.close()
    process.stdout.close()


def test_readers_share_the_lease(path):
    """Two processes may read at once; a writer may not join them."""
    with session(path, owner="test", reason="making the file"):
        pass
    process = other_process(path, "read")
    try:
        with session(path, owner="test", reason="reading too", read_only=True, timeout=1) as con:
            assert con.execute("select 1").fetchone() == (1,)
        with pytest.raises(Busy), session(path, owner="test", reason="writing", timeout=0.2):
            pass
    finally:
        process.communicate("")


def test_a_failing_body_still_closes_the_file_and_frees_the_lease(path):
    """An error inside the session passes through, and the file is free for the next one."""
    with pytest.raises(ZeroDivisionError), session(path, owner="test", reason="failing") as con:
        raise ZeroDivisionError
    with pytest.raises(duckdb.ConnectionException):
        con.execute("select 1")
    with session(path, owner="test", reason="next", timeout=0.2):
        pass


def test_reading_what_was_never_made_says_what_to_do(path):
    """A warehouse that does not exist is not created by a reader."""
    with (
        pytest.raises(StorageError, match="does not exist yet; run the pipeline once"),
        session(path, owner="test", reason="reading", read_only=True),
    ):
        pass
    assert not path.exists()


def test_a_file_that_is_no_warehouse_is_named(path):
    """Another program's file is refused by name, not by a stack of DuckDB's."""
    path.parent.mkdir(parents=True)
    path.write_text("not a database, but long enough to be looked at as one" * 200)
    with (
        pytest.raises(StorageError, match=r"warehouse\.duckdb"),
        session(path, owner="test", reason="opening"),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """Where no lock file can be made, the message names the file and the way out."""
    blocker = tmp_path / "data"
    blocker.write_text("a file where a folder should be")
    with (
        pytest.raises(StorageError, match=r"cannot be written.*PSQB_HOME"),
        session(blocker / "warehouse.duckdb", owner="test", reason="writing"),
    ):
        pass


def test_a_program_without_a_lease_is_busy_and_not_a_broken_file(path):
    """Someone who opened the file by hand is in the way, which passes; nothing is broken."""
    with session(path, owner="test", reason="making the file"):
        pass
    script = "import duckdb,sys; c=duckdb.connect(sys.argv[1]); print('open',flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(Busy, match="takes no lease"), session(path, owner="test", reason="writing"):
            pass
    finally:
        process.communicate("")


def test_times_are_shown_in_one_zone_wherever_the_machine_stands(path):
    """A stored instant reads the same on every machine."""
    with session(path, owner="test", reason="times") as con:
        shown = con.execute("select (timestamptz '2026-07-01 12:00:00+02')::varchar").fetchone()[0]
    assert shown == "2026-07-01 10:00:00+00"
    assert json.dumps(shown)
