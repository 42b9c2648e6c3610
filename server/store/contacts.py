"""The words of contacts, encrypted beside their statements, and what was said of the house as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from server.store.tables import contact_words, house_words, statements


@dataclass(frozen=True, slots=True)
class StoredWords:
    """What somebody wrote, encrypted. `own`: by somebody who showed that the order is theirs."""

    words: bytes
    own: bool


def keep_words(tx: Connection, statement_no: int, words: bytes, *, own: bool) -> None:
    """Keep the words of a contact that was just recorded."""
    tx.execute(insert(contact_words).values(statement_no=statement_no, words=words, own=own))


def words_of(tx: Connection, statement_no: int) -> StoredWords | None:
    """The words of one contact, if it had any."""
    query = select(contact_words.c.words, contact_words.c.own).where(contact_words.c.statement_no == statement_no)
    row = tx.execute(query).first()
    return StoredWords(*row) if row else None


def words_of_order(tx: Connection, order_number: str) -> dict[int, StoredWords]:
    """The words of every contact about an order, by the number of its statement."""
    query = (
        select(contact_words.c.statement_no, contact_words.c.words, contact_words.c.own)
        .join(statements, statements.c.no == contact_words.c.statement_no)
        .where(statements.c.order_number == order_number)
    )
    return {row.statement_no: StoredWords(row.words, row.own) for row in tx.execute(query)}


# --- The house -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HouseWord:
    """Something said of the house: a channel's state (`subject` the channel) or a public text (where it stands)."""

    kind: str
    subject: str
    said_at: datetime
    by: str
    source: str
    payload: Mapping[str, Any]
    no: int = 0  # given by the store


def say(tx: Connection, word: HouseWord) -> None:
    """Write it down."""
    row = {
        "kind": word.kind,
        "subject": word.subject,
        "said_at": word.said_at,
        "by": word.by,
        "source": word.source,
        "payload": dict(word.payload),
    }
    tx.execute(insert(house_words).values(row))


def latest(tx: Connection, kind: str) -> tuple[HouseWord, ...]:
    """What was said last of each subject of this kind, by subject."""
    last = select(func.max(house_words.c.no)).where(house_words.c.kind == kind).group_by(house_words.c.subject)
    query = select(house_words).where(house_words.c.no.in_(last)).order_by(house_words.c.subject)
    return tuple(_word(row) for row in tx.execute(query))


def house_since(tx: Connection, since: datetime, limit: int) -> tuple[HouseWord, ...]:
    """What was said of the house from a moment on (the newest `limit`), and what held at that moment."""
    before = (
        select(func.max(house_words.c.no))
        .where(house_words.c.said_at < since)
        .group_by(house_words.c.kind, house_words.c.subject)
    )
    held = tx.execute(select(house_words).where(house_words.c.no.in_(before)))
    newer = select(house_words).where(house_words.c.said_at >= since)
    newer = newer.order_by(house_words.c.said_at.desc(), house_words.c.no.desc()).limit(limit)
    return tuple(_word(row) for row in (*held, *tx.execute(newer)))


def _word(row: Row[Any]) -> HouseWord:
    return HouseWord(row.kind, row.subject, row.said_at.astimezone(UTC), row.by, row.source, row.payload, row.no)
