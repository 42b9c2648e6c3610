"""An owner's own client speaks with a tag through a gateway: step by step, each call waiting for the gateway's answer.

The server passes on what it can neither make nor read. A line that was not answered in time is closed, not used again:
an answer that comes late then belongs to nothing, and can never be taken for that to a later question.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from server.commands.board import Board
from server.commands.dialogue import told
from server.refusal import Refusal
from server.service.refusals import refuse
from server.service.relaying import Line
from wire.command import Candidates, Connect, Failed, Find, Nonce, Order, Reply, Result, Write

LIVES_FOR: Final = timedelta(minutes=5)
FIND_S: Final = 20.0
# A gateway tries to connect for 30 s, and a person walks to the shelf meanwhile.
STEP_S: Final = 35.0
# Each that waits holds one of the web's forty threads: pages must keep most of them.
WAITING_MAX: Final = 8
# Lines that wait for nothing hold a few hundred bytes, and their gateway for less than a minute.
LINES_MAX: Final = 200
_R = TypeVar("_R", Candidates, Nonce, Result)


class Near(Protocol):
    """What a relay needs of the registry of gateways."""

    def gateway_near(self, serial: int, wanted: str | None) -> str:
        """The gateway asked for, or the one that heard the tag last. Refusals: gateway_unreachable, tag_not_heard."""
        ...  # pragma: no cover - a protocol

    def visible(self, serial: int, frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Those frames that whoever speaks with this tag may see."""
        ...  # pragma: no cover - a protocol


@dataclass(slots=True)
class _Open:
    relay_id: str
    account_no: int
    gateway: str
    session: bytes
    until: datetime
    frames: frozenset[bytes] = frozenset()
    waits_for: type[Candidates] | type[Nonce] | type[Result] | None = None
    connected: bool = False
    replies: queue.SimpleQueue[Reply | None] = field(default_factory=queue.SimpleQueue)


class GatewayRelays:
    """All lines of this process: at most one an account."""

    def __init__(
        self,
        near: Near,
        board: Board,
        *,
        dice: Callable[[int], bytes],
        clock: Callable[[], datetime],
        find_s: float = FIND_S,
        step_s: float = STEP_S,
    ) -> None:
        self._near, self._board, self._dice, self._clock = near, board, dice, clock
        self._find_s, self._step_s = find_s, step_s
        self._open: dict[str, _Open] = {}
        self._lock = threading.RLock()
        self._waiting = threading.BoundedSemaphore(WAITING_MAX)

    def open(self, account_no: int, serial: int, gateway: str | None) -> Line:
        """Ask a gateway what it hears. Another line of the account ends.

        Refusals: gateway_unreachable, tag_not_heard, carry_busy, relay_full.
        """
        chosen = self._near.gateway_near(serial, gateway)
        self.expire()
        with self._lock:
            for mine in [each for each in self._open.values() if each.account_no == account_no]:
                self._end(mine)
            if len(self._open) >= LINES_MAX:
                raise refuse("relay_full")
            session = self._board.open(chosen, self._take)
            relay_id, until = self._dice(16).hex(), self._clock() + LIVES_FOR
            opened = self._open[relay_id] = _Open(relay_id, account_no, chosen, session, until)
        try:
            heard = self._ask(opened, Find(session), Candidates, self._find_s)
        except Refusal:
            self._end(opened)
            raise
        frames = self._near.visible(serial, heard.frames)
        opened.frames = frozenset(frames)
        return Line(relay_id, chosen, frames)

    def connect(self, account_no: int, relay_id: str, frame: bytes) -> bytes:
        """Connect to the tag that sent this frame, and read a nonce; on the open connection the next one.

        Refusals: relay_unknown, carry_busy, relay_full, gateway_unreachable, and what the gateway says of the tag.
        """
        opened = self._mine(account_no, relay_id)
        if frame not in opened.frames:
            raise refuse("tag_not_heard", reference=relay_id)
        opened.connected = True
        return self._ask(opened, Connect(opened.session, frame), Nonce, self._step_s).nonce

    def write(self, account_no: int, relay_id: str, message: bytes) -> bytes:
        """Write a whole message to the tag; what it answers. Refusals as for `connect`."""
        opened = self._mine(account_no, relay_id)
        return self._ask(opened, Write(opened.session, message), Result, self._step_s).answer

    def close(self, account_no: int, relay_id: str) -> None:
        """End a line, and let the gateway hang up. Refusals: relay_unknown."""
        self._end(self._mine(account_no, relay_id))

    def expire(self) -> None:
        """End the lines that are too old."""
        now = self._clock()
        with self._lock:
            for old in [each for each in self._open.values() if each.until <= now]:
                self._end(old)

    def _mine(self, account_no: int, relay_id: str) -> _Open:
        self.expire()
        with self._lock:
            opened = self._open.get(relay_id)
        if opened is None or opened.account_no != account_no:
            raise refuse("relay_unknown", reference=relay_id)
        return opened

    def _ask(self, opened: _Open, order: Order, wanted: type[_R], patience_s: float) -> _R:
        """Send an order and wait for the one kind of reply that belongs to it."""
        if not self._waiting.acquire(blocking=False):
            raise refuse("relay_full")
        try:
            with self._lock:
                if not self._board.holds(opened.session):  # it said nothing for long, and somebody else speaks there
                    self._end(opened)
                if self._open.get(opened.relay_id) is not opened:
                    raise refuse("relay_unknown", reference=opened.relay_id)
                if opened.waits_for is not None:
                    raise refuse("carry_busy", reference=opened.relay_id)
                opened.waits_for = wanted
            if not self._board.order(opened.gateway, order):
                self._end(opened)
                raise refuse("gateway_unreachable", reference=opened.relay_id)
            reply = opened.replies.get(timeout=patience_s)
        except queue.Empty:
            self._end(opened)
            raise refuse("gateway_unreachable", reference=opened.relay_id) from None
        finally:
            self._waiting.release()
        if reply is None:  # ended meanwhile, by its owner or its age
            raise refuse("relay_unknown", reference=opened.relay_id)
        if isinstance(reply, Failed):
            raise refuse(told(reply), reference=opened.relay_id)
        assert isinstance(reply, wanted), "nothing else was let in"
        return reply

    def _take(self, reply: Reply) -> bool:
        """Whether somebody waits for this."""
        with self._lock:
            opened = next((each for each in self._open.values() if each.session == reply.session), None)
            if opened is None or opened.waits_for is None or not isinstance(reply, (opened.waits_for, Failed)):
                return False
            opened.waits_for = None
            opened.replies.put(reply)
        return True

    def _end(self, opened: _Open) -> None:
        with self._lock:
            if self._open.pop(opened.relay_id, None) is None:
                return
            if opened.connected:  # a gateway that is asked what it hears hangs up; nobody waits for what it says
                self._board.order(opened.gateway, Find(opened.session))
            self._board.close(opened.session)
            if opened.waits_for is not None:
                opened.replies.put(None)
