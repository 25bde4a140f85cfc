"""What QuickBooks means by its error codes, and what to do about each.

What lives here: one data table, code to cause, field, fix in plain words and action. What does not:
reading a fault out of an answer (``answers``) and acting on it (``client``, and posting).

Actions: ``retry`` means the same bytes may succeed later; ``hold`` means this document waits for a
change of data or settings and the others go on; ``stop`` means nothing of the connection can work
until a person has acted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ps_qb_pipeline.errors import Fault, FaultError

Action = Literal["retry", "hold", "stop"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One error code: its cause, the field it is about (empty when QuickBooks names it), the way out."""

    code: str
    cause: str
    field: str
    fix: str
    action: Action
    outcome_unknown: bool = False
    """True where the code does not prove that nothing was written."""
    reconnect: bool = False
    """True where only a person's new consent helps."""


def _rule(
    code: str,
    cause: str,
    field: str,
    fix: str,
    action: Action,
    *,
    unknown: bool = False,
    reconnect: bool = False,
) -> Rule:
    return Rule(code, cause, field, fix, action, unknown, reconnect)


_HOLD: Action = "hold"
_RETRY: Action = "retry"
_STOP: Action = "stop"

RULES: dict[str, Rule] = {
    rule.code: rule
    for rule in (
        # -- the connection ------------------------------------------------------------------
        _rule("100", "The app may not use this company.", "realm", "Connect again.", _STOP, reconnect=True),
        _rule(
            "110", "The company is unknown to this token.", "realm", "Connect again.", _STOP, reconnect=True
        ),
        _rule(
            "120",
            "The person who connected is no longer an administrator of the company.",
            "",
            "Let a company administrator connect again.",
            _STOP,
            reconnect=True,
        ),
        _rule(
            "3100",
            "The token was not granted this company.",
            "realm",
            "Compare the realm in the settings with the company, then connect again.",
            _STOP,
            reconnect=True,
        ),
        _rule(
            "3200",
            "The access token has expired or is malformed.",
            "",
            "It is refreshed by itself; if this stays, connect again.",
            _RETRY,
        ),
        _rule(
            "6190",
            "The company's QuickBooks subscription has ended.",
            "",
            "Renew the subscription, then run again; everything waits until then.",
            _STOP,
        ),
        # -- QuickBooks itself ---------------------------------------------------------------
        _rule(
            "130",
            "The company is served by another cluster for now.",
            "",
            "Nothing to do; it is tried again.",
            _RETRY,
            unknown=True,
        ),
        _rule(
            "140",
            "The company is locked, for example by an import.",
            "",
            "Nothing to do; it is tried again.",
            _RETRY,
            unknown=True,
        ),
        _rule(
            "150",
            "QuickBooks is under maintenance.",
            "",
            "Nothing to do; it is tried again.",
            _RETRY,
            unknown=True,
        ),
        _rule("3001", "The request limit was reached.", "", "Nothing to do; it waits 60 seconds.", _RETRY),
        _rule(
            "10000",
            "QuickBooks failed inside; the document may exist all the same.",
            "",
            "Nothing to do; it is looked up before it is sent again.",
            _RETRY,
            unknown=True,
        ),
        _rule(
            "600",
            "This request id was used before, so the document may exist already.",
            "requestid",
            "Nothing to do; it is looked up before it is sent again.",
            _RETRY,
            unknown=True,
        ),
        # -- the request ---------------------------------------------------------------------
        _rule(
            "500",
            "QuickBooks does not offer this operation here, or the text is not valid UTF-8.",
            "",
            "Look at the named field for unusual characters; otherwise report it to the developers.",
            _HOLD,
        ),
        _rule(
            "610",
            "An object that the document names was deleted or made inactive.",
            "",
            "Make it active again in QuickBooks, or map to another one, then replay.",
            _HOLD,
        ),
        _rule(
            "620",
            "The payment or credit cannot be linked to that document, for example because it is settled.",
            "LinkedTxn",
            "Look at both documents in QuickBooks; unlink or settle by hand, then replay.",
            _HOLD,
        ),
        _rule(
            "1040",
            "The batch holds too many items.",
            "BatchItemRequest",
            "Lower the batch size setting.",
            _HOLD,
        ),
        _rule(
            "2010",
            "The request names a property that QuickBooks does not know.",
            "",
            "Report it to the developers: the document was written for another version.",
            _HOLD,
        ),
        _rule(
            "2020",
            "A required value is missing.",
            "",
            "Fill the named field in the shop or the mapping.",
            _HOLD,
        ),
        _rule(
            "2030", "An id is not valid.", "", "Refresh the mirror; if it stays, map the name again.", _HOLD
        ),
        _rule(
            "2040",
            "A text holds characters that QuickBooks does not accept.",
            "",
            "Remove unusual characters from the named field in the shop, then replay.",
            _HOLD,
        ),
        _rule("2050", "A text is too long.", "", "Shorten the named field in the shop, then replay.", _HOLD),
        _rule("2130", "The request id has a wrong form.", "requestid", "Report it to the developers.", _HOLD),
        _rule("2170", "A value is not one of those allowed.", "", "Report it to the developers.", _HOLD),
        _rule(
            "2210",
            "The e-mail address is not valid for QuickBooks.",
            "PrimaryEmailAddr",
            "Correct the customer's e-mail address in the shop; it is left out when sent again.",
            _HOLD,
        ),
        _rule(
            "2290", "An amount is outside what QuickBooks allows.", "", "Look at the order's amounts.", _HOLD
        ),
        _rule(
            "2300",
            "Debits and credits of the journal differ.",
            "Line",
            "Report it to the developers: a journal of ours must balance.",
            _HOLD,
        ),
        _rule(
            "2500",
            "A name in the document points to nothing, or to something inactive.",
            "",
            "Make it active again in QuickBooks, or map to another one, then replay.",
            _HOLD,
        ),
        _rule("4000", "The query cannot be understood.", "query", "Report it to the developers.", _HOLD),
        _rule(
            "4001",
            "The query asks for what cannot be filtered.",
            "query",
            "Report it to the developers.",
            _HOLD,
        ),
        # -- the state of the books ----------------------------------------------------------
        _rule(
            "5010",
            "Somebody changed the object in QuickBooks meanwhile.",
            "SyncToken",
            "Nothing to do; it is read again and compared first.",
            _RETRY,
        ),
        _rule(
            "5020",
            "The company's plan or settings do not include this feature.",
            "",
            "Switch the feature on in QuickBooks, or choose a plan that has it.",
            _HOLD,
        ),
        _rule(
            "5030",
            "The company's plan or settings do not include this feature.",
            "",
            "Switch the feature on in QuickBooks, or choose a plan that has it.",
            _HOLD,
        ),
        _rule(
            "6000",
            "A business rule of QuickBooks refuses the document; its detail says which.",
            "",
            "Read the detail, correct the order, the mapping or the company's settings, then replay.",
            _HOLD,
        ),
        _rule(
            "6070",
            "The amount of a line is not quantity times price.",
            "Line.Amount",
            "Report it to the developers: the price has to be left out of this line.",
            _HOLD,
        ),
        _rule(
            "6100",
            "A line has a tax code that this company does not allow there.",
            "TaxCodeRef",
            "Correct the tax mapping, then replay.",
            _HOLD,
        ),
        _rule(
            "6140",
            "A document with this number exists already.",
            "DocNumber",
            "It is looked up: ours is adopted, a foreign one needs another number.",
            _HOLD,
            unknown=True,
        ),
        _rule(
            "6160", "The tax code or rate is not valid here.", "TaxCodeRef", "Correct the tax mapping.", _HOLD
        ),
        _rule(
            "6170",
            "Tax details were sent with a document that has no tax.",
            "TxnTaxDetail",
            "Correct the tax mode in the settings, then replay.",
            _HOLD,
        ),
        _rule(
            "6200",
            "The books are closed at this date.",
            "TxnDate",
            "Let the accountant choose: open the period, or book on its first open day.",
            _HOLD,
        ),
        _rule(
            "6210",
            "The books are closed at this date and a password would be needed.",
            "TxnDate",
            "Let the accountant choose: open the period, or book on its first open day.",
            _HOLD,
        ),
        _rule(
            "6240",
            "Another customer, vendor, employee, item, account or code has this name.",
            "Name",
            "It is looked up and used when it is the same; otherwise it gets a suffix.",
            _HOLD,
            unknown=True,
        ),
        _rule(
            "6270",
            "The date is before the item's stock began to be counted.",
            "TxnDate",
            "Move the item's inventory start date, then replay.",
            _HOLD,
        ),
        _rule(
            "6540",
            "The document is part of a bank deposit and locked.",
            "",
            "Take it out of the deposit in QuickBooks, or book the difference by itself.",
            _HOLD,
        ),
    )
}
"""Every code that the contract names, by code."""

_UNKNOWN_FIX = (
    "Read QuickBooks' detail; correct what it names, then replay. Report the code to the developers."
)


def rule(code: str) -> Rule:
    """What to do about ``code``; for a code we do not know, by the range that Intuit gave it."""
    if code in RULES:
        return RULES[code]
    number = int(code) if code.isdecimal() else 0
    if number >= 10000:
        return _rule(code, "QuickBooks failed inside.", "", RULES["10000"].fix, _RETRY, unknown=True)
    if 0 < number < 500:
        return _rule(
            code, "QuickBooks refuses this app or person.", "", "Connect again.", _STOP, reconnect=True
        )
    return _rule(code, "QuickBooks refuses the request.", "", _UNKNOWN_FIX, _HOLD)


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
