"""Processes beside a command: what they say after their first line must not stop them."""

from __future__ import annotations

import sys

from ps_qb_pipeline.cli.processes import first_json_line, start, stop

_TALKS_ON = """
import sys
print('{"ready": true}', flush=True)
for stream in (sys.stdout, sys.stderr):
    stream.write("a word, " * 100_000)
    stream.flush()
"""


def test_a_process_may_go_on_talking() -> None:
    """More than a pipe holds, and nobody who asks for it: the process comes to its own end."""
    process = start([sys.executable, "-c", _TALKS_ON], env={}, log=None)
    try:
        assert first_json_line(process, seconds=30, what="the talker") == {"ready": True}
        assert process.wait(30) == 0
    finally:
        stop(process)
