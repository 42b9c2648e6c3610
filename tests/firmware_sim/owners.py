"""An owner with their keys, as far as a tag sees them: what their client would say, message by message."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim import claim
from firmware_sim.claim import Turn
from firmware_sim.tag import ButtonPress, Dice, TagState, step
from tests.firmware_sim.conftest import K_CLAIM
from wire import gatt, set_owner
from wire.frames import day_of_tick, tick_of
from wire.gatt import Op
from wire.keys import day_public_key, eid, own_key, owner_hash


@cache
def eids_of(s_o: bytes, first_day: int, days: int) -> bytes:
    """What the tag gets of a stretch of days."""
    return b"".join(eid(day_public_key(s_o, day)) for day in range(first_day, first_day + days))


@dataclass
class Owner:
    """Somebody with a seed, a signing key and a code from a box."""

    name: str
    dice: Dice = field(default_factory=lambda: random.Random(1).randbytes)
    k_claim: bytes = K_CLAIM

    def __post_init__(self) -> None:
        self.s_o = random.Random(self.name).randbytes(32)
        self.key = Ed25519PrivateKey.from_private_bytes(random.Random(self.name + " signs").randbytes(32))
        self.k_own = own_key(self.s_o)
        self.hash = owner_hash(self.key.public_key().public_bytes_raw())

    def list(self, now_s: float, days: int) -> tuple[int, bytes]:
        first_day = day_of_tick(tick_of(int(now_s)))
        return first_day, eids_of(self.s_o, first_day, days)

    def ask(self, state: TagState, op: Op, data: bytes, now_s: float, nonce: bytes | None = None) -> Turn:
        """One whole message under its own nonce; `data` was made for `nonce`, if it depends on one."""
        nonce = nonce or self.dice(gatt.NONCE_LEN)
        message = gatt.encode_message(op, data, gatt.claim_mac(self.k_claim, nonce, op, data))
        return claim.take_message(state, claim.Link(nonce), message, now_s)

    def step(self, state: TagState, plain: bytes, now_s: float, nonce: bytes | None = None) -> Turn:
        nonce = nonce or self.dice(gatt.NONCE_LEN)
        sealed = set_owner.seal_step(self.k_claim, nonce, self.dice(set_owner.IV_LEN), plain)
        return self.ask(state, Op.SET_OWNER, sealed, now_s, nonce)

    def begin(self, state: TagState, first_day: int, eids: bytes, now_s: float, serial: int = 700) -> Turn:
        nonce = self.dice(gatt.NONCE_LEN)
        plain = set_owner.encode_begin(
            self.key, serial=serial, nonce=nonce, k_own=self.k_own, first_day=first_day, eids=eids
        )
        return self.step(state, plain, now_s, nonce)

    def near(self, state: TagState, now_s: float, unix_s: float | None = None) -> Turn:
        nonce = self.dice(gatt.NONCE_LEN)
        data = gatt.near_data(self.k_own, nonce, int(now_s if unix_s is None else unix_s))
        return self.ask(state, Op.NEAR, data, now_s, nonce)

    def ring(self, state: TagState, now_s: float, seconds: int) -> Turn:
        nonce = self.dice(gatt.NONCE_LEN)
        k_own = self.k_own if state.nvm.k_own else b""
        return self.ask(state, Op.RING, gatt.ring_data(k_own, nonce, seconds), now_s, nonce)

    def clear(self, state: TagState, now_s: float) -> Turn:
        nonce = self.dice(gatt.NONCE_LEN)
        proof = bytes((gatt.ClearProof.OWNER,)) + gatt.owner_clear_proof(self.k_own, nonce)
        return self.ask(state, Op.CLEAR, proof, now_s, nonce)

    def take(self, state: TagState, now_s: float, days: int = 366, serial: int = 700) -> TagState:
        """The whole way, button included; asserts that nothing was refused."""
        state, _ = step(state, ButtonPress(now_s), self.dice)
        first_day, eids = self.list(now_s, days)
        turns = [self.begin(state, first_day, eids, now_s, serial)]
        for plain in (*set_owner.split_list(eids, held(turns[0])), set_owner.encode_finish(int(now_s))):
            turns.append(self.step(turns[-1].state, plain, now_s))
        assert [turn.refused for turn in turns] == [None] * len(turns)
        return turns[-1].state


def held(turn: Turn) -> int:
    """How many EIDs the tag says that it holds."""
    return set_owner.decode_held(gatt.decode_reply(turn.reply, Op.SET_OWNER))
