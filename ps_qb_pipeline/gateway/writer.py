"""The one writer of the inbox: whoever waits at the same moment shares a commit.

What lives here: the thread that gathers and commits, and the hand-over to the event loop. What does
not: the rows (``state.inbox``). With a full synchronisation a commit costs a write to the disk; a
group costs one, however many it holds, so that the answers keep up with any number of senders.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.state.inbox import Arrival, Inbox

logger = logging.getLogger(__name__)

GROUP_ROWS = 1000
GATHER_SECONDS = 0.004
"""The pause after a commit, in which senders gather for the next; a lone sender never meets it."""
MOST_WAITING = 20_000
"""Rows that may wait for a commit; beyond it senders are told to come back."""


class Full(Exception):
    """More waits for the disk than can be held in memory."""


@dataclass(slots=True)
class _Waiting:
    arrivals: Sequence[Arrival]
    done: asyncio.Future[None]


class Writer:
    """Commits arrivals from one event loop in groups. ``start`` and ``stop`` belong to that loop."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._stopping = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="inbox-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.new = 0
        self.known = 0
        self.commits = 0
        self.failure = ""
        """What the last commit failed with; empty after one that succeeded."""

    def start(self) -> None:
        """Begin to write."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, then end."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether somebody writes, and with success."""
        return self._thread.is_alive() and not self.failure

    async def write(self, arrivals: Sequence[Arrival]) -> None:
        """Return when ``arrivals`` are on disk. Raises Full, and what the commit failed with."""
        if not arrivals:
            return
        assert self._loop is not None
        waiting = _Waiting(arrivals, self._loop.create_future())
        with self._wake:
            if self._stopping or self._rows + len(arrivals) > MOST_WAITING:
                raise Full
            self._waiting.append(waiting)
            self._rows += len(arrivals)
            self._wake.notify()
        await waiting.done

    def _run(self) -> None:
        while group := self._next_group():
            rows = [row for one in group for row in one.arrivals]
            error: PipelineError | None = None
            try:
                new = self._inbox.receive_all(rows)
                self.new += new
                self.known += len(rows) - new
                self.commits += 1
                self.failure = ""
            except PipelineError as failed:
                logger.error("the inbox cannot be written: %s", failed)  # noqa: TRY400 - its message says it all
                error, self.failure = failed, str(failed)
            assert self._loop is not None
            self._loop.call_soon_threadsafe(_resolve, group, error)
            time.sleep(GATHER_SECONDS)

    def _next_group(self) -> list[_Waiting]:
        """What waits now, or the first that comes; empty at the end."""
        with self._wake:
            while not self._waiting and not self._stopping:
                self._wake.wait()
            group: list[_Waiting] = []
            rows = 0
            while self._waiting and (not group or rows + len(self._waiting[0].arrivals) <= GROUP_ROWS):
                one = self._waiting.popleft()
                group.append(one)
                rows += len(one.arrivals)
            self._rows -= rows
            return group


def _resolve(group: Sequence[_Waiting], error: Exception | None) -> None:
    for one in group:
        if one.done.done():
            continue  # its sender has given up; the row is on disk all the same
        if error is None:
            one.done.set_result(None)
        else:
            one.done.set_exception(error)
