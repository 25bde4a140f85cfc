"""The sandbox connections: how each is started, and with which credentials.

What lives here: the arguments of ``psqb sandbox`` for the connections that ship with the project.
What does not: the sandbox. The credentials are the sandbox's own and open nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from ps_qb_pipeline.cli.processes import sandbox
from ps_qb_pipeline.errors import Busy, SettingsError, StorageError
from ps_qb_pipeline.settings import Connection, Settings, connection_named

COMPANY = {"boutique": "ie", "retail": "gb"}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def credentials(name: str) -> dict[str, str]:
    """The environment variables that the ``defs.yaml`` of a sandbox connection names."""
    prefix = name.upper()
    return {
        f"{prefix}_SHOP_KEY": f"SANDBOX{prefix:0<9}KEY0000000000000"[:32].ljust(32, "0"),
        f"{prefix}_CLIENT_ID": f"sandbox-{name}",
        f"{prefix}_CLIENT_SECRET": f"sandbox-{name}-secret",
        f"{prefix}_REFRESH_TOKEN": f"sandbox-{name}-refresh-token",
        f"{prefix}_WEBHOOK_SECRET": f"sandbox-{name}-webhook-secret",
        f"{prefix}_WEBHOOK_VERIFIER": f"sandbox-{name}-verifier-token",
    }


def put_credentials(names: tuple[str, ...]) -> None:
    """Set the sandbox credentials for this process and its children."""
    for name in names:
        os.environ.update(credentials(name))


def present(settings: Settings) -> tuple[str, ...]:
    """The sandbox connections that this installation still has."""
    return tuple(name for name in COMPANY if (settings.defs_dir / name / "defs.yaml").exists())


def send_webhooks(name: str, ready: Mapping[str, str], gateway_url: str) -> None:
    """Have the sandbox of ``name`` tell the gateway of every change, as shop and as QuickBooks."""
    given, prefix = credentials(name), name.upper()
    shop = {"url": f"{gateway_url}/webhooks/prestashop/{name}", "secret": given[f"{prefix}_WEBHOOK_SECRET"]}
    books = {"url": f"{gateway_url}/webhooks/quickbooks", "verifier": given[f"{prefix}_WEBHOOK_VERIFIER"]}
    for side, told in (("shop_url", shop), ("books_url", books)):
        httpx.put(f"{ready[side]}/_control", json={"webhooks": told}, timeout=30).raise_for_status()


def sandbox_connection(settings: Settings, name: str) -> Connection:
    """The connection ``name``, which must point at this machine: a demo never touches a live shop."""
    connection = connection_named(settings, name)
    for address in (connection.shop.url, connection.books.base_url):
        if urlsplit(address).hostname not in LOOPBACK:
            raise SettingsError(
                f"connection {name} points at {address}, which is not the sandbox; "
                f"restore defs/{name}/defs.yaml, or use psqb run for a live connection"
            )
    return connection


@contextlib.contextmanager
def running(settings: Settings, name: str, *, extra: tuple[str, ...] = ()) -> Iterator[dict[str, str]]:
    """The sandbox of the connection ``name`` on the addresses that its ``defs.yaml`` names."""
    connection = sandbox_connection(settings, name)
    given = credentials(name)
    prefix = name.upper()
    arguments = [
        "--shop", name,
        "--shop-port", str(urlsplit(connection.shop.url).port),
        "--shop-key", given[f"{prefix}_SHOP_KEY"],
        "--company", COMPANY[name],
        "--books-port", str(urlsplit(connection.books.base_url).port),
        "--realm", connection.books.realm,
        "--client-id", given[f"{prefix}_CLIENT_ID"],
        "--client-secret", given[f"{prefix}_CLIENT_SECRET"],
        "--refresh-token", given[f"{prefix}_REFRESH_TOKEN"],
        "--state-dir", str(state_dir(settings, name)),
        *extra,
    ]  # fmt: skip
    with sandbox(arguments) as ready:
        yield ready


def state_dir(settings: Settings, name: str) -> Path:
    """Where the sandbox of a connection keeps its state."""
    return settings.home.absolute() / "sandbox" / name


def refuse_taken_ports(connection: Connection) -> None:
    """Raises SettingsError when the sandbox of ``connection`` could not listen where its ``defs.yaml`` says."""
    for address in (connection.shop.url, connection.books.base_url):
        port = urlsplit(address).port
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port or 0))
            except OSError as error:
                raise SettingsError(
                    f"the sandbox of {connection.name} cannot listen on port {port}: {error.strerror}; is another demo, "
                    f"psqb up or psqb sandbox running? Stop it, or change the ports in defs/{connection.name}/defs.yaml"
                ) from error


def reset(settings: Settings) -> None:
    """Forget everything about the sandbox connections; refuses where a real connection lives.

    All of them go together, because they share one control plane.
    """
    _refuse_where_others_live(settings)
    home = settings.home.absolute()
    for path in [
        *(settings.data_dir(name) for name in COMPANY),
        *(state_dir(settings, name) for name in COMPANY),
    ]:
        shutil.rmtree(path, ignore_errors=True)
    for suffix in ("", "-wal", "-shm"):
        (home / f"control.sqlite{suffix}").unlink(missing_ok=True)


def _refuse_where_others_live(settings: Settings) -> None:
    from ps_qb_pipeline.state.connections import Connections
    from ps_qb_pipeline.state.database import open_control_plane

    if settings.state_url:
        raise SettingsError(
            "PSQB_STATE_URL names a shared control plane; the demo must not clear that: unset it"
        )
    if not (settings.home / "control.sqlite").exists():
        return
    engine = open_control_plane(settings.control_plane_url)
    others = sorted(set(Connections(engine).names()) - set(COMPANY))
    engine.dispose()
    if others:
        raise SettingsError(
            f"{settings.home} holds {', '.join(others)}; the demo starts from nothing: "
            f"give it a place of its own, PSQB_HOME=/tmp/psqb-demo psqb demo"
        )


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Keeps two demos from using one home at the same time."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        file = (settings.home / "demo.lock").open("w")
    except OSError as error:
        raise StorageError(
            f"{settings.home} cannot be written ({error.strerror}); choose another PSQB_HOME"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"another demo or psqb up is using {settings.home}; wait for it, stop it, or set another PSQB_HOME"
            ) from None
        yield
