"""Messages leave by mail and webhook as they should, and a channel that is down loses none."""

from __future__ import annotations

import json
import logging
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_string
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from sqlalchemy import Engine, select

from ps_qb_pipeline.orchestration.alert_channels import letters, send
from ps_qb_pipeline.orchestration.alerts import Message
from ps_qb_pipeline.settings import AlertSettings, EmailSettings
from ps_qb_pipeline.state import notices
from ps_qb_pipeline.state.database import open_control_plane, reading
from ps_qb_pipeline.state.notices import Letter
from ps_qb_pipeline.state.tables import outbox

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ALERT = Message("alert", "disk", "The disk is nearly full", "1.0 GB are free; <2 GB> & more", urgent=True)
DIGEST = Message("digest", "digest", "boutique: the books on 2026-11-23", "8 of 8 orders.")


class _MailServer(socketserver.StreamRequestHandler):
    """Just enough of a mail server to take a mail in."""

    def handle(self) -> None:
        self._say("220 ready")
        while line := self.rfile.readline().decode().strip():
            word = line.upper().split()[0]
            if word == "DATA":
                self._say("354 go on")
                lines = []
                while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                    lines.append(text)
                self.server.mails.append("\n".join(lines))  # type: ignore[attr-defined]
            if word == "QUIT":
                self._say("221 bye")
                return
            self._say("250 fine")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


def _letter(message: Message, channel: str) -> Letter:
    return Letter(7, channel, message.kind, message.key, message.title, message.text, NOW, 0)


def test_mail_goes_to_whom_it_concerns() -> None:
    """An alert goes to the operators, the digest to the accountant."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _MailServer)
    server.mails = []  # type: ignore[attr-defined]
    with _serving(server) as port:
        email = EmailSettings(
            host="127.0.0.1", port=port, starttls=False, sender="psqb@example.com",
            to=("ops@example.com",), digest_to=("books@example.com",),
        )  # fmt: skip
        settings = AlertSettings(email=email)
        assert send("boutique", _letter(ALERT, "email"), settings) == ""
        assert send("boutique", _letter(DIGEST, "email"), settings) == ""
    first, second = (message_from_string(text, policy=default) for text in server.mails)  # type: ignore[attr-defined]
    assert (first["To"], first["Subject"]) == ("ops@example.com", "[boutique] Alert: The disk is nearly full")
    assert "1.0 GB are free" in first.get_content()
    assert (second["To"], second["Subject"]) == ("books@example.com", "boutique: the books on 2026-11-23")


def test_a_webhook_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack's form; what its markup would read as a link or a mention is escaped."""
    bodies: list[dict[str, str]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with _serving(HTTPServer(("127.0.0.1", 0), Hook)) as port:
        monkeypatch.setenv("HOOK", f"http://127.0.0.1:{port}/secret")
        assert send("boutique", _letter(ALERT, "webhook"), AlertSettings(webhook_env="HOOK")) == ""
    assert bodies == [
        {"text": "*[boutique] Alert: The disk is nearly full*\n1.0 GB are free; &lt;2 GB&gt; &amp; more"}
    ]


def test_the_address_of_a_webhook_is_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a secret: neither the reason nor the log names it."""
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/T0PSECRET")
    with caplog.at_level(logging.DEBUG, logger="ps_qb_pipeline"):
        reason = send("boutique", _letter(ALERT, "webhook"), AlertSettings(webhook_env="HOOK"))
    assert reason == "ConnectError"
    assert "T0PSECRET" not in caplog.text


def test_a_channel_that_is_down_loses_nothing_and_holds_up_nobody() -> None:
    """The log gets its copy at once; the mail goes out with a later look, once."""
    engine = open_control_plane("sqlite://")
    email = EmailSettings(host="mail", sender="psqb@example.com", to=("ops@example.com",))
    rows = letters([ALERT], AlertSettings(email=email))
    assert [row["channel"] for row in rows] == ["log", "email"]
    notices.change(engine, "boutique", lambda _: ([], rows), now=NOW)
    sent: list[str] = []

    def hand_over(letter: Letter, *, up: bool) -> str:
        if letter.channel == "email" and not up:
            return "ConnectionRefusedError"
        sent.append(letter.channel)
        return ""

    assert list(
        notices.deliver(engine, "boutique", lambda one: hand_over(one, up=False), now=NOW).values()
    ) == ["ConnectionRefusedError"]
    later = NOW + timedelta(minutes=5)
    assert notices.deliver(engine, "boutique", lambda one: hand_over(one, up=True), now=later) == {}
    assert notices.deliver(engine, "boutique", lambda one: hand_over(one, up=True), now=later) == {}
    assert sent == ["log", "email"]
    assert _attempts(engine) == [1, 2]


def test_old_news_is_given_up_and_forgotten() -> None:
    """After a day nobody wants to hear it any more."""
    engine = open_control_plane("sqlite://")
    notices.change(engine, "boutique", lambda _: ([], letters([ALERT], AlertSettings())), now=NOW)
    tried: list[int] = []
    late = NOW + timedelta(hours=25)
    assert notices.deliver(engine, "boutique", lambda one: tried.append(one.id) or "", now=late) == {}
    assert tried == []
    assert notices.forget(engine, late) == 1


def test_another_process_does_not_send_the_same_message() -> None:
    """While one is at it, the message belongs to it."""
    engine = open_control_plane("sqlite://")
    notices.change(engine, "boutique", lambda _: ([], letters([ALERT], AlertSettings())), now=NOW)
    sent: list[str] = []

    def slow(letter: Letter) -> str:
        notices.deliver(engine, "boutique", lambda one: sent.append("another") or "", now=NOW)
        sent.append(letter.channel)
        return ""

    notices.deliver(engine, "boutique", slow, now=NOW)
    assert sent == ["log"]


def _attempts(engine: Engine) -> list[int]:
    with reading(engine) as tx:
        return list(tx.execute(select(outbox.c.attempts).order_by(outbox.c.id)).scalars())
