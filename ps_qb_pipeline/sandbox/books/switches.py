"""The behaviours that nobody has proven, each with both answers.

What lives here: one field a question on which the contract is uncertain, and the company's own
switches of the user interface. What does not: faults (``control``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints


@dataclass(slots=True)
class Switches:
    """How the books behave where documentation is silent. The defaults are the likelier answers."""

    tax_override: Literal["honoured", "recalculated"] = "honoured"
    """Whether tax amounts sent in TxnTaxDetail stand or are computed anew."""
    zero_totals: Literal["accepted", "refused"] = "accepted"
    """Whether a sales form may total 0.00."""
    negative_lines: Literal["accepted", "refused"] = "accepted"
    """Whether an item line may be negative while the total is not."""
    warn_duplicate_number: Literal["on", "off"] = "on"
    """The setting of the user interface that makes a second use of a DocNumber a 6140."""
    requestid: Literal["replayed", "ignored", "refused"] = "replayed"
    """What a second request with the same requestid gets: the first answer, a second write, or a 600."""
    requestid_failures: Literal["forgotten", "replayed"] = "forgotten"
    """Whether a refused request is remembered under its requestid too."""
    requestid_hours: int = 0
    """After how many hours a requestid is forgotten; 0 is never."""
    stale_refresh: Literal["refused", "grace"] = "refused"
    """Whether the refresh token before a rotation still works for a day."""
    invalid_client_status: Literal[401, 400] = 401
    """The HTTP status of a wrong client secret."""
    string_numbers: Literal["accepted", "refused"] = "accepted"
    """Whether numbers may come as JSON strings."""
    naive_times: Literal["company", "utc"] = "company"
    """The zone of a time without an offset in queries and CDC."""
    deleted_suffix: Literal["off", "on"] = "off"
    """Whether an object made inactive gets " (deleted)" appended to its name."""
    closed_code: Literal[6210, 6200] = 6210
    """The code of a closed period: protected by a password, or not."""
    inactive_reference: Literal[610, 2500] = 610
    """The code of a reference to something inactive."""
    currency_ref: Literal["optional", "required"] = "optional"
    """Whether a multi-currency company insists on CurrencyRef in every transaction."""
    line_without_item: Literal["default_item", "documentation"] = "default_item"
    """Whether the amount of a sales line without ItemRef counts."""
    amount_tolerance: Literal["cent", "none"] = "none"
    """Whether Amount may differ from Qty * UnitPrice by a cent."""
    links_touch_version: Literal["no", "yes"] = "no"
    """Whether applying a payment raises the invoice's SyncToken."""
    customer_on_receipt: Literal["optional", "required"] = "optional"
    """Whether a SalesReceipt needs a CustomerRef."""
    us_charset: Literal["any", "latin1"] = "any"
    """Whether a US company refuses characters outside ISO-8859-1."""
    unordered: Literal["by_id", "newest_first"] = "by_id"
    """The order of a query's transactions without ORDERBY; lists always come by id."""
    batch_order: Literal["given", "reversed"] = "given"
    """The order in which the items of a batch are carried out; none may be relied on."""
    tax_rounding: Literal["per_rate", "per_line"] = "per_rate"
    """Whether computed tax is rounded once a rate, or line by line (outside the US)."""
    close_date: Literal["readable", "hidden"] = "readable"
    """Whether Preferences show BookCloseDate; it rules either way."""
    requestid_other_body: Literal["replayed", "refused"] = "replayed"
    """What a requestid gets that comes again with another body: the first answer, or a 600."""
    number_given: Literal["kept", "replaced"] = "kept"
    """What becomes of a DocNumber sent to a company whose numbers the server gives."""
    address_reflow: Literal["off", "on"] = "off"
    """Whether updating a sales form melts city, postal code and country into the address lines."""
    retry_after: Literal["absent", "present"] = "absent"
    """Whether a 429 carries Retry-After."""

    def change(self, values: dict[str, Any]) -> None:
        """Set some switches by name; raises ValueError for an unknown name or value."""
        hints = get_type_hints(type(self))
        for name, value in values.items():
            if name not in hints:
                known = ", ".join(field.name for field in fields(self))
                raise ValueError(f"{name} is no switch; the switches are {known}")
            allowed = get_args(hints[name])
            if (allowed and value not in allowed) or (not allowed and not isinstance(value, hints[name])):
                raise ValueError(f"{name} is {value!r}; it may be {allowed or hints[name].__name__}")
            setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        """Return every switch with its value."""
        return asdict(self)
