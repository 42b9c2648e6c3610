"""Who did what to the house itself: accounts, gateways, keys, imports. Rows are added, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from server.store.tables import audit


@dataclass(frozen=True, slots=True)
class Entry:
    """`actor` is an e-mail address, `cli`, `gateway:ID` or `public`; `subject` the thing, such as `gateway:dock-1`."""

    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any] | None = None
    account_no: int | None = None


def add(tx: Connection, entry: Entry) -> None:
    """Writes it down. `detail` holds no secret."""
    row = {
        "at": entry.at,
        "account_no": entry.account_no,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "detail": dict(entry.detail) if entry.detail else None,
    }
    tx.execute(insert(audit).values(row))


def of_subject(tx: Connection, subject: str, limit: int = 100) -> tuple[Entry, ...]:
    """What was done to one thing, newest first."""
    query = select(audit).where(audit.c.subject == subject).order_by(audit.c.at.desc(), audit.c.no.desc()).limit(limit)
    return tuple(
        Entry(row.at, row.actor, row.action, row.subject, row.detail, row.account_no) for row in tx.execute(query)
    )
