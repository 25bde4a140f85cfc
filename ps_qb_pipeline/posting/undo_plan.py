"""What an undo would take back, shown before anything is written.

What lives here: which documents and cards the named runs made as they stand now, what each would become,
and why some are left alone: a person changed them, or something of another run hangs on them. What does
not: carrying it out (``undo``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from ps_qb_pipeline.accounting.documents import from_json
from ps_qb_pipeline.errors import SettingsError
from ps_qb_pipeline.posting import echo, plan
from ps_qb_pipeline.posting.changing import read_many, why_not_ours
from ps_qb_pipeline.posting.ports import Row
from ps_qb_pipeline.posting.worker import Worker
from ps_qb_pipeline.quickbooks import query
from ps_qb_pipeline.state import intents
from ps_qb_pipeline.state.database import reading
from ps_qb_pipeline.state.intents import CONFIRMED, IN_FLIGHT, MISMATCH, VOIDED, Intent

Action = Literal["void", "reverse", "restore", "deactivate", "leave"]

CARD_ROLES = frozenset({"customer", "item"})

NEVER_VOID = frozenset({"JournalEntry", "Transfer"})
"""What QuickBooks cannot void: the opposite is booked, on the same day where its period is open."""

USERS = (
    "SalesReceipt",
    "Invoice",
    "Payment",
    "RefundReceipt",
    "CreditMemo",
    "JournalEntry",
    "Deposit",
    "Purchase",
)
"""Where customers and items are used."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the plan. ``amount`` is the document's total; ``why`` says more about what is left."""

    action: Action
    key: str
    entity: str
    number: str
    qbo_id: str
    amount: Decimal = Decimal(0)
    currency: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """Everything that an undo would do, in the order in which it would."""

    runs: tuple[str, ...]
    steps: tuple[Step, ...]

    def counts(self) -> dict[str, int]:
        """How many steps of each kind."""
        found: dict[str, int] = {}
        for step in self.steps:
            found[step.action] = found.get(step.action, 0) + 1
        return found

    def amounts(self, action: Action) -> dict[str, Decimal]:
        """The money of one kind of step, by currency."""
        sums: dict[str, Decimal] = {}
        for step in self.steps:
            if step.action == action and step.amount:
                sums[step.currency] = sums.get(step.currency, Decimal(0)) + step.amount
        return sums


@dataclass(frozen=True, slots=True)
class Task:
    """One document to take back: as it stands, what it should be again if anything, and why it is left."""

    base: Intent
    before: Intent | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the runs made: documents, those that hang on others first, and cards as they stand now."""

    tasks: tuple[Task, ...]
    cards: tuple[Intent, ...]
    made_since: datetime | None
    """When the first of the cards was made."""
    left: Mapping[str, str] = field(default_factory=dict)
    in_flight: tuple[str, ...] = ()
    """Sent, and nobody knows yet whether they arrived."""


def choose(worker: Worker, runs: Sequence[str], keys: Sequence[str]) -> Chosen:
    """Everything that these runs, or these documents, stand for. Raises SettingsError when a run wrote nothing."""
    found: dict[str, Intent] = {}
    with reading(worker.engine) as tx:
        for run in runs:
            of_run = intents.of_run(tx, worker.realm, run)
            if not of_run:
                raise SettingsError(f"run {run} wrote nothing to the books of {worker.connection}")
            found.update((one.key, one) for one in of_run)
        found.update(intents.load(tx, worker.realm, keys))
        history = intents.of_sources(tx, worker.realm, {one.source_key for one in found.values()})
    mine: dict[str, list[Intent]] = {}
    for one in sorted(found.values(), key=lambda intent: (intent.revision, intent.key)):
        in_books = one.confirmed_at is not None or one.state == MISMATCH
        if in_books and one.operation in {"create", "update"}:
            mine.setdefault(one.source_key, []).append(one)
    papers = {source: ours for source, ours in mine.items() if ours[0].role not in CARD_ROLES}
    tasks = _with_what_hangs_on(worker, _tasks(papers, history))
    cards, left = _cards({source: mine[source] for source in mine.keys() - papers.keys()}, history)
    since = min((one.created_at for card in cards for one in history[card.source_key]), default=None)
    in_flight = tuple(sorted(one.key for one in found.values() if one.state in IN_FLIGHT))
    return Chosen(tuple(tasks), tuple(cards), since, left, in_flight)


def _tasks(papers: Mapping[str, Sequence[Intent]], history: Mapping[str, Sequence[Intent]]) -> list[Task]:
    tasks: list[Task] = []
    for source, mine in sorted(papers.items()):
        base = _standing(history[source])
        if base is None:
            continue
        if base.key not in {one.key for one in mine}:
            tasks.append(Task(base, why=f"was updated by run {base.run_id} since; undo that one as well"))
        elif mine[0].operation == "create":
            tasks.append(Task(base))
        else:
            former = [one for one in history[source] if one.key == mine[0].target_key]
            tasks.append(Task(base, before=former[0] if former else None))
    documents = {plan.source_key(task.base.key): task for task in tasks}
    ordered = plan.waves([from_json(task.base.document) for task in tasks])
    return [documents[plan.source_key(one.key)] for wave in reversed(ordered) for one in wave]


def _standing(history: Sequence[Intent]) -> Intent | None:
    """The document in the books, also where QuickBooks stored it otherwise than it was meant."""
    found = plan.standing(history)
    made = found.pending
    stored = made is not None and made.state == MISMATCH and made.operation == "create"
    return made if found.base is None and stored else found.base


def _with_what_hangs_on(worker: Worker, tasks: Sequence[Task]) -> list[Task]:
    """Documents that others hang on are left where those are not taken back as well."""
    going = {task.base.source_key for task in tasks if not task.why}
    held = hanging(worker, [task.base for task in tasks], going)
    found: list[Task] = []
    for task in tasks:
        source = task.base.source_key
        why = task.why or ("" if task.before is not None else held.get(source, ""))
        if why and not task.why:
            held |= holding([(task.base, STAYS)])
        found.append(Task(task.base, task.before, why))
    return found


def hanging(worker: Worker, bases: Sequence[Intent], going: Collection[str]) -> dict[str, str]:
    """On which sources of these orders documents of other sources than the ``going`` ones hang, and whose."""
    orders = {base.order_key for base in bases if base.order_key}
    with reading(worker.engine) as tx:
        around = intents.of_orders(tx, worker.realm, orders, bodies=False)
        alive = [
            one.key
            for order in around.values()
            for one in order
            if one.state in {CONFIRMED, MISMATCH, *IN_FLIGHT}
            and one.operation in {"create", "update"}
            and one.source_key not in going
        ]
        others = intents.load(tx, worker.realm, alive)
    return holding((one, f"run {one.run_id}; undo that one as well") for one in others.values())


STAYS = "what stays in the books itself"


def holding(standing: Iterable[tuple[Intent, str]]) -> dict[str, str]:
    """The source keys that documents which stay in the books hang on, with the reason to leave them."""
    held: dict[str, str] = {}
    for one, because in standing:
        document = from_json(one.document)
        sources = [plan.source_key(key) for key in plan.references(document)]
        if one.role == "adjustment":
            sources += _adjusted(one)
        for source in sources:
            held[source] = f"{one.entity} {one.doc_number or one.key} hangs on it, of {because}"
    return held


def _adjusted(adjustment: Intent) -> list[str]:
    """The sources that an adjustment may stand beside, by its own: a sale's has no role in it."""
    installation, _, source = adjustment.source_key.split("|", 2)
    role, _, number = source.partition("-")
    return [f"{installation}|sale|{source}", f"{installation}|{role}|{number}"]


def _cards(
    made: Mapping[str, Sequence[Intent]], history: Mapping[str, Sequence[Intent]]
) -> tuple[list[Intent], dict[str, str]]:
    """Cards that the runs made, or brought back to use; what they only brought up to date stays so."""
    cards: list[Intent] = []
    left: dict[str, str] = {}
    for source, mine in sorted(made.items()):
        base = plan.standing(history[source]).base
        if base is None:
            continue
        retired = {one.key for one in history[source] if one.state == VOIDED}
        if any(one.operation == "create" or one.target_key in retired for one in mine):
            cards.append(base)
        else:
            left[base.key] = "says what the shop says; the next run would write it again"
    return cards, left


def is_closed(base: Intent, close_date: date | None) -> bool:
    """Whether a document lies in a closed period."""
    return close_date is not None and from_json(base.document).txn_date <= close_date


def is_reversed(base: Intent, close_date: date | None) -> bool:
    """Whether a document is taken back by its opposite and not by a void."""
    return base.entity in NEVER_VOID or is_closed(base, close_date)


def steps(worker: Worker, chosen: Chosen, close_date: date | None) -> list[Step]:
    """The whole plan: documents in the order in which they would go, then cards."""
    in_flight = [Step("leave", key, "", "", "", why=UNSETTLED) for key in chosen.in_flight]
    documents = _document_steps(worker, chosen, close_date)
    voided = {(step.entity, step.qbo_id) for step in documents if step.action == "void"}
    return [*documents, *in_flight, *card_steps(worker, chosen, voided)]


UNSETTLED = "was sent and nobody knows yet whether it arrived; undo again when a run has found out"


def _document_steps(worker: Worker, chosen: Chosen, close_date: date | None) -> list[Step]:
    rows = read_many(worker, [task.base for task in chosen.tasks])
    found: list[Step] = []
    held: dict[str, str] = {}
    for task in chosen.tasks:
        base = task.base
        why = task.why
        if not why:
            touched = why_not_ours(base, rows.get(base.key))
            why = str(touched) if touched is not None else held.get(base.source_key, "")
            if why and rows.get(base.key) is not None:
                held |= holding([(base, STAYS)])
        action: Action = "leave" if why else "void"
        if not why and task.before is not None:
            action = "restore"
        elif not why and is_reversed(base, close_date):
            action = "reverse"
        found.append(_step(action, base, why))
    return found


def _step(action: Action, base: Intent, why: str = "") -> Step:
    return Step(
        action,
        base.key,
        base.entity,
        base.doc_number or "",
        base.qbo_id,
        base.amount,
        base.currency,
        why,
    )


def card_steps(worker: Worker, chosen: Chosen, voided: set[tuple[str, str]]) -> list[Step]:
    """Cards that the runs made; those that anything but the ``voided`` (entity, id) uses stay."""
    found = [Step("leave", key, "Customer", "", "", why=why) for key, why in chosen.left.items()]
    if not chosen.cards or chosen.made_since is None:
        return found
    used = _used(worker, chosen.made_since, voided)
    return [
        *found,
        *(
            _step("leave", card, "is used by other documents")
            if (card.entity, card.qbo_id) in used
            else _step("deactivate", card)
            for card in sorted(chosen.cards, key=lambda one: one.key)
        ),
    ]


def _used(worker: Worker, made_since: datetime, except_for: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Cards that a live document names. Only documents touched since the first card was made can."""
    since = made_since - timedelta(days=1)
    used: set[tuple[str, str]] = set()
    for entity in USERS:
        worker.requests += 1
        for row in worker.books.query_all(entity, query.changed_since(since)):
            if (entity, str(row["Id"])) not in except_for and not echo.is_void(row):
                used |= set(_names(row))
    return used


def _names(row: Row) -> Iterable[tuple[str, str]]:
    """Every customer and item that a document refers to."""
    customer = (row.get("CustomerRef") or {}).get("value")
    if customer:
        yield "Customer", str(customer)
    for line in row.get("Line") or ():
        detail = line.get(str(line.get("DetailType"))) or {}
        item = (detail.get("ItemRef") or {}).get("value")
        entity = detail.get("Entity") or {}
        if item:
            yield "Item", str(item)
        if (entity.get("EntityRef") or {}).get("value"):
            yield str(entity.get("Type") or "Customer"), str(entity["EntityRef"]["value"])


ACTIONS: tuple[Action, ...] = ("void", "reverse", "restore", "deactivate", "leave")


def shown(undone: UndoPlan) -> list[str]:
    """The plan as lines for people: a summary, then what is left alone and why."""
    lines = []
    for action in ACTIONS:
        count = undone.counts().get(action, 0)
        if count:
            money = ", ".join(f"{total:,.2f} {code}" for code, total in undone.amounts(action).items())
            lines.append(f"{action}: {count:,}{f' ({money})' if money else ''}")
    lines.extend(
        f"  left: {one.entity} {one.number or one.key}: {one.why}" for one in undone.steps if one.why
    )
    return lines
