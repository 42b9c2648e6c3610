"""What an owner does with a tag: name it, release it, hand it over, take one over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from server.rules.facts import ActKind
from server.rules.private_reports import day_of
from server.service.caller import Caller
from server.service.refusals import refuse
from server.store import acts, day_key_uploads, lost, ownership, transfers, weighings
from server.store.acts import NewAct
from server.store.lost import NewNotice
from server.store.orders import numbers_of_serials
from server.store.ownership import Owned

# Long enough for somebody who reads mail on Sundays; afterwards an old mail hands over nothing.
OFFER_LIFETIME: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Offer:
    """A tag that is handed over: until when it may be accepted. `from_email` is the present owner."""

    transfer_id: str
    serial: int
    from_email: str
    until: datetime


def owned(tx: Connection, who: Caller, serial: int) -> Owned:
    """The caller's present ownership of a tag. Refusals: tag_unknown, also for tags of others."""
    living = ownership.living(tx, serial)
    if living is None or living.account_no != who.account_no:
        raise refuse("tag_unknown", reference=str(serial))
    return living


def rename(tx: Connection, who: Caller, serial: int, name: str) -> None:
    """Give a tag one's own word for it."""
    ownership.rename(tx, owned(tx, who, serial).no, name)


def release(tx: Connection, who: Caller, serial: int, now: datetime) -> None:
    """Give a tag up. Its past stays hidden from whoever comes next; the tag itself forgets at the next claim."""
    ownership.lock_unit(tx, serial)
    living = owned(tx, who, serial)
    _end(tx, living, now)
    _note(tx, ActKind.RELEASED, who, who.account_no, serial, now)


def offer(
    tx: Connection, who: Caller, serial: int, to_email: str, dice: Callable[[int], bytes], base_url: str, now: datetime
) -> Offer:
    """Offer a tag to another account, which is told. Refusals: tag_unknown, account_unknown, transfer_to_self."""
    ownership.lock_unit(tx, serial)
    living = owned(tx, who, serial)
    to_account_no = ownership.owner_account(tx, to_email)
    if to_account_no is None:
        raise refuse("account_unknown")
    if to_account_no == who.account_no:
        raise refuse("transfer_to_self")
    transfers.end_all(tx, living.no, now)
    made = Offer(dice(16).hex(), serial, who.email, now + OFFER_LIFETIME)
    transfers.add(tx, made.transfer_id, living.no, to_account_no, now, made.until)
    payload = {
        "name": f"Tag {serial}",
        "from": who.email,
        "until": made.until.isoformat(),
        "url": f"{base_url}/transfers/{made.transfer_id}",
    }
    news = NewNotice(to_account_no, None, "transfer_offer", f"transfer_offer:{made.transfer_id}", payload)
    lost.add_notice(tx, news, now)
    return made


def offers_to(tx: Connection, who: Caller, now: datetime) -> tuple[Offer, ...]:
    """What others want to hand over to the caller."""
    waiting = transfers.waiting_for(tx, who.account_no, now)
    return tuple(Offer(each.transfer, each.serial, each.from_email, each.expires_at) for each in waiting)


def accept(tx: Connection, who: Caller, transfer_id: str, now: datetime) -> int:
    """Take a tag over; returns its serial. Refusals: transfer_unknown."""
    asked = transfers.waiting(tx, transfer_id, now)
    if asked is None or asked.to_account_no != who.account_no:
        raise refuse("transfer_unknown", reference=transfer_id)
    ownership.lock_unit(tx, asked.serial)
    living = ownership.living(tx, asked.serial)
    if living is None or living.no != asked.ownership_no:  # ended while we waited for the lock
        raise refuse("transfer_unknown", reference=transfer_id)
    transfers.accept(tx, transfer_id, now)
    _end(tx, living, now)
    act = _note(tx, ActKind.TRANSFERRED, who, who.account_no, asked.serial, now)
    # The tag still holds the former owner's hash: only a new activation changes that.
    name = f"Tag {asked.serial}"
    # One that was private stays so, without keys, until it is claimed with the code from its box. It goes on saying its
    # former owner's identifiers, which they could file under another tag of theirs: pages tell the new one to hurry.
    begun = ownership.begin(tx, asked.serial, who.account_no, name, living.owner_hash, act, now, private=living.private)
    assert begun, "the former ownership ended in this transaction"
    return asked.serial


def end_stretch(tx: Connection, living: Owned, now: datetime) -> None:
    """A stretch of ownership is over: its offers too, and from today on its days."""
    ownership.end(tx, living.no, now)
    transfers.end_all(tx, living.no, now)
    day_key_uploads.end(tx, living.no, day_of(now))


def _end(tx: Connection, living: Owned, now: datetime) -> None:
    end_stretch(tx, living, now)
    lost.end(tx, living.serial, now)


def _note(tx: Connection, kind: ActKind, who: Caller, account_no: int, serial: int, now: datetime) -> int:
    weighings.mark_stale(tx, numbers_of_serials(tx, [serial]).get(serial, ()))
    return acts.add(tx, NewAct(kind, now, account_no, who.email, serial), now)
