"""Everything that the books can say no with.

What lives here: ``Refusal`` and one constructor a code, and the bodies in which refusals travel (a
``Fault`` in JSON or XML, the gateway's lower-case form). What does not: when to refuse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

VALIDATION = "ValidationFault"
SYSTEM = "SystemFault"
AUTHORIZATION = "AuthorizationFault"
SERVICE = "SERVICE"


@dataclass(frozen=True, slots=True)
class Problem:
    """One error of a fault."""

    code: str
    message: str
    detail: str = ""
    element: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the error as it stands in a JSON Fault."""
        body = {"Message": self.message, "Detail": self.detail or self.message, "code": self.code}
        return body | {"element": self.element} if self.element else body


class Refusal(Exception):
    """The books refuse a request, for one reason or several."""

    def __init__(self, *problems: Problem, status: int = 400, kind: str = VALIDATION) -> None:
        super().__init__(problems[0].code, problems[0].detail)
        self.problems = problems
        self.status = status
        self.kind = kind

    @property
    def code(self) -> str:
        """The first problem's code."""
        return self.problems[0].code

    def fault(self) -> dict[str, Any]:
        """Return the object under ``Fault``."""
        return {"Error": [problem.as_json() for problem in self.problems], "type": self.kind}

    def xml(self, time: str) -> str:
        """Return the whole XML response in which the gateway sometimes answers JSON requests."""
        errors = "".join(
            f"<Error code={quoteattr(p.code)}"
            + (f" element={quoteattr(p.element)}" if p.element else "")
            + f"><Message>{escape(p.message)}</Message><Detail>{escape(p.detail)}</Detail></Error>"
            for p in self.problems
        )
        return (
            '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
            f'<IntuitResponse time="{time}" xmlns="http://schema.intuit.com/finance/v3">'
            f'<Fault type="{self.kind}">{errors}</Fault></IntuitResponse>'
        )


def _one(code: str, message: str, detail: str, element: str = "") -> Refusal:
    return Refusal(Problem(code, message, detail, element))


def unsupported(what: str) -> Refusal:
    """500: the entity has no such operation."""
    return _one("500", "Unsupported Operation", f"Operation {what} is not supported.")


def not_found(what: str = "") -> Refusal:
    """610: no such object, or it is deleted or inactive."""
    hint = "Something you're trying to use has been made inactive. Check the fields with accounts, customers, items, vendors or employees."
    return _one("610", "Object Not Found", f"Object Not Found : {what or hint}")


def cannot_link(ident: str) -> Refusal:
    """620: the transaction named cannot be linked."""
    return _one("620", "Transaction ID cannot be linked", f"The transaction {ident} can't be linked.")


def unknown_object(name: str) -> Refusal:
    """2000: no such object name."""
    return _one(
        "2000", "Invalid or unsupported object name", f"Object Name: {name} is unsupported or invalid."
    )


def unknown_property(name: str) -> Refusal:
    """2010: a field the entity does not have, or a value of the wrong shape."""
    detail = f"Property Name:{name} specified is unsupported or invalid"
    return _one("2010", "Request has invalid or unsupported property", detail, name.rpartition(".")[2])


def required(name: str) -> Refusal:
    """2020: a required parameter is missing."""
    return _one(
        "2020",
        "Required param missing, need to supply the required value for the API",
        f"Required parameter {name} is missing in the request",
        name,
    )


def invalid_id(value: Any, element: str = "Id") -> Refusal:
    """2030: an id that is not a number."""
    return _one("2030", "Invalid ID", f"Id should be a valid number. Supplied value:{value}", element)


def invalid_characters(name: str) -> Refusal:
    """2040: characters that this field or this company cannot hold."""
    return _one("2040", "Invalid String", f"Element contains invalid characters:{name}", name)


def too_long(name: str, limit: int, length: int, least: int = 0) -> Refusal:
    """2050: a string is too long or too short."""
    detail = (
        f"String length specified does not match the supported length. Min:{least} Max:{limit} "
        f"supported. Supplied length:{length}"
    )
    return _one(
        "2050", "String length is either shorter or longer than supported by specification", detail, name
    )


def invalid_date(name: str, value: Any) -> Refusal:
    """2070: not a date."""
    return _one("2070", "Invalid Date", f"The date value must be valid. Supplied value:{value}", name)


def invalid_number(name: str, value: Any) -> Refusal:
    """2090: not a number that this field can hold."""
    return _one("2090", "Invalid Number", f"Number is not supported. Supplied value:{value}", name)


def invalid_request_id(value: str) -> Refusal:
    """2130: a requestid of the wrong form."""
    return _one("2130", "Invalid Request Id Format", f"Request id is not valid: length {len(value)}")


def invalid_enum(name: str, value: Any) -> Refusal:
    """2170: not one of the values that the field knows."""
    return _one("2170", "Invalid Enumeration", f"Invalid Enumeration : {value}", name)


def invalid_email(value: str) -> Refusal:
    """2210: not an e-mail address."""
    detail = "The email address does not conform to the RFC 822 standard"
    return _one("2210", "Invalid Email Address format", f"{detail}: length {len(value)}", "PrimaryEmailAddr")


def negative(name: str) -> Refusal:
    """2290: an amount that may not be negative."""
    return _one("2290", "Negative Amount", "Negative amounts are not supported", name)


def unbalanced(debit: Any, credit: Any) -> Refusal:
    """2300: debits and credits differ."""
    return _one("2300", "Amount on debits not equal to credits", f"Debits {debit}, credits {credit}")


def invalid_reference(kind: str, ident: Any, element: str = "") -> Refusal:
    """2500: a reference to something that is not there."""
    detail = f"Invalid Reference Id : {kind} element id {ident} not found"
    return _one("2500", "Invalid Reference Id", detail, element)


def query_syntax(detail: str) -> Refusal:
    """4000: the query cannot be parsed."""
    return _one("4000", "Error parsing query", f"QueryParserError: {detail}")


def query_invalid(detail: str) -> Refusal:
    """4001: the query asks for what cannot be asked."""
    return _one("4001", "Invalid query", f"QueryValidationError: {detail}")


def stale(name: str = "") -> Refusal:
    """5010: somebody else has changed the object since it was read."""
    who = f"You and {name or 'Sandbox User'} were working on this at the same time."
    detail = f"Stale Object Error : {who} {name or 'Sandbox User'} finished before you did, so your work was not saved."
    return _one("5010", "Stale Object Error", detail)


def feature_off(feature: str) -> Refusal:
    """5030: the feature is switched off or does not exist in this country."""
    return _one("5030", "Feature Not Supported Error", f"Feature Not Supported Error : {feature}")


def business(detail: str, element: str = "") -> Refusal:
    """6000: a rule of business is broken; the detail says which, in free text."""
    message = "A business validation error has occurred while processing your request"
    return _one("6000", message, f"Business Validation Error: {detail}", element)


def account_type() -> Refusal:
    """6010: neither AccountType nor AccountSubType."""
    return _one(
        "6010",
        "Invalid Account.AccountType && Account.SubType",
        "Either an Account.AccountType or an Account.AccountSubType must be specified",
    )


def unattachable(kind: str) -> Refusal:
    """6050: nothing can be attached to this kind of object."""
    detail = f"The entity reference type {kind} is unsupported for Attachable"
    return _one("6050", "The entity reference type is unsupported for Attachable", detail, "EntityRef")


def wrong_product(value: Any) -> Refusal:
    """6070: the amount of a line is not quantity times price."""
    detail = f"Amount is not equal to UnitPrice * Qty. Supplied value:{value}"
    return _one("6070", "Amount calculation incorrect in the request", detail)


def no_name() -> Refusal:
    """2020: a name-list object without any part of a name."""
    return required("DisplayName")


def discount_incomplete() -> Refusal:
    """6090: a discount line with neither percentage nor amount."""
    return _one(
        "6090", "Discount Line missing required info.", "Discount amount or percent should be provided."
    )


def us_tax_code(value: Any) -> Refusal:
    """6100: a US line with another code than TAX or NON."""
    detail = f"Valid Line TaxCodes for US should be TAX or NON. Supplied value:{value}"
    return _one("6100", "Invalid Line TaxCode in the request", detail)


def duplicate_number(number: str, entity: str, ident: int) -> Refusal:
    """6140: the document number is taken."""
    detail = (
        "Duplicate Document Number Error : You must specify a different number. This number has already "
        f"been used. DocNumber={number} is assigned to TxnType={entity} with TxnId={ident}"
    )
    return _one("6140", "Duplicate Document Number Error", detail)


def parent_required(name: str) -> Refusal:
    """6150: a sub-object without its parent."""
    return _one(
        "6150",
        "ParentRef Required Validation Error",
        f"ParentRef is required when {name} is true",
        "ParentRef",
    )


def tax_rate_foreign(value: Any) -> Refusal:
    """6160: the tax code or rate cannot be used here."""
    return _one(
        "6160", "Invalid TaxCodeRef Error", f"Tax id {value} can't be used for this transaction", "TaxRateRef"
    )


def tax_detail_not_applicable() -> Refusal:
    """6170: TxnTaxDetail although tax is declared not applicable."""
    return _one(
        "6170",
        "Invalid TxnTaxDetail Error",
        "TxnTaxDetail is not allowed when GlobalTaxCalculation is set to NotApplicable",
        "TxnTaxDetail",
    )


def too_deep() -> Refusal:
    """6180: more than five levels."""
    return _one("6180", "Sub Level Limit", "You can nest up to 5 levels", "ParentRef")


def closed(*, password: bool) -> Refusal:
    """6210 (a password protects the closed period) or 6200 (none does)."""
    detail = (
        "The account period has closed and the account books cannot be updated through the QuickBooks "
        "Online Services API. Please check the closing date in your company settings."
    )
    if password:
        return _one("6210", "Account Period Closed, Requires Password Error", detail)
    return _one("6200", "Account Period Closed Error", detail)


def duplicate_name(ident: int | None = None) -> Refusal:
    """6240: the name is taken; the detail carries the id of the object that has it."""
    tail = f" : Id={ident}" if ident is not None else ""
    return _one("6240", "Duplicate Name Exists Error", f"The name supplied already exists.{tail}")


def before_inventory_start(item: str) -> Refusal:
    """6270: dated before the item's stock was counted."""
    detail = f"Transactions with inventory item {item} can't be dated before its inventory start date"
    return _one("6270", "Inventory transaction is dated before the item's start date", detail)


def deposited() -> Refusal:
    """6540: the transaction is part of a deposit."""
    detail = "This transaction has been deposited. If you want to change or delete it, edit the deposit it appears on."
    return _one("6540", "Deposited Transaction cannot be changed", detail)


def throttled() -> Refusal:
    """3001 with status 429."""
    problem = Problem(
        "3001",
        "message=ThrottleExceeded; errorCode=003001; statusCode=429",
        "The request limit was reached.  Try again later",
    )
    return Refusal(problem, status=429, kind=SERVICE)


def not_authorized() -> Refusal:
    """3100 with status 403: the token does not open this company."""
    problem = Problem(
        "3100",
        "message=ApplicationAuthorizationFailed; errorCode=003100; statusCode=403",
        "The application is not authorized for this company",
    )
    return Refusal(problem, status=403, kind=AUTHORIZATION)


def broken(status: int = 500) -> Refusal:
    """10000: something went wrong inside."""
    problem = Problem(
        "10000", "An application error has occurred while processing your request", "System Failure Error"
    )
    return Refusal(problem, status=status, kind=SYSTEM)


def gateway_401(
    epoch_ms: int, detail: str = "Token expired: it ran out, was revoked or is unknown"
) -> dict[str, Any]:
    """Return the lower-case body of the gateway's 401, which is no Fault."""
    error = {
        "message": "message=AuthenticationFailed; errorCode=003200; statusCode=401",
        "detail": detail,
        "code": "3200",
        "element": None,
    }
    return {
        "warnings": None,
        "intuitObject": None,
        "fault": {"error": [error], "type": "AUTHENTICATION"},
        "report": None,
        "queryResponse": None,
        "batchItemResponse": [],
        "attachableResponse": [],
        "syncErrorResponse": None,
        "requestId": None,
        "time": epoch_ms,
        "status": None,
        "cdcresponse": [],
    }
