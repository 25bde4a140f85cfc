"""A small QuickBooks company in memory, true to what posting relies on and to what it must not rely on.

It knows request ids (honoured or ignored), document numbers (enforced or not), names that are unique,
sync tokens, voids, closed books, links, a query index that lags, commits that land after the client gave
up, and people who edit. It shares no code with the client or with posting.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ps_qb_pipeline.errors import (
    BooksFault,
    BooksNotSent,
    BooksThrottled,
    BooksUnavailable,
    Fault,
    FaultError,
    ReconnectNeeded,
)
from ps_qb_pipeline.quickbooks.answers import Reply
from ps_qb_pipeline_tests.faults.clock import START, World

Row = dict[str, Any]
NAMES = {"Customer": "DisplayName", "Item": "Name"}
NUMBERS = {"Payment": "PaymentRefNum"}
TRANSACTIONS = ("SalesReceipt", "Invoice", "Payment", "RefundReceipt", "CreditMemo", "JournalEntry")


@dataclass
class Company:
    """What the server holds. It outlives every crash of ours."""

    world: World
    honour_requestid: bool = True
    enforce_numbers: bool = True
    query_lag: float = 0.0
    cdc_lag: float = 0.0
    close_date: str = ""
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)
    committed_at: dict[tuple[str, str], float] = field(default_factory=dict)
    replies: dict[str, Any] = field(default_factory=dict)
    late: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)
    deleted: list[tuple[str, str, float]] = field(default_factory=list)
    last_id: int = 100
    writes: int = 0
    as_of: float | None = None
    duplicates: list[str] = field(default_factory=list)
    recalculate: Callable[[str, Row], bool] | None = None
    recalculated: set[str] = field(default_factory=set)

    @staticmethod
    def refusal(code: str, message: str, element: str = "") -> BooksFault:
        return refusal(code, message, element)

    def tick(self) -> None:
        """Let commits land whose time has come."""
        due = [one for one in self.late if one[0] <= self.world.seconds]
        self.late = [one for one in self.late if one[0] > self.world.seconds]
        for at, commit in sorted(due, key=lambda one: one[0]):
            # It landed when it was due, also when nobody looked before now.
            self.as_of = at
            try:
                commit()
            except BooksFault:
                continue
            finally:
                self.as_of = None

    def table(self, entity: str) -> dict[str, Row]:
        return self.rows.setdefault(entity, {})

    def live(self, *entities: str) -> Iterator[tuple[str, Row]]:
        """Every transaction that is neither deleted nor voided."""
        for entity in entities or TRANSACTIONS:
            for row in self.table(entity).values():
                if not str(row.get("PrivateNote", "")).startswith("Voided"):
                    yield entity, row

    # -- writing -------------------------------------------------------------------------------

    def perform(self, operation: str, entity: str, body: Row, requestid: str) -> Row:
        """One write. Raises BooksFault. A known request id gets its first answer again."""
        if self.honour_requestid and requestid in self.replies:
            return copy.deepcopy(self.replies[requestid])
        write = {"create": self._create, "update": self._update, "void": self._void}[operation]
        row = write(entity, body)
        self.writes += 1
        self.replies[requestid] = copy.deepcopy(row)
        return copy.deepcopy(row)

    def _create(self, entity: str, body: Row) -> Row:
        self._validate(entity, body, None)
        self.last_id += 1
        row = {**copy.deepcopy(body), "Id": str(self.last_id), "SyncToken": "0"}
        mark = source_of(row)
        if mark and any(source_of(other) == mark for _, other in self.live(entity)):
            self.duplicates.append(mark)
        stored = self._store(entity, row)
        if self.recalculate is not None and self.recalculate(entity, row):
            stored["TotalAmt"] += Decimal("0.01")
            self.recalculated.add(mark)
        return stored

    def _store(self, entity: str, row: Row) -> Row:
        at = self.world.seconds if self.as_of is None else self.as_of
        stamp = (START + timedelta(seconds=at)).isoformat(timespec="seconds")
        created = row.get("MetaData", {}).get("CreateTime", stamp)
        row["MetaData"] = {"CreateTime": created, "LastUpdatedTime": stamp}
        if entity in TRANSACTIONS:
            self._compute(entity, row)
        else:
            row.setdefault("Active", True)
        self.table(entity)[row["Id"]] = row
        self.committed_at.setdefault((entity, row["Id"]), at)
        return row

    def _compute(self, entity: str, row: Row) -> None:
        if entity in {"Payment", "JournalEntry"}:
            row.setdefault("TotalAmt", Decimal(0))
            return
        lines = sum((Decimal(str(line.get("Amount", 0))) for line in row.get("Line", [])), Decimal(0))
        tax = Decimal(str((row.get("TxnTaxDetail") or {}).get("TotalTax", 0)))
        row["TotalAmt"] = (lines + tax).quantize(Decimal("0.01"), ROUND_HALF_UP)

    def _update(self, entity: str, body: Row) -> Row:
        current = self._current(entity, body)
        self._validate(entity, {**current, **body} if body.get("sparse") else body, current)
        merged = {**current, **body} if body.get("sparse") else {**body, "MetaData": current["MetaData"]}
        merged.pop("sparse", None)
        merged["SyncToken"] = str(int(current["SyncToken"]) + 1)
        return self._store(entity, merged)

    def _void(self, entity: str, body: Row) -> Row:
        current = self._current(entity, body)
        if self.close_date and str(current.get("TxnDate", "9999")) <= self.close_date:
            raise refusal("6210", "The account period has closed")
        row = copy.deepcopy(current)
        for line in row.get("Line", []):
            line["Amount"] = Decimal(0)
        if row.get("TxnTaxDetail"):
            row["TxnTaxDetail"] = {"TotalTax": Decimal(0)}
        if entity == "Payment":
            row["TotalAmt"] = Decimal(0)
        if not str(row.get("PrivateNote", "")).startswith("Voided"):
            row["PrivateNote"] = f"Voided - {row.get('PrivateNote', '')}"
        row["SyncToken"] = str(int(current["SyncToken"]) + 1)
        return self._store(entity, row)

    def _current(self, entity: str, body: Row) -> Row:
        current = self.table(entity).get(str(body.get("Id")))
        if current is None:
            raise refusal("610", "Object not found")
        if str(body.get("SyncToken")) != current["SyncToken"]:
            raise refusal("5010", "Stale object error")
        return current

    def _validate(self, entity: str, body: Row, current: Row | None) -> None:
        own = current["Id"] if current else ""
        if entity in NAMES:
            name = str(body.get(NAMES[entity], "")).casefold()
            for other in self.table(entity).values():
                if other["Id"] != own and str(other[NAMES[entity]]).casefold() == name:
                    raise refusal("6240", f"Duplicate name exists: Id={other['Id']}")
            mail = (body.get("PrimaryEmailAddr") or {}).get("Address")
            if mail is not None and "@" not in mail:
                raise refusal("2210", "Email address is invalid", "PrimaryEmailAddr")
            return
        self._validate_transaction(entity, body, own)

    def _validate_transaction(self, entity: str, body: Row, own: str) -> None:
        if self.close_date and str(body.get("TxnDate", "9999")) <= self.close_date:
            raise refusal("6210", "The account period has closed")
        customer = (body.get("CustomerRef") or {}).get("value")
        if customer is not None:
            card = self.table("Customer").get(customer)
            if card is None or not card["Active"]:
                raise refusal("2500", "Invalid Reference Id", "CustomerRef")
        for line in body.get("Line", []):
            item = ((line.get("SalesItemLineDetail") or {}).get("ItemRef") or {}).get("value")
            if item is not None and not self.table("Item").get(item, {}).get("Active"):
                raise refusal("2500", "Invalid Reference Id", "ItemRef")
            for link in line.get("LinkedTxn", []):
                if link["TxnId"] not in self.table(link["TxnType"]):
                    raise refusal("620", "Transaction cannot be linked", "LinkedTxn")
        number = str(body.get(NUMBERS.get(entity, "DocNumber")) or "")
        if self.enforce_numbers and number and entity != "Payment":
            for other in self.table(entity).values():
                if other["Id"] != own and other.get("DocNumber") == number:
                    raise refusal("6140", "Duplicate Document Number Error", "DocNumber")

    # -- reading -------------------------------------------------------------------------------

    def select(self, entity: str, where: str) -> list[Row]:
        """Rows by ``Field IN ('a', ...)``, as far as the index has caught up."""
        since = re.fullmatch(r"MetaData\.LastUpdatedTime >= '([^']+)'", where)
        if since:
            moment = datetime.fromisoformat(since[1])
            rows = self.table(entity).values()
            stamps = ((row, datetime.fromisoformat(row["MetaData"]["LastUpdatedTime"])) for row in rows)
            return [copy.deepcopy(row) for row, stamp in stamps if stamp >= moment]
        found = re.fullmatch(r"\s*([A-Za-z.]+) IN \((.*)\)\s*", where, re.DOTALL)
        assert found or not where, where
        rows = []
        for row in sorted(self.table(entity).values(), key=lambda one: int(one["Id"])):
            if self.world.seconds - self.committed_at[entity, row["Id"]] < self.query_lag:
                continue
            if found is None or _field(row, found[1]) in _literals(found[2]):
                rows.append(copy.deepcopy(row))
        return rows

    def changes(self, entity: str, since: datetime) -> list[Row]:
        rows = [
            copy.deepcopy(row)
            for row in self.table(entity).values()
            if datetime.fromisoformat(row["MetaData"]["LastUpdatedTime"]) >= since
            and self.world.seconds - self.committed_at[entity, row["Id"]] >= self.cdc_lag
        ]
        gone = []
        for kind, number, at in self.deleted:
            moment = START + timedelta(seconds=at)
            if kind == entity and moment >= since:
                stamp = {"LastUpdatedTime": moment.isoformat(timespec="seconds")}
                gone.append({"Id": number, "status": "Deleted", "domain": "QBO", "MetaData": stamp})
        return rows + gone

    # -- people --------------------------------------------------------------------------------

    def delete(self, entity: str, qbo_id: str) -> None:
        """A person deletes a transaction."""
        del self.table(entity)[qbo_id]
        self.deleted.append((entity, qbo_id, self.world.seconds))

    def edit(self, entity: str, qbo_id: str, **changes: Any) -> Row:
        """A person edits an object."""
        row = self.table(entity)[qbo_id]
        row.update(changes)
        row["SyncToken"] = str(int(row["SyncToken"]) + 1)
        return self._store(entity, row)


def source_of(row: Row) -> str:
    """Whose document a row is, by the machine line of its note: ``sale|17``; empty when it is nobody's."""
    found = re.search(r"ps:\{[^}]*role:(\w+),id:([^,}]+)", str(row.get("PrivateNote") or ""))
    return f"{found[1]}|{found[2]}" if found else ""


def _field(row: Row, name: str) -> str:
    value = row.get(name)
    if name == "PrimaryEmailAddr":
        value = (value or {}).get("Address")
    return str(value or "").casefold()


def _literals(text: str) -> set[str]:
    quoted = re.findall(r"'((?:\\.|[^'\\])*)'", text)
    return {re.sub(r"\\(.)", r"\1", one).casefold() for one in quoted}


def refusal(code: str, message: str, element: str = "") -> BooksFault:
    """The fault that QuickBooks would answer with."""
    fault = Fault((FaultError(code, message, message, element),), "ValidationFault", 400, "tid-refused")
    return BooksFault(f"code {code}", fault=fault, code=code)


Weather = Callable[[str], str]
"""What happens to the next request: takes its kind, names a fault or ``ok``."""


class FakeBooks:
    """One client's line to a company, with whatever weather lies between."""

    def __init__(
        self, company: Company, weather: Weather | None = None, *, realm: str = "123", latency: float = 0.2
    ) -> None:
        self.company = company
        self.realm = realm
        self.weather = weather or (lambda _kind: "ok")
        self.latency = latency
        self.calls: list[tuple[str, str, int]] = []
        self.log: list[str] = []

    def _enter(self, kind: str, entity: str, size: int = 1) -> str:
        self.company.world.pass_time(self.latency)
        self.company.tick()
        self.calls.append((kind, entity, size))
        return self.weather(kind)

    def _read_fault(self, fault: str) -> None:
        if fault in {"throttle", "not_sent", "unavailable"}:
            error = _ERRORS[fault]()
            raise error

    def query_all(self, entity: str, where: str = "") -> list[Row]:
        self._read_fault(self._enter("query", entity))
        return self.company.select(entity, where)

    def read(self, entity: str, id: str) -> Row:  # noqa: A002
        self._read_fault(self._enter("read", entity))
        row = self.company.table(entity).get(id)
        if row is None:
            raise refusal("610", "Object not found")
        return copy.deepcopy(row)

    def cdc(self, entities: Sequence[str], since: datetime) -> dict[str, list[Row]]:
        self._read_fault(self._enter("cdc", ",".join(entities)))
        return {entity: self.company.changes(entity, since) for entity in entities}

    # -- writes --------------------------------------------------------------------------------

    def create(self, entity: str, body: bytes, requestid: str, *, before_send: Any = None) -> Reply:
        return self._write("create", entity, body, requestid, before_send)

    def update(self, entity: str, body: bytes, requestid: str, *, before_send: Any = None) -> Reply:
        return self._write("update", entity, body, requestid, before_send)

    def void(
        self,
        entity: str,
        id: str,  # noqa: A002
        sync_token: str,
        requestid: str,
        *,
        before_send: Any = None,
    ) -> Reply:
        body = json.dumps({"Id": id, "SyncToken": sync_token}).encode()
        return self._write("void", entity, body, requestid, before_send)

    def _write(self, operation: str, entity: str, body: bytes, requestid: str, before_send: Any) -> Reply:
        if before_send is not None:
            before_send()
        assert 0 < len(requestid) <= 50
        sent = json.loads(body, parse_float=Decimal)

        def commit() -> Row:
            return self.company.perform(operation, entity, sent, requestid)

        row = self._through(self._enter(operation, entity), commit)
        return Reply(200, f"tid-{len(self.calls)}", {entity: row})

    def _through(self, fault: str, commit: Callable[[], Any]) -> Any:
        """Carry a request through the weather."""
        if fault in {"not_sent", "throttle", "reconnect", "lost_before", "server_error"}:
            error = _ERRORS[fault]()
            raise error
        if fault == "late_commit":
            delay = 1.0 + (len(self.calls) * 37) % 119
            self.company.late.append((self.company.world.seconds + delay, commit))
            self.company.world.pass_time(0.5)
            raise BooksUnavailable("timed out")
        answer = commit()
        if fault in {"lost_after", "garbled", "server_error_after"}:
            raise BooksUnavailable("the answer was lost")
        return answer

    def batch(
        self, items: Sequence[Any], requestid: str, *, before_send: Any = None
    ) -> dict[str, Reply | Fault]:
        if before_send is not None:
            before_send()
        assert 0 < len(requestid) <= 36
        assert 0 < len(items) <= 30
        assert all(len(item.bid) <= 10 for item in items)
        fault = self._enter("batch", items[0].entity, len(items))
        company = self.company

        def commit() -> dict[str, Any]:
            if company.honour_requestid and requestid in company.replies:
                return copy.deepcopy(company.replies[requestid])
            answers: dict[str, Any] = {}
            for item in items:
                operation = "void" if getattr(item, "options", "") == "void" else item.operation
                sent = json.loads(item.body, parse_float=Decimal)
                try:
                    # Inside a batch only the batch's own request id counts.
                    row = company.perform(operation, item.entity, sent, f"{requestid}/{item.bid}")
                    answers[item.bid] = Reply(200, "tid-batch", {item.entity: row})
                except BooksFault as error:
                    answers[item.bid] = error.fault
            company.replies[requestid] = copy.deepcopy(answers)
            return answers

        answers = self._through(fault, commit)
        if fault == "partial":
            keep = sorted(answers)[: len(answers) // 2]
            return {bid: answers[bid] for bid in keep}
        return dict(answers)


_ERRORS: dict[str, Callable[[], Exception]] = {
    "not_sent": lambda: BooksNotSent("no connection"),
    "throttle": lambda: BooksThrottled("429", retry_after=60.0),
    "reconnect": lambda: ReconnectNeeded("invalid_grant"),
    "lost_before": lambda: BooksUnavailable("timed out"),
    "server_error": lambda: BooksUnavailable("503"),
    "unavailable": lambda: BooksUnavailable("503"),
}
