"""Endpoints with rules of their own: sending, PDF, uploads, exchange rates.

What lives here: what the general steps of ``objects`` do not cover. What does not: transactions.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from ps_qb_pipeline.sandbox.books import faults, objects, recurring, schema
from ps_qb_pipeline.sandbox.books.clock import key
from ps_qb_pipeline.sandbox.books.codec import Json, decimal, loads
from ps_qb_pipeline.sandbox.books.company import Company
from ps_qb_pipeline.sandbox.books.entities import ENTITIES, Entity
from ps_qb_pipeline.sandbox.books.store import Row

LARGEST_UPLOAD = 100 * 1024 * 1024


def delete(company: Company, entity: Entity, body: Json) -> Json:
    """Delete one object, whatever its entity."""
    if entity.name == recurring.NAME:
        return recurring.delete(company, body)
    return objects.delete(company, entity, body)


def send(company: Company, entity: Entity, number: int, address: str) -> Json:
    """Mark a document as sent by e-mail and return it."""
    if not entity.send:
        raise faults.unsupported(f"send {entity.name}")
    body = dict(objects.read(company, entity, number))
    target = address or body.get("BillEmail", {}).get("Address", "")
    if not target:
        raise faults.required("BillEmail")
    if "@" not in target:
        raise faults.invalid_email(target)
    if address:
        body["BillEmail"] = {"Address": address}
    body["EmailStatus"] = "EmailSent"
    body["DeliveryInfo"] = {"DeliveryType": "Email", "DeliveryTime": company.clock.company()}
    company.patch(entity.name, number, body, touched=True)
    company.note(entity.name, number, "Emailed")
    return body


def pdf(entity: Entity, body: Json) -> bytes:
    """Return a small one-page PDF that names the document."""
    text = f"{entity.name} {body.get('DocNumber', body['Id'])}  {body.get('TxnDate', '')}  {body.get('TotalAmt', '')}"
    escaped = re.sub(r"([\\()])", r"\\\1", text.encode("latin-1", "replace").decode("latin-1"))
    stream = f"BT /F1 14 Tf 60 780 Td ({escaped}) Tj ET".encode("latin-1")
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length " + str(len(stream)).encode() + b" >>\nstream\n" + stream + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F1 5 0 R >> >>",
    ]
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, part in enumerate(parts, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + part + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(parts) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    out += f"trailer << /Size {len(parts) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


# Exchange rates ------------------------------------------------------------------------------------


def exchange_rate(company: Company, query: dict[str, str]) -> Json:
    """Return the rate of ``sourcecurrencycode`` on ``asofdate`` (today if absent)."""
    if not company.multicurrency:
        raise faults.business("Multi Currency should be enabled to perform this operation.")
    lower = {name.lower(): value for name, value in query.items()}
    code = lower.get("sourcecurrencycode", "").upper()
    if not code:
        raise faults.required("sourcecurrencycode")
    day = lower.get("asofdate") or company.clock.today()
    body = {
        "SourceCurrencyCode": code,
        "TargetCurrencyCode": company.home,
        "Rate": company.rate(code, day),
        "AsOfDate": day,
        "domain": "QBO",
        "sparse": False,
        "MetaData": {"LastUpdatedTime": company.clock.company()},
    }
    return {"ExchangeRate": body}


def _save_rate(company: Company, body: Json) -> Json:
    if not company.multicurrency:
        raise faults.business("Multi Currency should be enabled to perform this operation.")
    clean = schema.check("ExchangeRate", {k: v for k, v in body.items() if k != "MetaData"}, schema.Checked())
    code = str(clean.get("SourceCurrencyCode", "")).upper()
    rate = decimal(clean.get("Rate"))
    if not code:
        raise faults.required("SourceCurrencyCode")
    if rate is None:
        raise faults.required("Rate")
    if rate <= 0:
        raise faults.invalid_number("Rate", rate)
    day = clean.get("AsOfDate") or company.clock.today()
    sql = "select id from rows where entity='ExchangeRate' and name=? and txn_date=?"
    found = company.store.connection.execute(sql, (code.lower(), day)).fetchone()
    number = found[0] if found else company.store.next("id:ExchangeRate", 1)
    now = company.clock.now()
    whole: Json = {
        "SourceCurrencyCode": code,
        "TargetCurrencyCode": clean.get("TargetCurrencyCode", company.home),
        "Rate": rate,
        "AsOfDate": day,
        "domain": "QBO",
        "sparse": False,
        "MetaData": {"LastUpdatedTime": company.clock.company(now)},
    }
    row = Row("ExchangeRate", number, 0, True, False, key(now), key(now), b"")
    company.write(ENTITIES["ExchangeRate"], row, whole)
    company.store.connection.execute(
        "update rows set name=?, txn_date=? where entity='ExchangeRate' and id=?", (code.lower(), day, number)
    )
    return whole


# Uploads -------------------------------------------------------------------------------------------


def upload(company: Company, body: bytes, content_type: str, base_url: str) -> Json:
    """Store the files of a multipart request and return their attachables.

    Line ends may be CRLF or bare LF; a part may be base64; metadata pairs with content by its suffix.
    """
    if len(body) > LARGEST_UPLOAD:
        raise faults.business("The file upload request should not exceed 100MB in size.")
    parts = _parts(body, content_type)
    metadata = {
        name.rpartition("_")[2]: loads(content)
        for name, _, content in parts
        if name.startswith("file_metadata")
    }
    answers: list[Json] = []
    for name, headers, content in parts:
        if not name.startswith("file_content"):
            continue
        about = metadata.get(name.rpartition("_")[2], {})
        answers.append({"Attachable": _store_file(company, about, headers, content, base_url)})
    if not answers:
        raise faults.required("file_content")
    return {"AttachableResponse": answers}


def _store_file(
    company: Company, about: Json, headers: dict[str, str], content: bytes, base_url: str
) -> Json:
    match = re.search(r'filename="([^"]*)"', headers.get("content-disposition", ""))
    order = {name: value for name, value in about.items() if name not in {"Id", "SyncToken", "MetaData"}}
    order.setdefault("FileName", match.group(1) if match else "attachment")
    if not order["FileName"]:
        order["FileName"] = "attachment"
    order["ContentType"] = about.get("ContentType") or headers.get("content-type", "application/octet-stream")
    made = objects.create(company, ENTITIES["Attachable"], order)
    number = int(made["Id"])
    company.store.connection.execute(
        "insert into files (id, name, type, content) values (?,?,?,?)",
        (number, order["FileName"], order["ContentType"], content),
    )
    whole = dict(made)
    whole["Size"] = len(content)
    whole["FileAccessUri"] = f"/v3/company/{company.realm}/download/{number}"
    whole["TempDownloadUri"] = download_url(company, number, base_url)
    company.patch("Attachable", number, whole, touched=False)
    return whole


def download_url(company: Company, number: int, base_url: str) -> str:
    """Return the address at which an attachment's content lies."""
    if company.find("Attachable", number) is None:
        raise faults.not_found()
    return f"{base_url}/_files/{company.realm}/{number}"


def _parts(body: bytes, content_type: str) -> list[tuple[str, dict[str, str], bytes]]:
    match = re.search(r'boundary="?([^";]+)"?', content_type)
    if match is None:
        raise faults.unknown_property("boundary")
    found = []
    for piece in re.split(rb"(?:^|\r?\n)--" + re.escape(match.group(1).strip().encode()), body)[1:]:
        if piece.startswith(b"--"):
            break
        head, _, content = (
            re.sub(rb"^[ \t]*\r?\n", b"", piece, count=1).replace(b"\r\n\r\n", b"\n\n", 1).partition(b"\n\n")
        )
        headers = {}
        for line in head.decode("utf-8", "replace").splitlines():
            label, _, value = line.partition(":")
            headers[label.strip().lower()] = value.strip()
        name = re.search(r'name="([^"]*)"', headers.get("content-disposition", ""))
        found.append((name.group(1) if name else "", headers, _decoded(headers, content)))
    return found


def _decoded(headers: dict[str, str], content: bytes) -> bytes:
    if headers.get("content-transfer-encoding", "").lower() != "base64":
        return content
    try:
        return base64.b64decode(content, validate=False)
    except binascii.Error:
        raise faults.unknown_property("file_content") from None


SAVE: dict[str, Callable[[Company, Json], Json]] = {
    "ExchangeRate": _save_rate,
    recurring.NAME: recurring.save,
}
