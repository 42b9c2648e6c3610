"""Who may speak with which tag through a gateway, and what they may see of what else is heard there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from server.service import claims, owning
from server.service.caller import Caller
from server.service.claim_memory import ClaimMemory
from server.service.claims import FrameKeys
from server.service.refusals import refuse
from server.store import day_key_uploads, ownership
from wire.errors import WireError
from wire.frames import FrameType, decode_p, frame_kind


@dataclass(frozen=True, slots=True)
class Line:
    """A way to speak with tags near a gateway: its name here, the gateway, and the frames heard, strongest first."""

    relay_id: str
    gateway: str
    frames: tuple[bytes, ...]


class Relays(Protocol):
    """Whoever has the line to the gateways; the web process is given one. Every call waits for a gateway's answer.

    Refusals: relay_unknown, relay_full, carry_busy, gateway_unreachable, tag_not_heard, not_reachable, tag_refused,
    button_not_pressed.
    """

    def open(self, account_no: int, serial: int, gateway: str | None) -> Line: ...  # pragma: no cover - a protocol

    def connect(self, account_no: int, relay_id: str, frame: bytes) -> bytes: ...  # pragma: no cover - a protocol

    def write(self, account_no: int, relay_id: str, message: bytes) -> bytes: ...  # pragma: no cover - a protocol

    def close(self, account_no: int, relay_id: str) -> None: ...  # pragma: no cover - a protocol


def tag_of(
    tx: Connection,
    memory: ClaimMemory,
    who: Caller,
    claim_id: str | None,
    serial: int | None,
    gateway: str | None,
    now: datetime,
) -> int:
    """The serial of the tag that the caller wants to speak with: of a claim under way, or one of theirs.

    Refusals: claim_unknown, claim_expired, claim_taken, tag_unknown, gateway_needed, bad_request.
    """
    if claim_id is not None and serial is None:
        claim = claims.mine(tx, who.account_no, claim_id)
        memory.must_live(claim.claim, now)
        claims.must_be_free(tx, claim)
        serial = claim.serial
    elif serial is not None and claim_id is None:
        owning.owned(tx, who, serial)
    else:
        raise refuse("bad_request", detail="give either claim_id or serial")
    living = ownership.living(tx, serial)
    # Who heard a private tag last is not looked up, also where old provenance frames would tell.
    if gateway is None and living is not None and living.private:
        raise refuse("gateway_needed", reference=str(serial))
    return serial


def visible(
    tx: Connection, serial: int, frames: Iterable[bytes], opening: FrameKeys | None, network_id: int
) -> tuple[bytes, ...]:
    """The frames that may be the tag's: nobody is shown, or reaches, what is known to be somebody else's.

    Of provenance frames those of the tag itself, of owned ones those whose identifier is no other tag's; frames near
    their owner change every quarter of an hour and tell nothing.
    """
    kept = [(frame, kind) for frame in frames if (kind := _kind(frame, network_id)) is not None]
    eids = {_eid(frame) for frame, kind in kept if kind is FrameType.OWNED}
    known = day_key_uploads.serials_of(tx, eids)

    def may_be_ours(frame: bytes, kind: FrameType) -> bool:
        if kind is FrameType.PROVENANCE:
            return opening is not None and _serial(frame, opening) == serial
        return kind is FrameType.NEAR_OWNER or known.get(_eid(frame), serial) == serial

    return tuple(frame for frame, kind in kept if may_be_ours(frame, kind))


def likely(tx: Connection, serial: int, frames: Sequence[bytes], network_id: int) -> int | None:
    """Which of these frames, strongest first, a tag that was private and was not told to forget it sends most likely.

    None if it never was. One with an identifier of the tag, else one with an identifier that is nobody's, else one near
    its owner. A wrong guess harms nobody: another tag takes no message without its own code.
    """
    last = ownership.last(tx, serial)
    if last is None or not last.private:
        return None
    near = visible(tx, serial, frames, None, network_id)
    known = day_key_uploads.serials_of(tx, {_eid(frame) for frame in near})
    best = sorted(near, key=lambda frame: (_kind(frame, network_id) is FrameType.NEAR_OWNER, _eid(frame) not in known))
    return frames.index(best[0]) if best else None


def _eid(frame: bytes) -> bytes:
    """The identifier in an owned frame; in another kind there is none, and what stands there is nobody's."""
    return frame[4:20]


def _kind(frame: bytes, network_id: int) -> FrameType | None:
    with suppress(WireError):
        return frame_kind(frame, network_id)
    return None


def _serial(frame: bytes, opening: FrameKeys) -> int | None:
    with suppress(WireError):
        return decode_p(frame, opening.k_lot, opening.k_factory, opening.network_id).serial
    return None
