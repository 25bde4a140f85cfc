"""Leases: the right to do something alone, for a while.

What lives here: taking, prolonging and giving back a named lease, with a fencing epoch that grows at
every change of hands. What does not: what the lease protects. Whoever writes on the strength of a
lease must check the epoch in the same transaction (``holds``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from ps_qb_pipeline.errors import Busy
from ps_qb_pipeline.state.clock import Clock
from ps_qb_pipeline.state.database import writing
from ps_qb_pipeline.state.owners import is_gone
from ps_qb_pipeline.state.tables import leases


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was held when this was made. ``deadline`` is on the holder's monotonic clock."""

    name: str
    owner: str
    epoch: int
    deadline: float


def acquire(engine: Engine, name: str, *, owner: str, seconds: float, clock: Clock) -> Lease | None:
    """The lease, or None while another owner holds it. An owner may take its own lease again."""
    lease_ends = _ends(clock, seconds)
    with writing(engine) as tx:
        row = tx.execute(select(leases).where(leases.c.name == name)).mappings().first()
        if row is None:
            tx.execute(insert(leases).values(name=name, owner=owner, epoch=1, **lease_ends))
            return Lease(name, owner, 1, lease_ends["timer_until"])
        mine = row["owner"] in {owner, ""}
        if not mine and not _over(row, seconds, clock) and not is_gone(row["owner"]):
            return None
        epoch = int(row["epoch"]) + 1
        values = {"owner": owner, "epoch": epoch, **lease_ends}
        tx.execute(update(leases).where(leases.c.name == name).values(**values))
    return Lease(name, owner, epoch, lease_ends["timer_until"])


def _ends(clock: Clock, seconds: float) -> dict[str, Any]:
    return {
        "until": clock.now() + timedelta(seconds=seconds),
        "boot": clock.boot,
        "timer_until": clock.monotonic() + seconds,
    }


def _over(row: Mapping[Any, Any], seconds: float, clock: Clock) -> bool:
    """Whether a lease has ended: by the timer where it was stamped in this boot, else by the wall clock."""
    if row["boot"] == clock.boot:
        return bool(row["timer_until"] <= clock.monotonic())
    left: float = (row["until"] - clock.now()).total_seconds()
    # So much is never left of a lease: the clock that stamped it ran ahead.
    return left <= 0 or left > max(4 * seconds, _FAR)


_FAR = 900.0


def renew(engine: Engine, lease: Lease, *, seconds: float, clock: Clock) -> Lease | None:
    """The same lease with a later end, or None when it has changed hands meanwhile."""
    lease_ends = _ends(clock, seconds)
    mine = (leases.c.name == lease.name) & (leases.c.owner == lease.owner) & (leases.c.epoch == lease.epoch)
    with writing(engine) as tx:
        if not tx.execute(update(leases).where(mine).values(**lease_ends)).rowcount:
            return None
    return Lease(lease.name, lease.owner, lease.epoch, lease_ends["timer_until"])


def release(engine: Engine, lease: Lease, *, clock: Clock) -> None:
    """Give the lease back; harmless when it has changed hands."""
    mine = (leases.c.name == lease.name) & (leases.c.owner == lease.owner) & (leases.c.epoch == lease.epoch)
    with writing(engine) as tx:
        tx.execute(update(leases).where(mine).values(owner="", until=clock.now()))


def holds(tx: Connection, lease: Lease) -> bool:
    """Whether the lease is still this one, as seen by the caller's transaction."""
    row = tx.execute(select(leases.c.owner, leases.c.epoch).where(leases.c.name == lease.name)).first()
    return row is not None and row.owner == lease.owner and row.epoch == lease.epoch


@contextmanager
def held(engine: Engine, name: str, *, owner: str, seconds: float, clock: Clock) -> Iterator[Lease]:
    """The lease for the length of a block. Raises Busy while another owner holds it."""
    lease = acquire(engine, name, owner=owner, seconds=seconds, clock=clock)
    if lease is None:
        raise Busy(
            f"another process holds {name}; try again when it has finished, or in {seconds:.0f} seconds"
        )
    try:
        yield lease
    finally:
        release(engine, lease, clock=clock)
