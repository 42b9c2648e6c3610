"""Activating a tag from any laptop: the code from the box, the laptop's own radio, the tag in hand.

    code ─▶ server      frames heard ─▶ server ─▶ which one      nonce ─▶ server ─▶ message ─▶ tag ─▶ receipt ─▶ server

The laptop keeps the owner's key: the server learns its public half only, and the tag's receipt names its hash.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.claim_http import Claim, ClaimTalk, ReadyWrite
from gateway.collector import Candidate, Collector
from gateway.edges import Edges
from gateway.enrolled import load_or_make_key
from gateway.errors import Refusal
from gateway.reach import Reach
from gateway.scan import Radio
from gateway.supervise import Supervisor
from gateway.tagclient import TagClient, TagError
from wire.activation import activation_data
from wire.claim_code import decode_claim_code
from wire.command import MAX_CANDIDATES
from wire.errors import WireError
from wire.gatt import CONSENT_S, Message, Op, decode_message, decode_reply
from wire.keys import owner_hash
from wire.signing import SIGNATURE_LEN, Domain, sign

# A tag in transit beacons every 10 s, one at rest every 30 s.
HEAR_S: Final = 90.0
ASK_EVERY_S: Final = 2.0
# Each attempt costs a challenge on the server; a person needs some seconds to find the button.
PRESS_AGAIN_S: Final = 4.0
SILENCE_S: Final = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person asked for."""

    code: str
    server: str
    token: str
    owner_key: Path
    adapter: str | None
    network_id: int
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Activated:
    """The tag has signed. `challenge` and `answer` are the receipt, which anybody can check offline."""

    serial: int
    challenge: bytes
    answer: bytes
    public_key: str


async def activate(wish: Wish, edges: Edges, say: Say) -> Activated:
    """The whole way; `say` tells a person what happens. Raises Refusal."""
    try:
        decode_claim_code(wish.code)
    except WireError as error:
        raise Refusal(error.code, str(error), "Compare it with the code in the box, letter by letter.") from None
    key = load_or_make_key(wish.owner_key)
    talk = ClaimTalk(wish.server, wish.token, wish.ca_file)
    try:
        claim = await talk.start(wish.code)
        say(f"The code belongs to tag {claim.serial}. Hold it near this computer.")
        async with _radio(wish, edges) as reach:
            found = await _find(talk, claim, reach, say)
            say(f"Found it ({found.rssi_dbm} dBm). [bold]Press the tag's button now.[/]")
            try:
                async with reach.connected(found.address) as tag:
                    return await _Signing(talk, claim, tag, key, say).run()
            except TagError as error:
                raise _refusal(error) from None
    finally:
        await talk.close()


@asynccontextmanager
async def _radio(wish: Wish, edges: Edges) -> AsyncIterator[Reach]:
    """A supervised scanner, as the gateway has it, for as long as this takes."""
    collector = Collector(network_id=wish.network_id, now_ns=edges.steady_ns())
    radio = Radio(collector, edges.steady_ns)
    supervisor = Supervisor(radio, now_s=edges.now_s, silence_s=SILENCE_S, log=edges.log)
    work = [supervisor.run()]
    if sys.platform.startswith("linux"):
        from gateway.bluez import BluezWatch  # dbus-fast exists on Linux only

        watch = BluezWatch(
            wish.adapter, trouble=supervisor.trouble, calm=supervisor.calm, hope=supervisor.hope
        )  # fmt: skip
        supervisor.stack = watch
        work.append(watch.run())
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield Reach(radio, collector, supervisor, edges.steady_ns)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _find(talk: ClaimTalk, claim: Claim, reach: Reach, say: Say) -> Candidate:
    """Which of the tags heard here is the claimed one."""
    said = ""
    for _ in range(int(HEAR_S / ASK_EVERY_S)):
        await asyncio.sleep(ASK_EVERY_S)
        near = reach.collector.candidates(reach.steady_ns())[:MAX_CANDIDATES]
        if near:
            try:
                return near[await talk.choose(claim, [candidate.frame for candidate in near])]
            except Refusal as refusal:
                if refusal.code != "tag_not_heard":
                    raise
        state = f"{len(near)} tags of ours are heard, not yet this one …" if near else _deaf(reach)
        if state != said:
            said = state
            say(state)
    raise Refusal(
        "tag_not_heard",
        f"the tag was not heard within {HEAR_S:.0f} s",
        "Pull its battery tab, press its button, hold it within a metre, and try again.",
    )


def _deaf(reach: Reach) -> str:
    """Why nothing is heard, as far as this computer knows."""
    if reach.supervisor.state == "scanning":
        return "Listening …"
    return f"Bluetooth does not scan yet ({reach.supervisor.failure or 'starting'}). Is it switched on?"


@dataclass(slots=True)
class _Signing:
    """With the tag connected: nonce, message, answer; again after a clear, and until the button is pressed."""

    talk: ClaimTalk
    claim: Claim
    tag: TagClient
    key: Ed25519PrivateKey
    say: Say

    async def run(self) -> Activated:
        public = self.key.public_key().public_bytes_raw()
        cleared = False
        for _ in range(int(CONSENT_S / PRESS_AGAIN_S)):
            ready = await self.talk.ready_write(self.claim, await self.tag.nonce(), public, cleared=cleared)
            _must_be_ours(ready, public)
            try:
                reply = await self.tag.say(ready.message)
            except TagError as error:
                if error.code != "button_not_pressed":
                    raise
                self.say("The tag waits for its button: [bold]press it now.[/]")
                await asyncio.sleep(PRESS_AGAIN_S)
                continue
            if ready.challenge is not None:
                return await self._settle(ready.challenge, decode_reply(reply, Op.ACTIVATE))
            cleared = True
            self.say("The tag has forgotten its former owner. Now it signs for you.")
        raise TagError("button_not_pressed", "it was asked for a minute")

    async def _settle(self, challenge: bytes, answer: bytes) -> Activated:
        signature = sign(self.key, Domain.OWNER_CHALLENGE, challenge)[:SIGNATURE_LEN]
        settled = await self.talk.settle(self.claim, answer, signature)
        return Activated(self.claim.serial, challenge, answer, settled.tag_public_key)


def _must_be_ours(ready: ReadyWrite, public: bytes) -> None:
    """The message may only make the tag ours, or forget whose it was. Raises Refusal `write_not_ours`."""
    try:
        message = decode_message(ready.message)
    except WireError:
        message = Message(0, b"", b"")
    if ready.challenge is None:
        ours = message.op == Op.CLEAR
    else:
        wanted = activation_data(ready.challenge, owner_hash(public))
        ours = message.op == Op.ACTIVATE and message.data == wanted
    if not ours:
        raise Refusal(
            "write_not_ours",
            "the server asked for something else than making this tag yours; nothing was sent to the tag",
            "Tell the operator.",
        )


_WORDS: Final = {
    "button_not_pressed": ("the tag's button was not pressed", "Press it, and start again at once."),
    "tag_refused": ("the tag refused", "If it has another owner, they must release it first."),
    "not_reachable": (
        "no connection to the tag, or it did not last",
        "Hold it closer, stop whatever else scans with this adapter (a gateway, say), and try again.",
    ),
}


def _refusal(error: TagError) -> Refusal:
    message, do = _WORDS[error.code]
    return Refusal(error.code, f"{message} ({error})", do)
