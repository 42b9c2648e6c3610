"""Tags within reach, for tests: the simulated firmware behind a radio that breaks, hangs up, waits for the button."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim import claim
from firmware_sim.claim import Link
from firmware_sim.tag import ButtonPress, PowerOff, PowerOn, TagState, Tick, Unit, step
from owner.api import RefusedError
from owner.tagtalk import Edges
from tests.owner.tag import secret
from wire.gatt import AttError, Op
from wire.keys import tag_key

K_FACTORY, K_LOT = secret("factory", 16), secret("lot", 16)
SERVER_KEY = Ed25519PrivateKey.from_private_bytes(secret("server"))
SAID = {
    AttError.NO_CONSENT: "button_not_pressed",
    AttError.UNAUTHENTICATED: "tag_refused",
    AttError.INVALID_VALUE: "tag_refused",
}
# After these the gateway waits for more; after everything else it hangs up.
HELD = (Op.SET_OWNER, Op.CLEAR, Op.ACTIVATE)


class Clock:
    """This machine's time, and more of it when a test says so."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


class NearTag:
    """One tag of the simulated firmware, running now."""

    def __init__(self, serial: int = 8_000_000_017, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.dice = random.Random(serial).randbytes
        self.unit = Unit(
            serial,
            K_LOT,
            tag_key(K_FACTORY, serial),
            secret(f"claim {serial}", 16),
            Ed25519PrivateKey.from_private_bytes(secret(f"tag {serial}")),
            server_key=SERVER_KEY.public_key(),
        )
        self.state = TagState(self.unit)
        self.on()

    def on(self) -> None:
        self.state, _ = step(self.state, PowerOn(self.clock()), self.dice)

    def off(self) -> None:
        self.state, _ = step(self.state, PowerOff(self.clock()), self.dice)

    def press(self) -> None:
        self.state, _ = step(self.state, ButtonPress(self.clock()), self.dice)

    def frame(self) -> bytes:
        """What it puts into the air at this moment."""
        now_s = self.clock()
        assert self.state.ram is not None
        due = replace(self.state, ram=msgspec.structs.replace(self.state.ram, next_beacon_at_s=now_s))
        self.state, said = step(due, Tick(now_s), self.dice)
        return said[-1].frame


class LoopRadio:
    """A radio of this process, as a gateway is one: offers frames, holds one link, hangs up as `HELD` says.

    `breaks`: numbers of writes (from 1) whose link breaks before the tag hears them; `deaf`: answers lost after it did.
    """

    def __init__(
        self, *tags: NearTag, breaks: frozenset[int] = frozenset(), deaf: frozenset[int] = frozenset()
    ) -> None:
        self.tags, self.breaks, self.deaf = list(tags), breaks, deaf
        self.writes = self.starts = 0
        self.carried: list[bytes] = []
        self._offered: dict[bytes, NearTag] = {}
        self._held: tuple[NearTag, Link] | None = None

    def start(self) -> list[bytes]:
        self.starts += 1
        self._held = None
        self._offered = {tag.frame(): tag for tag in self.tags}
        return list(self._offered)

    def connect(self, frame: bytes) -> bytes:
        if self._held is None:
            if frame not in self._offered:
                raise RefusedError("tag_not_heard", "That frame was not offered.")
            tag = self._offered[frame]
        else:
            tag = self._held[0]
        link = claim.read_nonce(tag.dice)
        self._held = tag, link
        assert link.nonce is not None
        return link.nonce

    def write(self, message: bytes) -> bytes:
        if self._held is None:
            raise RefusedError("not_reachable", "There is no connection.")
        self.writes += 1
        self.carried.append(message)
        tag, link = self._held
        if self.writes in self.breaks:
            self.hang_up()
            raise RefusedError("not_reachable", "The link broke.")
        turn = claim.take_message(tag.state, link, message, tag.clock())
        tag.state = turn.state
        if turn.refused is not None:
            self.hang_up()
            raise RefusedError(SAID[turn.refused], f"The tag says {turn.refused:#x}.")
        self._held = (tag, turn.link) if message[0] in HELD else None
        if self.writes in self.deaf:
            self.hang_up()
            raise RefusedError("not_reachable", "The link broke.")
        return turn.reply

    def hang_up(self) -> None:
        self._held = None

    def close(self) -> None:
        self.hang_up()


def edges(clock: Clock, *pressed: NearTag, seed: int = 1) -> tuple[Edges, list[str]]:
    """Edges that wait for nothing: while one waits, somebody presses the button. And what was said."""
    told: list[str] = []

    def wait(seconds: float) -> None:
        clock.ahead_s += seconds
        for tag in pressed:
            tag.press()

    return Edges(clock, random.Random(seed).randbytes, wait, told.append), told
