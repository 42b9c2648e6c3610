"""The tag's side of the non-owner service: what a stranger may ask of it. Pure; its door is `peripheral`.

Facts about the make are told always. Sound and identifier only while the tag is away from its owner: near them it is
nobody else's business. The identifier needs the button too: whoever reads it has the tag in hand.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from firmware_sim.owned import is_near
from firmware_sim.sound import play_for_stranger, silence, sounding
from firmware_sim.tag import Dice, TagState, battery_level, uptime_s
from wire import nonowner
from wire.errors import WireError
from wire.nonowner import IDENTIFIER_S, Opcode, Response

# Of this make; like the network id unregistered, so nobody's registry knows it.
PRODUCT_DATA: Final = bytes.fromhex("0000000068730001")
MANUFACTURER: Final = "Hearsight"
MODEL: Final = "Simulated tag"
LOCATION_TRACKER: Final = 1
# Plays sound (bit 0), tells an identifier over Bluetooth (bit 3); no motion detector of DULT's kind (bit 1).
CAPABILITIES: Final = 0b1001
PROTOCOL_VERSION: Final = 0x00010000
FIRMWARE_VERSION: Final = 0x00000100
NOT_RECHARGEABLE: Final = 1


class Visit(NamedTuple):
    """One stranger's connection; `ends_at_s` is the end of the sound that this one started."""

    ends_at_s: float | None = None


class Heard(NamedTuple):
    """What came of a write: the state after it, the visit, and what is indicated back."""

    state: TagState
    visit: Visit
    said: tuple[bytes, ...] = ()


def take_write(state: TagState, visit: Visit, message: bytes, now_s: float, dice: Dice) -> Heard:
    """What the tag does about one write. Without power, nothing."""
    if state.ram is None:
        return Heard(state, visit)
    try:
        said = nonowner.decode_said(message)
    except WireError:
        return _answer(state, visit, 0, Response.INVALID_LENGTH)
    told = _information(state, said.opcode)
    known = told is not None or said.opcode in (Opcode.SOUND_START, Opcode.SOUND_STOP, Opcode.GET_IDENTIFIER)
    if not known or (told is None and is_near(state.ram, now_s)):
        return _answer(state, visit, said.opcode, Response.INVALID_COMMAND)
    if said.operand:
        return _answer(state, visit, said.opcode, Response.INVALID_LENGTH)
    if told is not None:
        return Heard(state, visit, (nonowner.encode_information(Opcode(said.opcode), told),))
    if said.opcode == Opcode.SOUND_START:
        return _start(state, visit, now_s)
    if said.opcode == Opcode.SOUND_STOP:
        return _stop(state, visit, now_s)
    return _identify(state, visit, now_s, dice)


def time_passed(state: TagState, visit: Visit, now_s: float) -> Heard:
    """Tells the stranger who started a sound that it is over."""
    if visit.ends_at_s is None or _is_theirs(state, visit, now_s):
        return Heard(state, visit)
    return Heard(state, Visit(), (nonowner.encode_said(Opcode.SOUND_COMPLETED),))


def _start(state: TagState, visit: Visit, now_s: float) -> Heard:
    ringing = play_for_stranger(state, now_s)
    if ringing is None or ringing.ram is None:
        return _answer(state, visit, Opcode.SOUND_START, Response.INVALID_STATE)
    return _answer(ringing, Visit(ringing.ram.sound_until_at_s), Opcode.SOUND_START, Response.SUCCESS)


def _stop(state: TagState, visit: Visit, now_s: float) -> Heard:
    if not _is_theirs(state, visit, now_s):
        return _answer(state, visit, Opcode.SOUND_STOP, Response.INVALID_STATE)
    return Heard(silence(state), Visit(), (nonowner.encode_said(Opcode.SOUND_COMPLETED),))


def _is_theirs(state: TagState, visit: Visit, now_s: float) -> bool:
    """Whether the sound that this visit started is the one that still goes on."""
    return sounding(state, now_s) and state.ram is not None and state.ram.sound_until_at_s == visit.ends_at_s


def _identify(state: TagState, visit: Visit, now_s: float, dice: Dice) -> Heard:
    pressed = state.ram.pressed_at_s if state.ram else None
    if pressed is None or not 0 <= now_s - pressed <= IDENTIFIER_S:
        return _answer(state, visit, Opcode.GET_IDENTIFIER, Response.INVALID_COMMAND)
    unit = state.unit
    identifier = nonowner.encode_identifier(
        unit.k_lot,
        unit.k_tag,
        serial=unit.serial,
        uptime_s=uptime_s(state, now_s),
        boot=state.nvm.boot,
        random2=dice(2),
    )
    return Heard(state, visit, (nonowner.encode_said(Opcode.IDENTIFIER, identifier.hex().encode()),))


def _answer(state: TagState, visit: Visit, request: int, response: Response) -> Heard:
    return Heard(state, visit, (nonowner.encode_response(request, response),))


def _information(state: TagState, opcode: int) -> bytes | None:
    """The operand of the answer to an information request, None for any other."""
    told: dict[int, bytes] = {
        Opcode.GET_PRODUCT_DATA: PRODUCT_DATA,
        Opcode.GET_MANUFACTURER_NAME: MANUFACTURER.encode(),
        Opcode.GET_MODEL_NAME: MODEL.encode(),
        Opcode.GET_ACCESSORY_CATEGORY: LOCATION_TRACKER.to_bytes(8, "little"),
        Opcode.GET_PROTOCOL_VERSION: PROTOCOL_VERSION.to_bytes(4, "little"),
        Opcode.GET_CAPABILITIES: CAPABILITIES.to_bytes(4, "little"),
        Opcode.GET_NETWORK_ID: bytes((state.unit.network_id,)),
        Opcode.GET_FIRMWARE_VERSION: FIRMWARE_VERSION.to_bytes(4, "little"),
        Opcode.GET_BATTERY_TYPE: bytes((NOT_RECHARGEABLE,)),
        Opcode.GET_BATTERY_LEVEL: bytes((battery_level(state),)),
    }
    return told.get(opcode)
