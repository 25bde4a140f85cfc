"""``psqb setup --draft``: a drafted ``defs.yaml``, and what share of the shop's orders it would post.

What lives here: asking, printing, writing the file. What does not: the draft (``orchestration.drafting``).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path

import click

from ps_qb_pipeline.accounting.survey import Coverage
from ps_qb_pipeline.errors import SettingsError, StorageError
from ps_qb_pipeline.orchestration import drafting
from ps_qb_pipeline.orchestration.runtime import Runtime


def write(runtime: Runtime, *, out: Path | None, force: bool, as_json: bool) -> int:
    """Draft, ask what only a person knows, write; 0 when nothing is left to decide, else 1.

    Without ``out`` the draft goes to standard output and all else to standard error.
    """
    if out is not None and out.exists() and not force:
        raise SettingsError(f"{out} is there already; choose another --out, or --force to replace it")
    asking = sys.stdin.isatty() and sys.stderr.isatty() and not as_json
    made = drafting.draft(runtime, ask=_ask if asking else None)
    if out is not None:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(made.text, encoding="utf-8")
        except OSError as error:
            raise StorageError(
                f"{out} cannot be written ({error.strerror}); choose another place with --out"
            ) from error
    if as_json:
        click.echo(json.dumps(_figures(made), default=str))
    else:
        if out is None:
            click.echo(made.text, nl=False)
        for line in told(made, out):
            click.echo(line, err=out is None)
    return 1 if made.open or made.rates_without_code else 0


def _ask(question: drafting.Question) -> str:
    answer: str = click.prompt(
        f"{question.text}\n{question.setting}",
        type=click.Choice([*question.choices, "later"]),
        default="later",
        err=True,
    )
    return "" if answer == "later" else answer


def told(made: drafting.Draft, out: Path | None) -> list[str]:
    """The coverage in words, what the books lack, and what is left to decide."""
    rates = len(made.rates_without_code)
    lines = [
        *(f"wrote {path}" for path in (out,) if path),
        _sentence(f"of {made.month}", made.of_month) + f"; {rates or 'no'} rate(s) need a code.",
        _sentence("of all orders", made.coverage) + ".",
        *(f"  no sale: {count} {reason}" for reason, count in sorted(made.coverage.not_postable.items())),
        *(f"  held: {count} {code}" for code, count in made.coverage.held.most_common()),
        *(f"  needs a code: {rate}" for rate in made.rates_without_code),
    ]
    kinds = sorted({step.entity for step in made.plan.steps})
    for kind in kinds:
        names = [step.name for step in made.plan.steps if step.entity == kind]
        lines.append(f"psqb setup --create would make {len(names)} {kind}: {', '.join(names)}")
    lines += [f"problem: {problem}" for problem in made.plan.problems]
    lines += [f"to decide: {question.setting}: {question.text}" for question in made.open]
    return lines


def _sentence(what: str, coverage: Coverage) -> str:
    sales = coverage.posts + sum(coverage.held.values())
    words = f"{coverage.share} % {what} would post: {coverage.posts} of {sales} sales, {_money(coverage.money_posts)}"
    return f"{words}; {_money(coverage.money_held)} held" if coverage.held else words


def _money(amounts: Mapping[str, Decimal | int]) -> str:
    return (
        ", ".join(f"{amount:,.2f} {currency}" for currency, amount in sorted(amounts.items())) or "no money"
    )


def _figures(made: drafting.Draft) -> dict[str, object]:
    return {
        "accounting": made.accounting,
        "month": made.month,
        "share_of_month": made.of_month.share,
        "share": made.coverage.share,
        "coverage": asdict(made.coverage),
        "coverage_of_month": asdict(made.of_month),
        "rates_without_code": made.rates_without_code,
        "plan": [{"entity": step.entity, "name": step.name, "detail": step.detail} for step in made.plan.steps],
        "problems": made.plan.problems,
        "to_decide": [asdict(question) for question in made.open],
    }  # fmt: skip
