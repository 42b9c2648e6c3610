"""Carries activations between the server and tags: obeys the orders of carry.py with the radio.

One tag at a time. From *connect* until the tag has answered (or was given up) the scan is paused, so every step has a
limit: a gateway whose server went away in mid-sentence must not stay deaf. After an activation the scan goes on at once
and the connection stays for a while: whoever claims privately sets the owner next, and the tag says its next frame half
a minute later. The next *find* ends it, too.

Whoever keeps the gateway may forbid all of it: then every order fails with `carry_refused`.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from gateway.carry import candidates
from gateway.reach import Reach
from gateway.tagclient import TagClient, TagError
from wire.command import Connect, Failed, Find, Nonce, Order, Reply, Result, Write
from wire.gatt import Op

# The server makes the message within a second; a person presses the button meanwhile.
HOLD_S: Final = 30.0


@dataclass(slots=True)
class _Held:
    """The tag we are connected to, for one session; `quiet` pauses the scan, unless we listen again."""

    session: bytes
    tag: TagClient
    stack: AsyncExitStack
    quiet: AsyncExitStack
    listening: bool = False


class Carrier:
    """Obeys one order after the other. `obey` must not be called twice at a time."""

    def __init__(self, reach: Reach, *, allowed: bool, log: Any) -> None:
        self._reach, self._allowed = reach, allowed
        self._log = log
        self._offered: dict[bytes, str] = {}  # frame → address of the last candidates
        self._held: _Held | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._hanging_up: asyncio.Task[None] | None = None

    async def obey(self, order: Order) -> Reply:
        """What to answer. Never raises for anything that a tag does."""
        if not self._allowed:
            return Failed(order.session, "carry_refused")
        if self._patience is not None:
            self._patience.cancel()
        try:
            return await self._obey(order)
        except TagError as error:
            self._log.warning("carry_failed", code=error.code, message=str(error), att=error.att)
            await self.hang_up()
            return Failed(order.session, error.code)

    async def _obey(self, order: Order) -> Reply:
        if isinstance(order, Find):
            await self.hang_up()
            near = self._reach.collector.candidates(self._reach.steady_ns())
            self._offered = {candidate.frame: candidate.address for candidate in near}
            return candidates(order.session, near)
        if isinstance(order, Connect):
            return await self._connect(order)
        return await self._write(order)

    async def _connect(self, order: Connect) -> Reply:
        held = self._held
        if held is None or held.session != order.session or not held.tag.connected:
            await self.hang_up()
            address = self._offered.get(order.frame)
            if address is None:
                return Failed(order.session, "tag_not_heard")
            stack, quiet = AsyncExitStack(), AsyncExitStack()
            tag = await stack.enter_async_context(self._reach.connected(address, quiet))
            held = self._held = _Held(order.session, tag, stack, quiet)
        elif held.listening:
            held.listening = False
            await self._reach.hush(held.quiet)
        nonce = await held.tag.nonce()
        self._hold()
        return Nonce(order.session, nonce)

    async def _write(self, order: Write) -> Reply:
        held = self._held
        if held is None or held.session != order.session:
            return Failed(order.session, "not_reachable")
        reply = await held.tag.say(order.message)
        if order.message[0] in (Op.STATE, Op.CLEAR, Op.SET_OWNER):
            # More will come: what the state was asked for, an activation after clearing, the next step of a list.
            self._hold()
        elif order.message[0] == Op.ACTIVATE:
            self._hold()  # more may come
            held.listening = True
            await held.quiet.aclose()
        else:
            await self.hang_up()
        return Result(order.session, reply)

    def _hold(self) -> None:
        """Wait for the next order of this session, but not for ever."""
        self._patience = asyncio.get_running_loop().call_later(HOLD_S, self._give_up)

    def _give_up(self) -> None:
        self._hanging_up = asyncio.ensure_future(self.hang_up())

    async def hang_up(self) -> None:
        """Disconnect and let the scan go on."""
        held, self._held = self._held, None
        if held is not None:
            await held.stack.aclose()
