"""What was done against what was said, by code and money.

What lives here: the list of what must be found, and the comparison. What does not: doing it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

CENT = Decimal("0.01")
Found = Counter[tuple[str, str, Decimal]]
"""Code, what it is about (document number, QuickBooks id, order, transaction or payout), amount."""


@dataclass(slots=True)
class Truth:
    """What was done: kind, and the exceptions that must come of it as (code, about, amount)."""

    wanted: list[tuple[str, str, str, Decimal]] = field(default_factory=list)

    def add(self, kind: str, code: str, about: str, amount: Decimal) -> None:
        """One exception that must be found."""
        self.wanted.append((kind, code, about, abs(amount).quantize(CENT)))


def compare(truth: Truth, said: Found, unclassified: str, skipped: list[str]) -> dict[str, Any]:
    """Injected against said, printed by code; gives the figures of the last line."""
    left = Counter(said)
    alarms_of: Counter[str] = Counter()
    found = right_code = right_amount = 0
    # What fits in full goes first, so that nothing else takes its place.
    for kind, code, about, amount in sorted(truth.wanted, key=lambda one: left[one[1], one[2], one[3]] == 0):
        hit = _hit(left, code, about, amount)
        if hit is None:
            print(f"NOT FOUND  {kind}: {code} {about} {amount}")
            continue
        left[hit] -= 1
        found += 1
        right_code += hit[0] == code
        right_amount += hit[2] == amount
        if hit != (code, about, amount):
            print(f"OTHERWISE  {kind}: wanted {code} {amount}, said {hit[0]} {hit[2]} of {about}")
    for (code, about, amount), count in left.items():
        if count > 0:
            alarms_of[code] += count
            print(f"FALSE ALARM {count} x {code} {about} {amount}")
    _print_by_code(truth, said, alarms_of)
    if skipped:
        print("nothing to try it on: " + ", ".join(f"{kind} ({n})" for kind, n in Counter(skipped).items()))
    return {
        "injected": len(truth.wanted),
        "found": found,
        "right_code": right_code,
        "right_amount": right_amount,
        "false_alarms": alarms_of.total(),
        "unclassified": unclassified,
    }


def _hit(left: Found, code: str, about: str, amount: Decimal) -> tuple[str, str, Decimal] | None:
    """The exception that comes nearest: the very one, one of its code, one about the same thing."""
    exact = (code, about, amount)
    if left[exact] > 0:
        return exact
    about_it = [key for key, count in left.items() if key[1] == about and count > 0]
    return next((key for key in about_it if key[0] == code), next(iter(about_it), None))


def _print_by_code(truth: Truth, said: Found, alarms: Counter[str]) -> None:
    wanted = Counter(code for _, code, _, _ in truth.wanted)
    heard: Counter[str] = Counter()
    for (code, _, _), count in said.items():
        heard[code] += count
    print(f"{'code':22} {'injected':>8} {'found':>6} {'false alarms':>13}")
    for code in sorted(wanted | heard):
        print(f"{code:22} {wanted[code]:8} {heard[code] - alarms[code]:6} {alarms[code]:13}")
