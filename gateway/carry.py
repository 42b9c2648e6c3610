"""The dialogue in which a gateway carries an activation, seen from the gateway. Pure: bytes in, orders or WireErrors.

Commands are believed only if the pinned key signed them, they are for us, have not expired and were not seen before;
sequences only grow, also over our own restarts (`last_command` is kept in the outbox). Answers get a sequence of ours.

    find ─▶ candidates      connect ─▶ nonce      write ─▶ result      any ─▶ failed(code)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.collector import Candidate
from wire.command import (
    LIFETIME_MS,
    MAX_CANDIDATES,
    Answer,
    Candidates,
    Command,
    Reply,
    decode_command,
    encode_answer,
)
from wire.errors import WireError
from wire.signing import Domain, sign, verify

# A command from a server whose clock runs ahead of ours by more than this would stay fresh for too long.
AHEAD_MAX_MS: Final = 10 * LIFETIME_MS


@dataclass(slots=True)
class Dialogue:
    """What one gateway remembers of its commands and answers."""

    gateway: str
    key: Ed25519PrivateKey
    server_key: Ed25519PublicKey
    last_command: int = -1
    last_answer: int = -1

    def open(self, payload: bytes, now_ms: int) -> Command:
        """A command to be obeyed now; it will not be a second time.

        Raises WireError: `signature`, `truncated`, `malformed`, `oversized`, `command_gateway`, `command_expired`,
        `command_ahead`, `command_repeated`.
        """
        command = decode_command(verify(self.server_key, Domain.COMMAND, payload))
        if command.gateway != self.gateway:
            raise WireError("command_gateway", "the command is for another gateway")
        if command.expires_ms <= now_ms:
            raise WireError("command_expired", "the command came too late")
        if command.expires_ms > now_ms + AHEAD_MAX_MS:
            raise WireError("command_ahead", "the command would be good for too long")
        if command.sequence <= self.last_command:
            raise WireError("command_repeated", "the command was given before")
        self.last_command = command.sequence
        return command

    def answer(self, reply: Reply, now_ms: int) -> bytes:
        """Signed bytes to publish. The sequence comes from the clock, as the server's does, and only grows."""
        self.last_answer = max(self.last_answer + 1, now_ms * 1_000)
        answer = Answer(self.gateway, self.last_answer, now_ms + LIFETIME_MS, reply)
        return sign(self.key, Domain.ANSWER, encode_answer(answer))


def candidates(session: bytes, near: Sequence[Candidate]) -> Candidates:
    """What we hear, strongest first, for the server to choose from."""
    return Candidates(session, tuple(candidate.frame for candidate in near[:MAX_CANDIDATES]))
