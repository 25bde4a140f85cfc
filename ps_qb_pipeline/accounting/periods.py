"""Closed periods: whether a date may still be booked, and where it goes when it may not.

What lives here: the close date of the books and the policy for it. What does not: what happens to
documents that are already posted (``changes``).
"""

from __future__ import annotations

from collections.abc import Mapping
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


def dated(
    document: Document, policy: Policy, posted: Mapping[str, date] | None
) -> tuple[Document | None, str]:
    """The document with a date that is open, and what to say of it; None when it must wait.

    ``posted`` holds the dates of the documents that the books already hold, by key: they stay where they
    are. Without it nothing is known of the books, and every document keeps its own date.
    """
    if posted is None or not is_closed(document.txn_date, policy):
        return document, ""
    day = posted.get(document.key)
    if day == document.txn_date:
        return document, ""
    if day is None and policy.closed_period == "hold":
        return None, f"{document.txn_date} lies in a closed period"
    note = f"dated {document.txn_date} in the shop; that period is closed"
    memo = f"{document.memo} ({note})" if document.memo else note
    return replace(document, txn_date=day or first_open_day(policy, document.txn_date), memo=memo), note
