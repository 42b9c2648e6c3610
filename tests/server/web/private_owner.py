"""An owner's own client for tests of the web: has the code and the secret, and speaks with the tag's real firmware."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.claim import Link
from server.rules.private_reports import day_of
from tests.server.web.town import Somebody, Tag, Town
from wire import keys
from wire.activation import activation_data
from wire.gatt import ClearProof, Op, claim_mac, decode_reply, encode_message
from wire.set_owner import IV_LEN, encode_begin, encode_finish, seal_step, split_list
from wire.signing import SIGNATURE_LEN, Domain, sign


@dataclass
class PrivateOwner:
    """One tag's secret in the hands of one account's client."""

    town: Town
    who: Somebody
    tag: Tag
    s_o: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def k_claim(self) -> bytes:
        return self.tag.state.unit.k_claim

    @property
    def public(self) -> str:
        return self.key.public_key().public_bytes_raw().hex()

    @property
    def today(self) -> int:
        return day_of(self.town.now)

    def message(self, nonce: bytes, op: Op, data: bytes) -> bytes:
        return encode_message(op, data, claim_mac(self.k_claim, nonce, op, data))

    def nonce(self) -> bytes:
        """For the next message."""
        nonce = self.tag.nonce().nonce
        assert nonce is not None
        return nonce

    def say(self, op: Op, data: bytes, nonce: bytes | None = None) -> bytes:
        """One message to the tag under its nonce (or a new one), with the button pressed; what it answers."""
        nonce = nonce or self.nonce()
        self.tag.press(self.town.now_s)
        turn = self.tag.write(Link(nonce), self.message(nonce, op, data), self.town.now_s)
        assert turn.refused is None, turn.refused
        return decode_reply(turn.reply, op)

    def begin(self) -> str:
        claim: str = self.who.post("/claims", {"claim_hash": keys.claim_hash(self.k_claim).hex()})["claim_id"]
        return claim

    def signed(self, claim_id: str) -> tuple[str, str]:
        """The challenge and the tag's answer to it; the tag forgets a former owner first if it must."""
        cleared = False
        for _ in range(2):
            nonce = self.nonce()
            body = {"nonce": nonce.hex(), "owner_public_key": self.public, "cleared": cleared}
            asked = self.who.post(f"/claims/{claim_id}/challenge", body)
            if asked["challenge"]:
                data = activation_data(
                    bytes.fromhex(asked["challenge"]), keys.owner_hash(self.key.public_key().public_bytes_raw())
                )
                return asked["challenge"], self.say(Op.ACTIVATE, data, nonce).hex()
            self.say(Op.CLEAR, bytes((ClearProof.RELEASE,)) + bytes.fromhex(asked["release"]), nonce)
            cleared = True
        raise AssertionError("the tag was cleared twice")

    def proof(self, challenge: str, answer: str) -> dict[str, str]:
        signature = sign(self.key, Domain.OWNER_CHALLENGE, bytes.fromhex(challenge))[:SIGNATURE_LEN]
        return {"answer": answer, "owner_signature": signature.hex()}

    def claim(self) -> str:
        """The claim up to its receipt; gives its id."""
        claim_id = self.begin()
        self.who.post(f"/claims/{claim_id}/candidates", {"frames": [self.tag.frame(self.town.now_s).hex()]}, (200, 409))
        self.who.post(f"/claims/{claim_id}/answer", self.proof(*self.signed(claim_id)))
        return claim_id

    def days(self, first: int, count: int, s_o: bytes | None = None) -> str:
        """What is uploaded of so many days."""
        secret = s_o or self.s_o
        packed = b"".join(
            keys.day_public_key(secret, day) + hashlib.sha256(keys.fetch_token(secret, day)).digest()
            for day in range(first, first + count)
        )
        return base64.b64encode(packed).decode()

    def upload(self, count: int = 10) -> None:
        body = {"first_day": self.today, "days": self.days(self.today, count)}
        assert self.who.put(f"/tags/{self.tag.serial}/keys", body) == {"first_day": self.today, "days": count}

    def fill(self, count: int = 10) -> None:
        """Op 02: the tag gets K_own and the identifiers, and the time."""
        eids = b"".join(keys.eid(keys.day_public_key(self.s_o, self.today + n)) for n in range(count))
        k_own = keys.own_key(self.s_o)
        nonce = self.nonce()
        begin = encode_begin(
            self.key, serial=self.tag.serial, nonce=nonce, k_own=k_own, first_day=self.today, eids=eids
        )
        self.say(Op.SET_OWNER, seal_step(self.k_claim, nonce, secrets.token_bytes(IV_LEN), begin), nonce)
        for plain in (*split_list(eids), encode_finish(int(self.town.now_s))):
            nonce = self.nonce()
            self.say(Op.SET_OWNER, seal_step(self.k_claim, nonce, secrets.token_bytes(IV_LEN), plain), nonce)

    def whole(self) -> None:
        """Claim, keys, list: the tag is private."""
        self.claim()
        self.upload()
        self.fill()
