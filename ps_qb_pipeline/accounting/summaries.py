"""Daily summaries: the sales of a day in one document per shop, currency and clearing account.

What lives here: which documents join a summary and what it says; the frozen days. What does not:
the orders' own documents (``translate``). Invoices, refunds by credit memo and business customers stay
per order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal, NamedTuple

from ps_qb_pipeline.accounting import forms, identity, items
from ps_qb_pipeline.accounting.currency import home_amount
from ps_qb_pipeline.accounting.documents import Customer, Document, Line, LineKind, TaxLine
from ps_qb_pipeline.accounting.money import ZERO
from ps_qb_pipeline.accounting.policy import Accounts, Policy

_SIX = Decimal("0.000001")
_ORDER = (
    "goods",
    "shipping",
    "wrapping",
    "ecotax",
    "discount",
    "gift_card",
    "store_credit",
    "restocking",
    "rounding",
)
_FREE = "NIL"


class Grain(NamedTuple):
    """What one summary covers."""

    id_shop: int
    day: date
    currency: str
    account: str
    refund: bool


@dataclass(frozen=True, slots=True)
class Summaries:
    """The summaries of some documents, and what became of each document.

    ``documents`` are the summaries and everything that stays per order; ``members`` maps the key of
    each summary to its members' keys; ``waiting`` are members of days that are still open.
    """

    documents: tuple[Document, ...]
    customers: tuple[Customer, ...]
    members: dict[str, tuple[str, ...]]
    waiting: tuple[str, ...] = ()


def mode_on(day: date, policy: Policy) -> Literal["per_order", "daily"]:
    """How sales of ``day`` are posted: the mode changes on ``posting_since`` only."""
    if policy.posting_since is not None and day < policy.posting_since:
        return policy.posting_before
    return policy.posting


def is_over(day: date, now: datetime, policy: Policy) -> bool:
    """Whether ``day`` is closed at shop-local time ``now``: midnight and the hours of grace are past."""
    end = datetime(day.year, day.month, day.day, tzinfo=now.tzinfo) + timedelta(
        days=1, hours=policy.summary_grace_hours
    )
    return now >= end


def summarise(
    documents: Iterable[Document],
    policy: Policy,
    *,
    business: frozenset[str] = frozenset(),
    frozen: Mapping[str, frozenset[str]] | None = None,
    now: datetime | None = None,
) -> Summaries:
    """The documents with each day's sales receipts and refund receipts joined.

    ``business`` holds the keys of customers that stay per order. ``frozen`` maps keys of posted
    summaries to their members: what came later makes a document of its own. With ``now`` (shop-local),
    days that are still open wait.
    """
    kept: list[Document] = []
    waiting: list[str] = []
    by_grain: dict[Grain, list[Document]] = {}
    for document in documents:
        if not _joins(document, policy, business):
            kept.append(document)
        elif now is not None and not is_over(document.txn_date, now, policy):
            waiting.append(document.key)
        else:
            refund = document.type == "RefundReceipt"
            grain = Grain(document.id_shop, document.txn_date, document.currency, document.deposit_to, refund)
            by_grain.setdefault(grain, []).append(document)
    members: dict[str, tuple[str, ...]] = {}
    customers: dict[str, Customer] = {}
    for grain in sorted(by_grain):
        for revision, own in _batches(grain, by_grain[grain], policy, frozen or {}):
            summary = _summary(grain, revision, own, policy)
            members[summary.key] = tuple(sorted(document.key for document in own))
            customers[summary.customer_key] = Customer(
                summary.customer_key, summary.customer_name, currency=grain.currency
            )
            kept.append(identity.with_note(summary))
    return Summaries(tuple(kept), tuple(customers.values()), members, tuple(waiting))


def _joins(document: Document, policy: Policy, business: frozenset[str]) -> bool:
    return (
        document.type in {"SalesReceipt", "RefundReceipt"}
        and document.role in {"sale", "refund"}
        and mode_on(document.txn_date, policy) == "daily"
        and document.customer_key not in business
    )


def _batches(
    grain: Grain, own: Sequence[Document], policy: Policy, frozen: Mapping[str, frozenset[str]]
) -> list[tuple[int, list[Document]]]:
    """The members of a grain by revision: each posted summary keeps its list, the rest comes after."""
    rest = sorted(own, key=lambda document: document.key)
    batches = []
    revision = 0
    while (key := _key(grain, revision, policy)) in frozen:
        listed = frozen[key]
        batches.append((revision, [document for document in rest if document.key in listed]))
        rest = [document for document in rest if document.key not in listed]
        revision += 1
    if rest:
        batches.append((revision, rest))
    return [(number, batch) for number, batch in batches if batch]


def _method_code(grain: Grain, policy: Policy) -> str:
    for name, setting in policy.methods.items():
        if grain.account and setting.account.replace("{CUR}", grain.currency) == grain.account:
            return setting.code or name[:3].upper()
    return _FREE


def _key(grain: Grain, revision: int, policy: Policy) -> str:
    mark = "R" if grain.refund else "S"
    source = f"{grain.id_shop}-{mark}{grain.day:%y%m%d}-{grain.currency}-{_method_code(grain, policy)}"
    return identity.document_key(policy, "summary", source, revision)


def _summary(grain: Grain, revision: int, own: Sequence[Document], policy: Policy) -> Document:
    currency = grain.currency
    lines = _joined_lines(own)
    taxes = _joined_taxes(own)
    if policy.tax_amounts == "computed" and taxes:
        form = forms.to_computed(
            lines, taxes, currency, policy.out_of_scope_code, forms.components(policy.tax_codes)
        )
        lines, taxes = form.lines, form.taxes
    number = identity.summary_number(
        policy, grain.id_shop, grain.day, currency, _method_code(grain, policy), refund=grain.refund
    )
    total = sum((document.total for document in own), ZERO)
    rate = _common_rate(own, total)
    name = f"PS Daily {currency}"
    key = _key(grain, revision, policy)
    document = Document(
        key=key,
        type="RefundReceipt" if grain.refund else "SalesReceipt",
        role="summary",
        source_id=key.split("|")[2],
        revision=revision,
        doc_number=identity.adjustment_number(number, revision) if revision else number,
        order_id=0,
        id_shop=grain.id_shop,
        reference="",
        txn_date=grain.day,
        currency=currency,
        total=total,
        exchange_rate=rate,
        home_total=home_amount(total, rate, policy.home_currency),
        customer_key=f"{policy.installation}:{name}",
        customer_name=name,
        location=own[0].location,
        klass=own[0].klass,
        global_tax=own[0].global_tax,
        lines=lines,
        taxes=taxes,
        total_tax=sum((document.total_tax for document in own), ZERO),
        deposit_to=grain.account,
        memo=f"{len(own)} orders",
    )
    return as_journal(document, policy) if policy.summary_form == "journal" else document


def _joined_lines(own: Sequence[Document]) -> tuple[Line, ...]:
    """The members' lines by kind and tax code; products become goods."""
    sums: dict[tuple[LineKind, str, str], Decimal] = {}
    for document in own:
        for line in document.lines:
            kind: LineKind = "goods" if line.kind == "product" else line.kind
            item = items.GOODS if kind == "goods" else line.item
            key = (kind, item, line.tax_code)
            sums[key] = sums.get(key, ZERO) + line.amount
    ordered = sorted(
        sums, key=lambda key: (_ORDER.index(key[0]) if key[0] in _ORDER else len(_ORDER), key[2])
    )
    return tuple(Line(key[0], key[1], sums[key], key[2]) for key in ordered if sums[key])


def _joined_taxes(own: Sequence[Document]) -> tuple[TaxLine, ...]:
    sums: dict[tuple[str, Decimal], tuple[Decimal, Decimal]] = {}
    for document in own:
        for tax in document.taxes:
            base, amount = sums.get((tax.code, tax.rate), (ZERO, ZERO))
            sums[tax.code, tax.rate] = (base + tax.base, amount + tax.amount)
    return tuple(TaxLine(code, rate, *sums[code, rate]) for code, rate in sorted(sums))


def _common_rate(own: Sequence[Document], total: Decimal) -> Decimal | None:
    """The members' rate, weighted by their totals; None in home currency."""
    rates = {document.exchange_rate for document in own}
    if rates == {None}:
        return None
    known = [document for document in own if document.exchange_rate is not None]
    if len(rates) == 1 or not total:
        return known[0].exchange_rate
    home = sum((document.total * (document.exchange_rate or ZERO) for document in known), ZERO)
    return (home / total).quantize(_SIX, ROUND_HALF_UP)


# -- the journal form -------------------------------------------------------------------------


def as_journal(summary: Document, policy: Policy) -> Document:
    """The summary as a journal entry, for companies without items: clearing against income and tax."""
    from dataclasses import replace

    refund = summary.type == "RefundReceipt"
    own: Literal["debit", "credit"] = "credit" if refund else "debit"
    other: Literal["debit", "credit"] = "debit" if refund else "credit"
    entries = [_entry(summary.deposit_to, summary.total, own)] if summary.total else []
    by_account: dict[str, Decimal] = {}
    for line in summary.lines:
        name = _account_of(line.kind, policy.accounts)
        by_account[name] = by_account.get(name, ZERO) + line.amount
    for name, amount in by_account.items():
        if amount:
            entries.append(_entry(name, abs(amount), other if amount > 0 else own))
    if summary.total_tax:
        entries.append(
            _entry(
                policy.accounts.tax_liability, abs(summary.total_tax), other if summary.total_tax > 0 else own
            )
        )
    return replace(
        summary,
        type="JournalEntry",
        lines=tuple(entries),
        taxes=(),
        global_tax="NotApplicable",
        deposit_to="",
    )


def _entry(account: str, amount: Decimal, posting: Literal["debit", "credit"]) -> Line:
    return Line("account", "", amount, account=account, posting=posting)


def _account_of(kind: LineKind, accounts: Accounts) -> str:
    own = {
        "shipping": accounts.shipping,
        "wrapping": accounts.wrapping,
        "ecotax": accounts.ecotax,
        "discount": accounts.discount,
        "rounding": accounts.rounding,
        "restocking": accounts.restocking,
        "store_credit": accounts.store_credit,
        "gift_card": accounts.gift_card,
        "deposit": accounts.customer_deposits,
    }
    return own.get(kind, accounts.income)
