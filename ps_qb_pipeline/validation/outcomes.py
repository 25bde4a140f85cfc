"""What an engine says about a rule.

What lives here: ``Outcome`` and the verdict in it. What does not: either engine. Both return the
same values for the same rows, whichever way they came to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ps_qb_pipeline.validation.rules import Rule

SHOWN = 200
"""How many failing ids an outcome names; ``failing`` counts all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict of one engine on one rule.

    ``failing`` counts the rows that break the rule among the ``evaluated`` ones; ``failing_ids`` are
    the smallest of their ids, as text. ``error`` is set when the engine itself failed: then nothing
    is known about the rows, and ``passed`` is False.
    """

    rule: Rule
    passed: bool
    failing: int
    failing_ids: tuple[str, ...]
    evaluated: int
    engine: Literal["sql", "great_expectations"]
    seconds: float
    error: str = ""

    @property
    def table(self) -> str:
        """The relation that was looked at."""
        return self.rule.table

    @property
    def verdict(self) -> Literal["passed", "failed", "error"]:
        """One word for the outcome; a crash of the engine is not a failure of the rows."""
        if self.error:
            return "error"
        return "passed" if self.passed else "failed"

    @property
    def blocks(self) -> bool:
        """True when nothing may be posted: a structural rule failed, or a rule that guards could not be run."""
        if self.error:
            return self.rule.on_fail != "warn"
        return not self.passed and self.rule.on_fail == "block"
