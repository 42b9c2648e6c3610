"""Claiming a tag: the code from the box opens a claim, the tag's own signature ends it and begins ownership.

The four steps (code, candidates, nonce, answer) are the same over HTTPS and over a gateway's commands. The code alone
owns nothing and blocks nobody; the first valid receipt wins. A carrier sees nonces, MACs and answers, never the code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from server.rules.facts import ActKind
from server.service import receipts
from server.service.caller import Caller
from server.service.claim_memory import ClaimMemory, Step
from server.service.receipts import Activated, OwnerProof
from server.service.refusals import WORDS, refuse
from server.store import acts, ownership, units, weighings
from server.store.acts import NewAct
from server.store.orders import numbers_of_serials
from server.store.ownership import Challenge, Claim
from wire.activation import CHALLENGE_LEN, CHALLENGE_LIFETIME_S, activation_data
from wire.claim_code import decode_claim_code
from wire.command import MAX_CANDIDATES
from wire.errors import WireError
from wire.frames import decode_p
from wire.gatt import NONCE_LEN, ClearProof, Op, claim_mac, encode_message, release_message
from wire.keys import claim_hash, owner_hash

LIFETIME: Final = timedelta(seconds=CHALLENGE_LIFETIME_S)
# Somebody with a box of ten tags claims them one after another; more at once is a program that guesses.
CLAIMS_AT_ONCE: Final = 20
# Each button press makes one; a person gives up before this.
CHALLENGES_MAX: Final = 20


class State(StrEnum):
    """Where a claim stands."""

    PENDING = "pending"
    ACTIVATED = "activated"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ClaimView:
    """A claim as its account sees it. `already_yours`: the tag was this account's before."""

    claim_id: str
    serial: int
    model: str
    state: State
    already_yours: bool
    expires_at: datetime
    steps: tuple[Step, ...]
    receipt: Activated | None = None


@dataclass(frozen=True, slots=True)
class ReadyWrite:
    """What the carrier writes to the tag. After `clear` it reads a new nonce and comes again; `challenge` then."""

    step: str  # 'clear' or 'activate'
    write: bytes
    challenge: bytes | None


@dataclass(frozen=True, slots=True)
class FrameKeys:
    """What opens the frames of one lot's tags."""

    k_lot: bytes = field(repr=False)
    k_factory: bytes = field(repr=False)
    network_id: int


class Carrier(Protocol):
    """Whoever can carry a claim to a tag through an enrolled gateway; the web process is given one."""

    def carry(self, claim_id: str, account_no: int, gateway: str | None) -> str:
        """Start the dialogue and return the gateway's id at once. Refusals: gateway_unreachable, carry_busy.

        `claim_desk.Desk` answers its questions.
        """
        ...  # pragma: no cover - a protocol


def start(
    tx: Connection, memory: ClaimMemory, dice: Callable[[int], bytes], who: Caller, code: str, now: datetime
) -> Claim:
    """Step 1: the code from the box. The same account with the same code goes on with the claim under way.

    Refusals: code_mistyped, code_unknown, claim_taken, too_many_claims.
    """
    try:
        k_claim = decode_claim_code(code)
    except WireError as error:
        raise refuse(error.code) from None
    unit = units.by_claim_hash(tx, claim_hash(k_claim))
    if unit is None:
        raise refuse("code_unknown")
    owned = ownership.living(tx, unit.serial)
    if owned is not None and owned.account_no != who.account_no:
        raise refuse("claim_taken", reference=str(unit.serial))
    living = ownership.living_claims(tx, who.account_no, now)
    for claim in living:
        if claim.serial == unit.serial and memory.holds(claim.claim, now):
            return claim
    if len(living) >= CLAIMS_AT_ONCE:
        raise refuse("too_many_claims")
    claim = Claim(dice(16).hex(), who.account_no, unit.serial, now, now + LIFETIME)
    ownership.add_claim(tx, claim)
    if owned is None:
        payload = {"claim": claim.claim}
        acts.add(tx, NewAct(ActKind.CLAIMED, now, who.account_no, who.email, unit.serial, payload=payload), now)
        _facts_changed(tx, unit.serial)
    memory.hold(claim.claim, k_claim, claim.expires_at, now)
    memory.note(claim.claim, "code_accepted", "The code is right. Now the tag itself must answer.", now)
    return claim


def mine(tx: Connection, account_no: int, claim_id: str) -> Claim:
    """The claim, if it is this account's. Refusals: claim_unknown."""
    claim = ownership.claim(tx, claim_id)
    if claim is None or claim.account_no != account_no:
        raise refuse("claim_unknown", reference=claim_id)
    return claim


def view(tx: Connection, memory: ClaimMemory, claim: Claim, now: datetime) -> ClaimView:
    """Where a claim stands and what happened to it."""
    unit = units.by_serial(tx, claim.serial)
    assert unit is not None, "a claim is made for a unit that exists"
    receipt = receipts.of_claim(tx, claim)
    steps = memory.steps(claim.claim)
    waiting = claim.expires_at > now and steps
    state = State.ACTIVATED if receipt else State.PENDING if waiting else State.EXPIRED
    owned = ownership.living(tx, claim.serial)
    before = owned is not None and owned.account_no == claim.account_no and owned.since < claim.made_at
    return ClaimView(claim.claim, claim.serial, unit.model, state, before, claim.expires_at, steps, receipt)


def choose(memory: ClaimMemory, claim: Claim, frames: Sequence[bytes], keys: FrameKeys, now: datetime) -> int:
    """Step 2: which of the frames that a carrier hears is the tag's. Refusals: claim_expired, tag_not_heard."""
    memory.key(claim.claim, now)
    for index, frame in enumerate(frames[:MAX_CANDIDATES]):
        try:
            if decode_p(frame, keys.k_lot, keys.k_factory, keys.network_id).serial == claim.serial:
                memory.note(claim.claim, "heard", "The tag is heard. Press its button now.", now)
                return index
        except WireError:
            continue  # a neighbour's tag, or a stranger's
    failed(memory, claim.claim, "tag_not_heard", now)
    raise refuse("tag_not_heard", reference=claim.claim)


def ready_write(
    tx: Connection,
    memory: ClaimMemory,
    dice: Callable[[int], bytes],
    claim: Claim,
    nonce: bytes,
    owner_public_key: bytes,
    server_key: Ed25519PrivateKey,
    now: datetime,
    *,
    cleared: bool = False,
) -> ReadyWrite:
    """Step 3: the write for this nonce. A tag that still holds a former owner is first told to forget them.

    Refusals: claim_expired, claim_taken, owner_key_invalid, too_many_claims, bad_request.
    """
    k_claim = memory.key(claim.claim, now)
    if len(nonce) != NONCE_LEN:
        raise refuse("bad_request", detail=f"a nonce has {NONCE_LEN} bytes")
    if len(owner_public_key) != 32:
        raise refuse("owner_key_invalid", reference=claim.claim)
    hashed = owner_hash(owner_public_key)
    last = ownership.last(tx, claim.serial)
    if last is not None and last.until is None and last.account_no != claim.account_no:
        raise refuse("claim_taken", reference=claim.claim)
    if last is not None and last.owner_hash != hashed and not cleared:
        signature = server_key.sign(release_message(claim.serial, nonce))
        memory.note(claim.claim, "clearing", "The tag forgets its former owner.", now)
        return ReadyWrite("clear", _message(k_claim, nonce, Op.CLEAR, bytes((ClearProof.RELEASE,)) + signature), None)
    if ownership.count_challenges(tx, claim.claim) >= CHALLENGES_MAX:
        raise refuse("too_many_claims")
    challenge = dice(CHALLENGE_LEN)
    ownership.add_challenge(
        tx, Challenge(challenge, claim.claim, hashed, owner_public_key, now, now + LIFETIME, None)
    )  # fmt: skip
    memory.note(claim.claim, "asked", "The tag is asked to sign.", now)
    return ReadyWrite("activate", _message(k_claim, nonce, Op.ACTIVATE, activation_data(challenge, hashed)), challenge)


def settle(
    tx: Connection, memory: ClaimMemory, claim: Claim, answer: bytes, proof: OwnerProof, actor: str, now: datetime
) -> Activated:  # fmt: skip
    """Step 4: the tag's answer. Valid, it begins ownership; the same answer again gives the stored result.

    Refusals: receipt_invalid, challenge_old, owner_key_invalid, claim_taken.
    """
    ownership.lock_unit(tx, claim.serial)
    stored = receipts.of_answer(tx, claim, answer)
    if stored is not None:
        return stored
    challenge, stated = receipts.check(tx, claim, answer, proof, now)
    owned = ownership.living(tx, claim.serial)
    if owned is not None and owned.account_no != claim.account_no:
        raise refuse("claim_taken", reference=claim.claim)
    activated = receipts.keep(tx, claim, challenge, answer, stated, actor, now)
    if owned is None:
        begun = ownership.begin(
            tx, claim.serial, claim.account_no, f"Tag {claim.serial}", stated.owner_hash, activated.act, now
        )
        if not begun:
            raise refuse("claim_taken", reference=claim.claim)
    elif owned.owner_hash != stated.owner_hash:
        ownership.hold_owner_hash(tx, owned.no, stated.owner_hash)
    _facts_changed(tx, claim.serial)
    memory.note(claim.claim, "activated", "The tag has signed. It is yours.", now)
    memory.forget(claim.claim)
    return activated


def failed(memory: ClaimMemory, claim_id: str, code: str, now: datetime) -> None:
    """A carrier could not: note it with the words of its code, so that the owner reads why."""
    words = WORDS.get(code, WORDS["tag_refused"])
    memory.note(claim_id, code if code in WORDS else "tag_refused", f"{words.message} {words.do}", now)


def _message(k_claim: bytes, nonce: bytes, op: Op, data: bytes) -> bytes:
    return encode_message(op, data, claim_mac(k_claim, nonce, op, data))


def _facts_changed(tx: Connection, serial: int) -> None:
    weighings.mark_stale(tx, numbers_of_serials(tx, [serial]).get(serial, ()))
