"""The replay of recorded calls: it tells agreement from disagreement, and the sandbox agrees."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from ps_qb_pipeline_tests import prestashop_recordings as replay

RECORDINGS = os.environ.get("PSQB_RECORDINGS", "")


def recording(
    folder: Path, case: str, url: str, answer: str, status: str = "200 OK", kind: str = "application/json"
) -> None:
    """Write one recorded call."""
    folder.mkdir(parents=True, exist_ok=True)
    head = f"# GET {replay.BASE}{url}\n# > Authorization: Basic base64({replay.FULL}:)\n\nHTTP/1.1 {status}\nContent-Type: {kind}\n"
    sha = "" if not status.startswith("200") else "Content-Sha1: 0\n"
    (folder / f"{case}.http").write_text(f"{head}PSWS-Version: 9.1.4\n{sha}\n{answer}", encoding="utf-8")


def test_agreements_and_disagreements_are_told_apart(tmp_path, capsys):
    """A true answer, a wrong value, a wrong type, a wrong order under sort, another status."""
    orders = tmp_path / "orders"
    recording(
        orders,
        "true.json",
        "/api/orders?filter[id]=[5]&display=[id,valid]&output_format=JSON",
        '{"orders":[{"id":5,"valid":"1"}]}',
    )
    recording(
        orders,
        "value.json",
        "/api/orders?filter[id]=[5]&display=[id,valid]&output_format=JSON",
        '{"orders":[{"id":5,"valid":"0"}]}',
    )
    recording(
        orders,
        "type.json",
        "/api/orders?filter[id]=[5]&display=[id,valid]&output_format=JSON",
        '{"orders":[{"id":"5","valid":"1"}]}',
    )
    recording(
        orders,
        "sorted.json",
        "/api/orders?filter[id]=[1,2]&sort=[id_ASC]&output_format=JSON",
        '{"orders":[{"id":2},{"id":1}]}',
    )
    recording(
        orders,
        "unsorted.json",
        "/api/orders?filter[id]=[1,2]&output_format=JSON",
        '{"orders":[{"id":2},{"id":1}]}',
    )
    recording(
        orders,
        "status.json",
        "/api/orders?output_format=JSON",
        '{"errors":[]}',
        status="503 Service Unavailable",
    )
    assert replay.main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "AGREE 2 OF 6"
    for case in ("value", "type", "sorted", "status"):
        assert f"orders/{case}.json" in printed


def test_a_row_that_the_bundle_does_not_know_is_learnt_and_a_known_one_is_not_changed(tmp_path, capsys):
    """A shop cannot know what nobody told it."""
    url = "/api/zones?display=full&output_format=JSON"
    recording(
        tmp_path / "zones",
        "full.json",
        f"{url}&filter[id]=[99]",
        '{"zones":[{"id":99,"name":"Moon","active":"1"}]}',
    )
    recording(
        tmp_path / "zones",
        "name.json",
        "/api/zones?filter[name]=[moon]&output_format=JSON",
        '{"zones":[{"id":99}]}',
    )
    recording(
        tmp_path / "zones",
        "known.json",
        f"{url}&filter[id]=[1]",
        '{"zones":[{"id":1,"name":"Elsewhere","active":"1"}]}',
    )
    replay.main([str(tmp_path)])
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "AGREE 2 OF 3"
    assert "Elsewhere" in printed


def test_messages_of_php_warnings_are_compared_by_code_only(tmp_path):
    """Other messages are compared whole."""
    url = "/api/orders?limit=1,2,3&output_format=JSON"
    call = replay.Call(
        "orders",
        "x",
        "GET",
        replay.BASE + url,
        {"Authorization": f"Basic base64({replay.FULL}:)"},
        b"",
        0,
        {},
        b"",
    )
    answer = asyncio.run(asked(call))
    call.status = answer.status_code
    call.headers = {k: v for k, v in answer.headers.items() if k in {"content-type", "psws-version"}}
    call.body = answer.content.replace(b"line 1299", b"line 7")
    assert replay.differences(call, answer) == []
    call.body = answer.content.replace(b"5,25", b"5,26")
    assert replay.differences(call, answer)


async def asked(call):
    return await (await replay.Sandbox().prepared()).ask(call)


def test_an_empty_directory_is_said_to_be_empty(tmp_path, capsys):
    """Exit code 2."""
    assert replay.main([str(tmp_path)]) == 2
    assert "no recorded call" in capsys.readouterr().err


@pytest.mark.skipif(not RECORDINGS, reason="PSQB_RECORDINGS names no directory of recordings")
def test_the_sandbox_agrees_with_the_recordings(capsys):
    """At least 98 of 100 reads."""
    assert replay.main([RECORDINGS]) == 0
    agree, of = map(int, capsys.readouterr().out.splitlines()[-1].removeprefix("AGREE ").split(" OF "))
    assert agree >= 0.98 * of
