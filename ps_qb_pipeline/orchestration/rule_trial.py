"""What the accountant's rules would do: past orders with and without them, compared.

What lives here: reading rules from a file, translating the orders that have landed twice, and the list of
those that come out otherwise. What does not: whether a rule applies (``accounting.rules``) and printing
(``cli.rules``). Nothing is written to the ledger or the books.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import yaml
from pydantic import TypeAdapter, ValidationError

from ps_qb_pipeline.accounting import intake, rules
from ps_qb_pipeline.accounting.documents import Document, Translation
from ps_qb_pipeline.accounting.payments import Methods
from ps_qb_pipeline.accounting.policy import Policy, Rule
from ps_qb_pipeline.accounting.recognition import recognise
from ps_qb_pipeline.accounting.shop import Order, ReferenceGroup
from ps_qb_pipeline.accounting.translate import translate
from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.orchestration.runtime import Runtime
from ps_qb_pipeline.orchestration.steps import prepare
from ps_qb_pipeline.warehouse import changes, models, shop_rows
from ps_qb_pipeline.warehouse.translation import translator

_STAGED = "staging.prestashop_"


@dataclass(frozen=True, slots=True)
class Changed:
    """One order that the rules make come out otherwise: what was, and what would be, by name."""

    order_id: int
    reference: str
    day: date
    currency: str
    total: Decimal
    rules: tuple[str, ...]
    before: dict[str, str]
    after: dict[str, str]


@dataclass(slots=True)
class Trial:
    """What came out. ``applied`` counts the orders of each rule, those that it does not change included."""

    orders: int = 0
    applied: Counter[str] = field(default_factory=Counter)
    changed: list[Changed] = field(default_factory=list)


def read_rules(file: Path) -> tuple[Rule, ...]:
    """The rules of a YAML file: a list, or a mapping with the key ``rules``. SettingsError says what is wrong."""
    try:
        body = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot be read ({error.strerror})", where=str(file)) from error
    except yaml.YAMLError as error:
        raise SettingsError(f"is no YAML: {' '.join(str(error).split())}", where=str(file)) from error
    listed = body.get("rules") if isinstance(body, dict) else body
    try:
        return TypeAdapter(tuple[Rule, ...]).validate_python(listed)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"rules.{place}: {first['msg']}", where=str(file)) from error


def run_trial(runtime: Runtime, proposed: tuple[Rule, ...] | None) -> Trial:
    """Past orders under the settings alone and with ``proposed`` rules after their own.

    Without ``proposed`` the connection's own rules are tried against none at all. Only what has landed
    is looked at; SettingsError when nothing has.
    """
    policy = runtime.connection.accounting
    if proposed is None:
        before, after = replace(policy, rules=()), policy
    else:
        before, after = policy, replace(policy, rules=(*policy.rules, *proposed))
    made = Trial()
    with runtime.warehouse("try rules") as con:
        prepare(con)
        models.run_models(con, select={name for name in models.load_models() if name.startswith(_STAGED)})
        for group in _groups(con, before):
            made.orders += len(group.orders)
            _compare(group, before, after, runtime.connection.go_live, made)
    if not made.orders:
        raise SettingsError(
            "has no orders yet: psqb run reads them", where=f"connection {runtime.connection.name}"
        )
    return made


def _groups(con: duckdb.DuckDBPyConnection, policy: Policy) -> Iterator[ReferenceGroup]:
    changes.note_besides(con, policy)
    engine = translator(shop_rows.lookups(con), shop_rows.catalogue(con), policy, date.min)
    for chunk in shop_rows.chunks(con):
        read = {name: shop_rows.rows(table) for name, table in chunk.items()}
        yield from intake.groups({**engine.lookups, **read}, engine.shop)


def _compare(group: ReferenceGroup, before: Policy, after: Policy, go_live: date, made: Trial) -> None:
    applied = {order.id: _applied(order, after) for order in group.orders}
    made.applied.update(name for names in applied.values() for name in names)
    if not any(applied.values()):
        return
    was = translate(group, before, go_live=go_live)
    now = translate(group, after, go_live=go_live)
    for order in group.orders:
        old, new = _shown(was, order.id), _shown(now, order.id)
        differing = [name for name in new if old.get(name, "") != new[name]]
        if differing:
            made.changed.append(
                Changed(
                    order.id,
                    order.reference,
                    recognise(order, after).day or order.date_add.date(),
                    order.currency,
                    order.paid.ti,
                    applied[order.id],
                    {name: old.get(name, "") for name in differing},
                    {name: new[name] for name in differing},
                )
            )


def _applied(order: Order, policy: Policy) -> tuple[str, ...]:
    method = Methods(policy).of(order.payment, order.module)
    day = recognise(order, policy).day or order.date_add.date()
    return rules.apply(order, policy, method=method.name if method else "", day=day).applied


def _shown(made: Translation, order: int) -> dict[str, str]:
    """What an accountant sees of an order: whether it posts, and on which accounts, codes and classes."""
    source = next((one for one in made.sources if one.type == "order" and one.source_id == order), None)
    own = [one for one in made.documents if one.order_id == order and one.role in {"sale", "refund"}]
    accounts = {item.key: item.income_account for item in made.items}
    return {
        "posts": " ".join(filter(None, (source.status, source.reason))) if source else "",
        "income account": _joined(
            accounts[line.item] for one in own for line in one.lines if line.item in accounts
        ),
        "tax code": _joined(line.tax_code for one in own for line in one.lines),
        "class": _joined(one.klass for one in own),
        "location": _joined(one.location for one in own),
        "total": _joined(_total(one) for one in own),
    }


def _total(document: Document) -> str:
    return f"{document.total} {document.currency}"


def _joined(values: Iterator[str]) -> str:
    return ", ".join(sorted({value for value in values if value}))
