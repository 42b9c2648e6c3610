"""A household shares a private tag for good: its owner seals the secret to a member's own key, and we pass it on.

A member can read where the tag is, as its owner can; what is the owner's to do with us (releasing, handing over,
reporting lost) stays the owner's. We cannot open what we pass on. We could hand out a key of our own instead of the
member's: hence both people compare the key's six words before anything is sealed (docs/private-finding.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from server.rules.facts import ActKind
from server.service import private_claims
from server.service.caller import Caller
from server.service.refusals import refuse
from server.store import acts, audit, day_keys, handovers, ownership
from server.store.acts import NewAct
from server.store.audit import Entry
from server.store.handovers import Member

# A large family. Each can be told to nobody else only by trust, so more is not a household.
MEMBERS_MAX: Final = 20
# What strangers may put before somebody's eyes: anybody who knows an address can seal something to it.
SHARED_WITH_ONE_MAX: Final = 200
# Said when sharing ends: there is no more that anybody could do.
FOR_GOOD: Final = (
    "We list the tag for them no more. The secret itself cannot be taken back: whoever has it reads on until the tag is"
    " claimed again with a new one."
)


@dataclass(frozen=True, slots=True)
class HouseholdKey:
    """The X25519 public key (hex) to which a tag's secret is sealed for this person."""

    email: str
    public_key: str


@dataclass(frozen=True, slots=True)
class SharedTag:
    """A tag that somebody shares with the caller. `sealed`: 90 bytes (hex) that only the caller's own key opens."""

    serial: int
    name: str
    sealed: str
    from_email: str
    shared_at: datetime
    heard_at: datetime | None


def keep_key(tx: Connection, who: Caller, public_key: bytes, now: datetime) -> HouseholdKey:
    """Take the caller's key; what was sealed to an earlier one stays so. Refusals: household_key_invalid."""
    if not private_claims.sealable(public_key):
        raise refuse("household_key_invalid")
    handovers.keep_key(tx, who.account_no, public_key)
    audit.add(tx, Entry(now, who.email, "household_key_kept", f"account:{who.email}", None, who.account_no))
    return HouseholdKey(who.email, public_key.hex())


def key_of(tx: Connection, email: str) -> HouseholdKey:
    """Somebody's key. Refusals: household_key_unknown, the same for an address that nobody has."""
    known = handovers.key_of(tx, email)
    if known is None:
        raise refuse("household_key_unknown")
    return HouseholdKey(email.strip().lower(), known[1].hex())


def share(tx: Connection, who: Caller, serial: int, email: str, sealed: bytes, now: datetime) -> Member:
    """Pass a sealed secret on to a member; the same member again replaces it.

    Refusals: tag_unknown, not_private, household_key_unknown, transfer_to_self, household_limit.
    """
    ownership.lock_unit(tx, serial)
    mine = private_claims.private(tx, who, serial)
    known = handovers.key_of(tx, email)
    if known is None:
        raise refuse("household_key_unknown")
    member, address = known[0], email.strip().lower()
    if member == who.account_no:
        raise refuse("transfer_to_self")
    before = {each.email for each in handovers.members(tx, mine.no)}
    if address not in before:
        if len(before) >= MEMBERS_MAX or handovers.count_to(tx, member) >= SHARED_WITH_ONE_MAX:
            raise refuse("household_limit", limit=MEMBERS_MAX)
        acts.add(tx, NewAct(ActKind.SHARED, now, who.account_no, who.email, serial), now)
    handovers.put(tx, mine.no, member, sealed, now)
    return Member(address, now)


def members(tx: Connection, who: Caller, serial: int) -> tuple[Member, ...]:
    """With whom the caller's tag is shared. Refusals: tag_unknown, not_private."""
    return handovers.members(tx, private_claims.private(tx, who, serial).no)


def unshare(tx: Connection, who: Caller, serial: int, email: str) -> None:
    """List the tag for a member no more. Refusals: tag_unknown, not_private, household_unknown."""
    if not handovers.remove(tx, private_claims.private(tx, who, serial).no, email):
        raise refuse("household_unknown")


def shared_with(tx: Connection, who: Caller) -> tuple[SharedTag, ...]:
    """Every tag that somebody shares with the caller."""
    found = handovers.of_member(tx, who.account_no)
    heard = day_keys.last_report_at(tx, [each.ownership_no for each in found])
    return tuple(
        SharedTag(
            each.serial, each.name, each.sealed.hex(), each.from_email, each.made_at, heard.get(each.ownership_no)
        )
        for each in found
    )  # fmt: skip
