"""Carrying a claim through a gateway, as a table of steps: a reply comes in, the next order goes out, or it ends.

FIND → candidates → CONNECT → nonce → WRITE → result; a tag that had to forget a former owner is connected to a
second time with a new nonce. Pure: what the claim service says is asked through `Desk`, and time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from wire.command import Candidates, Connect, Failed, Find, Nonce, Order, Reply, Result, Write
from wire.errors import WireError
from wire.gatt import Op, decode_reply

# What a gateway may say of an order that failed (docs/wire-format.md, 14); another word of it is no code of ours.
TOLD: Final = frozenset({"tag_not_heard", "not_reachable", "tag_refused", "button_not_pressed", "carry_refused"})
# A person walks to the shelf and presses a button; a gateway that says nothing for longer is not there.
STEP_PATIENCE: Final = timedelta(seconds=90)


class Desk(Protocol):
    """The claim service, for one claim of one account. Each call raises Refusal with a code of its own."""

    def choose(self, frames: tuple[bytes, ...]) -> bytes:
        """The frame among these that the claimed tag sent."""
        ...  # pragma: no cover - a protocol

    def write(self, nonce: bytes, *, cleared: bool) -> tuple[bool, bytes]:
        """What to write for this nonce, and whether it only tells the tag to forget its former owner."""
        ...  # pragma: no cover - a protocol

    def settle(self, answer: bytes) -> None:
        """The tag's signed answer: ownership begins, or a refusal says why not."""
        ...  # pragma: no cover - a protocol


@dataclass(frozen=True, slots=True)
class Carrying:
    """One claim on its way through one gateway. `waits_for` is the only reply that moves it on."""

    session: bytes
    gateway: str
    waits_for: type[Candidates] | type[Nonce] | type[Result]
    until: datetime
    frame: bytes = b""
    clearing: bool = False
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """It is over. `code` is None if the tag signed, otherwise the gateway's word for what went wrong."""

    code: str | None


def begin(session: bytes, gateway: str, now: datetime) -> tuple[Carrying, Order]:
    """The first order."""
    return Carrying(session, gateway, Candidates, now + STEP_PATIENCE), Find(session)


def proceed(carrying: Carrying, reply: Reply, desk: Desk, now: datetime) -> tuple[Carrying, Order] | Ended | None:
    """What a reply leads to; None for one that this step does not wait for (late, repeated, made up).

    Refusals of the desk pass through: the caller notes them and ends the carrying.
    """
    if isinstance(reply, Failed):
        return Ended(told(reply))
    if not isinstance(reply, carrying.waits_for):
        return None
    until = now + STEP_PATIENCE
    if isinstance(reply, Candidates):
        frame = desk.choose(reply.frames)
        return replace(carrying, waits_for=Nonce, frame=frame, until=until), Connect(carrying.session, frame)
    if isinstance(reply, Nonce):
        clearing, message = desk.write(reply.nonce, cleared=carrying.cleared)
        return replace(carrying, waits_for=Result, clearing=clearing, until=until), Write(carrying.session, message)
    if carrying.clearing:
        again = replace(carrying, waits_for=Nonce, clearing=False, cleared=True, until=until)
        return again, Connect(carrying.session, carrying.frame)
    return _signed(reply.answer, desk)


def told(failed: Failed) -> str:
    """Why a gateway could not, as a code of ours."""
    return failed.code if failed.code in TOLD else "tag_refused"


def _signed(reply: bytes, desk: Desk) -> Ended:
    try:
        desk.settle(decode_reply(reply, Op.ACTIVATE))
    except WireError:
        return Ended("tag_refused")
    return Ended(None)
