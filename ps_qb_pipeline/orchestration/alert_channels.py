"""Where messages to people go: the log, a mail server, a webhook of Slack's form.

What lives here: one thin function a channel, each giving an empty text or the reason why it did not work.
What does not: what is said (``alerts``) and when it is tried again (``state.notices``).
"""

from __future__ import annotations

import logging
import os
import smtplib
import ssl
from collections.abc import Iterable
from email.message import EmailMessage

import httpx

from ps_qb_pipeline.orchestration.alerts import DIGEST, Message
from ps_qb_pipeline.settings import AlertSettings, EmailSettings
from ps_qb_pipeline.state.notices import Letter

logger = logging.getLogger(__name__)

SECONDS = 20
LOG, EMAIL, WEBHOOK = "log", "email", "webhook"
_MARKS = {"alert": "Alert", "reminder": "Still wrong", "recovery": "Over", "digest": "Digest"}


def routes(message: Message, settings: AlertSettings) -> list[str]:
    """The channels that a message takes. The digest goes to the accountant by mail, alerts to everybody."""
    channels = [LOG]
    email = settings.email
    if email is not None and (email.digest_to if message.key == DIGEST else email.to):
        channels.append(EMAIL)
    if settings.webhook_env:
        channels.append(WEBHOOK)
    return channels


def send(connection: str, letter: Letter, settings: AlertSettings) -> str:
    """Hand one message to its channel; empty, or why it did not work, without secrets."""
    try:
        if letter.channel == EMAIL and settings.email is not None:
            _mail(connection, letter, settings.email)
        elif letter.channel == WEBHOOK:
            _post(connection, letter, os.environ.get(settings.webhook_env, ""))
        else:
            _log(connection, letter)
    except (smtplib.SMTPException, OSError, httpx.HTTPError) as error:
        # The address of a webhook is a secret, and stands in httpx's own words.
        said = f"answered {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else ""
        reason = said or type(error).__name__
        logger.warning("%s: a message could not be sent by %s: %s", connection, letter.channel, reason)
        return reason
    return ""


def subject(connection: str, letter: Letter) -> str:
    """One line that says what it is about."""
    return letter.title if letter.key == DIGEST else f"[{connection}] {_MARKS[letter.kind]}: {letter.title}"


def _log(connection: str, letter: Letter) -> None:
    level = logging.WARNING if letter.kind in {"alert", "reminder"} else logging.INFO
    logger.log(level, "%s: %s", subject(connection, letter), letter.text.replace("\n", " "))


def _mail(connection: str, letter: Letter, settings: EmailSettings) -> None:
    mail = EmailMessage()
    mail["Subject"] = " ".join(subject(connection, letter).split())
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.digest_to if letter.key == DIGEST else settings.to)
    mail["Date"] = letter.created_at
    mail["Message-ID"] = f"<psqb-{connection}-{letter.id}@{settings.sender.partition('@')[2]}>"
    mail.set_content(letter.text)
    with smtplib.SMTP(settings.host, settings.port, timeout=SECONDS) as server:
        if settings.starttls:
            server.starttls(context=ssl.create_default_context())
        if settings.user_env:
            server.login(os.environ.get(settings.user_env, ""), os.environ.get(settings.password_env, ""))
        server.send_message(mail)


def _post(connection: str, letter: Letter, address: str) -> None:
    body = {"text": f"*{_escaped(subject(connection, letter))}*\n{_escaped(letter.text)}"}
    httpx.post(address, json=body, timeout=SECONDS, follow_redirects=False).raise_for_status()


def _escaped(text: str) -> str:
    """The three characters that Slack takes for markup of links and mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def letters(messages: Iterable[Message], settings: AlertSettings) -> list[dict[str, str]]:
    """The messages as rows of the outbox, one a channel."""
    return [
        {"channel": channel, "kind": one.kind, "key": one.key, "title": one.title, "text": one.text}
        for one in messages
        for channel in routes(one, settings)
    ]
