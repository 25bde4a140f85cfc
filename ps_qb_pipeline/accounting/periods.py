"""Closed periods: whether a date may still be booked, and where it goes when it may not.

What lives here: the close date of the books and the policy for it. What does not: what happens to
documents that are already posted (``changes``).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from ps_qb_pipeline.accounting.documents import Document
from ps_qb_pipeline.accounting.policy import Policy


def is_closed(day: date, policy: Policy) -> bool:
    """Whether the books are closed on ``day``; the close date itself is the last closed day."""
    return policy.book_close_date is not None and day <= policy.book_close_date


def first_open_day(policy: Policy, day: date) -> date:
    """``day``, or the day after the close date when ``day`` is closed."""
    if policy.book_close_date is None or day > policy.book_close_date:
        return day
    return policy.book_close_date + timedelta(days=1)


def dated(document: Document, policy: Policy) -> tuple[Document | None, str | None]:
    """The document with a date that is open, and what to say of it; None when it must wait."""
    if not is_closed(document.txn_date, policy):
        return document, None
    if policy.closed_period == "hold":
        return None, f"{document.txn_date} lies in a closed period"
    day = first_open_day(policy, document.txn_date)
    note = f"dated {document.txn_date} in the shop; that period is closed"
    memo = f"{document.memo} ({note})" if document.memo else note
    return replace(document, txn_date=day, memo=memo), note
