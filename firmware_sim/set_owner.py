"""The tag's side of op 02: a list of identifiers comes in steps, and counts all at once or not at all.

Who may: anybody in a minute after a press of the button, while nobody owns the tag; whoever activated it, by the key of
the receipt; and a private owner, by the K_own that the tag holds, to renew a list. Everybody else clears it first.
A list on its way in survives a disconnection, for ten minutes; the owner's data of before stay until it is whole.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import msgspec

from firmware_sim.nvm import Nvm, Stage
from firmware_sim.owned import NEAR_S, set_clock
from firmware_sim.refused import refuse
from firmware_sim.tag import TagState, consents, uptime_s
from wire import set_owner
from wire.errors import WireError
from wire.frames import day_of_tick, tick_of
from wire.gatt import AttError
from wire.keys import owner_hash
from wire.set_owner import EID_LEN, Begin, Finish, Part

# The consent of one press lasts for one list: time for a slow link and a few reconnections, not for a second person.
STAGE_LIFE_S: Final = 10 * 60.0


def take_step(state: TagState, nonce: bytes, data: bytes, now_s: float) -> tuple[TagState, bytes]:
    """One step of setting an owner; the answer counts the EIDs held. Raises RefusedError."""
    if state.unit.fleet:
        refuse(AttError.INVALID_VALUE)
    try:
        plain = set_owner.open_step(state.unit.k_claim, nonce, data)
    except WireError:
        refuse(AttError.UNAUTHENTICATED)
    try:
        step = set_owner.decode_step(plain)
    except WireError:
        refuse(AttError.INVALID_VALUE)
    if isinstance(step, Begin):
        _check_signature(state, step, nonce)
    state = _STEPS[type(step)](state, step, now_s)
    stage = state.ram.stage if state.ram else None
    held = state.nvm.eids if stage is None else stage.eids
    return state, set_owner.encode_held(len(held) // EID_LEN)


def _check_signature(state: TagState, begin: Begin, nonce: bytes) -> None:
    try:
        set_owner.verify_begin(begin, state.unit.serial, nonce)
    except WireError:
        refuse(AttError.UNAUTHENTICATED)


def _begin(state: TagState, begin: Begin, now_s: float) -> TagState:
    nvm, owner = state.nvm, owner_hash(begin.owner_public_key)
    if nvm.owner_hash and not hmac.compare_digest(nvm.owner_hash, owner):
        refuse(AttError.INVALID_VALUE)
    if nvm.k_own and not hmac.compare_digest(nvm.k_own, begin.k_own):
        refuse(AttError.INVALID_VALUE)
    wanted = Stage(begin.k_own, owner, begin.first_day, begin.days, begin.list_hash, now_s + STAGE_LIFE_S)
    held = _stage(state, now_s)
    if held is not None and _same(held, wanted):
        return state  # after a disconnection: go on where it was cut off
    if nvm.k_own and nvm.first_day == begin.first_day and set_owner.list_hash(nvm.eids) == begin.list_hash:
        return _with(state, msgspec.structs.replace(wanted, eids=nvm.eids))  # it was whole; only the answer was lost
    if not consents(state, now_s):
        refuse(AttError.NO_CONSENT)
    return _with(state, wanted)


def _part(state: TagState, part: Part, now_s: float) -> TagState:
    stage = _stage(state, now_s)
    if stage is None:
        refuse(AttError.INVALID_VALUE)
    at, held = part.first * EID_LEN, len(stage.eids)
    if stage.eids[at : at + len(part.eids)] == part.eids:
        return state  # a repetition
    if at != held or held + len(part.eids) > stage.days * EID_LEN:
        refuse(AttError.INVALID_VALUE)
    return _with(state, msgspec.structs.replace(stage, eids=stage.eids + part.eids))


def _finish(state: TagState, finish: Finish, now_s: float) -> TagState:
    stage, ram = _stage(state, now_s), state.ram
    if stage is None or ram is None or len(stage.eids) != stage.days * EID_LEN:
        refuse(AttError.INVALID_VALUE)
    if set_owner.list_hash(stage.eids) != stage.list_hash:
        refuse(AttError.INVALID_VALUE, _with(state, None))  # two writers, or a fault: begin anew
    today = day_of_tick(tick_of(finish.unix_s))
    if not stage.first_day <= today < stage.first_day + stage.days:
        refuse(AttError.INVALID_VALUE)
    up_s = uptime_s(state, now_s)
    nvm = msgspec.structs.replace(
        state.nvm if state.nvm.k_own else Nvm(boot=state.nvm.boot, awake=state.nvm.awake),
        uptime_s=up_s,
        owner_hash=stage.owner_hash,
        k_own=stage.k_own,
        first_day=stage.first_day,
        eids=stage.eids,
    )
    ram = msgspec.structs.replace(ram, stage=None, near_until_at_s=now_s + NEAR_S, clock_set=True)
    return replace(state, nvm=set_clock(nvm, up_s, finish.unix_s), ram=ram)  # one write to the flash


_STEPS: Final[dict[type, Callable[[TagState, Any, float], TagState]]] = {Begin: _begin, Part: _part, Finish: _finish}


def _stage(state: TagState, now_s: float) -> Stage | None:
    stage = state.ram.stage if state.ram else None
    return stage if stage is not None and now_s < stage.until_at_s else None


def _same(held: Stage, wanted: Stage) -> bool:
    return msgspec.structs.replace(held, eids=b"", until_at_s=0.0) == msgspec.structs.replace(wanted, until_at_s=0.0)


def _with(state: TagState, stage: Stage | None) -> TagState:
    assert state.ram is not None, "a tag without power takes no message"
    return replace(state, ram=msgspec.structs.replace(state.ram, stage=stage))
