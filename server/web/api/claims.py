"""Claiming a tag in four steps over HTTPS, managed or private, or letting an enrolled gateway carry a managed claim."""

from __future__ import annotations

from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import Field, model_validator

from server.service import claim_desk, claims, private_claims
from server.service.claims import ClaimView
from server.service.receipts import Activated
from server.service.refusals import refuse
from server.store import keys
from server.web.api.models import Body, ClaimInPath, example, refusals
from server.web.auth import Owner
from server.web.deps import Rates, TheHouse
from wire.command import MAX_CANDIDATES

router = APIRouter(prefix="/claims", tags=["claims"])
_ALWAYS = ("sign_in_needed", "not_yours", "claim_unknown")


class Code(Body):
    """The code from the box, as it was typed; or for a private claim its hash alone (wire-format, `claim_hash`)."""

    model_config = example(code="ABCDE-FGHJK-MNPQR-STVWX-YZ012-34")

    code: Annotated[str | None, Field(max_length=64, repr=False)] = None
    claim_hash: Annotated[str | None, Field(pattern="^[0-9a-fA-F]{64}$")] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.code is None) is (self.claim_hash is None):
            raise ValueError("either the code (managed) or its hash (private)")
        return self


class Candidates(Body):
    """The newest P frame of each address that is heard now, strongest first, in hexadecimal."""

    model_config = example(frames=["00" * 24])

    frames: Annotated[list[Annotated[str, Field(pattern="^[0-9a-fA-F]{48}$")]], Field(max_length=MAX_CANDIDATES)]


class Chosen(Body):
    """Which of the frames is the claimed tag's."""

    index: int


class Nonce(Body):
    """What was read from the tag. `owner_public_key`: the client's own Ed25519 key; without it the account's.

    `cleared`: the write of step `clear` was accepted by the tag, and this is a new nonce.
    """

    model_config = example(nonce="00" * 8, owner_public_key="00" * 32)

    nonce: Annotated[str, Field(pattern="^[0-9a-fA-F]{16}$")]
    owner_public_key: Annotated[str | None, Field(pattern="^[0-9a-fA-F]{64}$")] = None
    cleared: bool = False


class Write(Body):
    """What to write to the tag. After `clear` read a new nonce and come again; after `activate` send the answer."""

    step: str
    write: str
    challenge: str | None


class Begun(Body):
    """What a private claim's client read from the tag, and its own Ed25519 key. `cleared` as for `nonce`."""

    model_config = example(nonce="00" * 8, owner_public_key="00" * 32)

    nonce: Annotated[str, Field(pattern="^[0-9a-fA-F]{16}$")]
    owner_public_key: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]
    cleared: bool = False


class Challenge(Body):
    """One of the two: what the tag is to sign (op 10), or the release by which it forgets another owner (op 03).

    After a release read a new nonce and come again with `cleared: true`.
    """

    challenge: str | None
    release: str | None


class Answer(Body):
    """The 91 bytes that the tag answered; `owner_signature`: by the client's own key, over the challenge."""

    model_config = example(answer="00" * 91, owner_signature="00" * 64)

    answer: Annotated[str, Field(pattern="^[0-9a-fA-F]{182}$")]
    owner_signature: Annotated[str | None, Field(pattern="^[0-9a-fA-F]{128}$")] = None


class Carry(Body):
    """Which gateway is near the tag; without a name the one that heard it last."""

    model_config = example(gateway="home-elm")

    gateway: Annotated[str | None, Field(max_length=32)] = None


class Carried(Body):
    """Which gateway carries the claim now."""

    gateway: str


@router.post(
    "",
    status_code=201,
    responses=refusals(
        "sign_in_needed", "not_yours", "code_mistyped", "code_unknown", "claim_taken", "too_many_claims", "too_many"
    ),
)
def start(body: Code, house: TheHouse, rates: Rates, who: Owner) -> ClaimView:
    """Step 1: the code, or its hash. It opens a claim for a quarter of an hour, which blocks nobody."""
    rates.take("claim", who.email)
    with house.work() as (tx, now):
        if body.claim_hash is not None:
            claim = private_claims.start(tx, house.claims, house.dice, who, bytes.fromhex(body.claim_hash), now)
        else:
            claim = claims.start(tx, house.claims, house.dice, who, body.code or "", now)
        return claims.view(tx, house.claims, claim, now)


@router.get("/{claim_id}", responses=refusals(*_ALWAYS))
def state(claim_id: ClaimInPath, house: TheHouse, who: Owner) -> ClaimView:
    """Where a claim stands, and what happened to it."""
    with house.work() as (tx, now):
        return claims.view(tx, house.claims, claims.mine(tx, who.account_no, claim_id), now)


@router.post(
    "/{claim_id}/candidates", responses=refusals(*_ALWAYS, "claim_expired", "claim_taken", "tag_not_heard", "not_ready")
)
def candidates(claim_id: ClaimInPath, body: Candidates, house: TheHouse, who: Owner) -> Chosen:
    """Step 2: which of the heard frames is the tag's."""
    with house.work() as (tx, now):
        claim = claims.mine(tx, who.account_no, claim_id)
        frames = [bytes.fromhex(frame) for frame in body.frames]
        return Chosen(index=claim_desk.choose(tx, house, claim, frames, now))


@router.post(
    "/{claim_id}/nonce",
    responses=refusals(*_ALWAYS, "claim_expired", "claim_kind", "claim_taken", "owner_key_invalid", "too_many_claims"),
)
def nonce(claim_id: ClaimInPath, body: Nonce, house: TheHouse, who: Owner) -> Write:
    """Step 3: the ready write for this nonce, authenticated with the code that the carrier never sees."""
    with house.work() as (tx, now):
        claim = claims.mine(tx, who.account_no, claim_id)
        own = body.owner_public_key
        key = bytes.fromhex(own) if own else claim_desk.custodial_key(tx, house.vault, house.dice, who.account_no)
        begun = claims.Begun(bytes.fromhex(body.nonce), key, body.cleared)
        server_key = keys.server_key(tx, house.vault, now)
        ready = claims.ready_write(tx, house.claims, house.dice, claim, begun, server_key, now)
    challenge = ready.challenge.hex() if ready.challenge else None
    return Write(step=ready.step, write=ready.write.hex(), challenge=challenge)


@router.post(
    "/{claim_id}/challenge",
    responses=refusals(*_ALWAYS, "claim_expired", "claim_kind", "claim_taken", "owner_key_invalid", "too_many_claims"),
)
def challenge(claim_id: ClaimInPath, body: Begun, house: TheHouse, who: Owner) -> Challenge:
    """Step 3 of a private claim: what the client's own message to the tag is about. The code stays with the client."""
    with house.work() as (tx, now):
        claim = claims.mine(tx, who.account_no, claim_id)
        begun = claims.Begun(bytes.fromhex(body.nonce), bytes.fromhex(body.owner_public_key), body.cleared)
        server_key = keys.server_key(tx, house.vault, now)
        asked = private_claims.challenge(tx, house.claims, house.dice, claim, begun, server_key, now)
    return Challenge(
        challenge=asked.challenge.hex() if asked.challenge else None,
        release=asked.release.hex() if asked.release else None,
    )


@router.post(
    "/{claim_id}/answer",
    responses=refusals(
        *_ALWAYS, "receipt_invalid", "challenge_old", "owner_key_invalid", "claim_taken", "claim_expired"
    ),
)
def answer(claim_id: ClaimInPath, body: Answer, house: TheHouse, who: Owner) -> Activated:
    """Step 4: the tag's signed answer. Valid, the tag is the caller's; the same answer again gives the same result."""
    with house.work() as (tx, now):
        claim = claims.mine(tx, who.account_no, claim_id)
        signature = bytes.fromhex(body.owner_signature) if body.owner_signature else None
        proof = claim_desk.proof(tx, house, claim, signature)
        return claims.settle(tx, house.claims, claim, bytes.fromhex(body.answer), proof, who.email, now)


@router.post(
    "/{claim_id}/carry",
    status_code=202,
    responses=refusals(
        *_ALWAYS,
        *("claim_expired", "claim_kind", "claim_taken", "gateway_unreachable", "carry_busy", "tag_not_heard"),
        "too_many",
    ),
)
def carry(claim_id: ClaimInPath, body: Carry, house: TheHouse, rates: Rates, who: Owner) -> Carried:
    """Let an enrolled gateway carry the claim; GET the claim to watch it."""
    rates.take("carry", who.email)
    with house.work() as (tx, now):
        claim = claims.mine(tx, who.account_no, claim_id)
        house.claims.key(claim.claim, now)
        claims.must_be_free(tx, claim)
    if house.carrier is None:
        raise refuse("gateway_unreachable", reference=claim_id)
    return Carried(gateway=house.carrier.carry(claim.claim, who.account_no, body.gateway))
