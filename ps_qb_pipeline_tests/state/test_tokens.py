"""The token store: sealed, bound to its connection, renewed by one holder at a time."""

from __future__ import annotations

import base64
import os
import stat
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text, update

from ps_qb_pipeline.errors import SettingsError, StorageError
from ps_qb_pipeline.state.database import open_control_plane, writing
from ps_qb_pipeline.state.tables import tokens as table
from ps_qb_pipeline.state.tokens import KEY_VARIABLE, TokenStore, load_key, reopen

KEY = bytes(range(32))
VALUES = {
    "realm": "123",
    "refresh_token": "RT-canary-refresh",
    "access_token": "AT-canary-access",
    "access_expires_at": datetime(2026, 11, 23, 9, tzinfo=UTC),
    "refresh_expires_at": datetime(2027, 3, 1, tzinfo=UTC),
    "hard_expires_at": None,
    "refusals": 0,
    "refused_at": None,
}


class SteppingClock:
    boot = "test"

    def __init__(self):
        self.at = datetime(2026, 11, 23, 8, tzinfo=UTC)

    def now(self):
        return self.at

    def monotonic(self):
        return self.at.timestamp()

    def sleep(self, seconds):
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'control.sqlite'}"


@pytest.fixture
def store(url):
    return TokenStore(open_control_plane(url), KEY)


def test_what_is_saved_is_loaded(store):
    """Every value comes back, moments aware."""
    assert store.load("boutique") is None
    assert store.save("boutique", VALUES)
    assert store.load("boutique") == VALUES
    store.save("boutique", {**VALUES, "access_token": "second"})
    assert store.load("boutique")["access_token"] == "second"
    store.delete("boutique")
    assert store.load("boutique") is None


def test_no_token_stands_in_the_database_file(store, tmp_path):
    """The file and its write-ahead log hold neither token."""
    store.save("boutique", VALUES)
    for path in tmp_path.iterdir():
        assert b"canary" not in path.read_bytes()


def test_a_row_moved_to_another_connection_or_company_does_not_open(store):
    """The seal is bound to connection and realm, so rows cannot be exchanged."""
    store.save("boutique", VALUES)
    with writing(store._engine) as tx:
        tx.execute(text("insert into tokens select 'other', realm, sealed, access_expires_at, refresh_expires_at, "
                        "hard_expires_at, refusals, refused_at, updated_at from tokens"))  # fmt: skip
    with pytest.raises(StorageError, match="cannot be opened"):
        store.load("other")
    with writing(store._engine) as tx:
        tx.execute(update(table).where(table.c.connection == "boutique").values(realm="999"))
    with pytest.raises(StorageError, match="cannot be opened"):
        store.load("boutique")


def test_another_key_opens_nothing(store):
    """A lost key means a new consent, and the message says so without a token in it."""
    store.save("boutique", VALUES)
    with pytest.raises(StorageError, match="psqb connect") as caught:
        TokenStore(store._engine, bytes(32)).load("boutique")
    assert "canary" not in str(caught.value)


def test_only_one_may_renew_at_a_time(store):
    """The second one learns that somebody else is at it; afterwards the way is free."""
    with store.lease("boutique", 60) as first, store.lease("boutique", 60) as second:
        assert first is not None
        assert second is None
        assert store.leased("boutique")
    assert not store.leased("boutique")
    with store.lease("boutique", 60) as third:
        assert third is not None


def test_tokens_of_an_older_refresh_never_overwrite_newer_ones(store):
    """A process that was stopped during a refresh does not overwrite its successor's tokens."""
    store.save("boutique", {**VALUES, "refresh_token": "old"})
    assert store.save("boutique", {**VALUES, "refresh_token": "newer"}, instead_of="old")
    assert not store.save("boutique", {**VALUES, "refresh_token": "late"}, instead_of="old")
    assert store.load("boutique")["refresh_token"] == "newer"


def test_a_token_that_replaced_the_stored_one_is_kept_whoever_has_the_lease(url):
    """A lease that ran out during the call must not cost the only token that Intuit still knows."""
    clock = SteppingClock()
    store = TokenStore(open_control_plane(url), KEY, clock=clock)
    store.save("boutique", {**VALUES, "refresh_token": "old"})
    with store.lease("boutique", 60):
        clock.sleep(61)
        with store.lease("boutique", 60) as other:
            assert other is not None
            assert store.save("boutique", {**VALUES, "refresh_token": "new"}, instead_of="old")
    assert store.load("boutique")["refresh_token"] == "new"


def test_another_process_can_open_the_store_by_its_address(store):
    """The address holds everything that is needed, and only a store on disk has one."""
    store.save("boutique", VALUES)
    address = store.address
    assert address["factory"] == "ps_qb_pipeline.state.tokens:reopen"
    assert reopen(**address["arguments"]).load("boutique") == VALUES
    assert TokenStore(open_control_plane("sqlite://"), KEY).address is None


def test_no_lease_without_a_writable_store(tmp_path):
    """A control plane that cannot be written fails before a refresh token is used up."""
    path = tmp_path / "control.sqlite"
    engine = open_control_plane(f"sqlite:///{path}")
    engine.dispose()
    readonly = open_readonly(path)
    with pytest.raises(StorageError), TokenStore(readonly, KEY).lease("boutique", 60):
        pytest.fail("entered")


def open_readonly(path):
    from sqlalchemy import create_engine

    return create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")


def test_a_key_file_is_made_once_for_this_user_alone(tmp_path):
    """Two callers get the same key; nobody else may read it."""
    path = tmp_path / "keys" / "tokens.key"
    key = load_key(path, {})
    assert len(key) == 32
    assert load_key(path, {}) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["tokens.key"]


def test_a_key_file_that_others_may_read_is_refused(tmp_path):
    """A key for all to read is none."""
    path = tmp_path / "tokens.key"
    load_key(path, {})
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        load_key(path, {})


def test_the_environment_may_hold_the_key(tmp_path):
    """The variable goes before the file; what is no key is refused with the rule."""
    said = base64.b64encode(KEY).decode()
    assert load_key(tmp_path / "none", {KEY_VARIABLE: said}) == KEY
    for wrong in ("short", base64.b64encode(b"x" * 31).decode(), "not base64!"):
        with pytest.raises(SettingsError, match="32 random bytes"):
            load_key(tmp_path / "none", {KEY_VARIABLE: wrong})
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_written_says_what_to_set(tmp_path):
    """The message names the variable that helps."""
    if os.geteuid() == 0:
        blocked = tmp_path / "file"
        blocked.write_text("in the way")
        path = blocked / "tokens.key"
    else:
        tmp_path.chmod(0o500)
        path = tmp_path / "keys" / "tokens.key"
    with pytest.raises(StorageError, match="PSQB_TOKEN_KEY"):
        load_key(path, {})
