"""The server's side of a claim for one tag, as /api/v1/claims speaks it: the code's hash, the MAC, the receipt."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.tag import Unit
from wire.activation import activation_data, verify_answer
from wire.claim_code import decode_claim_code, encode_claim_code
from wire.errors import WireError
from wire.frames import decode_p
from wire.gatt import ClearProof, Op, claim_mac, encode_message, release_message
from wire.keys import owner_hash
from wire.signing import Domain, public_key, verify

TOKEN = "a-token"


class RefusedError(Exception):
    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.body = {"error": {"code": code, "message": f"it is {code}", "do": "what helps", "reference": ""}}


class Claims:
    """One unit that may be claimed. `former_owner`: the tag has to forget somebody first. `tamper` changes writes."""

    def __init__(self, unit: Unit, k_factory: bytes, server_key: Ed25519PrivateKey) -> None:
        self.unit, self.k_factory, self.server_key = unit, k_factory, server_key
        self.former_owner = False
        self.tamper = False
        self.not_heard_times = 0
        self.challenges: list[bytes] = []
        self.nonces: list[dict[str, Any]] = []
        self.owner: bytes | None = None

    @property
    def code(self) -> str:
        return encode_claim_code(self.unit.k_claim)

    def post(self, path: str, body: dict[str, Any], authorization: str) -> dict[str, Any]:
        if authorization != f"Bearer {TOKEN}":
            raise RefusedError(401, "sign_in_needed")
        if path == "":
            if decode_claim_code(body["code"]) != self.unit.k_claim:
                raise RefusedError(404, "code_unknown")
            return {"claim_id": "ab" * 16, "serial": self.unit.serial, "state": "pending", "steps": []}
        steps = {"candidates": self.candidates, "nonce": self.nonce, "answer": self.answer}
        return steps[path.rsplit("/", 1)[1]](body)

    def candidates(self, body: dict[str, Any]) -> dict[str, Any]:
        self.not_heard_times -= 1
        for index, frame in enumerate(body["frames"]):
            try:
                heard = decode_p(bytes.fromhex(frame), self.unit.k_lot, self.k_factory)
            except WireError:
                continue
            if heard.serial == self.unit.serial and self.not_heard_times < 0:
                return {"index": index}
        raise RefusedError(409, "tag_not_heard")

    def write(self, nonce: bytes, owner_public_key: bytes, cleared: bool) -> tuple[bytes, bytes | None]:
        """The ready message and its challenge; no challenge while the tag must forget first."""
        if self.former_owner and not cleared:
            release = self.server_key.sign(release_message(self.unit.serial, nonce))
            data = bytes((ClearProof.RELEASE,)) + release
            return encode_message(Op.CLEAR, data, claim_mac(self.unit.k_claim, nonce, Op.CLEAR, data)), None
        challenge = bytes([len(self.challenges) + 1]) * 16
        self.challenges.append(challenge)
        data = activation_data(challenge, owner_hash(owner_public_key))
        if self.tamper:
            data = activation_data(challenge, owner_hash(bytes(32)))
        return encode_message(Op.ACTIVATE, data, claim_mac(self.unit.k_claim, nonce, Op.ACTIVATE, data)), challenge

    def nonce(self, body: dict[str, Any]) -> dict[str, Any]:
        self.nonces.append(body)
        self.owner = bytes.fromhex(body["owner_public_key"])
        message, challenge = self.write(bytes.fromhex(body["nonce"]), self.owner, body["cleared"])
        step = "activate" if challenge else "clear"
        return {"step": step, "write": message.hex(), "challenge": challenge.hex() if challenge else None}

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        assert self.owner is not None
        tag_key = self.unit.private_key.public_key().public_bytes_raw()
        challenge = self.challenges[-1]
        try:
            verify_answer(tag_key, challenge, bytes.fromhex(body["answer"]))
            signature = bytes.fromhex(body["owner_signature"])
            verify(public_key(self.owner), Domain.OWNER_CHALLENGE, signature + challenge)
        except WireError as error:
            raise RefusedError(422, error.code) from None
        return {"serial": self.unit.serial, "tag_public_key": tag_key.hex(), "challenge": challenge.hex()}
