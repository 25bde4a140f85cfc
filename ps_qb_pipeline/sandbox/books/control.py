"""Making things go wrong on purpose, and looking inside: what ``PUT /_control`` and ``GET /_control`` do.

What lives here: faults to come with their conditions, and one method a section of the control document.
What does not: carrying a fault out on the wire (``service``).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Literal, get_args

from ps_qb_pipeline.sandbox.books import api
from ps_qb_pipeline.sandbox.books.codec import Json, dumps
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.limits import Limits
from ps_qb_pipeline.sandbox.books.merge import merge
from ps_qb_pipeline.sandbox.books.oauth import Authority
from ps_qb_pipeline.sandbox.books.webhooks import Webhooks

Kind = Literal[
    "throttle", "error_before", "error_after", "drop_before", "lost_reply", "late_commit", "slow_drip", "truncate",
    "html", "unauthorized", "forbidden", "fault", "delay",
]  # fmt: skip
Form = Literal["json", "xml", "lower", "html", "empty"]


@dataclass(slots=True)
class Trouble:
    """One fault to come.

    It strikes requests whose method and path (what follows the realm, or ``token``) match, after letting
    ``skip`` of them pass, ``times`` times (-1: until cleared), each time with ``percent`` probability.
    ``seconds`` is the delay of ``delay`` and ``late_commit`` and the length of ``slow_drip``.
    """

    kind: Kind
    times: int = 1
    skip: int = 0
    method: str = ""
    path: str = ""
    status: int = 0
    form: Form = "json"
    code: str = "6000"
    detail: str = "An injected fault"
    seconds: float = 1.0
    percent: float = 100.0
    struck: int = 0

    def strikes(self, method: str, path: str, dice: random.Random) -> bool:
        """Whether the fault strikes this request; counts it if so."""
        if self.times == 0 or (self.method and self.method.upper() != method):
            return False
        if self.path and not re.search(self.path, path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.percent < 100 and dice.random() * 100 >= self.percent:
            return False
        if self.times > 0:
            self.times -= 1
        self.struck += 1
        return True


def trouble(values: Json) -> Trouble:
    """Return the fault that a control document describes; raises ValueError for what it does not know."""
    known = {entry.name for entry in fields(Trouble)} - {"struck"}
    unknown = set(values) - known
    if unknown or values.get("kind") not in get_args(Kind):
        raise ValueError(
            f"a fault has {', '.join(sorted(known))}; kind is one of {', '.join(get_args(Kind))}"
        )
    if values.get("form", "json") not in get_args(Form):
        raise ValueError(f"form is one of {', '.join(get_args(Form))}")
    re.compile(values.get("path", ""))
    return Trouble(**values)


@dataclass(slots=True)
class Late:
    """A write that was answered with an error and will be carried out all the same, at ``due``."""

    due: float
    request: api.Request


@dataclass(slots=True)
class Control:
    """The levers of one company."""

    company: Company
    authority: Authority
    limits: Limits
    troubles: list[Trouble] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    refresh_seconds: float = 0.0
    consent: str = "ask"
    webhooks: Webhooks = field(init=False)
    dice: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - not for secrets

    def __post_init__(self) -> None:
        """Give the company its notifications."""
        self.webhooks = Webhooks(self.company)

    def strike(self, method: str, path: str) -> Trouble | None:
        """Return the fault that strikes this request, if any."""
        for entry in self.troubles:
            if entry.strikes(method, path, self.dice):
                self.counts[f"fault:{entry.kind}"] += 1
                return entry
        return None

    def run_late(self) -> int:
        """Carry out the late writes whose time has come; return how many."""
        now = self.company.clock.now().timestamp()
        due = [entry for entry in self.late if entry.due <= now]
        self.late = [entry for entry in self.late if entry.due > now]
        for entry in due:
            api.handle(self.company, entry.request)
            events, self.company.events = self.company.events, []
            self.webhooks.accept(events)
        return len(due)

    # The document ----------------------------------------------------------------------------------

    def apply(self, document: Json) -> Json:
        """Carry out a control document and return the state after it; raises ValueError for a mistake."""
        for section, value in document.items():
            lever = getattr(self, f"_set_{section}", None)
            if lever is None:
                known = sorted(name.removeprefix("_set_") for name in dir(self) if name.startswith("_set_"))
                raise ValueError(f"{section} is no lever; there are {', '.join(known)}")
            lever(value)
        events, self.company.events = self.company.events, []
        self.webhooks.accept(events)
        return self.state()

    def _set_clock(self, value: Json) -> None:
        clock = self.company.clock
        if value.get("reset"):
            clock.offset, clock.frozen = 0.0, None
        if "set" in value:
            clock.set(clock.parse(value["set"]), freeze=bool(value.get("freeze", clock.frozen is not None)))
        elif value.get("freeze"):
            clock.set(clock.now(), freeze=True)
        if value.get("freeze") is False:
            clock.thaw()
        if "advance" in value:
            clock.advance(float(value["advance"]))
        self.company.store.set("clock_offset", clock.offset)
        self.run_late()

    def _set_switches(self, value: Json) -> None:
        self.company.switches.change(value)
        self.company.store.set("switches", self.company.switches.as_json())

    def _set_faults(self, value: list[Json]) -> None:
        self.troubles = [trouble(entry) for entry in value]

    def _set_add_fault(self, value: Json) -> None:
        self.troubles.append(trouble(value))

    def _set_seed(self, value: int) -> None:
        self.dice = random.Random(value)  # noqa: S311

    def _set_index_lag_seconds(self, value: float) -> None:
        self.company.lag = float(value)

    def _set_limits(self, value: Json) -> None:
        self.limits.change(value)

    def _set_counts(self, value: str) -> None:
        if value != "reset":
            raise ValueError("counts can be reset only")
        self.counts.clear()
        self.limits.refused = 0
        self.authority.refreshes = self.authority.rotations = self.authority.refused = (
            self.authority.overlapping
        ) = 0

    def _set_tokens(self, value: Json) -> None:
        if value.get("expire_access"):
            self.authority.expire_access()
        if value.get("revoke"):
            self.authority.revoke_all()
        if "accept" in value:
            self.authority.accept(str(value["accept"]))
        if "refresh_seconds" in value:
            self.refresh_seconds = float(value["refresh_seconds"])

    def _set_consent(self, value: str) -> None:
        if value not in {"ask", "grant", "deny"}:
            raise ValueError("consent is ask, grant or deny")
        self.consent = value

    def _set_webhooks(self, value: Json) -> None:
        self.webhooks.change(value)

    def _set_preferences(self, value: Json) -> None:
        """Change settings as a person does on the settings pages."""
        before = self.company.preferences()
        body = before | {name: before.get(name, {}) | group for name, group in value.items()}
        reply = api.handle(self.company, api.Request("POST", ("preferences",), {}, dumps(body)))
        if reply.status != 200:
            raise ValueError(reply.body.decode())

    def _set_merge(self, value: Json) -> None:
        merge(self.company, str(value["entity"]), int(value["from"]), int(value["into"]))

    def state(self) -> Json:
        """Return everything that can be set, and what was counted."""
        clock = self.company.clock
        sums = self.company.store.connection.execute(
            "select coalesce(sum(home),0), count(*) from entries"
        ).fetchone()
        return {
            "realm": self.company.realm,
            "company": self.company.country,
            "clock": {"now": clock.company(), "offset": clock.offset, "frozen": clock.frozen is not None},
            "switches": self.company.switches.as_json(),
            "faults": [asdict(entry) for entry in self.troubles],
            "late": len(self.late),
            "index_lag_seconds": self.company.lag,
            "limits": self.limits.as_json(),
            "counts": dict(self.counts),
            "text_numbers": self.company.text_numbers,
            "tokens": {
                "refreshes": self.authority.refreshes,
                "rotations": self.authority.rotations,
                "refused": self.authority.refused,
                "overlapping": self.authority.overlapping,
                "refresh_seconds": self.refresh_seconds,
            },
            "consent": self.consent,
            "ledger": {"sum": sums[0] / 100, "entries": sums[1]},
            "webhooks": self.webhooks.as_json(),
        }
