"""What a privately owned tag says: O frames away from its owner, N frames near them. Pure, on memory and time alone.

Time is the owner's gift: `uptime_s + clock_offset_s` of the flash, set whenever the owner is there. It drifts with the
oscillator and stops with the power. After a power loss the tag cannot know how long it was gone: it goes on in its
list where it was, and the status byte says that its clock is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from firmware_sim.nvm import Nvm, Ram
from wire.frames import TICK_S, day_of_tick, encode_n, encode_o, near_hash, tick_of
from wire.keys import unlisted_eid
from wire.set_owner import EID_LEN

# DULT: no longer than this may a tag call itself near after its owner was last there.
NEAR_S: Final = 30 * 60.0
# Of an N frame: as many random bytes as make it 24 long.
SALT_LEN: Final = 12


class Face(NamedTuple):
    """What the air sees of the tag for one rotation: the address and all of these change together."""

    near: bool
    tick: int
    shown: bytes


def is_near(ram: Ram | None, now_s: float) -> bool:
    """Whether the owner was there in the last half hour."""
    return ram is not None and ram.near_until_at_s is not None and now_s < ram.near_until_at_s


def tick(nvm: Nvm, uptime_s: int) -> int:
    """The quarter of an hour that it is; never one before what the air was told (see `set_clock`)."""
    return max(tick_of(max(uptime_s + nvm.clock_offset_s, 0)), nvm.tick_said)


def identifier(nvm: Nvm, day: int) -> bytes:
    """The EID of a UTC day; outside the list one that only the owner knows.

    A tag whose list is used up must not repeat the last EID (it would be a name for life), nor fall silent (its owner
    could not connect to renew it), nor pass for "near its owner" (a follower would be hidden from the followed).
    """
    position = day - nvm.first_day
    if 0 <= position < len(nvm.eids) // EID_LEN:
        return nvm.eids[position * EID_LEN : (position + 1) * EID_LEN]
    return unlisted_eid(nvm.k_own, day)


def face(nvm: Nvm, ram: Ram, uptime_s: int, now_s: float) -> Face:
    """What the next frame will show."""
    near, at = is_near(ram, now_s), tick(nvm, uptime_s)
    return Face(near, at, near_hash(nvm.k_own, at) if near else identifier(nvm, day_of_tick(at)))


def turned(ram: Ram, new: Face, address: str, dice: Callable[[int], bytes]) -> Ram:
    """The rotation: a new address together with everything else that varies."""
    return msgspec.structs.replace(ram, address=address, shown=new.shown, salt=dice(SALT_LEN) if new.near else b"")


def frame(nvm: Nvm, ram: Ram, now: Face, status: int, network_id: int) -> bytes:
    """The 24 bytes for the air. `ram` has been turned to `now`."""
    if now.near:
        return encode_n(nvm.k_own, tick=now.tick, random12=ram.salt, status=status, network_id=network_id)
    return encode_o(nvm.k_own, now.shown, tick=now.tick, status=status, network_id=network_id)


def separated(ram: Ram) -> Ram:
    """The owner has been gone for half an hour."""
    return msgspec.structs.replace(ram, near_until_at_s=None)


def set_clock(nvm: Nvm, uptime_s: int, unix_s: int) -> Nvm:
    """The owner's time. Set back by a little, the tag holds the quarter it is in until time has caught up, so that
    no quarter is told twice; set back by more, it had been wrong, and the truth counts from now on.
    """
    right = tick_of(unix_s)
    said = nvm.tick_said if nvm.tick_said <= right + 1 else right
    return msgspec.structs.replace(nvm, clock_offset_s=unix_s - uptime_s, tick_said=said)


def lose_clock(nvm: Nvm) -> Nvm:
    """After a power loss: the clock resumes at the quarter after the last one told, for that one is not to be told
    again at another hour. The list goes on from there.
    """
    behind = TICK_S * (nvm.tick_said + 1) - (nvm.uptime_s + nvm.clock_offset_s)
    return msgspec.structs.replace(nvm, clock_offset_s=nvm.clock_offset_s + max(0, behind))
