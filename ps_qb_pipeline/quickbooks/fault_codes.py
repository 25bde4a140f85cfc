"""Every error code of QuickBooks that is known, one row each.

What lives here: code, cause, field, fix in plain words, action. What does not: choosing among several
errors and describing them (``faults``).

Actions: ``retry`` means the same bytes may succeed later; ``hold`` means this document waits for a
change of data or settings and the others go on; ``stop`` means nothing of the connection can work
until a person has acted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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

_DEVELOPERS = "Report it to the developers."
_REMAP = "Make it active again in QuickBooks, or map to another one, then replay."
_AMOUNTS = "Look at the amounts of the order or refund, then replay."
_LOOKED_UP = "Nothing to do; it is looked up before it is sent again."
_CURRENCY = "Add the currency in QuickBooks, then replay."
_NAME = "Complete the customer's name and address in the shop, then replay."
_IN_QUICKBOOKS = "Change it in QuickBooks by hand."
_DIFFERENCE = "Undo that in QuickBooks, or book the difference by itself."
_RESET = "Connect again and set the company up again; nothing is posted until then."

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
            _LOOKED_UP,
            _RETRY,
            unknown=True,
        ),
        _rule(
            "600",
            "This request id was used before, so the document may exist already.",
            "requestid",
            _LOOKED_UP,
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
            _REMAP,
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
        _rule("2130", "The request id has a wrong form.", "requestid", _DEVELOPERS, _HOLD),
        _rule("2170", "A value is not one of those allowed.", "", _DEVELOPERS, _HOLD),
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
            _REMAP,
            _HOLD,
        ),
        _rule("4000", "The query cannot be understood.", "query", _DEVELOPERS, _HOLD),
        _rule(
            "4001",
            "The query asks for what cannot be filtered.",
            "query",
            _DEVELOPERS,
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
        # -- further codes of the reference --------------------------------------------------
        _rule(
            "630", "An object with the same unique value exists already.", "", _LOOKED_UP, _HOLD, unknown=True
        ),
        _rule("700", "The parent is not valid.", "ParentRef", _REMAP, _HOLD),
        _rule("800", "Other objects depend on this one.", "", "Remove those first, in QuickBooks.", _HOLD),
        _rule("900", "An object cannot be its own parent.", "ParentRef", _DEVELOPERS, _HOLD),
        _rule("1000", "The operation failed inside QuickBooks.", "", _LOOKED_UP, _RETRY, unknown=True),
        _rule("1010", "The object could not be created.", "", _LOOKED_UP, _RETRY, unknown=True),
        _rule("1020", "The object could not be updated.", "", _LOOKED_UP, _RETRY, unknown=True),
        _rule("1050", "The content type is not accepted.", "", _DEVELOPERS, _HOLD),
        _rule("2000", "QuickBooks knows no such kind of object.", "", _DEVELOPERS, _HOLD),
        _rule("2060", "A date has a wrong form.", "", _DEVELOPERS, _HOLD),
        _rule(
            "2070", "A date does not exist.", "", "Correct the named date in the shop, then replay.", _HOLD
        ),
        _rule("2080", "A number has a wrong form.", "", _DEVELOPERS, _HOLD),
        _rule("2090", "A number is outside what the field can hold.", "", _AMOUNTS, _HOLD),
        _rule("2100", "An amount has a wrong form.", "", _DEVELOPERS, _HOLD),
        _rule("2110", "An amount is outside what the field can hold.", "", _AMOUNTS, _HOLD),
        _rule("2120", "A type does not fit here.", "", _REMAP, _HOLD),
        _rule("2140", "An amount is not accepted.", "Amount", _AMOUNTS, _HOLD),
        _rule("2150", "A percentage is not accepted.", "", _AMOUNTS, _HOLD),
        _rule("2160", "A quantity is not accepted.", "Qty", _AMOUNTS, _HOLD),
        _rule("2180", "A text is outside its range.", "", "Correct the named field in the shop.", _HOLD),
        _rule("2190", "A range of dates is not valid.", "", _DEVELOPERS, _HOLD),
        _rule("2200", "A web address is not valid.", "WebAddr", "Correct the address in the shop.", _HOLD),
        _rule("2220", "The currency is not one of the company's.", "CurrencyRef", _CURRENCY, _HOLD),
        _rule("2230", "A yes-or-no value is neither.", "", _DEVELOPERS, _HOLD),
        _rule("2240", "A number is outside its range.", "", _AMOUNTS, _HOLD),
        _rule("2250", "The document has no line.", "Line", _DEVELOPERS, _HOLD),
        _rule("2260", "A journal line is neither debit nor credit.", "PostingType", _DEVELOPERS, _HOLD),
        _rule("2270", "A journal line with tax does not say of what.", "TaxApplicableOn", _DEVELOPERS, _HOLD),
        _rule("2280", "A journal line with a tax code has no tax amount.", "TaxAmount", _DEVELOPERS, _HOLD),
        _rule("2600", "Parts of the request contradict each other.", "", _DEVELOPERS, _HOLD),
        _rule("3000", "A custom field is not one of the company's.", "CustomField", _REMAP, _HOLD),
        _rule("3202", "A part of the authorisation is empty.", "", "Connect again.", _STOP, reconnect=True),
        _rule(
            "4002",
            "The query could not be carried out.",
            "query",
            "Nothing to do; it is tried again.",
            _RETRY,
        ),
        _rule("5000", "The request uses a field that QuickBooks has given up.", "", _DEVELOPERS, _HOLD),
        _rule("6010", "An account has neither type nor sub-type.", "AccountType", _DEVELOPERS, _HOLD),
        _rule("6020", "The request's length is missing.", "", _DEVELOPERS, _HOLD),
        _rule("6030", "The file is too large.", "", "Attach a smaller file.", _HOLD),
        _rule("6040", "The file's description is wrong.", "", _DEVELOPERS, _HOLD),
        _rule(
            "6041", "QuickBooks does not accept this kind of file.", "", "Attach another kind of file.", _HOLD
        ),
        _rule("6050", "Nothing can be attached to this kind of object.", "EntityRef", _DEVELOPERS, _HOLD),
        _rule("6060", "An opening balance has no date.", "OpenBalanceDate", _DEVELOPERS, _HOLD),
        _rule("6080", "The customer has no part of a name.", "DisplayName", _NAME, _HOLD),
        _rule(
            "6090", "A discount has neither percentage nor amount.", "DiscountLineDetail", _DEVELOPERS, _HOLD
        ),
        _rule("6110", "The document is managed by QuickBooks' merchant service.", "", _IN_QUICKBOOKS, _HOLD),
        _rule("6120", "The document is managed by QuickBooks' merchant service.", "", _IN_QUICKBOOKS, _HOLD),
        _rule("6130", "Open documents fix whom this customer is billed with.", "", _IN_QUICKBOOKS, _HOLD),
        _rule("6150", "A sub-object names no parent.", "ParentRef", _DEVELOPERS, _HOLD),
        _rule(
            "6180",
            "Names may be nested five levels deep.",
            "ParentRef",
            "Choose a shorter path of names.",
            _HOLD,
        ),
        _rule("6220", "The object still has a balance.", "", _IN_QUICKBOOKS, _HOLD),
        _rule(
            "6230",
            "The tax code cannot be used in an update.",
            "TaxCodeRef",
            "Correct the tax mapping.",
            _HOLD,
        ),
        _rule("6250", "The customer does not exist or is inactive.", "CustomerRef", _REMAP, _HOLD),
        _rule("6280", "The customer has charges that were not billed.", "", _IN_QUICKBOOKS, _HOLD),
        _rule("6310", "A billable line needs a customer.", "CustomerRef", _DEVELOPERS, _HOLD),
        _rule("6420", "The delivery by e-mail needs an address.", "BillEmail", _NAME, _HOLD),
        _rule("6430", "An account has a type that is not allowed there.", "AccountRef", _REMAP, _HOLD),
        _rule("6440", "A line names neither item nor account.", "Line", _REMAP, _HOLD),
        _rule("6450", "The document is settled and cannot be voided.", "", _DIFFERENCE, _HOLD),
        _rule("6460", "Deposit and card amount of an invoice differ.", "Deposit", _AMOUNTS, _HOLD),
        _rule(
            "6470",
            "A tax is not allowed here, or has no rate.",
            "TaxCodeRef",
            "Correct the tax mapping.",
            _HOLD,
        ),
        _rule("6480", "The document is matched to a bank line.", "", _DIFFERENCE, _HOLD),
        _rule("6520", "An item whose stock is counted needs a quantity.", "Qty", _AMOUNTS, _HOLD),
        _rule("6530", "Card numbers are not accepted.", "CreditCardPayment", _DEVELOPERS, _HOLD),
        _rule("10100", "The answer would be too large.", "query", _DEVELOPERS, _HOLD),
        _rule("10200", "The company's data was reset in QuickBooks.", "", _RESET, _STOP),
    )
}
"""Every code that is known, by code."""
