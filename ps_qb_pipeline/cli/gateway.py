"""``psqb gateway``: the web service that takes webhooks in.

What lives here: its options. What does not: the service (``gateway``).
"""

from __future__ import annotations

import click

from ps_qb_pipeline.cli.options import clear_errors
from ps_qb_pipeline.settings import Settings, connections

PORT = 8790
"""Beside the ports of the sandbox."""


@click.command(context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="The address to listen on; loopback unless told otherwise.")
@click.option("--port", default=PORT, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option(
    "--rate",
    default=100.0,
    type=click.FloatRange(0),
    help="Requests a second and address; twice as many at once. 0 is no limit.",
)
@clear_errors
def gateway(host: str, port: int, rate: float) -> None:
    """Take in webhooks of shops and of QuickBooks; prints one JSON line when it listens."""
    from ps_qb_pipeline.gateway.serve import serve

    settings = Settings()
    serve(settings, connections(settings).values(), host=host, port=port, rate=rate, say=click.echo)
