"""What a figure was measured on: processor, cores, memory, versions, and the memory of processes.

What lives here: reading ``/proc``. What does not: measurements.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import duckdb

MEGABYTE = 1024
"""Kilobytes, the unit of /proc."""


def describe() -> dict[str, Any]:
    """Processor model, cores, memory in gigabytes, system and versions."""
    processor = _field(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine()
    total = _field(Path("/proc/meminfo"), "MemTotal")
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gigabytes": round(int(total.split()[0]) / MEGABYTE / MEGABYTE) if total else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
        "load": round(os.getloadavg()[0], 1),
    }


def peak_megabytes(pid: int | str = "self") -> int:
    """The most memory that a process has held so far; 0 where the system does not say."""
    # Not getrusage: what it tells of a child includes what its parent held before exec.
    peak = _field(Path(f"/proc/{pid}/status"), "VmHWM")
    return round(int(peak.split()[0]) / MEGABYTE) if peak else 0


def held_megabytes(pid: int) -> int:
    """The memory that a process holds now; 0 once it has ended."""
    held = _field(Path(f"/proc/{pid}/status"), "VmRSS")
    return round(int(held.split()[0]) / MEGABYTE) if held else 0


def children(pid: int) -> list[int]:
    """The processes below ``pid``, at any depth."""
    try:
        told = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    direct = [int(number) for line in told for number in line.split()]
    return [one for child in direct for one in (child, *children(child))]


def _field(path: Path, name: str) -> str:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
    return next(found, "")
