"""Progress of long work: a bar on a terminal, lines elsewhere.

What lives here: the form. What does not: the work, which only says what it has done so far.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ps_qb_pipeline.orchestration.runtime import Progress

LINE_EVERY = 5.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def watching(title: str) -> Iterator[Progress]:
    """A progress for the work in the block, under ``title``; writes to stderr only."""
    if not sys.stderr.isatty():
        yield _lines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(), TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=None)
        sums: dict[str, int] = {}

        def show(what: str, done: int, of: int | None) -> None:
            sums[what] = done if of is not None else sums.get(what, 0) + done
            bars.update(task, description=f"{title}: {what}", completed=sums[what], total=of)

        yield show


def _lines(title: str) -> Progress:
    last = time.monotonic()
    sums: dict[str, int] = {}

    def show(what: str, done: int, of: int | None) -> None:
        nonlocal last
        sums[what] = done if of is not None else sums.get(what, 0) + done
        if time.monotonic() - last >= LINE_EVERY:
            last = time.monotonic()
            click.echo(f"{title}: {what} {sums[what]}" + (f" of {of}" if of is not None else ""), err=True)

    return show
