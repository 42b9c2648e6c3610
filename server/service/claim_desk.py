"""Where a claim meets the server's secrets: the lot's key that opens frames, the account's own key, the release.

A client that keeps its own owner key gives its public half; everybody else is *managed*: the server keeps an
Ed25519 key for the account, encrypted, and pages say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from server.service import claims, relaying
from server.service.caller import Caller
from server.service.claims import Begun, FrameKeys
from server.service.house import House
from server.service.receipts import OwnerProof
from server.service.refusals import refuse
from server.store import keys, ownership, units
from server.store.crypto import Vault
from server.store.ownership import Claim
from wire.command import MAX_CANDIDATES


def frame_keys(tx: Connection, vault: Vault, serial: int, network_id: int) -> FrameKeys:
    """What opens the frames of a tag's lot. Refusals: not_ready before the factory's keys were imported."""
    unit = units.by_serial(tx, serial)
    assert unit is not None, "what is claimed or owned was made"
    k_lot, k_factory = keys.lot_key(tx, vault, unit.lot), keys.k_factory(tx, vault)
    if k_lot is None or k_factory is None:
        raise refuse("not_ready", detail=f"the keys of lot {unit.lot} are not imported")
    return FrameKeys(k_lot, k_factory, network_id)


def choose(tx: Connection, house: House, claim: Claim, frames: Sequence[bytes], now: datetime) -> int:
    """Which of the frames is the claimed tag's. Refusals: claim_expired, claim_taken, tag_not_heard, not_ready."""
    claims.must_be_free(tx, claim)
    network_id = house.settings.network_id
    opening = frame_keys(tx, house.vault, claim.serial, network_id)
    likely = relaying.likely(tx, claim.serial, frames[:MAX_CANDIDATES], network_id)
    return claims.choose(house.claims, claim, frames, opening, now, likely)


def custodial_key(tx: Connection, vault: Vault, dice: Callable[[int], bytes], account_no: int) -> bytes:
    """The public half of the key that the server keeps for an account; made at the first need."""
    sealed = ownership.custodial_key(tx, account_no)
    if sealed is None:
        ownership.keep_custodial_key(tx, account_no, vault.seal(keys.CUSTODIAL_KEY.what(), dice(32)))
        sealed = ownership.custodial_key(tx, account_no)
        assert sealed is not None, "kept just now, by us or by another"
    private = Ed25519PrivateKey.from_private_bytes(vault.open(keys.CUSTODIAL_KEY.what(), sealed))
    return private.public_key().public_bytes_raw()


def proof(
    tx: Connection, house: House, claim: Claim, signature: bytes | None
) -> OwnerProof:  # fmt: skip
    """What an answer is held against: of a managed claim without a client's signature the account's own key here."""
    if house.claims.private(claim.claim):
        return OwnerProof(b"", signature)  # the server has no key for a private claim, and makes none
    return OwnerProof(custodial_key(tx, house.vault, house.dice, claim.account_no), signature)


class Desk:
    """The claim service for one managed claim, as the dialogue with a carrying gateway asks it."""

    def __init__(self, house: House, claim: Claim, who: Caller) -> None:
        self._house = house
        self._claim = claim
        self._who = who

    def choose(self, frames: tuple[bytes, ...]) -> bytes:
        """The frame among these that the claimed tag sent. Refusals: claim_expired, tag_not_heard."""
        house = self._house
        with house.work() as (tx, now):
            return frames[choose(tx, house, self._claim, frames, now)]

    def write(self, nonce: bytes, *, cleared: bool) -> tuple[bool, bytes]:
        """What to write for this nonce, and whether it only tells the tag to forget a former owner."""
        house = self._house
        with house.work() as (tx, now):
            own = custodial_key(tx, house.vault, house.dice, self._claim.account_no)
            server_key = keys.server_key(tx, house.vault, now)
            begun = Begun(nonce, own, cleared)
            ready = claims.ready_write(tx, house.claims, house.dice, self._claim, begun, server_key, now)
            return ready.challenge is None, ready.write

    def settle(self, answer: bytes) -> None:
        """The tag's signed answer: ownership begins. Refusals: receipt_invalid, challenge_old, claim_taken."""
        house = self._house
        with house.work() as (tx, now):
            proof = OwnerProof(custodial_key(tx, house.vault, house.dice, self._claim.account_no))
            claims.settle(tx, house.claims, self._claim, answer, proof, self._who.email, now)
