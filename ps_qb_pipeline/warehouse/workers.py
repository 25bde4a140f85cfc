"""Translation in further processes, for as many chunks as a first load has.

What lives here: starting such a process, handing it chunks, and its own loop. What does not: what is
done with a chunk (``translation``). The process is this module run by the same interpreter, because
the standard pools run the main program again in every child, which not every main program bears.
"""

from __future__ import annotations

import gc
import os
import pickle
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any, Self

from ps_qb_pipeline.errors import PipelineError
from ps_qb_pipeline.warehouse.shop_rows import Chunk
from ps_qb_pipeline.warehouse.translation import Translator, Written, decode, encode

_LENGTH = struct.Struct("<Q")


class Worker:
    """One process that translates. Used by one thread at a time."""

    def __init__(self, translator: Translator) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(  # noqa: S603 -- this interpreter, this module
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._send(pickle.dumps(translator))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()

    def __call__(self, chunk: Chunk) -> Written:
        """The ledger rows of one chunk. Raises ``PipelineError`` when the process is gone."""
        self._send(pickle.dumps({name: encode(table) for name, table in chunk.items()}))
        answer = _receive(_stream(self._process.stdout))
        if answer is None:
            code = self._process.wait()
            raise PipelineError(
                f"a translating process ended with code {code}; run it again with processes=1"
            )
        orders, tables = pickle.loads(answer)  # noqa: S301 -- our own process wrote it
        return Written(orders, {name: decode(data) for name, data in tables.items()})

    def _send(self, message: bytes) -> None:
        try:
            _write(_stream(self._process.stdin), message)
        except BrokenPipeError as error:
            code = self._process.wait()
            raise PipelineError(f"a translating process ended with code {code}") from error


class Workers:
    """Several workers, and the order of their results."""

    def __init__(self, translator: Translator, count: int) -> None:
        self._count = count
        self._stack = ExitStack()
        self._free: SimpleQueue[Worker] = SimpleQueue()
        for _ in range(count):
            self._free.put(self._stack.enter_context(Worker(translator)))
        self._threads = self._stack.enter_context(ThreadPoolExecutor(count))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def __call__(self, chunks: Iterator[Chunk]) -> Iterator[Written]:
        """Results in the order of the chunks; only a few chunks are on their way, so that memory stays flat."""
        waiting: deque[Future[Written]] = deque()
        for chunk in chunks:
            waiting.append(self._threads.submit(self._work, chunk))
            if len(waiting) > self._count + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _work(self, chunk: Chunk) -> Written:
        worker = self._free.get()
        try:
            return worker(chunk)
        finally:
            self._free.put(worker)


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _write(stream: IO[bytes], message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes | None:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    message = stream.read(length)
    return message if len(message) == length else None


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    first = _receive(requests)
    if first is None:
        return
    gc.disable()  # values without circles by the million: looking for circles costs a sixth of the time
    translator: Translator = pickle.loads(first)  # noqa: S301 -- the process that started us wrote it
    while (message := _receive(requests)) is not None:
        chunk: dict[str, Any] = pickle.loads(message)  # noqa: S301
        written = translator({name: decode(data) for name, data in chunk.items()})
        tables = {name: encode(table) for name, table in written.tables.items()}
        _write(answers, pickle.dumps((written.orders, tables)))


if __name__ == "__main__":
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not get among the answers
    _serve(sys.stdin.buffer, answers)
