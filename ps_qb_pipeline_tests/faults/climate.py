"""How hostile a simulated day is."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Climate:
    """How hostile a day is. Probabilities are for one request, one hook, one database step."""

    writes: float = 0.0
    reads: float = 0.0
    refreshes: float = 0.0
    kill: float = 0.0
    pause: float = 0.0
    database: float = 0.0
    two: float = 0.0
    hands: int = 0
    skew: float = 0.0

    @staticmethod
    def draw(rng: random.Random) -> Climate:
        """The climate of a seed."""
        return Climate(
            writes=rng.choice((0.15, 0.3, 0.5)),
            reads=rng.choice((0.05, 0.15, 0.25)),
            refreshes=rng.choice((0.0, 0.3, 0.5)),
            kill=rng.choice((0.0, 0.001, 0.004, 0.01)),
            pause=rng.choice((0.0, 0.01, 0.03)),
            database=rng.choice((0.0, 0.005, 0.02)),
            two=rng.choice((0.0, 0.5, 1.0)),
            hands=rng.choice((0, 5, 15)),
            skew=rng.choice((0.0, 0.1, 0.3)),
        )
