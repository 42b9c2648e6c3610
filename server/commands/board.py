"""Every conversation with a gateway: signs its orders, checks the answers, and gives each to the session it belongs to.

The one place where commands are signed and answers believed, whoever speaks: the dialogue of a managed claim
(`carrier`) or an owner's own client (`relay`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from prometheus_client import Counter

from server.service.refusals import refuse
from wire.command import LIFETIME_MS, Answer, Command, Order, Reply, decode_answer, encode_command
from wire.errors import WireError
from wire.signing import Domain, sign, verify

# A gateway keeps a silent connection for half a minute and works at one step for as long. Smaller: the next "which tags
# do you hear" cuts somebody off in mid-sentence. Larger: whoever went away keeps others from that gateway.
HELD_FOR: Final = timedelta(seconds=45)
ANSWERS_REFUSED: Final = Counter(
    "hearsight_answers_refused_total", "Answers of gateways refused, by reason", ["reason"]
)
for _reason in ("no_session", "out_of_turn"):
    ANSWERS_REFUSED.labels(_reason)
Take = Callable[[Reply], bool]


@dataclass(slots=True)
class _Session:
    gateway: str
    take: Take
    used_at: datetime


class Board:
    """All sessions of this process. `open` and `order` are for whoever speaks, `on_answer` for the link's worker."""

    def __init__(
        self,
        gateway_key: Callable[[str], Ed25519PublicKey | None],
        send: Callable[[str, bytes], bool],
        server_key: Ed25519PrivateKey,
        *,
        dice: Callable[[int], bytes],
        clock: Callable[[], datetime],
    ) -> None:
        self._gateway_key, self._send, self._key = gateway_key, send, server_key
        self._dice, self._clock = dice, clock
        self._sessions: dict[bytes, _Session] = {}
        self._heard: dict[str, int] = {}  # the last sequence of each gateway: a repeated answer is refused
        self._sequence = 0
        self._lock = threading.Lock()

    def open(self, gateway: str, take: Take) -> bytes:
        """A new session. `take` says of each reply whether it was waited for. Refusals: carry_busy.

        Whoever said nothing for `HELD_FOR` loses the gateway: their next word would cut this conversation off.
        """
        now = self._clock()
        with self._lock:
            before = {key: held for key, held in self._sessions.items() if held.gateway == gateway}
            if any(now < held.used_at + HELD_FOR for held in before.values()):
                raise refuse("carry_busy", reference=gateway)
            for silent in before:
                del self._sessions[silent]
            session = self._dice(16)
            self._sessions[session] = _Session(gateway, take, now)
        return session

    def close(self, session: bytes) -> None:
        """What still comes for it is refused."""
        with self._lock:
            self._sessions.pop(session, None)

    def holds(self, session: bytes) -> bool:
        """Whether a session still has its gateway."""
        with self._lock:
            return session in self._sessions

    def order(self, gateway: str, order: Order) -> bool:
        """Sign and send; False if there is no line to the broker, or the session has lost its gateway."""
        with self._lock:
            now = self._clock()
            now_us = int(now.timestamp() * 1_000_000)
            self._sequence = sequence = max(self._sequence + 1, now_us)
            session = self._sessions.get(order.session)
            if session is None or session.gateway != gateway:
                return False
            session.used_at = now
        command = Command(gateway, sequence, now_us // 1000 + LIFETIME_MS, order)
        return self._send(gateway, sign(self._key, Domain.COMMAND, encode_command(command)))

    def on_answer(self, gateway: str, payload: bytes) -> None:
        """An answer from a gateway; one that is not genuine, not fresh or not expected is counted and dropped."""
        now = self._clock()
        try:
            answer = self._open_answer(gateway, payload, now)
        except WireError as error:
            ANSWERS_REFUSED.labels(error.code).inc()
            return
        with self._lock:
            session = self._sessions.get(answer.body.session)
            if session is not None and session.gateway == gateway:
                session.used_at = now
        if session is None or session.gateway != gateway:
            ANSWERS_REFUSED.labels("no_session").inc()
        elif not session.take(answer.body):
            ANSWERS_REFUSED.labels("out_of_turn").inc()

    def _open_answer(self, gateway: str, payload: bytes, now: datetime) -> Answer:
        key = self._gateway_key(gateway)
        if key is None:
            raise WireError("gateway_unknown", "no gateway of this name is enrolled")
        answer = decode_answer(verify(key, Domain.ANSWER, payload))
        if answer.gateway != gateway:
            raise WireError("topic", "the answer came on another gateway's topic")
        if answer.expires_ms <= now.timestamp() * 1000:
            raise WireError("expired", "the answer is too old")
        # Also a made-up far future is refused: it would shut out every later answer of this gateway.
        if answer.expires_ms > (now + timedelta(milliseconds=10 * LIFETIME_MS)).timestamp() * 1000:
            raise WireError("ahead", "the answer ends too far in the future")
        with self._lock:
            if answer.sequence <= self._heard.get(gateway, -1):
                raise WireError("repeated", "the answer came before")
            self._heard[gateway] = answer.sequence
        return answer
