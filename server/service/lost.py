"""Lost tags: what a finder sees, how they reach the owner without learning who it is, and the news of a hearing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from server.rules.facts import ActKind
from server.service import owning
from server.service.caller import Caller
from server.service.refusals import refuse
from server.store import acts, lost, ownership, units
from server.store.acts import NewAct
from server.store.lost import LostMark, NewNotice

# A finder writes once or twice; more is somebody who wants to annoy an owner.
MESSAGES_A_DAY: Final = 20


@dataclass(frozen=True, slots=True)
class FoundPage:
    """What a finder reads. Not lost: no message, no way to the owner, nothing else about the tag."""

    code: str
    lost: bool
    message: str = ""
    contact: str = ""
    how_to_silence: str = "Take out its battery: then it sends nothing."


def mark(tx: Connection, who: Caller, serial: int, message: str, contact: str, now: datetime) -> LostMark:
    """Report a tag lost, or change what a finder reads. Refusals: tag_unknown."""
    ownership.lock_unit(tx, serial)
    owning.owned(tx, who, serial)
    known = lost.living(tx, serial)
    if known is None:
        lost.add(tx, serial, who.account_no, message, contact, now)
        acts.add(tx, NewAct(ActKind.REPORTED_LOST, now, who.account_no, who.email, serial), now)
    else:
        lost.reword(tx, known.no, message, contact)
    marked = lost.living(tx, serial)
    assert marked is not None, "it was marked in this transaction"
    return marked


def unmark(tx: Connection, who: Caller, serial: int, now: datetime) -> None:
    """The tag is back. Refusals: tag_unknown, not_lost."""
    ownership.lock_unit(tx, serial)
    owning.owned(tx, who, serial)
    if not lost.end(tx, serial, now):
        raise refuse("not_lost", reference=str(serial))
    acts.add(tx, NewAct(ActKind.FOUND, now, who.account_no, who.email, serial), now)


def raise_notices(tx: Connection, heard: Mapping[int, datetime], now: datetime, base_url: str = "") -> int:
    """Queue the news for owners whose lost tags were heard; returns how many notices were written.

    `heard` gives the newest moment of each serial in what was stored just now. Each report of a loss is told once to
    every channel of the owner, and by e-mail if they have none; a hearing from before the report is no news.
    """
    raised = 0
    for marked in lost.living_among(tx, heard):
        owner = ownership.living(tx, marked.serial)
        # Of a private tag the moment is a minute: the report came after the mark that stands in that very minute.
        to_the_minute = owner is not None and owner.private
        since = marked.since.replace(second=0, microsecond=0) if to_the_minute else marked.since
        if heard[marked.serial] < since:
            continue
        payload = {
            "name": owner.name if owner else f"Tag {marked.serial}",
            "serial": marked.serial,
            "heard_at": heard[marked.serial].isoformat(),
            "url": f"{base_url}/t/{marked.serial}",
            # No news say where, for any tag; of a private one they say that only its owner can read it.
            "private": owner is not None and owner.private,
        }
        raised += _tell(tx, marked.account_no, "lost_heard", f"lost_heard:{marked.no}", payload, now)
    return raised


def _tell(tx: Connection, account_no: int, kind: str, once: str, payload: Mapping[str, object], now: datetime) -> int:
    """The same news to every channel; to the account's own address if no channel is an e-mail address."""
    channels = lost.channels_of(tx, account_no)
    doors: list[int | None] = [channel.no for channel in channels]
    if not any(channel.kind == "email" for channel in channels):
        doors.append(None)
    told = [
        lost.add_notice(tx, NewNotice(account_no, door, kind, f"{once}:{door or 0}", payload), now) for door in doors
    ]
    return sum(told)


def found_page(tx: Connection, code: str) -> FoundPage:
    """What stands behind the code on a tag's outside. Refusals: found_code_unknown."""
    marked = _lost_by_code(tx, code)
    return FoundPage(code, True, marked.message, marked.contact) if marked else FoundPage(code, False)


def relay(tx: Connection, code: str, message: str, contact: str, base_url: str, now: datetime) -> None:
    """Pass a finder's message on to the owner. Refusals: found_code_unknown, not_lost, too_many."""
    marked = _lost_by_code(tx, code)
    if marked is None:
        raise refuse("not_lost")
    if lost.count_notices(tx, marked.account_no, "found_message", now - timedelta(days=1)) >= MESSAGES_A_DAY:
        raise refuse("too_many", wait_s=86_400)
    owner = ownership.living(tx, marked.serial)
    payload = {
        "name": owner.name if owner else f"Tag {marked.serial}",
        "serial": marked.serial,
        "at": now.isoformat(),
        "message": message,
        "contact": contact,
        "url": f"{base_url}/t/{marked.serial}",
    }
    # The same words twice are one message: a finder who presses the button again writes once.
    digest = hashlib.sha256(f"{message}\n{contact}".encode()).hexdigest()[:16]
    _tell(tx, marked.account_no, "found_message", f"found_message:{marked.no}:{digest}", payload, now)


def plain_code(text: str) -> str:
    """A found code as it is kept, from what somebody typed: any case, hyphens, spaces, O for 0, I and L for 1."""
    return "".join(text.split()).upper().replace("-", "").translate(str.maketrans("OIL", "011"))


def _lost_by_code(tx: Connection, code: str) -> LostMark | None:
    unit = units.by_found_code(tx, plain_code(code))
    if unit is None:
        raise refuse("found_code_unknown")
    return lost.living(tx, unit.serial)
