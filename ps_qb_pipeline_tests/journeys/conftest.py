"""A place of its own for every journey: home, connections on free ports, sandbox processes."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from ps_qb_pipeline.cli import sandboxes
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.settings import PACKAGE_DIR, Settings, connection_named


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Place:
    """A home and connections that differ from the shipped ones in URLs only."""

    root: Path

    @property
    def settings(self) -> Settings:
        return Settings(home=self.root / "home", defs_dir=self.root / "defs")

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PSQB_HOME": str(self.root / "home"),
            "PSQB_DEFS_DIR": str(self.root / "defs"),
            "DAGSTER_HOME": str(self.root / "dagster"),
        }

    def connect(self, name: str, **changes: Any) -> None:
        """Copy the shipped connection ``name`` with free ports in its URLs."""
        body = yaml.safe_load((PACKAGE_DIR / "defs" / name / "defs.yaml").read_text())
        shop, books = free_port(), free_port()
        body["shop"]["url"] = f"http://127.0.0.1:{shop}"
        body["books"]["base_url"] = f"http://127.0.0.1:{books}"
        body["books"]["discovery_url"] = f"http://127.0.0.1:{books}/.well-known/openid_sandbox_configuration/"
        body |= changes
        folder = self.root / "defs" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "defs.yaml").write_text(yaml.safe_dump(body))

    def change(self, name: str, accounting: dict[str, Any]) -> None:
        """Change accounting settings of a connection that is here already."""
        file = self.root / "defs" / name / "defs.yaml"
        body = yaml.safe_load(file.read_text())
        body["accounting"] |= accounting
        file.write_text(yaml.safe_dump(body))

    def psqb(self, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a command as a person would, from a directory that holds nothing."""
        command = [sys.executable, "-m", "ps_qb_pipeline.cli.main", *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=self.environment,
            cwd=self.root,
        )

    def runtime(self, name: str) -> Runtime:
        return Runtime(self.settings, connection_named(self.settings, name))

    @contextmanager
    def sandbox(self, name: str) -> Iterator[dict[str, str]]:
        sandboxes.put_credentials((name,))
        with sandboxes.running(self.settings, name) as ready:
            yield ready

    def control(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        """Tell the sandbox on ``url`` to do something."""
        answer = httpx.put(f"{url}/_control", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place for one module of journeys; the process's own Dagster home is there too."""
    made = Place(tmp_path_factory.mktemp("place"))
    before = {name: os.environ.get(name) for name in ("PSQB_HOME", "PSQB_DEFS_DIR", "DAGSTER_HOME")}
    os.environ.update({name: made.environment[name] for name in before})
    yield made
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
