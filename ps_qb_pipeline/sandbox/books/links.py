"""What transactions link to: payments to invoices and credits, bill payments to bills, deposits to receipts.

What lives here: checking a link, keeping both sides and their open balances, undoing links. What does
not: the postings that follow.
"""

from __future__ import annotations

from decimal import Decimal

from ps_qb_pipeline.sandbox.books import faults
from ps_qb_pipeline.sandbox.books.codec import Json, amount, decimal, money, ref
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import ENTITIES, Entity

# What each payer may be applied to, and with which sign it uses up the payer's money.
APPLIES = {
    "Payment": {"Invoice": 1, "CreditMemo": -1},
    "BillPayment": {"Bill": 1, "VendorCredit": -1},
}
LOOSE = {
    "JournalEntry",
    "Expense",
    "Check",
    "Deposit",
    "ReimburseCharge",
    "StatementCharge",
    "CreditCardCredit",
    "Purchase",
}
BANKABLE = {"Payment", "SalesReceipt", "RefundReceipt", "JournalEntry", "Purchase", "Transfer"}


def applied(entity: str, body: Json) -> list[tuple[str, int, Decimal]]:
    """Return (entity, id, amount) of every transaction that a payment is applied to."""
    found = []
    for line in body.get("Line", []):
        for link in line.get("LinkedTxn", []):
            kind = str(link.get("TxnType", ""))
            if kind in APPLIES.get(entity, {}):
                found.append((kind, _number(link.get("TxnId")), amount(line.get("Amount"))))
    return found


def _number(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise faults.invalid_id(value, "TxnId") from None


def check(company: Company, entity: Entity, number: int, body: Json, before: Json | None) -> None:
    """Refuse links that cannot be made; compute what stays unapplied of a payment."""
    del number
    if entity.name in APPLIES:
        _check_applied(company, entity.name, body, before)
    elif entity.name == "Deposit":
        _check_deposit(company, body, before)
    elif entity.name == "Invoice":
        for link in body.get("LinkedTxn", []):
            kind = str(link.get("TxnType"))
            if kind in ENTITIES and company.find(kind, _number(link.get("TxnId"))) is None:
                raise faults.cannot_link(str(link.get("TxnId")))


def _check_applied(company: Company, name: str, body: Json, before: Json | None) -> None:
    earlier = {(kind, ident): value for kind, ident, value in applied(name, before or {})}
    used = Decimal(0)
    for line in body.get("Line", []):
        for link in line.get("LinkedTxn", []):
            if link.get("TxnType") not in APPLIES[name] and link.get("TxnType") not in LOOSE:
                raise faults.cannot_link(str(link.get("TxnId")))
    owner = "CustomerRef" if name == "Payment" else "VendorRef"
    for kind, ident, value in applied(name, body):
        other = company.find(kind, ident)
        if other is None:
            raise faults.not_found(f"{kind} {ident}")
        if value < 0:
            raise faults.negative("Line.Amount")
        if ref(other.get(owner)) != ref(body.get(owner)):
            raise faults.business("The transaction it is applied to belongs to another name.", owner)
        if ref(other.get("CurrencyRef")) != ref(body.get("CurrencyRef")):
            raise faults.business("The transaction it is applied to is in another currency.", "CurrencyRef")
        if value > amount(other.get("Balance")) + earlier.get((kind, ident), Decimal(0)):
            raise faults.business(
                "You can't apply more than the open balance of a transaction.", "Line.Amount"
            )
        used += APPLIES[name][kind] * value
    rest = amount(body["TotalAmt"]) - used
    if rest < 0:
        raise faults.business("The amount applied is more than the amount of the payment.", "TotalAmt")
    if name == "Payment":
        body["UnappliedAmt"] = rest


def matches(company: Company, body: Json) -> list[Json]:
    """Return the lines of a payment of nothing that settles a customer's open credits with open invoices."""
    left: dict[str, list[tuple[str, Decimal]]] = {"Invoice": [], "CreditMemo": []}
    for kind, found in left.items():
        for row in company.store.select(kind, "deleted=0", (), "order by txn_date, id"):
            other = row.json()
            same = all(ref(other.get(name)) == ref(body.get(name)) for name in ("CustomerRef", "CurrencyRef"))
            if same and amount(other.get("Balance")) > 0:
                found.append((str(row.id), amount(other["Balance"])))
    use = min(sum((value for _, value in found), Decimal(0)) for found in left.values())
    lines = []
    for kind, found in left.items():
        rest = use
        for ident, value in found:
            part = min(value, rest)
            if part:
                lines.append({"Amount": part, "LinkedTxn": [{"TxnId": ident, "TxnType": kind}]})
            rest -= part
    return lines


def complete_deposit_line(company: Company, line: Json) -> None:
    """Check one line of a deposit and give it its detail; a linked line takes the amount of what it banks."""
    linked = line.get("LinkedTxn") or []
    for link in linked:
        kind = str(link.get("TxnType", ""))
        if kind not in BANKABLE or company.find(kind, _number(link.get("TxnId"))) is None:
            raise faults.cannot_link(str(link.get("TxnId")))
        if "TxnLineId" not in link:
            raise faults.required("TxnLineId")
        if "Amount" not in line:
            line["Amount"] = amount((company.find(kind, _number(link["TxnId"])) or {}).get("TotalAmt"))
    if linked:
        return
    line.setdefault("DetailType", "DepositLineDetail")
    if not ref((line.get("DepositLineDetail") or {}).get("AccountRef")):
        raise faults.required("AccountRef")


def banked(body: Json) -> list[tuple[str, int]]:
    """Return (entity, id) of everything that a deposit banks."""
    return [
        (str(link["TxnType"]), _number(link["TxnId"]))
        for line in body.get("Line", [])
        for link in line.get("LinkedTxn", [])
    ]


def _check_deposit(company: Company, body: Json, before: Json | None) -> None:
    mine = set(banked(before or {}))
    for kind, ident in banked(body):
        source = company.find(kind, ident) or {}
        if (kind, ident) not in mine and is_deposited(source):
            raise faults.deposited()


def is_deposited(body: Json) -> bool:
    """Whether a transaction is part of a deposit."""
    return any(link.get("TxnType") == "Deposit" for link in body.get("LinkedTxn", []))


def refuse_deposited(before: Json, after: Json | None) -> None:
    """Refuse to delete or void a deposited transaction, or to change its money."""
    if not is_deposited(before):
        return
    money_fields = ("TotalAmt", "DepositToAccountRef", "CurrencyRef")
    if after is None or any(name in after and after[name] != before.get(name) for name in money_fields[1:]):
        raise faults.deposited()
    if "Line" in after and _sums(after) != _sums(before):
        raise faults.deposited()


def _sums(body: Json) -> list[Decimal]:
    return [
        amount(line.get("Amount"))
        for line in body.get("Line", [])
        if line.get("DetailType") != "SubTotalLineDetail"
    ]


def apply(company: Company, entity: Entity, number: int, body: Json, before: Json | None) -> None:
    """Bring the other side of every link up to date after ``body`` was stored."""
    if before is not None:
        _release(company, entity.name, number, before)
    if entity.name in APPLIES:
        for kind, ident, value in applied(entity.name, body):
            _settle(company, kind, ident, -value, (entity.name, number), add=True)
    elif entity.name == "Deposit":
        for kind, ident in banked(body):
            _mark(company, kind, ident, "Deposit", number, add=True)
    elif entity.name == "Invoice":
        for link in body.get("LinkedTxn", []):
            if link.get("TxnType") == "Estimate":
                _close_estimate(company, _number(link["TxnId"]), number)


def undo(company: Company, entity: Entity, number: int, before: Json) -> None:
    """Take a transaction that goes away out of everything that it links to or that links to it."""
    _release(company, entity.name, number, before)
    for link in before.get("LinkedTxn", []):
        kind = str(link.get("TxnType", ""))
        payer = "BillPayment" if kind.startswith("BillPayment") else kind
        if payer in APPLIES:
            _drop_line(company, payer, _number(link["TxnId"]), entity.name, number)


def _release(company: Company, name: str, number: int, before: Json) -> None:
    if name in APPLIES:
        for kind, ident, value in applied(name, before):
            _settle(company, kind, ident, value, (name, number), add=False)
    elif name == "Deposit":
        for kind, ident in banked(before):
            _mark(company, kind, ident, "Deposit", number, add=False)


def _settle(
    company: Company, kind: str, ident: int, change: Decimal, payer: tuple[str, int], *, add: bool
) -> None:
    found = company.find(kind, ident)
    if found is None:
        return
    body = dict(found)
    body["Balance"] = amount(body.get("Balance")) + change
    if "HomeBalance" in body:
        body["HomeBalance"] = money(body["Balance"] * (decimal(body.get("ExchangeRate")) or 1))
    if "RemainingCredit" in body:
        body["RemainingCredit"] = body["Balance"]
    body["LinkedTxn"] = _relinked(company, body, payer, add=add)
    company.patch(kind, ident, body, touched=True)
    company.note(kind, ident, "Update")


def _relinked(company: Company, body: Json, payer: tuple[str, int], *, add: bool) -> list[Json]:
    name, number = payer
    shown = name
    if name == "BillPayment":
        shown = f"BillPayment{(company.find(name, number) or {}).get('PayType', 'Check')}"
    kept = [
        link
        for link in body.get("LinkedTxn", [])
        if not (link["TxnId"] == str(number) and link["TxnType"].startswith(name))
    ]
    return [*kept, {"TxnId": str(number), "TxnType": shown}] if add else kept


def _mark(company: Company, kind: str, ident: int, name: str, number: int, *, add: bool) -> None:
    found = company.find(kind, ident)
    if found is None:
        return
    body = dict(found)
    body["LinkedTxn"] = _relinked(company, body, (name, number), add=add)
    company.patch(kind, ident, body, touched=True)
    company.note(kind, ident, "Update")


def _close_estimate(company: Company, ident: int, invoice: int) -> None:
    found = company.find("Estimate", ident)
    if found is None:
        return
    body = dict(found, TxnStatus="Closed")
    links = [link for link in body.get("LinkedTxn", []) if link["TxnId"] != str(invoice)]
    body["LinkedTxn"] = [*links, {"TxnId": str(invoice), "TxnType": "Invoice"}]
    company.patch("Estimate", ident, body, touched=True)


def _drop_line(company: Company, payer: str, ident: int, name: str, number: int) -> None:
    """Remove from a payment its line for a transaction that is gone; the money becomes unapplied."""
    from ps_qb_pipeline.sandbox.books import postings

    found = company.find(payer, ident)
    if found is None:
        return
    body = dict(found)
    body["Line"] = [
        line
        for line in body.get("Line", [])
        if not any(
            link.get("TxnType") == name and str(link.get("TxnId")) == str(number)
            for link in line.get("LinkedTxn", [])
        )
    ]
    if payer == "Payment":
        used = sum((APPLIES[payer][kind] * value for kind, _, value in applied(payer, body)), Decimal(0))
        body["UnappliedAmt"] = max(amount(body["TotalAmt"]) - used, Decimal(0))
    company.patch(payer, ident, body, touched=True)
    company.note(payer, ident, "Update")
    entries = postings.entries(company, payer, body)
    company.store.replace_entries(payer, ident, body["TxnDate"], str(body.get("DocNumber", "")), entries)
