"""Setting a company up: creating what the accountant's policy names and the company lacks.

What lives here: a plan that can be shown first, and carrying it out, any number of times with the
same end. What does not: switching QuickBooks' own settings, which only a person may (multi-currency
can never be switched off again); what is needed of them is listed as problems.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, Literal, Protocol

from ps_qb_pipeline.accounting import items
from ps_qb_pipeline.accounting.policy import Policy, TaxCode, TaxRate
from ps_qb_pipeline.errors import BooksFault, BooksUnavailable, Fault
from ps_qb_pipeline.quickbooks.answers import Reply, inside
from ps_qb_pipeline.quickbooks.batch import BatchItem
from ps_qb_pipeline.quickbooks.entities import ENTITIES
from ps_qb_pipeline.quickbooks.faults import describe
from ps_qb_pipeline.quickbooks.references import References
from ps_qb_pipeline.quickbooks.texts import NAME_LENGTH, canonical, line_text

BATCH = 30

AccountKind = Literal["bank", "income", "discount", "expense", "fees", "exchange", "liability"]

_ACCOUNT_TYPES: dict[AccountKind, tuple[str, str]] = {
    "bank": ("Bank", "Checking"),
    "income": ("Income", "SalesOfProductIncome"),
    "discount": ("Income", "DiscountsRefundsGiven"),
    "expense": ("Expense", "OtherMiscellaneousServiceCost"),
    "fees": ("Expense", "BankCharges"),
    "exchange": ("Other Expense", "ExchangeGainOrLoss"),
    "liability": ("Other Current Liability", "OtherCurrentLiabilities"),
}
"""AccountType and AccountSubType. Clearing accounts are of type Bank: only those pay a fee or a refund."""

_POLICY_ACCOUNTS: tuple[tuple[str, AccountKind], ...] = (
    ("income", "income"),
    ("shipping", "income"),
    ("wrapping", "income"),
    ("ecotax", "income"),
    ("discount", "discount"),
    ("rounding", "income"),
    ("restocking", "income"),
    ("store_credit", "liability"),
    ("gift_card", "liability"),
    ("customer_deposits", "liability"),
    ("tax_liability", "liability"),
    ("deferred_income", "liability"),
    ("chargebacks", "expense"),
    ("fees", "fees"),
    ("exchange", "exchange"),
    ("reserves", "bank"),
    ("bank", "bank"),
    ("holding", "bank"),
)

SPECIAL_ITEMS: tuple[tuple[str, str], ...] = (
    (items.GOODS, "income"),
    (items.SHIPPING, "shipping"),
    (items.DISCOUNT, "discount"),
    (items.WRAPPING, "wrapping"),
    (items.ECOTAX, "ecotax"),
    (items.ROUNDING, "rounding"),
    (items.RESTOCKING, "restocking"),
    (items.STORE_CREDIT, "store_credit"),
    (items.GIFT_CARD, "gift_card"),
    (items.DEPOSITS, "customer_deposits"),
    (items.CHARGEBACKS, "chargebacks"),
    (items.SALES_TAX, "tax_liability"),
)
"""Item name and the policy's account that it posts to."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be created. ``name`` is its full name; ``detail`` says the rest to a person."""

    entity: str
    name: str
    detail: str = ""
    account_kind: AccountKind | None = None
    currency: str = ""
    account: str = ""
    tax: TaxCode | None = None
    purchase: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be created, in order, and what only a person can change in QuickBooks."""

    steps: tuple[Step, ...]
    problems: tuple[str, ...] = ()


class ProvisionBooks(Protocol):
    """What provisioning needs of the client."""

    realm: str

    def create(self, entity: str, body: bytes, requestid: str) -> Reply:
        """Create an object."""
        ...

    def batch(self, items: Iterable[BatchItem], requestid: str) -> dict[str, Reply | Fault]:
        """Create several objects at once."""
        ...

    def create_tax_code(self, body: bytes, requestid: str) -> Reply:
        """Create a tax code with its rates."""
        ...

    def query_all(self, entity: str, where: str = "") -> Iterator[dict[str, Any]]:
        """Every row of an entity."""
        ...


def plan(policy: Policy, names: References, *, currencies: Collection[str] = ()) -> Plan:
    """What the company lacks. ``currencies`` are those of the shop's orders; the home currency is one."""
    used = tuple(dict.fromkeys((policy.home_currency, *currencies)))
    steps = [
        *_currency_steps(policy, names, used),
        *_account_steps(policy, names, used),
        *_tax_steps(policy, names),
        *_item_steps(policy, names),
        *_list_steps(policy, names),
        *_customer_steps(policy, names, used),
    ]
    return Plan(tuple(dict.fromkeys(steps)), tuple(_problems(policy, names, used, steps)))


# -- what is missing ---------------------------------------------------------------------------


def _currency_steps(policy: Policy, names: References, currencies: Iterable[str]) -> Iterator[Step]:
    if names.multi_currency:
        for code in currencies:
            if code != policy.home_currency and not names.has_currency(code):
                yield Step("CompanyCurrency", code, "currency of the shop's orders", currency=code)


def _account_steps(policy: Policy, names: References, currencies: Iterable[str]) -> Iterator[Step]:
    for name, kind, currency in wanted_accounts(policy, currencies):
        parts = name.split(":")
        for depth in range(1, len(parts) + 1):
            full = ":".join(parts[:depth])
            if names.holds("accounts", full) is None:
                leaf = depth == len(parts)
                yield Step(
                    "Account",
                    full,
                    ", ".join(part for part in (_ACCOUNT_TYPES[kind][0], currency if leaf else "") if part),
                    account_kind=kind,
                    currency=currency if leaf else policy.home_currency,
                )


def wanted_accounts(policy: Policy, currencies: Iterable[str]) -> Iterator[tuple[str, AccountKind, str]]:
    """Every account that the policy names: full name, kind and currency."""
    home = policy.home_currency
    listed: list[tuple[str, AccountKind]] = [
        (getattr(policy.accounts, field), kind) for field, kind in _POLICY_ACCOUNTS
    ]
    listed += [(name, "income") for name in policy.accounts.income_by_category.values()]
    listed += [(rule.income_account, "income") for rule in policy.rules]
    for method in policy.methods.values():
        listed += [(method.account, "bank"), (method.holding_account, "bank"), (method.fees_account, "fees")]
        listed += [(name, "bank") for name in method.carrier_accounts.values()]
    for name, kind in listed:
        if not name:
            continue
        for currency in currencies if "{CUR}" in name else (home,):
            yield name.replace("{CUR}", currency), kind, currency


def _tax_steps(policy: Policy, names: References) -> Iterator[Step]:
    if policy.tax_mode in {"US_AST", "NO_TAX"}:
        return
    for name, code in policy.tax_codes.items():
        if names.holds("tax_codes", name) is None:
            rates = " + ".join(f"{rate.percent.normalize():f} %" for rate in code.rates)
            yield Step("TaxCode", name, rates or "no rate", tax=code, purchase=name == policy.fees_tax_code)


def _item_steps(policy: Policy, names: References) -> Iterator[Step]:
    wanted = dict(SPECIAL_ITEMS)
    wanted.setdefault(policy.generic_item, "income")
    for name, field in wanted.items():
        if names.holds("items", name) is None:
            account = getattr(policy.accounts, field)
            yield Step("Item", name, f"service item on {account}", account=account)


def _list_steps(policy: Policy, names: References) -> Iterator[Step]:
    wanted = [
        *(("PaymentMethod", "payment_methods", method.books_name) for method in policy.methods.values()),
        *(("Department", "departments", name) for name in policy.locations.values()),
        *(("Class", "classes", name) for name in policy.classes.values()),
        *(("Department", "departments", rule.location) for rule in policy.rules),
        *(("Class", "classes", rule.klass) for rule in policy.rules),
    ]
    for entity, table, name in wanted:
        if name and names.holds(table, name) is None:
            yield Step(entity, name)


def _customer_steps(policy: Policy, names: References, currencies: Iterable[str]) -> Iterator[Step]:
    stems = []
    if policy.posting == "daily":
        stems.append("PS Daily")
    if policy.customer_names == "pseudonymous":
        stems.append("PS Guests")
    for stem in stems:
        for currency in currencies:
            name = f"{stem} {currency}"
            if names.holds("customers", name) is None:
                yield Step("Customer", name, "summary customer", currency=currency)


def _problems(
    policy: Policy, names: References, currencies: Collection[str], steps: Iterable[Step]
) -> Iterator[str]:
    if names.home_currency and names.home_currency != policy.home_currency:
        yield (
            f"the company's home currency is {names.home_currency}, the settings say {policy.home_currency}; "
            "correct accounting.home_currency"
        )
    foreign = sorted(set(currencies) - {policy.home_currency})
    if foreign and not names.multi_currency:
        yield (
            f"the shop sells in {', '.join(foreign)} too, and multi-currency is off in QuickBooks; switch it on "
            "there (it can never be switched off again), or leave these orders held"
        )
    if names.custom_txn_numbers is False:
        yield (
            "custom transaction numbers are off, so QuickBooks would number our documents itself; switch them on: "
            "Account and settings, Sales, Sales form content"
        )
    if names.using_sales_tax is False and policy.tax_mode != "NO_TAX":
        yield "sales tax is off in QuickBooks; set it up there, or choose accounting.tax_mode NO_TAX"
    for entity, tracked in (("Department", names.track_departments), ("Class", names.class_tracking)):
        if tracked is False and any(step.entity == entity for step in steps):
            word = "locations" if entity == "Department" else "classes"
            yield f"the settings use {word}, and QuickBooks does not track them; switch tracking on there"
    yield from _inactive(policy, names, currencies)
    yield from _tax_problems(policy, names)


def _inactive(policy: Policy, names: References, currencies: Iterable[str]) -> Iterator[str]:
    accounts = {name for name, _, _ in wanted_accounts(policy, currencies)}
    wanted = [("accounts", name) for name in sorted(accounts)]
    wanted += [("items", name) for name, _ in SPECIAL_ITEMS]
    wanted += [("tax_codes", name) for name in policy.tax_codes]
    for table, name in wanted:
        found = names.holds(table, name)
        if found is not None and not found.active:
            yield f"{name} exists but is inactive ({table.replace('_', ' ')}); make it active in QuickBooks"


def _tax_problems(policy: Policy, names: References) -> Iterator[str]:
    if policy.tax_mode in {"US_AST", "NO_TAX"}:
        return
    for name, code in policy.tax_codes.items():
        if names.holds("tax_codes", name) is None:
            continue
        present = names.rates_of(name)
        wanted = {rate.percent for rate in code.rates}
        if wanted - present and not (wanted == {Decimal(0)} and not present):
            shown = ", ".join(f"{rate.normalize():f} %" for rate in sorted(present)) or "no rate"
            yield (
                f"tax code {name} has {shown} in QuickBooks, the settings want "
                f"{', '.join(f'{rate.normalize():f} %' for rate in sorted(wanted))}; rename one of the two"
            )


# -- carrying it out ---------------------------------------------------------------------------


def carry_out(todo: Plan, books: ProvisionBooks, names: References) -> tuple[Step, ...]:
    """Create what the plan names, parents first; ``names`` learns every new id. The steps done.

    What does not depend on each other goes out in batches. Raises BooksFault for a refusal (its
    ``facts`` hold entity and name), BooksUnavailable for an unknown outcome. What was created stays: a
    new plan leaves it out.
    """
    for _, group in groupby(sorted(todo.steps, key=_wave), key=_wave):
        wave = list(group)
        if wave[0].entity == "TaxCode":
            _create_tax_codes(wave, books, names)
            continue
        for start in range(0, len(wave), BATCH):
            _create(wave[start : start + BATCH], books, names)
    return todo.steps


def _wave(step: Step) -> int:
    """What comes in a later wave may refer to what came in an earlier one."""
    if step.entity == "Account":
        return 1 + step.name.count(":")
    return {"TaxCode": 20, "Item": 21, "Customer": 21}.get(step.entity, 0)


def _create(steps: Sequence[Step], books: ProvisionBooks, names: References) -> None:
    bodies = [canonical(_body(step, names)) for step in steps]
    sent = [
        BatchItem(f"i{place}", "create", step.entity, body)
        for place, (step, body) in enumerate(zip(steps, bodies, strict=True))
    ]
    outcomes = books.batch(sent, requestid(books.realm, "Batch", b"".join(bodies)))
    for step, item in zip(steps, sent, strict=True):
        outcome = outcomes.get(item.bid)
        if isinstance(outcome, Reply):
            entity = ENTITIES[step.entity]
            row = inside(outcome.body, step.entity)
            names.add(entity.table, {"id": entity.identity(row), **entity.values(row)})
    for step, item in zip(steps, sent, strict=True):
        outcome = outcomes.get(item.bid)
        if isinstance(outcome, Fault):
            raise BooksFault(
                f"{step.entity} {step.name!r}: {describe(outcome)}",
                fault=outcome,
                entity=step.entity,
                name=step.name,
            )
        if outcome is None:
            raise BooksUnavailable(
                f"whether {step.entity} {step.name!r} was created is unknown; set up again in a minute"
            )


def _body(step: Step, names: References) -> dict[str, Any]:
    parent, _, own = step.name.rpartition(":")
    name = line_text(own, NAME_LENGTH)
    if step.entity == "Account" and step.account_kind is not None:
        account_type, sub_type = _ACCOUNT_TYPES[step.account_kind]
        body: dict[str, Any] = {"Name": name, "AccountType": account_type, "AccountSubType": sub_type}
        if parent:
            body |= {"SubAccount": True, "ParentRef": {"value": names.account(parent)}}
        if names.multi_currency and step.currency:
            body["CurrencyRef"] = {"value": step.currency}
        return body
    if step.entity == "Item":
        return {"Name": name, "Type": "Service", "IncomeAccountRef": {"value": names.account(step.account)}}
    if step.entity == "Customer":
        currency = {"CurrencyRef": {"value": step.currency}} if names.multi_currency else {}
        return {"DisplayName": name, **currency}
    if step.entity == "CompanyCurrency":
        return {"Code": step.currency}
    return {"Name": name}


def _create_tax_codes(steps: Sequence[Step], books: ProvisionBooks, names: References) -> None:
    agencies = {
        str(row.get("DisplayName", "")).casefold(): str(row["Id"]) for row in books.query_all("TaxAgency")
    }
    rates = {str(row["Name"]).casefold(): str(row["Id"]) for row in books.query_all("TaxRate")}
    for step in steps:
        code = step.tax or TaxCode(())
        agency = agencies.get(code.agency.casefold()) or _new_agency(code.agency, books)
        agencies[code.agency.casefold()] = agency
        body = canonical({"TaxCode": step.name, "TaxRateDetails": _rate_details(step, code, agency, rates)})
        try:
            reply = books.create_tax_code(body, requestid(books.realm, "TaxService", body))
        except BooksFault as error:
            raise BooksFault(
                f"{step.entity} {step.name!r}: {error}", fault=error.fault, entity="TaxCode", name=step.name
            ) from error
        for made in reply.body.get("TaxRateDetails") or ():
            rates[str(made.get("TaxRateName", "")).casefold()] = str(made.get("TaxRateId", ""))
    # The answers name ids only: the new rows are read back whole.
    for entity in (ENTITIES["TaxRate"], ENTITIES["TaxCode"]):
        for row in books.query_all(entity.name):
            names.add(entity.table, {"id": entity.identity(row), **entity.values(row)})


def _rate_details(step: Step, code: TaxCode, agency: str, rates: Mapping[str, str]) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    for rate in code.rates or (TaxRate(step.name, Decimal(0)),):
        for side in ("Sales", "Purchase") if step.purchase else ("Sales",):
            name = rate.name if side == "Sales" else f"{rate.name} (purchases)"
            existing = rates.get(name.casefold())
            fresh = {"TaxRateName": name, "RateValue": rate.percent, "TaxAgencyId": agency}
            details.append({**({"TaxRateId": existing} if existing else fresh), "TaxApplicableOn": side})
    return details


def _new_agency(name: str, books: ProvisionBooks) -> str:
    body = canonical({"DisplayName": name})
    reply = books.create("TaxAgency", body, requestid(books.realm, "TaxAgency", body))
    return str(inside(reply.body, "TaxAgency")["Id"])


def requestid(realm: str, entity: str, body: bytes) -> str:
    """The idempotency key of one set-up request: the same for the same bytes within an hour.

    Not longer, because a refusal that a person has mended since might be replayed; names are unique, so
    that nothing is created twice.
    """
    hour = f"{datetime.now(UTC):%Y%m%d%H}"
    parts = (b"setup", hour.encode(), realm.encode(), entity.encode(), body)
    return hashlib.sha256(b"|".join(parts)).hexdigest()[:32]
