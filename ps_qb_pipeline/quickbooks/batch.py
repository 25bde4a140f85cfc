"""Batches and uploads: requests that python-quickbooks cannot make safely.

What lives here: the bytes of a batch whose items are frozen bytes themselves, and one outcome for
each item; the multipart form of an attachment. What does not: which documents go together, and in
which order (posting).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ps_qb_pipeline.errors import BooksUnavailable, Fault
from ps_qb_pipeline.quickbooks.answers import Reply, fault_error, fault_of

BID_LENGTH = 10


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One write of a batch; ``body`` holds its frozen bytes. ``operation``: create, update or delete.

    Batches know no void of their own: it is an update with ``options="void"``.
    """

    bid: str
    operation: str
    entity: str
    body: bytes
    options: str = ""


def body(items: Sequence[BatchItem], *, limit: int) -> bytes:
    """The batch's bytes; each item's own bytes stand in them unchanged.

    Raises ValueError for a batch that QuickBooks would refuse as a whole.
    """
    bids = [item.bid for item in items]
    if not 0 < len(items) <= limit:
        raise ValueError(f"a batch holds 1 to {limit} items, not {len(items)}")
    if len(set(bids)) != len(bids) or any(not 0 < len(bid) <= BID_LENGTH for bid in bids):
        raise ValueError(f"every bId must be unique and have 1 to {BID_LENGTH} characters")
    parts = [
        b"{"
        + f'"bId":{json.dumps(item.bid)},"operation":{json.dumps(item.operation)},'.encode()
        + (f'"optionsData":{json.dumps(item.options)},'.encode() if item.options else b"")
        + f'"{item.entity}":'.encode()
        + item.body
        + b"}"
        for item in items
    ]
    return b'{"BatchItemRequest":[' + b",".join(parts) + b"]}"


def read(reply: Reply, items: Sequence[BatchItem]) -> dict[str, Reply | Fault]:
    """What became of each item, by its bId: its object in an envelope, or the fault that refused it.

    An item is missing when its outcome is unknown: without an answer, with an unreadable one, or with
    a fault that does not prove that nothing was written.
    """
    answered = {
        str(said.get("bId")): said
        for said in reply.body.get("BatchItemResponse") or ()
        if isinstance(said, Mapping)
    }
    outcomes = ((item.bid, _outcome(item, answered.get(item.bid, {}), reply)) for item in items)
    return {bid: outcome for bid, outcome in outcomes if outcome is not None}


def _outcome(item: BatchItem, said: Mapping[str, Any], reply: Reply) -> Reply | Fault | None:
    refused = said.get("Fault") or said.get("fault")
    if isinstance(refused, Mapping):
        fault = fault_of(refused, intuit_tid=reply.intuit_tid)
        return None if isinstance(fault_error(fault), BooksUnavailable) else fault
    row = said.get(item.entity)
    return Reply(reply.status, reply.intuit_tid, {item.entity: row}) if isinstance(row, dict) else None


def upload(
    file_name: str, content: bytes, content_type: str, to: Mapping[str, str]
) -> tuple[dict[str, str], bytes]:
    """Headers and body of an upload that attaches a file to one object.

    Raises ValueError when a name could break out of its header.
    """
    if any(character in file_name + content_type for character in '"\r\n'):
        raise ValueError(f"{file_name!r} cannot be the name of an uploaded file")
    boundary = "psqb-part"
    while boundary.encode() in content:
        boundary += "-"
    about = json.dumps(
        {
            "AttachableRef": [{"EntityRef": {"type": to["type"], "value": to["value"]}}],
            "FileName": file_name,
            "ContentType": content_type,
        },
        ensure_ascii=True,
    )
    head = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file_metadata_01"; filename="attachment.json"\r\n'
        "Content-Type: application/json; charset=UTF-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n"
        f"{about}\r\n"
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file_content_01"; filename="{file_name}"\r\n'
        f"Content-Type: {content_type}\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n"
    ).encode()
    return (
        {"Content-Type": f"multipart/form-data; boundary={boundary}"},
        head + content + f"\r\n--{boundary}--\r\n".encode(),
    )
