"""A whole installation in a folder of its own: sandbox, gateway, daemon, web server, as real processes.

What lives here: setting it up, starting it, stopping it, and what its processes take. What does not:
what is measured with it (``latency``).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from ps_qb_pipeline.cli import sandboxes
from ps_qb_pipeline.cli.processes import start, stop
from ps_qb_pipeline.orchestration.instance import initialise
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.settings import PACKAGE_DIR, Settings, connection_named
from ps_qb_pipeline_tests.bench.machine import children, held_megabytes

NAME = "boutique"
READY_SECONDS = 180
PSQB = (sys.executable, "-m", "ps_qb_pipeline.cli.main")
TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stack:
    """One connection in ``root``; ``webhooks`` says whether shop and books tell of changes by themselves."""

    root: Path
    webhooks: bool = True
    real_limits: bool = True
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    ready: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gateway_port, self.web_port = free_port(), free_port()
        body = yaml.safe_load((PACKAGE_DIR / "defs" / NAME / "defs.yaml").read_text())
        shop, books = free_port(), free_port()
        body["shop"]["url"] = f"http://127.0.0.1:{shop}"
        body["books"]["base_url"] = f"http://127.0.0.1:{books}"
        body["books"]["discovery_url"] = f"http://127.0.0.1:{books}/.well-known/openid_sandbox_configuration/"
        if self.real_limits:
            body["books"].pop("limits")
        folder = self.root / "defs" / NAME
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "defs.yaml").write_text(yaml.safe_dump(body))
        os.environ.update({"PSQB_HOME": str(self.root / "home"), "PSQB_DEFS_DIR": str(self.root / "defs")})
        os.environ["DAGSTER_HOME"] = str(self.root / "home" / "dagster")
        os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
        sandboxes.put_credentials((NAME,))
        if not self.webhooks:
            for variable in ("WEBHOOK_SECRET", "WEBHOOK_VERIFIER"):
                os.environ.pop(f"{NAME.upper()}_{variable}", None)
            body["shop"].pop("webhook_secret_env")
            body["books"].pop("webhook_verifier_env")
            (folder / "defs.yaml").write_text(yaml.safe_dump(body))

    @property
    def settings(self) -> Settings:
        return Settings(home=self.root / "home", defs_dir=self.root / "defs")

    @property
    def runtime(self) -> Runtime:
        return Runtime(self.settings, connection_named(self.settings, NAME))

    def control(self, side: str, body: Any) -> Any:
        """Tell the sandbox's ``shop`` or ``books`` to do something."""
        answer = httpx.put(f"{self.ready[f'{side}_url']}/_control", json=body, timeout=120)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @contextlib.contextmanager
    def sandbox(self, *extra: str) -> Iterator[None]:
        """The sandbox, with Intuit's limits where they are wanted."""
        more = (*extra, "--real-limits") if self.real_limits else extra
        with sandboxes.running(self.settings, NAME, extra=more) as ready:
            self.ready = ready
            yield

    def prepare(self) -> None:
        """Create what the books lack, switch posting on, read and post everything that there is."""
        from ps_qb_pipeline.orchestration import steps
        from ps_qb_pipeline.state.connections import Connections

        runtime = self.runtime
        initialise(self.settings)
        runtime.armed()
        if self.real_limits:
            self.control("books", {"limits": {"on": False}})
        steps.set_up(runtime, create=True)
        Connections(runtime.engine).arm(NAME, by="bench")
        done = subprocess.run(
            [*PSQB, "run", "--connection", NAME, "--json"],
            capture_output=True, text=True, check=False, env=os.environ,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        if self.real_limits:
            self.control("books", {"limits": {"on": True}})

    def slow_down(self, *, shop: float, books: float) -> None:
        """So many seconds for every request to the shop and to QuickBooks' API."""
        self.control("shop", {"fault": {"kind": "latency", "milliseconds": round(shop * 1000)}})
        everything = {"kind": "delay", "seconds": books, "times": -1, "path": "^(?!token)"}
        self.control("books", {"add_fault": everything})

    # -- processes -----------------------------------------------------------------------------

    def commands(self) -> dict[str, list[str]]:
        """The processes of an installation, as ``psqb up`` starts them."""
        tools, home = Path(sys.executable).parent, self.root / "home" / "dagster"
        workspace = ["-w", str(home / "workspace.yaml")]
        return {
            "gateway": [*PSQB, "gateway", "--port", str(self.gateway_port), "--rate", "0"],
            "daemon": [str(tools / "dagster-daemon"), "run", *workspace],
            "web server": [
                str(tools / "dagster-webserver"), *workspace, "-h", "127.0.0.1", "-p", str(self.web_port),
            ],
        }  # fmt: skip

    def start(self, *names: str) -> None:
        """Start these processes (all without any), and wait until they answer."""
        commands = self.commands()
        for name in names or commands:
            log = self.root / "logs" / f"{name.replace(' ', '-')}.log"
            self.processes[name] = start(commands[name], env={}, log=log)
        if "gateway" in (names or commands):
            self._wait_for(self.gateway_port)
        if "web server" in (names or commands):
            self._wait_for(self.web_port)

    def _wait_for(self, port: int) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.2)
        raise TimeoutError(f"nobody listens on port {port}; see {self.root / 'logs'}")

    def tell_gateway(self) -> None:
        """From now on shop and books send webhooks."""
        if self.webhooks:
            sandboxes.send_webhooks(NAME, self.ready, f"http://127.0.0.1:{self.gateway_port}")

    def stop(self) -> None:
        """Stop every process, the newest first."""
        for name in reversed(list(self.processes)):
            stop(self.processes.pop(name))

    def kill(self, name: str) -> None:
        """SIGKILL to one process and to nothing that it started."""
        os.kill(self.processes.pop(name).pid, signal.SIGKILL)

    def processor_seconds(self) -> dict[str, float]:
        """What the processes and all below them have taken of a processor so far."""
        return {name: sum(_taken(pid) for pid in _tree(one.pid)) for name, one in self.processes.items()}

    def megabytes(self) -> dict[str, int]:
        """The memory that the processes and all below them hold."""
        return {
            name: sum(held_megabytes(pid) for pid in _tree(one.pid)) for name, one in self.processes.items()
        }

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.root, ignore_errors=True)


def _tree(pid: int) -> list[int]:
    return [pid, *children(pid)]


def _taken(pid: int) -> float:
    """Seconds of a process and of those of its children that have ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return sum(int(fields[place]) for place in (11, 12, 13, 14)) / TICKS
