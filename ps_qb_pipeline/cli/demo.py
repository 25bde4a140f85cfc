"""``psqb demo``: the main job on real orders, from nothing to a report that ties out, twice.

What lives here: the order of the story and what is printed. What does not: the job. Everything is
written to the sandbox on this machine; no connection outside it is touched.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ps_qb_pipeline.cli import sandboxes
from ps_qb_pipeline.cli.progress import watching
from ps_qb_pipeline.errors import IntegrityError, PipelineError, StorageError
from ps_qb_pipeline.settings import Settings

BY = "psqb demo"
OURS = ".psqb-demo"
"""Marks a folder as a demo's output, which the next demo may clear."""
TROUBLED = "boutique"
"""The shop whose demo goes on with the trouble story."""


@dataclass(slots=True)
class Chapter:
    """What the demo did with one shop."""

    name: str
    first: dict[str, Any] = field(default_factory=dict)
    second: dict[str, Any] = field(default_factory=dict)
    trouble: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def run(
    settings: Settings, *, shops: tuple[str, ...], orders: int, retail_data: Path | None, out: Path
) -> int:
    """Run the demo and return its exit code: 0 when everything that was promised has happened."""
    began = time.monotonic()
    names = shops or ("boutique", "retail")
    out = out.absolute()
    with sandboxes.alone(settings):
        # Everything that can be refused is, before anything of an earlier demo is cleared.
        for name in names:
            sandboxes.refuse_taken_ports(sandboxes.sandbox_connection(settings, name))
        _clear(out)
        sandboxes.reset(settings)
        sandboxes.put_credentials(names)
        retail = (
            "--orders",
            str(orders),
            *(("--retail-data", str(retail_data.absolute())) if retail_data else ()),
        )
        chapters = [_chapter(settings, name, retail if name == "retail" else (), out) for name in names]
    summary = _summary(chapters, time.monotonic() - began)
    (out / "summary.json").write_text(json.dumps(summary, indent=2, default=str) + "\n")
    _print_end(summary, chapters, out)
    return _exit_code(summary)


def _clear(out: Path) -> None:
    ours = (out / OURS).exists() or (out / "summary.json").exists()
    if out.is_dir() and any(out.iterdir()) and not ours:
        raise StorageError(f"{out} holds other files than a demo's; choose another place with --out")
    try:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        (out / OURS).touch()
    except OSError as error:
        raise StorageError(
            f"{out} cannot be written ({error.strerror}); choose another place with --out"
        ) from error


def _chapter(settings: Settings, name: str, extra: tuple[str, ...], out: Path) -> Chapter:
    from ps_qb_pipeline.orchestration import steps
    from ps_qb_pipeline.orchestration.instance import initialise
    from ps_qb_pipeline.orchestration.runtime import Runtime
    from ps_qb_pipeline.state.connections import Connections

    chapter = Chapter(name)
    began = time.monotonic()
    initialise(settings)
    with sandboxes.running(settings, name, extra=extra) as ready, watching(name) as progress:
        runtime = Runtime(settings, sandboxes.sandbox_connection(settings, name), progress=progress)
        _say(f"{name}: a shop at {ready['shop_url']}, a QuickBooks company at {ready['books_url']}")
        runtime.armed()
        created = steps.set_up(runtime, create=True).steps
        _say(
            f"  {len(created)} accounts, tax codes and items created in QuickBooks, as defs/{name}/defs.yaml names them"
        )
        Connections(runtime.engine).arm(name, by=BY)
        _say(
            f"  posting switched on; orders from before {runtime.connection.go_live} are counted, never posted"
        )
        chapter.first = _job(runtime, "first run")
        chapter.second = _job(runtime, "second run")
        if name == TROUBLED:
            _trouble(runtime, ready["shop_url"], chapter)
        shutil.copytree(Path(chapter.second["html"]).parent, out / name)
    chapter.seconds = time.monotonic() - began
    return chapter


def _trouble(runtime: Any, shop_url: str, chapter: Chapter) -> None:
    from ps_qb_pipeline.cli import trouble

    _say("  trouble, on purpose:")
    told = trouble.tell(runtime, shop_url, chapter.second, lambda words: _job(runtime, words))
    for line in told["story"]:
        _say(f"    - {line}")
    _say(f"  reconciliation named: {_counts(told['exceptions'])}; money in them {told['open_difference']}, "
         f"done {told['injected_money']}")  # fmt: skip
    _say(
        f"  mended without a person: {_counts(told['repaired'])}; left to one: {_counts(told['left_to_a_person'])}"
    )
    chapter.trouble = told


def _counts(codes: dict[str, int]) -> str:
    return ", ".join(f"{count} {code}" for code, count in codes.items()) or "nothing"


def _job(runtime: Any, words: str) -> dict[str, Any]:
    from ps_qb_pipeline.definitions import build_defs
    from ps_qb_pipeline.orchestration.instance import execute

    began = time.monotonic()
    definitions = build_defs(runtime.settings, overrides={runtime.name: runtime})
    outcome = execute(definitions, f"order_to_cash_{runtime.name}")
    if not outcome.success:
        raise PipelineError(f"the {words} failed at {outcome.step}: {outcome.message}")
    figures = outcome.figures
    created = figures["posted"]
    _say(
        f"  {words}: {figures['orders']} orders, {created} documents created, "
        f"{figures['documents_confirmed']} of {figures['documents_expected']} confirmed "
        f"({time.monotonic() - began:.0f} s)"
    )
    return figures


def _summary(chapters: list[Chapter], seconds: float) -> dict[str, Any]:
    shops = {chapter.name: _figures(chapter) for chapter in chapters}
    whole: dict[str, Any] = {}
    for figures in shops.values():
        for key, value in figures.items():
            whole[key] = _added(whole[key], value) if key in whole else value
    return {**whole, "seconds": round(seconds, 1), "shops": shops}


def _figures(chapter: Chapter) -> dict[str, Any]:
    kept = (
        "orders", "held_orders", "postable", "not_postable", "documents_expected", "documents_confirmed", "orders_confirmed",
        "held", "exceptions", "unclassified", "open_difference",
    )  # fmt: skip
    figures = {key: chapter.second[key] for key in kept}
    story = {"trouble": chapter.trouble} if chapter.trouble else {}
    seconds = round(chapter.seconds, 1)
    return {**figures, "second_run_created": chapter.second["posted"], **story, "seconds": seconds}


def _added(left: Any, right: Any) -> Any:
    if isinstance(left, dict):
        return {key: _added(left[key], right[key]) if key in left and key in right else left.get(key, right.get(key))
                for key in {**left, **right}}  # fmt: skip
    if isinstance(left, str):
        from decimal import Decimal

        return str(Decimal(left) + Decimal(right))
    return left + right


def _say(text: str) -> None:
    click.echo(text)


def _print_end(summary: dict[str, Any], chapters: list[Chapter], out: Path) -> None:
    _say("")
    _say(
        f"{summary['orders_confirmed']} of {summary['postable']} postable orders are in the books, to the cent."
    )
    _say(
        f"Unclassified: {_money(summary['unclassified'])}.  Open difference: {_money(summary['open_difference'])}."
    )
    for chapter in chapters:
        for what in ("report.html", "report.pdf", "report.xlsx"):
            _say(f"{chapter.name + ':':<10} {out / chapter.name / what}")
    _say(f"{'figures:':<10} {out / 'summary.json'}")
    _say(f"Done in {summary['seconds']} s. `make up` shows the same in the web UI.")


def _money(amounts: dict[str, Any]) -> str:
    return ", ".join(f"{amount} {currency}" for currency, amount in sorted(amounts.items())) or "0.00"


def _exit_code(summary: dict[str, Any]) -> int:
    if any(float(amount) for amount in summary["unclassified"].values()):
        raise IntegrityError(f"amounts in no class: {_money(summary['unclassified'])}; this is a bug of ours")
    enough = summary["orders_confirmed"] >= 0.8 * summary["postable"]
    return 0 if enough and summary["second_run_created"] == 0 else 1
