"""What the gateway counts, in the text form that Prometheus reads.

What lives here: counters of webhooks by door and outcome, and how long answers took. What does not:
deciding what counts. See https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0)
"""Seconds; the upper ends of the histogram's buckets."""

PREFIX = "psqb_gateway"

Gauges = Mapping[str, Iterable[tuple[Mapping[str, str], float]]]
"""Values of now: name to labels and value."""


class Metrics:
    """Counts of one process since its start."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def answered(self, door: str, outcome: str, seconds: float) -> None:
        """One webhook was answered."""
        self.outcomes[door, outcome] += 1
        self._buckets[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def text(self, gauges: Gauges) -> str:
        """Everything as Prometheus reads it."""
        lines = [f"# TYPE {PREFIX}_webhooks_total counter"]
        lines += [
            f'{PREFIX}_webhooks_total{{door="{door}",outcome="{outcome}"}} {count}'
            for (door, outcome), count in sorted(self.outcomes.items())
        ]
        lines.append(f"# TYPE {PREFIX}_answer_seconds histogram")
        below = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._buckets, strict=True):
            below += count
            lines.append(f'{PREFIX}_answer_seconds_bucket{{le="{bound}"}} {below}')
        lines += [
            f"{PREFIX}_answer_seconds_sum {self._seconds:.6f}",
            f"{PREFIX}_answer_seconds_count {below}",
        ]
        for name, values in gauges.items():
            lines.append(f"# TYPE {PREFIX}_{name} gauge")
            for labels, value in values:
                told = ",".join(f'{key}="{text}"' for key, text in labels.items())
                lines.append(f"{PREFIX}_{name}{{{told}}} {value:g}" if told else f"{PREFIX}_{name} {value:g}")
        return "\n".join(lines) + "\n"
