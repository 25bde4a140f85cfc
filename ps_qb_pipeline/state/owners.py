"""Who holds a lease or a claim, and whether that process still lives.

What lives here: the name that a process signs with. On the machine where it was made it can be told
whether the process is gone, so that a killed run does not block the next one until its lease ends.
What does not: leases themselves (``leases``, ``intents``).
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_PROC = Path("/proc")


def this_process() -> str:
    """A name for this process that no other has, now or after a restart."""
    return f"{_place()}/{os.getpid()}/{_started(os.getpid()) or 0}/{secrets.token_hex(4)}"


def is_gone(owner: str) -> bool:
    """Whether the process that signed so has certainly ended. False whenever that cannot be known."""
    parts = owner.rsplit("/", 3)
    if len(parts) != 4 or not parts[0] or parts[0] != _place() or not parts[1].isdecimal():
        return False
    return _started(int(parts[1])) != int(parts[2])


def _place() -> str:
    """This boot of this machine and this namespace of process numbers; empty where unknown."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """When a process began, in ticks since the boot; None when there is no such process."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    # A zombie is dead: only its parent has not looked yet.
    return None if fields[0] in {"Z", "X"} else int(fields[19])
