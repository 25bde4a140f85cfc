"""Trouble on the way: what goes wrong between a client and a healthy shop.

What lives here: faults that are switched on, for which requests, how often, and what they do to an
answer. What does not: trouble in the data (``aftersales.poison``), and the switches of the shop itself
(``shop.Settings``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from random import Random
from typing import Any

from ps_qb_pipeline.sandbox.shop.answers import HTML, Answer, php_warning
from ps_qb_pipeline.sandbox.shop.render import errors

MAINTENANCE = (
    '<!doctype html>\n<html lang="en"><head><title>Maintenance</title></head>'
    "<body><h1>We'll be back soon.</h1><p>We are currently updating our shop.</p></body></html>\n"
)  # fmt: skip
BAD_GATEWAY = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
    "<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
)
REASONS = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out"}


@dataclass(slots=True)
class Fault:
    """One kind of trouble and the requests that it meets."""

    kind: str
    resource: str = ""
    """Empty means every resource."""
    method: str = ""
    """Empty means every method."""
    skip: int = 0
    """So many matching requests pass before the first that is hit."""
    times: int | None = None
    """So many are hit, then the fault is gone; nothing means until it is cleared."""
    probability: float = 1.0
    """Share of the matching requests that are hit, drawn by ``seed``."""
    seed: int = 0
    milliseconds: int = 0
    status: int = 500
    rows: int = 100
    """For ``memory_limit``: the most rows with fields that an answer survives."""
    keep: float = 0.5
    """For ``truncated`` and ``disconnected``: the share of the body that arrives."""
    location: str = ""
    how: str = "touch"
    """For ``rows_change``: touch, insert or delete."""
    served: bool | None = None
    """Whether the shop carries the request out before the trouble; nothing means as the kind usually does."""
    hits: int = 0
    _chance: Random = field(default_factory=Random, repr=False)

    def __post_init__(self) -> None:
        self._chance = Random(self.seed)  # noqa: S311 - chance by seed is the point
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind} is no kind of fault; there are {', '.join(sorted(KINDS))}")

    def meets(self, method: str, resource: str) -> bool:
        """Whether this request is hit; counts it."""
        if (self.resource and self.resource != resource) or (self.method and self.method != method):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self._chance.random() >= self.probability:
            return False
        self.hits += 1
        return True

    @property
    def in_the_way(self) -> bool:
        """Whether the request never reaches the shop."""
        return self.kind in IN_THE_WAY and not self.served

    @property
    def spent(self) -> bool:
        """Whether it has hit as often as it should."""
        return self.times is not None and self.hits >= self.times

    def told(self) -> dict[str, Any]:
        """The fault as the control shows it."""
        return {k: v for k, v in asdict(self).items() if not k.startswith("_")}


def made(arguments: dict[str, Any]) -> Fault:
    """A fault out of a control command.

    Errors:
        ValueError: an unknown kind or argument.
    """
    known = {f.name for f in fields(Fault) if not f.name.startswith("_") and f.name != "hits"}
    unknown = set(arguments) - known
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: unknown; a fault has {', '.join(sorted(known))}")
    return Fault(**arguments)


class Faults:
    """The faults that are on."""

    def __init__(self) -> None:
        self.active: list[Fault] = []

    def hitting(self, method: str, resource: str) -> list[Fault]:
        """The faults that hit a request; those that are spent are gone afterwards."""
        hit = [fault for fault in self.active if fault.meets(method, resource)]
        self.active = [fault for fault in self.active if not fault.spent]
        return hit


# ------------------------------------------------------------------------------------ deeds


def _empty(fault: Fault, _answer: Answer) -> Answer:
    return Answer(fault.status, b"", HTML, from_service=False)


def _proxy(fault: Fault, _answer: Answer) -> Answer:
    title = REASONS.get(fault.status, f"{fault.status}")
    return Answer(fault.status, BAD_GATEWAY.format(title).encode(), "text/html", from_service=False)


def _maintenance(_fault: Fault, _answer: Answer) -> Answer:
    return Answer(200, MAINTENANCE.encode(), HTML, from_service=False)


def _memory(fault: Fault, answer: Answer) -> Answer:
    """Too many rows with fields use up PHP's memory: 500 without a body."""
    return _empty(Fault("empty", status=500), answer) if loaded_rows(answer) > fault.rows else answer


def loaded_rows(answer: Answer) -> int:
    """Rows with more than an id in a JSON list; 0 for anything else."""
    if not answer.content_type.startswith("application/json"):
        return answer.body.count(b"<id>")
    try:
        content = json.loads(answer.body)
    except ValueError:
        return 0
    rows: Any = next(iter(content.values()), []) if isinstance(content, dict) else []
    return sum(1 for r in rows if isinstance(r, dict) and len(r) > 1) if isinstance(rows, list) else 0


def _truncated(fault: Fault, answer: Answer) -> Answer:
    answer.body = answer.body[: int(len(answer.body) * fault.keep)]
    return answer


def _disconnected(fault: Fault, answer: Answer) -> Answer:
    answer.headers["content-length"] = str(len(answer.body) + 1)
    return _truncated(fault, answer)


def _control_characters(_fault: Fault, answer: Answer) -> Answer:
    """A vertical tab in the first text: JSON escapes it, XML becomes malformed."""
    if answer.content_type.startswith("application/json"):
        answer.body = answer.body.replace(b':"', b':"\\u000b', 1)
    else:
        answer.body = answer.body.replace(b"<![CDATA[", b"<![CDATA[\x0b", 1)
    return answer


def _php_warning(_fault: Fault, answer: Answer) -> Answer:
    """A module's notice: status 500 and its error; in JSON the good content stays beside it."""
    if not answer.from_service or answer.status >= 400:
        return answer
    entry = (
        5,
        php_warning("Undefined variable $sandbox", 12, "Module.php").replace("Warning #2", "Notice #8"),
    )
    if answer.content_type.startswith("application/json"):
        content = json.loads(answer.body)
        tail = json.loads(errors([entry], "JSON"))
        merged = (content if isinstance(content, dict) else {}) | tail
        answer.body = json.dumps(merged, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogateescape"
        )
    else:
        answer.body = errors([entry], "XML").encode()
    answer.status = 500
    return answer


def _redirect(fault: Fault, _answer: Answer) -> Answer:
    headers = {"Location": fault.location or "https://shop.example.test/"}
    return Answer(fault.status if 300 <= fault.status < 400 else 302, b"", HTML, headers, from_service=False)


def _nothing(_fault: Fault, answer: Answer) -> Answer:
    return answer


#: Kinds that stand between client and shop: a write that meets one is not carried out.
IN_THE_WAY = {"empty", "proxy", "maintenance", "redirect"}
#: What each kind does to an answer; latency and changing rows are the application's to do.
KINDS: dict[str, Callable[[Fault, Answer], Answer]] = {
    "latency": _nothing,
    "rows_change": _nothing,
    "empty": _empty,
    "proxy": _proxy,
    "maintenance": _maintenance,
    "memory_limit": _memory,
    "truncated": _truncated,
    "disconnected": _disconnected,
    "control_characters": _control_characters,
    "php_warning": _php_warning,
    "redirect": _redirect,
}
