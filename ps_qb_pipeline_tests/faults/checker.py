"""The conservation proof as judge: every source in exactly one class, every document somebody's."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from ps_qb_pipeline.accounting.documents import Document
from ps_qb_pipeline.posting import plan
from ps_qb_pipeline.state import audit, holds, intents
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline.state.intents import EDGES, FOR_A_PERSON, IN_FLIGHT, Intent
from ps_qb_pipeline_tests.faults.books import Row, source_of
from ps_qb_pipeline_tests.faults.day import CONNECTION, REALM, Day, Verdict


def judge(day: Day) -> Verdict:
    """What became of a day, checked against the company itself and not against what we believe."""
    verdict = Verdict(day.seed, orders=len(day.shop.orders), trace=day.hasher.hexdigest())
    verdict.duplicates = len(day.company.duplicates)
    verdict.tokens_lost = day.tokens_lost
    live: dict[str, list[Row]] = {}
    for _, row in day.company.live():
        if source_of(row):
            live.setdefault(source_of(row), []).append(row)
    with reading(day.quiet) as tx:
        history = {}
        for one in _all(tx):
            history.setdefault(one.source_key, []).append(one)
        held = {f"{hold.source_type}|{hold.source_id}" for hold in holds.of(tx, CONNECTION)}
        _control_plane(tx, verdict)
    if day.mail.taken_in_by_mistake:
        verdict.broken.append(f"{day.mail.taken_in_by_mistake} forged or unreadable hints were taken in")
    wanted: set[str] = set()
    for order in day.shop.orders.values():
        for document in order.documents():
            wanted.add(f"{document.role}|{document.source_id}")
            _classify(day, verdict, document, live, history, held)
        for key in order.voids():
            _cancelled(day, verdict, plan.source_key(key).split("|", 1)[1], live, held, history)
            wanted.add(plan.source_key(key).split("|", 1)[1])
        _refunds(verdict, order, live)
    for source in live.keys() - wanted:
        verdict.broken.append(f"{source} is in the books and nobody's")
        verdict.unclassified += sum((abs(row["TotalAmt"]) for row in live[source]), Decimal(0))
    _people(day, verdict, live)
    _cards(day, verdict, history)
    return verdict


def _all(tx: Any) -> list[Intent]:
    return intents.in_states(tx, REALM, EDGES)


def _control_plane(tx: Any, verdict: Verdict) -> None:
    chain = audit.verify(tx)
    if not chain.good:
        verdict.broken.append(f"audit chain: {chain.why}")
    shas: dict[str, set[str]] = {}
    query = "select requestid, body_sha from intent_events where to_state in ('SENT', 'UNKNOWN', 'CONFIRMED')"
    for row in tx.execute(text(query)):
        shas.setdefault(row.requestid, set()).add(row.body_sha)
    if any(len(found) > 1 for found in shas.values()):
        verdict.broken.append("a request id was used for two bodies")
    doubles = tx.execute(
        text("select count(*) - count(distinct source || '|' || event_id) from inbox")
    ).scalar_one()
    verdict.inbox_doubles = int(doubles)
    flying = [one.key for one in _all(tx) if one.state in IN_FLIGHT]
    if flying:
        verdict.broken.append(f"still unknown after the calm: {flying[:3]}")


def _classify(
    day: Day,
    verdict: Verdict,
    document: Document,
    live: dict[str, list[Row]],
    history: dict[str, list[Intent]],
    held: set[str],
) -> None:
    """Put one wanted document into its class, or into none."""
    source = f"{document.role}|{document.source_id}"
    rows = live.get(source, [])
    verdict.documents += 1
    touched = day.hands.touched
    standing = plan.standing(history.get(f"1|{source}", ()))
    pending = standing.pending
    with_person = source in held or (pending is not None and pending.state in FOR_A_PERSON)
    if source in touched.removed:
        verdict.by_people += 1
        if rows:
            verdict.broken.append(f"{source} was removed by a person and written again")
    elif rows and rows[0]["TotalAmt"] == document.total and pending is None:
        verdict.matched += 1
    elif with_person:
        verdict.with_person += 1
    elif rows and source in touched.edited:
        verdict.by_people += 1
    elif rows:
        verdict.unclassified += abs(rows[0]["TotalAmt"] - document.total) or document.total
        state = pending.state if pending else "no intent pending"
        verdict.broken.append(
            f"{source}: {rows[0]['TotalAmt']} in the books, {document.total} wanted, {state}"
        )
    elif _waits(day, document, live, history, held):
        verdict.with_person += 1
    else:
        verdict.lost += 1
        verdict.broken.append(f"{source} is lost: {[one.state for one in history.get(f'1|{source}', ())]}")


def _waits(
    day: Day,
    document: Document,
    live: dict[str, list[Row]],
    history: dict[str, list[Intent]],
    held: set[str],
) -> bool:
    """Whether a document is kept back by another one that is with a person or was removed by one."""
    if document.key not in day.last_held:
        return False
    for key in plan.references(document):
        source = plan.source_key(key).split("|", 1)[1]
        found = plan.standing(history.get(plan.source_key(key), ()))
        pending = found.pending is not None and found.pending.state in FOR_A_PERSON
        if source in day.hands.touched.removed or source in held or pending:
            return True
        if source not in live:
            return True
    cards = [f"Customer|{document.customer_key}", *(f"Item|{line.item}" for line in document.lines)]
    found_cards = [plan.standing(history.get(card, ())).pending for card in cards]
    return any(card is not None and card.state in FOR_A_PERSON for card in found_cards)


def _cancelled(
    day: Day,
    verdict: Verdict,
    source: str,
    live: dict[str, list[Row]],
    held: set[str],
    history: dict[str, list[Intent]],
) -> None:
    rows = live.get(source, [])
    pending = plan.standing(history.get(f"1|{source}", ())).pending
    person = pending is not None and pending.state in FOR_A_PERSON
    if rows and source not in held and source not in day.hands.touched.edited and not person:
        verdict.unclassified += rows[0]["TotalAmt"]
        verdict.broken.append(f"{source} was cancelled and is not void")


def _refunds(verdict: Verdict, order: Any, live: dict[str, list[Row]]) -> None:
    rows = [row for number, _ in order.refunds for row in live.get(f"refund|{number}", [])]
    refunded = sum((Decimal(row["TotalAmt"]) for row in rows), Decimal(0))
    documents = order.documents()
    if documents and refunded > documents[0].total + len(rows):
        verdict.double_refunds += 1


def _people(day: Day, verdict: Verdict, live: dict[str, list[Row]]) -> None:
    """What a person wrote stands as the person wrote it."""
    for source, edited in day.hands.touched.edited.items():
        for row in live.get(source, []):
            if row["Id"] == edited["Id"] and row["TotalAmt"] != edited["TotalAmt"]:
                verdict.overwritten += 1
                verdict.broken.append(f"{source}: a person's {edited['TotalAmt']} became {row['TotalAmt']}")


def _cards(day: Day, verdict: Verdict, history: dict[str, list[Intent]]) -> None:
    """Cards that we made say what the shop says, but for the names that people gave them; nobody has two."""
    table = day.company.table("Customer")
    for who in sorted({order.who for order in day.shop.orders.values()}):
        card = day.shop.customer(who)
        base, pending, _ = plan.standing(history.get(f"Customer|{card.key}", ()))
        if base is None or (pending is not None and pending.state in FOR_A_PERSON):
            continue
        row = table[base.qbo_id]
        mail = (row.get("PrimaryEmailAddr") or {}).get("Address", "")
        name = day.hands.touched.cards.get(base.qbo_id)
        if mail != card.email:
            verdict.broken.append(f"card of {card.key}: {mail} in the books, {card.email} in the shop")
        if row["DisplayName"] != name if name else not row["DisplayName"].startswith(card.display_name):
            verdict.broken.append(
                f"card of {card.key} is called {row['DisplayName']}, not {name or card.display_name}"
            )
    mails = Counter((row.get("PrimaryEmailAddr") or {}).get("Address") for row in table.values())
    twice = [mail for mail, count in mails.items() if mail and count > 1]
    if twice:
        verdict.broken.append(f"two cards of one person: {twice}")
