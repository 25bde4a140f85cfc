"""The trouble story of the demo: what goes wrong in every shop, done on purpose, found and mended.

What lives here: five troubles through the two sandboxes' own interfaces, and the comparison of what
reconciliation then says with what was done. What does not: any hint to the pipeline of what it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx

from ps_qb_pipeline.errors import IntegrityError
from ps_qb_pipeline.orchestration.runtime import Runtime

Figures = Mapping[str, Any]
_CANDIDATES = """
    select document.order_id, intent.qbo_id
    from ledger.documents as document
    join control.intents as intent on intent.key = document.key and intent.state = 'CONFIRMED'
    where document.type = 'SalesReceipt' and document.role = 'sale' and document.currency = $home
        and document.total > 20
        and document.order_id not in (
            select order_id from ledger.sources where source_type = 'slip'
            union all select order_id from ledger.findings
            union all select order_id from recon.exceptions where order_id is not null
        )
    order by document.order_id desc
    limit 4
"""


@dataclass(slots=True)
class Story:
    """What was done and what was said about it. Amounts are in home currency."""

    done: list[str] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    money: Decimal = Decimal(0)

    def add(self, code: str, amount: Decimal, words: str) -> None:
        """One trouble: the code that reconciliation must give it, and the money in it."""
        self.injected[code] += 1
        self.money += amount
        self.done.append(f"{words} ({amount:.2f})")


def make(runtime: Runtime, shop_url: str) -> Story:
    """Do the five troubles; the connection's posting must be off, so that each can be seen."""
    story = Story()
    with runtime.warehouse("choose documents", read_only=True) as con:
        home = runtime.connection.accounting.home_currency
        chosen = con.execute(_CANDIDATES, {"home": home}).fetchall()
    (_, deleted), (_, edited), (refunded, _) = chosen[:3]
    order = _control(shop_url, "place_order", way="card", customer="new", currency=home)
    story.add("MISSING_IN_QBO", _paid(order), f"order {order['order']} was paid in the shop")
    slip = _control(shop_url, "refund", order=refunded)
    story.add("MISSING_IN_QBO", _refunded(slip), f"order {refunded} was refunded in the shop")
    poisoned = _control(shop_url, "place_order", way="card", customer="new", currency=home)
    spoilt = _control(shop_url, "corrupt_order", order=poisoned["order"], how="malformed_amount")
    said = spoilt["columns"]["total_paid_tax_incl"]
    # What the order is worth nobody can read; the payment that came for it can be read.
    story.add("POISON_RECORD", _paid(poisoned), f"the total of order {poisoned['order']} reads {said!r}")
    _by_hand(runtime, str(deleted), str(edited), story)
    return story


def _control(url: str, command: str, **arguments: Any) -> dict[str, Any]:
    answer = httpx.put(f"{url}/_control", json={command: arguments}, timeout=60)
    body = answer.json()
    if answer.status_code != 200:
        raise IntegrityError(f"the sandbox refused {command}: {body.get('error')}")
    done: dict[str, Any] = body[0] if isinstance(body, list) else body
    return dict(done.get(command, done))


def _paid(order: Mapping[str, Any]) -> Decimal:
    return Decimal(str(order["total_paid_tax_incl"]))


def _refunded(slip: Mapping[str, Any]) -> Decimal:
    return Decimal(str(slip["total_products_tax_incl"])) + Decimal(str(slip["total_shipping_tax_incl"]))


def _by_hand(runtime: Runtime, deleted: str, edited: str, story: Story) -> None:
    """What a person might do in QuickBooks: one document deleted, one amount changed."""
    from quickbooks.objects import SalesReceipt

    with runtime.books() as books:
        receipt = SalesReceipt.get(int(deleted), qb=books.library)
        receipt.delete(qb=books.library)
        amount = Decimal(str(receipt.TotalAmt))
        story.add("QBO_DELETED", amount, f"sales receipt {receipt.DocNumber} was deleted in QuickBooks")
        row = books.read("SalesReceipt", edited)
        line = next(one for one in row["Line"] if one["DetailType"] == "SalesItemLineDetail")
        line["Amount"] = Decimal(str(line["Amount"])) + 10
        line["SalesItemLineDetail"].pop("UnitPrice", None)
        line["SalesItemLineDetail"].pop("Qty", None)
        row.pop("TxnTaxDetail", None)
        body = json.dumps(row, default=float).encode()
        after = books.update("SalesReceipt", body, f"hand-{edited}").body["SalesReceipt"]
        change = abs(Decimal(str(after["TotalAmt"])) - Decimal(str(row["TotalAmt"])))
        story.add(
            "QBO_EDITED", change, f"an amount of sales receipt {row['DocNumber']} was changed in QuickBooks"
        )


def compare(story: Story, before: Figures, during: Figures, after: Figures, home: str) -> dict[str, Any]:
    """What reconciliation said of the troubles, and what the next run mended."""
    found = _codes(during) - _codes(before)
    left = _codes(after) - _codes(before)
    return {
        "injected": dict(sorted(story.injected.items())),
        "exceptions": dict(sorted(found.items())),
        "injected_money": f"{story.money:.2f}",
        "open_difference": f"{_open(during, home) - _open(before, home):.2f}",
        "repaired": dict(sorted((found - left).items())),
        "left_to_a_person": dict(sorted(left.items())),
    }


def _codes(figures: Figures) -> Counter[str]:
    return Counter(figures["exceptions"]) + Counter(figures["held"])


def _open(figures: Figures, home: str) -> Decimal:
    return Decimal(str(figures["open_difference"].get(home, "0")))


def tell(runtime: Runtime, shop_url: str, before: Figures, job: Callable[[str], Figures]) -> dict[str, Any]:
    """The whole story: trouble while posting is off, what is found, and the run that mends."""
    from ps_qb_pipeline.state.connections import Connections

    connections = Connections(runtime.engine)
    connections.disarm(runtime.name, by="psqb demo", reason="the trouble story")
    story = make(runtime, shop_url)
    during = job("a look at the trouble, posting off")
    connections.arm(runtime.name, by="psqb demo", reason="the trouble story")
    after = job("the run that mends")
    home = runtime.connection.accounting.home_currency
    return {"story": story.done, **compare(story, before, during, after, home)}
