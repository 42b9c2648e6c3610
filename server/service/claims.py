"""Claiming a tag: the code from the box opens a claim, the tag's own signature ends it and begins ownership.

The four steps (code, candidates, nonce, answer) are the same over HTTPS and over a gateway's commands. The code alone
owns nothing and blocks nobody; the first valid receipt wins. A carrier sees nonces, MACs and answers, never the code.
What is different in a private claim, whose code stays with the owner's client, is in `private_claims`.
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
from server.service import owning, receipts
from server.service.caller import Caller
from server.service.claim_memory import ClaimMemory, Step
from server.service.private_words import MANAGED_MEANS, PRIVATE_MEANS
from server.service.receipts import Activated, OwnerProof
from server.service.refusals import WORDS, refuse
from server.store import acts, ownership, private_stretches, units, weighings
from server.store.acts import NewAct
from server.store.orders import numbers_of_serials
from server.store.ownership import Challenge, Claim, Owned
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
    """A claim as its account sees it. `already_yours`: the tag was this account's before. `…_means`: what follows
    from each of the two kinds, in a sentence for whoever chooses.
    """

    claim_id: str
    serial: int
    model: str
    state: State
    already_yours: bool
    expires_at: datetime
    steps: tuple[Step, ...]
    receipt: Activated | None = None
    private: bool = False
    managed_means: str = MANAGED_MEANS
    private_means: str = PRIVATE_MEANS


@dataclass(frozen=True, slots=True)
class Begun:
    """The dialogue with a tag so far: its nonce, the Ed25519 key of whoever wants to own it (32 bytes), and whether it
    was told to forget a former owner.
    """

    nonce: bytes
    owner_public_key: bytes
    cleared: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What the tag is to be told next: to sign a `challenge`, or by the server's `release` to forget somebody."""

    challenge: bytes | None
    release: bytes | None
    owner_hash: bytes


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
    return opened(tx, memory, dice, who, claim_hash(k_claim), k_claim, now)


def opened(
    tx: Connection,
    memory: ClaimMemory,
    dice: Callable[[int], bytes],
    who: Caller,
    hashed: bytes,
    k_claim: bytes | None,
    now: datetime,
) -> Claim:
    """A claim of the tag whose code has this hash; without the code itself it is a private one.

    Refusals: code_unknown, claim_taken, too_many_claims.
    """
    unit = units.by_claim_hash(tx, hashed)
    if unit is None:
        raise refuse("code_unknown")
    owned = ownership.living(tx, unit.serial)
    if owned is not None and owned.account_no != who.account_no:
        raise refuse("claim_taken", reference=str(unit.serial))
    living = ownership.living_claims(tx, who.account_no, now)
    for claim in living:
        if claim.serial == unit.serial and memory.holds(claim.claim, now, private=k_claim is None):
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


def must_be_free(tx: Connection, claim: Claim) -> None:
    """Of a tag that somebody else claimed meanwhile a claim learns nothing more: not where it is heard, nor as what.

    Refusals: claim_taken.
    """
    owned = ownership.living(tx, claim.serial)
    if owned is not None and owned.account_no != claim.account_no:
        raise refuse("claim_taken", reference=claim.claim)


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
    private = memory.private(claim.claim)
    if private is None:  # forgotten: then what came of it says
        private = owned is not None and owned.private and owned.account_no == claim.account_no and receipt is not None
    return ClaimView(claim.claim, claim.serial, unit.model, state, before, claim.expires_at, steps, receipt, private)


def choose(
    memory: ClaimMemory,
    claim: Claim,
    frames: Sequence[bytes],
    keys: FrameKeys,
    now: datetime,
    likely: int | None = None,
) -> int:
    """Step 2: which of the frames that a carrier hears is the tag's; `likely`: if none is its provenance frame.

    Refusals: claim_expired, tag_not_heard.
    """
    memory.must_live(claim.claim, now)
    for index, frame in enumerate(frames[:MAX_CANDIDATES]):
        try:
            if decode_p(frame, keys.k_lot, keys.k_factory, keys.network_id).serial == claim.serial:
                likely = index
                break
        except WireError:
            continue  # a neighbour's tag, or a stranger's
    if likely is not None:
        memory.note(claim.claim, "heard", "The tag is heard. Press its button now.", now)
        return likely
    failed(memory, claim.claim, "tag_not_heard", now)
    raise refuse("tag_not_heard", reference=claim.claim)


def ready_write(
    tx: Connection,
    memory: ClaimMemory,
    dice: Callable[[int], bytes],
    claim: Claim,
    begun: Begun,
    server_key: Ed25519PrivateKey,
    now: datetime,
) -> ReadyWrite:
    """Step 3: the write for this nonce. A tag that still holds a former owner is first told to forget them.

    Refusals: claim_expired, claim_kind, claim_taken, owner_key_invalid, too_many_claims, bad_request.
    """
    k_claim = memory.key(claim.claim, now)
    asked = ask(tx, memory, dice, claim, begun, server_key, now)
    if asked.release is not None:
        data = bytes((ClearProof.RELEASE,)) + asked.release
        return ReadyWrite("clear", _message(k_claim, begun.nonce, Op.CLEAR, data), None)
    assert asked.challenge is not None, "one of the two"
    data = activation_data(asked.challenge, asked.owner_hash)
    return ReadyWrite("activate", _message(k_claim, begun.nonce, Op.ACTIVATE, data), asked.challenge)


def ask(
    tx: Connection,
    memory: ClaimMemory,
    dice: Callable[[int], bytes],
    claim: Claim,
    begun: Begun,
    server_key: Ed25519PrivateKey,
    now: datetime,
) -> Asked:
    """The challenge for this owner's key, or a release under this nonce if the tag still holds another owner.

    Refusals: claim_taken, owner_key_invalid, too_many_claims, bad_request.
    """
    if len(begun.nonce) != NONCE_LEN:
        raise refuse("bad_request", detail=f"a nonce has {NONCE_LEN} bytes")
    if len(begun.owner_public_key) != 32:
        raise refuse("owner_key_invalid", reference=claim.claim)
    hashed = owner_hash(begun.owner_public_key)
    must_be_free(tx, claim)
    last = ownership.last(tx, claim.serial)
    # A tag that was private keeps its identifiers through an activation: only forgetting makes it managed.
    to_managed = last is not None and last.private and not memory.private(claim.claim)
    if last is not None and (last.owner_hash != hashed or to_managed) and not begun.cleared:
        memory.note(claim.claim, "clearing", "The tag forgets its former owner.", now)
        return Asked(None, server_key.sign(release_message(claim.serial, begun.nonce)), hashed)
    if ownership.count_challenges(tx, claim.claim) >= CHALLENGES_MAX:
        raise refuse("too_many_claims")
    challenge = dice(CHALLENGE_LEN)
    ownership.add_challenge(
        tx, Challenge(challenge, claim.claim, hashed, begun.owner_public_key, now, now + LIFETIME, None)
    )  # fmt: skip
    memory.note(claim.claim, "asked", "The tag is asked to sign.", now)
    return Asked(challenge, None, hashed)


def settle(
    tx: Connection, memory: ClaimMemory, claim: Claim, answer: bytes, proof: OwnerProof, actor: str, now: datetime
) -> Activated:  # fmt: skip
    """Step 4: the tag's answer. Valid, it begins ownership, of the kind that the claim is of; the same answer again
    gives the stored result. One's own tag claimed anew changes its kind.

    Refusals: receipt_invalid, challenge_old, owner_key_invalid, claim_taken, claim_expired.
    """
    ownership.lock_unit(tx, claim.serial)
    stored = receipts.of_answer(tx, claim, answer)
    if stored is not None:
        return stored
    challenge, stated = receipts.check(tx, claim, answer, proof, now)
    owned = ownership.living(tx, claim.serial)
    if owned is not None and owned.account_no != claim.account_no:
        raise refuse("claim_taken", reference=claim.claim)
    private = memory.private(claim.claim)
    if private is None:  # a restart forgot of which kind it is, and to guess would make a private tag a managed one
        raise refuse("claim_expired", reference=claim.claim)
    activated = receipts.keep(tx, claim, challenge, answer, stated, actor, now)
    if owned is None or _begins_anew(owned, stated.owner_hash, private):
        name = owned.name if owned else f"Tag {claim.serial}"
        if private:
            private_stretches.begin_alone(tx)
        if owned is not None:
            owning.end_stretch(tx, owned, now)
        begun = ownership.begin(
            tx, claim.serial, claim.account_no, name, stated.owner_hash, activated.act, now, private=private
        )
        if not begun:
            raise refuse("claim_taken", reference=claim.claim)
        if private:
            private_stretches.erase(tx, claim.serial, now)
    elif owned.owner_hash != stated.owner_hash:
        ownership.hold_owner_hash(tx, owned.no, stated.owner_hash)
    _facts_changed(tx, claim.serial)
    memory.note(claim.claim, "activated", "The tag has signed. It is yours.", now)
    memory.forget(claim.claim)
    return activated


def _begins_anew(owned: Owned, owner_hash: bytes, private: bool) -> bool:
    """Whether a claim of one's own tag ends the present stretch: another kind, or other private keys than before."""
    return owned.private is not private or (private and owned.owner_hash != owner_hash)


def failed(memory: ClaimMemory, claim_id: str, code: str, now: datetime) -> None:
    """A carrier could not: note it with the words of its code, so that the owner reads why."""
    words = WORDS.get(code, WORDS["tag_refused"])
    memory.note(claim_id, code if code in WORDS else "tag_refused", f"{words.message} {words.do}", now)


def _message(k_claim: bytes, nonce: bytes, op: Op, data: bytes) -> bytes:
    return encode_message(op, data, claim_mac(k_claim, nonce, op, data))


def _facts_changed(tx: Connection, serial: int) -> None:
    weighings.mark_stale(tx, numbers_of_serials(tx, [serial]).get(serial, ()))
