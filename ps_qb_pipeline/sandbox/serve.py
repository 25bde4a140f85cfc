"""Serving the shop and the books on two loopback ports, in one process.

What lives here: sockets, the one JSON line that says where to find what, signals, a certificate if TLS is
wanted. What does not: either application.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import uvicorn
from starlette.applications import Starlette

from ps_qb_pipeline.sandbox.books.app import create_app as create_books
from ps_qb_pipeline.sandbox.books.service import BooksOptions

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What ``psqb sandbox`` may be told. Port 0 is any free port; ``state_dir`` None keeps all in memory."""

    shop: str = "boutique"
    shop_dir: Path | None = None
    orders: int = 300
    retail_data: Path | None = None
    shop_port: int = 0
    shop_key: str = "SANDBOXKEY0000000000000000000001"
    company: str = "ie"
    books_port: int = 0
    realm: str = "9130000000000001"
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105 - opens nothing but the sandbox
    refresh_token: str = "sandbox-refresh-token"  # noqa: S105
    plain_http: bool = True
    real_limits: bool = False
    state_dir: Path | None = None


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs several of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(options: SandboxOptions, *, out: TextIO | None = None) -> None:
    """Serve both until SIGTERM or SIGINT; print one line of JSON to ``out`` (stdout) when both answer.

    Raises OSError if a port is taken, ValueError for an unknown shop or company.
    """
    with contextlib.ExitStack() as stack:
        shop_socket = stack.enter_context(_listen(options.shop_port))
        books_socket = stack.enter_context(_listen(options.books_port))
        scheme = "http" if options.plain_http else "https"
        shop_url = f"{scheme}://{HOST}:{shop_socket.getsockname()[1]}"
        books_url = f"{scheme}://{HOST}:{books_socket.getsockname()[1]}"
        shop = _shop(options, shop_url)
        books = create_books(_books_options(options))
        line = {
            "shop_url": shop_url,
            "books_url": books_url,
            "discovery_url": f"{books_url}/.well-known/openid_sandbox_configuration/",
            "token_url": f"{books_url}/oauth2/v1/tokens/bearer",
            "realm": options.realm,
        }
        certificate = None
        if not options.plain_http:
            folder = options.state_dir or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="psqb-tls-"))
            )
            certificate = make_certificate(folder)
            line["certificate"] = str(certificate[0])
        asyncio.run(_run([(shop, shop_socket), (books, books_socket)], line, certificate, out or sys.stdout))


def _listen(port: int) -> socket.socket:
    # The protocol is named because asyncio turns Nagle's delay off only for sockets that say they are TCP.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    bound.set_inheritable(False)
    return bound


def _shop(options: SandboxOptions, url: str) -> Starlette:
    from ps_qb_pipeline.sandbox.shop.app import create_app as create_shop

    return create_shop(
        options.shop,  # type: ignore[arg-type]  # an unknown name is refused there
        key=options.shop_key,
        state_path=None if options.state_dir is None else options.state_dir / "shop.sqlite",
        shop_dir=options.shop_dir,
        retail_orders=options.orders,
        retail_data=options.retail_data,
        base_url=f"{url}/",
    )


def _books_options(options: SandboxOptions) -> BooksOptions:
    return BooksOptions(
        company=options.company,
        realm=options.realm,
        client_id=options.client_id,
        client_secret=options.client_secret,
        refresh_token=options.refresh_token,
        path=None if options.state_dir is None else options.state_dir / f"books-{options.realm}.sqlite",
        real_limits=options.real_limits,
    )


async def _run(
    apps: list[tuple[Starlette, socket.socket]],
    line: dict[str, str],
    certificate: tuple[Path, Path] | None,
    out: TextIO,
) -> None:
    servers = [_server(app, certificate) for app, _ in apps]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, _stop, servers)
    tasks = [
        asyncio.create_task(server.serve(sockets=[bound]))
        for server, (_, bound) in zip(servers, apps, strict=True)
    ]
    while not all(server.started for server in servers):
        if any(task.done() for task in tasks):
            _stop(servers)
            break
        await asyncio.sleep(0.01)
    else:
        print(json.dumps(line), file=out, flush=True)
    await asyncio.gather(*tasks)


def _server(app: Starlette, certificate: tuple[Path, Path] | None) -> _Server:
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,
        ssl_certfile=None if certificate is None else str(certificate[0]),
        ssl_keyfile=None if certificate is None else str(certificate[1]),
    )
    return _Server(config)


def _stop(servers: list[_Server]) -> None:
    for server in servers:
        server.should_exit = True


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for the loopback address and its key; return both paths.

    A pair that is there already is used again, so that clients may go on trusting it.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    folder.mkdir(parents=True, exist_ok=True)
    certificate, key_file = folder / "sandbox-cert.pem", folder / "sandbox-key.pem"
    if certificate.exists() and key_file.exists():
        return certificate, key_file
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=825))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, key_file
