"""Backup and restore of an installation, while it runs.

What lives here: which files cannot be made again, copying them consistently, and putting them back with
posting switched off. What does not: Dagster's history and reports, which are conveniences. A control plane
in PostgreSQL is backed up by its own tools.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ps_qb_pipeline.errors import IntegrityError, StorageError
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.reports.snapshot import file_hash
from ps_qb_pipeline.settings import Settings, connections
from ps_qb_pipeline.state.audit import verify
from ps_qb_pipeline.state.connections import Connections
from ps_qb_pipeline.state.database import open_control_plane, reading

MANIFEST = "manifest.json"
CONTROL = "control.sqlite"
WITH_JOURNALS = (CONTROL, f"{CONTROL}-wal", f"{CONTROL}-shm")


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: how many files, and the connections whose posting is off now."""

    files: int
    made_at: str
    disarmed: list[str]


def backup(settings: Settings, target: Path) -> dict[str, Any]:
    """Copy what cannot be made again into the new folder ``target``; gives its manifest.

    Control plane (intents, tokens, audit chain), the key that opens the tokens, warehouses, signed periods
    and connections. The copy holds secrets in sealed form and the key beside them: keep it as such.
    """
    if target.exists() and any(target.iterdir()):
        raise StorageError(f"{target} is not empty; a backup is a new folder")
    try:
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(0o700)
        home = settings.home.absolute()
        head = _control_plane(settings, target)
        if (home / "keys").is_dir():
            shutil.copytree(home / "keys", target / "keys")
        shutil.copytree(settings.defs_dir, target / "defs", ignore=shutil.ignore_patterns("__pycache__"))
        for name, connection in connections(settings).items():
            _connection(Runtime(settings, connection), target / "data" / name)
    except OSError as error:
        raise StorageError(f"the backup in {target} failed: {error.strerror}") from error
    manifest = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": _version(),
        "audit_head": head,
        "files": _hashes(target),
    }
    (target / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _control_plane(settings: Settings, target: Path) -> str:
    engine = open_control_plane(settings.control_plane_url)
    with reading(engine) as tx:
        head = verify(tx).head
    engine.dispose()
    path = settings.home.absolute() / CONTROL
    if not settings.state_url and path.exists():
        # SQLite's own copying: consistent while others write.
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target / CONTROL)) as copy:
            source.backup(copy)
    return head


def _connection(runtime: Runtime, folder: Path) -> None:
    source = runtime.settings.data_dir(runtime.name)
    if not source.is_dir():
        return
    folder.mkdir(parents=True)
    if (source / "signoff").is_dir():
        shutil.copytree(source / "signoff", folder / "signoff")
    path = runtime.settings.warehouse_path(runtime.name)
    if path.exists():
        with runtime.warehouse("back up the warehouse") as con:
            con.execute("checkpoint")
            shutil.copyfile(path, folder / path.name)


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): file_hash(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }


def _version() -> str:
    try:
        return version("ps-qb-pipeline")
    except PackageNotFoundError:
        return "source"


def restore(settings: Settings, source: Path, *, by: str) -> Restored:
    """Put a backup back into an empty home, and switch posting off everywhere until a person has looked.

    Raises IntegrityError when a file is not the one that was backed up, StorageError when the home is in use.
    Connections are not overwritten: their files lie in ``source/defs``.
    """
    manifest = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
    if changed := sorted(manifest["files"].items() ^ _hashes(source).items()):
        raise IntegrityError(f"{changed[0][0]} in {source} is not the file that was backed up")
    home = settings.home.absolute()
    if any((home / name).exists() for name in (*WITH_JOURNALS, "keys", "data")):
        raise StorageError(f"{home} holds an installation; move it away first, or set another PSQB_HOME")
    home.mkdir(parents=True, exist_ok=True)
    for name in ("keys", "data"):
        if (source / name).is_dir():
            shutil.copytree(source / name, home / name)
    if (source / CONTROL).exists():
        shutil.copyfile(source / CONTROL, home / CONTROL)
        (home / CONTROL).chmod(0o600)
    engine = open_control_plane(settings.control_plane_url)
    known = Connections(engine)
    armed = [name for name in known.names() if (state := known.get(name)) is not None and state.armed]
    for name in armed:
        known.disarm(name, by=by, reason=f"restored from the backup of {manifest['made_at']}")
    engine.dispose()
    return Restored(len(manifest["files"]), manifest["made_at"], armed)
