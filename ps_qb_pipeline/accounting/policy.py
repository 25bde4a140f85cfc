"""What an accountant decides: the ``accounting:`` section of a connection.

What lives here: settings as frozen dataclasses with their defaults; names, never QuickBooks ids.
What does not: rules that follow from them. ``{CUR}`` in an account name stands for the currency.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar, Literal

TaxMode = Literal["GLOBAL_EXCL", "GLOBAL_INCL", "US_AST", "US_MANUAL", "NO_TAX"]
Scheme = Literal[
    "domestic",
    "oss",
    "ioss",
    "foreign",
    "intra_community",
    "reverse_charge",
    "export",
    "exempt",
    "out_of_scope",
    "marketplace",
]
SaleKind = Literal["goods", "service", "shipping", "wrapping", "ecotax"]
MethodKind = Literal["card", "wire", "cheque", "cod", "terms", "free"]
StateAction = Literal["post", "wait", "void", "ignore"]

_STRICT: dict[str, Any] = {"extra": "forbid"}
"""Read by whoever validates these shapes: a misspelt setting is an error, never ignored."""


@dataclass(frozen=True, slots=True)
class TaxRate:
    """One rate of a tax code. ``percent`` is on the net amount.

    A tax that PrestaShop charges on net plus another tax stands here at its effective percent on the
    net amount alone: 5 % on top of 10 % is 5.5. The name is unique in the company.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    name: str
    percent: Decimal


@dataclass(frozen=True, slots=True)
class TaxCode:
    """A tax code of the books with its rates; the name has at most ten characters."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    rates: tuple[TaxRate, ...]
    description: str = ""
    agency: str = "Tax office"


@dataclass(frozen=True, slots=True)
class TaxRule:
    """One row of the signed table: which code a sale gets.

    ``rates`` is the set of rates in percent, in any order; ``countries`` holds ISO codes, or ``EU``
    for the other member states, or ``*`` for all; ``subdivisions`` empty means all. The first row
    that fits with the most specific place wins.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    code: str
    rates: tuple[Decimal, ...] = ()
    countries: tuple[str, ...] = ("*",)
    subdivisions: tuple[str, ...] = ()
    scheme: Scheme = "domestic"
    kinds: tuple[SaleKind, ...] = ()


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """One way to pay. ``labels`` and ``modules`` are PrestaShop's, compared without regard to case.

    ``account`` receives proved money; ``holding_account`` receives rows that only a status change
    made. Account names may hold ``{CUR}``. A method of kind card makes sales receipts, the others
    invoices with payments. ``terms_days`` unset means 30 for wire, cheque and terms, else none.
    ``carrier_accounts`` by the carrier's name go before ``account``: who collects the cash owes it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    labels: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    kind: MethodKind = "card"
    code: str = ""
    account: str = ""
    holding_account: str = ""
    carrier_accounts: dict[str, str] = field(default_factory=dict)
    terms_days: int | None = None
    offline_payments: Literal["trust_state", "bank_line"] = "trust_state"
    books_name: str = ""
    fees_account: str = ""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Names of the accounts that documents use."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    income: str = "Sales of goods"
    income_by_category: dict[int, str] = field(default_factory=dict)
    shipping: str = "Shipping income"
    wrapping: str = "Gift wrap income"
    ecotax: str = "Ecotax"
    discount: str = "Discounts given"
    rounding: str = "Rounding differences"
    restocking: str = "Restocking fees"
    store_credit: str = "Store credit liability"
    gift_card: str = "Gift card liability"
    customer_deposits: str = "Customer deposits"
    tax_liability: str = "Sales tax liability"
    chargebacks: str = "Chargebacks"
    fees: str = "Payment processing fees"
    exchange: str = "Exchange gain or loss"
    reserves: str = "Clearing:Reserves {CUR}"
    deferred_income: str = "Deferred income"
    bank: str = "Bank:Main {CUR}"
    holding: str = "Clearing:Unproved payments {CUR}"


@dataclass(frozen=True, slots=True)
class StateRule:
    """What an order state means here. By ``ids``, or by flags when no row names the state's id."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    action: StateAction
    ids: tuple[int, ...] = ()
    flag: Literal["", "paid", "invoice", "logable", "shipped", "delivery", "deleted"] = ""
    custom_fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """When a rule applies; every field that is set must hold, empty fields always do."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    countries: tuple[str, ...] = ()
    currencies: tuple[str, ...] = ()
    shops: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()
    skus: tuple[str, ...] = ()
    customer_groups: tuple[int, ...] = ()
    b2b: bool | None = None
    total_at_least: Decimal | None = None
    total_below: Decimal | None = None
    date_from: date | None = None
    date_to: date | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """An exception of the accountant's: where the condition holds, the fields that are set replace ours."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    name: str
    when: Condition
    income_account: str = ""
    klass: str = ""
    location: str = ""
    scheme: Scheme | Literal[""] = ""
    hold: str = ""


@dataclass(frozen=True, slots=True)
class OfficialRate:
    """An official rate: ``home`` units of home currency for one unit of ``currency``, from ``day`` on."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    currency: str
    day: date
    home: Decimal


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that one connection decides about its books.

    ``tax_codes`` names the codes and their rates, so that they can be created; ``tax_rules`` choose
    among them. ``methods`` by name. ``locations`` maps a shop's id to the location (department) of
    its documents. ``tax_amounts``: ``computed`` gives every document a form from which QuickBooks
    itself computes the shop's tax to the cent; ``override`` sends the shop's tax and trusts that it is
    kept. ``gift_card_codes`` are regular expressions of voucher codes. ``issued_invoices``: whether a document whose invoice number was issued may still
    be rewritten. ``book_close_date`` is the last closed day. ``booked_elsewhere`` are ids of orders that
    somebody booked in another way: they count like those from before the start.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    home_currency: str = "EUR"
    shop_currency: str = ""
    seller_country: str = "FR"
    timezone: str = "Europe/Paris"
    installation: int = 1
    doc_prefix: str = "PS"
    tax_mode: TaxMode = "GLOBAL_EXCL"
    tax_codes: dict[str, TaxCode] = field(default_factory=dict)
    tax_rules: tuple[TaxRule, ...] = ()
    tax_amounts: Literal["computed", "override"] = "computed"
    out_of_scope_code: str = "OOS"
    methods: dict[str, PaymentMethod] = field(default_factory=dict)
    accounts: Accounts = field(default_factory=Accounts)
    states: tuple[StateRule, ...] = ()
    rules: tuple[Rule, ...] = ()
    recognise_on: Literal["paid", "invoiced", "shipped", "delivered"] = "invoiced"
    posting: Literal["per_order", "daily"] = "per_order"
    posting_since: date | None = None
    posting_before: Literal["per_order", "daily"] = "per_order"
    summary_form: Literal["documents", "journal"] = "documents"
    summary_grace_hours: int = 6
    numbering: Literal["key", "invoice"] = "key"
    invoice_prefix: str = "#IN"
    slip_prefix: str = "#CR"
    issued_invoices: Literal["keep", "edit"] = "keep"
    closed_period: Literal["hold", "first_open_day"] = "hold"
    book_close_date: date | None = None
    booked_elsewhere: tuple[int, ...] = ()
    zero_total: Literal["post", "skip"] = "post"
    store_credit_policy: Literal["", "payment", "discount"] = ""
    gift_cards: Literal["multi_purpose", "single_purpose"] = "multi_purpose"
    gift_card_skus: tuple[str, ...] = ()
    gift_card_codes: tuple[str, ...] = ()
    prepayments: Literal["wait", "deposit_document", "unapplied_payment"] = "wait"
    ecotax: Literal["separate", "included"] = "separate"
    missing_items: Literal["create", "hold", "generic"] = "create"
    generic_item: str = "PS Goods"
    customer_names: Literal["full", "pseudonymous"] = "full"
    locations: dict[int, str] = field(default_factory=dict)
    classes: dict[int, str] = field(default_factory=dict)
    fx_source: Literal["shop", "table"] = "shop"
    fx_table: tuple[OfficialRate, ...] = ()
    refund_rate: Literal["order", "slip_date"] = "order"
    fees_tax_code: str = ""
