"""Mutated answers against the reading of answers: only named errors, and no row dropped in silence.

    python -m ps_qb_pipeline_tests.prestashop.fuzz --count 100000

Every mutation is derived from the seed, so a failure names the number that repeats it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections import Counter
from typing import Any

from ps_qb_pipeline.errors import ShopError
from ps_qb_pipeline.prestashop import wire
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.prestashop.rows import Poisoned, Record, record
from ps_qb_pipeline.prestashop.wire import Answer, Call
from ps_qb_pipeline_tests.prestashop.shop_double import blank

NAMES = ("orders", "order_details", "order_slip", "products", "order_payments", "configurations")
FRAGMENTS = [
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"]}",
    b"}]",
    b"[]",
    b"{}",
    b"null",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"1e999999999",
    b"-1e99999999999999999999",
    b"1.5e-999999999",
    b"9" * 400,
    b'"\\ud800"',
    b'"\\u0000"',
    b"\\",
    b'"',
    b",",
    b":",
    b"<html>maintenance</html>",
    b"<b>Warning</b>: Undefined array key in /var/www/x.php",
    b'{"errors":[{"code":3,"message":"[PHP Warning #2] x (/a.php, line 3)"}]}',
    b'{"errors":[]}',
    b'{"orders":[]}',
    b"[" * 3000,
    b'{"a":' * 3000,
    b"<!DOCTYPE x [<!ENTITY a 'b'>]>",
    b"<![CDATA[",
    b"]]>",
    b"&a;",
    "\u202e\U0001f600".encode(),
    b'"id":true',
    b'"date_add":"2026-13-45 99:00:00"',
    b'"total_paid":"NaN"',
    b'"total_paid":"1e300"',
    b"\xd9\xa3",
]
TYPES = ("text/html", "text/xml;charset=utf-8", "application/json", "")


def fuzz(count: int, seed: int = 1, *, keep: list[tuple[str, Record]] | None = None) -> Counter[str]:
    """Runs ``count`` mutations, half JSON and half XML; returns how they ended. Fails with AssertionError.

    Rows that could be read are added to ``keep``, each with the name of its resource.
    """
    kept: list[tuple[str, Record]] = [] if keep is None else keep
    ends: Counter[str] = Counter()
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        try:
            ends[_json_case(rng, kept) if number % 2 else _xml_case(rng)] += 1
        except ShopError as error:
            ends[type(error).__name__] += 1
        except Exception as error:
            raise AssertionError(
                f"seed {seed}, mutation {number}: {type(error).__name__}: {error}"
            ) from error
    return ends


def _json_case(rng: random.Random, kept: list[tuple[str, Record]]) -> str:
    name = rng.choice(NAMES)
    resource = RESOURCES[name]
    objects = [_object(name, number, rng) for number in range(1, rng.randint(2, 5))]
    text = json.dumps({resource.list_key: objects}, ensure_ascii=rng.random() < 0.5)
    body = _mutated(text.encode(), rng)
    answer = _answer(body, rng)
    found = wire.list_objects(answer, Call("GET", name), resource.list_key)
    read = [record(resource, fields, payload) for fields, payload in found]
    expected = json.loads(body.decode("utf-8-sig"))
    expected = expected[resource.list_key] if isinstance(expected, dict) else expected
    assert len(read) == len(expected), "a row was dropped"
    for one, wanted in zip(read, expected, strict=True):
        if isinstance(one, Record):
            assert one.id == int(wanted["id"])
            assert one.values.keys() == resource.columns.keys()
            kept.append((name, one))
        else:
            assert isinstance(one, Poisoned)
            assert one.reason
        one.payload.encode()
    return "read, with rows set aside" if any(isinstance(one, Poisoned) for one in read) else "read"


def _xml_case(rng: random.Random) -> str:
    if rng.random() < 0.5:
        inner = f"<errors><error><code>{rng.choice((32, 26, 20, 3, 999))}</code><message>no</message></error></errors>"
    else:
        inner = '<api shopName="x"><orders get="true" put="false"/><taxes get="true"/></api>'
    body = _mutated(f'<?xml version="1.0" encoding="UTF-8"?>\n<prestashop>{inner}</prestashop>'.encode(), rng)
    root = wire.document(_answer(body, rng, "text/xml;charset=utf-8"), Call("GET", ""))
    assert root.tag == "prestashop"
    return "read"


def _object(name: str, number: int, rng: random.Random) -> Any:
    fields = blank(name, id=number)
    for column in rng.sample(sorted(fields), k=rng.randint(0, 2)):
        odd = (
            "",
            None,
            False,
            True,
            0,
            1,
            "1",
            -1,
            1.5,
            [],
            {},
            "x",
            "0000-00-00 00:00:00",
            "\x07",
            "9" * 40,
        )
        fields[column] = rng.choice(odd)
    if rng.random() < 0.05:
        del fields[rng.choice(sorted(fields))]
    return fields if rng.random() > 0.02 else rng.choice((None, 1, "x", [fields]))


def _mutated(body: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 8))):
        at, to = sorted((rng.randint(0, len(body)), rng.randint(0, len(body))))
        move = rng.randrange(6)
        if move == 0:
            body = body[:at]
        elif move == 1:
            body = body[:at] + body[to:]
        elif move == 2:
            body = body[:at] + rng.choice(FRAGMENTS) + body[at:]
        elif move == 3:
            body = body[:at] + rng.choice(FRAGMENTS) + body[to:]
        elif move == 4 and body:
            at = rng.randrange(len(body))
            body = body[:at] + bytes([body[at] ^ (1 << rng.randrange(8))]) + body[at + 1 :]
        else:
            body = body[:to] + body[at:]
    return body


def _answer(body: bytes, rng: random.Random, media_type: str = "application/json") -> Answer:
    headers = {
        "content-type": media_type if rng.random() < 0.9 else rng.choice(TYPES),
        "psws-version": "9.1.4",
    }
    if rng.random() < 0.9:
        headers["content-sha1"] = hashlib.sha1(body).hexdigest()
    return Answer(rng.choice((200,) * 14 + (500, 400)), headers, body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    began = time.monotonic()
    ends = fuzz(chosen.count, chosen.seed)
    print(
        f"{chosen.count} mutated answers in {time.monotonic() - began:.0f} s, none crashed, no row was dropped"
    )
    for end, number in ends.most_common():
        print(f"  {number:>8}  {end}")


if __name__ == "__main__":
    main()
