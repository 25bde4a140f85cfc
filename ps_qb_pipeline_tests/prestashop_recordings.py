"""Replays recorded calls of a real PrestaShop against the sandbox shop and counts the agreements.

What lives here: reading recordings, asking the sandbox the same, comparing, reporting. What does not: any
knowledge of the answers. The sandbox has the rows of its own bundle; what a directory's lists show beyond it, rows or
columns that the bundle does not know at all, is added before the replay, for a shop cannot know what nobody told it.

    python -m ps_qb_pipeline_tests.prestashop_recordings DIRECTORY [--verbose]

Compared are status, error codes with their messages (codes 2 to 15 by code only), rows, field names,
values and JSON types, XML after parsing, the order of rows where ``sort`` fixes it, content type and the
headers that carry meaning. Reads inside ``w_`` and ``v_`` cases come after writes and are counted apart,
as are the writes themselves, which are replayed in the order of ``INDEX.tsv`` to get there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx

from ps_qb_pipeline.sandbox.shop.app import create_app
from ps_qb_pipeline.sandbox.shop.resources import resources
from ps_qb_pipeline.sandbox.shop.seeds import bundled

BASE = "http://127.0.0.1:8080"
FULL = "LABKEY0000000000000000000000FULL"
KEYS = {
    "LABKEY0000000000000000ORDERSONLY": {"rights": {"orders": ["GET"]}},
    "LABKEY0000000000000000000READONL": {"rights": "read"},
    "LABKEY00000000000000000000INACTV": {"active": False},
}
#: The state of the recorded shop in the folders whose shop was not in its usual state: control commands
#: by the beginning of a case's name, undone after it.
SETTINGS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("_environment", "webservice_disabled"): [{"set": {"webservice": False}}],
    ("_environment", "ssl_enabled"): [{"set": {"ssl": True}}],
    ("_environment", "single_active_language"): [{"set": {"active_languages": [1]}}],
    ("_environment", "key_deactivated"): [{"key": {"key": FULL, "active": False}}],
    ("_environment", "odd_control_char_customer"): [{"row": {"resource": "customers", "id": 1, "firstname": "A\x0bda"}}],
    ("_environment", "odd_cdata_end_address"): [{"row": {"resource": "addresses", "id": 2, "company": "A ]]> B & <c>"}}],
    ("_environment", "odd_control_char_order_note"): [
        {"row": {"resource": "orders", "id": 2, "note": "ctl \x01 tab \t nl \n emoji \U0001f600"}}
    ],
    ("_environment", "dangling_customer_order"): [{"row": {"resource": "orders", "id": 3, "id_customer": 4242}}],
    ("_multishop", "key_shop1_only"): [{"key": {"key": FULL, "shops": [1]}}],
    ("_multishop", "v_key_shop1_only"): [{"key": {"key": FULL, "shops": [1]}}],
    ("_multishop", ""): [
        {"row": {"resource": "shops", "id": 2, "id_shop_group": 1, "id_category": 2, "active": "1", "deleted": "0",
                 "name": "Lab Shop Two", "color": "", "theme_name": "classic"}},
        {"row": {"resource": "shop_urls", "id": 2, "id_shop": 2, "active": "1", "main": "1", "domain": "127.0.0.1:8080",
                 "domain_ssl": "127.0.0.1:8080", "physical_uri": "/", "virtual_uri": "two/"}},
        {"row": {"resource": "orders", "id": 38, "id_shop": 2}},
        {"row": {"resource": "orders", "id": 39, "id_shop": 2}},
    ],
}  # fmt: skip


#: Cases before which the recorded shop had been restored to its first state.
RESTORED = {"v_post_for_order"}
#: Columns that the core fills with random text when it saves.
RANDOM = {"passwd", "secure_key"}
#: What the sandbox leaves out on purpose, or what was done to the recorded shop outside of the recording.
REASONS = {
    "images/product_1_1": "the sandbox shows one neutral picture instead of every image",
    "images/product_1_1_small": "the sandbox shows one neutral picture instead of every image",
    "orders/w_patch_html_in_note": "the recorded shop's order had been put right by hand after the case before",
}


@dataclass
class Call:
    """One recorded call."""

    folder: str
    case: str
    method: str
    url: str
    request_headers: dict[str, str]
    request_body: bytes
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Verdict:
    """What came of one call."""

    call: Call
    reasons: list[str] = field(default_factory=list)


def read_call(path: Path) -> Call | None:
    """A recorded call out of its file, nothing when the file holds no request."""
    raw = path.read_bytes()
    head, found, rest = raw.partition(b"\nHTTP/1.1 ")
    if not found or not head.startswith(b"# "):
        return None
    lines = head.decode("utf-8").split("\n")
    method, url = lines[0][2:].split(" ", 1)
    headers, body_lines, in_body = {}, [], False
    for line in lines[1:]:
        if line.startswith("# > "):
            name, _, value = line[4:].partition(": ")
            headers[name] = value
        elif line.startswith("# body"):
            in_body = True
        elif in_body and line.startswith("# | "):
            body_lines.append(line[4:])
        elif in_body and line == "# |":
            body_lines.append("")
    answer_head, answer_body = [*re.split(rb"\r?\n\r?\n", rest, maxsplit=1), b""][:2]
    answer_lines = answer_head.decode("utf-8").splitlines()
    answer_headers = dict(part.split(": ", 1) for part in answer_lines[1:] if ": " in part)
    beside = body_beside(path, "json" if "json" in answer_head.decode("latin-1").lower() else "xml")
    if beside is not None:
        answer_body = beside.read_bytes()
    return Call(
        path.parent.name, path.name.removesuffix(".http"), method, url, headers, "\n".join(body_lines).encode(),
        int(answer_lines[0].split(" ")[0]), {k.lower(): v for k, v in answer_headers.items()}, answer_body,
    )  # fmt: skip


def body_beside(path: Path, kind: str) -> Path | None:
    """The file that holds a recording's body alone, if there is one."""
    stem = path.with_suffix("")
    names = (
        [stem]
        if stem.suffix in {".xml", ".json"}
        else [path.with_name(f"{stem.name}.{s}") for s in (kind, "txt", "bin")]
    )
    return next((name for name in names if name.exists()), None)


def read_calls(directory: Path) -> list[Call]:
    """Every recorded call of a directory, in the order of its index, those without an entry last."""
    order: dict[tuple[str, str], int] = {}
    index = directory / "INDEX.tsv"
    if index.exists():
        for i, line in enumerate(index.read_text(encoding="utf-8").splitlines()):
            folder, case, *_ = line.split("\t")
            order[folder, case] = i
    calls = [c for path in sorted(directory.rglob("*.http")) if (c := read_call(path)) is not None]
    last = len(order)
    calls.sort(key=lambda c: (order.get((c.folder, c.case), last), c.folder, c.case))
    return calls


# ------------------------------------------------------------------------------------ asking


def unknown_rows(calls: list[Call]) -> dict[str, dict[int, dict[str, Any]]]:
    """Rows and columns of recorded lists that the bundled shop does not know; nothing that it knows otherwise."""
    known = {name: {row["id"]: row for row in rows} for name, rows in bundled("recorded").items()}
    added: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for call in calls:
        if call.folder not in resources() or call.case.startswith(("w_", "v_")) or not telling(call):
            continue
        for row in listed(call.body):
            told = {k: v for k, v in row.items() if k != "associations" or "display=full" in call.url}
            missing = {
                k: v for k, v in told.items() if k not in known.get(call.folder, {}).get(row["id"], {})
            }
            if missing:
                added[call.folder].setdefault(row["id"], {"id": row["id"]}).update(missing)
    return added


def telling(call: Call) -> bool:
    """Whether a call shows rows as they are: a good JSON list, in all languages, without computed columns."""
    plain = not any(part in call.url for part in ("language=", "price", "schema=", "id_shop"))
    return plain and call.status == 200 and "json" in call.headers.get("content-type", "")


def listed(body: bytes) -> list[dict[str, Any]]:
    """The rows of a JSON list."""
    try:
        content = json.loads(body)
    except ValueError:
        return []
    rows = next(iter(content.values()), []) if isinstance(content, dict) else []
    return (
        [r for r in rows if isinstance(r, dict) and isinstance(r.get("id"), int)]
        if isinstance(rows, list)
        else []
    )


class Sandbox:
    """The recorded shop, in one process, asked over ASGI."""

    def __init__(self, added: dict[str, dict[int, dict[str, Any]]] | None = None) -> None:
        self.app = create_app("recorded", key=FULL, base_url=BASE)
        for name, rows in (added or {}).items():
            table = self.app.state.shop.tables[name]
            table.load([(table.get(row_id) or {}) | row for row_id, row in rows.items()])
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url=BASE)

    async def prepared(self) -> Sandbox:
        """The sandbox with the keys that the recorded shop had, at its time."""
        for key, options in KEYS.items():
            await self.control({"key": {"key": key, **options}})
        await self.control({"clock": {"freeze": "2026-11-23 01:42:36"}})
        return self

    async def control(self, command: dict[str, Any]) -> None:
        """Send one control command."""
        answer = await self.client.put("/_control", json=command)
        if answer.status_code != 200:
            raise RuntimeError(f"{command}: {answer.status_code} {answer.text}")

    async def ask(self, call: Call) -> httpx.Response:
        """The sandbox's answer to a recorded request."""
        headers = {}
        for name, value in call.request_headers.items():
            match = re.fullmatch(r"Basic base64\((.*)\)", value)
            headers[name] = httpx.BasicAuth(*match.group(1).split(":", 1))._auth_header if match else value
        target = call.url.removeprefix(BASE)
        request = httpx.Request(call.method, httpx.URL(BASE).copy_with(raw_path=target.encode()), headers=headers,
                                content=call.request_body or None)  # fmt: skip
        return await self.client.send(request)


def settings_of(call: Call) -> list[dict[str, Any]]:
    """The control commands that bring the sandbox into the state in which a call was recorded."""
    found: list[dict[str, Any]] = []
    for (folder, case), commands in SETTINGS.items():
        if call.folder == folder and call.case.startswith(case):
            found += commands
    return found


# ------------------------------------------------------------------------------------ comparing


def differences(call: Call, answer: httpx.Response, *, after_writes: bool = False) -> list[str]:
    """In what an answer departs from the recorded one; nothing when it agrees."""
    if call.status != answer.status_code:
        return [f"status {answer.status_code} instead of {call.status}: {answer.text[:120]!r}"]
    reasons = [
        f"header {name} {answer.headers.get(name)!r} instead of {call.headers.get(name)!r}"
        for name in (
            "psws-version",
            "location",
            "www-authenticate",
            "access-control-allow-headers",
            "content-type",
        )
        if (call.headers.get(name) or "").lower() != (answer.headers.get(name) or "").lower()
    ]
    if ("content-sha1" in call.headers) != ("content-sha1" in answer.headers):
        reasons.append("header Content-Sha1 present on one side only")
    if call.method == "HEAD" or not call.body.strip() or not answer.content.strip():
        if bool(call.body.strip()) != bool(answer.content.strip()) and call.method != "HEAD":
            reasons.append(f"body {answer.content[:80]!r} instead of {call.body[:80]!r}")
        return reasons
    return reasons + body_differences(call, answer, after_writes=after_writes)


def body_differences(call: Call, answer: httpx.Response, *, after_writes: bool) -> list[str]:
    """In what a body departs from the recorded one."""
    kind = call.headers.get("content-type", "")
    if "json" in kind:
        try:
            return value_differences(
                json.loads(call.body), json.loads(answer.content), call, after_writes=after_writes
            )
        except ValueError as error:
            return [f"JSON unreadable: {error}"]
    if "xml" in kind:
        recorded, given = parsed(call.body), parsed(answer.content)
        if recorded is None or given is None:
            return (
                []
                if recorded is given and codes(call.body) == codes(answer.content)
                else ["malformed otherwise"]
            )
        return value_differences(recorded, given, call, after_writes=after_writes)
    if kind.startswith("image/"):
        return [] if call.body == answer.content else ["another picture"]
    return [] if visible(call.body) == visible(answer.content) else [f"body {answer.content[:80]!r}"]


def codes(body: bytes) -> list[bytes]:
    """What can be compared of documents that no parser reads: error codes, or the text where there are none."""
    return re.findall(rb"<code><!\[CDATA\[(\d+)", body) or [visible(body)]


def visible(body: bytes) -> bytes:
    return re.sub(rb"\s+", b" ", body).strip()


def parsed(body: bytes) -> Any:
    """A document as nested lists, nothing when it is malformed."""
    try:
        return tree(ET.fromstring(body))
    except ET.ParseError:
        return None


def tree(node: ET.Element) -> Any:
    children = [tree(child) for child in node]
    text = (node.text or "").strip() if children else (node.text or "")
    return [node.tag, dict(sorted(node.attrib.items())), text, *children]


def value_differences(recorded: Any, given: Any, call: Call, *, after_writes: bool) -> list[str]:
    """Differences of two parsed bodies; rows of unsorted lists may come in any order."""
    if after_writes:
        recorded, given = without_random(recorded), without_random(given)
    recorded, given = normal(recorded, call), normal(given, call)
    return [] if recorded == given and same_types(recorded, given) else [first_difference(recorded, given)]


def without_random(value: Any) -> Any:
    """A body with the random texts of saved rows taken out."""
    if isinstance(value, dict):
        return {k: None if k in RANDOM else without_random(v) for k, v in value.items()}
    if isinstance(value, list):
        if len(value) == 3 and value[0] in RANDOM:
            return [*value[:2], None]
        return [without_random(v) for v in value]
    return value


def normal(value: Any, call: Call) -> Any:
    """A body without what is not compared: texts of PHP warnings, order that nobody fixed, moments of now."""
    if isinstance(value, dict) and "errors" in value:
        return value | {"errors": [warning_free(e) for e in value["errors"]]}
    if (
        isinstance(value, list)
        and len(value) > 3
        and isinstance(value[3], list)
        and value[3][:1] == ["errors"]
    ):
        errors = [["error", {}, "", e[3], warning_free_xml(e)] for e in value[3][3:]]
        return [*value[:3], ["errors", {}, "", *errors]]
    if "sort=" not in call.url and "limit=" not in call.url:
        return unordered(value)
    return value


def warning_free(entry: dict[str, Any]) -> dict[str, Any]:
    return {"code": entry["code"]} if 2 <= entry["code"] <= 15 else entry


def warning_free_xml(entry: list[Any]) -> Any:
    code = int(entry[3][2])
    return None if 2 <= code <= 15 else entry[4]


def unordered(value: Any) -> Any:
    """The body with the rows of its list in the order of their text."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), list):
        ((name, rows),) = value.items()
        return {name: sorted(rows, key=lambda r: json.dumps(r, sort_keys=True))}
    if isinstance(value, list) and value[:1] == ["prestashop"] and len(value) == 4 and len(value[3]) > 3:
        inner = value[3]
        if inner[0] not in {"api", "image_types"} and len({c[0] for c in inner[3:]}) == 1:
            return [*value[:3], [*inner[:3], *sorted(inner[3:], key=json.dumps)]]
    return value


def same_types(one: Any, other: Any) -> bool:
    """True when two equal values also have the same JSON types."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same_types(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(same_types(a, b) for a, b in zip(one, other, strict=True))
    return True


def first_difference(one: Any, other: Any, path: str = "") -> str:
    """Where two bodies first differ, in words."""
    if type(one) is not type(other):
        return f"{path}: {other!r:.90} instead of {one!r:.90}"
    if isinstance(one, dict):
        if list(one) != list(other):
            return f"{path}: fields {[k for k in other if k not in one]} too much, {[k for k in one if k not in other]} missing, or another order"
        for key in one:
            if one[key] != other[key] or not same_types(one[key], other[key]):
                return first_difference(one[key], other[key], f"{path}.{key}")
    if isinstance(one, list):
        if len(one) != len(other):
            return f"{path}: {len(other)} entries instead of {len(one)}"
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            if a != b or not same_types(a, b):
                return first_difference(a, b, f"{path}[{i}]")
    return f"{path}: {other!r:.90} instead of {one!r:.90}"


# ------------------------------------------------------------------------------------ running


async def replay(calls: list[Call]) -> tuple[list[Verdict], list[Verdict]]:
    """Verdicts on the plain reads, and on everything in ``w_`` and ``v_`` cases."""
    reads, rest = [], []
    added = unknown_rows(calls)
    shop = await Sandbox(added).prepared()
    for call in calls:
        if call.case.startswith(("w_", "v_")):
            continue
        if call.method not in {"GET", "HEAD", "OPTIONS", "PROPFIND"} and not call.folder.startswith(
            "_transport"
        ):
            continue
        commands = settings_of(call)
        asked = await Sandbox(added).prepared() if commands else shop
        for command in commands:
            await asked.control(command)
        reads.append(Verdict(call, differences(call, await asked.ask(call))))
    for group in ("w_", "v_"):
        shop = await Sandbox(added).prepared()
        for call in calls:
            if not call.case.startswith(group):
                continue
            if call.case in RESTORED:
                shop = await Sandbox(added).prepared()
            asked = shop
            if commands := settings_of(call):
                asked = await Sandbox(added).prepared()
                for command in commands:
                    await asked.control(command)
            if "access-time" in call.headers:
                await asked.control({"clock": {"freeze": int(call.headers["access-time"])}})
            rest.append(Verdict(call, differences(call, await asked.ask(call), after_writes=True)))
    return reads, rest


def report(title: str, verdicts: list[Verdict], *, verbose: bool) -> Counter[str]:
    """Print agreements per resource and every disagreement; returns the counts."""
    per: dict[str, Counter[str]] = defaultdict(Counter)
    for verdict in verdicts:
        per[verdict.call.folder]["of"] += 1
        per[verdict.call.folder]["agree"] += not verdict.reasons
    print(f"\n{title}")
    for folder in sorted(per):
        print(f"  {folder:24s} {per[folder]['agree']:4d} of {per[folder]['of']:4d}")
    wrong = [v for v in verdicts if v.reasons]
    if wrong:
        print(f"\n  Disagreements ({len(wrong)}):")
    for verdict in wrong:
        print(
            f"  - {verdict.call.folder}/{verdict.call.case}: {verdict.call.method} {verdict.call.url.removeprefix(BASE)[:110]}"
        )
        known = REASONS.get(f"{verdict.call.folder}/{verdict.call.case}")
        if known:
            print(f"      reason: {known}")
        for reason in verdict.reasons if verbose else verdict.reasons[:1]:
            print(f"      {reason[:300]}")
    total: Counter[str] = Counter()
    for counts in per.values():
        total += counts
    return total


def main(arguments: list[str] | None = None) -> int:
    """Replay a directory; 0 when at least 98 of 100 plain reads agree."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("directory", type=Path)
    parser.add_argument(
        "--verbose", action="store_true", help="every difference of a call, not only the first"
    )
    options = parser.parse_args(arguments)
    calls = read_calls(options.directory)
    if not calls:
        print(f"{options.directory}: no recorded call (*.http) found", file=sys.stderr)
        return 2
    reads, rest = asyncio.run(replay(calls))
    later = [v for v in rest if v.call.method in {"GET", "HEAD"}]
    writes = [v for v in rest if v.call.method not in {"GET", "HEAD"}]
    report("Writes (in w_ and v_ cases)", writes, verbose=options.verbose)
    report("Reads after writes (in w_ and v_ cases)", later, verbose=options.verbose)
    total = report("Reads", reads, verbose=options.verbose)
    print(f"\nwrites: {sum(not v.reasons for v in writes)} of {len(writes)} agree")
    print(f"reads after writes: {sum(not v.reasons for v in later)} of {len(later)} agree")
    print(f"AGREE {total['agree']} OF {total['of']}")
    return 0 if total["agree"] >= 0.98 * total["of"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
