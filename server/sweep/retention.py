"""Small things that are kept no longer: frames that nobody could resolve, ended sessions, old attempts to sign in, and
what people wrote and were written: letters, reports of a loss, contacts, webhooks as they came.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine, text

from server.store.db import transaction

# A lot's key that comes later than this is not an import that was forgotten over the holidays.
UNRESOLVED_KEPT: Final = timedelta(days=14)
# An attempt counts for minutes, an ended session is of use only to somebody who looks into yesterday's trouble.
_ENDED_KEPT: Final = timedelta(days=7)
# Rows of one transaction: long enough to be quick, short enough to hold nobody up.
CHUNK: Final = 20_000

_UNRESOLVED: Final = text(
    "delete from unresolved_frames where ctid = any(array("
    "select ctid from unresolved_frames where heard_at < :before limit :chunk))"
)
_SESSIONS: Final = text("delete from sessions where expires_at < :before")
_RESETS: Final = text("delete from password_resets where expires_at < :before")
_ATTEMPTS: Final = text("delete from sign_in_failures where at < :before")
# That there was one stays: the same news is never told twice.
_LETTERS: Final = text(
    "update notices set payload = '{}', last_error = null "
    "where made_at < :before and (sent_at is not null or given_up_at is not null) and payload <> '{}'"
)
_LOST_WORDS: Final = text(
    "update lost_marks set message = '', contact = '' where until < :before and message || contact <> ''"
)
# The statement of a contact stays: who, when, by which way, and what was wanted.
_CONTACT_WORDS: Final = text(
    "delete from contact_words where statement_no in (select no from statements where learnt_at < :before)"
)
# A letter that nobody put to an order in all that time is about none.
_MAIL: Final = text(
    "update mail_in set outcome = 'dropped', letter = null, settled_at = :now "
    "where received_at < :before and letter is not null"
)
# Their ids, too: a carrier's recording sent again makes the same statements, and a shop's is refused by its age.
_WEBHOOKS: Final = text("delete from webhook_inbox where received_at < :before")


def sweep_old(engine: Engine, retention: timedelta, now: datetime) -> dict[str, int]:
    """Removes until nothing is left; returns how many rows of each kind went, or lost their words."""
    gone = {"unresolved frames": _in_chunks(engine, now - min(UNRESOLVED_KEPT, retention))}
    with transaction(engine) as tx:
        for name, statement in (("sessions", _SESSIONS), ("resets", _RESETS), ("attempts", _ATTEMPTS)):
            gone[name] = tx.execute(statement, {"before": now - _ENDED_KEPT}).rowcount
        for name, statement in (
            ("letters emptied", _LETTERS),
            ("reports of a loss emptied", _LOST_WORDS),
            ("words of contacts", _CONTACT_WORDS),
            ("waiting letters dropped", _MAIL.bindparams(now=now)),
            ("webhooks", _WEBHOOKS),
        ):
            gone[name] = tx.execute(statement, {"before": now - retention}).rowcount
    return gone


def _in_chunks(engine: Engine, before: datetime) -> int:
    removed = 0
    while True:
        with transaction(engine) as tx:
            count = tx.execute(_UNRESOLVED, {"before": before, "chunk": CHUNK}).rowcount
        removed += count
        if count < CHUNK:
            return removed
