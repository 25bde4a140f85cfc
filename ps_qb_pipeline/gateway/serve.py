"""Serving the gateway.

What lives here: socket, server settings, the line that says where it listens. What does not: the
application.
"""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Callable, Iterable

import uvicorn

from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.gateway.app import create_app
from ps_qb_pipeline.gateway.doors import Doors
from ps_qb_pipeline.settings import Connection, Settings
from ps_qb_pipeline.state.database import open_control_plane

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"


class _Server(uvicorn.Server):
    """A server that says on one line of JSON when it listens."""

    say: Callable[[str], None]

    async def startup(self, sockets: list | None = None) -> None:  # type: ignore[type-arg]
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            self.say(json.dumps({"gateway_url": f"http://{self.config.host}:{port}"}))


def serve(
    settings: Settings,
    connections: Iterable[Connection],
    *,
    host: str = LOOPBACK,
    port: int,
    rate: float,
    say: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT; ``say`` is told one line of JSON when it listens.

    Raises SettingsError when the port is taken or a secret is missing.
    """
    doors = Doors.of(connections)
    if not doors.shops and not doors.realms:
        logger.warning("no connection names a webhook secret; every webhook will be refused")
    if host != LOOPBACK:
        logger.warning("listening on %s without TLS: put a proxy that speaks HTTPS in front", host)
    engine = open_control_plane(settings.control_plane_url)
    server = _Server(
        uvicorn.Config(
            create_app(doors, engine, rate=rate),
            host=host,
            port=port,
            access_log=False,
            log_level="warning",
            server_header=False,
            date_header=False,
            timeout_keep_alive=30,
            limit_concurrency=2000,
            backlog=2048,
            timeout_graceful_shutdown=5,
        )
    )
    server.say = say
    # What was imported stays for ever: looking through it at every collection would stop answers for 0.1 s.
    gc.collect()
    gc.freeze()
    try:
        server.run()
    except SystemExit as error:
        raise SettingsError(
            f"the gateway cannot listen on {host}:{port}; is another one running? Choose another --port"
        ) from error
    finally:
        engine.dispose()
