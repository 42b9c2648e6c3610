"""Claims on their way through gateways: signs and sends the orders, checks the answers, keeps who waits for what."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from prometheus_client import Counter

from server.commands.dialogue import Carrying, Desk, Ended, begin, proceed
from server.refusal import Refusal
from server.service.refusals import refuse
from wire.command import LIFETIME_MS, Answer, Command, Order, decode_answer, encode_command
from wire.errors import WireError
from wire.signing import Domain, sign, verify

# More claims at one moment than a trade fair sees; each holds a few hundred bytes.
CARRYINGS_MAX: Final = 1_000
ANSWERS_REFUSED: Final = Counter(
    "hearsight_answers_refused_total", "Answers of gateways refused, by reason", ["reason"]
)
for _reason in ("no_session", "out_of_turn"):
    ANSWERS_REFUSED.labels(_reason)


class Claims(Protocol):
    """What the carrier needs of the claim service and of the registry of gateways."""

    def desk(self, claim_id: str, account_no: int) -> Desk:
        """The claim, as the dialogue asks for it."""
        ...  # pragma: no cover - a protocol

    def begin(self, claim_id: str) -> None:
        """One carrier at a time. Refusals: claim_expired, carry_busy."""
        ...  # pragma: no cover - a protocol

    def end(self, claim_id: str, code: str | None) -> None:
        """The carrying is over; `code` tells what went wrong."""
        ...  # pragma: no cover - a protocol

    def choose_gateway(self, claim_id: str, wanted: str | None) -> str:
        """The gateway asked for, or the one that heard the tag last. Refusals: gateway_unreachable."""
        ...  # pragma: no cover - a protocol

    def gateway_key(self, gateway: str) -> Ed25519PublicKey | None:
        """The key that signs this gateway's answers; None if it is unknown or revoked."""
        ...  # pragma: no cover - a protocol


@dataclass(slots=True)
class _Open:
    claim_id: str
    account_no: int
    carrying: Carrying


class GatewayCarrier:
    """Carries claims to tags. `carry` is called by the web, `on_answer` by the link's worker, `expire` by the clock."""

    def __init__(
        self,
        claims: Claims,
        send: Callable[[str, bytes], bool],
        server_key: Ed25519PrivateKey,
        *,
        dice: Callable[[int], bytes],
        clock: Callable[[], datetime],
        log: Callable[..., Any],
    ) -> None:
        self._claims, self._send, self._key = claims, send, server_key
        self._dice, self._clock, self._log = dice, clock, log
        self._open: dict[bytes, _Open] = {}
        self._heard: dict[str, int] = {}  # the last sequence of each gateway: a repeated answer is refused
        self._sequence = 0
        self._lock = threading.RLock()

    def carry(self, claim_id: str, account_no: int, gateway: str | None) -> str:
        """Start the dialogue and return the gateway's id at once. Refusals: gateway_unreachable, carry_busy."""
        chosen = self._claims.choose_gateway(claim_id, gateway)
        self.expire()
        with self._lock:
            if len(self._open) >= CARRYINGS_MAX:
                raise refuse("carry_busy", reference=claim_id)
            self._claims.begin(claim_id)
            session = self._dice(16)
            carrying, order = begin(session, chosen, self._clock())
            self._open[session] = _Open(claim_id, account_no, carrying)
            if not self._order(chosen, order):
                self._end(session, "gateway_unreachable")
                raise refuse("gateway_unreachable", reference=claim_id)
        return chosen

    def on_answer(self, gateway: str, payload: bytes) -> None:
        """An answer from a gateway; one that is not genuine, not fresh or not expected is counted and dropped."""
        now = self._clock()
        try:
            answer = self._open_answer(gateway, payload, now)
        except WireError as error:
            ANSWERS_REFUSED.labels(error.code).inc()
            return
        with self._lock:
            opened = self._open.get(answer.body.session)
            if opened is None or opened.carrying.gateway != gateway:
                ANSWERS_REFUSED.labels("no_session").inc()
                return
            self._advance(opened, answer, now)

    def expire(self) -> None:
        """End what a gateway let lie."""
        now = self._clock()
        with self._lock:
            for session in [key for key, opened in self._open.items() if opened.carrying.until <= now]:
                self._end(session, "gateway_unreachable")

    def _advance(self, opened: _Open, answer: Answer, now: datetime) -> None:
        session = answer.body.session
        desk = self._claims.desk(opened.claim_id, opened.account_no)
        try:
            step = proceed(opened.carrying, answer.body, desk, now)
        except Refusal as refusal:
            self._end(session, refusal.code)
            return
        if step is None:
            ANSWERS_REFUSED.labels("out_of_turn").inc()
        elif isinstance(step, Ended):
            self._end(session, step.code)
        else:
            opened.carrying, order = step
            if not self._order(opened.carrying.gateway, order):
                self._end(session, "gateway_unreachable")

    def _end(self, session: bytes, code: str | None) -> None:
        opened = self._open.pop(session)
        self._claims.end(opened.claim_id, code)
        self._log("carry_ended", claim=opened.claim_id, gateway=opened.carrying.gateway, code=code or "activated")

    def _order(self, gateway: str, order: Order) -> bool:
        now_us = int(self._clock().timestamp() * 1_000_000)
        self._sequence = max(self._sequence + 1, now_us)
        command = Command(gateway, self._sequence, now_us // 1000 + LIFETIME_MS, order)
        return self._send(gateway, sign(self._key, Domain.COMMAND, encode_command(command)))

    def _open_answer(self, gateway: str, payload: bytes, now: datetime) -> Answer:
        key = self._claims.gateway_key(gateway)
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
