"""Every view of a customer's data by staff is written down: who, what, when."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from server.rules.authority import STAFF
from server.service.caller import Caller
from server.store import audit
from server.store.audit import Entry

VIEWED = "viewed"
PAGE_ROWS = 100


def note(tx: Connection, who: Caller, subject: str, now: datetime) -> None:
    """Staff looked at something, such as `order:T-1001`; a customer's look at their own is nobody's business."""
    if who.role in STAFF:
        note_by(tx, who.email, subject, now, who.account_no)


def note_by(tx: Connection, actor: str, subject: str, now: datetime, account_no: int | None = None) -> None:
    """Somebody of the house looked, with an account or without one; `actor` as in the audit."""
    audit.add(tx, Entry(now, actor, VIEWED, subject[:200], None, account_no))


def of_subject(tx: Connection, subject: str, before: int | None = None) -> tuple[Entry, ...]:
    """Who looked at a thing and who changed it, newest first, a hundred at a time: `before` the last one's number."""
    return audit.of_subject(tx, subject, before, PAGE_ROWS)
