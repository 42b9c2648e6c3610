"""Server ↔ gateway: signed commands and answers, and the steps by which a gateway carries an activation.

The carrier sees a nonce and a MAC, never the code from the box. It cannot tell serials from the air, so it
offers the newest frame of each address it hears and the server says which one is meant.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wire.batch import MAX_SEQUENCE, MAX_UNIX_MS
from wire.packing import pack, unpack
from wire.topics import GatewayId

VERSION: Final = 1
MAX_BYTES: Final = 64 * 1024
# A carrier offers no more than this: connecting takes half a second, and 32 neighbours are a crowded room.
MAX_CANDIDATES: Final = 32
# Long enough for a slow link, short enough that a recorded command is worthless soon.
LIFETIME_MS: Final = 60_000

Session = Annotated[bytes, Meta(min_length=16, max_length=16)]
FrameBytes = Annotated[bytes, Meta(min_length=24, max_length=24)]


class Step(IntEnum):
    """The carrying dialogue, in order; FAILED may end it at any step."""

    FIND = 1
    CANDIDATES = 2
    CONNECT = 3
    NONCE = 4
    WRITE = 5
    RESULT = 6
    FAILED = 7


class Find(msgspec.Struct, frozen=True, array_like=True, tag=int(Step.FIND), forbid_unknown_fields=True):
    """Command: which tags do you hear just now?"""

    session: Session


class Candidates(msgspec.Struct, frozen=True, array_like=True, tag=int(Step.CANDIDATES), forbid_unknown_fields=True):
    """Answer: the newest P frame of each address, strongest first."""

    session: Session
    frames: Annotated[tuple[FrameBytes, ...], Meta(max_length=MAX_CANDIDATES)]


class Connect(msgspec.Struct, frozen=True, array_like=True, tag=int(Step.CONNECT), forbid_unknown_fields=True):
    """Command: connect to the tag that sent this frame and read a nonce."""

    session: Session
    frame: FrameBytes


class Nonce(msgspec.Struct, frozen=True, array_like=True, tag=int(Step.NONCE), forbid_unknown_fields=True):
    """Answer: the tag's nonce, good until the connection ends."""

    session: Session
    nonce: Annotated[bytes, Meta(min_length=8, max_length=8)]


class Write(msgspec.Struct, frozen=True, array_like=True, tag=int(Step.WRITE), forbid_unknown_fields=True):
    """Command: write this to the tag and read what it answers."""

    session: Session
    message: Annotated[bytes, Meta(max_length=1024)]


class Result(msgspec.Struct, frozen=True, array_like=True, tag=int(Step.RESULT), forbid_unknown_fields=True):
    """Answer: what the tag said."""

    session: Session
    answer: Annotated[bytes, Meta(max_length=1024)]


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=int(Step.FAILED), forbid_unknown_fields=True):
    """Answer: it did not work; `code` as in docs/wire-format.md (`tag_not_heard`, `button_not_pressed`, …)."""

    session: Session
    code: Annotated[str, Meta(max_length=32, pattern=r"^[a-z_]+\Z")]


Order = Find | Connect | Write
Reply = Candidates | Nonce | Result | Failed


class Command(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Signed by the server under Domain.COMMAND. Sequences only grow, also over a restart of the server (they are
    taken from its clock, in microseconds): an expired or repeated one is refused.
    """

    gateway: GatewayId
    sequence: Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)]
    expires_ms: Annotated[int, Meta(ge=0, le=MAX_UNIX_MS)]
    body: Order
    version: Annotated[int, Meta(ge=VERSION, le=VERSION)] = VERSION


class Answer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Signed by the gateway under Domain.ANSWER, with its own growing sequence."""

    gateway: GatewayId
    sequence: Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)]
    expires_ms: Annotated[int, Meta(ge=0, le=MAX_UNIX_MS)]
    body: Reply
    version: Annotated[int, Meta(ge=VERSION, le=VERSION)] = VERSION


_COMMAND: Final = msgspec.msgpack.Decoder(Command)
_ANSWER: Final = msgspec.msgpack.Decoder(Answer)


def encode_command(command: Command) -> bytes:
    return pack(command)


def decode_command(body: bytes) -> Command:
    """Raises WireError `oversized`, `malformed`. Expiry and repetition are the receiver's to judge."""
    return unpack(body, _COMMAND, "command", MAX_BYTES)


def encode_answer(answer: Answer) -> bytes:
    return pack(answer)


def decode_answer(body: bytes) -> Answer:
    """Raises WireError `oversized`, `malformed`."""
    return unpack(body, _ANSWER, "answer", MAX_BYTES)
