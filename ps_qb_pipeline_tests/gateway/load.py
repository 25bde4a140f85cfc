"""The gateway as a process under load: signed webhooks at a steady pace, and hostile bodies in any number.

``python -m ps_qb_pipeline_tests.gateway.load [--rate 1000] [--seconds 60] [--hostile 100000]``

What lives here: the process, the senders, and what is compared afterwards. What does not: what single
requests get (``test_gateway``). The last line is JSON; the exit code is 1 when something was
acknowledged and lost, taken in that should not be, or when the process ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import select

from ps_qb_pipeline.cli.processes import first_json_line, start, stop
from ps_qb_pipeline.settings import PACKAGE_DIR
from ps_qb_pipeline.state.database import open_control_plane, reading
from ps_qb_pipeline.state.tables import inbox
from ps_qb_pipeline_tests.bench import machine
from ps_qb_pipeline_tests.gateway.hostile import hostile
from ps_qb_pipeline_tests.gateway.world import SECRETS, VERIFIERS, cloud_events, shop_signature

CONNECTIONS = 64
"""Open connections of the senders."""
ATTACKERS = 256
"""Open connections of hostile senders; many, for each that stops in the middle is waited for."""


@dataclass
class Server:
    """A gateway process with two connections, and the file that it writes."""

    process: subprocess.Popen[str]
    port: int
    database: str
    started: float = field(default_factory=time.monotonic)

    def taken(self) -> set[str]:
        """The event ids in the inbox."""
        engine = open_control_plane(self.database)
        with reading(engine) as tx:
            found = set(tx.execute(select(inbox.c.event_id)).scalars())
        engine.dispose()
        return found

    @property
    def megabytes(self) -> int:
        return machine.held_megabytes(self.process.pid)


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    """``psqb gateway`` over an empty home, without a limit of its rate."""
    for name, realm in (("boutique", "100"), ("atelier", "200")):
        body = yaml.safe_load((PACKAGE_DIR / "defs" / "boutique" / "defs.yaml").read_text())
        body["shop"]["webhook_secret_env"] = f"{name.upper()}_SECRET"
        body["books"] |= {"realm": realm, "webhook_verifier_env": "APP_VERIFIER"}
        (root / "defs" / name).mkdir(parents=True)
        (root / "defs" / name / "defs.yaml").write_text(yaml.safe_dump(body))
    environment = {
        "PSQB_HOME": str(root / "home"), "PSQB_DEFS_DIR": str(root / "defs"),
        "APP_VERIFIER": VERIFIERS["app one"].decode(),
        **{f"{name.upper()}_SECRET": secret.decode() for name, secret in SECRETS.items()},
    }  # fmt: skip
    command = [sys.executable, "-m", "ps_qb_pipeline.cli.main", "gateway", "--port", "0", "--rate", "0"]
    process = start(command, env=environment, log=None)
    try:
        told = first_json_line(process, seconds=60, what="the gateway")
        port = int(told["gateway_url"].rpartition(":")[2])
        yield Server(process, port, f"sqlite:///{root / 'home' / 'control.sqlite'}")
    finally:
        stop(process)


class Line:
    """One connection that is kept open; a request at a time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def send(
        self, path: str, headers: dict[str, str], body: bytes, *, length: int | None = None
    ) -> int:
        """The status of the answer; 0 when the connection ended instead."""
        try:
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            assert self.reader is not None
            told = {
                "host": "gateway",
                "content-length": str(len(body) if length is None else length),
                **headers,
            }
            head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
            self.writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
            answer = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)
            lower = answer.lower()
            size = int(lower.partition(b"content-length:")[2].split(b"\r\n")[0])
            await self.reader.readexactly(size)
            if b"connection: close" in lower or length is not None:
                self.close()
            return int(answer.split(b" ", 2)[1])
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            self.close()
            return 0

    def close(self) -> None:
        """Forget the connection."""
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


async def steady(port: int, *, rate: float, seconds: float, note: Any) -> None:
    """``rate`` signed webhooks a second, each at its moment; an answer's time counts from that moment on."""
    lines: asyncio.Queue[Line] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        lines.put_nowait(Line(port))
    began = time.perf_counter()

    async def one(number: int) -> None:
        moment = began + number / rate
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        delivery = f"load-{number}"
        body = json.dumps(
            {"resource": "orders", "id": number + 1, "event": "paid", "timestamp": int(time.time()), "delivery": delivery}
        ).encode()  # fmt: skip
        line = await lines.get()
        status = await line.send("/webhooks/prestashop/boutique", shop_signature(body), body)
        lines.put_nowait(line)
        note(delivery, status, time.perf_counter() - moment)

    pending: set[asyncio.Task[None]] = set()
    for number in range(int(rate * seconds)):
        if number % 50 == 0:
            await asyncio.sleep(max(0.0, began + number / rate - 0.2 - time.perf_counter()))
        task = asyncio.create_task(one(number))
        pending.add(task)
        task.add_done_callback(pending.discard)
    await asyncio.gather(*pending)
    while not lines.empty():
        lines.get_nowait().close()


def load(server: Server, *, rate: float, seconds: float) -> dict[str, Any]:
    """Send, then compare what was acknowledged with what is on disk."""
    took: list[float] = []
    acknowledged: set[str] = set()
    statuses: Counter[int] = Counter()
    memory = [server.megabytes]

    def note(delivery: str, status: int, waited: float) -> None:
        took.append(waited)
        statuses[status] += 1
        if status == 200:
            acknowledged.add(f"boutique/{delivery}")
        if len(took) % max(1, int(rate)) == 0:
            memory.append(server.megabytes)

    before = _taken(server.process.pid)
    began = time.perf_counter()
    asyncio.run(steady(server.port, rate=rate, seconds=seconds, note=note))
    elapsed = time.perf_counter() - began
    cuts = statistics.quantiles(took, n=1000, method="inclusive")
    third = memory[len(memory) // 3 :]
    return {
        "sent": len(took), "seconds": round(elapsed, 1), "a_second": round(len(took) / elapsed),
        "statuses": dict(statuses), "acknowledged": len(acknowledged),
        "acknowledged_and_lost": len(acknowledged - server.taken()),
        "milliseconds": {"median": _ms(cuts[499]), "p95": _ms(cuts[949]), "p99": _ms(cuts[989]), "max": _ms(max(took))},
        "processor_share": round((_taken(server.process.pid) - before) / elapsed, 2),
        "megabytes": {"at_first": memory[0], "after_a_third": third[0], "at_the_end": memory[-1]},
    }  # fmt: skip


def attack(server: Server, *, count: int, seed: int) -> dict[str, Any]:
    """Hostile requests of every kind; afterwards the gateway serves on and holds nothing of theirs."""
    before = server.taken()
    allowed: set[str] = set()
    kinds: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()

    async def all_of_them() -> None:
        lines: asyncio.Queue[Line] = asyncio.Queue()
        for _ in range(ATTACKERS):
            lines.put_nowait(Line(server.port))
        gate = asyncio.Semaphore(ATTACKERS)

        async def one(number: int) -> None:
            async with gate:
                made = hostile(random.Random(f"{seed}:{number}"), time.time())
                line = await lines.get()
                status = await line.send(made.path, made.headers, made.body, length=made.length)
                lines.put_nowait(line)
                kinds[made.kind] += 1
                outcomes[f"{made.kind}: {status}"] += 1
                allowed.update(made.allowed)

        for start_at in range(0, count, 1000):
            await asyncio.gather(*(one(number) for number in range(start_at, min(count, start_at + 1000))))

    began = time.monotonic()
    asyncio.run(all_of_them())
    taken = server.taken() - before
    body = cloud_events(("after", "100", "qbo.item.updated.v1"))
    from ps_qb_pipeline_tests.gateway.world import books_signature

    async def afterwards() -> int:
        return await Line(server.port).send("/webhooks/quickbooks", books_signature(body), body)

    return {
        "requests": sum(kinds.values()), "seconds": round(time.monotonic() - began, 1), "kinds": dict(sorted(kinds.items())),
        "accepted_that_should_not_be": len(taken - allowed), "of_mixed_bodies_taken_rightly": len(taken & allowed),
        "mixed_and_lost": len(allowed - taken), "outcomes": dict(sorted(outcomes.items())),
        "ended": server.process.poll() is not None, "serves_on": asyncio.run(afterwards()) == 200, "megabytes": server.megabytes,
    }  # fmt: skip


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _taken(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Both, one after the other, on one gateway."""
    parser = argparse.ArgumentParser(prog="python -m ps_qb_pipeline_tests.gateway.load", description=__doc__)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--hostile", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    about = {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "machine": machine.describe()}
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        loaded = load(server, rate=chosen.rate, seconds=chosen.seconds)
        print(json.dumps(loaded), flush=True)
        attacked = attack(server, count=chosen.hostile, seed=chosen.seed) if chosen.hostile else {}
    print(json.dumps({**about, "load": loaded, "hostile": attacked}))
    wrong = (
        loaded["acknowledged_and_lost"]
        or attacked.get("accepted_that_should_not_be")
        or attacked.get("ended")
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
