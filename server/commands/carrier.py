"""Managed claims on their way through gateways: keeps who waits for what, and lets the dialogue say what comes next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from server.commands.board import Board
from server.commands.dialogue import Carrying, Desk, Ended, begin, proceed
from server.refusal import Refusal
from server.service.refusals import refuse
from wire.command import Reply

# More claims at one moment than a trade fair sees; each holds a few hundred bytes.
CARRYINGS_MAX: Final = 1_000


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


@dataclass(slots=True)
class _Open:
    claim_id: str
    account_no: int
    carrying: Carrying


class GatewayCarrier:
    """Carries claims to tags. `carry` is called by the web, replies come from the board, `expire` by the clock."""

    def __init__(self, claims: Claims, board: Board, *, clock: Callable[[], datetime], log: Callable[..., Any]) -> None:
        self._claims, self._board, self._clock, self._log = claims, board, clock, log
        self._open: dict[bytes, _Open] = {}
        self._lock = threading.RLock()

    def carry(self, claim_id: str, account_no: int, gateway: str | None) -> str:
        """Start the dialogue and return the gateway's id at once. Refusals: gateway_unreachable, carry_busy."""
        chosen = self._claims.choose_gateway(claim_id, gateway)
        self.expire()
        with self._lock:
            if len(self._open) >= CARRYINGS_MAX:
                raise refuse("carry_busy", reference=claim_id)
            self._claims.begin(claim_id)
            try:
                session = self._board.open(chosen, self._take)
            except Refusal as refusal:
                self._claims.end(claim_id, refusal.code)
                raise
            carrying, order = begin(session, chosen, self._clock())
            self._open[session] = _Open(claim_id, account_no, carrying)
            if not self._board.order(chosen, order):
                self._end(session, "gateway_unreachable")
                raise refuse("gateway_unreachable", reference=claim_id)
        return chosen

    def expire(self) -> None:
        """End what a gateway let lie."""
        now = self._clock()
        with self._lock:
            for session in [key for key, opened in self._open.items() if opened.carrying.until <= now]:
                self._end(session, "gateway_unreachable")

    def _take(self, reply: Reply) -> bool:
        with self._lock:
            opened = self._open.get(reply.session)
            return opened is not None and self._advance(opened, reply)

    def _advance(self, opened: _Open, reply: Reply) -> bool:
        """Whether the reply was waited for."""
        desk = self._claims.desk(opened.claim_id, opened.account_no)
        try:
            step = proceed(opened.carrying, reply, desk, self._clock())
        except Refusal as refusal:
            self._end(reply.session, refusal.code)
            return True
        if isinstance(step, Ended):
            self._end(reply.session, step.code)
        elif step is not None:
            opened.carrying, order = step
            if not self._board.order(opened.carrying.gateway, order):
                self._end(reply.session, "gateway_unreachable")
        return step is not None

    def _end(self, session: bytes, code: str | None) -> None:
        opened = self._open.pop(session)
        self._board.close(session)
        self._claims.end(opened.claim_id, code)
        self._log("carry_ended", claim=opened.claim_id, gateway=opened.carrying.gateway, code=code or "activated")
