"""Claiming a tag from the owner's own machine: privately, so that only the owner's keys open its places, or managed.

    private   code ─▶ secret on disk, phrase ─▶ the tag signs ─▶ day keys to the server ─▶ list and K_own into the tag
    managed   code ─▶ the server does it, through a gateway

A private claim that was cut off goes on when it is begun again: the secret is on disk before anybody else learns of it,
and every later step may be done twice.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from owner import keyfile, keys, recognise
from owner.api import Api, RefusedError, foreign
from owner.errors import PrivateError
from owner.keyfile import Kept, Origin, Span
from owner.keys import BUNDLE_DAYS, BundleDay, TagSecret, day_of
from owner.phrase import SEED_LEN
from owner.radio import Radio
from owner.tagtalk import Edges, Find, Request, TagTalk
from wire.activation import CHALLENGE_LEN, activation_data, decode_answer, verify_answer
from wire.errors import WireError
from wire.frames import FrameType
from wire.gatt import ClearProof, Op
from wire.keys import claim_hash, owner_hash
from wire.signing import SIGNATURE_LEN, Domain, sign

# A carried claim takes a minute; its code serves for fifteen.
MANAGED_TRIES: Final = 150
MANAGED_EVERY_S: Final = 2.0
# What the server notes while a gateway carries a claim; any other step is the refusal that ended the carrying.
_GOING_ON: Final = frozenset({"code_accepted", "heard", "clearing", "asked", "activated"})
_CLAIM_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

Json = Mapping[str, Any]
RadioOf = Callable[[Json], Radio]
"""A radio about a claim (`claim_id`) or a tag (`serial`)."""


class Claim:
    """A claim under way, as the server knows it: it has the code's hash, and never the code."""

    def __init__(self, api: Api, begun: Json) -> None:
        self._api = api
        claim_id, serial = begun.get("claim_id"), begun.get("serial")
        if not isinstance(claim_id, str) or not _CLAIM_ID.fullmatch(claim_id):
            raise foreign()
        if not isinstance(serial, int) or not 0 <= serial < 2**40:
            raise foreign()
        self.claim_id, self.serial = claim_id, serial

    def choose(self, frames: Sequence[bytes]) -> int | None:
        """Which of these P frames is the claimed tag's; only the server has the key that opens them."""
        said = [at for at, frame in enumerate(frames) if recognise.kind_of(frame) is FrameType.PROVENANCE]
        if not said:
            return None
        try:
            told = self.post("candidates", {"frames": [frames[at].hex() for at in said]})
        except RefusedError as refused:
            if refused.code == "tag_not_heard":
                return None
            raise
        if not isinstance(told.get("index"), int) or not 0 <= told["index"] < len(said):
            raise foreign()
        return said[told["index"]]

    def post(self, step: str, body: Json) -> Json:
        told = self._api.post(f"/claims/{self.claim_id}/{step}", body)
        if not isinstance(told, dict):
            raise foreign()
        return told


def claim_privately(
    api: Api,
    folder: Path,
    k_claim: bytes,
    radio_of: RadioOf,
    edges: Edges,
    show: Callable[[TagSecret], None],
    *,
    anew: bool = False,
) -> Kept:
    """The whole way, or what is left of it; `show` gives the person the recovery phrase before the tag learns anything.

    `anew`: with a new secret, though there is one; whoever has that one reads no further.
    Raises RefusedError and PrivateError.
    """
    claim = Claim(api, api.post("/claims", {"claim_hash": claim_hash(k_claim).hex()}))
    ours = _mine(api, claim.serial)
    kept = _secret(folder, claim.serial, k_claim, edges, goes_on=ours is not None and not anew)
    show(kept.secret)
    talk = TagTalk(radio_of({"claim_id": claim.claim_id}), k_claim, _find(claim, kept.secret, edges), edges)
    try:
        # A secret without days has not been through: that the server calls the tag ours may be of an earlier secret.
        if kept.span is None or ours is None or not ours.get("private"):
            _activate(claim, kept.secret, talk)
            edges.say("The tag has signed: it is yours.")
        return give_days(api, folder, kept, talk, edges)
    finally:
        talk.close()


def give_days(api: Api, folder: Path, kept: Kept, talk: TagTalk, edges: Edges) -> Kept:
    """A year from today: keys to the server, identifiers to the tag, and then a note of it in the key file."""
    first_day = day_of(int(edges.now_s()))
    bundle = keys.claim_bundle(kept.secret, first_day)
    upload(api, kept.secret.serial, bundle, edges)
    talk.set_owner(kept.secret, first_day, keys.eids(bundle))
    before = kept.span
    begins = before.first_day if before and before.first_day <= first_day <= before.after else first_day
    kept = replace(kept, span=Span(begins, first_day + BUNDLE_DAYS - begins), origin=None)
    keyfile.amend(folder, kept)
    return kept


def upload(api: Api, serial: int, bundle: Sequence[BundleDay], edges: Edges) -> None:
    """Day keys and the hashes of fetch tokens. If today has another key, which stays, ours count from tomorrow."""
    try:
        _put_days(api, serial, bundle)
    except RefusedError as refused:
        if refused.code != "day_key_conflict":
            raise
        _put_days(api, serial, bundle[1:])
        edges.say("Today still has the keys of an earlier claim: places can be read from tomorrow (UTC) on.")


def _put_days(api: Api, serial: int, bundle: Sequence[BundleDay]) -> None:
    days = b"".join(each.public_key + each.fetch_hash for each in bundle)
    api.put(f"/tags/{serial}/keys", {"first_day": bundle[0].day, "days": base64.b64encode(days).decode()})


def claim_managed(
    api: Api,
    code: str,
    k_claim: bytes,
    secret: TagSecret | None,
    radio_of: RadioOf,
    gateway: str | None,
    edges: Edges,
) -> int:
    """Lets the server claim through a gateway; tells what happens and returns the serial. Raises RefusedError.

    A tag that is privately ours (`secret`) first has to forget us: what it says until then the server cannot tell.
    """
    claim = Claim(api, api.post("/claims", {"code": code}))
    if secret is not None:
        talk = TagTalk(radio_of({"claim_id": claim.claim_id}), k_claim, _find(claim, secret, edges), edges)
        try:
            if recognise.kind_of(talk.heard()) is not FrameType.PROVENANCE:
                talk.clear(secret)
        finally:
            talk.close()
    known = {_moment(step) for step in _state(api, claim)["steps"]}  # of earlier tries: the same code, the same claim
    carried = claim.post("carry", {"gateway": gateway})
    edges.say(f"Gateway {carried.get('gateway')} looks for the tag. Hold it near, and press its button when asked.")
    _watch(api, claim, known, edges)
    return claim.serial


def _watch(api: Api, claim: Claim, known: set[tuple[str, str]], edges: Edges) -> None:
    """Tells what is new until the tag has signed. Raises RefusedError: the gateway's reason, or `claim_expired`."""
    for _ in range(MANAGED_TRIES):
        state = _state(api, claim)
        new = [step for step in state["steps"] if _moment(step) not in known]
        known.update(map(_moment, new))
        for step in new:
            if step["step"] in _GOING_ON:
                edges.say(step["text"])
        if state["state"] == "activated":
            return
        ended = next((step for step in new if step["step"] not in _GOING_ON), None)
        if ended:
            raise RefusedError(ended["step"], ended["text"])
        if state["state"] == "expired":
            break
        edges.wait(MANAGED_EVERY_S)
    raise RefusedError("claim_expired", "The tag has not signed in time.", "Begin again, with the tag in hand.")


def _state(api: Api, claim: Claim) -> Any:
    return api.get(f"/claims/{claim.claim_id}")


def _moment(step: Json) -> tuple[str, str]:
    """Tells one step from another: what happens twice in a row stays one step, with a new moment."""
    return step["at"], step["step"]


def finder(secret: TagSecret, edges: Edges) -> Find:
    """Knows the frames of a tag that is privately ours."""
    return lambda frames: recognise.position(secret, frames, int(edges.now_s()))


def _find(claim: Claim, secret: TagSecret, edges: Edges) -> Find:
    """Our own frames are known here; P frames only to the server."""

    def find(frames: Sequence[bytes]) -> int | None:
        known = recognise.position(secret, frames, int(edges.now_s()))
        return claim.choose(frames) if known is None else known

    return find


def _mine(api: Api, serial: int) -> Json | None:
    """The caller's tag of that serial, None if it is none of theirs."""
    return next((tag for tag in api.get("/tags") if tag.get("serial") == serial), None)


def _secret(folder: Path, serial: int, k_claim: bytes, edges: Edges, *, goes_on: bool) -> Kept:
    """The secret to claim with. On disk, when this returns."""
    path = keyfile.path_of(folder, serial)
    if path.exists():
        kept = keyfile.read(path)
        if kept.k_claim not in (None, k_claim):  # a server that names another tag than the code's must not mix the two
            text = f"The keys in {path} were made with the code of another box."
            raise PrivateError("keys_code", text, "Type the code again; if it is right, move that file away.")
        if (goes_on and kept.origin is not Origin.GIVEN) or kept.origin is Origin.BEGUN:
            kept = replace(kept, k_claim=k_claim)
            keyfile.amend(folder, kept)
            return kept
        # It was ours once, or somebody else has it: whoever was given that secret must not read what comes now.
        edges.say(f"The keys that were here are kept in {keyfile.set_aside(folder, serial)}.")
    secret = TagSecret(serial, edges.dice(SEED_LEN))
    keyfile.save(folder, secret, Origin.BEGUN)
    kept = Kept(secret, k_claim, origin=Origin.BEGUN)
    keyfile.amend(folder, kept)
    return kept


def _activate(claim: Claim, secret: TagSecret, talk: TagTalk) -> None:
    """The tag signs the server's challenge for our key; ownership begins when the server has the answer."""
    public = secret.public_key
    challenge = b""

    def ready(nonce: bytes, cleared: bool) -> Request:
        nonlocal challenge
        if not challenge:
            asked = {"nonce": nonce.hex(), "owner_public_key": public.hex(), "cleared": cleared}
            told = claim.post("challenge", asked)
            if told.get("challenge") is None:
                return Op.CLEAR, bytes((ClearProof.RELEASE,)) + _bytes(told.get("release"), SIGNATURE_LEN)
            challenge = _bytes(told["challenge"], CHALLENGE_LEN)
        return Op.ACTIVATE, activation_data(challenge, owner_hash(public))

    answer = talk.activate(ready)
    _check(answer, secret, None, challenge)
    signature = sign(secret.signing_key, Domain.OWNER_CHALLENGE, challenge)[:SIGNATURE_LEN]
    settled = claim.post("answer", {"answer": answer.hex(), "owner_signature": signature.hex()})
    _check(answer, secret, _bytes(settled.get("tag_public_key"), 32), challenge)


def _check(answer: bytes, secret: TagSecret, tag_public_key: bytes | None, challenge: bytes) -> None:
    """The answer names this tag and our key, and is signed by the tag. Raises PrivateError `receipt_invalid`."""
    try:
        stated = verify_answer(tag_public_key, challenge, answer) if tag_public_key else decode_answer(answer)
    except WireError:
        stated = None
    if stated is None or (stated.serial, stated.owner_hash) != (secret.serial, owner_hash(secret.public_key)):
        raise PrivateError(
            "receipt_invalid", "The answer was not made by this tag for you.", "Begin again; tell the operator."
        )


def _bytes(text: object, length: int) -> bytes:
    try:
        value = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        value = b""
    if len(value) != length:
        raise foreign()
    return value
