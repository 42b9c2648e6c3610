"""A private claim: the code from the box stays with the owner's client, which makes every message to the tag itself.

The server gets the code's hash, gives the challenge, and takes the receipt. It learns the days' public keys, never what
opens or makes them: not K_claim, not K_own, not the secret.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from sqlalchemy import Connection

from server.rules.private_reports import day_of
from server.service import claims, owning
from server.service.caller import Caller
from server.service.claim_memory import ClaimMemory
from server.service.claims import Asked, Begun
from server.service.refusals import refuse
from server.store import audit, day_key_uploads, ownership
from server.store.audit import Entry
from server.store.day_key_uploads import DayKey
from server.store.ownership import Claim, Owned

# A year and a day: what fits a tag (wire.set_owner.MAX_DAYS).
DAYS_MAX: Final = 366
DAY_LEN: Final = 64
# A list begins yesterday (a clock a little off), today, or where the one before ends: at most a year and the month by
# which it is renewed early from now.
_AHEAD_MAX: Final = 31 + 366
# Whose shared key is zero whatever is sealed to it: anybody could read such a "private" tag.
_PROBE: Final = X25519PrivateKey.from_private_bytes(bytes(range(32)))


@dataclass(frozen=True, slots=True)
class DaysKept:
    """The days that were uploaded: the first, counted from 1970-01-01, and how many."""

    first_day: int
    days: int


def start(
    tx: Connection, memory: ClaimMemory, dice: Callable[[int], bytes], who: Caller, hashed: bytes, now: datetime
) -> Claim:
    """Step 1: the hash of the code. Refusals: code_unknown, claim_taken, too_many_claims."""
    return claims.opened(tx, memory, dice, who, hashed, None, now)


def challenge(
    tx: Connection,
    memory: ClaimMemory,
    dice: Callable[[int], bytes],
    claim: Claim,
    begun: Begun,
    server_key: Ed25519PrivateKey,
    now: datetime,
) -> Asked:
    """Step 3: what the client's own message to the tag is about.

    Refusals: claim_expired, claim_kind, claim_taken, owner_key_invalid, too_many_claims, bad_request.
    """
    memory.must_be_private(claim.claim, now)
    return claims.ask(tx, memory, dice, claim, begun, server_key, now)


def put_days(
    tx: Connection, who: Caller, serial: int, first_day: int, packed: bytes, now: datetime
) -> DaysKept:  # fmt: skip
    """Take the keys of some days in a row, each `P_i 32 ‖ SHA-256(f_i) 32`. The same again changes nothing.

    A day that has begun keeps its key: gateways have sealed to it. Refusals: tag_unknown, not_private, day_key_range,
    day_key_invalid, day_key_conflict.
    """
    count, rest = divmod(len(packed), DAY_LEN)
    if rest or not 1 <= count <= DAYS_MAX:
        raise refuse("day_key_range", detail=f"a list has 1 to {DAYS_MAX} days of {DAY_LEN} bytes")
    today = day_of(now)
    if not today - 1 <= first_day <= today + _AHEAD_MAX:
        raise refuse("day_key_range", detail=f"the first day is from {today - 1} to {today + _AHEAD_MAX}")
    days = [_day(first_day + n, packed[n * DAY_LEN : (n + 1) * DAY_LEN]) for n in range(count)]
    ownership.lock_unit(tx, serial)
    mine = private(tx, who, serial)
    known = day_key_uploads.of_days(tx, mine.no, first_day, first_day + count - 1)
    new = [each for each in days if known.get(each.day) != each]
    if not new:
        return DaysKept(first_day, count)
    begun = any(each.day in known and each.day <= today for each in new)
    if begun or not day_key_uploads.put(tx, mine.no, new):
        raise refuse("day_key_conflict", reference=str(serial))
    detail = {"first_day": first_day, "days": count}
    audit.add(tx, Entry(now, who.email, "day_keys_put", f"tag:{serial}", detail, who.account_no))
    return DaysKept(first_day, count)


def private(tx: Connection, who: Caller, serial: int) -> Owned:
    """The caller's tag, which is private. Refusals: tag_unknown, not_private."""
    mine = owning.owned(tx, who, serial)
    if not mine.private:
        raise refuse("not_private", reference=str(serial))
    return mine


def sealable(public_key: bytes) -> bool:
    """Whether somebody can seal to an X25519 key: 32 bytes, and no point of small order."""
    try:
        _PROBE.exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError:
        return False
    return True


def _day(day: int, packed: bytes) -> DayKey:
    if not sealable(packed[:32]):
        raise refuse("day_key_invalid", day=day)
    return DayKey(day, packed[:32], packed[32:])
