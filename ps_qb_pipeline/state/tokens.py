"""QuickBooks tokens, encrypted, one row a connection.

What lives here: the key (a file of this user's alone, or the environment), sealing with AES-GCM
bound to connection and company, and the lease under which one process at a time renews. What does
not: talking to Intuit (``quickbooks.oauth``, whose ``TokenStore`` this is).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, delete, insert, select, update

from ps_qb_pipeline.errors import SettingsError, StorageError
from ps_qb_pipeline.state import leases
from ps_qb_pipeline.state.clock import Clock, SystemClock
from ps_qb_pipeline.state.database import connect, reading, writing
from ps_qb_pipeline.state.tables import leases as leases_table
from ps_qb_pipeline.state.tables import tokens as table

KEY_VARIABLE = "PSQB_TOKEN_KEY"
KEY_BYTES = 32
_NONCE_BYTES = 12
_SECRET = ("refresh_token", "access_token")
_MOMENTS = ("access_expires_at", "refresh_expires_at", "hard_expires_at", "refused_at")


class TokenStore:
    """Keeps tokens as mappings: the secrets sealed, realm and expiry dates readable beside them.

    Values: ``realm``, ``refresh_token``, ``access_token``, ``refusals`` and moments (aware datetimes
    or None) ``access_expires_at``, ``refresh_expires_at``, ``hard_expires_at``, ``refused_at``.
    """

    def __init__(self, engine: Engine, key: bytes, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._key = key
        self._cipher = AESGCM(key)
        self._clock = clock or SystemClock()

    @property
    def address(self) -> dict[str, Any] | None:
        """How another process opens this store; None for a database in memory. Holds the key: never log it."""
        url = self._engine.url
        if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
            return None
        arguments = {
            "url": url.render_as_string(hide_password=False),
            "key": base64.b64encode(self._key).decode(),
        }
        return {"factory": f"{__name__}:reopen", "arguments": arguments}

    def load(self, connection: str) -> dict[str, Any] | None:
        """The stored tokens, or None before the first consent.

        Raises StorageError when they cannot be opened with this key.
        """
        with reading(self._engine) as tx:
            row = tx.execute(select(table).where(table.c.connection == connection)).mappings().first()
        if row is None:
            return None
        opened = self._open(connection, row["realm"], row["sealed"])
        return {
            "realm": row["realm"],
            "refusals": row["refusals"],
            **opened,
            **{name: row[name] for name in _MOMENTS},
        }

    def save(self, connection: str, values: Mapping[str, Any], *, instead_of: str | None = None) -> bool:
        """Replace the tokens; they are on disk when this returns True.

        With ``instead_of``, the refresh token that these came of, False says that another one is stored
        by now, and nothing was written. Whoever has the lease: a token that Intuit gave is never
        dropped while the one it replaced is still the stored one.
        """
        row = {
            "realm": values["realm"],
            "sealed": self._seal(connection, values["realm"], values),
            "refusals": values.get("refusals", 0),
            "updated_at": self._clock.now(),
            **{name: values.get(name) for name in _MOMENTS},
        }
        with writing(self._engine) as tx:
            if instead_of is not None and self._stored(tx, connection) not in {None, instead_of}:
                return False
            _put(tx, connection, row)
        return True

    def _stored(self, tx: Connection, connection: str) -> str | None:
        row = tx.execute(select(table).where(table.c.connection == connection)).mappings().first()
        if row is None:
            return None
        return str(self._open(connection, row["realm"], row["sealed"])["refresh_token"])

    @contextmanager
    def lease(self, connection: str, seconds: float) -> Iterator[leases.Lease | None]:
        """Enter as the only process that may renew, or with None when another one is at it.

        Taking it is a durable write. So a store that cannot be written (StorageError) shows before a
        token is used up that could not be kept.
        """
        description = self.hand_over(connection, seconds)
        if description is None:
            yield None
            return
        with self.take_over(description, seconds) as lease:
            yield lease

    def hand_over(self, connection: str, seconds: float) -> dict[str, Any] | None:
        """Take the lease for another process: its description (JSON), or None when somebody has it."""
        owner = f"{os.getpid()}-{secrets.token_hex(8)}"
        lease = leases.acquire(
            self._engine, f"tokens:{connection}", owner=owner, seconds=seconds, clock=self._clock
        )
        return None if lease is None else asdict(lease)

    @contextmanager
    def take_over(self, description: Mapping[str, Any], seconds: float) -> Iterator[leases.Lease | None]:
        """Enter with the lease that was handed over, prolonged; with None when it has changed hands."""
        lease = leases.renew(self._engine, leases.Lease(**description), seconds=seconds, clock=self._clock)
        try:
            yield lease
        finally:
            if lease is not None:
                leases.release(self._engine, lease, clock=self._clock)

    def leased(self, connection: str) -> bool:
        """Whether somebody is renewing right now."""
        query = select(leases_table.c.owner, leases_table.c.until).where(
            leases_table.c.name == f"tokens:{connection}"
        )
        with reading(self._engine) as tx:
            row = tx.execute(query).first()
        return row is not None and bool(row.owner) and row.until > self._clock.now()

    def delete(self, connection: str) -> None:
        """Forget the tokens."""
        with writing(self._engine) as tx:
            tx.execute(delete(table).where(table.c.connection == connection))

    def _seal(self, connection: str, realm: str, values: Mapping[str, Any]) -> bytes:
        plain = json.dumps({name: values.get(name, "") for name in _SECRET}).encode()
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, _bound_to(connection, realm))

    def _open(self, connection: str, realm: str, sealed: bytes) -> dict[str, Any]:
        try:
            plain = self._cipher.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound_to(connection, realm)
            )
        except InvalidTag:
            raise StorageError(
                f"the QuickBooks tokens of {connection} cannot be opened: another key is in use, or the row was "
                f"altered or moved; restore the key ({KEY_VARIABLE} or the key file), or run psqb connect"
            ) from None
        opened: dict[str, Any] = json.loads(plain)
        return opened


def reopen(url: str, key: str) -> TokenStore:
    """The store that ``address`` describes, in another process."""
    return TokenStore(connect(url), base64.b64decode(key))


def _put(tx: Connection, connection: str, row: Mapping[str, Any]) -> None:
    if not tx.execute(update(table).where(table.c.connection == connection).values(**row)).rowcount:
        tx.execute(insert(table).values(connection=connection, **row))


def _bound_to(connection: str, realm: str) -> bytes:
    # A row copied to another connection or company does not open there.
    return f"psqb-tokens|{connection}|{realm}".encode()


def load_key(path: Path, environment: Mapping[str, str] | None = None) -> bytes:
    """The 32 bytes that seal the tokens: from the environment, else from the file, made if absent.

    Raises SettingsError when the variable is no key, or when others may read the file.
    """
    said = (os.environ if environment is None else environment).get(KEY_VARIABLE, "")
    if said:
        return _decoded(said, KEY_VARIABLE)
    try:
        return _read_key(path)
    except FileNotFoundError:
        return _new_key(path)
    except OSError as error:
        raise StorageError(
            f"the key file {path} cannot be read ({error.strerror}); set {KEY_VARIABLE} or PSQB_HOME"
        ) from error


def _read_key(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise SettingsError(
                f"others may read it (mode {mode:o}); its mode must be 600: chmod 600 {path}", where=str(path)
            )
        return _decoded(file.read().decode(errors="replace"), str(path))


def _new_key(path: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(base64.b64encode(key) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            # Linked, not renamed: whoever came first keeps its key, and both use it.
            os.link(made, path)
        except FileExistsError:
            return _read_key(path)
        finally:
            made.unlink()
    except OSError as error:
        raise StorageError(
            f"the key file {path} cannot be created ({error.strerror}); set {KEY_VARIABLE} or PSQB_HOME"
        ) from error
    return key


def _decoded(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(f"must hold {KEY_BYTES} random bytes in base64", where=where)
    return key
