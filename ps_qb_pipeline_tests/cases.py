"""Runs a file of worked cases through the engine: ``python -m ps_qb_pipeline_tests.cases FILE``.

Each case gives PrestaShop's numbers and names the QuickBooks documents that must come out. A document
holds when every key that the case names is equal; lines and taxes are compared as sets. A line a case
is printed, then how many passed and failed. The keys are described beside the worked cases.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from ps_qb_pipeline.accounting import changes, intake, payouts, summaries, translate
from ps_qb_pipeline.accounting.documents import Document, Line, Translation
from ps_qb_pipeline.accounting.policy import Policy
from ps_qb_pipeline_tests.cases_rows import Tables, amount, moment, policy_of

ZERO = Decimal(0)
LONG_AGO = date(2000, 1, 1)
NOT_IN_CASES = {
    "ORDER_EDITED",
    "SLIP_LINES_DIFF",
    "STORE_CREDIT_ISSUED",
    "SKU_CLASH",
    "SKU_EMPTY",
    "TAX_FORM_ADJUSTED",
    "ROW_TOTAL_DIFF",
    "ECOTAX_LEFT_OUT",
}
"""Information of ours about catalogue and form, which worked cases do not speak of."""

SETTLED_BY = {
    "hold": {"PAY_UNDER", "PAY_OVER"},
    "adjust": {"PAY_UNDER", "PAY_OVER", "PERIOD_CLOSED"},
    "void": {"PAY_UNDER", "REFUND_NO_SLIP"},
}
"""What need not be said of an order any more when its posted document is held, adjusted or voided."""


def main(arguments: list[str]) -> int:
    """Runs every case of the file and prints a line each; 0 when all passed."""
    if len(arguments) != 1:
        print("usage: python -m ps_qb_pipeline_tests.cases FILE")
        return 2
    outcomes = run(Path(arguments[0]))
    for outcome in outcomes:
        print(outcome.line())
    failed = sum(bool(outcome.problems) for outcome in outcomes)
    print(f"{len(outcomes) - failed} passed, {failed} failed")
    return 1 if failed else 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one case."""

    case: str
    title: str
    problems: tuple[str, ...]

    def line(self) -> str:
        """One line for people; the first problem stands in it."""
        word = "failed" if self.problems else "passed"
        more = f" - {self.problems[0]}" if self.problems else ""
        return f"{self.case} {word}: {self.title}{more}"


def run(path: Path) -> list[Outcome]:
    """The outcomes of all cases of a file."""
    content = yaml.safe_load(path.read_text())
    rates = {code: Decimal(str(rate)) for code, rate in content["rates"].items()}
    return [judge(case, rates) for case in content["cases"]]


def judge(case: Mapping[str, Any], rates: Mapping[str, Decimal]) -> Outcome:
    """The outcome of one case."""
    result = Result()
    try:
        result = carry_out(case, rates)
        problems = compare(case["expected"], result)
    except Exception as error:  # noqa: BLE001 -- a case that cannot be run has failed, and the others go on
        problems = [f"{type(error).__name__}: {error}"]
    return Outcome(case["id"], case.get("title", ""), tuple(problems))


# -- carrying a case out ----------------------------------------------------------------------


@dataclass(slots=True)
class Result:
    """What the engine made of a case, in the words of the cases."""

    action: str = "none"
    documents: list[dict[str, Any]] = field(default_factory=list)
    extra: list[dict[str, Any]] = field(default_factory=list)
    """Documents that a case about something else need not name: the sale behind a refund."""
    exceptions: set[str] = field(default_factory=set)


def carry_out(case: Mapping[str, Any], rates: Mapping[str, Decimal]) -> Result:
    """Runs one case through intake, translation, summaries, changes and payouts."""
    shop = case["prestashop"]
    policy = policy_of(case, rates)
    tables = Tables(shop, rates, policy).tables
    posted = posted_of(shop)
    made = [
        translate.translate(group, policy, go_live=LONG_AGO, posted=posted) for group in intake.groups(tables)
    ]
    result = Result()
    findings = [finding for one in made for finding in one.findings]
    documents = [document for one in made for document in one.documents]
    if policy.posting == "daily":
        documents = list(summaries.summarise(documents, policy).documents)
    about_slips = bool(shop.get("slips"))
    for document in documents:
        behind = about_slips and document.role in {"sale", "payment"}
        (result.extra if behind else result.documents).append(told(document))
    relevant = {finding.code for finding in findings if not about_slips or finding.source_type == "slip"}
    result.exceptions = relevant
    result.action = _action(made, result, about_slips=about_slips)
    if shop.get("posted"):
        _after_posting(shop, policy, made, documents, result)
    if shop.get("payout"):
        _pay_out(shop, policy, documents, result)
    return result


def posted_of(shop: Mapping[str, Any]) -> dict[str, date]:
    """The dates of the sales that QuickBooks already holds, by key."""
    dates = {}
    for entry in shop.get("posted", []):
        for order in shop.get("orders", []):
            if str(entry["doc_number"]).endswith(f"-{order['id_order']}"):
                at = entry.get("txn_date") or order.get("invoice_date") or "2026-01-01"
                dates[f"1|sale|{order['id_order']}|0"] = moment(at).date()
    return dates


def _action(made: list[Translation], result: Result, *, about_slips: bool) -> str:
    sources = [source for one in made for source in one.sources]
    if about_slips:
        sources = [source for source in sources if source.type == "slip"]
    if result.documents:
        return "post"
    return "hold" if any(source.status == "held" for source in sources) else "none"


def _after_posting(
    shop: Mapping[str, Any],
    policy: Policy,
    made: list[Translation],
    documents: list[Document],
    result: Result,
) -> None:
    """Replaces what would be posted by what has to be done to what is posted already."""
    wanted = {document.doc_number: document for document in documents}
    held = {source.reason for one in made for source in one.sources if source.status == "held"}
    result.documents = [
        told
        for told in result.documents
        if told["doc_number"] not in {str(entry["doc_number"]) for entry in shop["posted"]}
    ]
    actions = []
    for entry in shop["posted"]:
        number = str(entry["doc_number"])
        order = next((o for o in shop["orders"] if number.endswith(str(o["id_order"]))), shop["orders"][0])
        rows = [
            p for p in shop.get("payments", []) if p.get("id_order", order["id_order"]) == order["id_order"]
        ]
        own = wanted.get(number)
        if own is None and held:
            actions.append("hold")
            continue
        at = moment(entry.get("txn_date") or order.get("invoice_date") or "2026-01-01")
        edited = order.get("edited_at") or shop.get("edited_at")
        change = changes.decide(
            own,
            changes.Posted(
                entry["type"], number, amount(entry["total"]), at.date(), str(entry.get("sync_token", "0"))
            ),
            policy,
            changes.Facts(
                cancelled=own is None,
                invoice_issued=bool(order.get("invoice_date")),
                received=sum((amount(row["amount"]) for row in rows), ZERO),
                day=moment(edited).date() if edited else None,
            ),
        )
        actions.append(change.action)
        if change.code:
            result.exceptions.add(change.code)
        _tell_change(change, own, result)
        result.exceptions -= SETTLED_BY.get(change.action, set()) - {change.code}
    new = "post" if result.documents else "none"
    result.action = next((action for action in actions if action != "none"), new)
    if result.action == "hold":
        result.documents = []
    elif result.action in {"adjust", "void"}:
        result.documents = [one for one in result.documents if one.get("target")]


def _tell_change(change: changes.Change, wanted: Document | None, result: Result) -> None:
    target = change.target
    if change.action == "void":
        result.documents.append(
            {
                "type": "Void",
                "doc_number": target.doc_number,
                "target": target.doc_number,
                "target_type": target.type,
                "sync_token": target.sync_token,
                "total_after": ZERO,
            }
        )
    elif change.document is not None:
        told_ = told(change.document)
        told_["sync_token"] = target.sync_token
        told_["target"], told_["target_type"] = target.doc_number, target.type
        if change.action == "update":
            told_["update_of"] = target.doc_number
        if wanted is not None:
            told_["total_after"] = wanted.total
        result.documents.append(told_)


def _pay_out(shop: Mapping[str, Any], policy: Policy, documents: list[Document], result: Result) -> None:
    entry = shop["payout"]
    home = sum((d.home_total or ZERO for d in documents if d.currency == entry["currency"]), ZERO)
    foreign = sum((d.total for d in documents if d.currency == entry["currency"]), ZERO)
    rate = (home / foreign).quantize(Decimal("0.000001")) if foreign else None
    received = entry.get("received_home")
    made = payouts.settle(
        payouts.Payout(
            str(entry["id"]),
            entry["currency"],
            moment(entry["date"]).date(),
            entry["method"],
            amount(entry.get("gross")),
            amount(entry.get("refunds")),
            amount(entry.get("fees")),
            amount(entry.get("net")),
            None if received is None else amount(received),
        ),
        policy,
        carrying_rate=rate,
    )
    result.extra += result.documents
    rolled = made.roll_forward
    result.documents = [told(document) for document in made.documents]
    result.extra.append(
        {
            "type": "RollForward",
            **{name: getattr(rolled, name) for name in rolled._fields},
            "total": rolled.closing,
            "currency": entry["currency"],
        }
    )
    result.exceptions |= {finding.code for finding in made.findings}
    result.action = "post"


# -- telling documents in the words of the cases, and comparing -------------------------------


def told(document: Document) -> dict[str, Any]:
    """A document under the keys that cases use."""
    return {
        "type": document.type,
        "doc_number": document.doc_number,
        "ref": document.doc_number,
        "txn_date": str(document.txn_date),
        "due_date": str(document.due_date) if document.due_date else None,
        "currency": document.currency,
        "exchange_rate": document.exchange_rate,
        "home_total": document.home_total,
        "customer": document.customer_name,
        "location": document.location,
        "global_tax": document.global_tax,
        "lines": [_told_line(line) for line in document.lines],
        "tax": [
            {"code": tax.code, "rate": tax.rate, "base": tax.base, "amount": tax.amount}
            for tax in document.taxes
        ],
        "total_tax": document.total_tax,
        "total": document.total,
        "deposit_to": document.deposit_to,
        "pay_from": document.from_account,
        "from_account": document.from_account,
        "to_account": document.to_account,
        "applied": [{"to": part.to_doc_number, "amount": part.amount} for part in document.applied],
        "unapplied": document.unapplied,
        "refund_of": document.refund_of,
    }


def _told_line(line: Line) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "item": "PS:SKU" if line.kind == "product" else line.item,
        "amount": line.amount,
        "tax_code": line.tax_code,
        "qty": line.quantity,
        "unit_price": line.unit_price,
        "description": line.description,
        "account": line.account,
        "debit": line.amount if line.posting == "debit" else None,
        "credit": line.amount if line.posting == "credit" else None,
        "foreign_amount": line.foreign_amount,
    }


SAME_CODE = {"TAX": "AST"}
"""The automated tax code: QuickBooks calls it TAX on a line, the cases list it as AST."""


def compare(expected: Mapping[str, Any], result: Result) -> list[str]:
    """What differs between a case's answer and the engine's."""
    problems = []
    if expected["action"] != result.action:
        problems.append(f"action {result.action}, expected {expected['action']}")
    wanted = list(expected.get("documents", []))
    left = list(result.documents)
    for document in wanted:
        pool = left + result.extra
        same = [one for one in pool if one["type"] == document["type"] and _named_alike(document, one)]
        if not same:
            have = ", ".join(f"{one['type']} {one.get('doc_number', '')}" for one in pool) or "none"
            problems.append(
                f"no {document['type']} {document.get('doc_number', document.get('ref', ''))}; have {have}"
            )
            continue
        best = min((_differences(document, one) for one in same), key=len)
        problems += [f"{document['type']} {document.get('doc_number', '')}: {text}" for text in best]
        found = min(same, key=lambda one: len(_differences(document, one)))
        if found in left:
            left.remove(found)
    problems += [
        f"unexpected {one['type']} {one.get('doc_number', '')} of {one.get('total')}" for one in left
    ]
    codes = set(expected.get("exceptions", []))
    told_codes = {code for code in result.exceptions if code not in NOT_IN_CASES or code in codes}
    if codes != told_codes:
        problems.append(f"exceptions {sorted(told_codes)}, expected {sorted(codes)}")
    return problems


def _named_alike(document: Mapping[str, Any], one: Mapping[str, Any]) -> bool:
    for key in ("doc_number", "ref", "target"):
        if key in document and document[key] != one.get(key):
            return False
    return True


def _differences(document: Mapping[str, Any], one: Mapping[str, Any]) -> list[str]:
    found = []
    for key, value in document.items():
        have = one.get(key)
        if key in {"lines", "tax", "applied"}:
            found += _differ_as_sets(key, value, have or [])
        elif not equal(value, have):
            found.append(f"{key} {have}, expected {value}")
    return found


def _differ_as_sets(key: str, wanted: Iterable[Mapping[str, Any]], have: list[dict[str, Any]]) -> list[str]:
    left = list(have)
    missing = []
    for entry in sorted(wanted, key=len, reverse=True):
        match = next((one for one in left if all(equal(v, one.get(k)) for k, v in entry.items())), None)
        if match is None:
            missing.append(entry)
        else:
            left.remove(match)
    if not missing and not left:
        return []
    return [f"{key}: missing {[dict(entry) for entry in missing]}, left over {[_brief(one) for one in left]}"]


def _brief(one: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in one.items() if value not in {None, ""}}


def equal(wanted: Any, have: Any) -> bool:
    """Whether a case's value and the engine's are the same, amounts as numbers."""
    if isinstance(have, Decimal) or (have is None and _is_number(wanted)):
        return _is_number(wanted) and Decimal(str(wanted)) == (have or ZERO)
    if wanted is None:
        return have in {None, ""}
    return SAME_CODE.get(str(wanted), str(wanted)) == SAME_CODE.get(str(have), str(have))


def _is_number(text: Any) -> bool:
    try:
        Decimal(str(text))
    except ArithmeticError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
