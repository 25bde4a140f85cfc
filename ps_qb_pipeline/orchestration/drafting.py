"""A first ``defs.yaml`` for a connection, drafted from what its shop sold and what its books hold.

What lives here: reading both sides, the draft as YAML with comments for a person, and what share of the
shop's orders it would post. What does not: what follows from a history (``accounting.survey``), creating
what the books lack (``quickbooks.provision``), asking (``cli``). Nothing is written to shop or books.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import yaml
from pydantic import TypeAdapter

from ps_qb_pipeline.accounting import intake, survey
from ps_qb_pipeline.accounting.documents import Translation
from ps_qb_pipeline.accounting.policy import Accounts, Policy
from ps_qb_pipeline.accounting.shop import ReferenceGroup
from ps_qb_pipeline.accounting.survey import Coverage, Survey
from ps_qb_pipeline.accounting.translate import Books
from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.orchestration import steps
from ps_qb_pipeline.orchestration.landing import BOOKS, SHOP
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.quickbooks import provision
from ps_qb_pipeline.warehouse import changes, models, orphans, shop_rows
from ps_qb_pipeline.warehouse.translation import Translator, translator

EVERYTHING = date(1970, 1, 1)
"""Coverage counts every order, as if the connection had always been live."""
UNDECIDED = "accounting.store_credit_policy"


@dataclass(frozen=True, slots=True)
class Question:
    """What only a person knows: the setting, the question, and the answers that are allowed."""

    setting: str
    text: str
    choices: tuple[str, ...]


Ask = Callable[[Question], str]
"""Answers a question with one of its choices, or with an empty text that leaves it open."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A drafted connection and how far it carries.

    ``month`` (``2026-10``) is the last one that was over before the newest order; ``of_month`` its
    coverage. ``open`` are the questions nobody answered.
    """

    text: str
    accounting: Mapping[str, Any]
    coverage: Coverage
    month: str
    of_month: Coverage
    rates_without_code: tuple[str, ...]
    plan: provision.Plan
    open: tuple[Question, ...]


def draft(runtime: Runtime, *, ask: Ask | None = None) -> Draft:
    """Draft the settings of a connection; what was never read is read first.

    Raises SettingsError for a shop without orders: there is nothing to draft from.
    """
    _read_both(runtime)
    with runtime.warehouse("draft the settings") as con:
        shop, books = _look_at_shop(con), _look_at_books(con)
        # A policy that says only where the seller sits: enough to tell where each sale is taxed.
        policy = Policy(seller_country=shop.country, home_currency=books.currency or shop.currency)
        seen = survey.survey(_groups(con, _translator(con, policy)), policy)
        if not seen.orders:
            raise SettingsError(
                f"the shop of {runtime.name} has no order yet; draft its settings when it has"
            )
        section = _section(seen, shop, books, policy)
        still_open = []
        for question in _questions(seen):
            if answer := ask(question) if ask else "":
                section[question.setting.rpartition(".")[2]] = answer
            else:
                still_open.append(question)
        policy = TypeAdapter(Policy).validate_python(section)
        made = [_without_bodies(one) for one in _translations(con, _translator(con, policy))]
        plan = provision.plan(policy, steps.mirrored_names(con), currencies=sorted(seen.currencies))
    month = _last_month(made)
    return Draft(
        _text(runtime, section, seen, books),
        section,
        survey.coverage(made),
        month,
        survey.coverage(_of_month(one, month) for one in made),
        _rates_without_code(made),
        plan,
        tuple(still_open),
    )


# -- what is there ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ShopFacts:
    country: str
    currency: str
    timezone: str
    income: Mapping[int, Counter[str]]
    """Income accounts of items in the books that are products of the shop, by default category."""


@dataclass(frozen=True, slots=True)
class _BooksFacts:
    currency: str
    country: str
    banks: tuple[str, ...]
    codes: Mapping[Decimal, tuple[tuple[str, str], ...]]
    """Active codes with one rate: names of code and rate by percent."""


def _read_both(runtime: Runtime) -> None:
    runtime.armed()
    with runtime.warehouse("see what has been read") as con:
        steps.prepare(con)
        read = {
            side: con.execute(f"select count(*) > 0 from raw.{side}_{table}").fetchone()  # noqa: S608 - our own names
            for side, table in ((SHOP, "configurations"), (BOOKS, "preferences"))
        }
    if read[SHOP] != (True,):
        steps.pull_shop(runtime)
    if read[BOOKS] != (True,):
        steps.pull_books(runtime)
    with runtime.warehouse("look at both sides") as con:
        steps.prepare(con)
        models.run_models(con, select={"staging"})


def _look_at_shop(con: duckdb.DuckDBPyConnection) -> _ShopFacts:
    settings = dict(
        con.execute("select name, value from staging.prestashop_configurations order by id desc").fetchall()
    )
    country = _one(
        con,
        "select iso_code from staging.prestashop_countries where id = try_cast($id as bigint)",
        settings.get("PS_COUNTRY_DEFAULT"),
    )
    currency = _one(
        con,
        "select iso_code from staging.prestashop_currencies where id = try_cast($id as bigint)",
        settings.get("PS_CURRENCY_DEFAULT"),
    )
    income: dict[int, Counter[str]] = defaultdict(Counter)
    for category, account, count in con.execute(
        """
        with sold as (
            select id_category_default as category, lower(trim(reference)) as sku
            from staging.prestashop_products
            union
            select products.id_category_default, lower(trim(combinations.reference))
            from staging.prestashop_combinations as combinations
            inner join staging.prestashop_products as products on combinations.id_product = products.id
        )
        select sold.category, accounts.fully_qualified_name, count(*)
        from sold
        inner join staging.quickbooks_items as items on sold.sku = lower(trim(items.sku)) and sold.sku <> ''
        inner join staging.quickbooks_accounts as accounts on items.income_account_id = accounts.id
        where items.active and accounts.active
        group by all
        order by all
        """
    ).fetchall():
        income[category][account] += count
    usual = Policy()
    return _ShopFacts(
        country or usual.seller_country,
        currency or usual.home_currency,
        settings.get("PS_TIMEZONE") or usual.timezone,
        income,
    )


def _one(con: duckdb.DuckDBPyConnection, sql: str, number: str | None) -> str:
    row = con.execute(sql, {"id": number}).fetchone()
    return str(row[0]) if row else ""


def _look_at_books(con: duckdb.DuckDBPyConnection) -> _BooksFacts:
    currency = con.execute("select max(home_currency) from staging.quickbooks_preferences").fetchone()
    country = con.execute("select max(country) from staging.quickbooks_company_info").fetchone()
    banks = con.execute(
        "select fully_qualified_name from staging.quickbooks_accounts"
        " where account_type = 'Bank' and active order by 1"
    ).fetchall()
    rates = {
        row[0]: (row[1], row[2])
        for row in con.execute("select id, name, rate_value from staging.quickbooks_tax_rates").fetchall()
    }
    codes: dict[Decimal, list[tuple[str, str]]] = defaultdict(list)
    for name, listed in con.execute(
        "select name, sales_tax_rates from staging.quickbooks_tax_codes where active order by 1"
    ).fetchall():
        details = json.loads(listed) if isinstance(listed, str) else listed or []
        if len(details) == 1 and (rate := rates.get(str(details[0].get("TaxRateRef", {}).get("value")))):
            codes[Decimal(rate[1] or 0).normalize()].append((name, rate[0]))
    return _BooksFacts(
        (currency and currency[0]) or "",
        (country and country[0]) or "",
        tuple(row[0] for row in banks),
        {percent: tuple(found) for percent, found in codes.items()},
    )


def _translator(con: duckdb.DuckDBPyConnection, policy: Policy) -> Translator:
    changes.note_besides(con, policy)
    lookups, catalogue = shop_rows.lookups(con), shop_rows.catalogue(con)
    return translator(lookups, catalogue, policy, EVERYTHING, poisoned=orphans.poisoned(con))


def _groups(con: duckdb.DuckDBPyConnection, made: Translator) -> Iterator[ReferenceGroup]:
    for chunk in shop_rows.chunks(con):
        read = {name: shop_rows.rows(table) for name, table in chunk.items()}
        yield from intake.groups({**made.lookups, **read}, made.shop)


def _translations(con: duckdb.DuckDBPyConnection, made: Translator) -> Iterator[Translation]:
    return (made.translated(group, Books({}, frozenset())) for group in _groups(con, made))


def _without_bodies(made: Translation) -> Translation:
    """What coverage needs of a translation: memory stays small however many orders there are."""
    return replace(made, documents=(), customers=(), items=())


# -- what is proposed -------------------------------------------------------------------------


def _section(seen: Survey, shop: _ShopFacts, books: _BooksFacts, policy: Policy) -> dict[str, Any]:
    drafted = survey.draft(seen, seller_country=policy.seller_country, home_currency=policy.home_currency)
    if books.country == policy.seller_country:
        _use_codes_of_books(drafted, books, policy.seller_country)
    return {
        "home_currency": drafted.pop("home_currency"),
        "shop_currency": shop.currency,
        "seller_country": drafted.pop("seller_country"),
        "timezone": shop.timezone,
        "installation": policy.installation,
        "tax_mode": drafted.pop("tax_mode"),
        "tax_amounts": drafted.pop("tax_amounts"),
        "recognise_on": policy.recognise_on,
        "posting": policy.posting,
        "numbering": policy.numbering,
        "issued_invoices": policy.issued_invoices,
        "closed_period": policy.closed_period,
        "zero_total": policy.zero_total,
        "store_credit_policy": "",
        "customer_names": policy.customer_names,
        "missing_items": policy.missing_items,
        "out_of_scope_code": policy.out_of_scope_code,
        "accounts": _accounts(shop),
        **drafted,
    }


def _use_codes_of_books(drafted: dict[str, Any], books: _BooksFacts, seller: str) -> None:
    """Domestic rates take the code that the books have for them, where just one code fits."""
    for rule in drafted["tax_rules"]:
        ours = rule["code"]
        if rule["scheme"] != "domestic" or rule.get("countries") != [seller] or len(rule["rates"]) != 1:
            continue
        fitting = books.codes.get(Decimal(rule["rates"][0]).normalize(), ())
        if len(fitting) != 1 or not rule["rates"]:
            continue
        code, rate = fitting[0]
        rule["code"] = code
        proposed = drafted["tax_codes"].pop(ours)
        drafted["tax_codes"][code] = {**proposed, "rates": [{"name": rate, "percent": rule["rates"][0]}]}


def _accounts(shop: _ShopFacts) -> dict[str, Any]:
    """Income as the books' own items of the same SKUs have it; every other account by its usual name."""
    accounts = {name: value for name, value in asdict(Accounts()).items() if value}
    total: Counter[str] = Counter()
    for found in shop.income.values():
        total.update(found)
    if not total:
        return accounts
    accounts["income"] = total.most_common(1)[0][0]
    others = {
        category: next(iter(found))
        for category, found in shop.income.items()
        if len(found) == 1 and accounts["income"] not in found
    }
    return {**accounts, "income_by_category": others} if others else accounts


def _questions(seen: Survey) -> Iterator[Question]:
    if seen.store_credit:
        yield Question(
            UNDECIDED,
            f"{seen.store_credit} order(s) were paid with store credit, {seen.store_credit_money:,.2f} in all. "
            "Is store credit a payment (tax is due in full) or a discount (as the shop's invoice prints it)?",
            ("payment", "discount"),
        )


# -- how far it carries -----------------------------------------------------------------------


def _last_month(made: Iterable[Translation]) -> str:
    months = sorted(
        {
            f"{one.event_at:%Y-%m}"
            for each in made
            for one in each.sources
            if one.event_at and one.type == "order"
        }
    )
    return months[-2] if len(months) > 1 else months[-1] if months else ""


def _of_month(made: Translation, month: str) -> Translation:
    kept = tuple(one for one in made.sources if one.event_at and f"{one.event_at:%Y-%m}" == month)
    return replace(made, sources=kept)


def _rates_without_code(made: Iterable[Translation]) -> tuple[str, ...]:
    found = set()
    for one in made:
        for finding in one.findings:
            if finding.code == "TAX_CODE_UNMAPPED":
                evidence = finding.evidence
                rates = " + ".join(f"{rate} %" for rate in evidence.get("rates", ())) or evidence.get(
                    "scheme"
                )
                place = "-".join(
                    str(evidence[part]) for part in ("country", "subdivision") if evidence.get(part)
                )
                found.add(f"{rates} in {place}")
    return tuple(sorted(found))


# -- as YAML ----------------------------------------------------------------------------------


def _text(runtime: Runtime, section: Mapping[str, Any], seen: Survey, books: _BooksFacts) -> str:
    connection = runtime.connection
    parts = [
        f"# Drafted by psqb setup from {seen.orders} orders of the shop and the names in its books.",
        "# Read it with your accountant; lines with DECIDE need an answer. psqb check reads it back,",
        "# psqb setup --create makes what the books lack. Names only: ids of QuickBooks never stand here.",
        _yaml({"shop": connection.shop.model_dump(mode="json", exclude_defaults=True)}),
        _yaml({"books": connection.books.model_dump(mode="json", exclude_defaults=True)}),
        "# Orders from before this day are counted and never posted.",
        _yaml({"go_live": connection.go_live}),
        "accounting:",
    ]
    comments = _comments(seen, books)
    for name, value in section.items():
        parts += [f"  # {line}" for line in comments.get(name, ())]
        parts.append("\n".join(f"  {line}" for line in _yaml({name: value}).splitlines()))
    return "\n".join(parts) + "\n"


def _yaml(value: Mapping[str, Any]) -> str:
    """Block style, but one line for each tax code and each row of the tax table."""
    lines = []
    for name, content in value.items():
        if name == "tax_codes":
            lines += [
                f"{name}:",
                *(f"  {_on_a_line({code: rates})[1:-1]}" for code, rates in content.items()),
            ]
        elif name == "tax_rules":
            lines += [f"{name}:", *(f"  - {_on_a_line(row)}" for row in content)]
        else:
            lines.append(_dump({name: content}, flow=False))
    return "\n".join(lines)


def _on_a_line(value: Mapping[str, Any]) -> str:
    return _dump(value, flow=True)


def _dump(value: Mapping[str, Any], *, flow: bool) -> str:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=10_000)
    return str(text).rstrip("\n")


def _comments(seen: Survey, books: _BooksFacts) -> dict[str, list[str]]:
    labels = Counter[str]()
    for (label, _), count in seen.labels.items():
        labels[label] += count
    used = f"used by {seen.store_credit} orders for {seen.store_credit_money:,.2f}; they are held until you answer"
    banks = ", ".join(books.banks) or "none"
    return {
        "home_currency": ["The books' home currency; the shop sells in " + ", ".join(sorted(seen.currencies)) + "."],
        "recognise_on": ["When a sale counts: paid, invoiced, shipped or delivered."],
        "posting": ["per_order, or daily for one summary a day."],
        "store_credit_policy": [
            "DECIDE: payment (tax in full, the credit is a debt) or discount (as the shop's invoice prints it);",
            used if seen.store_credit else "never used so far.",
        ],
        "accounts": ["Accounts that the books lack are created by psqb setup --create, under these names."],
        "tax_codes": [
            "One code for every rate that the shop has charged, at most ten characters a name.",
            "DECIDE: codes with -OSS are right only where you are registered for the One-Stop Shop; foreign",
            "codes only where you are registered in that country. Give each its agency (agency: ...).",
        ],
        "tax_rules": ["Which code a sale gets, by rates in percent, destination and scheme. No row, no posting."],
        "methods": [
            "How customers paid, by PrestaShop's label: "
            + ", ".join(f"{label} ({count})" for label, count in labels.most_common() if label) + ".",
            "DECIDE: kind (card, wire, cheque, cod, terms, free) and the account that receives the money;",
            f"bank accounts in the books now: {banks}.",
        ],
    }  # fmt: skip
