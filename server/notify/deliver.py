"""Notices out of the door: take what is due, say it, write down what became of it.

A notice is locked while it is being sent and marked in the same transaction. If the process dies between the two,
it goes out again under the same message id, by which the receiver can tell: at least once, never lost.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from prometheus_client import Counter
from sqlalchemy import Connection, Engine

from server.notify import apprise, webpush
from server.notify.mail import Mailer
from server.notify.webhook import post
from server.notify.words import Letter, compose
from server.service.webhook_address import UnsafeAddressError
from server.store import audit, lost, notices
from server.store.audit import Entry
from server.store.db import transaction

NOTICES: Final = Counter(
    "hearsight_notices_total",
    "Tries to send a message to a person, by what became of them: sent, failed (tried again later), given_up, orphaned",
    ["outcome"],
)
for _outcome in ("sent", "failed", "given_up", "orphaned"):
    NOTICES.labels(_outcome)
# Waits after each failure. A mailbox that is full today may be empty tomorrow; after two days the news is old.
RETRY_AFTER: Final = tuple(timedelta(minutes=m) for m in (1, 5, 30, 2 * 60, 8 * 60, 24 * 60))


@dataclass(frozen=True, slots=True)
class Doors:
    """By which ways a notice can leave, and how its secrets are read: `open_*` decrypt what the store holds."""

    mailer: Mailer | None
    open_address: Callable[[bytes], str]
    open_secret: Callable[[bytes], bytes]
    open_link: Callable[[bytes], str]
    private_webhooks: bool = False
    push: webpush.Sender | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one round did."""

    sent: int = 0
    failed: int = 0


def deliver_due(engine: Engine, doors: Doors, clock: Callable[[], datetime], limit: int = 100) -> Delivered:
    """Sends up to `limit` notices, oldest first, each in its own transaction."""
    with transaction(engine) as tx:
        orphaned = notices.end_orphans(tx, clock())
    NOTICES.labels("orphaned").inc(orphaned)
    sent = failed = 0
    for _ in range(limit):
        with transaction(engine) as tx:
            now = clock()
            # One a transaction: a slow mail server then holds the lock of one row, not of a hundred.
            waiting = notices.due(tx, now, 1)
            if not waiting:
                break
            notice = waiting[0]
            try:
                _send(notice, doors, now)
            except UnsafeAddressError as error:
                _give_up(tx, notice, str(error), now)
                failed += 1
            except webpush.GoneError as error:
                _give_up(tx, notice, str(error), now)
                _remove_channel(tx, notice, now)
                failed += 1
            except Exception as error:
                # Addresses and words are customers': whatever a library makes of them, it is this one's bad luck.
                # Let through, it would come first again in the next round, for ever, and nobody's would go out.
                _later(tx, notice, error, now)
                failed += 1
            else:
                notices.sent(tx, notice.no, now)
                NOTICES.labels("sent").inc()
                sent += 1
    return Delivered(sent, failed)


def _send(notice: notices.DueNotice, doors: Doors, now: datetime) -> None:
    message_id = f"notice-{notice.no}@hearsight"
    if notice.channel_kind == "webhook":
        assert notice.address is not None
        assert notice.secret is not None
        url, secret = doors.open_address(notice.address), doors.open_secret(notice.secret)
        private = doors.private_webhooks
        post(url, secret, notice.kind, notice.payload, message_id=message_id, at=now, private_allowed=private)
        return
    letter = compose(notice.kind, _readable(notice.payload, doors), notice.zone)
    if notice.channel_kind == "apprise":
        assert notice.address is not None
        apprise.send(doors.open_address(notice.address), letter, private_allowed=doors.private_webhooks)
        return
    if notice.channel_kind == "webpush":
        _push(notice, letter, doors, message_id, now)
        return
    if doors.mailer is None:
        raise OSError("no mail server is set (HEARSIGHT_SMTP_URL)")
    to = doors.open_address(notice.address) if notice.address is not None else notice.email
    doors.mailer.send(to, letter, message_id=message_id, at=now)


def _push(notice: notices.DueNotice, letter: Letter, doors: Doors, message_id: str, now: datetime) -> None:
    assert notice.address is not None
    assert notice.secret is not None
    assert doors.push is not None, "made with the house"
    to = webpush.Subscription(doors.open_address(notice.address), doors.open_secret(notice.secret))
    url, private = str(notice.payload.get("url", "")), doors.private_webhooks
    webpush.send(doors.push, to, letter, url, message_id=message_id, at=now, private_allowed=private)


def _readable(payload: dict[str, Any], doors: Doors) -> dict[str, Any]:
    """A link that lets somebody in lies encrypted in the queue; it is opened for the letter alone."""
    if "sealed_url" not in payload:
        return payload
    return {**payload, "url": doors.open_link(base64.b64decode(payload["sealed_url"]))}


def _remove_channel(tx: Connection, notice: notices.DueNotice, now: datetime) -> None:
    """A subscription never comes back; its owner sees in the settings that it is gone. What else waits for it ends."""
    assert notice.account_no is not None
    assert notice.channel_no is not None
    detail = {"channel": notice.channel_no, "why": "subscription_gone"}
    lost.remove_channel(tx, notice.account_no, notice.channel_no, now)
    audit.add(tx, Entry(now, "public", "channel_removed", f"account:{notice.email}", detail))


def _give_up(tx: Connection, notice: notices.DueNotice, what: str, now: datetime) -> None:
    NOTICES.labels("given_up").inc()
    notices.give_up(tx, notice.no, what, now)


def _later(tx: Connection, notice: notices.DueNotice, error: Exception, now: datetime) -> None:
    what = f"{type(error).__name__}: {error}"[:500]
    if notice.tries >= len(RETRY_AFTER):
        _give_up(tx, notice, what, now)
    else:
        NOTICES.labels("failed").inc()
        notices.try_again(tx, notice.no, what, now + RETRY_AFTER[notice.tries])
