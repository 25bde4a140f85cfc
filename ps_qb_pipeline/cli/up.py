"""``psqb up``: web server, daemon, gateway and sandbox as one thing to start and stop.

What lives here: starting them in order, showing where they are, stopping all when one ends. What does
not: what they do. A production installation runs them as services instead (docs/operations.md).
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import click

from ps_qb_pipeline.cli import sandboxes
from ps_qb_pipeline.cli.processes import ProcessFailed, start, stop
from ps_qb_pipeline.orchestration.instance import initialise
from ps_qb_pipeline.settings import Settings
from ps_qb_pipeline.state.database import open_control_plane

READY_SECONDS = 120
PSQB = (sys.executable, "-m", "ps_qb_pipeline.cli.main")


def run(settings: Settings, *, port: int, gateway_port: int, with_sandbox: bool) -> int:
    """Serve until interrupted; the exit code is 0 then, 1 when a process ended by itself."""
    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.ExitStack() as stack:
        stack.enter_context(sandboxes.alone(settings))
        _refuse_taken(port, "--port")
        _refuse_taken(gateway_port, "--gateway-port")
        home = initialise(settings)
        open_control_plane(settings.control_plane_url).dispose()
        gateway_url = f"http://127.0.0.1:{gateway_port}"
        if with_sandbox:
            names = sandboxes.present(settings)
            sandboxes.put_credentials(names)
            for name in names:
                ready = stack.enter_context(sandboxes.running(settings, name))
                sandboxes.send_webhooks(name, ready, gateway_url)
                click.echo(f"sandbox {name}: shop {ready['shop_url']}, books {ready['books_url']}")
        logs = settings.home.absolute() / "logs"
        environment = {"DAGSTER_HOME": str(home), "PSQB_HOME": str(settings.home.absolute())}
        tools = Path(sys.executable).parent
        workspace = ["-w", str(home / "workspace.yaml")]
        services = {
            "web server": [str(tools / "dagster-webserver"), *workspace, "-h", "127.0.0.1", "-p", str(port)],
            "daemon": [str(tools / "dagster-daemon"), "run", *workspace],
            "gateway": [*PSQB, "gateway", "--port", str(gateway_port)],
        }
        processes = {}
        for name, command in services.items():
            process = start(command, env=environment, log=logs / f"{name.replace(' ', '-')}.log")
            stack.callback(stop, process)
            processes[name] = process
        _wait_for(port, processes["web server"])
        click.echo(
            f"Gateway: {gateway_url}/webhooks/prestashop/<connection>, {gateway_url}/webhooks/quickbooks"
        )
        click.echo(f"Web UI: http://127.0.0.1:{port}  (logs in {logs}; Ctrl-C stops everything)")
        return _watch(processes)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _refuse_taken(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ProcessFailed(
                f"port {port} is taken; choose another: psqb up {option} {port + 1}"
            ) from error


def _wait_for(port: int, process: Any) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.3)
    raise ProcessFailed("the web server did not start; see its log in the logs folder")


def _watch(processes: dict[str, Any]) -> int:
    try:
        while True:
            for name, process in processes.items():
                if process.poll() is not None:
                    click.echo(f"The {name} ended with {process.returncode}; see its log.", err=True)
                    return 1
            time.sleep(0.5)
    except KeyboardInterrupt:
        click.echo("Stopping.")
        return 0
