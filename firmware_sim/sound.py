"""The tag's sounder: its owner rings it, a stranger may ring it a few times an hour, and the battery pays."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from firmware_sim.tag import TagState

# DULT asks for five seconds at least; a search by ear takes about ten.
STRANGER_SOUND_S: Final = 10.0
# Enough to find a thing; were it unlimited, a neighbour could empty a battery within days: at ten seconds each
# this costs a full one two months of ringing day and night.
STRANGER_SOUNDS: Final = 6
STRANGER_WINDOW_S: Final = 3600.0
# What a piezo sounder draws, in microamperes.
SOUND_UA: Final = 8_000.0


def sounding(state: TagState, now_s: float) -> bool:
    until_s = state.ram.sound_until_at_s if state.ram else None
    return until_s is not None and now_s < until_s


def play(state: TagState, now_s: float, seconds: float) -> TagState:
    """Rings from now on; one that rings already rings until the new end."""
    assert state.ram is not None, "a tag without power does not ring"
    ram = msgspec.structs.replace(state.ram, sound_until_at_s=now_s + seconds)
    return replace(state, ram=ram, used_uah=state.used_uah + seconds / 3600 * SOUND_UA)


def silence(state: TagState) -> TagState:
    assert state.ram is not None, "a tag without power does not ring"
    return replace(state, ram=msgspec.structs.replace(state.ram, sound_until_at_s=None))


def play_for_stranger(state: TagState, now_s: float) -> TagState | None:
    """Rings for somebody who is not the owner, or None if that was done often enough."""
    assert state.ram is not None, "a tag without power does not ring"
    lately = tuple(at for at in state.ram.stranger_sounds_at_s if now_s - at < STRANGER_WINDOW_S)
    if sounding(state, now_s) or len(lately) >= STRANGER_SOUNDS:
        return None
    ram = msgspec.structs.replace(state.ram, stranger_sounds_at_s=(*lately, now_s))
    return play(replace(state, ram=ram), now_s, STRANGER_SOUND_S)
