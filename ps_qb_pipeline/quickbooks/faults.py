"""What QuickBooks means by a fault, and what to do about it.

What lives here: the rule for a code, also for one that nobody knows, the rule that decides when a
fault holds several errors, and its description for people. What does not: the table of codes
(``fault_codes``), reading a fault out of an answer (``answers``) and acting on it (``client``, and posting).
"""

from __future__ import annotations

from dataclasses import replace

from ps_qb_pipeline.errors import Fault, FaultError
from ps_qb_pipeline.quickbooks.fault_codes import RULES, Action, Rule

_UNKNOWN_FIX = (
    "Read QuickBooks' detail; correct what it names, then replay. Report the code to the developers."
)


def rule(code: str) -> Rule:
    """What to do about ``code``; for a code we do not know, by the range that Intuit gave it."""
    if code in RULES:
        return RULES[code]
    number = int(code) if code.isdecimal() else 0
    if number >= 10000:
        return replace(RULES["10000"], code=code)
    if 0 < number < 500:
        return Rule(
            code, "QuickBooks refuses this app or person.", "", "Connect again.", "stop", reconnect=True
        )
    return Rule(code, "QuickBooks refuses the request.", "", _UNKNOWN_FIX, "hold")


def worst(fault: Fault) -> Rule:
    """The rule that decides when a fault holds several errors: stop before hold before retry."""
    found = [rule(error.code) for error in fault.errors] or [rule("")]
    order: dict[Action, int] = {"stop": 0, "hold": 1, "retry": 2}
    return min(found, key=lambda one: order[one.action])


def field_of(error: FaultError) -> str:
    """The field an error is about: QuickBooks' own word for it, else the code's usual one."""
    return error.element or rule(error.code).field


def describe(fault: Fault) -> str:
    """One line for people: code, cause, field, fix. Without QuickBooks' detail, which may hold a name."""
    decisive = worst(fault)
    fields = sorted({name for error in fault.errors if (name := field_of(error))})
    codes = ", ".join(dict.fromkeys(error.code for error in fault.errors)) or "without a code"
    where = f" ({', '.join(fields)})" if fields else ""
    return f"QuickBooks refused the request, code {codes}{where}: {decisive.cause} {decisive.fix}"
