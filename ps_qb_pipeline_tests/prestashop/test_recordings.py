"""The client's reading of answers against what a real PrestaShop answered, if its recordings are at hand.

Set ``PSQB_RECORDINGS`` to their folder; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from ps_qb_pipeline.errors import NotAShop, ShopError, ShopRefused, ShopUnauthorized, ShopUnavailable
from ps_qb_pipeline.prestashop import wire
from ps_qb_pipeline.prestashop.resources import RESOURCES
from ps_qb_pipeline.prestashop.rows import Record, record
from ps_qb_pipeline.prestashop.wire import Answer, Call
from ps_qb_pipeline_tests.prestashop_recordings import Call as Recorded
from ps_qb_pipeline_tests.prestashop_recordings import read_calls

FOLDER = os.environ.get("PSQB_RECORDINGS", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="PSQB_RECORDINGS names no folder of recorded calls")


@pytest.fixture(scope="module")
def calls() -> list[Recorded]:
    return read_calls(Path(FOLDER))


def answer(call: Recorded) -> Answer:
    return Answer(call.status, call.headers, call.body)


def test_every_list_of_every_resource_is_typed_row_by_row(calls: list[Recorded]) -> None:
    """Each recorded list with all fields yields a typed row for each object, and the same values."""
    seen = Counter()
    for call in calls:
        if call.folder in RESOURCES and call.case == "list_full.json":
            resource = RESOURCES[call.folder]
            objects = wire.list_objects(answer(call), Call("GET", call.folder), resource.list_key)
            wanted = json.loads(call.body)[resource.list_key]
            assert len(objects) == len(wanted)
            for (fields, text), one in zip(objects, wanted, strict=True):
                row = record(resource, fields, text, language=1)
                assert isinstance(row, Record), (call.folder, row)
                assert json.loads(row.payload) == one
                seen[call.folder] += 1
    assert seen.keys() == RESOURCES.keys()


def test_every_recorded_read_is_rows_or_the_error_that_it_says(calls: list[Recorded]) -> None:
    """Whatever was answered is either wholly read or refused with the first error code that stands there."""
    ends: Counter[str] = Counter()
    for call in calls:
        if call.method != "GET" or call.case.startswith(("w_", "v_")) or _single(call):
            continue
        where = f"{call.folder}/{call.case}"
        codes = [int(code) for code in re.findall(rb'(?:"code":|<code><!\[CDATA\[)(\d+)', call.body)]
        error = _refusal(call)
        ends[type(error).__name__] += 1
        if error is None:
            assert (call.status, codes) == (200, []), where
            continue
        assert call.status != 200 or "odd_" in where or "images" in where, (where, str(error))
        assert "LABKEY" not in str(error)
        if codes:
            assert error.facts.get("codes") == codes, where
            assert type(error) is _meant(codes[0]), where
    assert ends["NoneType"] > 1000
    assert ends["ShopRefused"] > 100


def _single(call: Recorded) -> bool:
    """Whether the answer is a JSON object of one entity or a schema, a form that is never asked for."""
    if "json" not in call.headers.get("content-type", ""):
        return False
    content = json.loads(call.body)
    return isinstance(content, dict) and not isinstance(next(iter(content.values())), list)


def _refusal(call: Recorded) -> ShopError | None:
    """What the client raises over the recorded answer; None if it reads it, and then every row of it."""
    asked = Call("GET", call.folder)
    try:
        if "json" not in call.headers.get("content-type", ""):
            wire.document(answer(call), asked)
            return None
        content = json.loads(call.body)
        key = next(iter(content)) if isinstance(content, dict) else call.folder
        found = wire.list_objects(answer(call), asked, key)
    except ShopError as error:
        return error
    assert len(found) == (len(content[key]) if isinstance(content, dict) else 0)
    return None


def _meant(code: int) -> type[ShopError]:
    if code in {16, 17, 18, 19, 20, 21, 25, 26, 132}:
        return ShopUnauthorized
    return ShopUnavailable if 2 <= code <= 15 or code == 22 else ShopRefused


def test_recorded_redirects_are_no_shop(calls: list[Recorded]) -> None:
    """Wrong host, unknown shop: every 302 is named as such."""
    redirects = [call for call in calls if 300 < call.status < 304]
    assert redirects
    for call in redirects:
        with pytest.raises(NotAShop):
            wire.list_objects(answer(call), Call("GET", call.folder), call.folder)
