"""The four steps of a claim as a laptop speaks them with the server, over HTTPS with an owner's API token.

    POST /api/v1/claims {code}                                        → {claim_id, serial, …}
    POST /api/v1/claims/{id}/candidates {frames}                      → {index}       or refused: tag_not_heard
    POST /api/v1/claims/{id}/nonce {nonce, owner_public_key, cleared} → {step, write, challenge}
    POST /api/v1/claims/{id}/answer {answer, owner_signature}         → {tag_public_key, …}

All bytes are hex. Step `clear` makes the tag forget a former owner; then comes another nonce, with `cleared` true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import httpx
import msgspec
from msgspec import Meta

from gateway.errors import Refusal
from gateway.talk import TIMEOUT_S, refusal_of, tls

PATH: Final = "/api/v1/claims"
# No answer of these is longer; a server that sends more is none of ours.
MAX_BYTES: Final = 64 * 1024
T = TypeVar("T")


class Claim(msgspec.Struct):
    """A claim that has begun. It blocks nobody until the tag has signed."""

    claim_id: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
    serial: int


class _Ready(msgspec.Struct):
    step: str
    write: str
    challenge: str | None


@dataclass(frozen=True, slots=True)
class ReadyWrite:
    """What to write to the tag. Without a challenge it only makes the tag forget a former owner."""

    message: bytes
    challenge: bytes | None


class Settled(msgspec.Struct):
    """The tag's answer was valid. Its public key is for checking the receipt without the server."""

    serial: int
    tag_public_key: str


class _Index(msgspec.Struct):
    index: int


class ClaimTalk:
    """One account's conversation with one server. Every call raises Refusal."""

    def __init__(self, url: str, token: str, ca_file: Path | None) -> None:
        headers = {"authorization": f"Bearer {token}"}
        self._url = url
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, verify=tls(ca_file), headers=headers)

    async def close(self) -> None:
        await self._http.aclose()

    async def start(self, code: str) -> Claim:
        return await self._post(PATH, {"code": code}, Claim)

    async def choose(self, claim: Claim, frames: Sequence[bytes]) -> int:
        """Which of these frames is the tag's."""
        found = await self._post(_of(claim, "candidates"), {"frames": [frame.hex() for frame in frames]}, _Index)
        if not 0 <= found.index < len(frames):
            raise Refusal("server_error", "the server chose a frame that was not offered", "Tell the operator.")
        return found.index

    async def ready_write(self, claim: Claim, nonce: bytes, owner_public_key: bytes, *, cleared: bool) -> ReadyWrite:
        asked = {"nonce": nonce.hex(), "owner_public_key": owner_public_key.hex(), "cleared": cleared}
        ready = await self._post(_of(claim, "nonce"), asked, _Ready)
        try:
            challenge = None if ready.step == "clear" or ready.challenge is None else bytes.fromhex(ready.challenge)
            return ReadyWrite(bytes.fromhex(ready.write), challenge)
        except ValueError:
            raise _foreign(self._url) from None

    async def settle(self, claim: Claim, answer: bytes, owner_signature: bytes) -> Settled:
        told = {"answer": answer.hex(), "owner_signature": owner_signature.hex()}
        return await self._post(_of(claim, "answer"), told, Settled)

    async def _post(self, path: str, body: dict[str, Any], kind: type[T]) -> T:
        try:
            answer = await self._http.post(path, json=body)
        except httpx.HTTPError as error:
            raise Refusal(
                "server_unreachable",
                f"{self._url} does not answer: {type(error).__name__} {error}",
                "Check the address (--server) and the network.",
            ) from None
        if answer.is_error:
            raise refusal_of(answer)
        try:
            if len(answer.content) > MAX_BYTES:
                raise ValueError("too long")
            return msgspec.json.decode(answer.content, type=kind)
        except (msgspec.DecodeError, ValueError):
            raise _foreign(self._url) from None


def _foreign(url: str) -> Refusal:
    return Refusal("server_error", f"{url} does not speak our language", "Check the address (--server).")


def _of(claim: Claim, step: str) -> str:
    return f"{PATH}/{claim.claim_id}/{step}"
