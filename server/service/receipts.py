"""Activation receipts: checking a tag's answer against the key in the factory's manifest, and keeping it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from server.rules.facts import ActKind
from server.service.refusals import refuse
from server.store import acts, ownership, units
from server.store.acts import NewAct, StoredAct
from server.store.ownership import Challenge, Claim
from server.store.units import Unit
from wire.activation import ActivationAnswer, verify_answer
from wire.errors import WireError
from wire.signing import SIGNATURE_LEN, Domain, public_key, verify


@dataclass(frozen=True, slots=True)
class Activated:
    """A valid receipt. Whoever has these values can check it offline: `python -m wire verify-receipt`."""

    act: int
    serial: int
    at: datetime
    boot: int
    uptime_s: int
    challenge: str
    answer: str
    owner_public_key: str
    tag_public_key: str


@dataclass(frozen=True, slots=True)
class OwnerProof:
    """A client with its own key signs the challenge too; for the key that the server keeps there is nothing to show."""

    custodial_key: bytes  # the public half of the account's key here; empty: it does not count
    signature: bytes | None = None


def check(
    tx: Connection, claim: Claim, answer: bytes, proof: OwnerProof, now: datetime
) -> tuple[Challenge, ActivationAnswer]:
    """The challenge of this claim that the answer belongs to.

    Refusals: receipt_invalid, challenge_old, owner_key_invalid.
    """
    unit = _unit(tx, claim.serial)
    for challenge in ownership.challenges_of(tx, claim.claim):
        try:
            stated = verify_answer(unit.public_key, challenge.challenge, answer)
        except WireError as error:
            if error.code == "receipt_invalid":
                continue  # perhaps it answers an earlier challenge
            break
        if (stated.serial, stated.owner_hash) != (claim.serial, challenge.owner_hash):
            break
        if challenge.expires_at <= now:
            raise refuse("challenge_old", reference=claim.claim)
        _check_owner(claim, challenge, proof)
        return challenge, stated
    raise refuse("receipt_invalid", reference=claim.claim)


def _check_owner(claim: Claim, challenge: Challenge, proof: OwnerProof) -> None:
    signature = proof.signature
    if challenge.owner_public_key == proof.custodial_key and signature is None:
        return
    if signature is None:
        raise refuse("owner_key_invalid", reference=claim.claim)
    try:
        if len(signature) != SIGNATURE_LEN:
            raise WireError("truncated", "a signature has 64 bytes")
        verify(public_key(challenge.owner_public_key), Domain.OWNER_CHALLENGE, signature + challenge.challenge)
    except WireError:
        raise refuse("owner_key_invalid", reference=claim.claim) from None


def keep(
    tx: Connection,
    claim: Claim,
    challenge: Challenge,
    answer: bytes,
    stated: ActivationAnswer,
    actor: str,
    now: datetime,
) -> Activated:
    """Write the receipt into the ledger of acts, and the answer beside its challenge."""
    payload = {
        "claim": claim.claim,
        "receipt": (challenge.challenge + answer).hex(),
        "challenge": challenge.challenge.hex(),
        "answer": answer.hex(),
        "owner_public_key": challenge.owner_public_key.hex(),
        "boot": stated.boot,
        "uptime_s": stated.uptime_s,
    }
    no = acts.add(tx, NewAct(ActKind.ACTIVATED, now, claim.account_no, actor, claim.serial, payload=payload), now)
    ownership.settle_challenge(tx, challenge.challenge, answer, now)
    return _activated(no, now, payload, _unit(tx, claim.serial))


def of_claim(tx: Connection, claim: Claim) -> Activated | None:
    """The newest receipt that this claim led to."""
    found = [act for act in _activations(tx, claim.serial) if act.payload.get("claim") == claim.claim]
    return _of_act(tx, found[-1]) if found else None


def of_answer(tx: Connection, claim: Claim, answer: bytes) -> Activated | None:
    """The receipt that this very answer made before."""
    for act in _activations(tx, claim.serial):
        if act.payload.get("claim") == claim.claim and act.payload.get("answer") == answer.hex():
            return _of_act(tx, act)
    return None


def of_owner(tx: Connection, serial: int, account_no: int, since: datetime) -> Activated | None:
    """The newest receipt of this tag for this account. One from before `since` is of an earlier ownership of theirs."""
    found = acts.receipt_of(tx, serial, account_no)
    return _of_act(tx, found) if found and found.at >= since else None


def _activations(tx: Connection, serial: int) -> list[StoredAct]:
    return [act for act in acts.of_serials(tx, [serial]) if act.kind is ActKind.ACTIVATED]


def _of_act(tx: Connection, act: StoredAct) -> Activated:
    assert act.serial is not None, "an activation is of a tag"
    return _activated(act.no, act.at.astimezone(UTC), act.payload, _unit(tx, act.serial))


def _activated(no: int, at: datetime, payload: acts.JsonObject, unit: Unit) -> Activated:
    boot, uptime_s = payload["boot"], payload["uptime_s"]
    assert isinstance(boot, int), "written by keep"
    assert isinstance(uptime_s, int), "written by keep"
    return Activated(
        act=no,
        serial=unit.serial,
        at=at,
        boot=boot,
        uptime_s=uptime_s,
        challenge=str(payload["challenge"]),
        answer=str(payload["answer"]),
        owner_public_key=str(payload["owner_public_key"]),
        tag_public_key=unit.public_key.hex(),
    )


def _unit(tx: Connection, serial: int) -> Unit:
    unit = units.by_serial(tx, serial)
    assert unit is not None, "a claim is made for a unit that exists"
    return unit
